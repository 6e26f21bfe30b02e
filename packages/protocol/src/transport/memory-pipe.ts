/**
 * One direction of a connection of the memory network: a queue, a wire and a reader.
 *
 *   write -> queue ---(window)---> wire (latency, bandwidth) ---> arrived ---> data
 *            ^ bounded by the writer   ^ bounded: wire + arrived <= window ^
 *
 * Owns the bytes between one writer and one reader, and how the conditions of the link treat them. It calls out only
 * from the clock, never from within a method, and allocates only copies of bytes that have room in the window. Given
 * the same clock and the same random source it does the same.
 */
import type { Clock, Random, Timer } from '../entry/clock.js'
import { CONNECTION_QUEUE_BYTES } from '../limits.js'

/** How a direction between two hosts behaves. Changes hold for connections that exist, from the next byte on. */
export interface LinkConditions {
  /** One-way delay in milliseconds. */
  readonly latencyMs: number
  /** Up to so much is added to each segment's delay, at random; the order stays. */
  readonly jitterMs: number
  /** Bytes per second; `Infinity` is no limit. */
  readonly bandwidthBytes: number
  /** Bytes on the wire and arrived but unread: what the socket buffers of two kernels hold. */
  readonly windowBytes: number
  /** Bytes are cut anew into segments of this size at random; equal values take no randomness. */
  readonly segmentBytesMin: number
  readonly segmentBytesMax: number
  /** Nothing arrives, nor does the end of a connection: what is sent waits, and arrives once this is false again. */
  readonly silent: boolean
  /** On average one bit is flipped in so many bytes; 0 flips none. */
  readonly flipEveryBytes: number
}

/** A link without faults: instant, unlimited, 64 KiB at a time. */
export const PERFECT_LINK: LinkConditions = {
  latencyMs: 0,
  jitterMs: 0,
  bandwidthBytes: Number.POSITIVE_INFINITY,
  windowBytes: 512 * 1024,
  segmentBytesMin: 65_536,
  segmentBytesMax: 65_536,
  silent: false,
  flipEveryBytes: 0,
}

export interface PipeEnds {
  /** At the reader. */
  data(segment: Buffer): void
  /** At the writer: the queue is empty again after it was full. */
  drained(): void
  /** At the reader, after the last data: the writer closed (null) or broke the connection. */
  ended(reason: Error | null): void
}

type Parcel =
  | { readonly kind: 'segment'; readonly bytes: Buffer; readonly atMs: number }
  | { readonly kind: 'end'; readonly reason: Error | null; readonly atMs: number }

/** See the file's head. */
export class MemoryPipe {
  readonly #clock: Clock
  readonly #random: Random
  readonly #ends: PipeEnds
  #conditions: LinkConditions
  #queue: Buffer[] = []
  /** Bytes of the first buffer of the queue that are gone already. */
  #queueAt = 0
  #queuedBytes = 0
  #needsDrain = false
  #wire: Parcel[] = []
  #windowUsed = 0
  #wireFreeAtMs = 0
  #lastArrivalMs = 0
  #reading = false
  #endSent = false
  #endQueued: { readonly reason: Error | null } | null = null
  #dead = false
  #timer: Timer | null = null
  #soonAsked = false
  #flipNext = 0

  constructor(clock: Clock, random: Random, conditions: LinkConditions, ends: PipeEnds) {
    this.#clock = clock
    this.#random = random
    this.#conditions = conditions
    this.#ends = ends
  }

  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Takes buffers; false if the queue is over its mark. */
  write(chunks: readonly Buffer[]): boolean {
    if (this.#dead || this.#endQueued !== null) return false
    for (const chunk of chunks) {
      if (chunk.length === 0) continue
      this.#queue.push(chunk)
      this.#queuedBytes += chunk.length
    }
    const room = this.#queuedBytes < CONNECTION_QUEUE_BYTES
    if (!room) this.#needsDrain = true
    this.#askSoon()
    return room
  }

  /** The writer's end: after what is queued (a close), or instead of it (a break). */
  end(reason: Error | null, dropQueue: boolean): void {
    if (this.#endQueued !== null && !dropQueue) return
    if (dropQueue) {
      this.#queue = []
      this.#queueAt = 0
      this.#queuedBytes = 0
    }
    // A break cuts a farewell short that was still waiting behind the queue.
    if (this.#endQueued === null || (dropQueue && !this.#endSent)) this.#endQueued = { reason }
    this.#askSoon()
  }

  /** The reader takes data from now on, or does not. */
  setReading(reading: boolean): void {
    this.#reading = reading
    if (reading) this.#askSoon()
  }

  setConditions(conditions: LinkConditions): void {
    this.#conditions = conditions
    this.#askSoon()
  }

  /** Flips one bit in each of the next `count` segments that leave the queue. */
  flipNext(count: number): void {
    this.#flipNext += count
  }

  /** Drops everything and never calls again. */
  kill(): void {
    this.#dead = true
    this.#queue = []
    this.#queuedBytes = 0
    this.#wire = []
    this.#timer?.cancel()
  }

  #askSoon(): void {
    if (this.#soonAsked || this.#dead) return
    this.#soonAsked = true
    this.#clock.soon(() => {
      this.#soonAsked = false
      this.#turn()
    })
  }

  /** Moves what can move. The only place from which anything is called. */
  #turn(): void {
    if (this.#dead || this.#conditions.silent) return
    this.#arrive()
    this.#depart()
    if (this.#needsDrain && this.#queuedBytes === 0 && !this.#dead) {
      this.#needsDrain = false
      this.#ends.drained()
    }
    if (this.#dead) return
    const first = this.#wire[0]
    if (first === undefined || (first.kind === 'segment' && !this.#reading)) return
    const waitMs = first.atMs - this.#clock.nowMs()
    this.#timer?.cancel()
    if (waitMs > 0) this.#timer = this.#clock.after(waitMs, () => this.#turn())
    else this.#askSoon()
  }

  #arrive(): void {
    const nowMs = this.#clock.nowMs()
    for (let parcel = this.#wire[0]; parcel !== undefined && parcel.atMs <= nowMs; parcel = this.#wire[0]) {
      if (this.#dead || this.#conditions.silent) return
      if (parcel.kind === 'segment' && !this.#reading) return
      this.#wire.shift()
      if (parcel.kind === 'segment') {
        this.#windowUsed -= parcel.bytes.length
        this.#ends.data(parcel.bytes)
      } else {
        this.#ends.ended(parcel.reason)
      }
    }
  }

  /** Puts queued bytes on the wire while the window has room, then the end. */
  #depart(): void {
    while (this.#queuedBytes > 0 && this.#windowUsed < this.#conditions.windowBytes && !this.#dead) {
      const bytes = this.#takeSegment()
      this.#windowUsed += bytes.length
      this.#wire.push({ kind: 'segment', bytes, atMs: this.#arrivalMs(bytes.length) })
    }
    if (this.#endQueued !== null && this.#queuedBytes === 0 && !this.#endSent) {
      this.#endSent = true
      this.#wire.push({ kind: 'end', reason: this.#endQueued.reason, atMs: this.#arrivalMs(0) })
    }
  }

  #arrivalMs(bytes: number): number {
    const { latencyMs, jitterMs, bandwidthBytes } = this.#conditions
    const nowMs = this.#clock.nowMs()
    this.#wireFreeAtMs = Math.max(nowMs, this.#wireFreeAtMs) + (bytes / bandwidthBytes) * 1000
    const delayMs = latencyMs + (jitterMs > 0 ? this.#uniform(jitterMs * 1000) / 1000 : 0)
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, this.#wireFreeAtMs + delayMs)
    return this.#lastArrivalMs
  }

  /** Copies the next bytes of the queue into a segment of their own: the writer may reuse its buffers once they are sent. */
  #takeSegment(): Buffer {
    const { segmentBytesMin, segmentBytesMax } = this.#conditions
    const wanted =
      segmentBytesMin + (segmentBytesMax > segmentBytesMin ? this.#uniform(segmentBytesMax - segmentBytesMin + 1) : 0)
    const segment = Buffer.allocUnsafeSlow(Math.min(wanted, this.#queuedBytes))
    let filled = 0
    while (filled < segment.length) {
      const chunk = this.#queue[0] as Buffer
      const copied = chunk.copy(segment, filled, this.#queueAt)
      filled += copied
      this.#queueAt += copied
      if (this.#queueAt < chunk.length) break
      this.#queue.shift()
      this.#queueAt = 0
    }
    this.#queuedBytes -= segment.length
    this.#damage(segment)
    return segment
  }

  #damage(segment: Buffer): void {
    const { flipEveryBytes } = this.#conditions
    let flips = 0
    if (this.#flipNext > 0) {
      this.#flipNext -= 1
      flips = 1
    }
    if (flipEveryBytes > 0 && this.#uniform(flipEveryBytes) < segment.length) flips += 1
    for (; flips > 0; flips--) {
      const bit = this.#uniform(segment.length * 8)
      segment[bit >> 3] = (segment[bit >> 3] as number) ^ (1 << (bit & 7))
    }
  }

  /** An integer from 0 to `below` - 1. */
  #uniform(below: number): number {
    return Math.floor((this.#random.bytes(4).readUInt32LE(0) / 0x1_0000_0000) * below)
  }
}
