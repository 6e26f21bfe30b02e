/**
 * May a frame of the journal reach its device now? The one rule that lets the agent cut whatever a primary's power cut
 * unmade.
 *
 * Pure. Invariant: what was let through can never have to be taken back: the primary has it durably, the journal has it
 * durably, and the promise that the primary has it is itself durable here.
 */
import { isCopy, comparePoints, type Frame, type LogPoint, type LogPosition, type Lsn } from '@sitelink/protocol'

/** How far frames may be applied. */
export interface ApplyLimit {
  /** Highest point that the primary is known to have durably, as far as that knowledge is durable here. */
  readonly told: LogPoint
  /** Bytes of the journal below are on stable storage. */
  readonly journalDurableEnd: LogPosition
}

/** True if a frame that ends at `end` in the journal may be passed. `isVoid`: nothing of it will reach a device. */
export function mayApply(frame: Frame, end: LogPosition, limit: ApplyLimit, isVoid: boolean): boolean {
  return end <= limit.journalDurableEnd && coveredBy(frame, limit.told, isVoid)
}

/** True if a primary that is durable to `told` can never take this frame back. */
function coveredBy(frame: Frame, told: LogPoint, isVoid: boolean): boolean {
  if (frame.lsn > told.lsn || comparePoints(frame, told) > 0) return false
  // A copy may hold bytes of entries up to its stamp, which the stream has not passed yet. A void one waits for nothing:
  // its stamp is of a tail that is lost, and no life may ever come that far again.
  return isVoid || !isCopy(frame.type) || frame.aux <= told.lsn
}

/**
 * Copies that can never be true: they were read by a life of the primary whose tail is lost, and may hold bytes of
 * that tail.
 */
export interface VoidCopies {
  /** Only copies in the journal below are meant. */
  readonly below: LogPosition
  /** They are void if their stamp lies above. */
  readonly stampAbove: Lsn
}

/** True if the copy at `position` is void. Its region stays dirty; a later resync brings it anew. */
export function isVoidCopy(frame: Frame, position: LogPosition, voids: readonly VoidCopies[]): boolean {
  if (voids.length === 0 || !isCopy(frame.type)) return false
  return voids.some((one) => position < one.below && frame.aux > one.stampAbove)
}
