/**
 * The superblock: what a log is, where it begins, and what its owner wants to find again.
 *
 * Owns the layout of a slot and the choice between the two. A superblock is written into one slot, synced, and then
 * copied into the other; the next one goes first into the slot that holds the copy. So at every instant one slot holds
 * the newest durable superblock whole, and at rest both do. Only the blocks of 4 KiB that it needs are written; the CRC
 * covers all of them except itself. Magic, version, length and CRC keep their place in every version to come.
 *
 *   0 magic 8 bytes          8 version u32        12 length u32          16 handler name, 16 bytes, zero padded
 *  32 sequence u64          40 log id u64         48 start offset u64    56 ring bytes u64
 *  64 lsn rule u8           65 clean stop u8      66 reserved u16        68 incarnation count u32
 *  72 owner's bytes u32     76 reserved u32       80 tail, an anchor     120 last checkpoint, an anchor (extra: 1 if any)
 * 160 durable end u64      168 durable lsn u64   176 wall-clock us u64   184 created, wall-clock us u64
 * 192 shift u64            200 piece count u32   204 reserved, 16 bytes 220 crc u32
 * 224 incarnation table: number u32, reserved u32, id u64, first lsn u64, first position u64, previous end u64 each
 *     then the pieces of the ring: place u64, length u64 each, then the owner's part, then zeros up to a block
 *
 * A ring that was never resized is plain, and written as version 1: no shift, no pieces.
 */
import { assert, crc32, readU64, writeU64, type Id64, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import { ANCHOR_ORIGIN, decodeAnchor, encodeAnchor, type Anchor } from './anchor.js'
import { OWNER_BYTES_MAX, type Incarnation, type LsnRule } from './contract.js'
import { SUPERBLOCK_VERSION, SUPERBLOCK_VERSION_MIN } from './format-version.js'
import { alignUp } from './geometry.js'
import { isPlain, isPossibleLayout, plainLayout, type RingLayout } from './layout.js'
import { BLOCK_BYTES, INCARNATIONS_MAX, RING_PIECES_MAX, SUPERBLOCK_SLOT_BYTES } from './limits.js'

/** First eight bytes of a slot. */
export const SUPERBLOCK_MAGIC = 'SLNKLOG\0'
export const HANDLER_NAME = 'ringbuffer'
export const SUPERBLOCK_HEADER_BYTES = 224
const INCARNATION_BYTES = 40
const PIECE_BYTES = 16

export const SUPERBLOCK_OFFSET = {
  magic: 0,
  version: 8,
  length: 12,
  handler: 16,
  sequence: 32,
  logId: 40,
  startOffset: 48,
  ringBytes: 56,
  rule: 64,
  cleanStop: 65,
  incarnationCount: 68,
  ownerBytes: 72,
  tail: 80,
  checkpoint: 120,
  durableEnd: 160,
  durableLsn: 168,
  wallUs: 176,
  createdUs: 184,
  shift: 192,
  pieceCount: 200,
  crc: 220,
} as const

export interface Superblock {
  /** One more at each write. */
  readonly sequence: number
  readonly logId: Id64
  readonly startOffset: number
  readonly ringBytes: number
  /** Where its bytes lie. */
  readonly layout: RingLayout
  readonly rule: LsnRule
  /** The log was closed in order; nothing lies behind {@link durableEnd}. */
  readonly cleanStop: boolean
  /** Nothing below is needed. Bytes below it may have been overwritten once this superblock was durable. */
  readonly tail: Anchor
  /** A durable checkpoint, the last one when this was written; null if there was none above the tail. */
  readonly checkpoint: Anchor | null
  readonly durableEnd: LogPosition
  readonly durableLsn: Lsn
  readonly wallUs: number
  readonly createdUs: number
  /** Oldest first; the last one is the life that writes now. */
  readonly incarnations: readonly Incarnation[]
  readonly owner: Buffer
}

/** What a slot holds. */
export type SlotContent =
  | { readonly kind: 'valid'; readonly superblock: Superblock; readonly bytes: Buffer }
  /** All zeros. */
  | { readonly kind: 'blank' }
  /** Ours once, now not readable as such. */
  | { readonly kind: 'damaged'; readonly why: string }
  | { readonly kind: 'newer'; readonly version: number; readonly sequence: number }
  /** Our magic with another handler's name. */
  | { readonly kind: 'other-handler'; readonly handler: string }
  /** Something that is not ours. */
  | { readonly kind: 'foreign' }
  /** The disk refused. */
  | { readonly kind: 'unreadable'; readonly error: unknown }

const RULES: readonly (LsnRule | undefined)[] = [undefined, 'dense', 'monotone']

/** The blocks to write; at most {@link SUPERBLOCK_SLOT_BYTES}. */
export function encodeSuperblock(superblock: Superblock): Buffer {
  const { incarnations, owner, tail, checkpoint, layout } = superblock
  assert(incarnations.length >= 1 && incarnations.length <= INCARNATIONS_MAX, 'the incarnation table fits')
  assert(owner.length <= OWNER_BYTES_MAX, 'the part of the owner fits')
  const plain = isPlain(layout)
  const pieces = plain ? [] : layout.pieces
  const piecesAt = SUPERBLOCK_HEADER_BYTES + incarnations.length * INCARNATION_BYTES
  const ownerAt = piecesAt + pieces.length * PIECE_BYTES
  const bytes = Buffer.alloc(alignUp(ownerAt + owner.length))
  bytes.write(SUPERBLOCK_MAGIC, SUPERBLOCK_OFFSET.magic, 'latin1')
  bytes.writeUInt32LE(plain ? SUPERBLOCK_VERSION_MIN : SUPERBLOCK_VERSION, SUPERBLOCK_OFFSET.version)
  bytes.writeUInt32LE(bytes.length, SUPERBLOCK_OFFSET.length)
  bytes.write(HANDLER_NAME, SUPERBLOCK_OFFSET.handler, 'latin1')
  writeU64(bytes, superblock.sequence, SUPERBLOCK_OFFSET.sequence)
  writeId(bytes, superblock.logId, SUPERBLOCK_OFFSET.logId)
  writeU64(bytes, superblock.startOffset, SUPERBLOCK_OFFSET.startOffset)
  writeU64(bytes, superblock.ringBytes, SUPERBLOCK_OFFSET.ringBytes)
  bytes.writeUInt8(RULES.indexOf(superblock.rule), SUPERBLOCK_OFFSET.rule)
  bytes.writeUInt8(superblock.cleanStop ? 1 : 0, SUPERBLOCK_OFFSET.cleanStop)
  bytes.writeUInt32LE(incarnations.length, SUPERBLOCK_OFFSET.incarnationCount)
  bytes.writeUInt32LE(owner.length, SUPERBLOCK_OFFSET.ownerBytes)
  encodeAnchor(bytes, SUPERBLOCK_OFFSET.tail, tail, 0)
  encodeAnchor(bytes, SUPERBLOCK_OFFSET.checkpoint, checkpoint ?? ANCHOR_ORIGIN, checkpoint === null ? 0 : 1)
  writeU64(bytes, superblock.durableEnd, SUPERBLOCK_OFFSET.durableEnd)
  writeU64(bytes, superblock.durableLsn, SUPERBLOCK_OFFSET.durableLsn)
  writeU64(bytes, superblock.wallUs, SUPERBLOCK_OFFSET.wallUs)
  writeU64(bytes, superblock.createdUs, SUPERBLOCK_OFFSET.createdUs)
  writeU64(bytes, plain ? 0 : layout.shift, SUPERBLOCK_OFFSET.shift)
  bytes.writeUInt32LE(pieces.length, SUPERBLOCK_OFFSET.pieceCount)
  incarnations.forEach((life, index) =>
    encodeIncarnation(bytes, SUPERBLOCK_HEADER_BYTES + index * INCARNATION_BYTES, life),
  )
  pieces.forEach(({ place, length }, index) => {
    writeU64(bytes, place, piecesAt + index * PIECE_BYTES)
    writeU64(bytes, length, piecesAt + index * PIECE_BYTES + 8)
  })
  owner.copy(bytes, ownerAt)
  bytes.writeUInt32LE(slotCrc(bytes), SUPERBLOCK_OFFSET.crc)
  return bytes
}

/** Classifies a whole slot of {@link SUPERBLOCK_SLOT_BYTES}. */
export function decodeSlot(slot: Buffer): SlotContent {
  assert(slot.length === SUPERBLOCK_SLOT_BYTES, 'a slot is read whole')
  if (slot.toString('latin1', 0, 8) !== SUPERBLOCK_MAGIC) return withoutMagic(slot)
  const length = slot.readUInt32LE(SUPERBLOCK_OFFSET.length)
  const version = slot.readUInt32LE(SUPERBLOCK_OFFSET.version)
  if (length < BLOCK_BYTES || length > slot.length || length % BLOCK_BYTES !== 0)
    return { kind: 'damaged', why: 'length' }
  const bytes = slot.subarray(0, length)
  if (slotCrc(bytes) !== bytes.readUInt32LE(SUPERBLOCK_OFFSET.crc)) return { kind: 'damaged', why: 'crc' }
  if (version > SUPERBLOCK_VERSION)
    return { kind: 'newer', version, sequence: readU64(bytes, SUPERBLOCK_OFFSET.sequence) }
  if (version < SUPERBLOCK_VERSION_MIN) return { kind: 'damaged', why: 'version' }
  const handler = bytes
    .toString('latin1', SUPERBLOCK_OFFSET.handler, SUPERBLOCK_OFFSET.handler + 16)
    .replace(/\0+$/, '')
  if (handler !== HANDLER_NAME) return { kind: 'other-handler', handler }
  const superblock = decodeFields(bytes)
  return superblock === null ? { kind: 'damaged', why: 'field' } : { kind: 'valid', superblock, bytes }
}

/** Index of the slot to believe: the newest of those that are valid, the first if equal; null if none is. */
export function chooseSlot(slots: readonly [SlotContent, SlotContent]): 0 | 1 | null {
  const [a, b] = slots
  if (a.kind !== 'valid') return b.kind === 'valid' ? 1 : null
  if (b.kind !== 'valid') return 0
  return b.superblock.sequence > a.superblock.sequence ? 1 : 0
}

function withoutMagic(slot: Buffer): SlotContent {
  if (isZero(slot)) return { kind: 'blank' }
  // A slot whose first sector was lost or cleared is still ours, and must not pass for somebody else's bytes.
  return slot.includes(SUPERBLOCK_MAGIC, 0, 'latin1') || isZero(slot.subarray(0, 512))
    ? { kind: 'damaged', why: 'magic' }
    : { kind: 'foreign' }
}

const ZERO = Buffer.alloc(SUPERBLOCK_SLOT_BYTES)

/** True if all bytes are zero. */
export function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += ZERO.length) {
    const piece = bytes.subarray(at, at + ZERO.length)
    if (!piece.equals(ZERO.subarray(0, piece.length))) return false
  }
  return true
}

function slotCrc(bytes: Buffer): number {
  return crc32(bytes.subarray(SUPERBLOCK_OFFSET.crc + 4), crc32(bytes.subarray(0, SUPERBLOCK_OFFSET.crc)))
}

function decodeFields(bytes: Buffer): Superblock | null {
  const count = bytes.readUInt32LE(SUPERBLOCK_OFFSET.incarnationCount)
  const ownerBytes = bytes.readUInt32LE(SUPERBLOCK_OFFSET.ownerBytes)
  const isFirst = bytes.readUInt32LE(SUPERBLOCK_OFFSET.version) === SUPERBLOCK_VERSION_MIN
  const pieceCount = isFirst ? 0 : bytes.readUInt32LE(SUPERBLOCK_OFFSET.pieceCount)
  const piecesAt = SUPERBLOCK_HEADER_BYTES + count * INCARNATION_BYTES
  const ownerAt = piecesAt + pieceCount * PIECE_BYTES
  const rule = RULES[bytes.readUInt8(SUPERBLOCK_OFFSET.rule)]
  if (
    count < 1 ||
    count > INCARNATIONS_MAX ||
    pieceCount > RING_PIECES_MAX ||
    ownerBytes > OWNER_BYTES_MAX ||
    ownerAt + ownerBytes > bytes.length ||
    rule === undefined
  )
    return null
  const incarnations: Incarnation[] = []
  for (let index = 0; index < count; index++)
    incarnations.push(decodeIncarnation(bytes, SUPERBLOCK_HEADER_BYTES + index * INCARNATION_BYTES))
  const checkpoint = decodeAnchor(bytes, SUPERBLOCK_OFFSET.checkpoint)
  const ringBytes = readU64(bytes, SUPERBLOCK_OFFSET.ringBytes)
  const superblock: Superblock = {
    sequence: readU64(bytes, SUPERBLOCK_OFFSET.sequence),
    logId: readId(bytes, SUPERBLOCK_OFFSET.logId),
    startOffset: readU64(bytes, SUPERBLOCK_OFFSET.startOffset),
    ringBytes,
    layout: isFirst ? plainLayout(ringBytes) : decodeLayout(bytes, ringBytes, piecesAt, pieceCount),
    rule,
    cleanStop: bytes.readUInt8(SUPERBLOCK_OFFSET.cleanStop) === 1,
    tail: decodeAnchor(bytes, SUPERBLOCK_OFFSET.tail).anchor,
    checkpoint: checkpoint.extra === 1 ? checkpoint.anchor : null,
    durableEnd: readU64(bytes, SUPERBLOCK_OFFSET.durableEnd),
    durableLsn: readU64(bytes, SUPERBLOCK_OFFSET.durableLsn),
    wallUs: readU64(bytes, SUPERBLOCK_OFFSET.wallUs),
    createdUs: readU64(bytes, SUPERBLOCK_OFFSET.createdUs),
    incarnations,
    owner: Buffer.from(bytes.subarray(ownerAt, ownerAt + ownerBytes)),
  }
  return isPossible(superblock) ? superblock : null
}

/** Behind a good CRC: what nobody of ours ever writes, and what everybody who reads a log relies on. */
function isPossible(superblock: Superblock): boolean {
  const { tail, checkpoint, ringBytes, incarnations, sequence, startOffset, durableEnd, durableLsn } = superblock
  if (Math.min(sequence, startOffset, durableEnd, durableLsn, superblock.wallUs, superblock.createdUs) < 0) return false
  if (ringBytes <= 0 || ringBytes % BLOCK_BYTES !== 0 || !isPossibleLayout(superblock.layout)) return false
  const limit = tail.position + ringBytes
  const isPlace = (position: LogPosition): boolean => position >= 0 && position % BLOCK_BYTES === 0 && position <= limit
  const isAnchor = ({ position, entriesEnd, lsn }: Anchor): boolean =>
    isPlace(position) && entriesEnd >= 0 && entriesEnd <= position && lsn >= 0
  if (!Number.isSafeInteger(limit) || durableEnd > limit || !isAnchor(tail)) return false
  if (checkpoint !== null && (!isAnchor(checkpoint) || checkpoint.position < tail.position)) return false
  return incarnations.every(
    ({ number, firstLsn, firstPosition, previousEnd }, index) =>
      number > (incarnations[index - 1]?.number ?? 0) &&
      firstLsn > 0 &&
      isPlace(firstPosition) &&
      previousEnd >= 0 &&
      previousEnd <= firstPosition,
  )
}

function decodeLayout(bytes: Buffer, ringBytes: number, at: number, count: number): RingLayout {
  const pieces = Array.from({ length: count }, (_, index) => ({
    place: readU64(bytes, at + index * PIECE_BYTES),
    length: readU64(bytes, at + index * PIECE_BYTES + 8),
  }))
  return { ringBytes, shift: readU64(bytes, SUPERBLOCK_OFFSET.shift), pieces }
}

function encodeIncarnation(into: Buffer, at: number, life: Incarnation): void {
  into.writeUInt32LE(life.number, at)
  writeId(into, life.id, at + 8)
  writeU64(into, life.firstLsn, at + 16)
  writeU64(into, life.firstPosition, at + 24)
  writeU64(into, life.previousEnd, at + 32)
}

function decodeIncarnation(from: Buffer, at: number): Incarnation {
  return {
    number: from.readUInt32LE(at),
    id: readId(from, at + 8),
    firstLsn: readU64(from, at + 16),
    firstPosition: readU64(from, at + 24),
    previousEnd: readU64(from, at + 32),
  }
}

function writeId(into: Buffer, id: Id64, at: number): void {
  into.writeUInt32LE(id.low, at)
  into.writeUInt32LE(id.high, at + 4)
}

function readId(from: Buffer, at: number): Id64 {
  return { low: from.readUInt32LE(at), high: from.readUInt32LE(at + 4) }
}
