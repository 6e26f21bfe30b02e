/** What the tests of dirty logs share: identities, one-disk providers, sets of regions. */
import type { Disk, DiskProvider } from '../../src/disk/disk.js'
import type { ReadonlyDirtyBitmap } from '../../src/dirty/dirty-bitmap.js'
import { dirtyLogStoreBytes, type DirtyLogIdentity } from '../../src/dirty/dirty-log-format.js'
import type { DirtyLogPlace } from '../../src/dirty/dirty-log-store.js'
import { FaultDisk, Prng, type SimClock } from '../../src/testing/index.js'

export const MIB = 1024 * 1024

/** An identity of a device with so many whole regions of 1 MiB. */
export function identityOf(regionCount: number, changes: Partial<DirtyLogIdentity> = {}): DirtyLogIdentity {
  return {
    groupId: '6b1d7c3a-7d0a-4b6e-9a55-0d7f4c1e2b90',
    mappingId: 'mapping-1',
    logId: { high: 0x01234567, low: 0x89abcdef },
    deviceId: 7,
    regionBytes: MIB,
    deviceBytes: regionCount * MIB,
    ...changes,
  }
}

/** A fresh block device that has just the size for this dirty log. */
export function storeDisk(identity: DirtyLogIdentity, prng = new Prng(1), clock?: SimClock): FaultDisk {
  const sizeBytes = dirtyLogStoreBytes(identity.deviceBytes, identity.regionBytes)
  return new FaultDisk({ sizeBytes, description: '/dev/dirty', prng, ...(clock === undefined ? {} : { clock }) })
}

/** A place on this very disk, which is never closed: tests go on looking at it. */
export function placeOn(disk: FaultDisk): DirtyLogPlace {
  const lasting: Disk = new Proxy(disk, {
    get: (target, name) => {
      if (name === 'close') return () => Promise.resolve()
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })
  const none = (): never => {
    throw new Error('a dirty log asks for its one disk only')
  }
  const provider: DiskProvider = {
    open: () => Promise.resolve(lasting),
    exists: () => Promise.resolve('block-device'),
    create: none,
    identify: none,
    readFile: none,
    replaceFile: none,
    removeFile: none,
  }
  return { provider, path: '/dev/dirty' }
}

/** Indexes of the dirty regions, ascending. */
export function dirtyOf(bitmap: ReadonlyDirtyBitmap): number[] {
  return [...bitmap.runs()].flatMap(({ first, count }) => Array.from({ length: count }, (_, at) => first + at))
}

/** The point of LSN `lsn` in the first incarnation. */
export function at(lsn: number): { incarnation: number; lsn: number } {
  return { incarnation: 1, lsn }
}
