/**
 * A stored dirty log as it was read: headers, sectors, and what is wrong with them.
 *
 * Owns the reading, down to single sectors where the medium fails, and turns the chosen bytes into a bitmap. Changes
 * nothing on the disk except by {@link DirtyLogImage.rewrite}, which writes again exactly what was read.
 */
import { crc32, writeU64 } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { DirtyBitmap } from './dirty-bitmap.js'
import {
  bitmapPages,
  decodeHeader,
  DIRTY_PAGE_BYTES,
  DIRTY_SECTOR_BYTES,
  HEADER_PAGES,
  openSector,
  REGIONS_PER_SECTOR,
  SECTOR_OFFSET,
  SECTORS_PER_PAGE,
  WORDS_PER_SECTOR,
  type DirtyLogHeader,
  type HeaderScan,
} from './dirty-log-format.js'
import type { SectorFacts } from './dirty-log-recovery.js'

/** Bytes that are read or written at once. */
const TRANSFER_BYTES = 1024 * 1024

/** The two header copies of a store; a copy that cannot be read is `unknown`. */
export async function readHeaders(disk: Disk): Promise<[HeaderScan, HeaderScan]> {
  const read = async (copy: number): Promise<HeaderScan> => {
    const sector = Buffer.alloc(DIRTY_SECTOR_BYTES)
    const isThere = await readOr(disk, sector, copy * DIRTY_PAGE_BYTES)
    return isThere ? decodeHeader(sector) : { kind: 'unknown', why: 'unreadable' }
  }
  return [await read(0), await read(1)]
}

/** Pages of the bitmap that a header describes. */
export function pagesOf(header: DirtyLogHeader): number {
  return bitmapPages(header.identity.deviceBytes, header.identity.regionBytes)
}

export class DirtyLogImage implements SectorFacts {
  readonly #bytes: Buffer
  readonly #pageCount: number
  /** By sector: its generation, or 0 where it is damaged or cannot be read. */
  readonly #generations: Float64Array
  readonly #good: Float64Array

  private constructor(bytes: Buffer, tag: number) {
    this.#bytes = bytes
    this.#pageCount = bytes.length / DIRTY_PAGE_BYTES
    const sectorCount = bytes.length / DIRTY_SECTOR_BYTES
    this.#generations = new Float64Array(sectorCount)
    this.#good = new Float64Array(sectorCount)
    for (let sector = 0; sector < sectorCount; sector++) {
      const fields = openSector(this.#sector(sector), sector, tag)
      this.#generations[sector] = fields?.generation ?? 0
      this.#good[sector] = fields?.goodGeneration ?? 0
    }
  }

  /** Reads the first `pageCount` pages of a bitmap whose sectors carry `tag`. Never rejects: what fails is damaged. */
  static async read(disk: Disk, pageCount: number, tag: number): Promise<DirtyLogImage> {
    const bytes = Buffer.alloc(pageCount * DIRTY_PAGE_BYTES)
    const start = HEADER_PAGES * DIRTY_PAGE_BYTES
    for (let at = 0; at < bytes.length; at += TRANSFER_BYTES) {
      await readBySteps(disk, bytes.subarray(at, Math.min(bytes.length, at + TRANSFER_BYTES)), start + at)
    }
    return new DirtyLogImage(bytes, tag)
  }

  /** Largest generation of any sector; 0 if there is none. */
  get generationMax(): number {
    return this.#generations.reduce((max, generation) => Math.max(max, generation), 0)
  }

  digest(pageCount: number): number | null {
    const generations = Buffer.alloc(pageCount * 8)
    for (let page = 0; page < pageCount; page++) {
      const generation = this.pageGeneration(page)
      if (generation === null) return null
      writeU64(generations, generation, page * 8)
    }
    return crc32(generations)
  }

  goodGenerationMax(pageCount: number): number {
    return this.#good
      .subarray(0, pageCount * SECTORS_PER_PAGE)
      .reduce((max, generation) => Math.max(max, generation), 0)
  }

  /** The one generation of a page's readable sectors; null if they differ (a torn write) or none can be read. */
  pageGeneration(page: number): number | null {
    if (page >= this.#pageCount) return null
    let found: number | null = null
    for (let sector = page * SECTORS_PER_PAGE; sector < (page + 1) * SECTORS_PER_PAGE; sector++) {
      const generation = this.#generations[sector] as number
      if (generation === 0) continue
      if (found !== null && found !== generation) return null
      found = generation
    }
    return found
  }

  /** True if all sectors of a page can be read and are of one flush. */
  isPageWhole(page: number): boolean {
    return this.pageGeneration(page) !== null && this.#isReadable(page)
  }

  /**
   * The bitmap that these sectors prove for a device of `deviceBytes`: what they say; every region of a damaged sector;
   * every region with bytes that the device did not have when `header` was written.
   */
  toBitmap(header: DirtyLogHeader, deviceBytes: number): { bitmap: DirtyBitmap; damagedSectors: number } {
    const { regionBytes } = header.identity
    const bitmap = new DirtyBitmap(deviceBytes, regionBytes)
    const storedCount = Math.ceil(header.identity.deviceBytes / regionBytes)
    let damagedSectors = 0
    for (let sector = 0; sector * REGIONS_PER_SECTOR < storedCount; sector++) {
      const first = sector * REGIONS_PER_SECTOR
      if ((this.#generations[sector] ?? 0) > 0) {
        bitmap.orWords(sector * WORDS_PER_SECTOR, this.#sector(sector).subarray(SECTOR_OFFSET.payload), storedCount)
      } else {
        damagedSectors++
        const end = Math.min(first + REGIONS_PER_SECTOR, storedCount, bitmap.regionCount)
        if (end > first) bitmap.markRegions(first, end - first)
      }
    }
    const grownFrom = header.identity.deviceBytes
    if (deviceBytes > grownFrom) bitmap.markRange(grownFrom, deviceBytes - grownFrom)
    return { bitmap, damagedSectors }
  }

  /**
   * Writes every readable sector again as it was read, without a sync. What a killed process had written, or what a
   * failed sync had left in the cache alone, is then on its way to the medium like a new write.
   */
  async rewrite(disk: Disk): Promise<void> {
    for (let page = 0; page < this.#pageCount;) {
      let end = page
      while (end < this.#pageCount && (end - page) * DIRTY_PAGE_BYTES < TRANSFER_BYTES && this.#isReadable(end)) end++
      if (end > page) {
        await disk.write(
          [this.#bytes.subarray(page * DIRTY_PAGE_BYTES, end * DIRTY_PAGE_BYTES)],
          (HEADER_PAGES + page) * DIRTY_PAGE_BYTES,
        )
        page = end
        continue
      }
      for (let sector = page * SECTORS_PER_PAGE; sector < (page + 1) * SECTORS_PER_PAGE; sector++) {
        if ((this.#generations[sector] as number) === 0) continue
        await disk.write([this.#sector(sector)], HEADER_PAGES * DIRTY_PAGE_BYTES + sector * DIRTY_SECTOR_BYTES)
      }
      page++
    }
  }

  #isReadable(page: number): boolean {
    return this.#generations
      .subarray(page * SECTORS_PER_PAGE, (page + 1) * SECTORS_PER_PAGE)
      .every((generation) => generation > 0)
  }

  #sector(index: number): Buffer {
    return this.#bytes.subarray(index * DIRTY_SECTOR_BYTES, (index + 1) * DIRTY_SECTOR_BYTES)
  }
}

/** Fills `into` as far as the medium gives it: all at once, else page by page, else sector by sector. */
async function readBySteps(disk: Disk, into: Buffer, offset: number): Promise<void> {
  if (await readOr(disk, into, offset)) return
  const step = into.length > DIRTY_PAGE_BYTES ? DIRTY_PAGE_BYTES : DIRTY_SECTOR_BYTES
  if (into.length <= DIRTY_SECTOR_BYTES) return
  for (let at = 0; at < into.length; at += step) {
    await readBySteps(disk, into.subarray(at, Math.min(into.length, at + step)), offset + at)
  }
}

/** False, and zeros in `into`, if it cannot be read. */
async function readOr(disk: Disk, into: Buffer, offset: number): Promise<boolean> {
  try {
    await disk.read(into, offset)
    return true
  } catch {
    into.fill(0)
    return false
  }
}
