/**
 * So many in so much time: what strangers may cause before it is only counted.
 *
 * Owns one count per window of the clock that is passed in. It never grows, whatever comes.
 */
import type { Clock } from '@sitelink/protocol'

/** See the head of this file. */
export class Allowance {
  readonly #clock: Clock
  readonly #countMax: number
  readonly #windowMs: number
  #startMs = Number.NEGATIVE_INFINITY
  #count = 0
  #unsaid = 0
  /** What the window has had: no more than it has room for. */
  readonly #had = new Set<string>()

  constructor(clock: Clock, countMax: number, windowMs: number) {
    this.#clock = clock
    this.#countMax = countMax
    this.#windowMs = windowMs
  }

  /** True while the present window has room. */
  get left(): boolean {
    this.#turn()
    return this.#count < this.#countMax
  }

  /** How many were refused since the last that was taken. */
  get unsaid(): number {
    return this.#unsaid
  }

  /** Takes one; false, and counted, if the window has no room, or has had the same one. */
  take(what?: string): boolean {
    if (!this.left || (what !== undefined && this.#had.has(what))) {
      this.#unsaid += 1
      return false
    }
    this.#count += 1
    this.#unsaid = 0
    if (what !== undefined) this.#had.add(what)
    return true
  }

  #turn(): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#startMs < this.#windowMs) return
    this.#startMs = nowMs
    this.#count = 0
    this.#had.clear()
  }
}
