/**
 * A remote site link: the shell that holds one site's place in the log, its dirty logs, its guard and its session.
 *
 * Owns what is true of the site between sessions. Decisions are pure and elsewhere (`guard.ts`, `fall-behind.ts`,
 * `region-tracker.ts`, the resume plan of the protocol); this file reports events to them and does what they say.
 * Invariants: the log is pinned from the place on unless the site is behind; while it is behind, every entry of its
 * devices is marked at append; a superblock may say "position" only after the marks up to it are durable and the agent
 * has the announcement of the resync durable.
 */
import type { LogPoint, LogPosition, Lsn } from '@sitelink/protocol'
import type { SlinkConfig } from '../config.js'
import type { EventFacts, EventLevel } from '../group/events.js'
import type { HoldingSite } from '../group/holds.js'
import { noteOldest } from '../group/old-entries.js'
import type { SlinkRecord } from '../group/owner-state.js'
import { CleanFlush } from './clean-flush.js'
import type { Outstanding } from './fall-behind.js'
import type { Holding } from './guard.js'
import { Link } from './link.js'
import type { Mapping } from './mapping.js'
import { MappingSet } from './mapping-set.js'
import { Overflow, type OverflowOwner } from './overflow.js'
import type { Place } from './place.js'
import { Protection, type ProtectionOwner } from './protection.js'
import { ResyncEpisodes } from './resync-episodes.js'
import type { SlinkContext } from './slink-context.js'
import { beginStream } from './stream-begin.js'
import {
  isBehindOnDisk,
  marksTo,
  pinOfStanding,
  pointOfStanding,
  recordOf,
  standingOf,
  type Standing,
} from './standing.js'
import type { StreamSession } from './stream-session.js'

export class Slink implements HoldingSite, ProtectionOwner, OverflowOwner {
  #config: SlinkConfig
  readonly mappings = new MappingSet()
  readonly #context: SlinkContext
  readonly #link: Link
  readonly #protection: Protection
  readonly #overflow: Overflow
  #standing: Standing
  #stream: StreamSession | null = null
  /** Stream frames after which the agent knows of everything that it misses. */
  #announceFrames = Infinity
  readonly #cleanFlush: CleanFlush
  removed = false
  readonly resyncs: ResyncEpisodes
  #copiedBytesBefore = 0

  constructor(config: SlinkConfig, record: SlinkRecord | null, context: SlinkContext) {
    this.#config = config
    this.#context = context
    this.#standing = standingOf(record, context.written(), context.log.tail)
    this.#protection = new Protection(this, record?.wasProtected ?? false)
    this.#overflow = new Overflow(this, context.clock)
    this.resyncs = new ResyncEpisodes(config.number, (...event) => this.event(...event))
    this.#link = new Link(this, context)
    this.#cleanFlush = new CleanFlush(
      context.clock,
      () => (this.removed ? Promise.resolve() : this.flushMarks()),
      (error) => this.dirtyLogFailed(error),
    )
  }

  get number(): number {
    return this.#config.number
  }

  get config(): SlinkConfig {
    return this.#config
  }

  get standing(): Standing {
    return this.#standing
  }

  get stream(): StreamSession | null {
    return this.#stream
  }

  get protection(): Protection {
    return this.#protection
  }

  get link(): Link {
    return this.#link
  }

  /** Bytes sent as copies of regions since the daemon started. */
  get copiedBytes(): number {
    return this.#copiedBytesBefore + (this.#stream?.feed.copyBytesSent ?? 0)
  }

  get sync(): boolean {
    return this.#config.mode === 'sync'
  }

  get level(): 'received' | 'durable' {
    return this.sync ? this.#config.ack : 'received'
  }

  get holds(): boolean {
    // One that fails writers lets none of those go that wait for it: they are failed.
    return !this.removed && this.#protection.keepsWriters
  }

  get holding(): Holding {
    return this.#protection.holding
  }

  get receivedLsn(): Lsn {
    return this.#stream?.heldReceivedLsn ?? this.point.lsn
  }

  get durableLsn(): Lsn {
    return this.#stream?.heldDurableLsn ?? this.point.lsn
  }

  /** The last durable acknowledgement. */
  get point(): LogPoint {
    return pointOfStanding(this.#standing)
  }

  /** Everything from here on is needed; null: nothing is. */
  get pin(): LogPosition | null {
    return pinOfStanding(this.#standing)
  }

  /** True while appended entries must be marked. */
  get marksAppends(): boolean {
    return this.#standing.kind !== 'log' && this.mappings.size > 0
  }

  /** True while a superblock calls it behind: its marks are made durable before the tail moves. */
  get needsFlushBeforeRelease(): boolean {
    return this.mappings.size > 0 && isBehindOnDisk(this.#standing)
  }

  record(): SlinkRecord {
    return recordOf(this.number, this.#standing, this.mappings.dirtyRegions > 0, this.#protection.latched)
  }

  /** What it has not received, as fall-behind and lag count it. */
  outstanding(): Outstanding {
    if (this.mappings.size === 0) return { ios: 0, bytes: 0, ageMs: null }
    const { ledger, clock } = this.#context
    return ledger.outstanding(this.#stream?.receivedLsn ?? this.point.lsn, this.pin, clock.nowMs())
  }

  /** Makes the marks so far durable; the stored bitmaps are complete up to the last entry then. */
  async flushMarks(): Promise<void> {
    if (this.mappings.size === 0) return
    await this.mappings.flush(marksTo(this.#standing, this.#context.appended()))
  }

  start(): void {
    const { log, ledger } = this.#context
    if (this.mapped && this.pin !== null) void noteOldest(log, this.pin, ledger.old)
    this.#protection.recompute()
    if (!this.#config.paused) this.#link.start()
  }

  /** Entries are in the log file and in the overlay. */
  onWritten(): void {
    this.#stream?.written(this.holding !== 'none')
  }

  onDurable(point: LogPoint): void {
    const stream = this.#stream
    if (stream === null) return
    stream.durable(point)
    stream.settle()
    this.#judge(stream)
  }

  /** Called a few times a second: what only time can tell. */
  tick(nowMs: number): void {
    this.#protection.tick(nowMs)
    if (this.mappings.size === 0) this.#followHead()
  }

  get mapped(): boolean {
    return this.mappings.size > 0
  }

  appendedLsn(): Lsn {
    return this.#context.appended().lsn
  }

  isWaitedFor(): boolean {
    return this.#context.oldestHeld(this) !== Infinity
  }

  holdingChanged(): void {
    this.#context.holdingChanged()
  }

  latchChanged(): void {
    this.#context.superblockWanted()
  }

  failWriters(): void {
    this.#context.failHeld(this)
  }

  lost(failWriters: boolean): void {
    if (failWriters) this.failWriters()
    this.#link.hangUp('it made no progress')
  }

  event(kind: string, level: EventLevel, message: string, facts: EventFacts): void {
    this.#context.event({ kind, level, message, facts: { slink: this.number, ...facts } })
  }

  /** A site without devices needs nothing of the log. */
  #followHead(): void {
    if (this.#standing.kind !== 'log') return
    const { point, position } = this.#context.written()
    if (this.#stream === null && position > this.#standing.place.position) {
      this.#standing.place.moveTo(point, position)
      this.#context.tailMayMove()
    }
  }

  /** The session is ready: `common` is the last entry that both have. Rejects if the dirty logs cannot be stored. */
  async begin(ready: Parameters<typeof beginStream>[1]): Promise<void> {
    const stream = await beginStream(this, ready, this.#context, {
      acked: (pinned) => this.#onAcked(pinned),
      cleaned: () => this.#cleanFlush.soon(),
      hole: (hole) => this.#overflow.hole(hole),
      failed: (message) => this.#link.hangUp(message),
      readFailed: (deviceId, region, error) =>
        this.event(
          'resync-read-failed',
          'error',
          `a region of device ${deviceId} could not be read: ${error.message}`,
          { deviceId, region },
        ),
    })
    if (ready.session.ended) {
      stream.close()
      this.mappings.endSession()
      throw new Error('the session ended before it began')
    }
    this.#stream = stream
    this.resyncs.begins(this.mappings.dirtyRegions)
    if (this.mappings.dirtyRegions > 0) this.#protection.happened('dirtied')
    this.#protection.happened('session')
    this.event('slink-connected', 'info', `slink ${this.number} is connected`, { address: this.#link.address })
    // What became durable since hello was told to nobody, and the agent applies no more than it is told.
    this.onDurable(this.#context.durable())
    stream.feed.pump()
    this.#onAcked(false)
  }

  onStreamEnd(reason: string): void {
    const stream = this.#stream
    if (stream === null) return
    this.#stream = null
    this.#copiedBytesBefore += stream.feed.copyBytesSent
    stream.close()
    this.mappings.endSession()
    if (this.#standing.kind === 'log') this.#standing.place.restart()
    if (!this.removed)
      this.event('slink-disconnected', 'warning', `slink ${this.number} lost its session: ${reason}`, {})
    this.#context.marksMoved()
  }

  #onAcked(pinned: boolean): void {
    const stream = this.#stream
    if (stream === null) return
    this.#maybeAnnounced(stream)
    this.#protection.progressed()
    this.#judge(stream)
    this.#context.marksMoved()
    if (pinned) this.#context.tailMayMove()
  }

  /** Looks whether the site has all it should; what it needs for that also comes from the log and from time. */
  #judge(stream: StreamSession): void {
    const { settled } = stream
    if (settled && this.resyncs.finishes()) this.#cleanFlush.now()
    this.#protection.judge(settled, stream.heldDurableLsn)
  }

  /** The agent has the announcement of the resync durably: a superblock may name a position again. */
  #maybeAnnounced(stream: StreamSession): void {
    if (this.#standing.kind !== 'log' || this.#standing.announced || stream.durableFrames < this.#announceFrames) return
    this.#standing = { ...this.#standing, announced: true }
    this.#context.superblockWanted()
  }

  /** The site gets a place in the log again; appends are not marked from this turn on. */
  becomePlaced(place: Place): void {
    this.#announceFrames = Infinity
    this.setStanding({ kind: 'log', place, announced: false })
  }

  /** So many frames of the session tell the agent of everything that it misses. */
  announceAfter(frames: number): void {
    this.#announceFrames = frames
  }

  get overflow(): Overflow {
    return this.#overflow
  }

  setStanding(standing: Standing): void {
    this.#standing = standing
    this.#context.standingChanged()
  }

  async storeMarks(place: Place): Promise<void> {
    // Its position may lie below its point: what the agent has is not marked. Below the tail nothing is of a device of it.
    const { log, markRange } = this.#context
    await markRange(this, (await log.locate(place.point.lsn)) ?? Math.max(place.position, log.tail))
    await this.mappings.flush(place.point)
  }

  dirtyLogFailed(error: Error): void {
    const message = `a dirty log of slink ${this.number} cannot be stored: ${error.message}`
    this.event('dirty-log-failed', 'error', message, {})
  }

  hangUp(reason: string): void {
    this.#link.hangUp(reason)
  }

  dropped(): void {
    this.#context.tailMayMove()
    if (!this.#config.paused) this.#link.start()
  }

  /** Takes over a changed configuration; mappings are changed by the group. */
  configure(config: SlinkConfig): void {
    const before = this.#config
    this.#config = config
    if (config.paused && !before.paused) {
      this.#link.stop('paused by the operator')
      this.#protection.happened('paused')
    } else if (!config.paused && before.paused) this.#link.start()
    else if (config.addresses.join() !== before.addresses.join()) this.reconnect('the addresses changed')
    else if (config.detectMs !== before.detectMs) this.reconnect('the detection time changed')
    else if (config.quic !== before.quic && config.addresses.some((address) => address.startsWith('https:')))
      this.reconnect('the use of HTTP/3 changed')
    this.#protection.configured(before)
    // A site that has everything already says nothing more that it could be judged by.
    if (this.#stream !== null) this.#judge(this.#stream)
    this.#stream?.termsChanged()
  }

  /** Ends the session; the next one brings the agent up to date with changed mappings or new marks. */
  reconnect(reason: string): void {
    this.#link.hangUp(reason)
    if (!this.#config.paused) this.#link.start()
  }

  /** A device came: the agent is told in a new session, which begins once its link is let go. */
  addMapping(mapping: Mapping, config: SlinkConfig): void {
    this.#link.hold('its regions have to be announced anew')
    const first = this.mappings.size === 0
    if (first && this.#standing.kind === 'log' && this.#stream === null) {
      const { point, position } = this.#context.written()
      this.#standing.place.moveTo(point, position)
    }
    this.mappings.add(mapping)
    this.#config = config
    if (mapping.dirtyCount > 0) this.#protection.giveUp()
    this.#protection.recompute()
  }

  /** A device went: its entries are not sent any more. */
  removeMapping(deviceId: number, config: SlinkConfig): void {
    this.mappings.remove(deviceId)
    this.#config = config
    this.reconnect('a device was unmapped')
    this.#protection.recompute()
    this.#context.tailMayMove()
  }

  /** Marks changed outside a session, or mappings came or went. */
  dirtied(): void {
    this.#protection.giveUp()
    this.reconnect('its regions have to be announced anew')
  }

  /** Waits until nobody holds it up: the last session is closed, its dirty logs are stored and released. */
  async close(reason: string, removed: boolean): Promise<void> {
    this.removed = removed
    await this.#link.close(reason)
    if (!removed) await this.flushMarks().catch(() => {})
    for (const mapping of this.mappings) await mapping.dirty.close()
  }
}
