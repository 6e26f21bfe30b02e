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
import type { Frame, LogPosition, Lsn } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../device/block-device.js'
import type { LogEntry } from '../ring-log/contract.js'

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
}

export interface WriteBack {
  /** Position of the first entry that is not yet applied durably. */
  readonly appliedPosition: LogPosition
  readonly appliedLsn: Lsn
  /** Payload bytes that are held in memory, and intervals over all layers. */
  readonly memoryBytes: number
  readonly intervalCount: number
  /** True if another entry of so many bytes may be noted within the limits. */
  hasRoom(payloadBytes: number): boolean

  /** Makes a device known; entries of an unknown device id are held (nothing is applied beyond them) until it is. */
  attach(deviceId: number, device: BlockDevice): void
  /** Entries of this id are dropped from here on; resolves once nothing of it is under way. */
  detach(deviceId: number, mode: 'apply-first' | 'drop'): Promise<void>
  /** Takes an entry that is in the log file, in order. `recovered`: its bytes stay in the log, not in memory. */
  note(entry: LogEntry, recovered?: boolean): void
  /** A range whose acknowledged bytes are lost: reads of it fail until it is overwritten. */
  noteLost(deviceId: number, offset: number, length: number): void
  /** Entries below `position` may be written to the devices. Grows only. */
  allow(position: LogPosition): void
  /** Plans a read in this very turn: what stands where now. */
  plan(deviceId: number, offset: number, length: number): readonly ReadPiece[]
  /** Reads a range through the layers: buffers that add up to `length`. Rejects with EIO facts. */
  read(deviceId: number, offset: number, length: number): Promise<readonly Buffer[]>
  /** True if any layer holds something of the range that the device does not. */
  covers(deviceId: number, offset: number, length: number): boolean
  /** Writes and syncs everything noted so far and allowed; resolves when it is applied durably. */
  drain(): Promise<void>
  /** Stops new batches and waits for the one under way. */
  stop(): Promise<void>
}

/** What write-back does with frames that are not writes: the agent's copies, the marks. Others are noted by type. */
export interface FrameSink {
  /** Called in order when everything up to and with this frame is applied durably. */
  applied(frame: Frame, end: LogPosition): void
}
