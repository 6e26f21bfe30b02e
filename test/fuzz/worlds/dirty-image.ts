/**
 * An image of a stored dirty log, with what is known of every region at each base point.
 *
 * Owns the making: two pages of bitmap, several flushes, and in `torn` a last flush that the power cut. What must be dirty
 * at a base point is what was dirty when that flush ended and was never cleared since.
 */
import { DirtyLog, dirtyLogStoreBytes, type DirtyLogIdentity } from '@sitelink/storage'
import type { Prng } from '@sitelink/storage/testing'
import { hold } from '../engine/target.js'
import { FlipDisk, providerOf } from './flip-disk.js'

export interface DirtyImage {
  readonly bytes: Buffer
  readonly identity: DirtyLogIdentity
  /** By LSN of the base point: regions that must not be clean. */
  readonly required: ReadonlyMap<number, ReadonlySet<number>>
}

export const REGIONS = 40_000

export const dirtyIdentity: DirtyLogIdentity = {
  groupId: '6b1d7c3a-7d0a-4b6e-9a55-0d7f4c1e2b90',
  mappingId: 'a1b2c3d4e5f60718',
  logId: { high: 0x01234567, low: 0x89abcdef },
  deviceId: 7,
  regionBytes: 2 ** 20,
  deviceBytes: REGIONS * 2 ** 20 - 4096,
}

export async function makeDirtyImage(prng: Prng, torn: boolean): Promise<DirtyImage> {
  const disk = new FlipDisk(Buffer.alloc(dirtyLogStoreBytes(dirtyIdentity.deviceBytes, dirtyIdentity.regionBytes)))
  const place = { provider: providerOf(disk), path: disk.description }
  const log = await DirtyLog.create(place, dirtyIdentity, {
    initial: 'all-clean',
    basePoint: { incarnation: 1, lsn: 1 },
  })
  const required = new Map<number, Set<number>>([[1, new Set()]])
  const change = (): void => {
    for (let left = prng.between(5, 40); left > 0; left--) log.markRegions(prng.below(REGIONS), 1)
    for (let left = prng.below(10); left > 0; left--) {
      const region = prng.below(REGIONS)
      log.clearRegion(region)
      for (const set of required.values()) set.delete(region)
    }
  }
  const flush = async (lsn: number): Promise<void> => {
    await log.flush({ incarnation: 1, lsn })
    const dirty = [...log.bitmap.runs()].flatMap(({ first, count }) =>
      Array.from({ length: count }, (_, at) => first + at),
    )
    required.set(lsn, new Set(dirty))
  }
  for (const lsn of [10, 20, 30]) {
    change()
    await flush(lsn)
  }
  if (torn) {
    const before = Buffer.from(disk.peek())
    change()
    await flush(40)
    required.delete(40)
    // The header of the last flush and some sectors of its pages arrived, others did not.
    const after = Buffer.from(disk.peek())
    for (let at = 2 * 4096; at < after.length; at += 512) if (prng.chance(0.5)) before.copy(after, at, at, at + 512)
    return { bytes: after, identity: dirtyIdentity, required }
  }
  hold(log.bitmap.dirtyCount > 20, 'some regions are dirty')
  return { bytes: Buffer.from(disk.peek()), identity: dirtyIdentity, required }
}
