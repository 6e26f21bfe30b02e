/**
 * The line from the stream to the devices, for one life of the journal: journal, applier, write-back, dirty regions.
 *
 * Owns their wiring: who is told what, and in which order things become durable. Decides nothing by itself that is not
 * in the pure files. Invariant: a region is dirty durably before the frame that says so is in the journal, and a mapping
 * is known durably before its frame is; so whatever the journal holds can be applied after any restart.
 */
import { within } from '@sitelink/daemon'
import {
  isCopy,
  isEntry,
  assert,
  decodeMapPayload,
  decodeResyncBeginPayload,
  decodeUnmapPayload,
  FrameType,
  type Clock,
  type Frame,
  type LogPoint,
  type LogPosition,
  type RangeAnswer,
  type VerifiedRange,
  type WireIncarnation,
} from '@sitelink/protocol'
import { LayeredWriteBack, type WriteBack, type WriteBackStatus } from '@sitelink/storage'
import { Applier } from '../apply/applier.js'
import { rangeAnswer } from '../apply/range-answer.js'
import { RegionCopies, type DirtyAgain } from '../apply/region-copies.js'
import type { DeviceSet } from '../device/device-set.js'
import type { CutPlace } from '../journal/cut-place.js'
import type { Journal } from '../journal/journal.js'
import type { Mark } from '../journal/marks.js'
import type { AgentLimits } from '../limits.js'
import { devicePace } from './device-pace.js'
import { Attachments } from './attachments.js'
import { CatchUp } from './catch-up.js'
import type { DirtyBook } from './dirty-book.js'
import type { MappingTable, PendingUnmap } from './mapping-table.js'
import type { ReplicaMapping } from './replica-state.js'
import { stampPoint } from './stamp-point.js'
import { TableUpdates } from './table-updates.js'

/** What a line tells the agent. */
export interface LineListener {
  deviceFailed(name: string, error: Error): void
  deviceRecovered(name: string): void
  /** The journal cannot be applied any further. */
  damaged(why: string): void
  /** A mark, a count or the consistency changed. */
  changed(): void
  /** Something that a frame asked for could not be made durable; it is not believed. */
  failed(what: string, error: unknown): void
}

export interface LineParts {
  readonly clock: Clock
  readonly limits: AgentLimits
  readonly journal: Journal
  readonly table: MappingTable
  readonly dirty: DirtyBook
  readonly devices: DeviceSet
  readonly dirtied: readonly DirtyAgain[]
  /** Lives of the primary's log, as it told them last. */
  readonly incarnations: () => readonly WireIncarnation[]
  /** Nothing behind the applied position may be applied. */
  readonly hole: string | null
  readonly listener: LineListener
}

/** See the head of this file. */
export class Line {
  readonly journal: Journal
  readonly table: MappingTable
  readonly dirty: DirtyBook
  readonly applier: Applier
  readonly #parts: LineParts
  readonly #writeBack: WriteBack
  readonly #copies = new RegionCopies()
  readonly #attachments: Attachments
  /** What a barrier frame began and the journal does not have yet. */
  #unplacedUnmap: PendingUnmap | null = null
  #unplacedDirty: DirtyAgain | null = null
  #unplacedMap: string | null = null
  /** Mappings of this session that are all dirty until they are announced, and the region from which on they are. */
  readonly #unannounced = new Map<string, number>()
  readonly #updates: TableUpdates
  readonly #catchUp: CatchUp

  constructor(parts: LineParts) {
    const { clock, limits, journal, table, dirty, dirtied, hole, listener } = parts
    this.#updates = new TableUpdates(clock, (error) => listener.failed('an unmap could not be written down', error))
    this.#catchUp = new CatchUp(clock, limits.catchUpMs, () => this.hurry())
    this.#parts = parts
    this.journal = journal
    this.table = table
    this.dirty = dirty
    for (const one of dirtied) this.#copies.dirtied(one)
    const start = journal.applied
    this.#writeBack = new LayeredWriteBack({
      log: journal.log,
      clock,
      position: start.end,
      lsn: start.lsn,
      limits: devicePace(journal.log.ringBytes, limits),
      listener: {
        applied: (position) => this.#onApplied(position),
        roomFreed: () => this.applier.wake(),
        limitWanted: () => {},
        deviceFailed: (deviceId, error) => parts.listener.deviceFailed(this.#nameOf(deviceId), error),
        deviceRecovered: (deviceId) => parts.listener.deviceRecovered(this.#nameOf(deviceId)),
        logUnreadable: (position, _deviceId, _offset, _length, error) =>
          parts.listener.damaged(`position ${position}: ${error.message}`),
      },
      sink: { applied: (frame, frameEnd) => this.#onFrameApplied(frame, frameEnd) },
    })
    this.#attachments = new Attachments(table, parts.devices, this.#writeBack)
    this.applier = new Applier(
      {
        limit: () => journal.limit,
        voids: () => journal.voids,
        cursor: (position) => journal.cursor(position),
        mapped: (frame) => this.#onMapPassed(frame),
        unmapped: (frame) => this.#onUnmapPassed(frame),
        passed: (mark) => this.#onPassed(mark),
        limitWanted: (frame) => journal.limitWanted(frame),
        damaged: (_position, why) => parts.listener.damaged(why),
      },
      this.#writeBack,
      start,
      clock,
      limits.applyReadBytes,
    )
    if (hole !== null) this.applier.freeze()
    this.attachAll()
  }

  /** Attaches devices that are wanted and open now. */
  attachAll(): void {
    this.#attachments.attachAll()
    this.applier.wake()
  }

  /** See {@link Attachments.uncache}. */
  uncache(): void {
    this.#attachments.uncache()
  }

  /** Names of mapped devices that cannot be used now. */
  missingDevices(): string[] {
    return this.#attachments.missing()
  }

  /** Lets a device go although it is mapped. What waits for it is dropped, so every region of it is dirty, durably, before. */
  async release(name: string): Promise<void> {
    for (const row of this.table.rows.filter(({ remote }) => remote === name)) {
      await this.dirty.markMapping(row.mappingId)
      this.#attachments.forget(row)
      if (this.table.attachedRow(row.deviceId) === row) await this.#writeBack.detach(row.deviceId, 'drop')
    }
  }

  writeBackStatus(): WriteBackStatus {
    return this.#writeBack.status()
  }

  /** Makes durable what a map, unmap or resync-begin frame changes, before it goes into the journal. */
  async barrier(frame: Frame): Promise<void> {
    assert(this.#unplacedUnmap === null && this.#unplacedDirty === null, 'one barrier at a time')
    if (frame.type === FrameType.map) return this.#barrierMap(frame)
    if (frame.type === FrameType.resyncBegin) return this.#barrierResync(frame)
    const payload = decodeUnmapPayload(frame.payload)
    if (!payload.ok) throw new Error(payload.why)
    const { mappingId } = payload.value
    if (this.table.streamRow(frame.deviceId)?.mappingId !== mappingId)
      throw new Error(`device ${frame.deviceId} is unmapped, but the mapping ${mappingId} is not in force`)
    this.#unplacedUnmap = { mappingId, lsn: frame.lsn }
    this.table.unmapReceived(this.#unplacedUnmap)
  }

  /** Puts a frame into the journal. */
  append(frame: Frame): void {
    const entry = this.journal.append(frame)
    // Only an entry's durable LSN is of the entry's own incarnation.
    if (isEntry(frame.type) && frame.durableLsn > this.journal.told.lsn) {
      this.journal.noteTold({ incarnation: frame.incarnation, lsn: frame.durableLsn })
    }
    if (isCopy(frame.type)) this.journal.noteStamp(stampPoint(this.#parts.incarnations(), frame.aux))
    if (frame.type === FrameType.unmap) this.#unplacedUnmap = null
    if (frame.type === FrameType.map) this.#unplacedMap = null
    if (frame.type !== FrameType.resyncBegin || this.#unplacedDirty === null) return
    this.#unplacedDirty.place = entry
    this.#unplacedDirty = null
  }

  /** The session is over: what it began and did not bring into the journal is forgotten. Dirty regions stay dirty. */
  sessionEnded(): void {
    if (this.#unplacedUnmap !== null) this.table.dropUnmap(this.#unplacedUnmap)
    // Its row is durable and stays in force; no frame of the journal will attach it.
    if (this.#unplacedMap !== null) this.table.mapDropped(this.#unplacedMap)
    this.#unplacedMap = null
    this.#unplacedUnmap = null
    this.#unplacedDirty = null
    this.#unannounced.clear()
    this.#copies.dropUnplaced()
    this.applier.dropLooks()
  }

  /** The journal is cut at `position`, behind `common`; durable on return. Nothing gathers. */
  async cut(place: CutPlace, common: LogPoint): Promise<void> {
    this.applier.beginCut(place.position)
    await this.journal.cut(place, common)
    this.#copies.cut(place.position)
    await this.cutTable(common)
    this.applier.endCut()
  }

  /** Mappings that came behind `common` never were. Durable on return. */
  async cutTable(common: LogPoint): Promise<void> {
    for (const row of await this.table.cut(common.lsn)) {
      if (this.table.attachedRow(row.deviceId) === row) {
        this.table.detached(row.deviceId)
        await this.#writeBack.detach(row.deviceId, 'drop')
      }
      await this.dirty.remove(row)
    }
  }

  /** Resolves when all that may be applied is on the devices; nothing more follows until `thaw`, which also gives it up. */
  async freeze(): Promise<void> {
    if (await this.applier.freezeSettled()) await this.#writeBack.drain()
  }

  /** True if the devices are exactly where the applier stands. */
  get drained(): boolean {
    return this.#writeBack.appliedPosition >= this.applier.position
  }

  thaw(): void {
    if (this.#parts.hole === null) this.applier.thaw()
  }

  /** Answers what a range reads as when so many frames of the session are applied, and none behind them. */
  verify(range: VerifiedRange, frames: number, answered: (answer: RangeAnswer) => void): void {
    this.applier.look(frames, async () =>
      answered(await rangeAnswer(this.#writeBack, this.table.appliedRow(range.deviceId), range)),
    )
  }

  /** Asks for room in the journal: what may be applied is applied soon. */
  hurry(): void {
    this.#writeBack.checkpoint()
  }

  /** Stops applying and waits for what is under way; the journal stays. */
  async stop(): Promise<void> {
    this.#catchUp.stop()
    await this.#writeBack.stop()
    await this.applier.stop()
    await this.#updates.stop()
  }

  /** Applies what may be applied, as far as it goes within a bounded time: the journal keeps the rest. Never rejects. */
  async applyAll(): Promise<void> {
    const { clock, limits } = this.#parts
    await within(
      clock,
      limits.stopMsMax,
      this.applier.settled().then(() => this.#writeBack.drain()),
    )
  }

  async #barrierMap(frame: Frame): Promise<void> {
    const payload = decodeMapPayload(frame.payload)
    if (!payload.ok) throw new Error(payload.why)
    const { clean, ...mapping } = payload.value
    const { mappingId, remote, sizeBytes, name, number } = mapping
    const { deviceId } = frame
    const before = this.table.streamRow(deviceId)
    if (before?.mappingId === mappingId) return
    if (before !== null) throw new Error(`device ${number} "${name}" is mapped already, to "${before.remote}"`)
    const twice = this.table.inForce.find((row) => row.remote === remote)
    if (twice !== undefined) throw new Error(`"${remote}" belongs to device ${twice.number} "${twice.name}" already`)
    await this.#parts.devices.openAll()
    const what = `device ${number} "${name}"`
    const device = this.#parts.devices.device(remote)
    if (device === null) throw new Error(`${what} is mapped to "${remote}": ${this.#parts.devices.problem(remote)}`)
    if (device.sizeBytes < sizeBytes)
      throw new Error(`${what} has ${sizeBytes} bytes, the agent's "${remote}" only ${device.sizeBytes}`)
    const path = this.#parts.devices.path(remote) ?? device.description
    const row: ReplicaMapping = { deviceId, ...mapping, path, sinceLsn: frame.lsn }
    // The unmap of a row before it is durable first: a power cut must not leave two rows and no end of the first.
    if (this.table.rows.some((one) => one.deviceId === deviceId)) await this.journal.quiesce()
    await this.dirty.add(row, clean ? 'all-clean' : 'all-dirty')
    if (!clean) this.#unannounced.set(mappingId, 0)
    // What is in no table would count as dirty for ever.
    await this.table.add(row).catch(async (error: unknown) => {
      this.#unannounced.delete(mappingId)
      await this.dirty.remove(row)
      throw error
    })
    this.table.mapAppended(mappingId)
    this.#unplacedMap = mappingId
  }

  async #barrierResync(frame: Frame): Promise<void> {
    const payload = decodeResyncBeginPayload(frame.payload)
    if (!payload.ok) throw new Error(payload.why)
    const { mappingId, firstRegion, regionCount, bits, regionBytes } = payload.value
    const row = this.table.streamRow(frame.deviceId)
    if (row === null || row.mappingId !== mappingId)
      throw new Error(`a resync begins for a mapping of device ${frame.deviceId} that is not in force`)
    if (row.regionBytes !== regionBytes)
      throw new Error(
        `a resync of device ${frame.deviceId} has regions of ${regionBytes} bytes, not ${row.regionBytes}`,
      )
    const total = this.dirty.counts(mappingId).total
    if (firstRegion + regionCount > total)
      throw new Error(`a resync of device ${frame.deviceId} names region ${firstRegion + regionCount - 1} of ${total}`)
    // From here on a copy that is still on its way to the device does not make one of these regions clean.
    const again: DirtyAgain = {
      deviceId: frame.deviceId,
      place: null,
      firstRegion,
      regionCount,
      bits: Buffer.from(bits),
    }
    this.#unplacedDirty = again
    this.#copies.dirtied(again)
    const replace = this.#unannounced.get(mappingId) === firstRegion
    if (replace) this.#unannounced.set(mappingId, firstRegion + regionCount)
    await this.dirty.markBits(mappingId, firstRegion, regionCount, bits, replace)
  }

  #onPassed(mark: Mark): void {
    this.journal.passed(mark)
    if (mark.end >= this.journal.received.end && this.dirty.dirtyRegions > 0) this.#catchUp.reached()
  }

  #onMapPassed(frame: Frame): void {
    const payload = decodeMapPayload(frame.payload)
    const row = payload.ok ? this.table.mapPassed(payload.value.mappingId) : null
    if (row !== null) this.#attachments.attach(row)
    if (this.dirty.dirtyRegions === 0) this.uncache()
  }

  async #onUnmapPassed(frame: Frame): Promise<void> {
    const payload = decodeUnmapPayload(frame.payload)
    if (payload.ok && this.table.row(payload.value.mappingId) === null) {
      // Found again at a restart: nothing of it may reach the mapping that follows, attached already if only its row is left.
      const following = this.table.attachedRow(frame.deviceId)
      await this.#writeBack.detach(frame.deviceId, 'drop')
      await this.#writeBack.drain()
      if (following !== null) this.#attachments.attach(following)
      return
    }
    // Of a device that is missing nothing can be applied; what waits for it must not hold up all others for ever.
    await this.#writeBack.detach(frame.deviceId, 'apply-first')
    this.table.detached(frame.deviceId)
    // A row whose map frame never got into the journal is in force from here on: no frame will attach it.
    const next = payload.ok ? this.table.rowBehind(frame.deviceId, payload.value.mappingId) : null
    if (next !== null) this.#attachments.attach(next)
  }

  #onFrameApplied(frame: Frame, end: LogPosition): void {
    if (isCopy(frame.type)) {
      const row = this.table.appliedRow(frame.deviceId)
      const region = row === null ? null : this.#copies.applied(frame, end, row)
      if (row !== null && region !== null) this.dirty.brought(row.mappingId, region)
    } else if (frame.type === FrameType.unmap) {
      this.#onUnmapApplied(frame)
    }
  }

  /** The table is in step before any superblock says that the unmap is applied: a restart would not see it again. */
  #onUnmapApplied(frame: Frame): void {
    const release = this.journal.hold()
    this.#copies.forget(frame.deviceId)
    const payload = decodeUnmapPayload(frame.payload)
    const row = payload.ok ? this.table.unmapApplied(payload.value.mappingId) : null
    this.#updates.add(async () => {
      if (row !== null) {
        await this.table.forget(row)
        await this.dirty.remove(row)
      }
      release()
      this.#attachments.attachNext()
    })
  }

  #onApplied(position: LogPosition): void {
    this.journal.appliedTo(position)
    this.#copies.passed(position)
    this.applier.wake()
    this.#parts.listener.changed()
  }

  #nameOf(deviceId: number): string {
    return this.table.appliedRow(deviceId)?.remote ?? `id ${deviceId}`
  }
}
