/**
 * A remote site link: the shell that holds one site's place in the log, its dirty logs, its guard and its session.
 *
 * Owns what is true of the site between sessions. Decisions are pure and elsewhere (`guard.ts`, `fall-behind.ts`,
 * `region-tracker.ts`, the resume plan of the protocol); this file reports events to them and does what they say.
 * Invariants: the log is pinned from the place on unless the site is behind; while it is behind, every entry of its
 * devices is marked at append; a superblock may say "position" only after the marks up to it are durable and the agent
 * has the announcement of the resync durable.
 */
import { comparePoints, type LogPoint, type LogPosition, type Lsn } from '@sitelink/protocol'
import type { LogHole } from '@sitelink/storage'
import type { SlinkConfig } from '../config.js'
import type { HoldingSite } from '../group/holds.js'
import type { SlinkRecord } from '../group/owner-state.js'
import { CAUGHT_UP_BYTES, CAUGHT_UP_ENTRIES, CLEAN_FLUSH_MS, DETECT_MS_DEFAULT } from '../limits.js'
import { exceeds, isLimited, type Outstanding } from './fall-behind.js'
import { guardTable, holdingOf, type GuardEvent, type GuardState, type Holding } from './guard.js'
import { Link, type LinkState } from './link.js'
import type { Mapping } from './mapping.js'
import { MappingSet } from './mapping-set.js'
import { Place } from './place.js'
import type { SlinkContext } from './slink-context.js'
import { beginStream } from './stream-begin.js'
import type { StreamSession } from './stream-session.js'

/** Where the site stands towards the log. */
export type Standing =
  /** It has a place; `announced` false: a superblock must still call it behind. */
  | { readonly kind: 'log'; readonly place: Place; readonly announced: boolean }
  /** It is being dropped: the place still pins, entries are marked already, those before are being marked. */
  | { readonly kind: 'dropping'; readonly place: Place }
  /** Only its dirty logs know what it misses. */
  | { readonly kind: 'behind'; readonly since: LogPoint }

/** How often a drop that could not store its marks is tried again. */
const DROP_RETRY_MS = 1000

export class Slink implements HoldingSite {
  #config: SlinkConfig
  readonly mappings = new MappingSet()
  readonly #context: SlinkContext
  readonly #link: Link
  #standing: Standing
  #stream: StreamSession | null = null
  #guard: GuardState = 'catching-up'
  #forced: 'ios' | 'size' | 'timeout' | null = null
  #latched: boolean
  #protectedFrom: Lsn | null = null
  #wasProtected = false
  #holding: Holding = 'none'
  /** Since when somebody waits for this site without progress, monotonic ms; null: nobody waits. */
  #waitingSinceMs: number | null = null
  #cleanFlush = false
  #removed = false
  #overflowed = false
  /** True once a resync has begun and not finished. */
  #resyncing = false
  overflows = 0
  forcedCount = 0
  resyncs = 0

  constructor(config: SlinkConfig, record: SlinkRecord | null, context: SlinkContext) {
    this.#config = config
    this.#context = context
    this.#latched = record?.wasProtected ?? false
    this.#standing = this.#standingOf(record)
    this.#link = new Link(this, context)
  }

  #standingOf(record: SlinkRecord | null): Standing {
    const { log } = this.#context
    if (record === null) {
      const { point, position } = this.#context.written()
      return { kind: 'log', place: new Place(point, position), announced: true }
    }
    if (record.behind || record.position < log.tail) return { kind: 'behind', since: record.point }
    return { kind: 'log', place: new Place(record.point, record.position), announced: true }
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

  get guard(): GuardState {
    return this.#guard
  }

  get linkState(): LinkState {
    return this.#link.state
  }

  get link(): Link {
    return this.#link
  }

  get forced(): 'ios' | 'size' | 'timeout' | null {
    return this.#forced
  }

  /** Sync only: everything that was acknowledged is at the site, and every new write waits for it. */
  get protected(): boolean {
    return this.#wasProtected
  }

  // --- HoldingSite ---------------------------------------------------------------------------------------------

  get sync(): boolean {
    return this.#config.mode === 'sync'
  }

  get level(): 'received' | 'durable' {
    return this.sync ? this.#config.ack : 'received'
  }

  get holds(): boolean {
    return this.#holding === 'wait'
  }

  get holding(): Holding {
    return this.#holding
  }

  get receivedLsn(): Lsn {
    return this.#stream?.receivedLsn ?? this.durableLsn
  }

  get durableLsn(): Lsn {
    return this.#stream?.durableLsn ?? this.point.lsn
  }

  /** The last durable acknowledgement. */
  get point(): LogPoint {
    return this.#standing.kind === 'behind' ? this.#standing.since : this.#standing.place.point
  }

  // --- the log --------------------------------------------------------------------------------------------------

  /** Everything from here on is needed; null: nothing is. */
  get pin(): LogPosition | null {
    return this.#standing.kind === 'behind' ? null : this.#standing.place.position
  }

  /** True while appended entries must be marked. */
  get marksAppends(): boolean {
    return this.#standing.kind !== 'log' && this.mappings.size > 0
  }

  /** True while a superblock calls it behind: its marks are made durable before the tail moves. */
  get needsFlushBeforeRelease(): boolean {
    return this.mappings.size > 0 && (this.#standing.kind === 'behind' || (this.#standing.kind === 'log' && !this.#standing.announced))
  }

  get limited(): boolean {
    return this.#config.mode === 'async' && isLimited(this.#config.fallBehind)
  }

  record(): SlinkRecord {
    const { point } = this
    const behind = this.#standing.kind === 'behind' || (this.#standing.kind === 'log' && !this.#standing.announced)
    return {
      number: this.number,
      behind,
      dirty: this.mappings.dirtyRegions > 0,
      wasProtected: this.#latched,
      point,
      position: this.#standing.kind === 'behind' ? 0 : this.#standing.place.position,
    }
  }

  /** What it has not received, as fall-behind and lag count it. */
  outstanding(): Outstanding {
    const { ledger, clock } = this.#context
    if (this.mappings.size === 0) return { ios: 0, bytes: 0, ageMs: null }
    const lsn = this.receivedLsn
    const oldest = ledger.oldestAboveMs(lsn)
    return {
      ios: Math.max(0, ledger.lastLsn - lsn),
      bytes: ledger.bytesAbove(lsn),
      ageMs: oldest === null ? null : Math.max(0, clock.nowMs() - oldest),
    }
  }

  /** Makes the marks so far durable; the stored bitmaps are complete up to the last entry then. */
  async flushMarks(): Promise<void> {
    if (this.mappings.size === 0) return
    await this.mappings.flush(this.#marksTo())
  }

  #marksTo(): LogPoint {
    switch (this.#standing.kind) {
      case 'behind':
        return this.#context.appended()
      case 'dropping':
      case 'log':
        return this.#standing.place.point
    }
  }

  // --- events ---------------------------------------------------------------------------------------------------

  start(): void {
    this.#recompute()
    if (!this.#config.paused) this.#link.start()
  }

  /** Entries are in the log file and in the overlay. */
  onWritten(): void {
    this.#stream?.feed.pump()
  }

  onDurable(point: LogPoint): void {
    const stream = this.#stream
    if (stream === null) return
    stream.session.sendControl({ kind: 'durable', point: [point.incarnation, point.lsn] })
    stream.settle()
  }

  /** An entry was appended: fall-behind is judged for the writes after it. */
  judgeFallBehind(): void {
    const before = this.#forced
    const now = this.limited && this.mappings.size > 0 ? exceeds(this.#config.fallBehind, this.outstanding()) : null
    if (before === now) return
    this.#forced = now
    if ((before === null) === (now === null)) return
    if (now !== null) this.forcedCount += 1
    const { ios, bytes } = this.outstanding()
    const facts = { ios, bytes, limit: now }
    if (now !== null) this.#event('fall-behind', 'warning', `slink ${this.number} exceeds its ${now} limit: writers wait for it`, facts)
    else this.#event('fall-behind-end', 'info', `slink ${this.number} is within its limits again`, facts)
    this.#recompute()
  }

  /** Called a few times a second: what only time can tell. */
  tick(nowMs: number): void {
    if (this.limited) this.judgeFallBehind()
    this.#watchHold(nowMs)
    if (this.mappings.size === 0 && this.#standing.kind === 'log') this.#followHead()
  }

  #watchHold(nowMs: number): void {
    if (this.#holding !== 'wait' || this.#context.oldestHeld(this) === Infinity) {
      this.#waitingSinceMs = null
      return
    }
    this.#waitingSinceMs ??= nowMs
    const holdMs = this.#config.holdMs ?? (this.#config.overflow === 'stall' ? Infinity : DETECT_MS_DEFAULT)
    if (nowMs - this.#waitingSinceMs < holdMs) return
    this.#waitingSinceMs = null
    if (this.#config.overflow === 'stall' && this.#config.holdMs === null) return
    const waited = `slink ${this.number} made no progress for ${Math.round(holdMs)} ms`
    if (this.#config.overflow === 'drop') this.#event('slink-lost', 'warning', `${waited}: writers do not wait for it any more`, { holdMs })
    else if (this.#config.overflow === 'fail') this.#event('slink-lost', 'error', `${waited}: writes fail until it is back`, { holdMs })
    else return
    this.#guardEvent('hold-over')
    if (this.#config.overflow === 'fail') this.#context.failHeld(this)
    this.#link.hangUp('it made no progress')
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
    this.#stream = await beginStream(this, ready, this.#context, {
      acked: (pinned) => this.#onAcked(pinned),
      cleaned: (count, left) => this.#onCleaned(count, left),
      hole: (hole) => this.#onHole(hole),
      failed: (message) => this.#link.hangUp(message),
      readFailed: (deviceId, region, error) =>
        this.#event('resync-read-failed', 'error', `a region of device ${deviceId} could not be read: ${error.message}`, { deviceId, region }),
    })
    if (this.mappings.dirtyRegions > 0) {
      if (!this.#resyncing) this.resyncs += 1
      this.#resyncing = true
      this.#event('resync-start', 'info', `slink ${this.number} is being resynced`, { dirtyRegions: this.mappings.dirtyRegions })
    }
    this.#guardEvent(this.mappings.dirtyRegions > 0 ? 'dirtied' : 'session')
    if (this.#guard === 'lost') this.#guardEvent('session')
    this.#event('slink-connected', 'info', `slink ${this.number} is connected`, { address: this.#link.address })
    this.#stream.feed.pump()
    this.#onAcked(false)
  }

  onStreamEnd(reason: string): void {
    const stream = this.#stream
    if (stream === null) return
    this.#stream = null
    stream.close()
    this.mappings.endSession()
    if (this.#standing.kind === 'log') this.#standing.place.restart()
    if (!this.#removed) this.#event('slink-disconnected', 'warning', `slink ${this.number} lost its session: ${reason}`, {})
    this.#context.marksMoved()
  }

  #onAcked(pinned: boolean): void {
    const stream = this.#stream
    if (stream === null) return
    this.#waitingSinceMs = null
    if (this.limited) this.judgeFallBehind()
    this.#maybeAnnounced(stream)
    this.#maybeCaughtUp(stream)
    this.#context.marksMoved()
    if (pinned) this.#context.tailMayMove()
  }

  /** The agent has the announcement of the resync durably: a superblock may name a position again. */
  #maybeAnnounced(stream: StreamSession): void {
    if (this.#standing.kind !== 'log' || this.#standing.announced || stream.durableFrames < this.#announceFrames) return
    this.#standing = { ...this.#standing, announced: true }
    this.#context.superblockWanted()
  }

  /** Stream frames after which the announcement is complete. */
  #announceFrames = Infinity

  /** The site gets a place in the log again; appends are not marked from this turn on. */
  becomePlaced(place: Place): void {
    this.#announceFrames = Infinity
    this.#standing = { kind: 'log', place, announced: false }
    this.#context.standingChanged()
  }

  /** So many frames of the session tell the agent of everything that it misses. */
  announceAfter(frames: number): void {
    this.#announceFrames = frames
  }

  #maybeCaughtUp(stream: StreamSession): void {
    if (stream.settled && this.#resyncing) {
      this.#resyncing = false
      this.#event('resync-finished', 'info', `slink ${this.number} is in sync`, {})
      void this.#flushClean()
    }
    if (this.#guard !== 'live' && stream.settled) {
      const { ios, bytes } = this.outstanding()
      if (ios <= CAUGHT_UP_ENTRIES && bytes <= CAUGHT_UP_BYTES) this.#guardEvent('caught-up')
    }
    if (this.#overflowed && stream.settled && this.outstanding().ios <= CAUGHT_UP_ENTRIES) {
      this.#overflowed = false
      this.#recompute()
    }
    if (this.#protectedFrom !== null && !this.#wasProtected && stream.receivedLsn >= this.#protectedFrom) {
      this.#wasProtected = true
      this.#latched = true
      this.#context.superblockWanted()
      this.#event('slink-protected', 'info', `slink ${this.number} is protected: it has everything that was acknowledged`, {})
    }
  }

  #onCleaned(_count: number, _left: number): void {
    if (this.#cleanFlush) return
    this.#cleanFlush = true
    this.#context.clock.after(CLEAN_FLUSH_MS, () => void this.#flushClean())
  }

  async #flushClean(): Promise<void> {
    this.#cleanFlush = false
    if (this.#removed) return
    await this.flushMarks().catch((error: Error) => {
      this.#event('dirty-log-failed', 'error', `a dirty log of slink ${this.number} could not be stored: ${error.message}`, {})
    })
  }

  #onHole(hole: LogHole): void {
    this.#event('log-hole', 'error', `entries ${hole.firstLsn} to ${hole.lastLsn} cannot be read: slink ${this.number} is resynced instead`, {
      firstLsn: hole.firstLsn,
      lastLsn: hole.lastLsn,
    })
    void this.drop('the log is damaged')
  }

  #guardEvent(event: GuardEvent): void {
    const before = this.#guard
    this.#guard = guardTable[before][event]
    if (this.#guard === before && event !== 'caught-up') return
    this.#recompute()
  }

  /** Works out anew whether writers wait for it, and tells the group if that changed. */
  #recompute(): void {
    const before = this.#holding
    this.#holding = holdingOf({
      state: this.#guard,
      mode: this.#config.mode,
      overflow: this.#config.overflow,
      forced: this.#forced !== null,
      latched: this.#latched,
      mapped: this.mappings.size > 0,
      overflowed: this.#overflowed,
    })
    const guarding = this.#guard === 'live' && this.sync && this.mappings.size > 0
    if (guarding && this.#protectedFrom === null) this.#protectedFrom = this.#context.appended().lsn
    if (!guarding) {
      this.#protectedFrom = null
      if (this.#wasProtected) {
        this.#wasProtected = false
        this.#event('slink-unprotected', 'warning', `slink ${this.number} is not protected any more`, {})
      }
      // A site that is let go by its policy does not hold writers at the next start either.
      if (this.#latched && this.#config.overflow === 'drop') {
        this.#latched = false
        this.#context.superblockWanted()
      }
    }
    if (before !== this.#holding) this.#waitingSinceMs = null
    this.#context.holdingChanged()
  }

  // --- overflow -------------------------------------------------------------------------------------------------

  /**
   * Gives up the site's place: marks what it misses, durably, then lets the log go. Resolves when it is behind. The
   * session ends; a new one resyncs. Does nothing if the site is behind already.
   */
  async drop(reason: string): Promise<void> {
    if (this.#standing.kind !== 'log') return
    const { place } = this.#standing
    this.overflows += 1
    this.#event('slink-overflow', 'warning', `slink ${this.number} falls back to its dirty logs: ${reason}`, {
      durableLsn: place.point.lsn,
      lastLsn: this.#context.appended().lsn,
    })
    this.#standing = { kind: 'dropping', place }
    this.#context.standingChanged()
    this.#link.hangUp(reason)
    this.#guardEvent('dirtied')
    if (this.#config.mode === 'sync' && this.#config.overflow === 'drop') this.#guardEvent('hold-over')
    for (;;) {
      try {
        await this.#context.markRange(this, place.point, place.position)
        await this.mappings.flush(place.point)
        break
      } catch (error) {
        this.#event('dirty-log-failed', 'error', `slink ${this.number} keeps its entries in the log, its dirty logs cannot be stored: ${(error as Error).message}`, {})
        await new Promise<void>((resolve) => this.#context.clock.after(DROP_RETRY_MS, resolve))
        if (this.#removed) return
      }
    }
    this.#standing = { kind: 'behind', since: place.point }
    await this.flushMarks().catch(() => {})
    this.#context.standingChanged()
    this.#context.tailMayMove()
    this.#link.start()
  }

  /** Policy `fail`: the ring is full because of it, writes fail until it has caught up. */
  overflowed(): void {
    if (this.#overflowed) return
    this.#overflowed = true
    this.overflows += 1
    this.#event('slink-overflow', 'error', `slink ${this.number} has filled the log: writes fail until it is back`, {})
    this.#recompute()
  }

  // --- administration -------------------------------------------------------------------------------------------

  /** Takes over a changed configuration; mappings are changed by the group. */
  configure(config: SlinkConfig): void {
    const before = this.#config
    this.#config = config
    if (config.mode !== before.mode) {
      this.#protectedFrom = null
      if (config.mode === 'async') this.#latched = false
    }
    if (config.overflow !== before.overflow && this.#guard === 'lost') this.#waitingSinceMs = null
    if (config.paused && !before.paused) {
      this.#link.stop('paused by the operator')
      this.#guardEvent('paused')
    } else if (!config.paused && before.paused) this.#link.start()
    else if (config.addresses.join() !== before.addresses.join()) this.reconnect('the addresses changed')
    this.judgeFallBehind()
    this.#recompute()
  }

  /** Ends the session; the next one brings the agent up to date with changed mappings or new marks. */
  reconnect(reason: string): void {
    this.#link.hangUp(reason)
    if (!this.#config.paused) this.#link.start()
  }

  /** A device came: the agent is told in a new session, after which its entries go there. */
  addMapping(mapping: Mapping, config: SlinkConfig): void {
    const first = this.mappings.size === 0
    if (first && this.#standing.kind === 'log' && this.#stream === null) {
      const { point, position } = this.#context.written()
      this.#standing.place.moveTo(point, position)
    }
    this.mappings.add(mapping)
    this.#config = config
    this.dirtied()
    this.#recompute()
  }

  /** A device went: its entries are not sent any more. */
  removeMapping(deviceId: number, config: SlinkConfig): void {
    this.mappings.remove(deviceId)
    this.#config = config
    this.reconnect('a device was unmapped')
    this.#recompute()
    this.#context.tailMayMove()
  }

  /** Marks changed outside a session, or mappings came or went. */
  dirtied(): void {
    this.#guardEvent('dirtied')
    this.reconnect('its regions have to be announced anew')
  }

  /** Waits until nobody holds it up: the last session is closed, its dirty logs are stored and released. */
  async close(reason: string, removed: boolean): Promise<void> {
    this.#removed = removed
    await this.#link.close(reason)
    if (!removed) await this.flushMarks().catch(() => {})
    for (const mapping of this.mappings) await mapping.dirty.close()
    if (removed) {
      this.#holding = 'none'
      this.#context.holdingChanged()
    }
  }

  /** True if `point` is at or above what the site acknowledged. */
  covers(point: LogPoint): boolean {
    return comparePoints(point, this.point) >= 0
  }

  #event(kind: string, level: 'info' | 'warning' | 'error', message: string, facts: Record<string, string | number | boolean | null>): void {
    this.#context.event({ kind, level, message, facts: { slink: this.number, ...facts } })
  }
}
