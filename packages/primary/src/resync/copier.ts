/**
 * The copier: reads dirty regions and makes copy frames of them, for one session of one slink.
 *
 * Owns the reads under way and the copies that wait to be sent, within a byte budget and a rate. It never sends: the
 * feed takes what is ready, in the stream's order. A copy is stamped with the head of the log at the end of its read,
 * so that whatever the read saw is at or below the stamp.
 */
import type { Lsn, PayloadMemory } from '@sitelink/protocol'
import { COPY_BYTES_IN_MEMORY_MAX, COPY_FRAME_BYTES, COPY_REGIONS_IN_FLIGHT_MAX } from '../limits.js'
import { RateGate, type RateGateOptions } from '../slink/rate-gate.js'
import { CopyMemory } from './copy-memory.js'
import type { RegionTracker } from './region-tracker.js'

/** A device of the slink that has dirty regions. */
export interface CopySource {
  readonly deviceId: number
  readonly sizeBytes: number
  readonly regionBytes: number
  readonly tracker: RegionTracker
}

/** A piece of a region, read and waiting for its place in the stream. */
export interface ReadyCopy {
  readonly source: CopySource
  readonly region: number
  readonly offset: number
  readonly length: number
  /** What the bytes lie in; null where all of them are zero. */
  readonly memory: PayloadMemory | null
  readonly stamp: Lsn
  readonly last: boolean
}

/** The rate is shared with a verify. */
export interface CopierOptions extends RateGateOptions {
  /** Fills a buffer with what stands there through the overlay, planned in the same turn. */
  readonly readInto: (deviceId: number, offset: number, into: Buffer) => Promise<void>
  /** Head of the log now. */
  readonly headLsn: () => Lsn
  /** A copy is ready, or a read failed: the feed should look. */
  readonly ready: () => void
  /** A region could not be read; it stays dirty and is tried again later. Told once, until it could be read. */
  readonly readFailed: (deviceId: number, region: number, error: Error) => void
}

/** A region whose read failed is left alone so long. */
const READ_RETRY_MS = 1000

const ZEROES = Buffer.alloc(COPY_FRAME_BYTES)

export class Copier {
  readonly #options: CopierOptions
  #sources: CopySource[] = []
  readonly #ready: ReadyCopy[] = []
  #bytesInMemory = 0
  #turn = 0
  #closed = false
  readonly #gate: RateGate
  readonly #memory = new CopyMemory()
  /** Regions whose failure was told and that have not been read since. */
  readonly #unreadable = new Map<CopySource, Set<number>>()

  constructor(options: CopierOptions) {
    this.#options = options
    this.#gate = new RateGate(options, () => this.pump())
  }

  /** Bytes that are being read or wait to be sent. */
  get bytesInMemory(): number {
    return this.#bytesInMemory
  }

  setSources(sources: readonly CopySource[]): void {
    this.#sources = [...sources]
  }

  /** Starts as many reads as budget, window and rate allow; devices take turns. */
  pump(): void {
    if (this.#closed) return
    let idle = 0
    while (idle < this.#sources.length && this.#bytesInMemory + COPY_FRAME_BYTES <= COPY_BYTES_IN_MEMORY_MAX) {
      const source = this.#sources[this.#turn % this.#sources.length] as CopySource
      this.#turn += 1
      if (source.tracker.readingCount > 3 || source.tracker.activeCount >= COPY_REGIONS_IN_FLIGHT_MAX) {
        idle += 1
        continue
      }
      const region = source.tracker.next()
      if (region < 0) {
        idle += 1
        continue
      }
      if (!this.#gate.mayGo()) return
      idle = 0
      source.tracker.startRead(region)
      this.#readPiece(source, region, region * source.regionBytes)
    }
  }

  /** The oldest ready copy, or null; `take` removes it. */
  peek(): ReadyCopy | null {
    return this.#ready[0] ?? null
  }

  /** See {@link CopyMemory.arrived}. */
  arrived(frames: number, bytes: number): void {
    this.#memory.arrived(frames, bytes)
  }

  /** The oldest ready copy was sent: the session has sent so many frames and bytes with it. */
  take(frames: number, sentBytes: number): void {
    const copy = this.#ready.shift()
    if (copy === undefined) return
    if (copy.memory !== null) this.#memory.sent(copy.memory, frames, sentBytes)
    this.#bytesInMemory -= copy.length
    if (copy.last) return
    this.#readPiece(copy.source, copy.region, copy.offset + copy.length)
  }

  close(): void {
    this.#closed = true
    this.#gate.close()
    this.#memory.close()
    this.#ready.length = 0
  }

  #readPiece(source: CopySource, region: number, offset: number): void {
    const regionEnd = Math.min((region + 1) * source.regionBytes, source.sizeBytes)
    const length = Math.min(COPY_FRAME_BYTES, regionEnd - offset)
    this.#bytesInMemory += length
    this.#gate.spend(length)
    const memory = this.#memory.take(length)
    this.#options.readInto(source.deviceId, offset, memory.bytes).then(
      () => {
        if (this.#closed) return
        this.#unreadable.get(source)?.delete(region)
        const zero = memory.bytes.equals(ZEROES.subarray(0, length))
        if (zero) memory.release()
        const last = offset + length >= regionEnd
        this.#ready.push({
          source,
          region,
          offset,
          length,
          memory: zero ? null : memory,
          stamp: this.#options.headLsn(),
          last,
        })
        this.#options.ready()
      },
      (error: Error) => {
        if (this.#closed) return
        memory.release()
        this.#bytesInMemory -= length
        this.#tellOnce(source, region, error)
        // The region stays under way meanwhile, so that it is not read in a tight loop; entries to it wait as well.
        this.#options.clock.after(READ_RETRY_MS, () => {
          if (this.#closed) return
          source.tracker.abandon(region)
          this.#options.ready()
        })
      },
    )
  }

  /** It is tried again every second, perhaps for days. */
  #tellOnce(source: CopySource, region: number, error: Error): void {
    let told = this.#unreadable.get(source)
    if (told === undefined) this.#unreadable.set(source, (told = new Set()))
    if (told.has(region)) return
    told.add(region)
    this.#options.readFailed(source.deviceId, region, error)
  }
}
