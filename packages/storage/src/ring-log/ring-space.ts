/**
 * From positions to places: reads and writes of the ring area by {@link LogPosition}.
 *
 * Owns the wrap. A position grows for ever; its place follows from the layout (layout.ts), in a plain one position modulo
 * ring bytes, so a range may lie in several pieces and every byte of the ring is used. Never judges what it reads, and
 * never writes outside the ring.
 *
 *   place    0 ............................ ringBytes
 *            | end of the range | ... | its beginning |
 *                               ^ position + length   ^ position
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { piecesAt, type RingLayout, type RingPiece } from './layout.js'
import { BLOCK_BYTES } from './limits.js'

export class RingSpace {
  #layout: RingLayout
  /** Reads under way by the layout of now, and those that began before it was taken over. */
  #reading = new ReadCount()

  constructor(
    readonly disk: Disk,
    /** Byte offset of the ring area on the disk. */
    readonly ringOffset: number,
    layout: RingLayout,
  ) {
    assert(layout.ringBytes > 0 && layout.ringBytes % BLOCK_BYTES === 0, 'a ring is whole blocks')
    this.#layout = layout
  }

  get ringBytes(): number {
    return this.#layout.ringBytes
  }

  get layout(): RingLayout {
    return this.#layout
  }

  /** Byte offset in the ring area of a position. */
  placeOf(position: LogPosition): number {
    return (piecesAt(this.#layout, position, 1)[0] as RingPiece).place
  }

  /** From now on bytes lie where `layout` says. Resolves when no read that began before is under way any more. */
  adopt(layout: RingLayout): Promise<void> {
    const before = this.#reading
    this.#layout = layout
    this.#reading = new ReadCount()
    return before.none()
  }

  /** Fills `into` from `position`. Rejects as the disk does. */
  read(into: Buffer, position: LogPosition): Promise<void> {
    assert(into.length <= this.ringBytes, 'a range is not longer than the ring')
    return this.#reading.count(this.#read(into, piecesAt(this.#layout, position, into.length)))
  }

  /** Writes buffers one after the other from `position`; resolves when all are in. They must not change until then. */
  write(chunks: readonly Buffer[], byteCount: number, position: LogPosition): Promise<void> {
    assert(byteCount <= this.ringBytes, 'a range is not longer than the ring')
    let bytes = 0
    for (const chunk of chunks) bytes += chunk.length
    assert(bytes === byteCount, 'what is written is as long as its header says')
    const pieces = piecesAt(this.#layout, position, byteCount)
    const [first] = pieces
    if (first !== undefined && pieces.length === 1) return this.disk.write(chunks, this.ringOffset + first.place)
    let rest = chunks
    return allOf(
      pieces.map(({ place, length }) => {
        const [before, after] = splitAt(rest, length)
        rest = after
        return this.disk.write(before, this.ringOffset + place)
      }),
    )
  }

  #read(into: Buffer, pieces: readonly RingPiece[]): Promise<void> {
    const [first] = pieces
    if (first !== undefined && pieces.length === 1) return this.disk.read(into, this.ringOffset + first.place)
    let at = 0
    return allOf(
      pieces.map(({ place, length }) => {
        const part = into.subarray(at, at + length)
        at += length
        return this.disk.read(part, this.ringOffset + place)
      }),
    )
  }
}

/** Counts reads under way, without a promise of its own for each. */
class ReadCount {
  #count = 0
  readonly #none: (() => void)[] = []
  readonly #ended = (): void => {
    this.#count--
    if (this.#count === 0) for (const wake of this.#none.splice(0)) wake()
  }

  count(read: Promise<void>): Promise<void> {
    this.#count++
    read.then(this.#ended, this.#ended)
    return read
  }

  none(): Promise<void> {
    if (this.#count === 0) return Promise.resolve()
    return new Promise((resolve) => this.#none.push(resolve))
  }
}

/** Waits until all have ended, whatever happens: buffers are in use until then. */
async function allOf(parts: readonly Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(parts)
  for (const result of results) if (result.status === 'rejected') throw result.reason
}

function splitAt(chunks: readonly Buffer[], at: number): [Buffer[], Buffer[]] {
  const before: Buffer[] = []
  const after: Buffer[] = []
  let left = at
  for (const chunk of chunks) {
    if (chunk.length <= left) before.push(chunk)
    else if (left === 0) after.push(chunk)
    else {
      before.push(chunk.subarray(0, left))
      after.push(chunk.subarray(left))
    }
    left = Math.max(0, left - chunk.length)
  }
  return [before, after]
}
