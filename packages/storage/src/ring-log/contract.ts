/**
 * What the ring log promises to the replog and to the journal; both are a {@link RingLog} with another owner.
 *
 * The log stores frames (`@sitelink/protocol/entry`) as they are, in the order of `append`, in commit groups. A
 * {@link LogPosition} is a byte position that grows for ever; position modulo ring size is the place on disk. Positions
 * of frames are dense within a group; groups start on 4 KiB.
 *
 *          tail                      durable        written      end
 *   --------|--------------------------|---------------|-----------|-------->
 *     free   still needed by somebody    in the file     gathering   free
 */
import type { Frame, Id64, LogPosition, Lsn, PayloadPool } from '@sitelink/protocol/entry'

/** A frame and where it lies. One object an entry is all that the hot path allocates here. */
export interface LogEntry {
  readonly frame: Frame
  /** Position of its header's first byte. Set when its group is formed; -1 while it gathers. */
  position: LogPosition
  /** Position behind its payload. */
  end: LogPosition
}

/** What the log tells its owner. Calls come from the log's own turns, never from inside `append`. */
export interface RingLogListener {
  /** Entries have got their positions and their write begins now; they are not in the file yet. In order, each once. */
  submitted?(entries: readonly LogEntry[]): void
  /** Entries are in the file (they survive the process). In order, each once, after `submitted`. */
  written(entries: readonly LogEntry[]): void
  /** Everything below `position` is on stable storage; `lsn` is the last LSN below it. Grows only. */
  durable(position: LogPosition, lsn: Lsn): void
  /** `freeBytes` grew. */
  spaceFreed(): void
  /** A write or a sync failed: the log takes no more appends until it is opened anew. Reads go on. Called once. */
  failed(error: Error): void
  /**
   * The owner's part of the superblock (positions, marks, epoch), asked for at each superblock write: at most
   * {@link OWNER_BYTES_MAX} bytes. What it says must be true of everything below `tail`.
   */
  ownerState(): Buffer
}

/** Room for the owner's part of a superblock, in bytes. */
export const OWNER_BYTES_MAX = 60 * 1024

/** A life of the log between two opens. */
export interface Incarnation {
  /** From 1, one more at each open. */
  readonly number: number
  /** Random; tells apart two histories that used the same number. */
  readonly id: Id64
  /** First LSN that this life may give to an entry. The life before it ends one below. */
  readonly firstLsn: Lsn
  /** Where this life begins; bytes of earlier lives at or above it are void. */
  readonly firstPosition: LogPosition
  /** Byte where the life before it ends exactly (it may lie inside a commit group). */
  readonly previousEnd: LogPosition
}

/** Entries that were durable once and cannot be read any more. */
export interface LogHole {
  readonly position: LogPosition
  readonly end: LogPosition
  /** LSNs that are lost or unreadable; equal if one. */
  readonly firstLsn: Lsn
  readonly lastLsn: Lsn
  /** The ranges that the lost entries touched, or null if their headers are unreadable too. */
  readonly ranges: readonly { readonly deviceId: number; readonly offset: number; readonly length: number }[] | null
}

/** A run of whole units of 1 MiB on one device. */
export interface RegionRun {
  readonly deviceId: number
  /** Index of the first unit: byte offset / 1 MiB. */
  readonly firstUnit: number
  readonly unitCount: number
}

/** What the entries of one stretch of the log touch. */
export interface SegmentRegions {
  readonly from: LogPosition
  readonly to: LogPosition
  /** By device id, then by unit, disjoint; null if entries are lost whose ranges nobody knows: then every region counts. */
  readonly runs: readonly RegionRun[] | null
}

/** What open found. */
export interface RecoveryReport {
  readonly created: boolean
  readonly cleanStop: boolean
  readonly entriesFound: number
  readonly bytesScanned: number
  /** Bytes behind the cut of a torn tail; 0 if there was none. */
  readonly cutBytes: number
  /** First LSN behind the cut, as far as its header could be read. */
  readonly cutLsn: Lsn | null
  readonly holes: readonly LogHole[]
}

/** What a resize is asked for. */
export interface ResizeOptions {
  /** Bytes of the log with its superblocks; what does not make a whole block at the end is not used. */
  readonly sizeBytes: number
  /** Growing: what the disk has to be given is not written once. ENOSPC can then come at any append. Default false. */
  readonly sparse?: boolean
  /** Growing: also over bytes behind the end of the log that are not zero. Default false. */
  readonly overwrite?: boolean
  /** Called when only a disk that fails or is full, or a log in too many pieces, can still refuse it. */
  readonly begun?: () => void
  /** Called once, for the moment of the change: nothing is appended from then on until what it returned is called. */
  readonly hold: () => () => void
}

export interface ResizeOutcome {
  readonly fromBytes: number
  readonly toBytes: number
  /** Why the space behind the new end could not be given back; null if it was, or there is none. */
  readonly left: string | null
}

export interface ResizeStatus {
  readonly fromBytes: number
  readonly toBytes: number
  readonly step: 'preparing' | 'filling' | 'moving' | 'switching' | 'giving-back'
  /** Of this step; 0 of 0 where there is nothing to count. */
  readonly bytesDone: number
  readonly bytesTotal: number
}

/** Facts for `status` and `log ls`. */
export interface RingLogStatus {
  readonly sizeBytes: number
  readonly ringBytes: number
  readonly usedBytes: number
  readonly freeBytes: number
  readonly tail: LogPosition
  readonly end: LogPosition
  readonly writtenEnd: LogPosition
  readonly durableEnd: LogPosition
  readonly lastLsn: Lsn
  readonly durableLsn: Lsn
  readonly wraps: number
  readonly groupsWritten: number
  readonly entriesWritten: number
  readonly bytesWritten: number
  readonly syncs: number
  readonly superblockWrites: number
  /** Pieces that the ring lies in; 1 unless it was resized while in use. */
  readonly pieces: number
  /** Byte offsets in the ring area of tail, written end and end. */
  readonly places: { readonly tail: number; readonly writtenEnd: number; readonly end: number }
  /** Null if no resize is under way. */
  readonly resize: ResizeStatus | null
}

/** A place that is being read: its bytes are not overwritten until it is released. Move it forward with `advance`. */
export interface Lease {
  readonly position: LogPosition
  advance(position: LogPosition): void
  release(): void
}

/**
 * How long headers and payloads that a cursor answers stay as they are. `kept`: for ever. `lent`: until it is asked again;
 * they cost no memory of their own. A pool: large reads lie in its memory. A payload of a write or a copy has hold of it
 * ({@link Frame.memory}) and is as long as it is not let go of; its header may be empty at any time from the next call on.
 */
export type CursorViews = 'kept' | 'lent' | PayloadPool

/** Reads entries in order from a position. At most one `next` at a time. Holds a lease on where it stands. */
export interface LogCursor {
  /** Position of the next entry. */
  readonly position: LogPosition
  /**
   * The next entries that are in the file, at least one and about `bytesMax` bytes of them, payload CRCs checked; a
   * hole stands for entries that cannot be read; null if there are none yet. Answers without a promise where the
   * entries are still in memory.
   */
  next(bytesMax: number): readonly (LogEntry | LogHole)[] | null | Promise<readonly (LogEntry | LogHole)[] | null>
  close(): void
}

/** Where an entry begins, and a length in bytes that its payload has at least. */
export interface PayloadPlace {
  readonly position: LogPosition
  readonly payloadBytes: number
}

export interface RingLog {
  readonly identity: Id64
  readonly incarnation: Incarnation
  /** Oldest first, the current one last; holds at least those that any entry in the log belongs to, and the newest 128. */
  readonly incarnations: readonly Incarnation[]
  readonly lastLsn: Lsn
  /** Header CRC of the last entry, for the successor's `previousCrc`; 0 before the first. */
  readonly lastHeaderCrc: number
  readonly writtenEnd: LogPosition
  readonly durableEnd: LogPosition
  readonly durableLsn: Lsn
  /**
   * Lowest position from which a reader misses nothing: the end of the last entry that was given up. Compare stored
   * positions with this one.
   */
  readonly tail: LogPosition
  /** Bytes that appends may still use, overhead for groups already subtracted. */
  readonly freeBytes: number
  readonly ringBytes: number
  /** It is about to become smaller and is used no further than it will reach: nothing that is released makes room now. */
  readonly isCapped: boolean
  /** The owner's part of the superblock as found at open (empty if created). */
  readonly ownerStateFound: Buffer

  /** True if entries of so many payload bytes fit now. */
  hasRoom(entryCount: number, payloadBytes: number): boolean
  /** Takes a frame into the gathering group. The caller has checked `hasRoom`; LSNs obey the log's rule. */
  append(frame: Frame): LogEntry
  /** Asks for a sync that covers everything appended so far; `durable` will tell, unless all of it is durable already. */
  requestSync(): void
  /** Everything below is not needed any more. Space comes back when a superblock says so durably (in steps). */
  releaseBelow(position: LogPosition): void
  /** Writes a superblock with the current owner state; resolves when it is durable. */
  writeSuperblock(): Promise<void>
  /** A cursor at a position that is not below the tail. Default `kept`. */
  cursor(position: LogPosition, views?: CursorViews): LogCursor
  lease(position: LogPosition): Lease
  /** Position of the first entry with an LSN above `lsn`, or null if it is below the tail. */
  locate(lsn: Lsn): Promise<LogPosition | null>
  /**
   * The regions that the entries from `from` up to `to` touch, exactly, a segment at a time: from its checkpoint where
   * the segment lies inside, by walking its headers where only a part does. Holds a lease while it goes on.
   */
  regionsBetween(from: LogPosition, to: LogPosition): AsyncIterable<SegmentRegions>
  /** One entry's payload bytes, CRC-checked, for the overlay; rejects if it cannot be read. */
  readEntry(position: LogPosition): Promise<LogEntry>
  /** A piece of a payload, checked as a whole: what rotted since it was written is refused, never handed out. */
  readPayload(position: LogPosition, offset: number, length: number): Promise<Buffer>
  /**
   * Whole payloads of entries at ascending positions, where several lie close together: out of few large reads, each
   * checked. Null for the others, and for what cannot be had like that: {@link readPayload} knows more.
   */
  readPayloads(places: readonly PayloadPlace[]): Promise<readonly (Buffer | null)[]>
  /**
   * Journal only: voids everything from `position` on, durably, by a new incarnation; `position` is where an entry
   * begins or ends. Nothing may be gathering, nothing may be appended until it resolves. The ends of what is written and
   * durable move back, and cursors and leases that stood beyond it with them. Rejects with LOG_ENTRY_UNREADABLE, and
   * nothing has changed, if no entry that can be read ends there.
   */
  truncate(position: LogPosition): Promise<void>
  /**
   * Makes the log larger or smaller; the new size is durable when it resolves, and what somebody needs is kept. Writers go
   * on, but for the moment that `hold` says. Rejects with a LogError, and the size is what it was: LOG_TOO_SMALL,
   * LOG_RESIZE_BUSY, _USED, _SPACE, _BEHIND, _PIECES; or with LOG_CLOSED, or what failed, if the log was closed or failed.
   */
  resize(options: ResizeOptions): Promise<ResizeOutcome>
  /** Marks a clean stop durably and closes. Waits for what is under way. */
  close(): Promise<void>
  status(): RingLogStatus
}

/** `dense`: LSNs rise by one (replog). `monotone`: LSNs never fall within the frames' incarnation order (journal). */
export type LsnRule = 'dense' | 'monotone'
