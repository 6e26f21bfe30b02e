/** A clock that a test advances by hand; timers fire in order of their time, within `advance`. */
import type { Clock, Timer } from '@sitelink/protocol/entry'

export class ManualClock implements Clock {
  #nowMs = 0
  #timers: { atMs: number; action: () => void }[] = []

  wallUs(): number {
    return 1_700_000_000_000_000 + Math.round(this.#nowMs * 1000)
  }

  nowMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, action: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, action }
    this.#timers.push(timer)
    return { cancel: () => void (this.#timers = this.#timers.filter((other) => other !== timer)) }
  }

  soon(action: () => void): void {
    setImmediate(action)
  }

  /** Timers that wait. */
  get waiting(): number {
    return this.#timers.length
  }

  /** Moves on, and lets what fired run as far as it goes without time. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      const due = this.#timers.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((other) => other !== due)
      this.#nowMs = due.atMs
      due.action()
      await settle()
    }
    this.#nowMs = endMs
    await settle()
  }
}

/** Lets everything run that waits for nothing outside the process. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
