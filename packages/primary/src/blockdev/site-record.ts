/**
 * What is known durably of a blockdev site, as it stands in one slot of its file (docs/internals/blockdev.md).
 *
 * Pure: the shape, its encoding and its checks. Invariant: what decodes was encoded here, whole; anything else is null,
 * and a site without a record is one of which nothing is known.
 *
 *   offset 0   8 bytes   magic "SLNKSITE"
 *          8   u32       version, 1
 *         12   u32       CRC-32 of the slot from here on + 4 to the end of the text
 *         16   u32       bytes of the text
 *         20             the record as JSON, UTF-8; the rest of the slot is zero
 */
import { assert, crc32 } from '@sitelink/protocol'

export const SLOT_BYTES = 4096
const MAGIC = Buffer.from('SLNKSITE')
const VERSION = 1
const CRC_AT = 12
const TEXT_AT = 20

export interface SiteRecord {
  /** Rises with every write: the higher of two slots counts. */
  readonly sequence: number
  /** Identity of the site, 16 hex digits, made with the file. */
  readonly site: string
  /** Group, slink and epoch that it replicates; null before its first session. */
  readonly group: string | null
  readonly slink: number | null
  readonly epoch: number
  /** The log that `applied` is of; null: nothing was ever applied. */
  readonly logId: string | null
  /** Everything up to here is on the devices durably. */
  readonly applied: SitePoint
  /** Nothing behind this LSN was ever given to a device. Above `applied`: what is between may be there, in part. */
  readonly reachLsn: number
}

/** A point of the history, with what names its life and its entry. */
export interface SitePoint {
  readonly incarnation: number
  /** Id of that life, 16 hex digits; zeros: none. */
  readonly incarnationId: string
  readonly lsn: number
  /** Header CRC of the entry; 0 where it is not known. */
  readonly crc: number
}

export const NO_LIFE = '0'.repeat(16)
export const NOWHERE: SitePoint = { incarnation: 0, incarnationId: NO_LIFE, lsn: 0, crc: 0 }

/** A site that nothing is known of. */
export function freshRecord(site: string): SiteRecord {
  return { sequence: 0, site, group: null, slink: null, epoch: 0, logId: null, applied: NOWHERE, reachLsn: 0 }
}

export function encodeRecord(record: SiteRecord): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES)
  const bytes = slot.write(JSON.stringify(record), TEXT_AT)
  assert(TEXT_AT + bytes < SLOT_BYTES, 'a record fits into its slot')
  MAGIC.copy(slot)
  slot.writeUInt32LE(VERSION, 8)
  slot.writeUInt32LE(bytes, 16)
  slot.writeUInt32LE(crcOf(slot, bytes), CRC_AT)
  return slot
}

/** The record in a slot; null where there is none, or none that checks. */
export function decodeRecord(slot: Buffer): SiteRecord | null {
  if (slot.length !== SLOT_BYTES || !slot.subarray(0, 8).equals(MAGIC) || slot.readUInt32LE(8) !== VERSION) return null
  const bytes = slot.readUInt32LE(16)
  if (bytes > SLOT_BYTES - TEXT_AT || slot.readUInt32LE(CRC_AT) !== crcOf(slot, bytes)) return null
  try {
    const value: unknown = JSON.parse(slot.toString('utf8', TEXT_AT, TEXT_AT + bytes))
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}

function crcOf(slot: Buffer, bytes: number): number {
  return crc32(slot.subarray(16, TEXT_AT + bytes))
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isId = (value: unknown): value is string => typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)

function isRecord(value: unknown): value is SiteRecord {
  if (typeof value !== 'object' || value === null) return false
  const { sequence, site, group, slink, epoch, logId, applied, reachLsn } = value as Partial<SiteRecord>
  return (
    isCount(sequence) &&
    isId(site) &&
    (group === null || typeof group === 'string') &&
    (slink === null || isCount(slink)) &&
    isCount(epoch) &&
    (logId === null || isId(logId)) &&
    isCount(reachLsn) &&
    typeof applied === 'object' &&
    applied !== null &&
    isCount(applied.incarnation) &&
    isId(applied.incarnationId) &&
    isCount(applied.lsn) &&
    isCount(applied.crc)
  )
}
