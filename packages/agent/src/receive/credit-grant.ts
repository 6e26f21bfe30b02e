/**
 * May the primary send more? The memory window says how much it may have under way; this says whether the journal can
 * take it.
 *
 * Pure. Invariant: what is granted and not yet in the journal always has a place there, so that a full journal stops the
 * primary and never breaks the session.
 */

export interface GrantFacts {
  /** Bytes that appends to the journal may still use. */
  readonly journalFreeBytes: number
  /** Granted so far and not appended yet, were the grant made. */
  readonly outstandingBytes: number
  /** Kept back for what groups, superblocks and small frames take beyond their bytes. */
  readonly reserveBytes: number
}

/** True if the grant fits into the journal. Small frames take more room there than on the wire: hence twice. */
export function mayGrant({ journalFreeBytes, outstandingBytes, reserveBytes }: GrantFacts): boolean {
  return journalFreeBytes - reserveBytes >= 2 * outstandingBytes
}
