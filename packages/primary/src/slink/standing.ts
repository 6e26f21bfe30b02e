/**
 * Where a site stands towards the log, and what a superblock may say of it.
 *
 * Pure. A site with a place pins the log from there on. A site without one is behind: only its dirty logs know what it
 * misses. A place that is not announced yet is still "behind" to a superblock, because the agent does not know durably
 * what it misses.
 */
import type { LogPoint, LogPosition } from '@sitelink/protocol'
import type { SlinkRecord } from '../group/owner-state.js'
import { Place } from './place.js'

export type Standing =
  /** It has a place; `announced` false: a superblock must still call it behind. */
  | { readonly kind: 'log'; readonly place: Place; readonly announced: boolean }
  /** It is being dropped: the place still pins, entries are marked already, those before are being marked. */
  | { readonly kind: 'dropping'; readonly place: Place }
  /** Only its dirty logs know what it misses; `since` is its last durable acknowledgement, if it ever `answered`. */
  | { readonly kind: 'behind'; readonly since: LogPoint; readonly answered: boolean }

/** Where a site stands when the log is opened. `record` null: it is new and begins at the head. */
export function standingOf(
  record: SlinkRecord | null,
  head: { readonly point: LogPoint; readonly position: LogPosition },
  tail: LogPosition,
): Standing {
  if (record === null) return { kind: 'log', place: new Place(head.point, head.position, false), announced: true }
  const { point, position, answered } = record
  if (record.behind || position < tail) return { kind: 'behind', since: point, answered }
  return { kind: 'log', place: new Place(point, position, answered), announced: true }
}

/** Its last durable acknowledgement. */
export function pointOfStanding(standing: Standing): LogPoint {
  return standing.kind === 'behind' ? standing.since : standing.place.acked
}

/** True if an agent has acknowledged that point. */
export function hasAnswered(standing: Standing): boolean {
  return standing.kind === 'behind' ? standing.answered : standing.place.answered
}

/** Everything from here on is needed; null: nothing is. */
export function pinOfStanding(standing: Standing): LogPosition | null {
  return standing.kind === 'behind' ? null : standing.place.position
}

/** True if a superblock must call it behind. */
export function isBehindOnDisk(standing: Standing): boolean {
  return standing.kind === 'behind' || (standing.kind === 'log' && !standing.announced)
}

/** Up to which entry the marks in memory are complete. `appended`: the last entry given out. */
export function marksTo(standing: Standing, appended: LogPoint): LogPoint {
  return standing.kind === 'behind' ? appended : standing.place.point
}

/** What a superblock says of it. `latched`: it was protected when writers last counted on it. */
export function recordOf(number: number, standing: Standing, dirty: boolean, latched: boolean): SlinkRecord {
  return {
    number,
    behind: isBehindOnDisk(standing),
    dirty,
    wasProtected: latched,
    point: pointOfStanding(standing),
    answered: hasAnswered(standing),
    position: pinOfStanding(standing) ?? 0,
  }
}
