/**
 * The journal: a ring log with what the agent knows of its own progress beside it.
 *
 * Owns the marks (received, durable, applied), the points that the primary told, and the superblocks that make them
 * durable. It never frees what is not on the devices, and it never lets anybody rely on a told point that a restart
 * would not find again. Invariant: applied <= durable <= received, and what the superblock says is true of every byte
 * that was given back.
 *
 *        tail      applied       told (durable here)      durable     received
 *   -------|---------|------------------|--------------------|-----------|------->
 *     free   may go    may be applied     waits for the primary  in the file
 */
import {
  comparePoints,
  frameBytes,
  FrameType,
  maxPoint,
  minPoint,
  must,
  type Clock,
  PayloadPool,
  type Frame,
  type LogPoint,
  type LogPosition,
  type Timer,
} from '@sitelink/protocol'
import type { LogCursor, LogEntry, RingLog, RingLogListener } from '@sitelink/storage'
import type { ApplyLimit, VoidCopies } from '../apply/apply-limit.js'
import { JOURNAL_READS_KEPT_BYTES, VOIDS_MAX } from '../limits.js'
import type { CutPlace } from './cut-place.js'
import { markBehind, MarkQueue, type Mark } from './marks.js'
import { encodeOwnerState, type OwnerState } from './owner-state.js'

/** What the journal tells the agent. */
export interface JournalListener {
  /** Frames are in the file: they survive the process. `copiesOnly`: all are of a resync, for which no writer waits. */
  written(bytes: number, copiesOnly: boolean): void
  /** The durable mark or the apply limit moved. */
  moved(): void
  /** Appends have room again. */
  spaceFreed(): void
  /** The file failed; nothing is appended any more. Called once. */
  failed(error: Error): void
}

export interface JournalOptions {
  readonly clock: Clock
  readonly listener: JournalListener
  readonly toldMsMin: number
}

/** See the head of this file. One for each life of the journal's file. */
export class Journal {
  /** What the ring log is opened with. */
  readonly ringListener: RingLogListener = {
    written: (entries) => this.#onWritten(entries),
    durable: (position) => this.#onDurable(position),
    spaceFreed: () => this.#options.listener.spaceFreed(),
    failed: (error) => this.#onFailed(error),
    ownerState: () => this.#ownerState(),
  }
  readonly #options: JournalOptions
  readonly #ringId: string
  /** Memory of what is read from the file on its way to the devices. */
  readonly #reads = new PayloadPool(JOURNAL_READS_KEPT_BYTES)
  #log: RingLog | null = null
  #received: Mark
  readonly #durable: MarkQueue
  readonly #applied: MarkQueue
  #told: LogPoint
  /** As a superblock that is durable says. */
  #toldDurable: LogPoint
  /** Durable whenever it counts: a superblock that frees a copy carries its stamp, and else the journal has the copy. */
  #stamp: LogPoint
  #voids: VoidCopies[]
  /** What the superblock says of applied: held back while the tables of the state directory lag behind. */
  #recorded: Mark
  #holds = 0
  /** Frames that were appended and are not in the file. */
  #gathering = 0
  #frames = 0
  #countFrom = Number.POSITIVE_INFINITY
  /** So many frames are wanted on stable storage; what else there is waits for the log's own time. */
  #syncFrames = 0
  #superblock: Promise<void> | null = null
  #toldTimer: Timer | null = null
  #toldAtMs = Number.NEGATIVE_INFINITY
  #failure: Error | null = null
  #closed = false
  /** Called when what gathers is written. */
  #quiet: (() => void)[] = []

  constructor(options: JournalOptions, owner: OwnerState) {
    this.#options = options
    this.#ringId = owner.ringId
    const mark: Mark = { end: owner.appliedPosition, ...owner.applied, crc: owner.appliedCrc, frames: 0 }
    this.#received = mark
    this.#recorded = mark
    this.#durable = new MarkQueue(mark)
    this.#applied = new MarkQueue(mark)
    this.#told = owner.told
    this.#toldDurable = owner.told
    this.#stamp = owner.stamp
    this.#voids = [...owner.voids]
  }

  /** Gives it the log that it is the listener of, and what recovery found at its end. */
  begin(log: RingLog, found: { readonly end: Mark; readonly stamp: LogPoint; readonly told: LogPoint }): void {
    this.#log = log
    this.#received = found.end
    this.#durable.push(found.end)
    this.#durable.reach(found.end.end)
    this.#stamp = maxPoint(this.#stamp, found.stamp)
    this.#told = maxPoint(this.#told, found.told)
  }

  get log(): RingLog {
    return must(this.#log, 'the journal has begun')
  }

  /** Last frame in the file. */
  get received(): Mark {
    return this.#received
  }

  /** Last frame on stable storage. */
  get durable(): Mark {
    return this.#durable.reached
  }

  /** Last frame on the devices, durably; rounded down to where a mark was made. */
  get applied(): Mark {
    return this.#applied.reached
  }

  get told(): LogPoint {
    return this.#told
  }

  get stamp(): LogPoint {
    return this.#stamp
  }

  get voids(): readonly VoidCopies[] {
    return this.#voids
  }

  get failure(): Error | null {
    return this.#failure
  }

  /** How far frames may be applied: only as far as a restart would allow it again. */
  get limit(): ApplyLimit {
    return { told: this.#toldDurable, journalDurableEnd: this.log.durableEnd }
  }

  hasRoom(payloadBytes: number): boolean {
    return this.#failure === null && this.log.hasRoom(1, payloadBytes)
  }

  append(frame: Frame): LogEntry {
    this.#gathering++
    return this.log.append(frame)
  }

  cursor(position: LogPosition): LogCursor {
    return this.log.cursor(position, this.#reads)
  }

  /** The primary has everything up to `point` durably. Relied on once a superblock says so. */
  noteTold(point: LogPoint): void {
    if (comparePoints(point, this.#told) > 0) this.#told = point
  }

  /** A copy of this stamp came in. */
  noteStamp(point: LogPoint): void {
    this.#stamp = maxPoint(this.#stamp, point)
  }

  /** So many frames of the session are wanted on stable storage, those of them that are not in the file yet as well. */
  syncWanted(frames: number): void {
    this.#syncFrames = frames
    if (this.#failure === null && !this.#closed && this.#durable.reached.frames < frames) this.log.requestSync()
  }

  /** The frame at the cursor waits: brings about what it waits for, if that is in our hands. */
  limitWanted(frame: Frame): void {
    if (comparePoints(this.#told, this.#toldDurable) <= 0 || frame.lsn > this.#told.lsn) return
    if (this.#toldTimer !== null || this.#closed || this.#failure !== null) return
    const waitMs = Math.max(0, this.#toldAtMs + this.#options.toldMsMin - this.#options.clock.nowMs())
    this.#toldTimer = this.#options.clock.after(waitMs, () => {
      this.#toldTimer = null
      this.#toldAtMs = this.#options.clock.nowMs()
      this.persist().catch(() => {}) // a failed superblock fails the log, which says so itself
    })
  }

  /** Makes everything that is known now durable in a superblock. */
  async persist(): Promise<void> {
    // One that is under way may have taken its content before now.
    while (this.#superblock !== null) await this.#superblock
    const told = this.#told
    const writing = this.log.writeSuperblock().finally(() => (this.#superblock = null))
    this.#superblock = writing
    await writing
    this.#toldDurable = maxPoint(this.#toldDurable, told)
    this.#options.listener.moved()
  }

  /** The applier passed frames to write-back. */
  passed(mark: Mark): void {
    this.#applied.push(mark)
  }

  /** Everything below `position` is on the devices durably. */
  appliedTo(position: LogPosition): void {
    if (!this.#applied.reach(position)) return
    this.#voids = this.#voids.filter((one) => one.below > this.#applied.reached.end)
    this.#record()
  }

  /** Until the returned function is called, no superblock says more of applied than now. */
  hold(): () => void {
    this.#holds++
    return () => {
      this.#holds--
      this.#record()
    }
  }

  /** Copies with a stamp above `point` are void: their stamps do not count. Durable with the next superblock. */
  clampStamp(point: LogPoint): void {
    this.#stamp = minPoint(this.#stamp, point)
  }

  /** Copies below `below` with a stamp above are void. Durable with the next superblock. */
  addVoid(one: VoidCopies): void {
    this.#voids.push(one)
    if (this.#voids.length > VOIDS_MAX) this.#voids.shift()
  }

  /** A session begins: its frames are counted from zero, from the end of the journal on. */
  beginCount(): void {
    this.#frames = 0
    this.#syncFrames = 0
    this.#countFrom = this.log.writtenEnd
    this.#received = { ...this.#received, frames: 0 }
    this.#durable.recount()
    this.#applied.recount()
  }

  /** Resolves when everything that was appended is in the file, durably; rejects where the file failed. */
  async quiesce(): Promise<void> {
    while (!this.#isQuiet()) {
      this.log.requestSync()
      await new Promise<void>((resolve) => this.#quiet.push(resolve))
    }
    if (this.#failure !== null) throw this.#failure
  }

  /** Voids everything behind `common`, durably. Nothing gathers. */
  async cut({ position, lastEnd, skip }: CutPlace, common: LogPoint): Promise<void> {
    const end: Mark = { end: lastEnd, ...common, crc: 0, frames: 0 }
    await this.log.truncate(position)
    this.#durable.cut(position)
    this.#applied.cut(position)
    this.#received = end
    this.#durable.push(end)
    this.#durable.reach(end.end)
    if (skip === null) return
    this.append(skip)
    await this.quiesce()
  }

  /** Marks a clean stop and closes. */
  async close(): Promise<void> {
    this.#closed = true
    this.#toldTimer?.cancel()
    this.#toldTimer = null
    await this.log.close()
  }

  // ----- what the log tells -----

  #onWritten(entries: readonly LogEntry[]): void {
    let bytes = 0
    let copiesOnly = true
    let mark = this.#received
    for (const { frame, position, end } of entries) {
      if (position >= this.#countFrom) this.#frames++
      bytes += frameBytes(frame)
      copiesOnly &&= frame.type === FrameType.copy || frame.type === FrameType.copyZeroes
      mark = markBehind(mark, frame, end, this.#frames)
    }
    this.#gathering -= entries.length
    this.#received = mark
    this.#durable.push(this.#received)
    if (this.#durable.reached.frames < this.#syncFrames || this.#unsyncedIsMuch()) this.log.requestSync()
    this.#options.listener.written(bytes, copiesOnly)
    this.#tellQuiet()
  }

  #onDurable(position: LogPosition): void {
    if (this.#durable.reach(position)) this.#options.listener.moved()
    this.#tellQuiet()
  }

  #onFailed(error: Error): void {
    this.#failure = error
    this.#options.listener.failed(error)
    this.#tellQuiet()
  }

  #ownerState(): Buffer {
    const { end, incarnation, lsn, crc } = this.#recorded
    const applied = { incarnation, lsn }
    return encodeOwnerState({
      ringId: this.#ringId,
      appliedPosition: end,
      applied,
      appliedCrc: crc,
      told: this.#told,
      stamp: this.#stamp,
      voids: this.#voids,
    })
  }

  // ----- inside -----

  #record(): void {
    if (this.#holds > 0 || this.#log === null) return
    this.#recorded = this.#applied.reached
    this.#log.releaseBelow(this.#recorded.end)
  }

  /** What is not durable cannot be applied, and holds up the room that others will need. */
  #unsyncedIsMuch(): boolean {
    return (this.#received.end - this.#durable.reached.end) * 4 > this.log.freeBytes
  }

  #isQuiet(): boolean {
    if (this.#failure !== null || this.#closed) return true
    return this.#gathering === 0 && this.#durable.reached.end >= this.#received.end
  }

  #tellQuiet(): void {
    if (this.#quiet.length === 0) return
    const waiting = this.#quiet
    this.#quiet = []
    for (const resolve of waiting) resolve()
  }
}
