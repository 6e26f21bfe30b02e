/**
 * From positions to places: reads and writes of the ring area by {@link LogPosition}.
 *
 * Owns the wrap. A position grows for ever; its place is position modulo ring bytes, so a range may lie in two pieces
 * and every byte of the ring is used. Never judges what it reads, and never writes outside the ring.
 *
 *   place    0 ............................ ringBytes
 *            | end of the range | ... | its beginning |
 *                               ^ position + length   ^ position
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { BLOCK_BYTES } from './limits.js'

export class RingSpace {
  constructor(
    readonly disk: Disk,
    /** Byte offset of the ring area on the disk. */
    readonly ringOffset: number,
    readonly ringBytes: number,
  ) {
    assert(ringBytes > 0 && ringBytes % BLOCK_BYTES === 0, 'a ring is whole blocks')
  }

  /** Byte offset on the disk of a position. */
  placeOf(position: LogPosition): number {
    return this.ringOffset + (position % this.ringBytes)
  }

  /** Fills `into` from `position`. Rejects as the disk does. */
  read(into: Buffer, position: LogPosition): Promise<void> {
    assert(into.length <= this.ringBytes, 'a range is not longer than the ring')
    const first = this.#bytesBeforeWrap(position)
    if (into.length <= first) return this.disk.read(into, this.placeOf(position))
    return bothOf(
      this.disk.read(into.subarray(0, first), this.placeOf(position)),
      this.disk.read(into.subarray(first), this.ringOffset),
    )
  }

  /** Writes buffers one after the other from `position`; resolves when all are in. They must not change until then. */
  write(chunks: readonly Buffer[], byteCount: number, position: LogPosition): Promise<void> {
    assert(byteCount <= this.ringBytes, 'a range is not longer than the ring')
    const first = this.#bytesBeforeWrap(position)
    if (byteCount <= first) return this.disk.write(chunks, this.placeOf(position))
    const [before, after] = splitAt(chunks, first)
    return bothOf(this.disk.write(before, this.placeOf(position)), this.disk.write(after, this.ringOffset))
  }

  #bytesBeforeWrap(position: LogPosition): number {
    return this.ringBytes - (position % this.ringBytes)
  }
}

/** Waits until both have ended, whatever happens: buffers are in use until then. */
async function bothOf(a: Promise<void>, b: Promise<void>): Promise<void> {
  const results = await Promise.allSettled([a, b])
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
