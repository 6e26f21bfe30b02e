/**
 * A token bucket that may go below zero: how long to wait until more may be sent at a rate.
 *
 * Pure arithmetic over times that are passed in. What is sent is paid afterwards, as large as it was, so that a frame is
 * never cut; the debt is waited for before the next one. Invariant: over any time t no more than `rate * t`, one burst
 * and one frame are sent, and what was not used counts for no more than one burst.
 */

/** Unused time counts for so long, in milliseconds: short, so that the rate is smooth; longer than a timer is late. */
export const BURST_MS = 50

export class TokenBucket {
  #tokens = 0
  /** A rate holds: without one nothing is owed, also when the next one comes. */
  #limited = false
  #atMs: number

  /** `nowMs`: monotonic, as in every call. */
  constructor(nowMs: number) {
    this.#atMs = nowMs
  }

  /** Milliseconds until something may be sent at `rate` bytes per second; 0: now. A rate of 0 is no limit. */
  waitMs(rate: number, nowMs: number): number {
    const elapsedMs = nowMs - this.#atMs
    this.#atMs = nowMs
    this.#limited = rate > 0
    if (!this.#limited) {
      this.#tokens = 0
      return 0
    }
    this.#tokens = Math.min((rate * BURST_MS) / 1000, this.#tokens + (elapsedMs * rate) / 1000)
    return this.#tokens >= 0 ? 0 : Math.max(1, (-this.#tokens * 1000) / rate)
  }

  /** Pays for what was sent. */
  spend(bytes: number): void {
    if (this.#limited) this.#tokens -= bytes
  }
}
