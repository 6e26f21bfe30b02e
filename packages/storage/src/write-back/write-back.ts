/**
 * The face of write-back: notes entries, answers reads, and hands the rest to the flusher.
 *
 * Owns nothing but the wiring: the stack of layers (what is noted), the flusher (what moves it to the devices) and reads
 * (what stands where now). The hot path is `note`: no promise, no closure and no timer an entry.
 */
import { FrameType, type Clock, type Frame, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../device/block-device.js'
import type { LogEntry, RingLog } from '../ring-log/contract.js'
import type { FrameSink, ReadPiece, WriteBack, WriteBackListener, WriteBackStatus } from './contract.js'
import { Flusher } from './flusher.js'
import type { DeviceLane } from './lane.js'
import type { Layer } from './layer.js'
import { LayerStack } from './layer-stack.js'
import { INTERVALS_PER_ENTRY_MAX, resolveLimits, type RingLimits, type WriteBackLimits } from './limits.js'
import type { LostRange } from './lost-ranges.js'
import { partTouches, PiecePlan } from './overlay.js'
import { isBig } from './pace.js'
import { readRange, readRangeInto, type ReadSource } from './read.js'

export interface WriteBackOptions {
  /** Where payloads are read again. Nothing at or above the applied position may be overwritten there. */
  readonly log: Pick<RingLog, 'lease' | 'readPayload' | 'readPayloads'>
  readonly clock: Clock
  readonly listener: WriteBackListener
  /** Absent: frames that change no device only move the position. */
  readonly sink?: FrameSink
  readonly limits?: Partial<WriteBackLimits>
  /** The applied position and LSN to start from; the first noted entry lies at or above it. */
  readonly position: LogPosition
  readonly lsn: Lsn
}

export class LayeredWriteBack implements WriteBack, ReadSource {
  readonly log: Pick<RingLog, 'lease' | 'readPayload'>
  readonly #clock: Clock
  /** Shared with all parts of it. */
  readonly #limits: WriteBackLimits
  readonly #stack: LayerStack
  readonly #flusher: Flusher
  readonly #keepsMarks: boolean
  readonly #nowMs: () => number

  constructor(options: WriteBackOptions) {
    const { log, clock, listener, sink, position, lsn } = options
    this.log = log
    this.#clock = clock
    this.#nowMs = () => clock.nowMs()
    this.#keepsMarks = sink !== undefined
    this.#limits = resolveLimits(options.limits)
    this.#stack = new LayerStack(this.#limits, position, lsn)
    this.#flusher = new Flusher(this.#stack, log, clock, this.#limits, listener, sink ?? null)
  }

  get appliedPosition(): LogPosition {
    return this.#flusher.appliedPosition
  }

  get appliedLsn(): Lsn {
    return this.#flusher.appliedLsn
  }

  get memoryBytes(): number {
    return this.#stack.memoryBytes
  }

  get intervalCount(): number {
    return this.#stack.intervalCount
  }

  limitLag(limits: RingLimits): void {
    Object.assign(this.#limits, resolveLimits({ ...this.#limits, ...limits }))
  }

  hasRoom(payloadBytes: number): boolean {
    const { layers, active, intervalCount, end } = this.#stack
    if (layers.length === 1 && active.empty) return true
    const { intervalsMax, lagBytesMax } = this.#limits
    return (
      intervalCount + INTERVALS_PER_ENTRY_MAX <= intervalsMax &&
      end - this.appliedPosition + payloadBytes <= lagBytesMax
    )
  }

  hasMemory(payloadBytes: number): boolean {
    if (payloadBytes === 0 || payloadBytes > this.#limits.memoryBytesMax) return true
    return this.#stack.keeps(payloadBytes) || !this.#flows
  }

  /** All that is noted is on its way to devices that work and answer: nothing keeps it in memory for long. */
  get #flows(): boolean {
    const { held, lanes } = this.#flusher
    if (held.size > 0) return false
    for (const lane of lanes.values()) if (lane.stuck) return false
    return true
  }

  attach(deviceId: number, device: BlockDevice): void {
    this.#flusher.attach(deviceId, device)
  }

  detach(deviceId: number, mode: 'apply-first' | 'drop'): Promise<void> {
    return this.#flusher.detach(deviceId, mode)
  }

  note(entry: LogEntry, recovered = false): void {
    const { frame } = entry
    const stack = this.#stack
    const flusher = this.#flusher
    const ignore = flusher.dropped.size > 0 && flusher.dropped.has(frame.deviceId)
    if (!ignore && !flusher.lanes.has(frame.deviceId) && touchesDevice(frame)) flusher.hold(frame.deviceId)
    stack.note(entry, recovered, ignore, this.#keepsMarks, this.#nowMs)
    const { active } = stack
    if (active.entryCount === 1) flusher.wakeAt(active.openedAtMs + this.#limits.layerAgeMs)
    if (isBig(active, stack.activeIntervals, this.#limits)) flusher.maybeClose()
  }

  noteLost(deviceId: number, offset: number, length: number): void {
    this.#stack.noteLost(deviceId, offset, length)
    this.#flusher.askPump()
  }

  noteUnreadable(position: LogPosition, deviceId: number, offset: number, length: number): readonly LostRange[] {
    const lost: LostRange[] = []
    let at = offset
    for (const piece of this.plan(deviceId, offset, length)) {
      if (piece.from === 'log' && piece.position === position) lost.push({ deviceId, offset: at, length: piece.length })
      at += piece.length
    }
    for (const range of lost) this.#stack.noteLost(deviceId, range.offset, range.length)
    this.#stack.cutEntry(position, deviceId, offset, length)
    this.#flusher.askPump()
    return lost
  }

  lostRanges(): readonly LostRange[] {
    return this.#stack.lost.stored()
  }

  allow(position: LogPosition): void {
    this.#flusher.allow(position)
  }

  endLimit(): void {
    this.#flusher.endLimit()
  }

  plan(deviceId: number, offset: number, length: number): readonly ReadPiece[] {
    const { layers, lost } = this.#stack
    const plan = new PiecePlan(offset, length)
    if (lost.touches(deviceId))
      lost.within(deviceId, offset, length, (start, end) => plan.takeRange(start, end, 'lost'))
    const written = this.#flusher.lanes.get(deviceId)?.writtenSequence ?? -1
    for (let i = layers.length - 1; i >= 0 && !plan.complete; i--) {
      const layer = layers[i] as Layer
      if (layer.sequence <= written) break
      const part = layer.parts.get(deviceId)
      if (part !== undefined) plan.take(part)
    }
    return plan.finish()
  }

  read(deviceId: number, offset: number, length: number): Promise<readonly Buffer[]> {
    return readRange(this, deviceId, offset, length)
  }

  readInto(deviceId: number, offset: number, into: Buffer): Promise<void> {
    return readRangeInto(this, deviceId, offset, into)
  }

  readNow(deviceId: number, offset: number, into: Buffer): boolean {
    const lane = this.lane(deviceId)
    return lane !== null && !this.covers(deviceId, offset, into.length) && lane.device.readNow(into, offset)
  }

  lane(deviceId: number): DeviceLane | null {
    return this.#flusher.lanes.get(deviceId) ?? null
  }

  covers(deviceId: number, offset: number, length: number): boolean {
    const { layers, lost } = this.#stack
    let found = false
    if (lost.touches(deviceId))
      lost.within(deviceId, offset, length, () => {
        found = true
      })
    const written = this.#flusher.lanes.get(deviceId)?.writtenSequence ?? -1
    for (let i = layers.length - 1; i >= 0 && !found; i--) {
      const layer = layers[i] as Layer
      if (layer.sequence <= written) break
      const part = layer.parts.get(deviceId)
      found = part !== undefined && partTouches(part, offset, length)
    }
    return found
  }

  checkpoint(): void {
    this.#flusher.checkpoint()
  }

  drain(): Promise<void> {
    return this.#flusher.drain()
  }

  stop(): Promise<void> {
    return this.#flusher.stop()
  }

  status(): WriteBackStatus {
    const { layers, end, lastLsn, memoryBytes, intervalCount, notedEntries, notedBytes, lost } = this.#stack
    const oldest = layers[0] as Layer
    const flusher = this.#flusher
    const unsynced = flusher.writtenCount
    return {
      appliedPosition: flusher.appliedPosition,
      appliedLsn: flusher.appliedLsn,
      notedPosition: end,
      notedLsn: lastLsn,
      allowedPosition: flusher.allowed,
      lagBytes: end - flusher.appliedPosition,
      memoryBytes,
      intervalCount,
      closedLayerCount: layers.length - 1 - unsynced,
      unsyncedLayerCount: unsynced,
      oldestUnappliedMs: oldest.empty ? null : this.#clock.nowMs() - oldest.openedAtMs,
      notedEntryCount: notedEntries,
      notedBytes,
      writtenBytes: flusher.writtenBytes,
      zeroedBytes: flusher.zeroedBytes,
      deviceWriteCount: flusher.deviceWrites,
      deviceSyncCount: flusher.syncCount,
      failedDeviceIds: [...flusher.lanes.values()].filter((lane) => lane.failing).map((lane) => lane.deviceId),
      heldDeviceIds: [...flusher.held],
      lostRangeCount: lost.count,
    }
  }
}

function touchesDevice(frame: Frame): boolean {
  switch (frame.type) {
    case FrameType.write:
    case FrameType.zeroes:
    case FrameType.trim:
    case FrameType.copy:
    case FrameType.copyZeroes:
      return frame.length > 0
    default:
      return false
  }
}
