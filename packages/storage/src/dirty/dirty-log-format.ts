/**
 * The bytes of a stored dirty log: two header sectors and the sectors of its bitmap.
 *
 * Owns the layout and nothing else: no I/O, no decisions. A page of 4096 bytes is what is written at a time; each of its
 * eight sectors of 512 bytes checks itself, because sectors are what a power cut keeps or loses. All numbers are
 * little-endian; reserved bytes are zero. In prose, with an example: docs/internals/dirty-log-format.md.
 *
 *   page 0   header copy 0 in its first sector, zeros
 *   page 1   header copy 1 likewise
 *   page 2   bitmap sectors 0 .. 7: regions 0 .. 30719
 *   page 3   bitmap sectors 8 .. 15 ...
 */
import { assert, crc32, readU64, writeU64, type Id64, type LogPoint } from '@sitelink/protocol/entry'

export const DIRTY_PAGE_BYTES = 4096
export const DIRTY_SECTOR_BYTES = 512
export const SECTORS_PER_PAGE = DIRTY_PAGE_BYTES / DIRTY_SECTOR_BYTES
/** Bitmap bytes of a sector. */
export const SECTOR_PAYLOAD_BYTES = 480
export const REGIONS_PER_SECTOR = SECTOR_PAYLOAD_BYTES * 8
export const REGIONS_PER_PAGE = REGIONS_PER_SECTOR * SECTORS_PER_PAGE
export const WORDS_PER_SECTOR = SECTOR_PAYLOAD_BYTES / 4
/** Pages before the bitmap. */
export const HEADER_PAGES = 2

/** "SLDH" and "SLDB" as read in a hex dump. */
const HEADER_MAGIC = 0x48444c53
const SECTOR_MAGIC = 0x42444c53
export const DIRTY_LOG_VERSION = 1
/** A flush counts one up. Nobody flushes so often; whoever claims it leaves no number to go on with. */
export const GENERATION_MAX = 2 ** 52
/** Longest group or mapping id in bytes of UTF-8. */
export const IDENTITY_TEXT_BYTES_MAX = 63

/** What one dirty log belongs to. It is valid for exactly this and refused for anything else. */
export interface DirtyLogIdentity {
  /** The group, 1 .. 63 bytes of UTF-8. */
  readonly groupId: string
  /** One life of a mapping of a device to a slink, new at each map; 1 .. 63 bytes of UTF-8. */
  readonly mappingId: string
  /** The log whose LSNs its base point counts. */
  readonly logId: Id64
  readonly deviceId: number
  /** A power of two, at least 1 MiB. */
  readonly regionBytes: number
  /** Size of the device now. May differ from the stored one: a device grows. */
  readonly deviceBytes: number
}

/** A header in memory. */
export interface DirtyLogHeader {
  readonly identity: DirtyLogIdentity
  /** Of the flush that wrote it: 1, 2, 3 ... in one life of the store; a failed flush uses one up. */
  readonly generation: number
  /** Generation of the last flush that had ended well when this one began; 0 for none. */
  readonly goodGeneration: number
  /** Every entry up to here that dirties the device is in the bitmap of this generation. */
  readonly basePoint: LogPoint
  /** CRC-32 over the generations of all bitmap pages, each as u64. Says which pages belong to this header. */
  readonly pagesDigest: number
}

/** Byte offsets in a header sector. */
export const HEADER_OFFSET = {
  magic: 0,
  version: 4,
  sectorBytes: 6,
  generation: 8,
  goodGeneration: 16,
  baseIncarnation: 24,
  pagesDigest: 28,
  baseLsn: 32,
  regionBytes: 40,
  deviceBytes: 48,
  logId: 56,
  deviceId: 64,
  groupId: 68,
  mappingId: 132,
  reserved: 196,
  crc: 508,
} as const

/** Byte offsets in a bitmap sector. */
export const SECTOR_OFFSET = {
  magic: 0,
  index: 4,
  generation: 8,
  goodGeneration: 16,
  tag: 24,
  crc: 28,
  payload: 32,
} as const

assert(SECTOR_OFFSET.payload + SECTOR_PAYLOAD_BYTES === DIRTY_SECTOR_BYTES, 'a sector is filled exactly')
assert(HEADER_OFFSET.mappingId + 1 + IDENTITY_TEXT_BYTES_MAX === HEADER_OFFSET.reserved, 'a header has no gap')
assert(SECTOR_PAYLOAD_BYTES % 4 === 0, 'a sector holds whole words')

/** Pages of the bitmap of a device. */
export function bitmapPages(deviceBytes: number, regionBytes: number): number {
  return Math.ceil(Math.ceil(deviceBytes / regionBytes) / REGIONS_PER_PAGE)
}

/** Bytes of a store for such a device. */
export function dirtyLogStoreBytes(deviceBytes: number, regionBytes: number): number {
  return (HEADER_PAGES + bitmapPages(deviceBytes, regionBytes)) * DIRTY_PAGE_BYTES
}

/** Ties bitmap sectors to their log: equal for equal identities, whatever the size of the device. */
export function identityTag(identity: DirtyLogIdentity): number {
  const header = encodeHeader({
    identity: { ...identity, deviceBytes: 0 },
    generation: 0,
    goodGeneration: 0,
    basePoint: { incarnation: 0, lsn: 0 },
    pagesDigest: 0,
  })
  return crc32(header.subarray(0, HEADER_OFFSET.crc))
}

/** A whole header page. */
export function encodeHeader(header: DirtyLogHeader): Buffer {
  const { identity, basePoint } = header
  const page = Buffer.alloc(DIRTY_PAGE_BYTES)
  page.writeUInt32LE(HEADER_MAGIC, HEADER_OFFSET.magic)
  page.writeUInt16LE(DIRTY_LOG_VERSION, HEADER_OFFSET.version)
  page.writeUInt16LE(DIRTY_SECTOR_BYTES, HEADER_OFFSET.sectorBytes)
  writeU64(page, header.generation, HEADER_OFFSET.generation)
  writeU64(page, header.goodGeneration, HEADER_OFFSET.goodGeneration)
  page.writeUInt32LE(basePoint.incarnation, HEADER_OFFSET.baseIncarnation)
  page.writeUInt32LE(header.pagesDigest, HEADER_OFFSET.pagesDigest)
  writeU64(page, basePoint.lsn, HEADER_OFFSET.baseLsn)
  writeU64(page, identity.regionBytes, HEADER_OFFSET.regionBytes)
  writeU64(page, identity.deviceBytes, HEADER_OFFSET.deviceBytes)
  page.writeUInt32LE(identity.logId.low, HEADER_OFFSET.logId)
  page.writeUInt32LE(identity.logId.high, HEADER_OFFSET.logId + 4)
  page.writeUInt32LE(identity.deviceId, HEADER_OFFSET.deviceId)
  writeText(page, identity.groupId, HEADER_OFFSET.groupId)
  writeText(page, identity.mappingId, HEADER_OFFSET.mappingId)
  page.writeUInt32LE(crc32(page.subarray(0, HEADER_OFFSET.crc)), HEADER_OFFSET.crc)
  return page
}

/** What stands where a header should be. `empty`: never written. `unknown`: not ours, or damaged, or from another version. */
export type HeaderScan =
  | { readonly kind: 'valid'; readonly header: DirtyLogHeader }
  | { readonly kind: 'empty' }
  | { readonly kind: 'unknown'; readonly why: 'magic' | 'crc' | 'version' | 'field' | 'unreadable' }

/** Classifies a header sector of {@link DIRTY_SECTOR_BYTES} bytes. */
export function decodeHeader(sector: Buffer): HeaderScan {
  if (isZero(sector)) return { kind: 'empty' }
  if (sector.readUInt32LE(HEADER_OFFSET.magic) !== HEADER_MAGIC) return { kind: 'unknown', why: 'magic' }
  if (crc32(sector.subarray(0, HEADER_OFFSET.crc)) !== sector.readUInt32LE(HEADER_OFFSET.crc))
    return { kind: 'unknown', why: 'crc' }
  if (sector.readUInt16LE(HEADER_OFFSET.version) !== DIRTY_LOG_VERSION) return { kind: 'unknown', why: 'version' }
  if (sector.readUInt16LE(HEADER_OFFSET.sectorBytes) !== DIRTY_SECTOR_BYTES) return { kind: 'unknown', why: 'version' }
  const header: DirtyLogHeader = {
    identity: {
      groupId: readText(sector, HEADER_OFFSET.groupId),
      mappingId: readText(sector, HEADER_OFFSET.mappingId),
      logId: { low: sector.readUInt32LE(HEADER_OFFSET.logId), high: sector.readUInt32LE(HEADER_OFFSET.logId + 4) },
      deviceId: sector.readUInt32LE(HEADER_OFFSET.deviceId),
      regionBytes: readU64(sector, HEADER_OFFSET.regionBytes),
      deviceBytes: readU64(sector, HEADER_OFFSET.deviceBytes),
    },
    generation: readU64(sector, HEADER_OFFSET.generation),
    goodGeneration: readU64(sector, HEADER_OFFSET.goodGeneration),
    basePoint: {
      incarnation: sector.readUInt32LE(HEADER_OFFSET.baseIncarnation),
      lsn: readU64(sector, HEADER_OFFSET.baseLsn),
    },
    pagesDigest: sector.readUInt32LE(HEADER_OFFSET.pagesDigest),
  }
  // A field that this version cannot mean, behind a good CRC: written by something newer, or by a bug.
  const { generation, goodGeneration, basePoint, identity } = header
  const sane =
    generation > goodGeneration &&
    generation <= GENERATION_MAX &&
    Math.min(goodGeneration, basePoint.lsn, identity.deviceBytes) >= 0
  const reserved = isZero(sector.subarray(HEADER_OFFSET.reserved, HEADER_OFFSET.crc))
  return sane && reserved ? { kind: 'valid', header } : { kind: 'unknown', why: 'field' }
}

/** Fields of a bitmap sector beside its bits. */
export interface SectorFields {
  readonly generation: number
  readonly goodGeneration: number
  /** See {@link identityTag}. */
  readonly tag: number
}

/** Completes a sector whose payload is already in place. `index` counts the bitmap's sectors from 0. */
export function sealSector(sector: Buffer, index: number, fields: SectorFields): void {
  sector.writeUInt32LE(SECTOR_MAGIC, SECTOR_OFFSET.magic)
  sector.writeUInt32LE(index, SECTOR_OFFSET.index)
  writeU64(sector, fields.generation, SECTOR_OFFSET.generation)
  writeU64(sector, fields.goodGeneration, SECTOR_OFFSET.goodGeneration)
  sector.writeUInt32LE(fields.tag, SECTOR_OFFSET.tag)
  sector.writeUInt32LE(sectorCrc(sector), SECTOR_OFFSET.crc)
}

/** The fields of a sector, or null if it is not sector `index` of the log with this tag, whole. */
export function openSector(sector: Buffer, index: number, tag: number): SectorFields | null {
  if (sector.readUInt32LE(SECTOR_OFFSET.magic) !== SECTOR_MAGIC) return null
  if (sector.readUInt32LE(SECTOR_OFFSET.index) !== index || sector.readUInt32LE(SECTOR_OFFSET.tag) !== tag) return null
  if (sectorCrc(sector) !== sector.readUInt32LE(SECTOR_OFFSET.crc)) return null
  const generation = readU64(sector, SECTOR_OFFSET.generation)
  const goodGeneration = readU64(sector, SECTOR_OFFSET.goodGeneration)
  return generation > 0 && generation <= GENERATION_MAX && goodGeneration >= 0
    ? { generation, goodGeneration, tag }
    : null
}

/** CRC over everything but itself. */
function sectorCrc(sector: Buffer): number {
  return crc32(sector.subarray(SECTOR_OFFSET.payload), crc32(sector.subarray(0, SECTOR_OFFSET.crc)))
}

function writeText(into: Buffer, text: string, at: number): void {
  const bytes = Buffer.from(text, 'utf8')
  assert(bytes.length >= 1 && bytes.length <= IDENTITY_TEXT_BYTES_MAX, 'an id has 1 to 63 bytes of UTF-8')
  into.writeUInt8(bytes.length, at)
  bytes.copy(into, at + 1)
}

function readText(from: Buffer, at: number): string {
  return from.toString('utf8', at + 1, at + 1 + Math.min(from.readUInt8(at), IDENTITY_TEXT_BYTES_MAX))
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0)
}
