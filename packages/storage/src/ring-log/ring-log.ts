/**
 * The ring log: see contract.ts for what it promises.
 *
 * Owns nothing but the wiring. Group commit writes, the sync schedule makes durable, retention says what may be
 * overwritten, segments and recent groups answer readers; what happens in one of them is told to the others here, in the
 * order that the promises need: a frame is `submitted` before its write begins, `written` when it has returned, `durable`
 * when a sync that started later has; freed bytes are written to only when the superblock that freed them is durable.
 */
import {
  assert,
  AssertionFailure,
  FRAME_HEADER_BYTES,
  type Frame,
  type Id64,
  type LogPosition,
  type Lsn,
} from '@sitelink/protocol/entry'
import type { Anchor } from './anchor.js'
import { AppendOrder } from './append-order.js'
import type {
  CursorViews,
  Incarnation,
  Lease,
  LogCursor,
  LogEntry,
  ResizeOptions,
  ResizeOutcome,
  RingLog,
  RingLogStatus,
  SegmentRegions,
  PayloadPlace,
} from './contract.js'
import { Cursor } from './cursor.js'
import { geometryOf, type Geometry } from './geometry.js'
import { GroupCommit } from './group-commit.js'
import { RECENT_BYTES_DEFAULT, RING_OFFSET_BYTES, SYNC_DELAY_MS_DEFAULT } from './limits.js'
import { spansOf, type LifeSpan } from './lives.js'
import { locate, readEntry } from './locate.js'
import { LogError } from './log-error.js'
import type { LogParts } from './log-parts.js'
import { viewOf, type LogView, type Viewed } from './log-view.js'
import type { OpenLogOptions } from './open.js'
import { RecentGroups } from './recent.js'
import { regionsBetween } from './regions.js'
import type { LiveLog } from './reopen.js'
import { Resizer } from './resize.js'
import { Retention } from './retention.js'
import type { RingSpace } from './ring-space.js'
import type { Segments } from './segments.js'
import type { SuperblockStore } from './superblock-store.js'
import type { Superblock } from './superblock.js'
import { PayloadReader } from './payload-reader.js'
import { cutAt } from './truncate.js'
import { SyncSchedule } from './sync-schedule.js'

export class OpenRingLog implements RingLog {
  // Both are read at every append, where a superblock, of which there is a new one every moment, is slow to look into.
  readonly identity: Id64
  incarnation: Incarnation
  readonly ownerStateFound: Buffer
  readonly #options: OpenLogOptions
  #geometry: Geometry
  readonly #space: RingSpace
  readonly #store: SuperblockStore
  readonly #segments: Segments
  readonly #recent: RecentGroups
  readonly #retention: Retention
  readonly #commit: GroupCommit
  readonly #sync: SyncSchedule
  readonly #view: LogView
  readonly #payloads: PayloadReader
  readonly #parts: LogParts
  readonly #resizer: Resizer
  /** As it was written last. */
  #superblock: Superblock
  #spans: readonly LifeSpan[]
  #state: 'open' | 'failed' | 'closing' | 'closed' = 'open'
  readonly #order: AppendOrder

  /** `found`: a log that was reopened. Not called directly: see `openRingLog`. */
  constructor(options: OpenLogOptions, found: LiveLog, ownerStateFound: Buffer) {
    const { clock, disk } = options
    this.#options = options
    this.ownerStateFound = ownerStateFound
    this.#superblock = found.superblock
    this.identity = found.superblock.logId
    this.incarnation = found.superblock.incarnations.at(-1) as Incarnation
    this.#spans = spansOf(found.superblock.incarnations)
    this.#geometry = geometryOf(found.superblock.ringBytes)
    // A resize changes it under those who were given it.
    const geometry = (): Geometry => this.#geometry
    this.#space = found.space
    this.#store = found.store
    this.#segments = found.segments
    const { recentBytesMax = RECENT_BYTES_DEFAULT, recentEntriesMax, readOnce } = options
    this.#recent = new RecentGroups(recentBytesMax, recentEntriesMax, readOnce)
    this.#retention = new Retention(geometry, found.superblock.tail, found.marks, () => this.#maybeStep())
    this.#order = new AppendOrder(options.rule, found.head)
    this.#commit = new GroupCommit(
      {
        space: this.#space,
        clock,
        get geometry() {
          return geometry()
        },
        logId: found.superblock.logId,
        segments: this.#segments,
        hooks: {
          durable: () => this.#sync.durable,
          spaceEnd: () => this.#spaceEnd(),
          mayForm: (end) => this.#sync.mayForm(end),
          formed: (group, before) => {
            if (!group.isCheckpoint) this.#retention.noteMark(before)
            this.#sync.onFormed(group)
            if (group.entries.length > 0) options.listener.submitted?.(group.entries)
          },
          written: (group) => {
            if (group.entries.length > 0) this.#recent.add(group)
            this.#sync.onWritten(group)
            if (group.entries.length > 0) options.listener.written(group.entries)
          },
          failed: (error) => this.#fail(error),
        },
      },
      found.head,
      this.incarnation.number,
    )
    this.#sync = new SyncSchedule(
      {
        disk,
        clock,
        store: this.#store,
        delayMs: options.syncDelayMs ?? SYNC_DELAY_MS_DEFAULT,
        get unsyncedBytesMax() {
          return geometry().unsyncedBytes
        },
        hooks: {
          written: () => this.#commit.written,
          inFlight: () => this.#commit.inFlight,
          superblock: (cleanStop) => this.#nextSuperblock(cleanStop),
          durable: (end) => {
            options.listener.durable(end.position, end.lsn)
            this.#maybeStep()
            this.#commit.resume()
          },
          freed: (tail) => this.#freed(tail),
          failed: (error) => this.#fail(error),
        },
      },
      found.head,
    )
    this.#view = viewOf(this.#viewed(), found.superblock.logId)
    this.#payloads = new PayloadReader(this.#view)
    this.#parts = this.#makeParts()
    this.#resizer = new Resizer(this.#parts)
  }

  get incarnations(): readonly Incarnation[] {
    return this.#superblock.incarnations
  }

  get lastLsn(): Lsn {
    return this.#order.lastLsn
  }

  get lastHeaderCrc(): number {
    return this.#order.lastHeaderCrc
  }

  get writtenEnd(): LogPosition {
    return this.#commit.written.position
  }

  get durableEnd(): LogPosition {
    return this.#sync.durable.position
  }

  get durableLsn(): Lsn {
    return this.#sync.durable.lsn
  }

  get tail(): LogPosition {
    return this.#retention.tail.entriesEnd
  }

  get ringBytes(): number {
    return this.#geometry.ringBytes
  }

  get isCapped(): boolean {
    return this.#resizer.isCapped
  }

  get freeBytes(): number {
    // What one more entry would cost beside its own bytes is taken off once, so that an entry of this size has room.
    const overhead = this.#commit.roomNeeded(1, 0) - this.#commit.roomNeeded(0, 0)
    return Math.max(0, this.#room() - this.#commit.roomNeeded(0, 0) - overhead)
  }

  hasRoom(entryCount: number, payloadBytes: number): boolean {
    if (this.#commit.roomNeeded(entryCount, entryCount * FRAME_HEADER_BYTES + payloadBytes) <= this.#room()) return true
    this.#retention.starving = true
    this.#maybeStep()
    return false
  }

  append(frame: Frame): LogEntry {
    assert(this.#state === 'open', 'nothing is appended to a log that failed or was closed')
    this.#order.take(frame, this.identity, this.incarnation.number)
    return this.#commit.append(frame)
  }

  requestSync(): void {
    if (!this.#commit.wantSync()) this.#sync.syncNow()
  }

  releaseBelow(position: LogPosition): void {
    assert(position <= this.#commit.written.position, 'only what is in the file is released')
    this.#retention.release(position)
    this.#maybeStep()
  }

  writeSuperblock(): Promise<void> {
    return this.#sync.writeSuperblock()
  }

  cursor(position: LogPosition, views?: CursorViews): LogCursor {
    return new Cursor(this.#view, position, views)
  }

  lease(position: LogPosition): Lease {
    return this.#retention.lease(position)
  }

  locate(lsn: Lsn): Promise<LogPosition | null> {
    return locate(this.#view, lsn)
  }

  regionsBetween(from: LogPosition, to: LogPosition): AsyncIterable<SegmentRegions> {
    return regionsBetween(this.#view, from, to)
  }

  readEntry(position: LogPosition): Promise<LogEntry> {
    return readEntry(this.#view, position)
  }

  readPayload(position: LogPosition, offset: number, length: number): Promise<Buffer> {
    return this.#payloads.read(position, offset, length)
  }

  readPayloads(places: readonly PayloadPlace[]): Promise<readonly (Buffer | null)[]> {
    return this.#payloads.readMany(places)
  }

  async truncate(position: LogPosition): Promise<void> {
    assert(this.#options.rule === 'monotone', 'only a journal is truncated')
    assert(this.#commit.gatheringCount === 0, 'nothing gathers when the log is truncated')
    assert(position >= this.tail && position <= this.#commit.written.position, 'the cut lies in the log')
    await this.#commit.whenIdle()
    if (position >= this.#commit.written.entriesEnd) return
    // What stays counts as durable from here on, so it is; what goes is void with the superblock of the new life.
    await this.#sync.exclusively(() => cutAt(this.#parts, position))
  }

  resize(options: ResizeOptions): Promise<ResizeOutcome> {
    assert(this.#state === 'open', 'a log that failed or was closed is not resized')
    return this.#resizer.resize(options)
  }

  async close(): Promise<void> {
    if (this.#state === 'closing' || this.#state === 'closed') return
    if (this.#state === 'open') await this.#commit.whenIdle()
    if (this.#state === 'open') {
      this.#state = 'closing'
      // A log that fails here is closed all the same; its next opening finds an unclean stop.
      await this.#sync.close().catch((error: unknown) => this.#fail(error))
    }
    this.#state = 'closed'
    this.#commit.stop()
    this.#sync.stop(new LogError('LOG_CLOSED', 'the log was closed'))
    await this.#options.disk.close()
  }

  status(): RingLogStatus {
    const end = this.#commit.formed.position
    const place = (position: LogPosition): number => this.#space.placeOf(position)
    return {
      sizeBytes: RING_OFFSET_BYTES + this.ringBytes,
      ringBytes: this.ringBytes,
      usedBytes: end - this.#retention.freedTo,
      freeBytes: this.freeBytes,
      tail: this.tail,
      end,
      writtenEnd: this.writtenEnd,
      durableEnd: this.durableEnd,
      lastLsn: this.lastLsn,
      durableLsn: this.durableLsn,
      wraps: Math.floor(end / this.ringBytes),
      groupsWritten: this.#commit.groupsWritten,
      entriesWritten: this.#commit.entriesWritten,
      bytesWritten: this.#commit.bytesWritten,
      syncs: this.#sync.syncs,
      superblockWrites: this.#store.writes,
      pieces: this.#space.layout.pieces.length,
      places: { tail: place(this.tail), writtenEnd: place(this.writtenEnd), end: place(end) },
      resize: this.#resizer.status,
    }
  }

  /** Ring bytes that may be written to now. */
  #room(): number {
    return this.#spaceEnd() - this.#commit.formed.position
  }

  /** Nothing may be written at or above it now. */
  #spaceEnd(): LogPosition {
    return Math.min(this.#retention.freedTo + this.#geometry.ringBytes, this.#resizer.cap)
  }

  #maybeStep(): void {
    if (this.#state === 'open' && this.#retention.stepDue(this.#sync.durable)) this.#sync.wantSuperblock()
  }

  #freed(tail: Anchor): void {
    this.#segments.dropBelow(tail.position)
    if (!this.#retention.freed(tail)) return
    this.#options.listener.spaceFreed()
    this.#commit.resume()
    this.#maybeStep()
  }

  #nextSuperblock(cleanStop: boolean): { superblock: Superblock; tail: Anchor } {
    const tail = this.#retention.moveTail(this.#sync.durable)
    this.#superblock = this.#superblockNow(cleanStop)
    return { superblock: this.#superblock, tail }
  }

  #superblockNow(cleanStop: boolean): Superblock {
    const tail = this.#retention.tail
    const durable = this.#sync.durable
    const checkpoint = this.#segments.checkpoints.findLast(
      ({ anchor }) => anchor.position < durable.position && anchor.position >= tail.position,
    )
    return {
      ...this.#superblock,
      sequence: this.#superblock.sequence + 1,
      cleanStop,
      tail,
      checkpoint: checkpoint?.anchor ?? null,
      durableEnd: durable.position,
      durableLsn: durable.lsn,
      wallUs: this.#options.clock.wallUs(),
      owner: this.#options.listener.ownerState(),
    }
  }

  #fail(error: unknown): void {
    if (error instanceof AssertionFailure) throw error
    if (this.#state === 'failed' || this.#state === 'closed') return
    this.#state = 'failed'
    const cause = error instanceof Error ? error : new Error(String(error))
    const what = `the log on ${this.#options.disk.description} failed: ${cause.message}`
    const failure = new LogError('LOG_WRITE_FAILED', what, {}, { cause })
    this.#commit.stop()
    this.#sync.stop(failure)
    this.#options.listener.failed(failure)
  }

  #viewed(): Viewed {
    return {
      options: this.#options,
      space: this.#space,
      segments: this.#segments,
      recent: this.#recent,
      retention: this.#retention,
      commit: this.#commit,
      spans: () => this.#spans,
    }
  }

  #makeParts(): LogParts {
    return {
      ...this.#viewed(),
      store: this.#store,
      sync: this.#sync,
      order: this.#order,
      isOpen: () => this.#state === 'open',
      superblockNow: () => this.#superblockNow(false),
      adopt: (superblock) => {
        this.#superblock = superblock
        this.incarnation = superblock.incarnations.at(-1) as Incarnation
        this.#spans = spansOf(superblock.incarnations)
        this.#geometry = geometryOf(superblock.ringBytes)
      },
      fail: (error) => this.#fail(error),
    }
  }
}
