/**
 * Write-back: the redo side of a ring log. The primary's slink 0 and the agent's apply are both a {@link WriteBack}.
 *
 * Entries that are in the log file are noted here in order; from then on reads see them. Entries at or below the limit
 * that the owner allows (log-durable at the primary; primary-durable and journal-durable at the agent) are written to
 * the devices in batches, last writer of a block first and only, neighbours merged; their bytes leave memory; the
 * devices are synced at checkpoints; only then the applied position moves.
 *
 * Layers, newest first; a read consults them in this order, then the device:
 *   active    entries noted since the last layer was closed
 *   closed    waits for the limit, then is being written to the devices
 *   unsynced  written to the devices, not synced: not consulted, unless a sync failed: then it is closed again, with
 *             its bytes in the log
 */
import type { RingLimits } from './limits.js'
import type { Frame, LogPosition, Lsn } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../device/block-device.js'
import type { LogEntry } from '../ring-log/contract.js'
import type { LostRange } from './lost-ranges.js'

/** A piece of a planned read, in order of offset, without gaps. */
export type ReadPiece =
  /** Bytes in memory. */
  | { readonly from: 'memory'; readonly length: number; readonly bytes: Buffer }
  | { readonly from: 'zeroes'; readonly length: number }
  /** Bytes of a payload in the log: entry at `position`, `payloadOffset` bytes into its payload. */
  | { readonly from: 'log'; readonly length: number; readonly position: LogPosition; readonly payloadOffset: number }
  | { readonly from: 'device'; readonly length: number; readonly offset: number }
  /** Acknowledged once, unreadable now (log corruption): EIO. */
  | { readonly from: 'lost'; readonly length: number }

export interface WriteBackListener {
  /** Entries below `position` are on the devices durably; `lsn` is the last of them. Grows only. */
  applied(position: LogPosition, lsn: Lsn): void
  /** Entries below `position` have been written to the devices' page cache. Grows only. */
  writtenToDevices?(position: LogPosition, lsn: Lsn): void
  /** Memory or intervals were given back: admission may go on. */
  roomFreed(): void
  /** A layer waits for the limit to reach `position`: a sync of the log would help. */
  limitWanted(position: LogPosition): void
  /** A device failed (first time), or works again. It is retried with backoff; reads keep coming from the log. */
  deviceFailed(deviceId: number, error: Error): void
  deviceRecovered(deviceId: number): void
  /**
   * The payload of an entry that is to be written to a device could not be read from the log. It is tried again with
   * backoff; {@link WriteBack.noteUnreadable} ends that.
   */
  logUnreadable?(position: LogPosition, deviceId: number, offset: number, length: number, error: Error): void
}

export interface WriteBack {
  /** Position of the first entry that is not yet applied durably. */
  readonly appliedPosition: LogPosition
  readonly appliedLsn: Lsn
  /** Payload bytes that are held in memory, and intervals over all layers. */
  readonly memoryBytes: number
  readonly intervalCount: number
  /**
   * True if another entry of so many payload bytes may be noted within the limits; `roomFreed` tells when a false may have
   * become true. `note` itself never refuses: entries that were admitted before still come. Past the memory limit entries
   * are noted without their bytes, so what ends room is intervals and the lag in log bytes. Always true while nothing is
   * waiting, so that the biggest entry fits.
   */
  hasRoom(payloadBytes: number): boolean
  /**
   * False while a payload of so many bytes would have to be read from the log once more for lack of memory, although devices
   * are about to give memory back: who need not note it now waits for `roomFreed`. True where waiting is of no use: for a
   * payload that memory never holds, while a device fails or does not answer, and while entries wait for one that is not attached.
   */
  hasMemory(payloadBytes: number): boolean
  /** Other bounds of the lag from now on: the log has another size. */
  limitLag(limits: RingLimits): void

  /**
   * Makes a device known; entries of an unknown device id are held (nothing is applied beyond them) until it is. Of an id
   * that is attached: another way to the same device (opened anew); what was not synced through the old one is written again.
   */
  attach(deviceId: number, device: BlockDevice): void
  /**
   * Entries of this id are dropped from here on; resolves once nothing of it is under way. `apply-first`: what was noted
   * before the call is applied durably first, which waits for the limit and for a failing device; a `drop` ends that wait,
   * and {@link endLimit} refuses it with {@link WriteBackLimitEnded}: the device then stays, and so does what was noted.
   */
  detach(deviceId: number, mode: 'apply-first' | 'drop'): Promise<void>
  /**
   * Takes an entry that is in the log file, in order. `recovered`: its bytes stay in the log, not in memory; its frame
   * needs no payload. What is noted can never be unmade: an agent notes nothing that a primary's power cut may cut from
   * its journal. A payload with memory of its own ({@link Frame.memory}) is taken over with it, and let go of once it is on its
   * device or where memory has no room: nobody else looks at it any more.
   */
  note(entry: LogEntry, recovered?: boolean): void
  /**
   * A range whose acknowledged bytes are lost: reads of it fail until it is overwritten. Comes in order with `note`; at a
   * start, the ranges that were stored come before the first entry.
   */
  noteLost(deviceId: number, offset: number, length: number): void
  /**
   * The payload of the entry at `position` is given up: what nobody has overwritten of it in this range is lost from now
   * on, and answered. What was written over it stays.
   */
  noteUnreadable(position: LogPosition, deviceId: number, offset: number, length: number): readonly LostRange[]
  /**
   * What to store with the applied position and to note lost again at the next start: ranges that no entry below the
   * applied position has overwritten.
   */
  lostRanges(): readonly LostRange[]
  /** Entries below `position` may be written to the devices. Grows only. */
  allow(position: LogPosition): void
  /** The log failed, `allow` comes no more: drains and detaches that wait for entries above the limit are refused, now and later. */
  endLimit(): void
  /** Plans a read in this very turn: what stands where now. */
  plan(deviceId: number, offset: number, length: number): readonly ReadPiece[]
  /**
   * Reads a range through the layers: buffers that add up to `length`, not to be written to. Planned in the turn of the
   * call. Rejects with a {@link WriteBackReadError}: EIO, and why.
   */
  read(deviceId: number, offset: number, length: number): Promise<readonly Buffer[]>
  /**
   * As {@link WriteBack.read}, into a buffer of the caller, whose memory nobody else uses meanwhile; it holds anything if it
   * rejects.
   */
  readInto(deviceId: number, offset: number, into: Buffer): Promise<void>
  /**
   * Reads a range in this very call, if no layer holds anything of it and the device has it at hand; else false: `into`
   * then holds anything, and {@link WriteBack.read} is to be asked.
   */
  readNow(deviceId: number, offset: number, into: Buffer): boolean
  /** True if any layer holds something of the range that the device does not, or bytes of it are lost. */
  covers(deviceId: number, offset: number, length: number): boolean
  /** Closes what is noted, and writes and syncs it as soon as it is allowed, whatever the limits say: the log runs short of space. */
  checkpoint(): void
  /**
   * Writes and syncs everything noted so far and allowed; resolves when it is applied durably. What is noted but not
   * allowed, or held for an unknown device, is left; `appliedPosition` tells. A failing device is waited for. Rejects with
   * {@link WriteBackStopped} at a stop, and with {@link WriteBackLimitEnded} after {@link endLimit}.
   */
  drain(): Promise<void>
  /** Stops new batches and waits for the one under way; reads go on. Waiting drains and detaches reject. */
  stop(): Promise<void>
  status(): WriteBackStatus
}

/** What write-back does with frames that are not writes: the agent's copies, the marks. Others are noted by type. */
export interface FrameSink {
  /**
   * Called in order, for frames of type marker, skip, map, unmap, resyncBegin, copy and copyZeroes, when everything up to
   * and with this frame is applied durably, and before `applied` of the listener says so. A copy comes without its payload.
   */
  applied(frame: Frame, end: LogPosition): void
}

/** Facts for `status` and metrics. Counters run from the start of this write-back. */
export interface WriteBackStatus {
  readonly appliedPosition: LogPosition
  readonly appliedLsn: Lsn
  /** Behind the newest noted entry. */
  readonly notedPosition: LogPosition
  readonly notedLsn: Lsn
  readonly allowedPosition: LogPosition
  /** Log bytes between the applied and the noted position. */
  readonly lagBytes: number
  readonly memoryBytes: number
  readonly intervalCount: number
  /** Closed layers that are not yet on all their devices, and layers that are but not synced. */
  readonly closedLayerCount: number
  readonly unsyncedLayerCount: number
  /** Milliseconds since the oldest entry that is not applied was noted; null if there is none. */
  readonly oldestUnappliedMs: number | null
  readonly notedEntryCount: number
  readonly notedBytes: number
  /** Bytes of payloads written to devices, rewrites included. */
  readonly writtenBytes: number
  readonly zeroedBytes: number
  /** Device writes, discards and zeroings; what merging saved is `notedEntryCount` less this. */
  readonly deviceWriteCount: number
  readonly deviceSyncCount: number
  readonly failedDeviceIds: readonly number[]
  /** Ids with entries that are held because no such device is attached. */
  readonly heldDeviceIds: readonly number[]
  readonly lostRangeCount: number
}
