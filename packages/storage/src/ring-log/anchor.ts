/**
 * A place where reading of the log may begin: a group start, and what the chain was just before it.
 *
 * Owns the 40-byte layout, which superblocks and checkpoints use alike:
 *
 *   0 position u64              8 entries' end u64       16 last lsn u64
 *  24 its incarnation u32      28 its header crc u32     32 group crc u32      36 extra u32
 */
import { readU64, writeU64, type LogPosition, type Lsn } from '@sitelink/protocol/entry'

export const ANCHOR_BYTES = 40

export interface Anchor {
  /** Where a group starts, or would start: a multiple of a block. */
  readonly position: LogPosition
  /** End of the last entry below; behind it there is only fill, or checkpoints. */
  readonly entriesEnd: LogPosition
  /** LSN of the last entry below; 0 if there was none ever. */
  readonly lsn: Lsn
  /** Incarnation in the frame of that entry; 0 if there was none. */
  readonly incarnation: number
  /** Header CRC of that entry; 0 if it is not known. */
  readonly entryCrc: number
  /** Header CRC of the group before, which the group at `position` repeats if it is of the same life. */
  readonly groupCrc: number
}

/**
 * Every anchor is made here, so that all have one shape: compiled code that reads the ends of the log, as every append does,
 * is thrown away whenever it meets another one.
 */
export function anchorOf(
  position: LogPosition,
  entriesEnd: LogPosition,
  lsn: Lsn,
  incarnation: number,
  entryCrc: number,
  groupCrc: number,
): Anchor {
  return { position, entriesEnd, lsn, incarnation, entryCrc, groupCrc }
}

/** A group without entries is written behind the anchor, or a new life begins there. */
export function anchorBehind(anchor: Anchor, position: LogPosition, groupCrc: number): Anchor {
  return anchorOf(position, anchor.entriesEnd, anchor.lsn, anchor.incarnation, anchor.entryCrc, groupCrc)
}

/** Before the first byte of a new log. */
export const ANCHOR_ORIGIN = anchorOf(0, 0, 0, 0, 0, 0)

/** `extra` is the owner's of the place: a presence mark, or a count. */
export function encodeAnchor(into: Buffer, at: number, anchor: Anchor, extra: number): void {
  writeU64(into, anchor.position, at)
  writeU64(into, anchor.entriesEnd, at + 8)
  writeU64(into, anchor.lsn, at + 16)
  into.writeUInt32LE(anchor.incarnation, at + 24)
  into.writeUInt32LE(anchor.entryCrc, at + 28)
  into.writeUInt32LE(anchor.groupCrc, at + 32)
  into.writeUInt32LE(extra, at + 36)
}

export function decodeAnchor(from: Buffer, at: number): { readonly anchor: Anchor; readonly extra: number } {
  const anchor = anchorOf(
    readU64(from, at),
    readU64(from, at + 8),
    readU64(from, at + 16),
    from.readUInt32LE(at + 24),
    from.readUInt32LE(at + 28),
    from.readUInt32LE(at + 32),
  )
  return { anchor, extra: from.readUInt32LE(at + 36) }
}
