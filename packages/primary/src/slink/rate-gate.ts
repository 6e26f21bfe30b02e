/**
 * A gate in front of reads that share a rate: whether the next one may begin, and a call when it may.
 *
 * Owns the timer of one user; the account is the bucket, which several share. Invariant: whoever was told to wait is woken,
 * at the latest when it is time to look whether the rate was changed, until the gate is closed.
 */
import type { Clock, Timer } from '@sitelink/protocol'
import type { TokenBucket } from './token-bucket.js'

export interface RateGateOptions {
  readonly clock: Clock
  /** What may be read in a second, shared with others. */
  readonly bucket: TokenBucket
  /** Bytes per second; 0: no limit. Asked anew each time, so that it can be changed at any time. */
  readonly bytesPerSecond: () => number
}

/** Who waits for the rate looks this often whether the rate was changed, in milliseconds. */
const LOOK_MS = 1000

export class RateGate {
  readonly #options: RateGateOptions
  readonly #wake: () => void
  #timer: Timer | null = null
  #closed = false

  /** `wake`: {@link mayGo} may be asked again. */
  constructor(options: RateGateOptions, wake: () => void) {
    this.#options = options
    this.#wake = wake
  }

  /** Whether a read may begin now; where not, `wake` follows. */
  mayGo(): boolean {
    const { clock, bucket, bytesPerSecond } = this.#options
    const waitMs = bucket.waitMs(bytesPerSecond(), clock.nowMs())
    if (waitMs === 0) return true
    this.#timer?.cancel()
    this.#timer = this.#closed ? null : clock.after(Math.min(waitMs, LOOK_MS), this.#wake)
    return false
  }

  /** Pays for a read that begins, in bytes. */
  spend(bytes: number): void {
    this.#options.bucket.spend(bytes)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}
