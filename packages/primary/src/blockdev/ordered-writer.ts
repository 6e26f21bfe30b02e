/**
 * The way of frames to the devices of a blockdev site: in the order of the log, one write at a time.
 *
 * Owns the frames that are received and not on the devices, and how far the devices are. Nothing can be cut from a device,
 * so a frame is given to one only when the primary's log has it durably. Each write is complete before the next begins,
 * over all devices of the site: at every instant they hold the history cut at one entry. A flush of an application is a
 * sync of all of them before the entry behind it, so that what a power cut of the target leaves is what it would leave of
 * local disks. Several frames share one sync at the end; only then are they acknowledged.
 *
 *   record "reach" durable -> writes, in order -> sync -> record "applied" durable -> acknowledge
 *
 * Invariant: no byte above the recorded reach was ever given to a device, and everything up to the recorded applied point
 * is on them durably. What lies between may be there in part after a crash, until it is written again.
 */
import {
  assert,
  frameBytes,
  FrameFlag,
  FrameType,
  isCopy,
  isEntry,
  type Frame,
  type Lsn,
  type WireMark,
} from '@sitelink/protocol'
import type { BlockDevice } from '@sitelink/storage'
import { SITE_BATCH_BYTES, SITE_BATCH_FRAMES } from '../limits.js'
import type { SitePoint } from './site-record.js'

export interface WriterHost {
  device(deviceId: number): BlockDevice | null
  /** Stores both, durably. */
  record(applied: SitePoint, reachLsn: Lsn): Promise<void>
  /** Id of a life of the log, 16 hex digits. */
  incarnationId(incarnation: number): string
  /** Frames of so many bytes are on the devices: an acknowledgement is due. */
  moved(bytes: number): void
  /** The oldest frame waits for the primary's log to be durable. */
  limitWanted(): void
  /** Nothing more is written until the next {@link OrderedWriter.begin}. `deviceId` null: the record could not be stored. */
  failed(deviceId: number | null, error: Error): void
}

class DeviceFailure extends Error {
  constructor(
    readonly deviceId: number,
    override readonly cause: Error,
  ) {
    super(cause.message)
  }
}

export class OrderedWriter {
  readonly #host: WriterHost
  #queue: Frame[] = []
  #queuedBytes = 0
  /** What is recorded. */
  #applied: SitePoint
  #reachLsn: Lsn
  /** Up to here the devices may hold more than `applied` says, since a crash or a failure. */
  #doubtLsn: Lsn
  /** Largest stamp of a copy that was written: from there on the devices are one point of the history again. */
  #stampLsn: Lsn = 0
  #toldLsn: Lsn = 0
  #frames = 0
  /** Devices with writes that no sync has covered. */
  readonly #unsynced = new Map<number, BlockDevice>()
  #running: Promise<void> | null = null
  #open = false

  constructor(host: WriterHost, recorded: { readonly applied: SitePoint; readonly reachLsn: Lsn }) {
    this.#host = host
    this.#applied = recorded.applied
    this.#reachLsn = recorded.reachLsn
    this.#doubtLsn = recorded.reachLsn
  }

  get applied(): SitePoint {
    return this.#applied
  }

  /** Received and not on the devices. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** The devices hold the history cut at the applied point, as far as this end knows: dirty regions are the primary's to know. */
  get consistent(): boolean {
    return this.#applied.lsn >= Math.max(this.#doubtLsn, this.#stampLsn)
  }

  /** How far it is in this session: received, durable and applied are one here. */
  get mark(): WireMark {
    return [this.#applied.incarnation, this.#applied.lsn, this.#frames]
  }

  /** Something is being written, or stored. */
  get busy(): boolean {
    return this.#running !== null
  }

  /** The devices are at `applied` for the primary; what was in doubt of another log is none of this one. Idle. */
  async restart(applied: SitePoint, fresh: boolean): Promise<void> {
    assert(!this.busy && !this.#open, 'a stream begins while nothing is written')
    const reachLsn = fresh ? applied.lsn : Math.max(applied.lsn, this.#reachLsn)
    await this.#host.record(applied, reachLsn)
    this.#applied = applied
    this.#reachLsn = reachLsn
    if (fresh) this.#doubtLsn = this.#stampLsn = 0
  }

  /** A session begins. */
  begin(toldLsn: Lsn): void {
    this.#open = true
    this.#frames = 0
    this.#toldLsn = toldLsn
  }

  /** Takes the next frame of the stream. */
  push(frame: Frame): void {
    if (!this.#open) return
    this.#queue.push(frame)
    this.#queuedBytes += frameBytes(frame)
    if (isEntry(frame.type)) this.#toldLsn = Math.max(this.#toldLsn, frame.durableLsn)
    this.#wake()
  }

  /** The primary's log is durable up to here. */
  told(lsn: Lsn): void {
    if (lsn <= this.#toldLsn) return
    this.#toldLsn = lsn
    this.#wake()
  }

  /** No more is begun. Resolves once nothing is under way: what was written is synced and recorded. Never rejects. */
  async end(): Promise<void> {
    this.#open = false
    this.#queue = []
    this.#queuedBytes = 0
    await this.#running
  }

  #wake(): void {
    if (this.#running !== null || !this.#open || this.#queue.length === 0) return
    if (!this.#allowed(this.#queue[0] as Frame)) return this.#host.limitWanted()
    this.#running = this.#run().finally(() => {
      this.#running = null
      this.#wake()
    })
  }

  async #run(): Promise<void> {
    try {
      for (let batch = this.#batch(); this.#open && batch.length > 0; batch = this.#batch()) await this.#apply(batch)
    } catch (error) {
      this.#open = false
      this.#unsynced.clear()
      this.#doubtLsn = Math.max(this.#doubtLsn, this.#reachLsn)
      if (error instanceof DeviceFailure) this.#host.failed(error.deviceId, error.cause)
      else this.#host.failed(null, error as Error)
    }
  }

  /** Frames from the oldest on that may be given to the devices, as many as share a sync. */
  #batch(): readonly Frame[] {
    let bytes = 0
    let count = 0
    for (const frame of this.#queue) {
      if (count === SITE_BATCH_FRAMES || bytes >= SITE_BATCH_BYTES || !this.#allowed(frame)) break
      bytes += frameBytes(frame)
      count += 1
    }
    return this.#queue.slice(0, count)
  }

  /** A copy may hold what was written up to its stamp; a power cut must not be able to unmake that. */
  #allowed(frame: Frame): boolean {
    return Math.max(frame.lsn, isCopy(frame.type) ? frame.aux : 0) <= this.#toldLsn
  }

  async #apply(batch: readonly Frame[]): Promise<void> {
    const reachLsn = Math.max(this.#reachLsn, ...batch.map(reachOf))
    if (reachLsn > this.#reachLsn) await this.#record(this.#applied, reachLsn)
    let applied = this.#applied
    let bytes = 0
    let count = 0
    for (const frame of batch) {
      if (!this.#open) break
      await this.#give(frame)
      const { incarnation, lsn } = frame
      const crc = isEntry(frame.type) ? frame.headerCrc : lsn === applied.lsn ? applied.crc : 0
      applied = { incarnation, lsn, crc, incarnationId: this.#host.incarnationId(incarnation) }
      bytes += frameBytes(frame)
      count += 1
    }
    await this.#sync()
    if (this.#open) this.#queue.splice(0, count)
    // What comes next is announced in the same record; where nothing does, it says where the devices are.
    const next = this.#open ? Math.max(0, ...this.#batch().map(reachOf)) : 0
    const exact = Math.max(applied.lsn, this.#stampLsn, this.#doubtLsn)
    await this.#record(applied, Math.max(exact, next))
    if (!this.#open) return
    this.#frames += count
    this.#queuedBytes -= bytes
    this.#host.moved(bytes)
  }

  async #record(applied: SitePoint, reachLsn: Lsn): Promise<void> {
    await this.#host.record(applied, reachLsn)
    this.#applied = applied
    this.#reachLsn = reachLsn
  }

  async #give(frame: Frame): Promise<void> {
    const { type, deviceId, offset, length, flags, payload } = frame
    if ((flags & FrameFlag.flushBefore) !== 0) await this.#sync()
    if (!touches(frame)) return
    const device = this.#host.device(deviceId)
    assert(device !== null, 'a session has all its devices')
    if (isCopy(type)) this.#stampLsn = Math.max(this.#stampLsn, frame.aux)
    this.#unsynced.set(deviceId, device)
    await this.#of(deviceId, () => {
      if (payload !== null && payload.length > 0) return device.write([payload], offset)
      return type === FrameType.trim ? device.discard(offset, length) : device.zero(offset, length)
    })
    if ((flags & FrameFlag.fua) !== 0) await this.#sync()
  }

  /** One device after the other: a device that hangs holds one thread. */
  async #sync(): Promise<void> {
    for (const [deviceId, device] of this.#unsynced) await this.#of(deviceId, () => device.sync())
    this.#unsynced.clear()
  }

  async #of(deviceId: number, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      throw new DeviceFailure(deviceId, error as Error)
    }
  }
}

/** It changes bytes of a device. */
function touches({ type }: Frame): boolean {
  return type === FrameType.write || type === FrameType.zeroes || type === FrameType.trim || isCopy(type)
}

/** The last LSN of which it may bring bytes. */
function reachOf(frame: Frame): Lsn {
  if (!touches(frame)) return 0
  return isCopy(frame.type) ? Math.max(frame.lsn, frame.aux) : frame.lsn
}
