/**
 * Sizes that follow from the size of one ring: what is a segment, a group, a step, and how much room must stay free.
 *
 * Owns the arithmetic of room. The invariant that everybody relies on: whatever was admitted by {@link roomNeeded} fits,
 * with every header, fill and checkpoint that it can cause, and after it there is still room for one more checkpoint.
 */
import { FRAME_HEADER_BYTES } from '@sitelink/protocol/entry'
import {
  BLOCK_BYTES,
  DIRECTORY_MAX,
  FREE_STEPS_PER_RING,
  GROUP_BYTES_MAX,
  GROUP_ENTRIES_MAX,
  INDEX_POINTS_MAX,
  MARKS_PER_RING,
  REGION_BYTES_PER_ENTRY_MAX,
  RING_OFFSET_BYTES,
  SEGMENT_BYTES_MAX,
  SEGMENT_ENTRIES_MAX,
  SEGMENTS_PER_RING_MIN,
  UNSYNCED_BYTES_MAX,
} from './limits.js'

/** Smallest multiple of a block that is not below `position`. */
export function alignUp(position: number): number {
  const over = position % BLOCK_BYTES
  return over === 0 ? position : position - over + BLOCK_BYTES
}

/** Largest multiple of a block that is not above `position`. */
export function alignDown(position: number): number {
  return position - (position % BLOCK_BYTES)
}

/** Header and fill of one group at most. */
const GROUP_OVERHEAD_BYTES = 96 + BLOCK_BYTES - 1

/** A checkpoint group without its region sets at most. */
const CHECKPOINT_FIXED_BYTES = 96 + 64 + INDEX_POINTS_MAX * 16 + DIRECTORY_MAX * 40 + BLOCK_BYTES - 1

/** Bytes of ring that the checkpoint of a segment with so many entries takes at most. */
export function checkpointBytesMax(entryCount: number): number {
  return alignUp(CHECKPOINT_FIXED_BYTES + REGION_BYTES_PER_ENTRY_MAX * entryCount)
}

/** All bytes in bytes, all counts in entries. */
export interface Geometry {
  readonly ringBytes: number
  /** A checkpoint is due when a segment has so many bytes. */
  readonly segmentBytes: number
  /** A checkpoint is due when a segment has so many entries. */
  readonly segmentEntries: number
  /** A group takes no further entry when it has so many bytes. */
  readonly groupBytes: number
  readonly groupEntries: number
  /** Freed bytes that are worth a superblock of their own. */
  readonly stepBytes: number
  /** Least distance of remembered places for the tail. */
  readonly markBytes: number
  /** Groups wait for a sync when so much is unsynced. */
  readonly unsyncedBytes: number
  /** Always kept free: the largest checkpoint. */
  readonly reserveBytes: number
}

/** Bytes of the ring in a log of `logBytes`: all after the superblocks, in whole blocks. */
export function ringBytesOf(logBytes: number): number {
  return alignDown(logBytes - RING_OFFSET_BYTES)
}

/** `groupBytesMax` can be lowered (at least one entry always fits); default {@link GROUP_BYTES_MAX}. */
export function geometryOf(ringBytes: number, groupBytesMax = GROUP_BYTES_MAX): Geometry {
  const segmentBytes = Math.min(SEGMENT_BYTES_MAX, alignDown(Math.floor(ringBytes / SEGMENTS_PER_RING_MIN)))
  const groupBytes = Math.min(groupBytesMax, alignDown(Math.floor(ringBytes / 16)))
  const groupEntries = Math.min(GROUP_ENTRIES_MAX, Math.floor(groupBytes / FRAME_HEADER_BYTES))
  const segmentEntries = Math.min(SEGMENT_ENTRIES_MAX, Math.floor(segmentBytes / FRAME_HEADER_BYTES))
  const entriesMax = segmentEntries + groupEntries + 1
  return {
    ringBytes,
    segmentBytes,
    segmentEntries,
    groupBytes,
    groupEntries,
    stepBytes: Math.floor(ringBytes / FREE_STEPS_PER_RING),
    markBytes: Math.floor(ringBytes / MARKS_PER_RING),
    unsyncedBytes: Math.min(UNSYNCED_BYTES_MAX, ringBytes),
    reserveBytes: checkpointBytesMax(entriesMax),
  }
}

/** Ring bytes that `entryCount` entries with `frameBytes` of headers and payloads may take at most, reserve included. */
export function roomNeeded(geometry: Geometry, entryCount: number, frameBytes: number): number {
  if (entryCount === 0) return geometry.reserveBytes
  const full = Math.floor(frameBytes / geometry.groupBytes) + Math.floor(entryCount / geometry.groupEntries)
  const groups = Math.min(entryCount, full + 1)
  const checkpoints = groups * CHECKPOINT_FIXED_BYTES + entryCount * REGION_BYTES_PER_ENTRY_MAX
  return frameBytes + groups * GROUP_OVERHEAD_BYTES + checkpoints + geometry.reserveBytes
}
