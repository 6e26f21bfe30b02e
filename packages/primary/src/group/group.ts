/**
 * A group while it runs: one log, its devices, its slinks, and the one order of writes over all of them.
 *
 * Composition: it holds the parts, passes events between them, and holds no rule of its own beyond the order in which a
 * turn's work is done: entries are noted in the overlay before any answer, answers go out before sites are fed, and the
 * tail moves last. Opening is `open-group.ts`, changing its configuration `group-admin.ts`, reporting `status.ts`.
 */
import { within } from '@sitelink/daemon'
import {
  type Clock,
  type LogPoint,
  type LogPosition,
  type Random,
  type Timer,
  type Transport,
} from '@sitelink/protocol'
import type {
  DiskProvider,
  LogEntry,
  RecoveryReport,
  RingLog,
  RingLogListener,
  WriteBack,
  WriteBackListener,
} from '@sitelink/storage'
import type { ConfigStore, GroupConfig } from '../config.js'
import type { GroupLimits } from '../limits.js'
import type { PeerStore } from '../slink/peers.js'
import { BlockdevSites } from '../blockdev/sites.js'
import type { Slink } from '../slink/slink.js'
import type { DeviceExport } from './device-export.js'
import { deviceFailed, deviceRecovered, entryUnreadable, readFailed } from './device-troubles.js'
import type { EventSink } from './events.js'
import { Holds } from './holds.js'
import { LagLedger } from './lag-ledger.js'
import type { LocalDevice } from './local-device.js'
import { LogResize } from './log-resize.js'
import { LocalSite } from './local-site.js'
import { LsnWaiters } from './lsn-waiters.js'
import { pointAt } from './log-points.js'
import { encodeOwnerState } from './owner-state.js'
import { RequestCounters } from './request-counters.js'
import { ShortageWatch } from './shortage-watch.js'
import { SuperblockWish } from './superblock-wish.js'
import { tailOf } from './group-tail.js'
import type { Tail } from './tail.js'
import { WritePath, type WritePathOwner } from './write-path.js'

export type GroupState = 'starting' | 'running' | 'suspended' | 'failed' | 'stopping' | 'stopped'

export interface GroupParts {
  readonly clock: Clock
  readonly random: Random
  readonly disks: DiskProvider
  readonly config: ConfigStore
  readonly peers: PeerStore
  readonly event: EventSink
  readonly transport: (scheme: string, slink: number) => Transport | null
  /** Where dirty logs without a path of their own lie. */
  readonly dirtyLogPath: (slink: number, mappingId: string) => string
  /** Where the record of a blockdev site lies. */
  readonly sitePath: (slink: number) => string
  /** Name of the own file in the state directory that a path leads to; null if it leads to none. */
  readonly stateFile: (path: string) => Promise<string | null>
  /** Default: those of `limits.ts`. */
  readonly limits?: Partial<GroupLimits>
}

/** What only time can tell is looked at this often. */
const TICK_MS = 50

export class Group implements WritePathOwner, RingLogListener, WriteBackListener {
  readonly parts: GroupParts
  readonly devices = new Map<number, LocalDevice>()
  readonly exports = new Map<number, DeviceExport>()
  readonly slinks = new Map<number, Slink>()
  readonly sites = new BlockdevSites(this)
  readonly local = new LocalSite(this)
  readonly holds = new Holds()
  readonly counters = new RequestCounters()
  readonly logResize = new LogResize(this)
  #state: GroupState = 'starting'
  #failure: string | null = null
  #log!: RingLog
  #recovery!: RecoveryReport
  #writeBack!: WriteBack
  #ledger!: LagLedger
  #writePath!: WritePath
  #tail!: Tail
  #written!: { point: LogPoint; position: LogPosition }
  #marking: Slink[] = []
  #limited: Slink[] = []
  #tick: Timer | null = null
  readonly #superblock: SuperblockWish
  readonly #shortage = new ShortageWatch(this)
  #starving = false
  readonly #writtenWaiters = new LsnWaiters()
  readonly #durableWaiters = new LsnWaiters()
  logStalls = 0

  constructor(parts: GroupParts) {
    this.parts = parts
    this.#superblock = new SuperblockWish(parts.clock)
  }

  /** Puts the opened log and write-back in. Once, by `openGroup`. */
  assemble(log: RingLog, recovery: RecoveryReport, writeBack: WriteBack): void {
    const { clock } = this.parts
    this.#log = log
    this.#recovery = recovery
    this.#writeBack = writeBack
    this.#written = { point: pointAt(log.lastLsn, log.incarnations), position: log.writtenEnd }
    this.#ledger = new LagLedger(log.lastLsn, log.writtenEnd, clock.nowMs())
    this.#writePath = new WritePath({ log, writeBack, holds: this.holds, ledger: this.#ledger, clock, owner: this })
    this.#tail = tailOf(this)
  }

  get state(): GroupState {
    return this.#state
  }

  /** Why the group has failed, or null. */
  get failure(): string | null {
    return this.#failure
  }

  get config(): GroupConfig {
    return this.parts.config.current
  }

  get log(): RingLog {
    return this.#log
  }

  get recovery(): RecoveryReport {
    return this.#recovery
  }

  get writeBack(): WriteBack {
    return this.#writeBack
  }

  get writePath(): WritePath {
    return this.#writePath
  }

  get ledger(): LagLedger {
    return this.#ledger
  }

  get writtenMark(): { readonly point: LogPoint; readonly position: LogPosition } {
    return this.#written
  }

  /** Takes requests from now on. */
  run(): void {
    this.#state = 'running'
    for (const slink of this.slinks.values()) slink.start()
    this.holdingChanged()
    this.#onTick()
    this.#writePath.pump()
  }

  suspend(): void {
    if (this.#state === 'running') this.#state = 'suspended'
  }

  resume(): void {
    if (this.#state !== 'suspended') return
    this.#state = 'running'
    this.#writePath.pump()
  }

  /**
   * A clean stop: no new requests, what was taken is answered or failed, everything is applied to the local devices
   * as far as they work, the log is marked clean. `applyMs` bounds the wait for the devices.
   */
  async stop(applyMs: number): Promise<void> {
    if (this.#state === 'stopped' || this.#state === 'stopping') return
    const failed = this.#state === 'failed'
    this.#state = 'stopping'
    this.#refuseWaiting()
    this.#tick?.cancel()
    for (const slink of this.slinks.values()) await slink.close('the primary stops', false)
    await this.sites.closeAll()
    if (!failed) await within(this.parts.clock, applyMs, this.#applyAll())
    await this.#writeBack.stop()
    this.holds.fail(null)
    this.#tail.close()
    await this.#log.close().catch((error: Error) => {
      this.parts.event({
        kind: 'log-close-failed',
        level: 'error',
        message: `the log was not closed cleanly: ${error.message}`,
        facts: {},
      })
    })
    for (const device of this.devices.values()) await device.device?.close().catch(() => {})
    this.#state = 'stopped'
  }

  /** Nothing is admitted any more: what waits for room, for the group or for a suspended device fails now. */
  #refuseWaiting(): void {
    this.#writePath.pump()
    for (const one of this.exports.values()) one.resume()
  }

  /** Only what is durable in the log may be applied: the sync comes first. */
  async #applyAll(): Promise<void> {
    const { lastLsn } = this.#writePath
    if (this.#log.durableLsn < lastLsn) this.#log.requestSync()
    await this.#durableWaiters.reach(lastLsn, this.#log.durableLsn)
    await this.#writeBack.drain()
  }

  #onTick(): void {
    const nowMs = this.parts.clock.nowMs()
    for (const slink of this.slinks.values()) slink.tick(nowMs)
    this.#shortage.look()
    if (this.#state === 'stopping' || this.#state === 'stopped') return
    this.#tick = this.parts.clock.after(TICK_MS, () => this.#onTick())
  }

  admission(): 'run' | 'hold' | 'refuse' {
    switch (this.#state) {
      case 'running':
        for (const slink of this.slinks.values()) if (slink.holding === 'fail') return 'refuse'
        return this.logResize.isHolding ? 'hold' : 'run'
      case 'starting':
      case 'suspended':
        return 'hold'
      default:
        return 'refuse'
    }
  }

  logShort(): void {
    if (!this.#starving) this.logStalls += 1
    this.#starving = true
    this.#writeBack.checkpoint()
    this.#tail.advance()
    this.#shortage.look()
  }

  appended(deviceId: number, offset: number, length: number): void {
    if (this.#marking.length === 0) return
    const point = this.appendedPoint()
    for (const slink of this.#marking) slink.mappings.mark(deviceId, offset, length, point)
  }

  admitted(): void {
    for (const slink of this.#limited) slink.protection.judgeFallBehind()
  }

  flushed(): void {
    this.release()
    this.local.hurry()
    for (const slink of this.slinks.values()) slink.stream?.askSync()
  }

  appendedPoint(): LogPoint {
    return pointAt(this.#writePath.lastLsn, this.#log.incarnations)
  }

  written(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.#writeBack.note(entry)
    const last = entries[entries.length - 1] as LogEntry
    this.#written = { point: { incarnation: last.frame.incarnation, lsn: last.frame.lsn }, position: last.end }
    this.release()
    this.local.hurry()
    for (const slink of this.slinks.values()) slink.onWritten()
    this.#writtenWaiters.reached(last.frame.lsn)
  }

  durable(position: LogPosition): void {
    this.#writeBack.allow(position)
    this.release()
    this.local.hurry()
    const point = pointAt(this.#log.durableLsn, this.#log.incarnations)
    for (const slink of this.slinks.values()) slink.onDurable(point)
    this.#durableWaiters.reached(point.lsn)
  }

  spaceFreed(): void {
    this.#starving = false
    this.#writePath.pump()
  }

  failed(error: Error): void {
    this.#state = 'failed'
    this.#failure = error.message
    this.parts.event({
      kind: 'group-failed',
      level: 'error',
      message: `the log failed, writes are refused until the daemon is restarted: ${error.message}`,
      facts: {},
    })
    this.holds.fail(null)
    this.#refuseWaiting()
    this.#writeBack?.endLimit()
    this.#writtenWaiters.fail(error)
    this.#durableWaiters.fail(error)
  }

  ownerState(): Buffer {
    const { uuid, epoch } = this.config
    return encodeOwnerState({
      groupUuid: uuid,
      epoch,
      appliedLsn: this.#writeBack?.appliedLsn ?? 0,
      slinks: [...this.slinks.values()].map((slink) => slink.record()),
      lost: this.#writeBack?.lostRanges() ?? [],
    })
  }

  applied(): void {
    this.release()
    this.#tail.advance()
  }

  roomFreed(): void {
    this.#writePath.pump()
  }

  limitWanted(position: LogPosition): void {
    if (position > this.#log.durableEnd) this.#log.requestSync()
  }

  deviceFailed(deviceId: number, error: Error): void {
    deviceFailed(this, deviceId, error)
  }

  deviceRecovered(deviceId: number): void {
    deviceRecovered(this, deviceId)
  }

  logUnreadable(position: LogPosition, deviceId: number, offset: number, length: number, error: Error): void {
    entryUnreadable(this, { position, deviceId, offset, length }, error)
  }

  /** Answers with EIO what waits for this site. */
  failHeldBy(slink: Slink): void {
    this.holds.fail(slink)
    this.#writePath.pump()
  }

  advanceTail(): void {
    this.#tail.advance()
  }

  /** Which slinks are looked at for each entry. */
  standingChanged(): void {
    this.#marking = [...this.slinks.values()].filter((slink) => slink.marksAppends)
    this.#limited = [...this.slinks.values()].filter((slink) => slink.protection.limited)
  }

  /** Slinks or mappings came or went: who is waited for, and what the log must keep. */
  sitesChanged(): void {
    this.holdingChanged()
    this.#tail.advance()
  }

  /** Writes and flushes of one device wait, those of the others go on. */
  suspendDevice(deviceId: number, suspended: boolean): void {
    const device = this.devices.get(deviceId)
    if (device === undefined) return
    device.suspended = suspended
    if (!suspended) this.exports.get(deviceId)?.resume()
  }

  /** Writes a superblock soon; several wishes share one. */
  superblockWanted(): void {
    const takesWrites = (): boolean => ['starting', 'running', 'suspended'].includes(this.#state)
    this.#superblock.make(() => (takesWrites() ? this.#log : null))
  }

  /** Whether writers wait for a site changed. */
  holdingChanged(): void {
    const remote = [...this.slinks.values()].filter((slink) => slink.holding !== 'none')
    this.holds.setSites(this.local.holds ? [this.local, ...remote] : remote)
    this.release()
    this.standingChanged()
    if (this.#state === 'running') this.#writePath.pump()
  }

  /** Answers what may be answered now. */
  release(): void {
    this.holds.release({ writtenLsn: this.#written.point.lsn, durableLsn: this.#log.durableLsn })
  }

  /** Resolves when everything appended so far is in the log file; rejects if the log fails first. */
  allWritten(): Promise<void> {
    return this.#writtenWaiters.reach(this.#writePath.lastLsn, this.#written.point.lsn)
  }

  readFailed(deviceId: number, offset: number, length: number, error: Error): void {
    readFailed(this, deviceId, offset, length, error)
  }
}
