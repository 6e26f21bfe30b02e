/**
 * Layouts of what options carry and of what is replied to them.
 *
 * Pure: bytes to values and back. A parser returns null for data that does not fit its layout to the last byte; strings
 * are UTF-8 without NUL, of at most 4096 bytes.
 *
 *   INFO, GO             name length u32 | name | count u16 | information type u16 ...
 *   LIST/SET_META        name length u32 | name | count u32 | ( query length u32 | query ) ...
 *   reply                magic u64 | option u32 | reply type u32 | length u32 | data
 */
import { isUtf8 } from 'node:buffer'
import {
  ALLOCATION_CONTEXT,
  EXPORT_NAME_PADDING_BYTES,
  GREETING_BYTES,
  HandshakeFlag,
  Info,
  MAGIC_INIT_HIGH,
  MAGIC_INIT_LOW,
  MAGIC_OPTION_HIGH,
  MAGIC_OPTION_LOW,
  MAGIC_OPTION_REPLY_HIGH,
  MAGIC_OPTION_REPLY_LOW,
  OPTION_REPLY_HEADER_BYTES,
  OptionReply,
  STRING_BYTES_MAX,
} from './constants.js'
import type { NbdExport } from './export.js'

/** What opens every connection. */
export function encodeGreeting(): Buffer {
  const bytes = Buffer.alloc(GREETING_BYTES)
  bytes.writeUInt32BE(MAGIC_INIT_HIGH, 0)
  bytes.writeUInt32BE(MAGIC_INIT_LOW, 4)
  bytes.writeUInt32BE(MAGIC_OPTION_HIGH, 8)
  bytes.writeUInt32BE(MAGIC_OPTION_LOW, 12)
  bytes.writeUInt16BE(HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES, 16)
  return bytes
}

/** A string of the protocol, or null when it is not one. */
export function parseString(data: Buffer, start: number, end: number): string | null {
  if (end - start > STRING_BYTES_MAX || start > end || end > data.length) return null
  const bytes = data.subarray(start, end)
  return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString('utf8') : null
}

export interface InfoRequest {
  readonly name: string
  /** Information types asked for. */
  readonly wanted: readonly number[]
}

export function parseInfoRequest(data: Buffer): InfoRequest | null {
  if (data.length < 6) return null
  const nameBytes = data.readUInt32BE(0)
  if (nameBytes > data.length - 6) return null
  const name = parseString(data, 4, 4 + nameBytes)
  if (name === null) return null
  const count = data.readUInt16BE(4 + nameBytes)
  const start = 6 + nameBytes
  if (data.length !== start + 2 * count) return null
  const wanted: number[] = []
  for (let at = start; at < data.length; at += 2) wanted.push(data.readUInt16BE(at))
  return { name, wanted }
}

export interface MetaRequest {
  readonly name: string
  readonly queries: readonly string[]
}

/** Null: malformed. 'too-many': more than `queryCountMax` queries. */
export function parseMetaRequest(data: Buffer, queryCountMax: number): MetaRequest | 'too-many' | null {
  if (data.length < 8) return null
  const nameBytes = data.readUInt32BE(0)
  if (nameBytes > data.length - 8) return null
  const name = parseString(data, 4, 4 + nameBytes)
  if (name === null) return null
  const count = data.readUInt32BE(4 + nameBytes)
  let at = 8 + nameBytes
  // Every query has a length field, so a count that cannot be true is malformed and not merely too large.
  if (count * 4 > data.length - at) return null
  if (count > queryCountMax) return 'too-many'
  const queries: string[] = []
  for (let index = 0; index < count; index++) {
    if (data.length - at < 4) return null
    const queryBytes = data.readUInt32BE(at)
    if (queryBytes > data.length - at - 4) return null
    const query = parseString(data, at + 4, at + 4 + queryBytes)
    if (query === null) return null
    queries.push(query)
    at += 4 + queryBytes
  }
  return at === data.length ? { name, queries } : null
}

export function encodeOptionReply(option: number, type: number, data?: Buffer): Buffer {
  const length = data === undefined ? 0 : data.length
  const bytes = Buffer.alloc(OPTION_REPLY_HEADER_BYTES + length)
  bytes.writeUInt32BE(MAGIC_OPTION_REPLY_HIGH, 0)
  bytes.writeUInt32BE(MAGIC_OPTION_REPLY_LOW, 4)
  bytes.writeUInt32BE(option, 8)
  bytes.writeUInt32BE(type, 12)
  bytes.writeUInt32BE(length, 16)
  data?.copy(bytes, OPTION_REPLY_HEADER_BYTES)
  return bytes
}

export function encodeServerReply(option: number, target: NbdExport): Buffer {
  const name = Buffer.from(target.name)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(name.length, 0)
  return encodeOptionReply(option, OptionReply.SERVER, Buffer.concat([length, name, Buffer.from(target.description)]))
}

export function encodeExportInfo(option: number, sizeBytes: number, flags: number): Buffer {
  const data = Buffer.alloc(12)
  data.writeUInt16BE(Info.EXPORT, 0)
  data.writeBigUInt64BE(BigInt(sizeBytes), 2)
  data.writeUInt16BE(flags, 10)
  return encodeOptionReply(option, OptionReply.INFO, data)
}

export function encodeTextInfo(option: number, type: number, text: string): Buffer {
  const code = Buffer.alloc(2)
  code.writeUInt16BE(type, 0)
  return encodeOptionReply(option, OptionReply.INFO, Buffer.concat([code, Buffer.from(text)]))
}

export function encodeBlockSizeInfo(option: number, target: NbdExport, payloadBytesMax: number): Buffer {
  const data = Buffer.alloc(14)
  data.writeUInt16BE(Info.BLOCK_SIZE, 0)
  data.writeUInt32BE(target.minimumBlockBytes, 2)
  data.writeUInt32BE(target.preferredBlockBytes, 6)
  // The protocol wants the largest payload to be no less than the preferred block.
  data.writeUInt32BE(Math.max(payloadBytesMax, target.preferredBlockBytes), 10)
  return encodeOptionReply(option, OptionReply.INFO, data)
}

export function encodeAllocationContext(option: number, id: number): Buffer {
  const code = Buffer.alloc(4)
  code.writeUInt32BE(id, 0)
  return encodeOptionReply(option, OptionReply.META_CONTEXT, Buffer.concat([code, Buffer.from(ALLOCATION_CONTEXT)]))
}

/** The answer to NBD_OPT_EXPORT_NAME. */
export function encodeExportNameReply(sizeBytes: number, flags: number, padded: boolean): Buffer {
  const bytes = Buffer.alloc(10 + (padded ? EXPORT_NAME_PADDING_BYTES : 0))
  bytes.writeBigUInt64BE(BigInt(sizeBytes), 0)
  bytes.writeUInt16BE(flags, 8)
  return bytes
}
