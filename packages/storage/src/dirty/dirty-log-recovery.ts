/**
 * What a stored dirty log proves after whatever happened to it: pure functions from facts to a decision.
 *
 * Owns the rule that a reopened dirty log may say too much and never too little. The bitmap is written in place, sector
 * by sector; sectors of a flush that did not end may stand beside older ones. That is sound for the older base point:
 * a newer sector only knows more marks, and a region that it cleared was allowed to be clean. So all that has to be
 * found out is which header's base point is backed by every sector, and which sectors are damaged.
 */
import type { DirtyLogHeader, DirtyLogIdentity, HeaderScan } from './dirty-log-format.js'

/** What was found at the place of one bitmap, condensed. */
export interface SectorFacts {
  /** CRC-32 over the generations of the pages, as {@link DirtyLogHeader.pagesDigest}; null if a page's is not clear. */
  digest(pageCount: number): number | null
  /** Largest `goodGeneration` of the sectors of the first pages; 0 if there is none. */
  goodGenerationMax(pageCount: number): number
}

/** Which header counts, or why none does. */
export type HeaderDecision =
  | {
      readonly kind: 'use'
      readonly header: DirtyLogHeader
      /** The other copy was neither valid nor empty. */ readonly copyDamaged: boolean
    }
  /** Never written. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'unreadable'; readonly reason: string }

/**
 * Chooses the header. The newest one counts if its flush ended: its digest fits the pages, or something that was
 * written later says so. Else the one that it names as the last good one; else none.
 */
export function chooseHeader(
  copies: readonly [HeaderScan, HeaderScan],
  facts: SectorFacts,
  pagesOf: (header: DirtyLogHeader) => number,
): HeaderDecision {
  const valid = copies.flatMap((copy) => (copy.kind === 'valid' ? [copy.header] : []))
  valid.sort((a, b) => b.generation - a.generation)
  const damage = copies.find((copy) => copy.kind === 'unknown')
  const [newest, older] = valid
  if (newest === undefined) {
    if (damage === undefined) return { kind: 'missing' }
    return { kind: 'unreadable', reason: `no valid header (${damage.why})` }
  }
  const copyDamaged = damage !== undefined
  if (isComplete(newest, facts, pagesOf(newest))) return { kind: 'use', header: newest, copyDamaged }
  if (older !== undefined && newest.goodGeneration === older.generation)
    return { kind: 'use', header: older, copyDamaged }
  return {
    kind: 'unreadable',
    reason: `flush ${newest.generation} did not end and no header of flush ${newest.goodGeneration} is left`,
  }
}

function isComplete(header: DirtyLogHeader, facts: SectorFacts, pageCount: number): boolean {
  return facts.digest(pageCount) === header.pagesDigest || facts.goodGenerationMax(pageCount) >= header.generation
}

/** How a stored identity relates to the one that was asked for. */
export type IdentityMatch =
  | { readonly kind: 'same' }
  /** The same mapping, but over another log: what it recorded means nothing now, and it may be overwritten. */
  | { readonly kind: 'outdated'; readonly reason: string }
  /** Somebody else's: never overwritten without being told to. */
  | { readonly kind: 'foreign'; readonly reason: string }

/** Compares two identities; sizes of the device do not count, they may change. */
export function matchIdentity(stored: DirtyLogIdentity, wanted: DirtyLogIdentity): IdentityMatch {
  if (stored.groupId !== wanted.groupId) return { kind: 'foreign', reason: `it belongs to group ${stored.groupId}` }
  if (stored.mappingId !== wanted.mappingId)
    return { kind: 'foreign', reason: `it belongs to mapping ${stored.mappingId}` }
  if (stored.deviceId !== wanted.deviceId)
    return { kind: 'foreign', reason: `it belongs to device id ${stored.deviceId}` }
  if (stored.logId.high !== wanted.logId.high || stored.logId.low !== wanted.logId.low) {
    return { kind: 'outdated', reason: 'it was kept for another log than the one in use' }
  }
  if (stored.regionBytes !== wanted.regionBytes) {
    return { kind: 'outdated', reason: `its regions have ${stored.regionBytes} bytes, not ${wanted.regionBytes}` }
  }
  return { kind: 'same' }
}
