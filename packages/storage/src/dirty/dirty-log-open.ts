/**
 * Finds out what a stored dirty log says when a process starts, and makes it safe to rely on.
 *
 * Owns the order of an open: read, compare the identity, choose the header, build the bitmap, write again what was
 * found. Whatever cannot be trusted ends as dirty regions and a reason, never as fewer of them.
 */
import { ORIGIN, type LogPoint } from '@sitelink/protocol/entry'
import { DiskError, type DiskCode } from '../disk/disk-error.js'
import type { Disk } from '../disk/disk.js'
import { DirtyBitmap } from './dirty-bitmap.js'
import { DirtyLogError } from './dirty-log-error.js'
import {
  DIRTY_PAGE_BYTES,
  HEADER_PAGES,
  identityTag,
  REGIONS_PER_PAGE,
  type DirtyLogHeader,
  type DirtyLogIdentity,
} from './dirty-log-format.js'
import { DirtyLogImage, pagesOf, readHeaders } from './dirty-log-image.js'
import { chooseHeader, matchIdentity } from './dirty-log-recovery.js'
import { DirtyLogStore, type DirtyLogPlace } from './dirty-log-store.js'

/**
 * What an open found:
 * - `ok`: the recorded state, complete up to its base point;
 * - `damaged`: the same, but some regions count as dirty because what was recorded of them cannot be read;
 * - `missing`: nothing was ever recorded here (always so for a log that is kept in memory); all dirty;
 * - `unreadable`: something was, and it cannot be told what; all dirty;
 * - `outdated`: recorded for another log or other regions of this mapping; all dirty, overwritten by the next flush;
 * - `foreign`: recorded for another mapping; all dirty, and a flush is refused until `rebind`;
 * - `unavailable`: the place cannot be had (held by another process, not permitted, no file or block device); all dirty,
 *   and a flush is refused until it is opened anew.
 */
export type DirtyLogFound = 'ok' | 'damaged' | 'missing' | 'unreadable' | 'outdated' | 'foreign' | 'unavailable'

/** A stored state as it was found, ready to go on from. */
export interface FoundState {
  readonly store: DirtyLogStore
  readonly bitmap: DirtyBitmap
  readonly basePoint: LogPoint
  readonly found: DirtyLogFound
  /** One sentence for an event; null if all is well. */
  readonly reason: string | null
  readonly resized: 'grown' | 'shrunk' | null
  /** Pages whose stored form is not that of the bitmap. */
  readonly changedPages: Set<number>
  /** Not null: a flush is refused with it. */
  readonly refusal: Error | null
}

/** Failures to open that are nobody's damage: nothing is known of what lies there, so it is never overwritten. */
const UNAVAILABLE: ReadonlySet<DiskCode> = new Set([
  'DISK_IN_USE',
  'DISK_NOT_PERMITTED',
  'DISK_READ_ONLY',
  'DISK_NOT_A_DEVICE',
])

/** Opens and reads what is at `place`. Never rejects. */
export async function findState(place: DirtyLogPlace, identity: DirtyLogIdentity): Promise<FoundState> {
  let disk: Disk | null
  try {
    disk =
      (await place.provider.exists(place.path)) === null
        ? null
        : await place.provider.open(place.path, { exclusive: true })
  } catch (error) {
    if (error instanceof DiskError && UNAVAILABLE.has(error.code))
      return {
        ...allDirty(new DirtyLogStore(place, identity, null), identity, 'unavailable', error.message),
        refusal: error,
      }
    return allDirty(new DirtyLogStore(place, identity, null), identity, 'unreadable', messageOf(error))
  }
  const store = new DirtyLogStore(place, identity, disk)
  if (disk === null) return allDirty(store, identity, 'missing', `${place.path} does not exist`)
  return readState(store, disk, identity)
}

async function readState(store: DirtyLogStore, disk: Disk, identity: DirtyLogIdentity): Promise<FoundState> {
  if (disk.sizeBytes < HEADER_PAGES * DIRTY_PAGE_BYTES)
    return allDirty(store, identity, 'missing', 'it is too short to hold a header')
  const copies = await readHeaders(disk)
  const headers = copies.flatMap((copy) => (copy.kind === 'valid' ? [copy.header] : []))
  for (const header of headers) store.noteGeneration(header.generation)
  for (const header of headers) {
    const match = matchIdentity(header.identity, identity)
    if (match.kind !== 'same') {
      const refusal = match.kind === 'foreign' ? new DirtyLogError('DIRTY_LOG_FOREIGN', store.path, match.reason) : null
      return { ...allDirty(store, identity, match.kind, match.reason), refusal }
    }
  }
  const pageCount = Math.min(
    Math.max(0, ...headers.map(pagesOf)),
    Math.floor(disk.sizeBytes / DIRTY_PAGE_BYTES) - HEADER_PAGES,
  )
  const image = await DirtyLogImage.read(disk, pageCount, identityTag(identity))
  store.noteGeneration(image.generationMax)
  const decision = chooseHeader(copies, image, pagesOf)
  if (decision.kind === 'missing') return allDirty(store, identity, 'missing', 'nothing was recorded there')
  if (decision.kind === 'unreadable') return allDirty(store, identity, 'unreadable', decision.reason)
  const { header } = decision
  const copy = copies[0].kind === 'valid' && copies[0].header === header ? 0 : 1
  return takeOver(store, image, header, copy, decision.copyDamaged, identity.deviceBytes)
}

async function takeOver(
  store: DirtyLogStore,
  image: DirtyLogImage,
  header: DirtyLogHeader,
  copy: 0 | 1,
  copyDamaged: boolean,
  deviceBytes: number,
): Promise<FoundState> {
  const { bitmap, damagedSectors } = image.toBitmap(header, deviceBytes)
  const before = header.identity.deviceBytes
  const reasons: string[] = []
  if (damagedSectors > 0) reasons.push(`${damagedSectors} sectors of the bitmap are damaged`)
  if (copyDamaged) reasons.push('a copy of the header is damaged')
  let changedPages: Set<number>
  try {
    changedPages = await store.takeOver(image, header, copy)
  } catch (error) {
    reasons.push(`it cannot be written again: ${messageOf(error)}`)
    changedPages = allPages(store)
  }
  if (deviceBytes > before) {
    const firstPage = Math.floor(bitmap.regionOf(before) / REGIONS_PER_PAGE)
    for (let page = firstPage; page < store.pageCount; page++) changedPages.add(page)
  }
  return {
    store,
    bitmap,
    basePoint: header.basePoint,
    found: reasons.length === 0 ? 'ok' : 'damaged',
    reason: reasons.length === 0 ? null : reasons.join('; '),
    resized: deviceBytes === before ? null : deviceBytes > before ? 'grown' : 'shrunk',
    changedPages,
    refusal: null,
  }
}

function allDirty(store: DirtyLogStore, identity: DirtyLogIdentity, found: DirtyLogFound, reason: string): FoundState {
  const bitmap = new DirtyBitmap(identity.deviceBytes, identity.regionBytes)
  bitmap.markAll()
  return {
    store,
    bitmap,
    basePoint: ORIGIN,
    found,
    reason,
    resized: null,
    changedPages: allPages(store),
    refusal: null,
  }
}

/** Every page of a store. */
export function allPages(store: DirtyLogStore): Set<number> {
  return new Set(Array.from({ length: store.pageCount }, (_, page) => page))
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
