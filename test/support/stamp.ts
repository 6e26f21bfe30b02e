/**
 * Stamped blocks: each 4 KiB block of a test device says which write put it there, and where it belongs.
 *
 *     0  8  magic          12  4  sequence      24  8  zero
 *     8  4  writer         16  4  device        32     a pattern that follows from the fields
 *                          20  4  block       4092  4  CRC-32 of all before it
 *
 * A block of zeros was never written. Anything else that does not check is torn or foreign, which no crash excuses: a
 * write of one request is seen whole in each of its blocks or not at all.
 */
import { crc32 } from '@sitelink/protocol/entry'

export const BLOCK_BYTES = 4096
const MAGIC = Buffer.from('SLSTAMP1', 'latin1')
const CRC_AT = BLOCK_BYTES - 4

export interface Stamp {
  readonly writer: number
  readonly sequence: number
  readonly device: number
  readonly block: number
}

/** What a block shows. */
export type Shown =
  | { readonly kind: 'empty' }
  | { readonly kind: 'write'; readonly writer: number; readonly sequence: number }
  | { readonly kind: 'bad'; readonly why: string }

/** Writes the stamp over the block at `at`. */
export function stampBlock(buffer: Buffer, at: number, stamp: Stamp): void {
  MAGIC.copy(buffer, at)
  buffer.writeUInt32LE(stamp.writer, at + 8)
  buffer.writeUInt32LE(stamp.sequence, at + 12)
  buffer.writeUInt32LE(stamp.device, at + 16)
  buffer.writeUInt32LE(stamp.block, at + 20)
  buffer.fill(0, at + 24, at + 32)
  buffer.fill(buffer.subarray(at + 8, at + 24), at + 32, at + CRC_AT)
  buffer.writeUInt32LE(crc32(buffer.subarray(at, at + CRC_AT)), at + CRC_AT)
}

/** A payload for `count` blocks from `block` on. */
export function stampedPayload(stamp: Stamp, count: number): Buffer {
  const payload = Buffer.allocUnsafe(count * BLOCK_BYTES)
  for (let i = 0; i < count; i++) stampBlock(payload, i * BLOCK_BYTES, { ...stamp, block: stamp.block + i })
  return payload
}

const zeros = Buffer.alloc(BLOCK_BYTES)

/** What the block at `at` shows, which should be block `block` of device `device`. */
export function readStamp(buffer: Buffer, at: number, device: number, block: number): Shown {
  const bytes = buffer.subarray(at, at + BLOCK_BYTES)
  if (bytes.equals(zeros)) return { kind: 'empty' }
  if (!bytes.subarray(0, 8).equals(MAGIC)) return { kind: 'bad', why: 'it is no stamped block' }
  if (bytes.readUInt32LE(CRC_AT) !== crc32(bytes.subarray(0, CRC_AT))) return { kind: 'bad', why: 'it is torn' }
  const of = { device: bytes.readUInt32LE(16), block: bytes.readUInt32LE(20) }
  if (of.device !== device || of.block !== block) {
    return { kind: 'bad', why: `it belongs to block ${of.block} of device ${of.device}` }
  }
  return { kind: 'write', writer: bytes.readUInt32LE(8), sequence: bytes.readUInt32LE(12) }
}

/** What every block of a device's image shows. */
export function readStamps(image: Buffer, device: number): Shown[] {
  const shown: Shown[] = []
  for (let at = 0; at < image.length; at += BLOCK_BYTES) shown.push(readStamp(image, at, device, at / BLOCK_BYTES))
  return shown
}
