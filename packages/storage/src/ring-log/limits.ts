/**
 * Limits of the ring log, each with its unit last and its reason. Relations between them are asserted here, once.
 *
 * What depends on the size of one ring (segments, groups, reserves) is computed in geometry.ts from these.
 */
import { assert, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX } from '@sitelink/protocol/entry'
import { OWNER_BYTES_MAX } from './contract.js'

/** Everything on the disk that is found by searching starts on a multiple of this, and is written whole. */
export const BLOCK_BYTES = 4096

/** One of the two superblock slots. Holds header, incarnation table and owner's part at their largest. */
export const SUPERBLOCK_SLOT_BYTES = 128 * 1024

/** Offset of the ring area from the start of the log. */
export const RING_OFFSET_BYTES = 2 * SUPERBLOCK_SLOT_BYTES

/**
 * Pieces that a ring may lie in: each resize of a log that is in use can add a few, one of a log that is not merges them.
 * Bounds what a superblock needs for them.
 */
export const RING_PIECES_MAX = 64

/** Smallest log: two slots and a ring that holds the largest entry with all that must fit beside it. */
export const LOG_BYTES_MIN = 2 * 1024 * 1024

/** Incarnations that a superblock has room for. */
export const INCARNATIONS_MAX = 1024

/** Incarnations that are kept although no entry in the log needs them: a site that was away finds its own among them. */
export const INCARNATIONS_KEPT = 256

/** A commit group takes no further entry once it has so many bytes: bounds the latency of the writes behind it. */
export const GROUP_BYTES_MAX = 4 * 1024 * 1024

/** Entries of one group: bounds the work of one turn, and of one checkpoint. */
export const GROUP_ENTRIES_MAX = 8192

/** A group's body is never larger; a header that announces more is damage. */
export const GROUP_BODY_BYTES_MAX = GROUP_BYTES_MAX + FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX

/** Payloads up to this size are copied into one contiguous buffer; larger ones are handed to the disk as they are. */
export const COPY_BYTES_MAX = 32 * 1024

/** A checkpoint closes a segment of so many bytes ... */
export const SEGMENT_BYTES_MAX = 16 * 1024 * 1024
/** ... or of this part of the ring, if that is less ... */
export const SEGMENTS_PER_RING_MIN = 32
/** ... or of so many entries, so that a checkpoint of tiny entries stays small. */
export const SEGMENT_ENTRIES_MAX = 16_384

/** Distance of the points of a checkpoint's sparse index: what `locate` walks at most, beside one group. */
export const INDEX_STEP_BYTES = 256 * 1024

/** Points of one sparse index. */
export const INDEX_POINTS_MAX = 96

/** Earlier checkpoints that a checkpoint names: start-up reads one of so many, and one that is damaged is passed by. */
export const DIRECTORY_MAX = 32

/** What one entry can add to a checkpoint's region sets at most (device id, gap, count and length as varints). */
export const REGION_BYTES_PER_ENTRY_MAX = 16

/** Regions are noted in units of this size; every region size is a multiple of it. */
export const REGION_UNIT_BYTES = 1024 * 1024

/**
 * Groups wait for a sync when so much is unsynced. Recovery relies on it: a group says what was durable when it was
 * formed, so behind a place that is damaged, proof of what was durable lies at most this (and one group) further on.
 */
export const UNSYNCED_BYTES_MAX = 64 * 1024 * 1024

/** Freed space comes back in steps of at least this part of the ring, one sync a step, unless somebody waits for room. */
export const FREE_STEPS_PER_RING = 32

/** Places where the tail may stand that are remembered per ring, beside the checkpoints. */
export const MARKS_PER_RING = 4096

/** Entries kept in memory for cursors that follow closely. */
export const RECENT_BYTES_DEFAULT = 32 * 1024 * 1024

/** Milliseconds after which unsynced bytes are synced, and what is durable is written down. */
export const SYNC_DELAY_MS_DEFAULT = 100

/** One read of a cursor, or of recovery: the largest entry fits. */
export const CHUNK_BYTES = FRAME_PAYLOAD_BYTES_MAX + BLOCK_BYTES

/** One read of a search for groups, which keeps nothing: half as much takes a cold disk twice as long. */
export const SEARCH_BYTES = 1024 * 1024

/** Chunks that all cursors of a log hold together. */
export const CHUNKS_MAX = 32

/** Reads of cursors that are under way at the same time. */
export const CHUNK_READS_MAX = 4

/** Entries that are read at once for pieces of their payloads, each of up to 1 MiB: enough to keep a disk's queue busy. */
export const PAYLOAD_READS_MAX = 16

/** One read of several entries is no longer than this. */
export const PAYLOAD_READ_BYTES_MAX = 512 * 1024
/** Entries are read together over gaps of no more: a third of what is read is in use by those of 4 KiB. */
export const PAYLOAD_GAP_BYTES_MAX = 8 * 1024

/** One step while a new ring is filled. */
export const FILL_BYTES = 4 * 1024 * 1024
/**
 * One write of such a step. The page cache keeps what one write brought in pieces as large as that, and every later write of
 * 4 KiB goes through all of the piece that it falls into: 8 us where the ring was filled with writes of 4 MiB, 1.5 with these.
 */
export const FILL_WRITE_BYTES = 64 * 1024

/** What may be left to move when a resize lets the writers wait: a moment's work of any disk. */
export const CATCH_UP_BYTES = 4 * 1024 * 1024

/** Bytes of a ring that `auto` looks at, in samples, before it believes that nothing of ours lies there. */
export const SAMPLE_BYTES = 64 * 1024
export const SAMPLES_MAX = 256

assert(SUPERBLOCK_SLOT_BYTES % BLOCK_BYTES === 0, 'a slot is whole blocks')
assert(
  224 + INCARNATIONS_MAX * 40 + RING_PIECES_MAX * 16 + OWNER_BYTES_MAX <= SUPERBLOCK_SLOT_BYTES,
  'the largest superblock fits into its slot',
)
assert(INCARNATIONS_KEPT >= 128 && INCARNATIONS_KEPT < INCARNATIONS_MAX, 'there is room for lives that entries need')
assert(CHUNK_BYTES >= FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX, 'a chunk holds the largest entry')
assert(
  SEGMENT_BYTES_MAX + GROUP_BODY_BYTES_MAX + BLOCK_BYTES <= INDEX_POINTS_MAX * INDEX_STEP_BYTES,
  'an index has points for the longest segment',
)
assert(UNSYNCED_BYTES_MAX >= 2 * GROUP_BODY_BYTES_MAX, 'a group can be written while another is synced')
