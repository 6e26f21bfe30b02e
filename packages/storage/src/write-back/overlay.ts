/**
 * What a range of a device reads as, right now: the newest bytes over a stack of layers.
 *
 * Pure. Walks the parts from the newest to the oldest; each takes from the gaps what it holds and leaves the rest to the
 * ones below; what is left at the end is the device's. The pieces come out in order, without gaps or overlaps.
 */
import { CHUNK_BYTES, Fill, firstEndingBehind, type Interval } from './chunk-intervals.js'
import type { ReadPiece } from './contract.js'
import type { Part } from './layer.js'

/** Pieces in the making: found in any order, sorted at the end. */
export class PiecePlan {
  readonly #offsets: number[] = []
  readonly #pieces: ReadPiece[] = []
  /** Pairs of start and end, ascending, never touching: what nothing has answered yet. */
  #gaps: number[]

  constructor(offset: number, length: number) {
    this.#gaps = length > 0 ? [offset, offset + length] : []
  }

  /** True if nothing is left to answer. */
  get complete(): boolean {
    return this.#gaps.length === 0
  }

  /** Takes what `part` holds out of the gaps. */
  take(part: Part): void {
    const gaps = this.#gaps
    const left: number[] = []
    for (let i = 0; i < gaps.length; i += 2) this.#takeGap(part, gaps[i] as number, gaps[i + 1] as number, left)
    this.#gaps = left
  }

  /** Answers a range with a piece, wherever it is still a gap. */
  takeRange(start: number, end: number, from: 'lost'): void {
    const gaps = this.#gaps
    const left: number[] = []
    for (let i = 0; i < gaps.length; i += 2) {
      const gapStart = gaps[i] as number
      const gapEnd = gaps[i + 1] as number
      const first = Math.max(gapStart, start)
      const behind = Math.min(gapEnd, end)
      if (first >= behind) {
        left.push(gapStart, gapEnd)
        continue
      }
      if (gapStart < first) left.push(gapStart, first)
      this.#add(first, { from, length: behind - first })
      if (behind < gapEnd) left.push(behind, gapEnd)
    }
    this.#gaps = left
  }

  /** Gives the rest to the device and answers all pieces in order. */
  finish(): readonly ReadPiece[] {
    const gaps = this.#gaps
    for (let i = 0; i < gaps.length; i += 2) {
      const start = gaps[i] as number
      this.#add(start, { from: 'device', offset: start, length: (gaps[i + 1] as number) - start })
    }
    this.#gaps = []
    const pieces = this.#pieces
    if (pieces.length < 2) return pieces
    const offsets = this.#offsets
    const order = offsets.map((_, index) => index).sort((a, b) => (offsets[a] as number) - (offsets[b] as number))
    const sorted: ReadPiece[] = []
    for (const index of order) {
      const piece = pieces[index] as ReadPiece
      const last = sorted.at(-1)
      const alike = last !== undefined && last.from === piece.from && (piece.from === 'zeroes' || piece.from === 'lost')
      if (alike) sorted[sorted.length - 1] = { from: piece.from, length: last.length + piece.length }
      else sorted.push(piece)
    }
    return sorted
  }

  #takeGap(part: Part, start: number, end: number, left: number[]): void {
    const behind = Math.ceil(end / CHUNK_BYTES)
    for (let index = Math.floor(start / CHUNK_BYTES); index < behind; index++) {
      const origin = index * CHUNK_BYTES
      const windowEnd = Math.min(end, origin + CHUNK_BYTES)
      let at = Math.max(start, origin)
      const list = part.chunks.get(index)
      if (list !== undefined) {
        for (let i = firstEndingBehind(list, at - origin); i < list.length; i++) {
          const interval = list[i] as Interval
          if (origin + interval.start >= windowEnd) break
          const from = Math.max(at, origin + interval.start)
          const to = Math.min(windowEnd, origin + interval.end)
          if (from > at) this.#below(part, index, at, from, left)
          this.#add(from, pieceOf(interval, origin, from, to, part.lends))
          at = to
        }
      }
      if (at < windowEnd) this.#below(part, index, at, windowEnd, left)
    }
  }

  /** A stretch of a chunk without intervals: zeros if a run lies there, else still a gap. */
  #below(part: Part, chunk: number, start: number, end: number, left: number[]): void {
    if (part.runs.length > 0 && inRun(part, chunk)) this.#add(start, { from: 'zeroes', length: end - start })
    else if (left.length > 0 && left[left.length - 1] === start) left[left.length - 1] = end
    else left.push(start, end)
  }

  #add(offset: number, piece: ReadPiece): void {
    this.#offsets.push(offset)
    this.#pieces.push(piece)
  }
}

/** True if the part holds any byte of the range. Asked for every read: nothing is made for it. */
export function partTouches(part: Part, offset: number, length: number): boolean {
  if (length === 0) return false
  const end = offset + length
  const behind = Math.ceil(end / CHUNK_BYTES)
  for (let index = Math.floor(offset / CHUNK_BYTES); index < behind; index++) {
    if (part.runs.length > 0 && inRun(part, index)) return true
    const list = part.chunks.get(index)
    if (list === undefined) continue
    const origin = index * CHUNK_BYTES
    const interval = list[firstEndingBehind(list, offset - origin)]
    if (interval !== undefined && origin + interval.start < end) return true
  }
  return false
}

/** `lent`: the payload's memory may be given back while the piece is still in use, so it is copied. */
function pieceOf(interval: Interval, origin: number, from: number, to: number, lent: boolean): ReadPiece {
  const length = to - from
  if (interval.fill !== Fill.data) return { from: 'zeroes', length }
  const payloadOffset = from - origin - interval.base
  if (interval.bytes === null) return { from: 'log', length, position: interval.position, payloadOffset }
  const bytes = interval.bytes.subarray(payloadOffset, payloadOffset + length)
  return { from: 'memory', length, bytes: lent ? Buffer.from(bytes) : bytes }
}

function inRun(part: Part, chunk: number): boolean {
  const { runs } = part
  let low = 0
  let high = runs.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((runs[middle] as { behind: number }).behind > chunk) high = middle
    else low = middle + 1
  }
  const run = runs[low]
  return run !== undefined && run.first <= chunk
}
