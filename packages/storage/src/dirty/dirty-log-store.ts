/**
 * Writes the bitmap of one dirty log to its file or block device.
 *
 * Owns the open disk, the generations and the choice of the header copy. A write is one round: the changed pages in
 * place, the header into the copy that is not the last good one, one sync. Until that sync has ended well nothing may
 * be relied on, and the last good header stays where it is. A round that failed is not repeated as it was: its pages are
 * written again, under a new generation.
 */
import { assert, crc32, writeU64, type LogPoint } from '@sitelink/protocol/entry'
import { DiskError } from '../disk/disk-error.js'
import type { Disk, DiskProvider } from '../disk/disk.js'
import type { DirtyBitmap } from './dirty-bitmap.js'
import { DirtyLogError } from './dirty-log-error.js'
import {
  bitmapPages,
  DIRTY_PAGE_BYTES,
  DIRTY_SECTOR_BYTES,
  dirtyLogStoreBytes,
  encodeHeader,
  HEADER_PAGES,
  identityTag,
  sealSector,
  SECTOR_OFFSET,
  SECTORS_PER_PAGE,
  WORDS_PER_SECTOR,
  type DirtyLogHeader,
  type DirtyLogIdentity,
  type SectorFields,
} from './dirty-log-format.js'
import { readHeaders, type DirtyLogImage } from './dirty-log-image.js'
import { matchIdentity } from './dirty-log-recovery.js'

/** Where a durable dirty log is kept: a file, which is made if it is missing, or a block device. */
export interface DirtyLogPlace {
  readonly provider: DiskProvider
  readonly path: string
  /** Somebody else chose the path: at the end a file there is voided and stays. Default: it is removed. */
  readonly keepFile?: boolean
}

/** Pages that are written at once. */
const RUN_PAGES_MAX = 256

export class DirtyLogStore {
  #disk: Disk | null
  readonly #place: DirtyLogPlace
  readonly #identity: DirtyLogIdentity
  readonly #tag: number
  readonly pageCount: number
  /** Of the newest round, ended well or not; never used twice. */
  #generation = 0
  /** Of the newest round that ended well. */
  #goodGeneration = 0
  /** The copy that holds the header of {@link DirtyLogStore.#goodGeneration}. */
  #goodCopy: 0 | 1 = 1
  /** Generation of each page as u64. */
  readonly #pageGenerations: Buffer
  /** Pages that the store was known to have room for; less than {@link DirtyLogStore.pageCount} if the device grew. */
  #pagesOnDisk = 0
  /** What is there is worth nothing: the next write voids it first. */
  #voidFirst = true
  #mayOverwrite = false

  constructor(place: DirtyLogPlace, identity: DirtyLogIdentity, disk: Disk | null) {
    this.#place = place
    this.#identity = identity
    this.#disk = disk
    this.#tag = identityTag(identity)
    this.pageCount = bitmapPages(identity.deviceBytes, identity.regionBytes)
    this.#pageGenerations = Buffer.alloc(this.pageCount * 8)
  }

  get path(): string {
    return this.#place.path
  }

  /**
   * Takes over what was found: writes it again and syncs, so that it holds even if it had never left a cache. If that
   * fails, the next write starts anew. Answers the pages that have to be written because they are not whole.
   */
  async takeOver(image: DirtyLogImage, header: DirtyLogHeader, copy: 0 | 1): Promise<Set<number>> {
    const disk = this.#disk
    assert(disk !== null, 'what was read has a disk')
    this.#generation = Math.max(image.generationMax, header.generation)
    await image.rewrite(disk)
    await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES)
    await disk.sync()
    const storedPages = bitmapPages(header.identity.deviceBytes, header.identity.regionBytes)
    const toWrite = new Set<number>()
    for (let page = 0; page < this.pageCount; page++) {
      const generation = image.pageGeneration(page)
      if (page >= storedPages || generation === null || !image.isPageWhole(page)) toWrite.add(page)
      else writeU64(this.#pageGenerations, generation, page * 8)
    }
    this.#goodGeneration = header.generation
    this.#goodCopy = copy
    // A file that was cut short has less than its header says; the next write gives it its size again.
    this.#pagesOnDisk = Math.min(storedPages, Math.floor(disk.sizeBytes / DIRTY_PAGE_BYTES) - HEADER_PAGES)
    this.#voidFirst = false
    return toWrite
  }

  /** The next write takes the place from whoever it belongs to. */
  overwrite(): void {
    this.#mayOverwrite = true
  }

  /** Generations that were used before and must not come again. */
  noteGeneration(generation: number): void {
    this.#generation = Math.max(this.#generation, generation)
  }

  /**
   * One round: makes `pages` of the bitmap and the base point durable. `taken` is called in the turn in which a page's
   * bits are read. Rejects with the failure of the disk; what is then stored is what it was, or this, or a mixture that
   * the next open sorts out.
   */
  async write(
    bitmap: DirtyBitmap,
    pages: readonly number[],
    basePoint: LogPoint,
    taken: (page: number) => void,
  ): Promise<void> {
    const disk = await this.#openDisk()
    await this.#makeRoom(disk)
    const generation = ++this.#generation
    const fields = { generation, goodGeneration: this.#goodGeneration, tag: this.#tag }
    for (let at = 0; at < pages.length;) {
      const first = pages[at] as number
      let count = 1
      while (count < RUN_PAGES_MAX && pages[at + count] === first + count) count++
      const bytes = Buffer.alloc(count * DIRTY_PAGE_BYTES)
      for (let page = first; page < first + count; page++) {
        taken(page)
        encodePage(
          bitmap,
          page,
          fields,
          bytes.subarray((page - first) * DIRTY_PAGE_BYTES, (page - first + 1) * DIRTY_PAGE_BYTES),
        )
        writeU64(this.#pageGenerations, generation, page * 8)
      }
      await disk.write([bytes], (HEADER_PAGES + first) * DIRTY_PAGE_BYTES)
      at += count
    }
    const copy = this.#goodCopy === 0 ? 1 : 0
    const header = { identity: this.#identity, ...fields, basePoint, pagesDigest: crc32(this.#pageGenerations) }
    await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES)
    await disk.sync()
    this.#goodGeneration = generation
    this.#goodCopy = copy
  }

  async close(): Promise<void> {
    const disk = this.#disk
    this.#disk = null
    await disk?.close()
  }

  /** Ends what is stored, durably: a file of this log's own is removed; anything else is voided and stays. */
  async destroy(): Promise<void> {
    const kind = await this.#place.provider.exists(this.path)
    const removed = kind === 'file' && this.#place.keepFile !== true
    try {
      if (kind !== null && !removed) {
        const disk = await this.#openDisk()
        await disk.write([Buffer.alloc(Math.min(disk.sizeBytes, HEADER_PAGES * DIRTY_PAGE_BYTES))], 0)
        await disk.sync()
      }
    } finally {
      await this.close()
    }
    if (removed) await this.#place.provider.removeFile(this.path)
  }

  async #openDisk(): Promise<Disk> {
    if (this.#disk !== null) return this.#disk
    const { provider, path } = this.#place
    const sizeBytes = dirtyLogStoreBytes(this.#identity.deviceBytes, this.#identity.regionBytes)
    if ((await provider.exists(path)) === null) {
      this.#disk = await provider.create(path, sizeBytes, { preallocate: true, exclusive: true })
      return this.#disk
    }
    const disk = await provider.open(path, { exclusive: true })
    try {
      // It could not be opened when it was looked for, so nobody has seen yet whose it is.
      if (!this.#mayOverwrite) await refuseForeign(disk, this.#identity)
    } catch (error) {
      await disk.close()
      throw error
    }
    this.#disk = disk
    return disk
  }

  /** Gives the store its size, and voids whatever is not this log's, durably, before anything is written there. */
  async #makeRoom(disk: Disk): Promise<void> {
    const sizeBytes = dirtyLogStoreBytes(this.#identity.deviceBytes, this.#identity.regionBytes)
    if (!this.#voidFirst && this.#pagesOnDisk >= this.pageCount) return
    if (disk.sizeBytes < sizeBytes) {
      if ((await this.#place.provider.exists(this.path)) === 'block-device') {
        throw new DiskError('DISK_TOO_SMALL', this.path, `cannot keep a dirty log of ${sizeBytes} bytes on`)
      }
      await disk.resize(sizeBytes)
    }
    const from = this.#voidFirst ? 0 : (HEADER_PAGES + this.#pagesOnDisk) * DIRTY_PAGE_BYTES
    await disk.writeZeroes(from, sizeBytes - from)
    await disk.sync()
    if (this.#voidFirst) this.#goodGeneration = 0
    this.#pagesOnDisk = this.pageCount
    this.#voidFirst = false
  }
}

/** Rejects with DIRTY_LOG_FOREIGN if the disk holds the dirty log of another mapping. */
export async function refuseForeign(disk: Disk, identity: DirtyLogIdentity): Promise<void> {
  if (disk.sizeBytes < HEADER_PAGES * DIRTY_PAGE_BYTES) return
  for (const copy of await readHeaders(disk)) {
    const match = copy.kind === 'valid' ? matchIdentity(copy.header.identity, identity) : null
    if (match?.kind === 'foreign') throw new DirtyLogError('DIRTY_LOG_FOREIGN', disk.description, match.reason)
  }
}

function encodePage(bitmap: DirtyBitmap, page: number, fields: SectorFields, into: Buffer): void {
  for (let at = 0; at < SECTORS_PER_PAGE; at++) {
    const index = page * SECTORS_PER_PAGE + at
    const sector = into.subarray(at * DIRTY_SECTOR_BYTES, (at + 1) * DIRTY_SECTOR_BYTES)
    bitmap.copyWords(index * WORDS_PER_SECTOR, sector.subarray(SECTOR_OFFSET.payload))
    sealSector(sector, index, fields)
  }
}
