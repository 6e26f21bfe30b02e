/**
 * Group commit: turns appends into few writes.
 *
 * Owns the gathering entries and the one group that is being written. Appends gather while a write is under way; when it
 * ends, what has gathered becomes the next group. Entries keep their order; none is reported written before the write of
 * its group has returned. Never syncs; never overwrites a byte that is not freed. After a failed write it forms no group.
 *
 *   append ─┐            ┌─ write ─ written 1..n
 *   append ─┼─ gather ───┤
 *   append ─┘            └─ (next group gathers meanwhile)
 */
import {
  assert,
  frameBytes,
  type Clock,
  type Frame,
  type Id64,
  type LogPosition,
  type Lsn,
} from '@sitelink/protocol/entry'
import { anchorBehind, anchorOf, type Anchor } from './anchor.js'
import { encodeCheckpoint } from './checkpoint.js'
import type { LogEntry } from './contract.js'
import { checkpointBytesMax, roomNeeded, type Geometry } from './geometry.js'
import { GroupAssembly, type AssembledGroup, type GroupDraft } from './group-assembly.js'
import { GROUP_HEADER_BYTES, GroupKind } from './group.js'
import type { RingSpace } from './ring-space.js'
import type { Segments } from './segments.js'

/** A group that has its place. */
export interface FormedGroup {
  readonly position: LogPosition
  readonly bodyEnd: LogPosition
  readonly entries: readonly LogEntry[]
  readonly isCheckpoint: boolean
  readonly formedAtMs: number
  /** Somebody waits for its sync. */
  wantsSync: boolean
  /** Where the next group begins, with the chain behind this one. */
  readonly after: Anchor
}

/** What group commit asks of, and tells to, the rest of the log. */
export interface GroupCommitHooks {
  /** What is durable now, for the header. */
  durable(): Anchor
  /** End of the space that may be written: freed tail + ring bytes. */
  spaceEnd(): LogPosition
  /** False if too much is unsynced; `resume` is called when that changes. */
  mayForm(end: LogPosition): boolean
  formed(group: FormedGroup, before: Anchor): void
  written(group: FormedGroup): void
  failed(error: unknown): void
}

export interface GroupCommitOptions {
  readonly space: RingSpace
  readonly clock: Clock
  readonly geometry: Geometry
  readonly logId: Id64
  readonly segments: Segments
  readonly hooks: GroupCommitHooks
}

export class GroupCommit {
  readonly #options: GroupCommitOptions
  readonly #assembly = new GroupAssembly()
  #gather: LogEntry[] = []
  #gatherBytes = 0
  #gatherWantsSync = false
  #inFlight: FormedGroup | null = null
  #kicked = false
  #stopped = false
  #incarnation: number
  /** Behind the last group that was formed, and behind the last one that is in the file. */
  #formed: Anchor
  #written: Anchor
  #idle: (() => void)[] = []
  groupsWritten = 0
  entriesWritten = 0
  bytesWritten = 0

  // One each for all groups: closures of every group would be compiled anew after each collection of the whole heap.
  readonly #kick = (): void => {
    this.#kicked = false
    this.#next()
  }
  readonly #landed = (): void => {
    const group = this.#inFlight as FormedGroup
    this.#inFlight = null
    if (this.#stopped) return
    this.#written = group.after
    this.groupsWritten++
    this.entriesWritten += group.entries.length
    this.bytesWritten += group.after.position - group.position
    this.#options.hooks.written(group)
    this.#next()
  }
  readonly #failed = (error: unknown): void => {
    this.#inFlight = null
    if (!this.#stopped) this.#options.hooks.failed(error)
  }

  /** `head`: where the first group goes. `incarnation`: number of the life that writes. */
  constructor(options: GroupCommitOptions, head: Anchor, incarnation: number) {
    this.#options = options
    this.#formed = head
    this.#written = head
    this.#incarnation = incarnation
  }

  /** Behind the last group that has its place. */
  get formed(): Anchor {
    return this.#formed
  }

  /** Behind the last group that is in the file. */
  get written(): Anchor {
    return this.#written
  }

  get inFlight(): FormedGroup | null {
    return this.#inFlight
  }

  get gatheringCount(): number {
    return this.#gather.length
  }

  /** Bytes that this much more would take beside what gathers already, worst case, reserve included. */
  roomNeeded(entryCount: number, bytes: number): number {
    return roomNeeded(this.#options.geometry, this.#gather.length + entryCount, this.#gatherBytes + bytes)
  }

  append(frame: Frame): LogEntry {
    assert(!this.#stopped, 'nothing is appended to a log that failed or was closed')
    const entry: LogEntry = { frame, position: -1, end: -1 }
    this.#gather.push(entry)
    this.#gatherBytes += frameBytes(frame)
    // One turn of input shares one group; while a write is under way its end starts the next group.
    if (this.#inFlight === null && !this.#kicked) {
      this.#kicked = true
      this.#options.clock.soon(this.#kick)
    }
    return entry
  }

  /** Asks that a sync follows everything appended so far; false if all of it is in the file already. */
  wantSync(): boolean {
    if (this.#gather.length > 0) this.#gatherWantsSync = true
    else if (this.#inFlight !== null) this.#inFlight.wantsSync = true
    else return false
    return true
  }

  /** Space or durability grew: goes on if it had to wait. */
  resume(): void {
    if (this.#inFlight === null && !this.#kicked && this.#gather.length > 0) this.#next()
  }

  /** No group is formed any more. */
  stop(): void {
    this.#stopped = true
    this.#wakeIdle()
  }

  /** Resolves when nothing gathers and no write is under way, or when the log has failed. */
  async whenIdle(): Promise<void> {
    while (!this.#stopped && (this.#inFlight !== null || this.#gather.length > 0))
      await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  /** A new life begins: the next group goes to `head`. Only while idle. */
  restart(head: Anchor, incarnation: number): void {
    assert(this.#inFlight === null && this.#gather.length === 0, 'a life ends when nothing is under way')
    this.#formed = head
    this.#written = head
    this.#incarnation = incarnation
  }

  #next(): void {
    if (this.#stopped || this.#inFlight !== null) return
    const { geometry, segments, hooks } = this.#options
    const { position } = this.#formed
    const { current } = segments
    const due = position - current.start >= geometry.segmentBytes || current.entryCount >= geometry.segmentEntries
    if (!due && this.#gather.length === 0) return this.#wakeIdle()
    if (!hooks.mayForm(position)) {
      // A checkpoint that is due comes with the next entries; nobody waits for it.
      if (this.#gather.length === 0) this.#wakeIdle()
      return
    }
    if (due && hooks.spaceEnd() - position >= this.#roomForCheckpoint()) this.#formCheckpoint()
    else if (this.#gather.length > 0) this.#formData()
    else this.#wakeIdle()
  }

  /**
   * Room for a checkpoint is kept by everybody who asks `hasRoom`; who does not ask gets no checkpoint. A segment that grew
   * in a larger ring may need more than this ring reserves: then there is one only beside all that was promised.
   */
  #roomForCheckpoint(): number {
    const { geometry, segments } = this.#options
    const { reserveBytes } = geometry
    const largest = checkpointBytesMax(segments.current.entryCount)
    return largest <= reserveBytes ? reserveBytes : this.roomNeeded(0, 0) - reserveBytes + largest
  }

  #formData(): void {
    const { geometry, segments, hooks } = this.#options
    const before = this.#formed
    const taken = this.#take(geometry)
    const { position } = before
    let at = position + GROUP_HEADER_BYTES
    segments.current.noteGroup(position, before.lsn)
    for (const entry of taken) {
      entry.position = at
      at += frameBytes(entry.frame)
      entry.end = at
      segments.current.noteFrame(entry.frame)
    }
    const bodyBytes = at - position - GROUP_HEADER_BYTES
    this.#gatherBytes -= bodyBytes
    const firstLsn = (taken[0] as LogEntry).frame.lsn
    const last = (taken.at(-1) as LogEntry).frame
    const fields = this.#fields(GroupKind.data, bodyBytes, taken.length, firstLsn, last.lsn)
    const group = this.#assembly.data(fields, taken)
    assert(position + group.byteCount <= hooks.spaceEnd(), 'appends stay within the room that was promised')
    const wantsSync = this.#gatherWantsSync && this.#gather.length === 0
    if (wantsSync) this.#gatherWantsSync = false
    const behind = position + group.byteCount
    const after = anchorOf(behind, at, last.lsn, last.incarnation, last.headerCrc, group.headerCrc)
    this.#write(group, {
      position,
      bodyEnd: at,
      entries: taken,
      isCheckpoint: false,
      formedAtMs: this.#options.clock.nowMs(),
      wantsSync,
      after,
    })
  }

  /** The entries of the next group: all, or as many as its limits allow, at least one. */
  #take(geometry: Geometry): LogEntry[] {
    const gather = this.#gather
    if (this.#gatherBytes <= geometry.groupBytes && gather.length <= geometry.groupEntries) {
      this.#gather = []
      return gather
    }
    let count = 0
    for (
      let bytes = 0;
      count < gather.length && count < geometry.groupEntries && bytes < geometry.groupBytes;
      count++
    ) {
      bytes += frameBytes((gather[count] as LogEntry).frame)
    }
    this.#gather = gather.slice(count)
    gather.length = count
    return gather
  }

  #formCheckpoint(): void {
    const { segments, hooks } = this.#options
    const anchor = this.#formed
    const entryCount = segments.current.entryCount
    const fields = this.#fields(GroupKind.checkpoint, 0, 0, anchor.lsn, anchor.lsn)
    const group = this.#assembly.body(fields, encodeCheckpoint(segments.body()))
    const end = anchor.position + group.byteCount
    assert(end <= hooks.spaceEnd(), 'a checkpoint fits into the reserve')
    segments.close({ anchor, entryCount }, end)
    const after = anchorBehind(anchor, end, group.headerCrc)
    this.#write(group, {
      position: anchor.position,
      bodyEnd: anchor.entriesEnd,
      entries: [],
      isCheckpoint: true,
      formedAtMs: this.#options.clock.nowMs(),
      wantsSync: false,
      after,
    })
  }

  /** In one piece and in one shape: it is made for every group. */
  #fields(kind: GroupKind, bodyBytes: number, entryCount: number, firstLsn: Lsn, lastLsn: Lsn): GroupDraft {
    const { logId, segments, hooks, clock } = this.#options
    const { position, groupCrc } = this.#formed
    const durable = hooks.durable()
    return {
      kind,
      logId,
      incarnation: this.#incarnation,
      previousCrc: groupCrc,
      position,
      bodyBytes,
      entryCount,
      firstLsn,
      lastLsn,
      durableEnd: durable.position,
      durableLsn: durable.lsn,
      checkpoint: segments.last?.anchor.position ?? 0,
      wallUs: clock.wallUs(),
      bodyCrc: 0,
    }
  }

  #write(bytes: AssembledGroup, group: FormedGroup): void {
    const before = this.#formed
    this.#formed = group.after
    this.#inFlight = group
    this.#options.hooks.formed(group, before)
    this.#options.space.write(bytes.chunks, bytes.byteCount, group.position).then(this.#landed, this.#failed)
  }

  #wakeIdle(): void {
    if (this.#idle.length === 0) return
    for (const wake of this.#idle.splice(0)) wake()
  }
}
