/**
 * A mapping: one device at one remote site, with the dirty log that knows which of its regions may differ.
 *
 * Owns the dirty log and, during a session with dirty regions, their tracker. A region's bit is set in memory at once
 * and durable after `flush`; it is cleared only when its copy is settled. A crash leaves more dirty than true, never less.
 */
import { must, type LogPoint } from '@sitelink/protocol'
import type { DirtyLog } from '@sitelink/storage'
import type { MappingConfig } from '../config.js'
import { RegionTracker } from '../resync/region-tracker.js'

/** Unit of a log checkpoint's region sets. */
const UNIT_BYTES = 1024 * 1024

export class Mapping {
  readonly config: MappingConfig
  readonly deviceNumber: number
  readonly deviceName: string
  readonly sizeBytes: number
  readonly since: LogPoint
  readonly dirty: DirtyLog
  /** Null while no session is under way, or nothing is dirty. */
  tracker: RegionTracker | null = null

  constructor(config: MappingConfig, device: { number: number; name: string; sizeBytes: number }, dirty: DirtyLog) {
    this.config = config
    this.deviceNumber = device.number
    this.deviceName = device.name
    this.sizeBytes = device.sizeBytes
    const since = must(config.since, 'a mapping is made before it is used')
    this.since = { incarnation: since[0], lsn: since[1] }
    this.dirty = dirty
  }

  get deviceId(): number {
    return this.config.deviceId
  }

  get regionCount(): number {
    return this.dirty.bitmap.regionCount
  }

  get dirtyCount(): number {
    return this.dirty.bitmap.dirtyCount
  }

  /** A session begins: regions that are dirty are to be copied. */
  beginSession(): void {
    this.tracker = this.dirtyCount > 0 ? new RegionTracker(this.dirty.bitmap, this.config.regionBytes) : null
  }

  /** A session ended: what was read or in flight is dirty, as it was. */
  endSession(): void {
    this.tracker = null
  }

  /** Marks the regions of a range, in memory. */
  mark(offset: number, length: number): void {
    this.dirty.markRange(offset, length)
    const { tracker } = this
    if (tracker === null || tracker.activeCount === 0) return
    const last = Math.floor((offset + length - 1) / this.config.regionBytes)
    for (let region = Math.floor(offset / this.config.regionBytes); region <= last; region += 1) tracker.dirtied(region)
  }

  /** Marks whole units of 1 MiB, as the log's checkpoints count them. */
  markUnits(firstUnit: number, unitCount: number): void {
    const offset = firstUnit * UNIT_BYTES
    const length = Math.min(unitCount * UNIT_BYTES, this.sizeBytes - offset)
    if (length > 0) this.mark(offset, length)
  }

  /** Clears what has been settled. Returns how many regions became clean. */
  settle(streamFrames: number, durableLsn: number): number {
    if (this.tracker === null) return 0
    const clean = this.tracker.settle(streamFrames, durableLsn)
    for (const region of clean) this.dirty.clearRegion(region)
    if (this.dirtyCount === 0 && this.tracker.activeCount === 0) this.tracker = null
    return clean.length
  }
}
