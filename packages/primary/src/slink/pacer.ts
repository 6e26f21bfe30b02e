/**
 * The pacer: when the stream of a slink may go on, and with how much.
 *
 * Owns the bandwidth limit and the bound of what is in flight, for one session. It reads the terms each time, so that an
 * operator's change counts at once, and the time of day at most once a second. It sets a timer only while the stream waits
 * for it: an idle link costs nothing. It never sends; the feed asks before each run, and pays with what went out.
 */
import type { Clock, Timer } from '@sitelink/protocol'
import { FEED_BYTES_MAX, PACED_BYTES_MIN } from '../limits.js'
import { InFlight } from './in-flight.js'
import { rateAt, localMinute } from './link-limit.js'
import type { LinkTerms } from './link-terms.js'
import { BURST_MS, TokenBucket } from './token-bucket.js'

/** The time of day is looked at this often, and a stream that waits is woken at least this often to see changes. */
const LOOK_MS = 1000

export interface PacerOptions {
  readonly clock: Clock
  readonly terms: () => LinkTerms
  /** The stream may go on. */
  readonly wake: () => void
}

export class Pacer {
  readonly #options: PacerOptions
  readonly #bucket: TokenBucket
  readonly #inFlight = new InFlight()
  #minute = -1
  #minuteAtMs = -Infinity
  #timer: Timer | null = null
  #closed = false

  constructor(options: PacerOptions) {
    this.#options = options
    this.#bucket = new TokenBucket(options.clock.nowMs())
  }

  get inFlight(): { readonly frames: number; readonly bytes: number } {
    return this.#inFlight
  }

  /** The rate that holds now, in bytes per second; 0: none. */
  get rate(): number {
    const { clock, terms } = this.#options
    const { limit } = terms()
    if (limit.windows.length === 0) return limit.bytesPerSecond
    const nowMs = clock.nowMs()
    if (nowMs - this.#minuteAtMs >= LOOK_MS) {
      this.#minute = localMinute(clock.wallUs())
      this.#minuteAtMs = nowMs
    }
    return rateAt(limit, this.#minute)
  }

  /** Bytes of one run: small beside what a slow link carries in a moment, so that it is even. */
  get runBytes(): number {
    const { rate } = this
    const paced = rate === 0 ? FEED_BYTES_MAX : Math.max(PACED_BYTES_MIN, Math.floor((rate * BURST_MS) / 1000))
    const { bytes } = this.#options.terms().inFlight
    const room = bytes === 0 ? FEED_BYTES_MAX : Math.max(1, bytes - this.#inFlight.bytes)
    return Math.min(FEED_BYTES_MAX, paced, room)
  }

  /** Frames of one run. */
  get runFrames(): number {
    const { ios } = this.#options.terms().inFlight
    return ios === 0 ? Infinity : Math.max(1, ios - this.#inFlight.frames)
  }

  /** Whether the stream may go on; where not, `wake` follows, or an acknowledgement. */
  mayGo(): boolean {
    const { clock, terms } = this.#options
    const { ios, bytes } = terms().inFlight
    if ((ios > 0 && this.#inFlight.frames >= ios) || (bytes > 0 && this.#inFlight.bytes >= bytes)) return false
    const waitMs = this.#bucket.waitMs(this.rate, clock.nowMs())
    if (waitMs === 0) return true
    if (this.#timer === null && !this.#closed) {
      this.#timer = clock.after(Math.min(waitMs, LOOK_MS), () => {
        this.#timer = null
        this.#options.wake()
      })
    }
    return false
  }

  /** A run went out: frames, their bytes, and the bytes on the wire. */
  sent(frames: number, bytes: number, wireBytes: number): void {
    this.#inFlight.sent(frames, bytes)
    this.#bucket.spend(wireBytes)
  }

  /** The site has received so many frames of the session. */
  received(frames: number): void {
    this.#inFlight.received(frames)
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
  }
}
