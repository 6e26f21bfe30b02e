/**
 * The header of a commit group, the unit of writing.
 *
 * Owns the layout of these 96 bytes. A group starts on a block of 4 KiB; its body follows at once (frames back to back,
 * or a checkpoint), then zeros up to the next block. The header's CRC covers every byte before it. Little-endian.
 * In prose, with an example in hex: docs/internals/replog-format.md.
 *
 *   0  magic u32       4 version u8   5 kind u8   6 header bytes u16      8 log id u64
 *  16  incarnation u32                20 predecessor's header crc u32    24 position u64
 *  32  body bytes u32                 36 entry count u32
 *  40  first lsn u64                  48 last lsn u64
 *  56  durable end u64                64 durable lsn u64
 *  72  last checkpoint's position u64 80 wall-clock us u64
 *  88  body crc u32                   92 header crc u32
 */
import {
  assert,
  crc32,
  readU16,
  readU32,
  readU64,
  writeU16,
  writeU32,
  writeU64,
  type Id64,
  type LogPosition,
  type Lsn,
} from '@sitelink/protocol/entry'
import { BLOCK_BYTES, GROUP_BODY_BYTES_MAX } from './limits.js'

/** "SLGR" as read in a hex dump. */
export const GROUP_MAGIC = 0x52474c53
export const GROUP_VERSION = 1
export const GROUP_HEADER_BYTES = 96

/** Byte offsets of the header's fields. */
export const GROUP_OFFSET = {
  magic: 0,
  version: 4,
  kind: 5,
  headerBytes: 6,
  logId: 8,
  incarnation: 16,
  previousCrc: 20,
  position: 24,
  bodyBytes: 32,
  entryCount: 36,
  firstLsn: 40,
  lastLsn: 48,
  durableEnd: 56,
  durableLsn: 64,
  checkpoint: 72,
  wallUs: 80,
  bodyCrc: 88,
  headerCrc: 92,
} as const

export const GroupKind = {
  /** Frames. */
  data: 1,
  /** Closes a segment; no entries. */
  checkpoint: 2,
} as const
export type GroupKind = (typeof GroupKind)[keyof typeof GroupKind]

export interface GroupFields {
  readonly kind: GroupKind
  readonly logId: Id64
  /** Number of the life of this log that wrote it. */
  readonly incarnation: number
  /** Header CRC of the group before; in the first group of a life the low half of the life's id. */
  readonly previousCrc: number
  /** Its own position. */
  readonly position: LogPosition
  /** Bytes behind the header, without the fill. */
  readonly bodyBytes: number
  readonly entryCount: number
  /** LSN of the first entry; without entries as {@link lastLsn}. */
  readonly firstLsn: Lsn
  /** LSN of the last entry; without entries that of the last one before. */
  readonly lastLsn: Lsn
  /** Everything below this was durable when the header was made. */
  readonly durableEnd: LogPosition
  /** Last LSN below {@link durableEnd}. */
  readonly durableLsn: Lsn
  /** Position of the last checkpoint before this group, 0 if there is none. */
  readonly checkpoint: LogPosition
  readonly wallUs: number
  /** Checkpoint: CRC-32 of the body. Data: CRC-32 over the header CRCs of its frames, four bytes each, in order. */
  readonly bodyCrc: number
}

export interface GroupHeader extends GroupFields {
  readonly headerCrc: number
}

/** Why there is no group header: no magic at all, a CRC that fails, or contents that this version cannot mean. */
export type GroupProblem = 'none' | 'crc' | 'version' | 'field'

assert(GROUP_OFFSET.headerCrc + 4 === GROUP_HEADER_BYTES, 'the header crc is the last field')

/** Writes a header at `at`; returns its CRC. */
export function encodeGroupHeader(into: Buffer, at: number, fields: GroupFields): number {
  writeU32(into, GROUP_MAGIC, at + GROUP_OFFSET.magic)
  into[at + GROUP_OFFSET.version] = GROUP_VERSION
  into[at + GROUP_OFFSET.kind] = fields.kind
  writeU16(into, GROUP_HEADER_BYTES, at + GROUP_OFFSET.headerBytes)
  writeU32(into, fields.logId.low, at + GROUP_OFFSET.logId)
  writeU32(into, fields.logId.high, at + GROUP_OFFSET.logId + 4)
  writeU32(into, fields.incarnation, at + GROUP_OFFSET.incarnation)
  writeU32(into, fields.previousCrc, at + GROUP_OFFSET.previousCrc)
  writeU64(into, fields.position, at + GROUP_OFFSET.position)
  writeU32(into, fields.bodyBytes, at + GROUP_OFFSET.bodyBytes)
  writeU32(into, fields.entryCount, at + GROUP_OFFSET.entryCount)
  writeU64(into, fields.firstLsn, at + GROUP_OFFSET.firstLsn)
  writeU64(into, fields.lastLsn, at + GROUP_OFFSET.lastLsn)
  writeU64(into, fields.durableEnd, at + GROUP_OFFSET.durableEnd)
  writeU64(into, fields.durableLsn, at + GROUP_OFFSET.durableLsn)
  writeU64(into, fields.checkpoint, at + GROUP_OFFSET.checkpoint)
  writeU64(into, fields.wallUs, at + GROUP_OFFSET.wallUs)
  writeU32(into, fields.bodyCrc, at + GROUP_OFFSET.bodyCrc)
  const headerCrc = crc32(into.subarray(at, at + GROUP_OFFSET.headerCrc))
  writeU32(into, headerCrc, at + GROUP_OFFSET.headerCrc)
  return headerCrc
}

/** What the 96 bytes at `at` are. Bounds the length of the body; says nothing about whose group it is, or where. */
export function decodeGroupHeader(from: Buffer, at: number): GroupHeader | GroupProblem {
  assert(at + GROUP_HEADER_BYTES <= from.length, 'a group header is read where there is room for one')
  if (readU32(from, at + GROUP_OFFSET.magic) !== GROUP_MAGIC) return hadMagic(from, at) ? 'crc' : 'none'
  const headerCrc = readU32(from, at + GROUP_OFFSET.headerCrc)
  if (crc32(from.subarray(at, at + GROUP_OFFSET.headerCrc)) !== headerCrc) return 'crc'
  if (from[at + GROUP_OFFSET.version] !== GROUP_VERSION) return 'version'
  if (readU16(from, at + GROUP_OFFSET.headerBytes) !== GROUP_HEADER_BYTES) return 'version'
  const kind = from[at + GROUP_OFFSET.kind]
  if (kind !== GroupKind.data && kind !== GroupKind.checkpoint) return 'field'
  const header: GroupHeader = {
    kind,
    logId: { low: readU32(from, at + GROUP_OFFSET.logId), high: readU32(from, at + GROUP_OFFSET.logId + 4) },
    incarnation: readU32(from, at + GROUP_OFFSET.incarnation),
    previousCrc: readU32(from, at + GROUP_OFFSET.previousCrc),
    position: readU64(from, at + GROUP_OFFSET.position),
    bodyBytes: readU32(from, at + GROUP_OFFSET.bodyBytes),
    entryCount: readU32(from, at + GROUP_OFFSET.entryCount),
    firstLsn: readU64(from, at + GROUP_OFFSET.firstLsn),
    lastLsn: readU64(from, at + GROUP_OFFSET.lastLsn),
    durableEnd: readU64(from, at + GROUP_OFFSET.durableEnd),
    durableLsn: readU64(from, at + GROUP_OFFSET.durableLsn),
    checkpoint: readU64(from, at + GROUP_OFFSET.checkpoint),
    wallUs: readU64(from, at + GROUP_OFFSET.wallUs),
    bodyCrc: readU32(from, at + GROUP_OFFSET.bodyCrc),
    headerCrc,
  }
  return meaningful(header) ? header : 'field'
}

const MAGIC_BYTES = Buffer.alloc(4)
MAGIC_BYTES.writeUInt32LE(GROUP_MAGIC)

/** True if the CRC is that of a header with the magic: only the magic is damaged, and a group was written here. */
function hadMagic(from: Buffer, at: number): boolean {
  if (from.readUInt16LE(at + GROUP_OFFSET.headerBytes) !== GROUP_HEADER_BYTES) return false
  const rest = from.subarray(at + GROUP_OFFSET.version, at + GROUP_OFFSET.headerCrc)
  return crc32(rest, crc32(MAGIC_BYTES)) === from.readUInt32LE(at + GROUP_OFFSET.headerCrc)
}

function meaningful(header: GroupHeader): boolean {
  const { position, bodyBytes, entryCount, firstLsn, lastLsn, durableEnd, durableLsn, checkpoint, wallUs } = header
  if (Math.min(position, firstLsn, lastLsn, durableEnd, durableLsn, checkpoint, wallUs) < 0) return false
  if (position % BLOCK_BYTES !== 0 || durableEnd > position || checkpoint > position) return false
  if (bodyBytes > GROUP_BODY_BYTES_MAX) return false
  if (header.kind === GroupKind.checkpoint) return entryCount === 0
  return entryCount > 0 && bodyBytes >= entryCount * GROUP_HEADER_BYTES
}

/** Total bytes of a group with its fill. */
export function groupSpan(bodyBytes: number): number {
  return Math.ceil((GROUP_HEADER_BYTES + bodyBytes) / BLOCK_BYTES) * BLOCK_BYTES
}
