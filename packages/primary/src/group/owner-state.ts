/**
 * The primary's part of a replog superblock: who the group is and how far each site is.
 *
 * Owns the layout. It is written with each superblock and read once, at open. A position found here is never ahead of
 * what the site had acknowledged as durable when it was written; a site without a record starts with all regions dirty.
 *
 *   0  version u32 = 1       4  slink count u32     8  epoch u64      16  group uuid, 16 bytes
 *  32  slink 0's applied LSN u64
 *  40  lost range count u32     44  zero u32
 *  48  per slink, 24 bytes:  number u16, flags u8, zero u8, incarnation u32, durable lsn u64, log position u64
 *      flags: 1 behind, 2 dirty, 4 was protected, 8 answered
 *      then per lost range, 24 bytes:  device id u32, zero u32, offset u64, length u64
 */
import { assert, readU64, writeU64, type LogPosition, type LogPoint, type Lsn } from '@sitelink/protocol'
import { OWNER_BYTES_MAX, type Incarnation } from '@sitelink/storage'
import { DEVICE_COUNT_MAX, SLINK_COUNT_MAX } from '../limits.js'
import { clampPoint } from './log-points.js'

const VERSION = 1
const HEAD_BYTES = 48
const SLINK_BYTES = 24
const RANGE_BYTES = 24

assert(
  HEAD_BYTES + SLINK_BYTES * SLINK_COUNT_MAX + RANGE_BYTES * DEVICE_COUNT_MAX <= OWNER_BYTES_MAX,
  'a superblock has room for every slink, and for a range of every device',
)

/** More lost ranges than this are stored as one that spans them, per device: more is lost then, never less. */
export const LOST_RANGES_MAX = 256

const FLAG_BEHIND = 1
const FLAG_DIRTY = 2
const FLAG_PROTECTED = 4
const FLAG_ANSWERED = 8
const KNOWN_FLAGS = FLAG_BEHIND | FLAG_DIRTY | FLAG_PROTECTED | FLAG_ANSWERED

export interface SlinkRecord {
  readonly number: number
  /** No place in the log: only the dirty logs know what it misses. `point` and `position` say where it was last. */
  readonly behind: boolean
  /** Regions may be dirty besides what the log holds: a core dirty log that lost its memory starts all dirty. */
  readonly dirty: boolean
  /** It was protected: a `stall` site holds writers from start-up on. */
  readonly wasProtected: boolean
  /** Its last durable acknowledgement, or where it began if it never `answered`. */
  readonly point: LogPoint
  readonly answered: boolean
  /** Where the entries above `point` begin; meaningless while `behind`. */
  readonly position: LogPosition
}

/** Bytes that were acknowledged and cannot be read any more; a read of them fails until they are overwritten. */
export interface LostRangeRecord {
  readonly deviceId: number
  readonly offset: number
  readonly length: number
}

export interface OwnerState {
  readonly groupUuid: string
  readonly epoch: number
  readonly appliedLsn: Lsn
  readonly slinks: readonly SlinkRecord[]
  readonly lost: readonly LostRangeRecord[]
}

export function encodeOwnerState(state: OwnerState): Buffer {
  const lost = state.lost.length <= LOST_RANGES_MAX ? state.lost : spanned(state.lost)
  const bytes = Buffer.alloc(HEAD_BYTES + SLINK_BYTES * state.slinks.length + RANGE_BYTES * lost.length)
  bytes.writeUInt32LE(VERSION, 0)
  bytes.writeUInt32LE(state.slinks.length, 4)
  writeU64(bytes, state.epoch, 8)
  const uuid = Buffer.from(state.groupUuid.replaceAll('-', ''), 'hex')
  assert(uuid.length === 16, 'a group uuid has 16 bytes')
  uuid.copy(bytes, 16)
  writeU64(bytes, state.appliedLsn, 32)
  bytes.writeUInt32LE(lost.length, 40)
  let at = HEAD_BYTES
  for (const slink of state.slinks) {
    const flags =
      (slink.behind ? FLAG_BEHIND : 0) |
      (slink.dirty ? FLAG_DIRTY : 0) |
      (slink.wasProtected ? FLAG_PROTECTED : 0) |
      (slink.answered ? FLAG_ANSWERED : 0)
    bytes.writeUInt16LE(slink.number, at)
    bytes.writeUInt8(flags, at + 2)
    bytes.writeUInt32LE(slink.point.incarnation, at + 4)
    writeU64(bytes, slink.point.lsn, at + 8)
    writeU64(bytes, slink.position, at + 16)
    at += SLINK_BYTES
  }
  for (const range of lost) {
    bytes.writeUInt32LE(range.deviceId, at)
    writeU64(bytes, range.offset, at + 8)
    writeU64(bytes, range.length, at + 16)
    at += RANGE_BYTES
  }
  return bytes
}

/** One range per device that covers all of its ranges. */
function spanned(ranges: readonly LostRangeRecord[]): LostRangeRecord[] {
  const byDevice = new Map<number, LostRangeRecord>()
  for (const { deviceId, offset, length } of ranges) {
    const one = byDevice.get(deviceId) ?? { deviceId, offset, length }
    const first = Math.min(one.offset, offset)
    const end = Math.max(one.offset + one.length, offset + length)
    byDevice.set(deviceId, { deviceId, offset: first, length: end - first })
  }
  return [...byDevice.values()]
}

/** The state in `bytes`; null for an empty buffer (a new log); throws a sentence for anything else that is not one. */
export function decodeOwnerState(bytes: Buffer): OwnerState | null {
  if (bytes.length === 0) return null
  if (bytes.length < HEAD_BYTES || bytes.readUInt32LE(0) !== VERSION)
    throw new Error('the owner state of the log has an unknown version')
  const count = bytes.readUInt32LE(4)
  const lostCount = bytes.readUInt32LE(40)
  if (bytes.length < HEAD_BYTES + count * SLINK_BYTES + lostCount * RANGE_BYTES)
    throw new Error('the owner state of the log is cut short')
  const slinks: SlinkRecord[] = []
  for (let index = 0; index < count; index += 1) {
    const at = HEAD_BYTES + index * SLINK_BYTES
    const flags = bytes.readUInt8(at + 2)
    const record = {
      number: bytes.readUInt16LE(at),
      behind: (flags & FLAG_BEHIND) !== 0,
      dirty: (flags & FLAG_DIRTY) !== 0,
      wasProtected: (flags & FLAG_PROTECTED) !== 0,
      answered: (flags & FLAG_ANSWERED) !== 0,
      point: { incarnation: bytes.readUInt32LE(at + 4), lsn: readU64(bytes, at + 8) },
      position: readU64(bytes, at + 16),
    }
    if ((flags & ~KNOWN_FLAGS) !== 0 || record.point.lsn < 0 || record.position < 0)
      throw new Error('the owner state of the log has an impossible slink record')
    slinks.push(record)
  }
  const hex = bytes.toString('hex', 16, 32)
  const groupUuid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  const lost: LostRangeRecord[] = []
  for (let index = 0; index < lostCount; index += 1) {
    const at = HEAD_BYTES + count * SLINK_BYTES + index * RANGE_BYTES
    const range = { deviceId: bytes.readUInt32LE(at), offset: readU64(bytes, at + 8), length: readU64(bytes, at + 16) }
    if (range.offset < 0 || range.length < 0) throw new Error('the owner state of the log has an impossible lost range')
    lost.push(range)
  }
  const epoch = readU64(bytes, 8)
  const appliedLsn = readU64(bytes, 32)
  if (epoch < 0 || appliedLsn < 0) throw new Error('the owner state of the log has an impossible epoch or applied LSN')
  return { groupUuid, epoch, appliedLsn, slinks, lost }
}

/** The state as it is true in a new life of the log: every stored position is clamped to the end of its own. */
export function clampOwnerState(state: OwnerState, incarnations: readonly Incarnation[]): OwnerState {
  const current = incarnations[incarnations.length - 1] as Incarnation
  const slinks = state.slinks.map((slink): SlinkRecord => {
    const point = clampPoint(slink.point, incarnations)
    // Its history is forgotten: only a full resync helps, which a slink that is behind without a base gets.
    if (point === null) return { ...slink, behind: true, dirty: true, point: { incarnation: 0, lsn: 0 } }
    return { ...slink, point, position: Math.min(slink.position, current.firstPosition) }
  })
  return { ...state, appliedLsn: Math.min(state.appliedLsn, current.firstLsn - 1), slinks }
}
