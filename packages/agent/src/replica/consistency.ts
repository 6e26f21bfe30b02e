/**
 * Is the replica an exact prefix of the primary's history?
 *
 * Pure. Invariant: true only if nothing of a resync is missing, so that the devices with the journal replayed equal the
 * primary's history cut at the applied point.
 */
import { comparePoints, type LogPoint } from '@sitelink/protocol'

export interface ConsistencyFacts {
  /** Regions that are dirty, over all mappings. */
  readonly dirtyRegions: number
  readonly applied: LogPoint
  /** Largest stamp of a copy that came in. */
  readonly stamp: LogPoint
  /** Why every region counts as dirty, or null. */
  readonly allDirty: string | null
  /** A mapped device cannot be used. */
  readonly devicesMissing: readonly string[]
}

/** Why the replica is not consistent, as one sentence; null if it is. */
export function inconsistency(facts: ConsistencyFacts): string | null {
  if (facts.allDirty !== null) return `every region counts as dirty: ${facts.allDirty}`
  if (facts.devicesMissing.length > 0) return `device ${facts.devicesMissing.join(', ')} cannot be used`
  if (facts.dirtyRegions > 0)
    return `${facts.dirtyRegions} ${facts.dirtyRegions === 1 ? 'region is' : 'regions are'} dirty`
  if (comparePoints(facts.applied, facts.stamp) < 0) {
    return `a resync brought bytes of LSN ${facts.stamp.lsn}, the devices are at ${facts.applied.lsn}`
  }
  return null
}
