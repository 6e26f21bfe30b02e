/**
 * What a power cut decides on: unsynced changes, the units that are kept or lost as one, and the policies that choose.
 *
 * Pure functions over lists of changes; the contents are elsewhere.
 */
import type { Prng } from './prng.js'
import { SPARSE_CHUNK_BYTES, type SparseBytes } from './sparse-bytes.js'

/** What is lost and kept as one. */
export const FAULT_SECTOR_BYTES = 512

/** A change that is visible but not known to be durable. */
export interface Change {
  readonly sequence: number
  readonly offset: number
  readonly length: number
  /** null: the range became zeros. */
  readonly bytes: Buffer | null
}

/** The part of one unsynced change that lies in one sector (for large zeroed ranges: in one 64 KiB chunk). */
export interface UnsyncedUnit {
  /** Index of the change among the unsynced ones, oldest 0. */
  readonly change: number
  readonly offset: number
  readonly length: number
}

/** What a power cut keeps of what was not synced. */
export type PowerCutPolicy =
  /** Nothing. */
  | { readonly kind: 'lose-all' }
  /** Everything. */
  | { readonly kind: 'keep-all' }
  /** A random subset of sectors, drawn in one of several manners (thin, thick, whole writes, one writer's tail). */
  | { readonly kind: 'random' }
  /** What `keep` says of each unit; `index` counts units in the order of {@link FaultMedium.unsyncedUnits}. */
  | { readonly kind: 'subset'; readonly keep: (unit: UnsyncedUnit, index: number) => boolean }

/** Splits changes into what is kept or lost as one. */
export function unitsOf(changes: readonly Change[], durable: SparseBytes): UnsyncedUnit[] {
  return changes.flatMap((change, index) => {
    const large = change.bytes === null && change.length > SPARSE_CHUNK_BYTES
    const pieces = large
      ? chunksToZero(change, changes, durable)
      : [{ start: change.offset, end: change.offset + change.length }]
    const step = large ? SPARSE_CHUNK_BYTES : FAULT_SECTOR_BYTES
    const units: UnsyncedUnit[] = []
    for (const { start, end } of pieces) {
      for (let at = start; at < end;) {
        const unitEnd = Math.min(end, (Math.floor(at / step) + 1) * step)
        units.push({ change: index, offset: at, length: unitEnd - at })
        at = unitEnd
      }
    }
    return units
  })
}

/** The chunks of a large zeroed range that held or may hold something; zeroing the others is no change. */
function chunksToZero(
  change: Change,
  changes: readonly Change[],
  durable: SparseBytes,
): { start: number; end: number }[] {
  const end = change.offset + change.length
  const starts = new Set(durable.chunksIn(change.offset, change.length))
  for (const other of changes) {
    if (other.bytes === null) continue
    for (
      let at = other.offset - (other.offset % SPARSE_CHUNK_BYTES);
      at < other.offset + other.length;
      at += SPARSE_CHUNK_BYTES
    )
      starts.add(at)
  }
  return [...starts]
    .filter((start) => start < end && start + SPARSE_CHUNK_BYTES > change.offset)
    .sort((a, b) => a - b)
    .map((start) => ({ start: Math.max(start, change.offset), end: Math.min(end, start + SPARSE_CHUNK_BYTES) }))
}

/** Which units the policy keeps, by index. */
export function keepBy(policy: PowerCutPolicy, units: readonly UnsyncedUnit[], prng: Prng): boolean[] {
  switch (policy.kind) {
    case 'lose-all':
      return units.map(() => false)
    case 'keep-all':
      return units.map(() => true)
    case 'subset':
      return units.map((unit, index) => policy.keep(unit, index))
    case 'random':
      return keepAtRandom(units, prng)
  }
}

/** Several manners of losing, because one even coin for all sectors would hardly ever keep or lose a whole write. */
function keepAtRandom(units: readonly UnsyncedUnit[], prng: Prng): boolean[] {
  const changes = new Map<number, boolean>()
  switch (prng.below(6)) {
    case 0:
      return units.map(() => prng.chance(0.1))
    case 1:
      return units.map(() => prng.chance(0.5))
    case 2:
      return units.map(() => prng.chance(0.95))
    case 3:
      // Whole changes.
      return units.map(({ change }) => {
        if (!changes.has(change)) changes.set(change, prng.chance(0.5))
        return changes.get(change) === true
      })
    case 4: {
      // Everything but one unit, the case that hides best.
      const lost = prng.below(Math.max(1, units.length))
      return units.map((_, index) => index !== lost)
    }
    default: {
      // A prefix, as of a drive that writes in order.
      const end = prng.below(units.length + 1)
      return units.map((_, index) => index < end)
    }
  }
}
