/**
 * Which bytes belong to which life of the log.
 *
 * Owns the meaning of the incarnation table. Each opening begins a new life behind the exact byte where the last one
 * ended; whatever older lives wrote at or above that byte is void for ever. So each position belongs to at most one
 * life, and what a recovery cut can never come back, whatever sectors of it are still on the disk.
 *
 *   life 1  |========|xxxxxx          x = void: written, then cut
 *   life 2           .|=======|xxx    . = fill up to the next block
 *   life 3                    .|====>
 *
 * Pure functions of the table, oldest life first. A truncation may void whole lives; they have no span then.
 */
import { type Id64, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import type { Incarnation } from './contract.js'
import { INCARNATIONS_KEPT, INCARNATIONS_MAX } from './limits.js'

/** The bytes that count of one life: from `first`, a multiple of a block, up to `end`, any byte. */
export interface LifeSpan {
  readonly number: number
  readonly id: Id64
  readonly first: LogPosition
  /** Infinity for the current life. */
  readonly end: LogPosition
  /** Last LSN that it gave; Infinity for the current life. */
  readonly lastLsn: Lsn
}

/** Disjoint spans in order of position. */
export function spansOf(incarnations: readonly Incarnation[]): LifeSpan[] {
  const spans: LifeSpan[] = []
  for (const { number, id, firstLsn, firstPosition, previousEnd } of incarnations) {
    while (spans.length > 0 && (spans.at(-1) as LifeSpan).first >= previousEnd) spans.pop()
    const before = spans.pop()
    if (before !== undefined)
      spans.push({ ...before, end: Math.min(before.end, previousEnd), lastLsn: Math.min(before.lastLsn, firstLsn - 1) })
    spans.push({ number, id, first: firstPosition, end: Number.POSITIVE_INFINITY, lastLsn: Number.POSITIVE_INFINITY })
  }
  return spans
}

/** Index of the span that begins last at or below `position`; 0 if all begin above it. */
export function spanIndexAt(spans: readonly LifeSpan[], position: LogPosition): number {
  let low = 0
  let high = spans.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((spans[middle] as LifeSpan).first <= position) low = middle + 1
    else high = middle
  }
  return Math.max(0, low - 1)
}

/** First position at or above `position` that belongs to a life: behind the end of one, the beginning of the next. */
export function skipVoid(spans: readonly LifeSpan[], position: LogPosition): LogPosition {
  const index = spanIndexAt(spans, position)
  const span = spans[index] as LifeSpan
  if (position < span.end) return Math.max(position, span.first)
  return spans[index + 1]?.first ?? position
}

/**
 * The table without what nobody needs: lives that end at or below the tail, oldest first, as far as there are more than
 * {@link INCARNATIONS_KEPT}; then, if it is still too long, lives that hold nothing. Null if it cannot be made to fit.
 */
export function pruneIncarnations(incarnations: readonly Incarnation[], tail: LogPosition): Incarnation[] | null {
  const table = incarnations.slice()
  while (
    table.length > INCARNATIONS_KEPT &&
    (table[1] as Incarnation).previousEnd <= tail &&
    (table[1] as Incarnation).firstPosition <= tail
  )
    table.shift()
  if (table.length <= INCARNATIONS_MAX) return table
  for (let at = 1; at + 1 < table.length && table.length > INCARNATIONS_MAX;) {
    const life = table[at] as Incarnation
    const next = table[at + 1] as Incarnation
    if (next.previousEnd > life.firstPosition) at++
    else table.splice(at, 2, { ...next, previousEnd: Math.min(next.previousEnd, life.previousEnd) })
  }
  return table.length <= INCARNATIONS_MAX ? table : null
}
