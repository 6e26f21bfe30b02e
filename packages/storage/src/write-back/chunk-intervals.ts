/**
 * The intervals of one chunk (1 MiB) of a device: sorted by start, never overlapping, the newest bytes of every block.
 *
 * Pure. Owns the trimming and splitting of older intervals under a newer one. Offsets are relative to the chunk, so that
 * they stay small integers. An interval knows where its bytes are: in memory, in the log, or nowhere because they are
 * zeros; `base` is where the payload that it was cut from would begin in this chunk, so that trimming only moves ends.
 */
import { ENTRY_BOUNDARY_BYTES, type LogPosition } from '@sitelink/protocol/entry'

/** Bytes of a chunk: what entries with a payload never cross. */
export const CHUNK_BYTES = ENTRY_BOUNDARY_BYTES

/** What an interval is made of. */
export const Fill = {
  /** Bytes of a payload. */
  data: 0,
  /** Zeros, space kept. */
  zeroes: 1,
  /** Zeros, space given back. */
  trim: 2,
} as const
export type Fill = (typeof Fill)[keyof typeof Fill]

export class Interval {
  /** First byte, relative to the chunk. */
  start: number
  /** Behind the last byte, relative to the chunk. */
  end: number
  /** Byte `i` of the chunk is byte `i - base` of the payload. */
  readonly base: number
  /** Position of the entry that wrote it. */
  readonly position: LogPosition
  /** The entry's whole payload while it is held in memory, else null: then it is read from the log. */
  bytes: Buffer | null
  readonly fill: Fill
  /** Payload bytes that leave memory with this interval; 0 once it was split, for its halves share the payload. */
  charge: number

  constructor(
    start: number,
    end: number,
    base: number,
    position: LogPosition,
    bytes: Buffer | null,
    fill: Fill,
    charge: number,
  ) {
    this.start = start
    this.end = end
    this.base = base
    this.position = position
    this.bytes = bytes
    this.fill = fill
    this.charge = charge
  }
}

/** Index of the first interval that ends behind `at`; the list's length if there is none. */
export function firstEndingBehind(list: readonly Interval[], at: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((list[middle] as Interval).end > at) high = middle
    else low = middle + 1
  }
  return low
}

/**
 * Puts `added` in place of whatever lies in `start` .. `end`; with null the range becomes empty.
 * Answers the charge of the intervals that vanished. Costs a search and the pieces that it touches.
 */
export function replaceRange(list: Interval[], start: number, end: number, added: Interval | null): number {
  const count = list.length
  if (count === 0 || (list[count - 1] as Interval).end <= start) {
    if (added !== null) list.push(added)
    return 0
  }
  let first = firstEndingBehind(list, start)
  const head = list[first] as Interval
  if (head.start >= end) {
    if (added !== null) list.splice(first, 0, added)
    return 0
  }
  if (head.start < start) {
    if (head.end > end) {
      const tail = new Interval(end, head.end, head.base, head.position, head.bytes, head.fill, 0)
      head.charge = 0
      head.end = start
      if (added === null) list.splice(first + 1, 0, tail)
      else list.splice(first + 1, 0, added, tail)
      return 0
    }
    head.end = start
    first++
  }
  let behind = first
  let released = 0
  while (behind < count) {
    const next = list[behind] as Interval
    if (next.start >= end) break
    if (next.end > end) {
      next.start = end
      break
    }
    released += next.charge
    behind++
  }
  if (added === null) list.splice(first, behind - first)
  else if (behind - first === 1) list[first] = added
  else list.splice(first, behind - first, added)
  return released
}
