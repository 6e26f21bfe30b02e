/**
 * Round trip and clock offset out of heartbeats.
 *
 * Owns the few heartbeats that may still be echoed and the last samples. The round trip is measured with the own
 * monotonic clock alone; the wall clocks of both sides give only the offset, which is for reports. Of the last samples
 * the one with the shortest round trip counts: delay in queues only ever adds.
 */

/** Heartbeats that may still be answered. More than fit between two of them at any sensible round trip. */
const SENT_COUNT = 32
/** Samples among which the shortest counts: 8 s at the default pace, so that a longer path is believed soon. */
const SAMPLE_COUNT = 16

interface Sample {
  readonly rttMs: number
  readonly offsetUs: number
}

/** Measures one peer. */
export class RoundTrip {
  readonly #sent: { readonly us: number; readonly atMs: number }[] = []
  readonly #samples: Sample[] = []
  #best: Sample | null = null

  /** Shortest recent round trip in milliseconds; null before the first answer. */
  get rttMs(): number | null {
    return this.#best?.rttMs ?? null
  }

  /** The peer's wall clock minus ours, in microseconds; off by at most half the round trip. Null before the first answer. */
  get clockOffsetUs(): number | null {
    return this.#best?.offsetUs ?? null
  }

  /** A heartbeat with `sentUs` leaves at `nowMs`. */
  sent(sentUs: number, nowMs: number): void {
    this.#sent.push({ us: sentUs, atMs: nowMs })
    if (this.#sent.length > SENT_COUNT) this.#sent.shift()
  }

  /** A heartbeat came that echoes `echoUs`, which the peer held for `heldUs`. `peerUs` is its own time of sending. */
  heard(peerUs: number, echoUs: number, heldUs: number, nowMs: number, wallUs: number): void {
    if (echoUs === 0) return
    const sent = this.#sent.findLast((one) => one.us === echoUs)
    if (sent === undefined) return
    const rttMs = Math.max(0, nowMs - sent.atMs - heldUs / 1000)
    this.#samples.push({ rttMs, offsetUs: Math.round(peerUs + (rttMs * 1000) / 2 - wallUs) })
    if (this.#samples.length > SAMPLE_COUNT) this.#samples.shift()
    this.#best = this.#samples.reduce((best, one) => (one.rttMs <= best.rttMs ? one : best))
  }
}
