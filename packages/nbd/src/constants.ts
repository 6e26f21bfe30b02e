/**
 * Names and numbers of the NBD protocol, in the order of its document.
 *
 * Owns no logic. A number that is not in the protocol belongs into `limits.ts`. All integers on the wire are big-endian;
 * 64-bit magics are kept as two halves, because that is how they are compared.
 */

/** `NBDMAGIC`: the first eight bytes of a server. */
export const MAGIC_INIT_HIGH = 0x4e42444d
export const MAGIC_INIT_LOW = 0x41474943
/** `IHAVEOPT`: follows it in the newstyle greeting, and opens every option. */
export const MAGIC_OPTION_HIGH = 0x49484156
export const MAGIC_OPTION_LOW = 0x454f5054
/** Opens every reply to an option. */
export const MAGIC_OPTION_REPLY_HIGH = 0x0003e889
export const MAGIC_OPTION_REPLY_LOW = 0x045565a9
export const MAGIC_REQUEST = 0x25609513
export const MAGIC_SIMPLE_REPLY = 0x67446698
export const MAGIC_STRUCTURED_REPLY = 0x668e33ef

/** Bytes: both magics and the handshake flags. */
export const GREETING_BYTES = 18
/** Bytes: magic, option, length. */
export const OPTION_HEADER_BYTES = 16
/** Bytes: magic, option, reply type, length. */
export const OPTION_REPLY_HEADER_BYTES = 20
/** Bytes: magic, flags, type, cookie, offset, length. */
export const REQUEST_HEADER_BYTES = 28
/** Bytes: magic, error, cookie. */
export const SIMPLE_REPLY_BYTES = 16
/** Bytes: magic, flags, type, cookie, length. */
export const CHUNK_HEADER_BYTES = 20
/** Bytes: no string of the protocol is longer. */
export const STRING_BYTES_MAX = 4096
/** Bytes of zeros after the answer to NBD_OPT_EXPORT_NAME, unless both sides agreed to leave them out. */
export const EXPORT_NAME_PADDING_BYTES = 124
/** Minimum block sizes reach up to here. */
export const MINIMUM_BLOCK_BYTES_MAX = 65_536

/** Handshake flags of the server; the client's flags have the same bits. */
export const HandshakeFlag = { FIXED_NEWSTYLE: 1, NO_ZEROES: 2 } as const

export const TransmissionFlag = {
  HAS_FLAGS: 1 << 0,
  READ_ONLY: 1 << 1,
  SEND_FLUSH: 1 << 2,
  SEND_FUA: 1 << 3,
  ROTATIONAL: 1 << 4,
  SEND_TRIM: 1 << 5,
  SEND_WRITE_ZEROES: 1 << 6,
  SEND_DF: 1 << 7,
  CAN_MULTI_CONN: 1 << 8,
  SEND_RESIZE: 1 << 9,
  SEND_CACHE: 1 << 10,
  SEND_FAST_ZERO: 1 << 11,
} as const

export const Option = {
  EXPORT_NAME: 1,
  ABORT: 2,
  LIST: 3,
  PEEK_EXPORT: 4,
  STARTTLS: 5,
  INFO: 6,
  GO: 7,
  STRUCTURED_REPLY: 8,
  LIST_META_CONTEXT: 9,
  SET_META_CONTEXT: 10,
  EXTENDED_HEADERS: 11,
} as const

export const OptionReply = {
  ACK: 1,
  SERVER: 2,
  INFO: 3,
  META_CONTEXT: 4,
  ERR_UNSUP: 0x8000_0001,
  ERR_POLICY: 0x8000_0002,
  ERR_INVALID: 0x8000_0003,
  ERR_PLATFORM: 0x8000_0004,
  ERR_TLS_REQD: 0x8000_0005,
  ERR_UNKNOWN: 0x8000_0006,
  ERR_SHUTDOWN: 0x8000_0007,
  ERR_BLOCK_SIZE_REQD: 0x8000_0008,
  ERR_TOO_BIG: 0x8000_0009,
  ERR_EXT_HEADER_REQD: 0x8000_000a,
} as const

/** Reply types from here on are errors. */
export const OPTION_REPLY_ERROR_BASE = 0x8000_0000

export const Info = { EXPORT: 0, NAME: 1, DESCRIPTION: 2, BLOCK_SIZE: 3 } as const

export const CommandFlag = { FUA: 1, NO_HOLE: 2, DF: 4, REQ_ONE: 8, FAST_ZERO: 16 } as const

export const Command = {
  READ: 0,
  WRITE: 1,
  DISC: 2,
  FLUSH: 3,
  TRIM: 4,
  CACHE: 5,
  WRITE_ZEROES: 6,
  BLOCK_STATUS: 7,
} as const

export const ChunkFlag = { DONE: 1 } as const

export const Chunk = {
  NONE: 0,
  OFFSET_DATA: 1,
  OFFSET_HOLE: 2,
  BLOCK_STATUS: 5,
  ERROR: 0x8001,
  ERROR_OFFSET: 0x8002,
} as const

/** Chunk types from here on are errors. */
export const CHUNK_ERROR_BASE = 0x8000

export const StateFlag = { HOLE: 1, ZERO: 2 } as const

/** The one metadata context we know. */
export const ALLOCATION_CONTEXT = 'base:allocation'
/** Its id; clients treat it as opaque. */
export const ALLOCATION_CONTEXT_ID = 1
