/**
 * The point of the history that the stamp of a copy names.
 *
 * Pure. A stamp is a bare LSN; which life of the log it belongs to, the table of lives says.
 */
import type { LogPoint, Lsn, WireIncarnation } from '@sitelink/protocol'

/** The point that a stamp names: it may lie before the first entry of the life that made it. */
export function stampPoint(incarnations: readonly WireIncarnation[], lsn: Lsn): LogPoint {
  return { incarnation: incarnations.findLast((one) => one.firstLsn <= lsn)?.number ?? 0, lsn }
}
