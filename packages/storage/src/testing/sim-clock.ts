/**
 * A clock whose time passes only when the test says so, in one deterministic order.
 *
 * Owns simulated time, its timers and the `soon` queue. Timers fire in order of their due time, then of their making.
 * Between two timers everything that promises can do is done ({@link SimClock.settle}), so a run depends only on the
 * program and its seed. Code under test must not wait for anything real (files, sockets, worker threads).
 */
import { assert, type Clock, type Timer } from '@sitelink/protocol/entry'

interface Due {
  readonly atMs: number
  readonly sequence: number
  readonly action: () => void
  state: 'waiting' | 'cancelled' | 'fired'
}

/** True if `a` fires before `b`. */
function before(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.sequence < b.sequence)
}

/** So many turns end without the event loop: what is real (messages of a parent, unhandled rejections) waits that long. */
const TURNS_PER_REAL_TURN = 50
let turns = 0

/**
 * Ends a turn: every promise job that is ready has run, and all that they made ready. The next tick comes only then, and
 * costs a tenth of a turn of the event loop.
 */
function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (++turns % TURNS_PER_REAL_TURN === 0) setImmediate(resolve)
    // From a promise job: a tick that is asked for elsewhere may come before the jobs that are ready.
    else queueMicrotask(() => process.nextTick(resolve))
  })
}

export class SimClock implements Clock {
  #nowMs = 0
  #sequence = 0
  /** Binary heap by {@link before}. */
  readonly #heap: Due[] = []
  #cancelledCount = 0
  #soon: (() => void)[] = []
  /** Wall time at simulated time 0, in microseconds. */
  #wallStartUs: number

  constructor(options: { readonly wallStartUs?: number } = {}) {
    this.#wallStartUs = options.wallStartUs ?? 1_700_000_000_000_000
  }

  nowMs(): number {
    return this.#nowMs
  }

  wallUs(): number {
    return this.#wallStartUs + Math.round(this.#nowMs * 1000)
  }

  /** Moves the wall clock, forward or back, without any monotonic time passing. */
  jumpWallUs(byUs: number): void {
    this.#wallStartUs += byUs
  }

  after(delayMs: number, action: () => void): Timer {
    assert(delayMs >= 0, 'a delay is not negative')
    const due: Due = { atMs: this.#nowMs + delayMs, sequence: this.#sequence++, action, state: 'waiting' }
    this.#push(due)
    return {
      cancel: () => {
        if (due.state !== 'waiting') return
        due.state = 'cancelled'
        this.#cancelledCount++
      },
    }
  }

  soon(action: () => void): void {
    this.#soon.push(action)
  }

  /** Timers that are waiting. */
  get pendingCount(): number {
    return this.#heap.length - this.#cancelledCount
  }

  /** Runs promise jobs and the `soon` queue until nothing is left of both. Time stands still. */
  async settle(): Promise<void> {
    for (;;) {
      await endOfTurn()
      if (this.#soon.length === 0) return
      const actions = this.#soon
      this.#soon = []
      for (const action of actions) action()
    }
  }

  /** Lets so much time pass: fires what falls due, in order, and settles after each. */
  async advance(byMs: number): Promise<void> {
    const untilMs = this.#nowMs + byMs
    await this.settle()
    while (await this.#fireNext(untilMs));
    this.#nowMs = untilMs
  }

  /** Runs until no timer is left, or until so much time has passed; answers the milliseconds that passed. */
  async run(limitMs = Number.POSITIVE_INFINITY): Promise<number> {
    const startMs = this.#nowMs
    await this.settle()
    while (await this.#fireNext(startMs + limitMs));
    return this.#nowMs - startMs
  }

  /** Runs until the promise is settled and answers what it answers; rejects if time or timers run out before. */
  async runUntil<T>(promise: Promise<T>, limitMs = Number.POSITIVE_INFINITY): Promise<T> {
    let settled = false
    const settle = (): void => {
      settled = true
    }
    promise.then(settle, settle)
    const untilMs = this.#nowMs + limitMs
    await this.settle()
    while (!settled) {
      if (!(await this.#fireNext(untilMs))) {
        await this.settle()
        if (settled) break
        throw new Error(`still waiting at ${this.#nowMs} ms with ${this.pendingCount} timers left`)
      }
    }
    return promise
  }

  /** A clock of one simulated process: after `kill` none of its timers and `soon` actions happen any more. */
  process(): SimProcessClock {
    return new SimProcessClock(this)
  }

  async #fireNext(untilMs: number): Promise<boolean> {
    for (;;) {
      const due = this.#heap[0]
      if (due === undefined || due.atMs > untilMs) return false
      this.#pop()
      if (due.state === 'cancelled') {
        this.#cancelledCount--
        continue
      }
      due.state = 'fired'
      this.#nowMs = due.atMs
      due.action()
      await this.settle()
      return true
    }
  }

  #push(due: Due): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(due)
    while (at > 0) {
      const up = (at - 1) >> 1
      const parent = heap[up] as Due
      if (!before(due, parent)) break
      heap[at] = parent
      at = up
    }
    heap[at] = due
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop() as Due
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Due, heap[child] as Due)) child++
      if (!before(heap[child] as Due, last)) break
      heap[at] = heap[child] as Due
      at = child
    }
    heap[at] = last
  }
}

/** See {@link SimClock.process}. */
export class SimProcessClock implements Clock {
  #alive = true

  constructor(readonly host: SimClock) {}

  wallUs(): number {
    return this.host.wallUs()
  }

  nowMs(): number {
    return this.host.nowMs()
  }

  after(delayMs: number, action: () => void): Timer {
    return this.host.after(delayMs, () => {
      if (this.#alive) action()
    })
  }

  soon(action: () => void): void {
    this.host.soon(() => {
      if (this.#alive) action()
    })
  }

  /** Nothing that was or will be scheduled here happens any more. */
  kill(): void {
    this.#alive = false
  }
}
