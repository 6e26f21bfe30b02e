/**
 * Limits of the primary, each with its unit last and its reason. Nothing in this room grows beyond one of them.
 */
import {
  assert,
  ENTRY_BOUNDARY_BYTES,
  ENTRY_PAYLOAD_BYTES_MAX,
  VERIFY_BYTES_MAX,
  VERIFY_REQUESTS_MAX,
} from '@sitelink/protocol/light'

/** Slinks are numbered 0 .. 2047; 0 is the local site. */
export const SLINK_NUMBER_MAX = 2047

/** Remote slinks of a group. Each has a record in the log's superblock, whose room is bounded. */
export const SLINK_COUNT_MAX = 1024

/** Devices of a group: as many as a slink can name to its agent. Each may have a lost range in the log's superblock. */
export const DEVICE_COUNT_MAX = 1024

/** Device numbers as the operator gives them. */
export const DEVICE_NUMBER_MAX = 0x7fff_ffff

/** Names of devices, in bytes of UTF-8: they become NBD export names. */
export const NAME_BYTES_MAX = 128

/** Regions are powers of two of at least this, so that no entry crosses one. */
export const REGION_BYTES_MIN = ENTRY_BOUNDARY_BYTES

/** Larger regions would make one copy hold the stream for seconds. */
export const REGION_BYTES_MAX = 1024 * 1024 * 1024

/** Default region size: the smallest, so that a resync copies as little as possible. */
export const REGION_BYTES_DEFAULT = ENTRY_BOUNDARY_BYTES

/** Blockdev slinks of a group: a device that hangs holds a thread of the pool, of which there are 16. */
export const BLOCKDEV_SLINKS_MAX = 8

/** Path of a device at a blockdev site, in bytes of UTF-8: it stands where an agent's device has its name. */
export const SITE_PATH_BYTES_MAX = 255

/** Frames of a blockdev site that share one sync. */
export const SITE_BATCH_BYTES = 4 * 1024 * 1024
export const SITE_BATCH_FRAMES = 1024

/** Stream bytes that a blockdev site may hold in memory. */
export const SITE_WINDOW_BYTES = 8 * 1024 * 1024

/** How long a verb looks at a path before it takes it for one that cannot be had now. */
export const LOOK_MS_MAX = 5000

/** How long a stop waits for what is under way on a blockdev site's devices. */
export const SITE_STOP_MS_MAX = 10_000

/** Smallest replog (4096 sectors). */
export const LOG_BYTES_MIN = 2 * 1024 * 1024

/** Default size of the replog. */
export const LOG_BYTES_DEFAULT = 1024 * 1024 * 1024

/** Memory that a group keeps for entries, in bytes: what a simulation or a small host may set lower. */
export interface GroupLimits {
  /** Payload bytes that wait for the local devices in memory; past it they are read from the log again. */
  readonly overlayBytesMax: number
  /** Entries kept in memory for sites that follow closely; a payload may hold the whole chunk it arrived in. */
  readonly recentBytesMax: number
  /** How often a device of a blockdev site that failed is tried, in milliseconds. */
  readonly probeMs: number
}

/** As {@link GroupLimits.probeMs}. */
export const PROBE_MS_DEFAULT = 15_000
export const PROBE_MS_MIN = 100

export const GROUP_LIMITS: GroupLimits = {
  overlayBytesMax: 32 * 1024 * 1024,
  recentBytesMax: 8 * 1024 * 1024,
  probeMs: PROBE_MS_DEFAULT,
}

export function groupLimits(some: Partial<GroupLimits> = {}): GroupLimits {
  return { ...GROUP_LIMITS, ...some }
}

/** Heartbeats, and how long silence may last before a peer counts as lost. */
export const HEARTBEAT_MS = 500
export const DETECT_MS_DEFAULT = 3000
/** Bounds of what an operator may set: below it a busy host would be taken for lost; above it nobody waits. */
export const DETECT_MS_MIN = 300
export const DETECT_MS_MAX = 600_000

/** How long a dial may take. */
export const DIAL_MS_MAX = 5000

/** Waiting between attempts to reach a site: doubles from the first to the last, with jitter. */
export const BACKOFF_MS_MIN = 100
export const BACKOFF_MS_MAX = 5000

/** Fill of the ring at which sites that pin it are looked at, before writers have to wait. */
export const MARKING_FILL = 0.75

/** A writer waits so long for a site that is connected before the site is treated by its overflow policy. */
export const STREAMING_GRACE_MS = 1000

/** Bytes of entries that one turn of a slink takes from the log: large enough to amortise, small enough to be fair. */
export const FEED_BYTES_MAX = 1024 * 1024

/** Bytes queued in a connection before a slink stops feeding it. */
export const SEND_QUEUE_BYTES_MAX = 4 * 1024 * 1024

/** A site is caught up when it misses no more than this. */
export const CAUGHT_UP_BYTES = 1024 * 1024
export const CAUGHT_UP_ENTRIES = 1024

/** Region bytes of one slink that are being read or wait to be sent. */
export const COPY_BYTES_IN_MEMORY_MAX = 8 * 1024 * 1024

/** Memory of copies that a session keeps for the next ones while nobody uses it: what is read and sent meanwhile. */
export const COPY_BYTES_KEPT = 16 * 1024 * 1024

/** One copy frame. */
export const COPY_FRAME_BYTES = ENTRY_PAYLOAD_BYTES_MAX

/** Copies sent and not yet durable at the agent: a window, so that a slow agent does not hold them all in its journal. */
export const COPY_REGIONS_IN_FLIGHT_MAX = 256

/**
 * The agent is asked to sync behind so many bytes of copies: fewer syncs cost less, and its applier, which waits for them,
 * stays so close behind that it finds the copies in memory.
 */
export const COPY_SYNC_BYTES = 8 * 1024 * 1024

/** What a verify compares at once: one read at either side. */
export const VERIFY_RANGE_BYTES = 1024 * 1024
/** Ranges of one site that are being read for a verify. */
export const VERIFY_READS_MAX = 2
/** Ranges of one site that are being read or wait for their place in the stream: looked at for each entry. */
export const VERIFY_WAITING_MAX = 16
/** A range that was written to while it was read is read again in so many pieces ... */
export const VERIFY_SPLIT = 16
/** ... down to this size: what is written so often is in memory, and such a read is over at once. */
export const VERIFY_PIECE_BYTES_MIN = 4096
/** So often the smallest piece is read that is written to meanwhile; then it is left out, so that a verify ends. */
export const VERIFY_TRIES_MAX = 64
/** Ranges that a verify leaves out in one turn of the event loop. */
export const VERIFY_LEFT_OUT_TURN_MAX = 4096
/** Ranges that a verify names; beyond them it counts bytes. */
export const VERIFY_RANGES_NAMED_MAX = 1000

/** Whole of a fall-behind limit, in percent: without another share to resume at, a site leaves at its limits. */
export const FALL_BEHIND_RESUME_PERCENT_MAX = 100

/** Part of the stream that a resync is sure of while live entries wait, in percent. */
export const RESYNC_SHARE_PERCENT_DEFAULT = 50
/** Live entries are never starved. */
export const RESYNC_SHARE_PERCENT_MAX = 90

/** Smallest bandwidth limit in bytes per second: one largest frame a quarter of an hour. */
export const LIMIT_RATE_MIN = 1024
/** Windows of a day in a bandwidth limit. */
export const LIMIT_WINDOWS_MAX = 24
/** Bytes of a run on a limited link, at least: less would cost more than it smooths. */
export const PACED_BYTES_MIN = 16 * 1024

/** Fill of a resync's dirty marks is written back at most this long after a region became clean. */
export const CLEAN_FLUSH_MS = 1000

/** LSNs whose size and time are known exactly. */
export const LEDGER_EXACT_ENTRIES = 65_536

/** Beyond them, one mark in so many LSNs. */
export const LEDGER_COARSE_ENTRIES = 4096

/** Coarse marks: 65,536 of them cover 268 million entries. */
export const LEDGER_COARSE_MARKS_MAX = 65_536

/** Requests that wait for room; beyond it the NBD server's own limits have long stopped the clients. */
export const WAITING_REQUESTS_MAX = 65_536

assert(REGION_BYTES_MIN % ENTRY_BOUNDARY_BYTES === 0, 'an entry lies in one region')
assert(COPY_FRAME_BYTES <= REGION_BYTES_MIN, 'a copy frame lies in one region')
assert(COPY_BYTES_IN_MEMORY_MAX >= 2 * COPY_FRAME_BYTES, 'reading and sending of copies overlap')
assert(VERIFY_RANGE_BYTES <= VERIFY_BYTES_MAX, 'an agent answers for a whole range')
assert(REGION_BYTES_MIN % VERIFY_RANGE_BYTES === 0, 'a range that is verified lies in one region')
assert(VERIFY_WAITING_MAX < VERIFY_REQUESTS_MAX, 'ranges are read while answers are on their way')
assert(CAUGHT_UP_ENTRIES < LEDGER_EXACT_ENTRIES, 'lag near the head is exact')
