/**
 * Limits of sessions, control messages and transports, each with its unit last and its reason. Limits of the entry
 * frame stand in entry/limits.ts. Relations between them are asserted here, once.
 */
import { assert } from './entry/assert.js'
import { FRAME_HEADER_BYTES } from './entry/frame.js'
import { ENTRY_BOUNDARY_BYTES, FRAME_PAYLOAD_BYTES_MAX } from './entry/limits.js'

/** Number of the last remote slink. */
export const SLINK_MAX = 2047

/** Names of devices, in bytes of UTF-8: a file name's limit, so that paths of dirty logs can carry them. */
export const NAME_BYTES_MAX = 255

/** Free text of an error or a reason, in bytes of UTF-8. Longer text is cut by the encoder at a character. */
export const PROSE_BYTES_MAX = 2048

/** Why a device cannot be used, in bytes of UTF-8. Shorter than prose, because a welcome carries one for each device. */
export const PROBLEM_BYTES_MAX = 255

/** Devices of one slink: mappings of a hello, devices and mappings of a welcome. Keeps each within one frame. */
export const DEVICES_MAX = 1024

/** Lives of a log that a hello names. A log keeps fewer; an agent that has an older one is resynced in full. */
export const INCARNATIONS_MAX = 4096

/** Bits of a dirty map in one message, in bytes: 4 Mi regions. Larger maps take several messages. */
export const DIRTY_BITS_BYTES_MAX = 512 * 1024

/** Dirty-map messages of one welcome: 1 EiB at the smallest region. */
export const DIRTY_MAPS_MAX = 1 << 20

/** Regions are powers of two from here ... */
export const REGION_BYTES_MIN = ENTRY_BOUNDARY_BYTES
/** ... to here. */
export const REGION_BYTES_MAX = 2 ** 40

/** Depth of maps and lists in a msgpack payload. The deepest of ours has 4. */
export const MSGPACK_DEPTH_MAX = 6

/** Values in one msgpack payload, all levels together: bounds what a hostile payload makes the decoder allocate. */
export const MSGPACK_VALUES_MAX = 65_536

/** A heartbeat is sent this often unless the primary's hello says otherwise. */
export const HEARTBEAT_MS_DEFAULT = 500
/** A peer that is silent for so long is taken for dead, unless the primary's hello says otherwise. */
export const DETECT_MS_DEFAULT = 3000
/** Bounds of what a hello may ask for. */
export const HEARTBEAT_MS_MIN = 10
export const HEARTBEAT_MS_MAX = 60_000
export const DETECT_MS_MAX = 600_000

/** A peer that has not said its first word after so long is dropped. */
export const FIRST_MESSAGE_MS_DEFAULT = 10_000

/** Input that a paused session takes from its connection, so that it still hears the peer live, before it stops reading. */
export const PAUSED_INPUT_BYTES_MAX = 1024 * 1024

/**
 * Bytes that wait in a connection before `write` answers false, and bytes of input that a reader who pauses leaves in
 * it. About one largest frame: far below a window, enough to keep a link busy between two turns of the event loop.
 */
export const CONNECTION_QUEUE_BYTES = 1024 * 1024

/** Smallest window of credit: a few of the largest frames, so that one can always be on its way. */
export const WINDOW_BYTES_MIN = 4 * 1024 * 1024
/** Largest window unless the owner's budget says less: 1 GB/s at 32 ms round trip. */
export const WINDOW_BYTES_MAX = 64 * 1024 * 1024

/** What one packed frame may become: the largest frame. Bounds what a hostile one makes a reader allocate. */
export const PACK_RAW_BYTES_MAX = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX
/** A run is packed at this size: large enough to compress well, and a few milliseconds of work at most. */
export const PACK_RUN_BYTES = 256 * 1024
/** A smaller run goes as it is. */
export const PACK_RUN_BYTES_MIN = 512
/** Compressions that an agent can name. */
export const CODECS_MAX = 16

/** Range of one `verify`: it is read in one piece at either side, and nothing is applied at the agent meanwhile. */
export const VERIFY_BYTES_MAX = 1024 * 1024
/** `verify` messages without an answer. Bounds what an agent keeps of them. */
export const VERIFY_REQUESTS_MAX = 64
/** Digest of a range: SHA-256. */
export const VERIFY_DIGEST_BYTES = 32

/** The largest frame with its header. */
export const LARGEST_FRAME_BYTES = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX

/** How long a peer may take from its connection to its resume. */
export const HANDSHAKE_MS_MAX = 15_000

/** Memory of large payloads that a session of an agent keeps for the next ones while nobody uses it. */
export const PAYLOADS_KEPT_BYTES = 32 * 1024 * 1024

/** Frames that a receiver hands on between two looks at its room. */
export const APPEND_FRAMES_MAX = 4096

/** Upper bounds of one encoded mapping, device and incarnation: names, ids, key names. */
const MAPPING_BYTES = 2 * NAME_BYTES_MAX + 180
const DEVICE_BYTES = NAME_BYTES_MAX + PROBLEM_BYTES_MAX + 50
const MAPPING_REF_BYTES = NAME_BYTES_MAX + 100
const INCARNATION_BYTES = 64
const ENVELOPE_BYTES = 4096

assert(WINDOW_BYTES_MIN >= 3 * LARGEST_FRAME_BYTES, 'the smallest window holds several of the largest frames')
assert(WINDOW_BYTES_MAX >= WINDOW_BYTES_MIN, 'the largest window is not below the smallest')
assert(
  DEVICES_MAX * MAPPING_BYTES + INCARNATIONS_MAX * INCARNATION_BYTES + ENVELOPE_BYTES <= FRAME_PAYLOAD_BYTES_MAX,
  'the largest hello fits into one frame',
)
assert(
  DEVICES_MAX * (DEVICE_BYTES + MAPPING_REF_BYTES) + ENVELOPE_BYTES <= FRAME_PAYLOAD_BYTES_MAX,
  'the largest welcome fits into one frame',
)
assert(DIRTY_BITS_BYTES_MAX + ENVELOPE_BYTES <= FRAME_PAYLOAD_BYTES_MAX, 'the largest dirty map fits into one frame')
assert(PAUSED_INPUT_BYTES_MAX >= CONNECTION_QUEUE_BYTES, 'a paused session can take what a connection holds')
assert(DETECT_MS_DEFAULT >= 3 * HEARTBEAT_MS_DEFAULT, 'two heartbeats may be lost before a peer is given up')
