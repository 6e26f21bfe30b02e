/**
 * Bits that flip in a stored dirty log: opened by the real code, and held to what every region must be.
 *
 * Owns the rule. A region is never clean that must be dirty at the base point that the opening answers; an opening that
 * reports nothing answers exactly what an undamaged one does; and only bytes that carry nothing may flip unreported.
 */
import { DirtyLog, type DirtyLogOpening } from '@sitelink/storage'
import type { Prng } from '@sitelink/storage/testing'
import { hold } from '../engine/target.js'
import { REGIONS, type DirtyImage } from '../worlds/dirty-image.js'
import { FlipDisk, providerOf } from '../worlds/flip-disk.js'

const PAGE_BYTES = 4096
const SECTOR_BYTES = 512

/** Regions whose bits one sector holds. */
const SECTOR_REGIONS = 480 * 8

/** What the byte is for: the rest of a header's page is never read, nor are sectors behind the last region. */
export function dirtyPlace(at: number): 'header' | 'header slack' | 'bitmap' | 'unused sector' {
  const sector = Math.floor((at - 2 * PAGE_BYTES) / SECTOR_BYTES)
  if (sector >= 0) return sector * SECTOR_REGIONS < REGIONS ? 'bitmap' : 'unused sector'
  return at % PAGE_BYTES < SECTOR_BYTES ? 'header' : 'header slack'
}

const EMPTY: ReadonlySet<string> = new Set(['header slack', 'unused sector'])

export interface DirtyOutcome extends Pick<DirtyLogOpening, 'found' | 'reason'> {
  readonly baseLsn: number
  readonly runs: readonly (readonly [first: number, count: number])[]
}

export async function openDirty(disk: FlipDisk, image: DirtyImage): Promise<DirtyOutcome> {
  const { log, found, reason } = await DirtyLog.open(
    { provider: providerOf(disk), path: disk.description },
    image.identity,
  )
  const runs = [...log.bitmap.runs()].map(({ first, count }) => [first, count] as const)
  return { found, reason, baseLsn: log.basePoint.lsn, runs }
}

/** Throws where the outcome breaks the rule; else says what was reported, `null` for nothing. */
export function judgeDirty(
  outcome: DirtyOutcome,
  image: DirtyImage,
  undamaged: DirtyOutcome,
  flipped: readonly number[],
): string | null {
  const { found, reason, baseLsn, runs } = outcome
  const required = image.required.get(baseLsn)
  const allDirty = runs.length === 1 && runs[0]?.[0] === 0
  hold(required !== undefined || allDirty, `the base point ${baseLsn} was never flushed`)
  for (const region of required ?? [])
    hold(
      runs.some(([first, count]) => first <= region && region < first + count),
      `region ${region} is clean and must be dirty at ${baseLsn}`,
    )
  if (found === undamaged.found && reason === undamaged.reason) {
    hold(JSON.stringify(outcome) === JSON.stringify(undamaged), 'nothing was reported, and something differs')
    hold(
      found !== 'ok' || flipped.every((at) => EMPTY.has(dirtyPlace(at))),
      `a flip in the ${dirtyPlace(flipped[0] as number)} is not reported`,
    )
    return null
  }
  hold(found === 'damaged' || found === 'unreadable', `it was found ${found}`)
  hold(reason !== null && reason !== '', 'what is damaged has a reason')
  return found
}

/** Nine in ten where something is stored, one in ten anywhere. */
function choose(image: DirtyImage, prng: Prng): number {
  if (prng.chance(0.1)) return prng.below(image.bytes.length)
  if (prng.chance(0.2)) return prng.below(2) * PAGE_BYTES + prng.below(SECTOR_BYTES)
  return 2 * PAGE_BYTES + prng.below(Math.ceil(REGIONS / SECTOR_REGIONS) * SECTOR_BYTES)
}

/** Flips one bit, now and then a few, and opens. */
export async function flipDirty(
  disk: FlipDisk,
  image: DirtyImage,
  undamaged: DirtyOutcome,
  prng: Prng,
): Promise<string> {
  const flipped: number[] = []
  for (let left = prng.chance(0.9) ? 1 : prng.between(2, 4); left > 0; left--) {
    const at = choose(image, prng)
    // The same bit twice would be none.
    if (flipped.includes(at)) continue
    flipped.push(at)
    disk.flip(at, prng.below(8))
  }
  const said = judgeDirty(await openDirty(disk, image), image, undamaged, flipped)
  disk.restore()
  return `${dirtyPlace(flipped[0] as number)}: ${said === null ? 'harmless' : `reported as ${said}`}`
}
