/**
 * Credit: how many stream bytes may be on their way to a receiver.
 *
 * Owns the arithmetic of the cumulative window and nothing else: no messages, no clock. Both sides count every byte of
 * every stream frame, header and payload, from the first frame behind `ready`. The receiver names a total that never
 * falls; the sender never passes it. What is granted and not consumed is what the receiver may have to hold in memory,
 * so that the window is also the receiver's memory limit for this session.
 *
 *          consumed        received         granted
 *   0 ---------+---------------+---------------+---->  bytes since `ready`
 *              |<-------- at most window ----->|
 *                              |<--- left ---->|
 */
import { assert } from '../entry/assert.js'
import { WINDOW_BYTES_MAX, WINDOW_BYTES_MIN } from '../limits.js'

/** The sender's account of the credit it was given. All values in bytes. */
export class CreditAccount {
  #granted: number
  #spent = 0

  /** `grantedBytes` as `ready` said. */
  constructor(grantedBytes: number) {
    this.#granted = grantedBytes
  }

  /** Bytes that may still be sent. */
  get left(): number {
    return this.#granted - this.#spent
  }

  /** Bytes sent since `ready`. */
  get spent(): number {
    return this.#spent
  }

  /** Takes a new total; false if it lies below the one before, which a correct peer never says. */
  raise(totalBytes: number): boolean {
    if (totalBytes < this.#granted) return false
    this.#granted = totalBytes
    return true
  }

  /** Counts bytes that are sent now. To send more than {@link left} is a bug of the caller. */
  spend(bytes: number): void {
    assert(bytes <= this.left, 'no more is sent than the peer granted')
    this.#spent += bytes
  }
}

/** What a {@link CreditWindow} may be. */
export interface CreditWindowOptions {
  /** At least {@link WINDOW_BYTES_MIN}, which is also the default. */
  readonly bytesMin?: number
  /** The budget: default {@link WINDOW_BYTES_MAX}. May be changed with {@link CreditWindow.limit}. */
  readonly bytesMax?: number
}

/** Shortest time over which the rate is measured, in milliseconds: below it one batch decides. */
const MEASURE_MS_MIN = 50

/**
 * The receiver's window: decides how much to grant, and follows twice the product of bandwidth and round trip.
 *
 * It starts at its smallest. While the sender is limited by the window, twice the measured product is twice the window,
 * so that it doubles with each measurement until the path, the disk or the budget is the limit. It grows at once and
 * shrinks by at most one eighth a measurement. A total once granted stays granted.
 */
export class CreditWindow {
  readonly #bytesMin: number
  #bytesMax: number
  #window: number
  #consumed = 0
  #granted: number
  #measuredAtMs = -1
  #measuredConsumed = 0

  constructor(options: CreditWindowOptions = {}) {
    this.#bytesMin = options.bytesMin ?? WINDOW_BYTES_MIN
    this.#bytesMax = options.bytesMax ?? WINDOW_BYTES_MAX
    assert(this.#bytesMin >= WINDOW_BYTES_MIN, 'a window holds several of the largest frames')
    assert(this.#bytesMax >= this.#bytesMin, 'the budget of a window is not below its smallest size')
    this.#window = this.#bytesMin
    this.#granted = this.#window
  }

  /** Present size in bytes. */
  get windowBytes(): number {
    return this.#window
  }

  /** Total granted so far, in bytes: what `ready` says first. */
  get grantedBytes(): number {
    return this.#granted
  }

  /** Sets the budget, for an owner that shares one among sessions. Never below the smallest window. */
  limit(bytesMax: number): void {
    this.#bytesMax = Math.max(bytesMax, this.#bytesMin)
    this.#window = Math.min(this.#window, this.#bytesMax)
  }

  /** The receiver is done with `bytes` more: they are out of its memory. */
  consume(bytes: number): void {
    this.#consumed += bytes
    assert(this.#consumed <= this.#granted, 'nothing is consumed that was not granted')
  }

  /**
   * Measures the rate of consumption since the last measurement and sizes the window after it. Call it now and then
   * (once a heartbeat or a batch); it takes its own pace. `rttMs` is null while unknown.
   */
  measure(nowMs: number, rttMs: number | null): void {
    if (this.#measuredAtMs < 0) return this.#startMeasuring(nowMs)
    const elapsedMs = nowMs - this.#measuredAtMs
    if (rttMs === null || elapsedMs < Math.max(MEASURE_MS_MIN, rttMs)) return
    const bytesPerMs = (this.#consumed - this.#measuredConsumed) / elapsedMs
    const wanted = Math.ceil(2 * bytesPerMs * rttMs)
    const shrunk = this.#window - Math.ceil(this.#window / 8)
    this.#window = Math.min(this.#bytesMax, Math.max(this.#bytesMin, wanted, shrunk))
    this.#startMeasuring(nowMs)
  }

  /**
   * The total to grant now, or null while it is not worth a message: a quarter of the window must have been consumed.
   * With everything consumed, what is left to the sender is always enough for one of the largest frames.
   */
  grantDue(): number | null {
    const total = this.#consumed + this.#window
    if (total - this.#granted < this.#window / 4) return null
    this.#granted = total
    return total
  }

  #startMeasuring(nowMs: number): void {
    this.#measuredAtMs = nowMs
    this.#measuredConsumed = this.#consumed
  }
}
