/**
 * From a part of a closed layer to the device operations that make it true.
 *
 * Pure. Operations on the two lists never overlap within a list; zeros come first, because a run may lie under data of
 * the same layer. Writes are sorted by offset, neighbours merged into one vectored write up to the limits.
 */
import { CHUNK_BYTES, Fill, type Interval } from './chunk-intervals.js'
import type { Part } from './layer.js'

/** One vectored write: `pieces` follow each other without gaps from `offset` on. */
export interface WriteOperation {
  readonly offset: number
  length: number
  /** Bytes of it that have to be read from the log. */
  logBytes: number
  readonly pieces: Interval[]
}

/** A range to be made zero; `discard` if its space is to be given back. */
export interface ZeroOperation {
  readonly offset: number
  length: number
  readonly discard: boolean
}

export interface FlushPlan {
  readonly zeroes: readonly ZeroOperation[]
  readonly writes: readonly WriteOperation[]
}

/** Plans the writes of a part: at most `bytesMax` bytes and `piecesMax` buffers a write. */
export function planFlush(part: Part, bytesMax: number, piecesMax: number): FlushPlan {
  const zeroes: ZeroOperation[] = part.runs.map((run) => ({
    offset: run.first * CHUNK_BYTES,
    length: (run.behind - run.first) * CHUNK_BYTES,
    discard: run.fill === Fill.trim,
  }))
  const writes: WriteOperation[] = []
  let lastWrite: WriteOperation | null = null
  let writeEnd = -1
  let lastZero: ZeroOperation | null = null
  let zeroEnd = -1
  const indexes = Float64Array.from(part.chunks.keys()).sort()
  for (const index of indexes) {
    const origin = index * CHUNK_BYTES
    for (const interval of part.chunks.get(index) as readonly Interval[]) {
      const offset = origin + interval.start
      const length = interval.end - interval.start
      if (interval.fill === Fill.data) {
        const logBytes = interval.bytes === null ? length : 0
        if (
          lastWrite !== null &&
          writeEnd === offset &&
          lastWrite.length + length <= bytesMax &&
          lastWrite.pieces.length < piecesMax
        ) {
          lastWrite.length += length
          lastWrite.logBytes += logBytes
          lastWrite.pieces.push(interval)
        } else {
          lastWrite = { offset, length, logBytes, pieces: [interval] }
          writes.push(lastWrite)
        }
        writeEnd = offset + length
      } else {
        const discard: boolean = interval.fill === Fill.trim
        if (lastZero !== null && zeroEnd === offset && lastZero.discard === discard) lastZero.length += length
        else {
          lastZero = { offset, length, discard }
          zeroes.push(lastZero)
        }
        zeroEnd = offset + length
      }
    }
  }
  return { zeroes, writes }
}
