/**
 * Where the bytes of the ring lie: one run of the disk in a new log, several in one that was resized while it was in use.
 *
 * Owns the arithmetic of a resize. The ring is a cycle of pieces that tile [0, ring bytes) of the ring area; a position
 * lies at offset (position + shift) mod ring bytes of that cycle. So growing puts new space in between where nothing is
 * needed, and no byte has to move; shrinking moves only what lies behind the new end. Never touches a disk.
 *
 *   full, wrapped       | 5 6 7 8 | 1 2 3 4 |                     1 is the oldest
 *   grown by two        | 5 6 7 8 | 1 2 3 4 | . . |               pieces: [1 2 3 4] [5 6 7 8] [. .]
 *
 * Pure functions. Every piece is whole blocks.
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import { BLOCK_BYTES, RING_PIECES_MAX } from './limits.js'

/** A run of the ring area: offset from its beginning, and length, in bytes. */
export interface RingPiece {
  readonly place: number
  readonly length: number
}

export interface RingLayout {
  readonly ringBytes: number
  /** Bytes, below {@link ringBytes}. */
  readonly shift: number
  /** In the order in which the ring uses them; they tile the ring area. */
  readonly pieces: readonly RingPiece[]
}

/** One piece, a position at its remainder: what a new log has. */
export function plainLayout(ringBytes: number): RingLayout {
  return { ringBytes, shift: 0, pieces: [{ place: 0, length: ringBytes }] }
}

export function isPlain({ shift, pieces }: RingLayout): boolean {
  return shift === 0 && pieces.length === 1
}

/** The runs that `length` bytes from `position` on take, in order; those that meet are one. */
export function piecesAt({ ringBytes, shift, pieces }: RingLayout, position: LogPosition, length: number): RingPiece[] {
  let within = (position + shift) % ringBytes
  let index = 0
  while (within >= (pieces[index] as RingPiece).length) within -= (pieces[index++] as RingPiece).length
  const found: RingPiece[] = []
  for (let left = length; left > 0;) {
    const { place, length: pieceBytes } = pieces[index] as RingPiece
    const bytes = Math.min(left, pieceBytes - within)
    push(found, { place: place + within, length: bytes })
    left -= bytes
    within = 0
    index = index + 1 === pieces.length ? 0 : index + 1
  }
  return found
}

/**
 * The layout in which what is needed, `live` from `position` on, stays where it lies, and the rest of the ring area
 * follows in an order that makes few pieces of it.
 */
export function layoutAround(live: readonly RingPiece[], position: LogPosition, ringBytes: number): RingLayout {
  const last = live.at(-1)
  if (last === undefined) return plainLayout(ringBytes)
  const free = restOf(live, ringBytes)
  const next = Math.max(
    0,
    free.findIndex(({ place }) => place === last.place + last.length),
  )
  return layoutFrom([...live, ...free.slice(next), ...free.slice(0, next)], position)
}

/** The layout whose cycle has `position` at the beginning of the first of `pieces`, which tile the ring area. */
export function layoutFrom(pieces: readonly RingPiece[], position: LogPosition): RingLayout {
  // The cycle is told from the first byte of the ring area on, so that equal rings have equal pieces.
  const first = pieces.findIndex(({ place }) => place === 0)
  assert(first >= 0, 'the pieces tile the ring area')
  const cycle: RingPiece[] = []
  for (const piece of [...pieces.slice(first), ...pieces.slice(0, first)]) push(cycle, piece)
  const ringBytes = bytesOf(pieces)
  const offset = bytesOf(pieces.slice(first))
  const shift = (offset + ringBytes - (position % ringBytes)) % ringBytes
  return { ringBytes, shift, pieces: cycle }
}

export interface Shrink {
  /** As `layout`, for the first `ringBytes` from `position` on; nothing of it lies behind the new end. */
  readonly layout: RingLayout
  /** What lies elsewhere there than before. Ascending. */
  readonly moves: readonly { readonly position: LogPosition; readonly length: number }[]
}

/**
 * How to make do with the first `ringBytes` of the ring area: what lies behind them, of the first `ringBytes` from
 * `position` on, moves to places of what comes after those, which must not be in use.
 */
export function shrinkTo(from: RingLayout, position: LogPosition, ringBytes: number): Shrink {
  assert(ringBytes < from.ringBytes, 'a shrunk ring is smaller')
  const spare = piecesAt(from, position + ringBytes, from.ringBytes - ringBytes)
    .map(({ place, length }) => ({ place, length: Math.min(length, ringBytes - place) }))
    .filter(({ length }) => length > 0)
  const pieces: RingPiece[] = []
  const moves: { position: LogPosition; length: number }[] = []
  let at = position
  for (const { place, length } of piecesAt(from, position, ringBytes)) {
    const stays = Math.max(0, Math.min(length, ringBytes - place))
    if (stays > 0) pieces.push({ place, length: stays })
    if (stays < length) moves.push({ position: at + stays, length: length - stays })
    for (let left = length - stays; left > 0;) {
      const to = spare.shift()
      assert(to !== undefined, 'there is a place for all that moves')
      const bytes = Math.min(left, to.length)
      pieces.push({ place: to.place, length: bytes })
      if (bytes < to.length) spare.unshift({ place: to.place + bytes, length: to.length - bytes })
      left -= bytes
    }
    at += length
  }
  return { layout: layoutFrom(pieces, position), moves }
}

/** True if it is one that a program of ours could have written. */
export function isPossibleLayout({ ringBytes, shift, pieces }: RingLayout): boolean {
  if (pieces.length < 1 || pieces.length > RING_PIECES_MAX || shift < 0 || shift >= ringBytes) return false
  if (shift % BLOCK_BYTES !== 0 || pieces.some(({ length }) => length <= 0 || length % BLOCK_BYTES !== 0)) return false
  let end = 0
  for (const { place, length } of sorted(pieces)) {
    if (place !== end) return false
    end += length
  }
  return end === ringBytes
}

/** What is left of [0, ringBytes). Ascending. */
function restOf(pieces: readonly RingPiece[], ringBytes: number): RingPiece[] {
  const rest: RingPiece[] = []
  let end = 0
  for (const { place, length } of [...sorted(pieces), { place: ringBytes, length: 0 }]) {
    assert(place >= end, 'pieces do not overlap')
    if (place > end) rest.push({ place: end, length: place - end })
    end = place + length
  }
  return rest
}

function sorted(pieces: readonly RingPiece[]): RingPiece[] {
  return pieces.toSorted((a, b) => a.place - b.place)
}

function bytesOf(pieces: readonly RingPiece[]): number {
  return pieces.reduce((sum, { length }) => sum + length, 0)
}

/** Appends, as one with the last if they meet. */
function push(pieces: RingPiece[], piece: RingPiece): void {
  const last = pieces.at(-1)
  if (last !== undefined && last.place + last.length === piece.place)
    pieces[pieces.length - 1] = { place: last.place, length: last.length + piece.length }
  else pieces.push(piece)
}
