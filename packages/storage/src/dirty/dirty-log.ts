/**
 * The dirty log of one mapping: which regions of a device a site misses, in memory or on stable storage.
 *
 * Owns the bitmap, its base point and the flush. Marks count in memory at once; they are durable when a `flush` that was
 * asked for after them resolves, and nothing may rely on them before. A crash at any moment leaves at least the regions
 * that were dirty then; it may leave more: regions that were cleared since the last flush. Clears are stored with the
 * next flush, whoever asked for it, so a region is cleared only when it may be forgotten.
 *
 *   mark ── in memory ─┐
 *   clear ─ in memory ─┼─ flush(point): changed pages, header, one sync ─ resolves: base point is `point`
 *   mark ── in memory ─┘   (marks meanwhile go with the next flush)
 *
 * The base point says up to where the stored bitmap is complete: every entry at or before it that dirties the device for
 * this site is in there, unless its region was cleared after it. Entries behind it have to be marked again from the log.
 */
import { assert, maxPoint, ORIGIN, type LogPoint } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { DirtyBitmap, regionBytesProblem, type ReadonlyDirtyBitmap } from './dirty-bitmap.js'
import { DirtyLogError } from './dirty-log-error.js'
import { DIRTY_PAGE_BYTES, HEADER_PAGES, REGIONS_PER_PAGE, type DirtyLogIdentity } from './dirty-log-format.js'
import { readHeaders } from './dirty-log-image.js'
import { allPages, findState, type DirtyLogFound, type FoundState } from './dirty-log-open.js'
import { DirtyLogStore, refuseForeign, type DirtyLogPlace } from './dirty-log-store.js'

export interface DirtyLogCreateOptions {
  /** `all-dirty` (the word `sync`: a full copy) or `all-clean` (`nosync`: both sides are known to be equal). */
  readonly initial: 'all-dirty' | 'all-clean'
  /** The first entry that has to be marked is the one behind it. Default: before every entry. */
  readonly basePoint?: LogPoint
  /** Overwrite whatever is in the place. Default: only nothing, zeros, or an earlier log of this very mapping. */
  readonly discardContents?: boolean
}

export interface DirtyLogOpening {
  readonly log: DirtyLog
  readonly found: DirtyLogFound
  /** One sentence for an event; null if all is well. */
  readonly reason: string | null
  /** The device was smaller (`grown`: what is new is dirty) or larger (`shrunk`: what is gone is ignored) before. */
  readonly resized: 'grown' | 'shrunk' | null
}

export class DirtyLog {
  readonly identity: DirtyLogIdentity
  readonly #bitmap: DirtyBitmap
  /** null: kept in memory (`core`). */
  readonly #store: DirtyLogStore | null
  /** Pages whose stored form is not that of the bitmap. */
  #changedPages: Set<number>
  #basePoint: LogPoint
  /** The latest point that a flush was asked for. */
  #askedPoint: LogPoint
  /** Counts changes from clean to dirty; with the count that is durable it tells whether a mark waits. */
  #marks = 0
  #durableMarks = 0
  #refusal: Error | null
  #failure: Error | null = null
  /** A flush that has not begun yet; whoever asks for one joins it. */
  #queued: Promise<void> | null = null
  /** The last flush that was queued. */
  #last: Promise<void> = Promise.resolve()
  #isClosed = false

  private constructor(identity: DirtyLogIdentity, bitmap: DirtyBitmap, state: Partial<FoundState>) {
    this.identity = identity
    this.#bitmap = bitmap
    this.#store = state.store ?? null
    this.#changedPages = state.changedPages ?? new Set()
    this.#basePoint = state.basePoint ?? ORIGIN
    this.#askedPoint = this.#basePoint
    this.#refusal = state.refusal ?? null
  }

  /**
   * Makes the dirty log of a new mapping, durable on return; `place` null keeps it in memory. Rejects with
   * {@link DirtyLogError} if the place is somebody else's, or with the disk's error; DISK_TOO_SMALL for a block device
   * that cannot hold it. The sizes have been checked with {@link regionBytesProblem}.
   */
  static async create(
    place: DirtyLogPlace | null,
    identity: DirtyLogIdentity,
    options: DirtyLogCreateOptions,
  ): Promise<DirtyLog> {
    const problem = regionBytesProblem(identity.regionBytes, identity.deviceBytes)
    assert(problem === null, problem ?? '')
    const bitmap = new DirtyBitmap(identity.deviceBytes, identity.regionBytes)
    if (options.initial === 'all-dirty') bitmap.markAll()
    const basePoint = options.basePoint ?? ORIGIN
    if (place === null) return new DirtyLog(identity, bitmap, { basePoint })
    const disk =
      (await place.provider.exists(place.path)) === null
        ? null
        : await place.provider.open(place.path, { exclusive: true })
    const store = new DirtyLogStore(place, identity, disk)
    const log = new DirtyLog(identity, bitmap, { store, basePoint, changedPages: allPages(store) })
    try {
      if (disk !== null && options.discardContents !== true) await refuseContents(disk, identity)
      await log.flush(basePoint)
    } catch (error) {
      await store.close()
      throw error
    }
    return log
  }

  /**
   * Opens the dirty log of a mapping that exists, at a start. Always answers a log to go on with; what cannot be trusted
   * is dirty in it, and `found` and `reason` say so. Never looks at `sync` or `nosync`: those act once, at `create`.
   * Never rejects: a place that cannot be had is found `unavailable`, and every flush says why.
   */
  static async open(place: DirtyLogPlace | null, identity: DirtyLogIdentity): Promise<DirtyLogOpening> {
    if (place === null) {
      const log = await DirtyLog.create(null, identity, { initial: 'all-dirty' })
      return { log, found: 'missing', reason: 'it was kept in memory only', resized: null }
    }
    const state = await findState(place, identity)
    const log = new DirtyLog(identity, state.bitmap, state)
    return { log, found: state.found, reason: state.reason, resized: state.resized }
  }

  get type(): 'core' | 'disk' {
    return this.#store === null ? 'core' : 'disk'
  }

  /** The regions as they are now. */
  get bitmap(): ReadonlyDirtyBitmap {
    return this.#bitmap
  }

  /** The point up to which the stored bitmap is complete; for `core` the one in memory. Grows only. */
  get basePoint(): LogPoint {
    return this.#basePoint
  }

  /** True if a region was marked that no flush has made durable yet. Never for `core`. */
  get hasUnflushedMarks(): boolean {
    return this.#store !== null && this.#marks !== this.#durableMarks
  }

  /** Why the last flush failed; null if it did not. */
  get failure(): Error | null {
    return this.#failure
  }

  /** Marks every region that the range touches; answers how many of them were clean. */
  markRange(offset: number, length: number): number {
    if (length === 0) return 0
    const first = this.#bitmap.regionOf(offset)
    return this.markRegions(first, this.#bitmap.regionOf(offset + length - 1) - first + 1)
  }

  /** Marks a run of regions; answers how many of them were clean. */
  markRegions(first: number, count: number): number {
    const added = this.#bitmap.markRegions(first, count)
    if (added > 0) this.#noteMarks(added, first, first + count - 1)
    return added
  }

  markAll(): number {
    return this.markRegions(0, this.#bitmap.regionCount)
  }

  /** Marks what is dirty in `other`, of the same region size; what lies beyond this device is left out. */
  or(other: ReadonlyDirtyBitmap): number {
    assert(other.regionBytes === this.#bitmap.regionBytes, 'bitmaps that are joined have the same region size')
    let added = 0
    for (const { first, count } of other.runs()) {
      const fit = Math.min(count, this.#bitmap.regionCount - first)
      if (fit > 0) added += this.markRegions(first, fit)
    }
    return added
  }

  /** Clears a region that may be forgotten from this moment on; true if it was dirty. Stored with the next flush. */
  clearRegion(region: number): boolean {
    if (!this.#bitmap.clear(region)) return false
    this.#changedPages.add(Math.floor(region / REGIONS_PER_PAGE))
    return true
  }

  /**
   * Makes everything marked so far durable. `point`: every entry up to it that dirties the device is marked. Calls while
   * a flush is under way share the next one. Rejects with the disk's failure: the marks stay in memory, `basePoint` stays
   * where it was, and a later flush tries everything again.
   */
  flush(point: LogPoint): Promise<void> {
    if (this.#isClosed) return Promise.reject(new DirtyLogError('DIRTY_LOG_CLOSED', this.#store?.path ?? 'a dirty log'))
    this.#askedPoint = maxPoint(this.#askedPoint, point)
    if (this.#store === null) {
      this.#basePoint = this.#askedPoint
      return Promise.resolve()
    }
    if (this.#queued === null) {
      const begin = (): Promise<void> => {
        this.#queued = null
        return this.#flushNow()
      }
      this.#last = this.#last.then(begin, begin)
      this.#queued = this.#last
    }
    return this.#queued
  }

  /** Gives up what the place holds for another mapping (`found` was `foreign`): the next flush overwrites it. */
  rebind(): void {
    this.#refusal = null
    this.#store?.overwrite()
  }

  /** Waits for flushes that were asked for, and releases the place. Stores nothing by itself. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#last.catch(() => undefined)
    await this.#store?.close()
  }

  /**
   * The mapping is gone: closes, and removes the file; a block device, or a file that somebody else chose (`keepFile`), is
   * voided, durably, and stays. What was refused to be overwritten is somebody else's and stays as it is.
   */
  async destroy(): Promise<void> {
    if (this.#refusal !== null) return this.close()
    this.#isClosed = true
    await this.#last.catch(() => undefined)
    await this.#store?.destroy()
  }

  async #flushNow(): Promise<void> {
    const store = this.#store
    assert(store !== null, 'a flush that is queued has a store')
    const point = this.#askedPoint
    if (this.#refusal !== null) throw this.#refusal
    const isNothingNew =
      this.#changedPages.size === 0 &&
      this.#basePoint.lsn === point.lsn &&
      this.#basePoint.incarnation === point.incarnation
    if (isNothingNew) return
    const pages = [...this.#changedPages].sort((a, b) => a - b)
    const marks = this.#marks
    try {
      await store.write(this.#bitmap, pages, point, (page) => this.#changedPages.delete(page))
    } catch (error) {
      // Nobody knows what of it arrived: all of it is written again next time.
      for (const page of pages) this.#changedPages.add(page)
      this.#failure = error instanceof Error ? error : new Error(String(error))
      throw error
    }
    this.#failure = null
    this.#basePoint = point
    this.#durableMarks = marks
  }

  #noteMarks(count: number, firstRegion: number, lastRegion: number): void {
    this.#marks += count
    for (
      let page = Math.floor(firstRegion / REGIONS_PER_PAGE);
      page <= Math.floor(lastRegion / REGIONS_PER_PAGE);
      page++
    ) {
      this.#changedPages.add(page)
    }
  }
}

/** Rejects if a new dirty log would overwrite something: anything but zeros or an earlier log of the same mapping. */
async function refuseContents(disk: Disk, identity: DirtyLogIdentity): Promise<void> {
  await refuseForeign(disk, identity)
  const bytes = Buffer.alloc(Math.min(disk.sizeBytes, HEADER_PAGES * DIRTY_PAGE_BYTES))
  await disk.read(bytes, 0)
  if (bytes.every((byte) => byte === 0)) return
  const copies = bytes.length < HEADER_PAGES * DIRTY_PAGE_BYTES ? [] : await readHeaders(disk)
  if (!copies.some((copy) => copy.kind === 'valid')) throw new DirtyLogError('DIRTY_LOG_STORE_USED', disk.description)
}
