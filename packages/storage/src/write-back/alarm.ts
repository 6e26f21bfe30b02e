/**
 * One timer that many set: it rings at the earliest time that was asked for, once.
 *
 * Owns the timer. Setting it later than it is set changes nothing.
 */
import type { Clock, Timer } from '@sitelink/protocol/entry'

export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #timer: Timer | null = null
  #atMs = 0

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings at this monotonic time, or before. */
  at(atMs: number): void {
    if (this.#timer !== null) {
      if (this.#atMs <= atMs) return
      this.#timer.cancel()
    }
    this.#atMs = atMs
    this.#timer = this.#clock.after(Math.max(1, atMs - this.#clock.nowMs()), () => {
      this.#timer = null
      this.#ring()
    })
  }

  cancel(): void {
    this.#timer?.cancel()
    this.#timer = null
  }
}
