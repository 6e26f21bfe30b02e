/**
 * Reads a stretch of the log from front to back in large pieces.
 *
 * Owns one chunk of bytes. It is replaced, never reused, so that views that were handed out stay valid; whoever keeps none
 * may borrow them instead, out of two chunks that are filled by turns, since memory that a process touches for the first
 * time costs more than to read into it. Sectors that the disk refuses are read around and look like zeros; where they lie
 * is remembered, so that nobody takes a refused read for an end of the log. A disk that refuses everything is no disk with
 * bad sectors: that rejects.
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import { CHUNK_BYTES } from './limits.js'
import type { RingSpace } from './ring-space.js'

const FIRST_READ_BYTES = 64 * 1024
const NOTHING = Buffer.alloc(0)

/** How long what is handed out stays as it is: for ever, or until the read after the next one. */
export type Views = 'kept' | 'lent'

export class PositionReader {
  #chunk: Buffer = NOTHING
  #start: LogPosition = 0
  #nextBytes = FIRST_READ_BYTES / 2
  /** `lent`: of the chunk, and what the next one is read into. */
  #memory: Buffer = NOTHING
  #otherMemory: Buffer = NOTHING
  /** Bytes that were read from the disk. */
  bytesRead = 0
  /** Sectors that could not be read, and why. */
  readonly unreadable: { readonly position: LogPosition; readonly end: LogPosition; readonly error: unknown }[] = []

  constructor(
    readonly space: RingSpace,
    /** Nothing is read at or behind this. */
    readonly limit: LogPosition,
    readonly chunkBytes = CHUNK_BYTES,
    readonly views: Views = 'kept',
  ) {}

  /** The bytes, if they are in the chunk already. */
  have(position: LogPosition, length: number): Buffer | null {
    const at = position - this.#start
    return at >= 0 && at + length <= this.#chunk.length ? this.#chunk.subarray(at, at + length) : null
  }

  /** The bytes; reads them, and those behind them, if it must. `position + length` is not beyond the limit. */
  async at(position: LogPosition, length: number): Promise<Buffer> {
    const here = this.have(position, length)
    if (here !== null) return here
    assert(position + length <= this.limit, 'nothing is read behind the limit')
    // Short stretches are common; long ones soon get large reads.
    this.#nextBytes = Math.min(this.chunkBytes, this.#nextBytes * 2)
    const bytes = this.#room(Math.min(this.limit - position, Math.max(length, this.#nextBytes)))
    // Until it is filled nothing is there: what was lent before the last read is overwritten.
    this.#chunk = NOTHING
    await this.#fill(bytes, position)
    this.bytesRead += bytes.length
    this.#chunk = bytes
    this.#start = position
    return bytes.subarray(0, length)
  }

  #room(length: number): Buffer {
    if (this.views === 'kept') return Buffer.allocUnsafe(length)
    const free =
      this.#otherMemory.length < length ? Buffer.allocUnsafeSlow(Math.max(length, this.chunkBytes)) : this.#otherMemory
    this.#otherMemory = this.#memory
    this.#memory = free
    return free.subarray(0, length)
  }

  async #fill(bytes: Buffer, position: LogPosition): Promise<void> {
    try {
      await this.space.read(bytes, position)
    } catch {
      await this.#fillAround(bytes, position)
    }
  }

  /** Halves the range until the bad sectors are alone. */
  async #fillAround(bytes: Buffer, position: LogPosition): Promise<void> {
    let readable = 0
    let failure: unknown
    const { sectorBytes } = this.space.disk
    const pieces: [Buffer, LogPosition][] = halves(bytes, position, sectorBytes)
    for (let piece = pieces.pop(); piece !== undefined; piece = pieces.pop()) {
      const [into, at] = piece
      try {
        await this.space.read(into, at)
        readable++
      } catch (error) {
        failure = error
        const smaller = halves(into, at, sectorBytes)
        pieces.push(...smaller)
        if (smaller.length > 0) continue
        into.fill(0)
        this.unreadable.push({ position: at, end: at + into.length, error })
      }
    }
    if (readable === 0) throw failure
  }
}

/** Two parts that meet on a sector; none if there is only one sector. */
function halves(bytes: Buffer, position: LogPosition, sectorBytes: number): [Buffer, LogPosition][] {
  const middle = position + Math.floor(bytes.length / 2)
  const first = middle - (middle % sectorBytes)
  const cut = first > position ? first : first + sectorBytes
  if (cut >= position + bytes.length) return []
  return [
    [bytes.subarray(cut - position), cut],
    [bytes.subarray(0, cut - position), position],
  ]
}
