/**
 * Points of the log's own history: which life wrote the entry of an LSN.
 *
 * Pure. A life that wrote nothing has no entry, so the same place could be named by several lives; here it is always
 * named by the one that wrote the entry. Marks of a stream are compared by life first: a place that is named by a later
 * life than its entry's would seem to lie ahead of itself.
 */
import { ORIGIN, type LogPoint, type Lsn } from '@sitelink/protocol'
import type { Incarnation } from '@sitelink/storage'

/** The entry of that LSN as the present history has it. `lsn`: at most the last one. */
export function pointAt(lsn: Lsn, incarnations: readonly Incarnation[]): LogPoint {
  if (lsn === 0) return ORIGIN
  return { incarnation: incarnations.findLast((one) => one.firstLsn <= lsn)?.number ?? 0, lsn }
}

/**
 * The point as this log's history has it: never above the end of its incarnation, which a power cut may have moved
 * down. Null if the table does not hold the incarnation any more.
 */
export function clampPoint(point: LogPoint, incarnations: readonly Incarnation[]): LogPoint | null {
  if (point.lsn === 0) return ORIGIN
  const index = incarnations.findIndex((one) => one.number === point.incarnation)
  if (index < 0) return null
  const next = incarnations[index + 1]
  return pointAt(next === undefined ? point.lsn : Math.min(point.lsn, next.firstLsn - 1), incarnations)
}
