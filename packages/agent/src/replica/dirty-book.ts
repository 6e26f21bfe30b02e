/**
 * The dirty regions of every mapping: which bytes of the devices are not yet what the primary's history says.
 *
 * Owns one dirty log a mapping and the order in which their changes become durable. A region is made dirty durably before
 * anything of a resync may land; it is made clean only when a whole copy of it is applied durably and nothing made it
 * dirty again. Being late here costs a copy; being early would lose data. Invariant: the durable map covers every region
 * whose bytes may differ.
 */
import { must, ORIGIN, type Clock, type DirtyMap, type Timer } from '@sitelink/protocol'
import type { DirtyLog, ReadonlyDirtyBitmap } from '@sitelink/storage'
import type { ReplicaMapping } from './replica-state.js'

/** Where dirty logs come from. */
export interface DirtyLogs {
  /** Opens the log of a mapping. What cannot be trusted is dirty, durably on return; `problem` says why, or null. */
  open(mapping: ReplicaMapping): Promise<{ readonly log: DirtyLog; readonly problem: string | null }>
  /** Makes a log, durably; what an attempt before left is replaced. */
  create(mapping: ReplicaMapping, initial: 'all-dirty' | 'all-clean'): Promise<DirtyLog>
}

export interface DirtyBookOptions {
  readonly logs: DirtyLogs
  readonly clock: Clock
  /** Largest delay between a region that is brought and its bit that is cleared, in milliseconds. */
  readonly cleanMsMax: number
  /** The number of dirty regions changed. */
  readonly changed: () => void
  /** A dirty log could not be written. What is dirty stays dirty; nothing more is made clean. */
  readonly failed: (error: unknown) => void
}

interface Page {
  readonly mapping: ReplicaMapping
  readonly log: DirtyLog
  /** Regions that are brought and not yet cleared. */
  readonly brought: Set<number>
}

/** Pages that could not be written are tried again after so long. */
const RETRY_MS = 1000

/** Regions of one dirty-map message: small enough that many mappings share a turn. */
const REGIONS_PER_MESSAGE = 1 << 20

/** See the head of this file. */
export class DirtyBook {
  readonly #options: DirtyBookOptions
  readonly #pages = new Map<string, Page>()
  /** Pages whose regions were cleared and not yet written so. */
  readonly #unwritten = new Set<Page>()
  #timer: Timer | null = null
  #cleaning: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: DirtyBookOptions) {
    this.#options = options
  }

  /** Opens the log of a mapping. Answers why every region of it is dirty now, or null. */
  async open(mapping: ReplicaMapping): Promise<string | null> {
    const { log, problem } = await this.#options.logs.open(mapping)
    this.#pages.set(mapping.mappingId, { mapping, log, brought: new Set() })
    return problem
  }

  /** Begins the log of a new mapping; durable on return. A mapping that is there keeps what it has. */
  async add(mapping: ReplicaMapping, initial: 'all-dirty' | 'all-clean'): Promise<void> {
    if (this.#pages.has(mapping.mappingId)) return
    const log = await this.#options.logs.create(mapping, initial)
    this.#pages.set(mapping.mappingId, { mapping, log, brought: new Set() })
    this.#options.changed()
  }

  /** Forgets a mapping and removes its log. */
  async remove(mapping: ReplicaMapping): Promise<void> {
    const page = this.#pages.get(mapping.mappingId)
    this.#pages.delete(mapping.mappingId)
    if (page !== undefined) await page.log.destroy()
    this.#options.changed()
  }

  has(mappingId: string): boolean {
    return this.#pages.has(mappingId)
  }

  /** Regions of a mapping, and how many of them are dirty. */
  counts(mappingId: string): { readonly dirty: number; readonly total: number } {
    const { log } = this.#page(mappingId)
    return { dirty: log.bitmap.dirtyCount, total: log.bitmap.regionCount }
  }

  isDirty(mappingId: string, region: number): boolean {
    return this.#page(mappingId).log.bitmap.isDirty(region)
  }

  /** Dirty regions over all mappings. */
  get dirtyRegions(): number {
    let sum = 0
    for (const { log } of this.#pages.values()) sum += log.bitmap.dirtyCount
    return sum
  }

  /**
   * Makes the regions dirty that are set in `bits` (least significant bit first, from `firstRegion` on); durable on return.
   * `replace`: those that are not set become clean. Only for a mapping whose regions were all dirty because nobody knew.
   */
  async markBits(
    mappingId: string,
    firstRegion: number,
    regionCount: number,
    bits: Buffer,
    replace: boolean,
  ): Promise<void> {
    const { log, brought } = this.#page(mappingId)
    for (let at = 0; at < regionCount; at++) {
      const region = firstRegion + at
      if (((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0) {
        log.markRegions(region, 1)
        brought.delete(region)
      } else if (replace) log.clearRegion(region)
    }
    this.#options.changed()
    await log.flush(ORIGIN)
  }

  /** Makes every region of every mapping dirty; durable on return. */
  async markAll(): Promise<void> {
    for (const mappingId of [...this.#pages.keys()]) await this.markMapping(mappingId)
  }

  /** Makes every region of a mapping dirty; durable on return. */
  async markMapping(mappingId: string): Promise<void> {
    const { log, brought } = this.#page(mappingId)
    brought.clear()
    log.markAll()
    this.#options.changed()
    await log.flush(ORIGIN)
  }

  /** A whole copy of the region is applied durably, and nothing behind it made it dirty. It is clean soon. */
  brought(mappingId: string, region: number): void {
    const page = this.#pages.get(mappingId)
    if (page === undefined || !page.log.bitmap.isDirty(region)) return
    page.brought.add(region)
    this.#cleanWithin(this.#options.cleanMsMax)
  }

  /** Clears the regions that were brought, durably; what cannot be written is tried again later. Never rejects. */
  clean(): Promise<void> {
    this.#cleaning = this.#cleaning
      .then(() => this.#clean())
      .catch((error: unknown) => {
        this.#options.failed(error)
        this.#cleanWithin(RETRY_MS)
      })
    return this.#cleaning
  }

  #cleanWithin(ms: number): void {
    if (this.#timer !== null || this.#closed) return
    this.#timer = this.#options.clock.after(ms, () => {
      this.#timer = null
      void this.clean()
    })
  }

  /** The map of every mapping with dirty regions, in messages of bounded size. */
  *dirtyMaps(): Generator<DirtyMap, void, void> {
    for (const { mapping, log } of this.#pages.values()) {
      const { dirtyCount, regionCount } = log.bitmap
      if (dirtyCount === 0) continue
      for (let first = 0; first < regionCount; first += REGIONS_PER_MESSAGE) {
        const map = mapOf(mapping, log.bitmap, first, Math.min(REGIONS_PER_MESSAGE, regionCount - first))
        if (map !== null) yield map
      }
    }
  }

  /** Writes what is to be written and closes all logs. */
  async close(): Promise<void> {
    await this.clean()
    this.#closed = true
    this.#timer?.cancel()
    for (const { log } of this.#pages.values()) await log.close()
    this.#pages.clear()
  }

  async #clean(): Promise<void> {
    if (this.#closed) return
    for (const page of this.#pages.values()) {
      if (page.brought.size === 0) continue
      for (const region of page.brought) page.log.clearRegion(region)
      page.brought.clear()
      this.#unwritten.add(page)
    }
    if (this.#unwritten.size === 0) return
    // Clean in memory is clean: a page that still says otherwise costs a copy after a restart.
    this.#options.changed()
    for (const page of this.#unwritten) {
      if (this.#pages.get(page.mapping.mappingId) === page) await page.log.flush(ORIGIN)
      this.#unwritten.delete(page)
    }
  }

  #page(mappingId: string): Page {
    return must(this.#pages.get(mappingId), 'a mapping has a dirty log')
  }
}

/** Null where no region of the span is dirty. */
function mapOf(
  mapping: ReplicaMapping,
  bitmap: ReadonlyDirtyBitmap,
  firstRegion: number,
  regionCount: number,
): DirtyMap | null {
  const next = bitmap.nextDirty(firstRegion)
  if (next === null || next < firstRegion || next >= firstRegion + regionCount) return null
  const bits = Buffer.alloc(Math.ceil(regionCount / 8))
  for (let at = next - firstRegion; at < regionCount; at++) {
    if (bitmap.isDirty(firstRegion + at)) bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7))
  }
  const { deviceId, mappingId, regionBytes } = mapping
  return { kind: 'dirty-map', deviceId, mappingId, regionBytes, firstRegion, regionCount, bits }
}
