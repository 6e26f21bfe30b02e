/**
 * The entry frame: what the replog stores, the wire carries and the journal keeps, as the very same bytes.
 *
 * Owns the layout of the 96-byte header and nothing else: no policy, no I/O. A frame is a header and a payload; the
 * header's CRC covers every header byte before it, the payload's CRC lies in the header. Little-endian throughout.
 * Reserved bytes are zero and are checked. The layout in prose, with an example in hex: docs/internals/wire-format.md.
 *
 *   0  magic u32   4 version u8   5 type u8    6 header bytes u16   8 flags u32      12 device id u32
 *  16  lsn u64    24 log id u64               32 incarnation u32   36 predecessor's header crc u32
 *  40  device offset u64                      48 range length u64
 *  56  wall-clock us u64                      64 durable lsn u64   72 aux u64
 *  80  payload bytes u32  84 payload crc u32  88 reserved u32      92 header crc u32
 */
import { assert } from './assert.js'
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from './bytes.js'
import { crc32 } from './crc.js'
import { FRAME_PAYLOAD_BYTES_MAX } from './limits.js'
import type { Lsn } from './lsn.js'
import type { PayloadMemory } from './payload-memory.js'

/** "SLNK" as read in a hex dump. */
export const FRAME_MAGIC = 0x4b4e4c53
export const FRAME_VERSION = 1
export const FRAME_HEADER_BYTES = 96

/** Byte offsets of the header's fields. */
export const FRAME_OFFSET = {
  magic: 0,
  version: 4,
  type: 5,
  headerBytes: 6,
  flags: 8,
  deviceId: 12,
  lsn: 16,
  logId: 24,
  incarnation: 32,
  previousCrc: 36,
  offset: 40,
  length: 48,
  wallUs: 56,
  durableLsn: 64,
  aux: 72,
  payloadBytes: 80,
  payloadCrc: 84,
  reserved: 88,
  headerCrc: 92,
} as const

/**
 * What a frame is. `write` .. `marker` are entries of the replog and own an LSN each. The rest travel in the stream of
 * one slink and lie in its agent's journal: their LSN is the last entry that the stream had passed when they were sent.
 */
export const FrameType = {
  /** Bytes for a range; payload = the bytes, `length` = their count. */
  write: 1,
  /** A range that reads as zeros from here on, its space kept. No payload. */
  zeroes: 2,
  /** A range that reads as zeros from here on, its space given back. No payload. */
  trim: 3,
  /** A named point in the order, without effect on a device. Payload: a msgpack map. */
  marker: 4,
  /** Entries `aux` .. `lsn` are not sent to this site. No payload. */
  skip: 16,
  /** A region's bytes, or a part of them, read for a resync; `aux` = the stamp (LSN), payload = the bytes. */
  copy: 17,
  /** The dirty map of one device before a resync; `aux` = how many more such frames follow. Payload: msgpack. */
  resyncBegin: 18,
  /** Device `deviceId` is replicated to this site from here on. Payload: msgpack. */
  map: 19,
  /** Device `deviceId` is no longer replicated to this site from here on. */
  unmap: 20,
  /** `copy` without payload: the range reads as zeros; `aux` = the stamp. */
  copyZeroes: 21,
  /** A control message of a session; never stored. LSN, log id and device id are 0. Payload: msgpack. */
  control: 64,
  /** Whole frames of the stream, compressed; never stored. `aux` = the compression, `length` = their bytes. */
  packed: 65,
} as const
export type FrameType = (typeof FrameType)[keyof typeof FrameType]

const KNOWN_TYPES: ReadonlySet<number> = new Set(Object.values(FrameType))

/** Bits of the header's flags. */
export const FrameFlag = {
  /** The writer asked for FUA: it was answered only when this entry was durable. */
  fua: 1,
  /** Flush before me: an application's FLUSH came between the predecessor and this entry. */
  flushBefore: 2,
  /** Last `copy` frame of its region. */
  lastOfRegion: 4,
} as const
const KNOWN_FLAGS = FrameFlag.fua | FrameFlag.flushBefore | FrameFlag.lastOfRegion

/** A 64-bit identity as two unsigned 32-bit halves, so that no BigInt is needed on the hot path. */
export interface Id64 {
  readonly high: number
  readonly low: number
}

/** A frame in memory. `header` and `payload` are the exact bytes; the other fields repeat what the header says. */
export interface Frame {
  readonly type: FrameType
  readonly flags: number
  readonly deviceId: number
  readonly lsn: Lsn
  readonly incarnation: number
  /** Byte offset on the device. */
  readonly offset: number
  /** Length of the range in bytes. */
  readonly length: number
  /** Highest LSN known durable at the primary when the frame was made. */
  readonly durableLsn: Lsn
  /** Meaning depends on the type: stamp of a copy, first LSN of a skip. */
  readonly aux: number
  readonly wallUs: number
  /** CRC of this header, which the successor repeats. */
  readonly headerCrc: number
  /** Exactly {@link FRAME_HEADER_BYTES} bytes. */
  readonly header: Buffer
  /** The payload, or null where it has no bytes. Never written to once the frame exists. */
  readonly payload: Buffer | null
  /** Who is done with the payload lets go of it here; without it the collector finds out. The payload is empty then. */
  readonly memory: PayloadMemory | null
}

/** What {@link encodeFrame} needs; absent fields are 0. */
export interface FrameFields {
  readonly type: FrameType
  readonly flags?: number
  readonly deviceId?: number
  readonly lsn?: Lsn
  readonly logId?: Id64
  readonly incarnation?: number
  readonly previousCrc?: number
  readonly offset?: number
  readonly length?: number
  readonly wallUs?: number
  readonly durableLsn?: Lsn
  readonly aux?: number
}

const NO_ID: Id64 = { high: 0, low: 0 }

/** Total bytes of a frame on disk and wire. */
export function frameBytes(frame: Frame): number {
  return FRAME_HEADER_BYTES + (frame.payload === null ? 0 : frame.payload.length)
}

/**
 * Builds a frame around `payload`, which is kept, not copied, and must not change afterwards.
 * `header` may be passed to place the header in a caller's slab; it must have exactly {@link FRAME_HEADER_BYTES} bytes.
 */
export function encodeFrame(
  fields: FrameFields,
  payload: Buffer | null,
  header: Buffer = Buffer.allocUnsafe(FRAME_HEADER_BYTES),
): Frame {
  const payloadBytes = payload === null ? 0 : payload.length
  assert(payloadBytes <= FRAME_PAYLOAD_BYTES_MAX, 'a frame payload is within its limit')
  assert(header.length === FRAME_HEADER_BYTES, 'a header buffer has the size of a header')
  const { type, flags = 0, deviceId = 0, lsn = 0, incarnation = 0, offset = 0, length = 0 } = fields
  const { wallUs = 0, durableLsn = 0, aux = 0, logId = NO_ID, previousCrc = 0 } = fields
  assert(deviceId >>> 0 === deviceId && incarnation >>> 0 === incarnation, 'numbers of 32 bits have no more')
  writeU32(header, FRAME_MAGIC, FRAME_OFFSET.magic)
  header[FRAME_OFFSET.version] = FRAME_VERSION
  header[FRAME_OFFSET.type] = type
  writeU16(header, FRAME_HEADER_BYTES, FRAME_OFFSET.headerBytes)
  writeU32(header, flags, FRAME_OFFSET.flags)
  writeU32(header, deviceId, FRAME_OFFSET.deviceId)
  writeU64(header, lsn, FRAME_OFFSET.lsn)
  writeU32(header, logId.low, FRAME_OFFSET.logId)
  writeU32(header, logId.high, FRAME_OFFSET.logId + 4)
  writeU32(header, incarnation, FRAME_OFFSET.incarnation)
  writeU32(header, previousCrc, FRAME_OFFSET.previousCrc)
  writeU64(header, offset, FRAME_OFFSET.offset)
  writeU64(header, length, FRAME_OFFSET.length)
  writeU64(header, wallUs, FRAME_OFFSET.wallUs)
  writeU64(header, durableLsn, FRAME_OFFSET.durableLsn)
  writeU64(header, aux, FRAME_OFFSET.aux)
  writeU32(header, payloadBytes, FRAME_OFFSET.payloadBytes)
  writeU32(header, payloadBytes === 0 ? 0 : crc32(payload as Buffer), FRAME_OFFSET.payloadCrc)
  writeU32(header, 0, FRAME_OFFSET.reserved)
  const headerCrc = crc32(header.subarray(0, FRAME_OFFSET.headerCrc))
  writeU32(header, headerCrc, FRAME_OFFSET.headerCrc)
  const bytes = payloadBytes === 0 ? null : payload
  return {
    type,
    flags,
    deviceId,
    lsn,
    incarnation,
    offset,
    length,
    durableLsn,
    aux,
    wallUs,
    headerCrc,
    header,
    payload: bytes,
    memory: null,
  }
}

/** All that is the same in every control frame: the header but for its last fields, and the CRC up to them. */
const CONTROL_HEADER = encodeFrame({ type: FrameType.control }, null).header
const CONTROL_CRC = crc32(CONTROL_HEADER.subarray(0, FRAME_OFFSET.payloadBytes))
/** What the header's CRC covers behind that, once more: a view of the header costs more than three writes. */
const controlTail = Buffer.alloc(FRAME_OFFSET.headerCrc - FRAME_OFFSET.payloadBytes)

/** What {@link encodeFrame} makes of a control frame's payload, which is never empty: acknowledgements come often. */
export function encodeControlFrame(payload: Buffer): Frame {
  const payloadBytes = payload.length
  assert(payloadBytes > 0 && payloadBytes <= FRAME_PAYLOAD_BYTES_MAX, 'a control frame has a payload within its limit')
  const payloadCrc = crc32(payload)
  writeU32(controlTail, payloadBytes, 0)
  writeU32(controlTail, payloadCrc, FRAME_OFFSET.payloadCrc - FRAME_OFFSET.payloadBytes)
  const headerCrc = crc32(controlTail, CONTROL_CRC)
  const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
  header.set(CONTROL_HEADER, 0)
  writeU32(header, payloadBytes, FRAME_OFFSET.payloadBytes)
  writeU32(header, payloadCrc, FRAME_OFFSET.payloadCrc)
  writeU32(header, headerCrc, FRAME_OFFSET.headerCrc)
  return {
    type: FrameType.control,
    flags: 0,
    deviceId: 0,
    lsn: 0,
    incarnation: 0,
    offset: 0,
    length: 0,
    durableLsn: 0,
    aux: 0,
    wallUs: 0,
    headerCrc,
    header,
    payload,
    memory: null,
  }
}

/** Why a header is not one of ours, or null if it is. Reads nothing beyond the header; bounds the payload's length. */
export function headerProblem(header: Buffer): 'magic' | 'crc' | 'version' | 'type' | 'field' | 'too-large' | null {
  assert(header.length === FRAME_HEADER_BYTES, 'a header buffer has the size of a header')
  if (readU32(header, FRAME_OFFSET.magic) !== FRAME_MAGIC) return 'magic'
  if (crc32(header.subarray(0, FRAME_OFFSET.headerCrc)) !== readU32(header, FRAME_OFFSET.headerCrc)) return 'crc'
  if ((header[FRAME_OFFSET.version] as number) !== FRAME_VERSION) return 'version'
  if (readU16(header, FRAME_OFFSET.headerBytes) !== FRAME_HEADER_BYTES) return 'version'
  if (!KNOWN_TYPES.has(header[FRAME_OFFSET.type] as number)) return 'type'
  if ((readU32(header, FRAME_OFFSET.flags) & ~KNOWN_FLAGS) !== 0) return 'field'
  if (readU32(header, FRAME_OFFSET.reserved) !== 0) return 'field'
  for (const at of U64_OFFSETS) if (readU64(header, at) < 0) return 'field'
  if (readU32(header, FRAME_OFFSET.payloadBytes) > FRAME_PAYLOAD_BYTES_MAX) return 'too-large'
  return null
}
const U64_OFFSETS = [
  FRAME_OFFSET.lsn,
  FRAME_OFFSET.offset,
  FRAME_OFFSET.length,
  FRAME_OFFSET.wallUs,
  FRAME_OFFSET.durableLsn,
  FRAME_OFFSET.aux,
] as const

/** Payload length that a header announces, in bytes. The header must have passed {@link headerProblem}. */
export function headerPayloadBytes(header: Buffer): number {
  return readU32(header, FRAME_OFFSET.payloadBytes)
}

/** Log identity that a header carries. */
export function headerLogId(header: Buffer): Id64 {
  assert(header.length === FRAME_HEADER_BYTES, 'a header buffer has the size of a header')
  return { low: readU32(header, FRAME_OFFSET.logId), high: readU32(header, FRAME_OFFSET.logId + 4) }
}

/** Header CRC of the entry before this one, as the header repeats it. */
export function headerPreviousCrc(header: Buffer): number {
  assert(header.length === FRAME_HEADER_BYTES, 'a header buffer has the size of a header')
  return readU32(header, FRAME_OFFSET.previousCrc)
}

/** True if `payload` has the CRC that `header` announces. */
export function payloadMatches(header: Buffer, payload: Buffer | null): boolean {
  const bytes = payload === null ? 0 : payload.length
  if (bytes !== headerPayloadBytes(header)) return false
  return (bytes === 0 ? 0 : crc32(payload as Buffer)) === readU32(header, FRAME_OFFSET.payloadCrc)
}

/** The frame of a header that passed {@link headerProblem} and a payload that passed {@link payloadMatches}. */
export function decodeFrame(header: Buffer, payload: Buffer | null, memory: PayloadMemory | null = null): Frame {
  assert(header.length === FRAME_HEADER_BYTES, 'a header buffer has the size of a header')
  return {
    type: header[FRAME_OFFSET.type] as number as FrameType,
    flags: readU32(header, FRAME_OFFSET.flags),
    deviceId: readU32(header, FRAME_OFFSET.deviceId),
    lsn: readU64(header, FRAME_OFFSET.lsn),
    incarnation: readU32(header, FRAME_OFFSET.incarnation),
    offset: readU64(header, FRAME_OFFSET.offset),
    length: readU64(header, FRAME_OFFSET.length),
    durableLsn: readU64(header, FRAME_OFFSET.durableLsn),
    aux: readU64(header, FRAME_OFFSET.aux),
    wallUs: readU64(header, FRAME_OFFSET.wallUs),
    headerCrc: readU32(header, FRAME_OFFSET.headerCrc),
    header,
    payload: payload === null || payload.length === 0 ? null : payload,
    memory,
  }
}

/** 16 hex digits, high half first. */
export function formatId64(id: Id64): string {
  return id.high.toString(16).padStart(8, '0') + id.low.toString(16).padStart(8, '0')
}

/** Parses what {@link formatId64} prints; null for anything else. */
export function parseId64(text: string): Id64 | null {
  if (!/^[0-9a-f]{16}$/.test(text)) return null
  return { high: Number.parseInt(text.slice(0, 8), 16), low: Number.parseInt(text.slice(8), 16) }
}

/** True if both name the same. */
export function sameId64(a: Id64, b: Id64): boolean {
  return a.low === b.low && a.high === b.high
}
