/**
 * Acknowledgements as bytes and back, without the msgpack library: there is one for every write that somebody waits for.
 *
 * Owns the one layout that the library gives to an {@link Ack}: a map of eight keys in the order of {@link KEYS}, every
 * integer in its shortest form, one beyond 32 bits as a double. It never decides that a message is bad, and says no
 * sentence: what is unusual in any way, good or bad, is null, and goes the way of all messages (message-codec.ts). The
 * ranges are those of the `ack` row of schema.ts, the rules between the fields are its `ruleProblem`. Invariant: what is
 * not null is to the byte, and to the value, what that other way makes of it.
 */
import type { Ack, WireMark } from './messages.js'
import { ruleProblem } from './schema.js'

const FALSE = 0xc2
const TRUE = 0xc3
const DOUBLE = 0xcb
const UINT8 = 0xcc
const UINT16 = 0xcd
const UINT32 = 0xce
/** A map of eight pairs, a list of three items, text of no bytes; a text's length is added. */
const MAP_OF_8 = 0x88
const LIST_OF_3 = 0x93
const TEXT = 0xa0

/** Of the map, as they follow each other. */
const KEYS = [
  'kind',
  'received',
  'durable',
  'applied',
  'dirtyRegions',
  'consistent',
  'journalUsedBytes',
  'journalBytes',
] as const satisfies readonly (keyof Ack)[]

/** The bytes between the values; the numbers stand behind them, one each, or three. */
const RECEIVED = layout(MAP_OF_8, 'kind', 'ack', 'received', LIST_OF_3)
const DURABLE = layout('durable', LIST_OF_3)
const APPLIED = layout('applied', LIST_OF_3)
const DIRTY_REGIONS = layout('dirtyRegions')
const CONSISTENT = layout('consistent')
const JOURNAL_USED_BYTES = layout('journalUsedBytes')
const JOURNAL_BYTES = layout('journalBytes')

const NUMBERS = 12
const NUMBER_BYTES_MAX = 9
const LAYOUT_BYTES = [RECEIVED, DURABLE, APPLIED, DIRTY_REGIONS, CONSISTENT, JOURNAL_USED_BYTES, JOURNAL_BYTES].reduce(
  (bytes, part) => bytes + part.length,
  0,
)
/** One byte is `consistent`. */
const ACK_BYTES_MAX = LAYOUT_BYTES + 1 + NUMBERS * NUMBER_BYTES_MAX

/** Where one is built, as its length is known only at its end. It holds nothing between two calls. */
const scratch = Buffer.allocUnsafeSlow(ACK_BYTES_MAX)

/** The payload of `ack` in memory of its own; null where it has another layout, or is no acknowledgement to be sent. */
export function encodeAck(ack: Ack): Buffer | null {
  const { received, durable, applied, dirtyRegions, consistent, journalUsedBytes, journalBytes } = ack
  if (!hasKeys(ack) || !isMark(received) || !isMark(durable) || !isMark(applied)) return null
  if (!isCount(dirtyRegions) || !isCount(journalUsedBytes) || !isCount(journalBytes)) return null
  if (typeof consistent !== 'boolean' || ruleProblem(ack) !== null) return null
  let at = putMark(received, put(RECEIVED, 0))
  at = putMark(durable, put(DURABLE, at))
  at = putMark(applied, put(APPLIED, at))
  at = putCount(dirtyRegions, put(DIRTY_REGIONS, at))
  at = put(CONSISTENT, at)
  scratch[at++] = consistent ? TRUE : FALSE
  at = putCount(journalUsedBytes, put(JOURNAL_USED_BYTES, at))
  at = putCount(journalBytes, put(JOURNAL_BYTES, at))
  const payload = Buffer.allocUnsafe(at)
  scratch.copy(payload, 0, 0, at)
  return payload
}

/** The acknowledgement of a payload that has the one layout and is good; null for every other payload. */
export function decodeAck(bytes: Buffer): Ack | null {
  if (!holds(bytes, RECEIVED, 0)) return null
  let at = RECEIVED.length
  const received = markAt(bytes, at)
  if (received === null || !holds(bytes, DURABLE, (at += markBytes(received)))) return null
  const durable = markAt(bytes, (at += DURABLE.length))
  if (durable === null || !holds(bytes, APPLIED, (at += markBytes(durable)))) return null
  const applied = markAt(bytes, (at += APPLIED.length))
  if (applied === null || !holds(bytes, DIRTY_REGIONS, (at += markBytes(applied)))) return null
  const dirtyRegions = countAt(bytes, (at += DIRTY_REGIONS.length))
  if (dirtyRegions < 0 || !holds(bytes, CONSISTENT, (at += countBytes(dirtyRegions)))) return null
  const consistent = bytes[(at += CONSISTENT.length)] === TRUE
  if ((!consistent && bytes[at] !== FALSE) || !holds(bytes, JOURNAL_USED_BYTES, ++at)) return null
  const journalUsedBytes = countAt(bytes, (at += JOURNAL_USED_BYTES.length))
  if (journalUsedBytes < 0 || !holds(bytes, JOURNAL_BYTES, (at += countBytes(journalUsedBytes)))) return null
  const journalBytes = countAt(bytes, (at += JOURNAL_BYTES.length))
  if (journalBytes < 0 || at + countBytes(journalBytes) !== bytes.length) return null
  // In the order of the keys, as the library would make it.
  const ack: Ack = {
    kind: 'ack',
    received,
    durable,
    applied,
    dirtyRegions,
    consistent,
    journalUsedBytes,
    journalBytes,
  }
  return ruleProblem(ack) === null ? ack : null
}

/** Whether `ack` has the keys, no other ones, in the order in which they are written. */
function hasKeys(ack: Ack): boolean {
  // The loop below goes through what is inherited as well, which the library never sees.
  if (Object.getPrototypeOf(ack) !== Object.prototype) return false
  let count = 0
  for (const key in ack) if (key !== KEYS[count++]) return false
  return count === KEYS.length
}

function isMark(mark: WireMark): boolean {
  // A list of another class the library may write in another way.
  if (!Array.isArray(mark) || mark.constructor !== Array || mark.length !== 3) return false
  const [incarnation, lsn, frames] = mark
  return isCount(incarnation) && incarnation <= 0xffff_ffff && isCount(lsn) && isCount(frames)
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && (value > 0 || Object.is(value, 0))
}

function put(part: Uint8Array, at: number): number {
  for (let index = 0; index < part.length; index++) scratch[at + index] = part[index] as number
  return at + part.length
}

function putMark(mark: WireMark, at: number): number {
  return putCount(mark[2], putCount(mark[1], putCount(mark[0], at)))
}

function putCount(value: number, at: number): number {
  if (value < 0x80) {
    scratch[at] = value
  } else if (value <= 0xff) {
    scratch[at] = UINT8
    scratch[at + 1] = value
  } else if (value <= 0xffff) {
    scratch[at] = UINT16
    scratch[at + 1] = value >>> 8
    scratch[at + 2] = value & 0xff
  } else if (value <= 0xffff_ffff) {
    scratch[at] = UINT32
    scratch.writeUInt32BE(value, at + 1)
  } else {
    scratch[at] = DOUBLE
    scratch.writeDoubleBE(value, at + 1)
  }
  return at + countBytes(value)
}

/** Bytes of an integer in its shortest form: as that is the only one here, the value alone says them. */
function countBytes(value: number): number {
  if (value < 0x80) return 1
  if (value <= 0xff) return 2
  if (value <= 0xffff) return 3
  return value <= 0xffff_ffff ? 5 : NUMBER_BYTES_MAX
}

function markBytes(mark: WireMark): number {
  return countBytes(mark[0]) + countBytes(mark[1]) + countBytes(mark[2])
}

/** Whether `part` stands in `bytes` at `at`; beyond their end stands nothing. */
function holds(bytes: Buffer, part: Uint8Array, at: number): boolean {
  if (at + part.length > bytes.length) return false
  for (let index = 0; index < part.length; index++) if (bytes[at + index] !== part[index]) return false
  return true
}

function markAt(bytes: Buffer, at: number): WireMark | null {
  const incarnation = countAt(bytes, at)
  if (incarnation < 0 || incarnation > 0xffff_ffff) return null
  const lsn = countAt(bytes, (at += countBytes(incarnation)))
  if (lsn < 0) return null
  const frames = countAt(bytes, at + countBytes(lsn))
  return frames < 0 ? null : [incarnation, lsn, frames]
}

/** The integer at `at`; -1 where none ends within the bytes, or one that a shorter form would hold. */
function countAt(bytes: Buffer, at: number): number {
  const left = bytes.length - at
  if (left < 1) return -1
  const tag = bytes[at] as number
  let value = -1
  if (tag < 0x80) value = tag
  else if (tag === UINT8 && left >= 2) value = bytes[at + 1] as number
  else if (tag === UINT16 && left >= 3) value = bytes.readUInt16BE(at + 1)
  else if (tag === UINT32 && left >= 5) value = bytes.readUInt32BE(at + 1)
  else if (tag === DOUBLE && left >= NUMBER_BYTES_MAX) value = bytes.readDoubleBE(at + 1)
  return isCount(value) && countBytes(value) === formBytes(tag) ? value : -1
}

/** Bytes of the form of integers that `tag` begins. */
function formBytes(tag: number): number {
  if (tag < 0x80) return 1
  if (tag === DOUBLE) return NUMBER_BYTES_MAX
  return tag === UINT8 ? 2 : tag === UINT16 ? 3 : 5
}

/** Text stands behind its length; a number is a byte. */
function layout(...parts: readonly (string | number)[]): Uint8Array {
  return Uint8Array.from(
    parts.flatMap((part) => (typeof part === 'number' ? [part] : [TEXT + part.length, ...Buffer.from(part)])),
  )
}
