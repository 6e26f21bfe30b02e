/**
 * Log sequence numbers and the points of history that they name.
 *
 * An LSN counts the entries of a group: 1, 2, 3 ... An LSN alone does not name an entry for ever, because a power cut
 * may unmake a tail and later entries reuse its numbers. The pair (incarnation, LSN) does. Every position, stamp and
 * acknowledgement, on wire and on disk, is therefore a {@link LogPoint}.
 */

/** Log sequence number, an integer from 1 to 2^53 - 1. 0 means "before the first entry". */
export type Lsn = number

/** A byte position in a ring log: grows for ever, never wraps, an integer from 0 to 2^53 - 1. */
export type LogPosition = number

/** One point of a group's history. Points are ordered by incarnation, then by LSN. */
export interface LogPoint {
  /** Number of the incarnation of the primary's log, from 1; 0 only in {@link ORIGIN}. */
  readonly incarnation: number
  /** The last LSN that lies at or before this point. */
  readonly lsn: Lsn
}

/** The point before every entry. */
export const ORIGIN: LogPoint = { incarnation: 0, lsn: 0 }

/** Negative, zero or positive as `a` lies before, at or after `b`. */
export function comparePoints(a: LogPoint, b: LogPoint): number {
  return a.incarnation - b.incarnation || a.lsn - b.lsn
}

/** The earlier of two points. */
export function minPoint(a: LogPoint, b: LogPoint): LogPoint {
  return comparePoints(a, b) <= 0 ? a : b
}

/** The later of two points. */
export function maxPoint(a: LogPoint, b: LogPoint): LogPoint {
  return comparePoints(a, b) >= 0 ? a : b
}

/** `incarnation:lsn`, for logs and reports. */
export function formatPoint(point: LogPoint): string {
  return `${point.incarnation}:${point.lsn}`
}
