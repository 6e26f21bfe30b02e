/**
 * Two clocks for the tests of this package: a real one, and one that stands still until it is moved.
 *
 * The real one serves tests over sockets; nothing is decided by its time, except that a test fails that never ends.
 */
import type { Clock, Timer } from '../../src/index.js'

/** Node's own timers. */
export const realClock: Clock = {
  wallUs: () => Math.round((performance.timeOrigin + performance.now()) * 1000),
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const handle = setTimeout(action, delayMs)
    return { cancel: () => clearTimeout(handle) }
  },
  soon: (action) => void setImmediate(action),
}

interface Due {
  readonly atMs: number
  readonly order: number
  readonly action: () => void
}

/** Time that only {@link SimClock.run} moves. Actions run in the order of their time, then of their making. */
export class SimClock implements Clock {
  #nowMs = 1000
  #order = 0
  #due: Due[] = []
  /** Microseconds by which this process's wall clock is off. */
  skewUs = 0

  wallUs(): number {
    return 1_700_000_000_000_000 + Math.round(this.#nowMs * 1000) + this.skewUs
  }

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, action: () => void): Timer {
    const due: Due = { atMs: this.#nowMs + Math.max(0, delayMs), order: this.#order++, action }
    this.#due.push(due)
    return { cancel: () => void (this.#due = this.#due.filter((one) => one !== due)) }
  }

  soon(action: () => void): void {
    this.after(0, action)
  }

  /** A clock of another process: the same time, its own wall clock. */
  skewed(skewUs: number): Clock {
    return {
      wallUs: () => this.wallUs() + skewUs,
      nowMs: () => this.nowMs(),
      after: (delayMs, action) => this.after(delayMs, action),
      soon: (action) => this.soon(action),
    }
  }

  /** Runs everything that is due within the next `ms` milliseconds. Fails after a million actions: something spins. */
  run(ms: number): void {
    const endMs = this.#nowMs + ms
    for (let count = 0; ; count++) {
      if (count > 1_000_000) throw new Error('the simulated clock does not come to rest')
      let first: Due | null = null
      for (const one of this.#due) {
        if (first === null || one.atMs < first.atMs || (one.atMs === first.atMs && one.order < first.order)) first = one
      }
      if (first === null || first.atMs > endMs) break
      const taken = first
      this.#due = this.#due.filter((one) => one !== taken)
      this.#nowMs = Math.max(this.#nowMs, taken.atMs)
      taken.action()
    }
    this.#nowMs = endMs
  }
}
