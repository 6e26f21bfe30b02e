/**
 * The body of a checkpoint group: what its segment holds, so that nobody has to walk it.
 *
 * Owns the layout. A checkpoint closes the segment between the checkpoint before and itself; it holds the exact regions
 * that the segment's entries touch, a sparse index from LSN to group, and a directory of the checkpoints before it (so
 * that start-up reads one of {@link DIRECTORY_MAX}, and a damaged one can be passed by). The group's header has the CRC.
 *
 *   0 segment start u64   8 flags u32 (1: region sets are not complete)   12 entry count u32   16 unit bytes u32
 *  20 index points u32   24 directory entries u32   28 region bytes u32   32 reserved u64
 *  40 index: group position u64, last lsn before it u64 each, ascending
 *     directory: anchors of earlier checkpoints, newest first; extra: entries of the segment that it closes
 *     regions, as region-set.ts encodes them
 */
import { assert, readU64, writeU64, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import { ANCHOR_BYTES, decodeAnchor, encodeAnchor, type Anchor } from './anchor.js'
import type { RegionRun } from './contract.js'
import { DIRECTORY_MAX, INDEX_POINTS_MAX, REGION_UNIT_BYTES } from './limits.js'
import { decodeRuns, encodeRuns } from './region-set.js'

export const CHECKPOINT_HEADER_BYTES = 40
const INDEX_POINT_BYTES = 16
const FLAG_INCOMPLETE = 1

/** A group start, and the last LSN below it. */
export interface IndexPoint {
  readonly position: LogPosition
  readonly lsn: Lsn
}

/** A checkpoint seen from outside: where it stands, and how many entries its segment has. */
export interface CheckpointRef {
  /** `position` is that of the checkpoint group. */
  readonly anchor: Anchor
  readonly entryCount: number
}

export interface CheckpointBody {
  readonly segmentStart: LogPosition
  readonly entryCount: number
  readonly index: readonly IndexPoint[]
  /** Newest first. */
  readonly directory: readonly CheckpointRef[]
  /** Null if entries of the segment were lost whose ranges nobody knows. */
  readonly runs: readonly RegionRun[] | null
}

export function encodeCheckpoint(body: CheckpointBody): Buffer {
  const { index, directory, runs } = body
  assert(
    index.length <= INDEX_POINTS_MAX && directory.length <= DIRECTORY_MAX,
    'index and directory are within their limits',
  )
  const regions = encodeRuns(runs ?? [])
  const directoryAt = CHECKPOINT_HEADER_BYTES + index.length * INDEX_POINT_BYTES
  const regionsAt = directoryAt + directory.length * ANCHOR_BYTES
  const bytes = Buffer.alloc(regionsAt + regions.length)
  writeU64(bytes, body.segmentStart, 0)
  bytes.writeUInt32LE(runs === null ? FLAG_INCOMPLETE : 0, 8)
  bytes.writeUInt32LE(body.entryCount, 12)
  bytes.writeUInt32LE(REGION_UNIT_BYTES, 16)
  bytes.writeUInt32LE(index.length, 20)
  bytes.writeUInt32LE(directory.length, 24)
  bytes.writeUInt32LE(regions.length, 28)
  index.forEach(({ position, lsn }, at) => {
    writeU64(bytes, position, CHECKPOINT_HEADER_BYTES + at * INDEX_POINT_BYTES)
    writeU64(bytes, lsn, CHECKPOINT_HEADER_BYTES + at * INDEX_POINT_BYTES + 8)
  })
  directory.forEach(({ anchor, entryCount }, at) =>
    encodeAnchor(bytes, directoryAt + at * ANCHOR_BYTES, anchor, entryCount),
  )
  regions.copy(bytes, regionsAt)
  return bytes
}

/** Null if the bytes, whose CRC was good, are not a checkpoint that this version can mean. */
export function decodeCheckpoint(bytes: Buffer): CheckpointBody | null {
  if (bytes.length < CHECKPOINT_HEADER_BYTES || bytes.readUInt32LE(16) !== REGION_UNIT_BYTES) return null
  const indexCount = bytes.readUInt32LE(20)
  const directoryCount = bytes.readUInt32LE(24)
  if (indexCount > INDEX_POINTS_MAX || directoryCount > DIRECTORY_MAX) return null
  const directoryAt = CHECKPOINT_HEADER_BYTES + indexCount * INDEX_POINT_BYTES
  const regionsAt = directoryAt + directoryCount * ANCHOR_BYTES
  if (bytes.length !== regionsAt + bytes.readUInt32LE(28)) return null
  const index: IndexPoint[] = []
  for (let at = CHECKPOINT_HEADER_BYTES; at < directoryAt; at += INDEX_POINT_BYTES)
    index.push({ position: readU64(bytes, at), lsn: readU64(bytes, at + 8) })
  const directory: CheckpointRef[] = []
  for (let at = directoryAt; at < regionsAt; at += ANCHOR_BYTES) {
    const { anchor, extra } = decodeAnchor(bytes, at)
    directory.push({ anchor, entryCount: extra })
  }
  const runs = decodeRuns(bytes.subarray(regionsAt))
  if (runs === null) return null
  const incomplete = (bytes.readUInt32LE(8) & FLAG_INCOMPLETE) !== 0
  return {
    segmentStart: readU64(bytes, 0),
    entryCount: bytes.readUInt32LE(12),
    index,
    directory,
    runs: incomplete ? null : runs,
  }
}
