/**
 * What an NBD server needs of the thing it exports, and nothing about how that works.
 *
 * Requests are objects that carry their own answer, so that a device can keep them in its own queues without a promise
 * or a closure each. Each request is answered exactly once, in any order. The device may answer before `submit` returns.
 */

/** Operations that reach a device. Requests have been validated: in range, aligned, within the size limits. */
export type NbdOperation = 'read' | 'write' | 'flush' | 'trim' | 'write-zeroes' | 'cache' | 'block-status'

/** Linux errno values that NBD knows. */
export const NbdErrno = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const
export type NbdErrno = (typeof NbdErrno)[keyof typeof NbdErrno]

/** A run of an export with the same allocation. */
export interface Extent {
  /** Bytes, > 0. */
  readonly length: number
  /** No space is allocated for it (base:allocation's NBD_STATE_HOLE). */
  readonly hole: boolean
  /** It reads as zeros (NBD_STATE_ZERO). */
  readonly zero: boolean
}

/** One request of one client, as the device sees it. */
export interface NbdRequest {
  readonly operation: NbdOperation
  /** Byte offset; 0 for flush. */
  readonly offset: number
  /** Bytes; 0 for flush. */
  readonly length: number
  /** `write`, `write-zeroes`, `trim`: answer only when it is on stable storage. */
  readonly fua: boolean
  /** `write-zeroes`: keep the space allocated (NBD_CMD_FLAG_NO_HOLE). */
  readonly noHole: boolean
  /** `write-zeroes`: fail with ENOTSUP rather than write slowly. */
  readonly fastZero: boolean
  /** `write`: exactly `length` bytes that nobody changes any more; the device may keep them. Null otherwise. */
  readonly payload: Buffer | null
  /** Answers everything but a successful read or block-status. */
  complete(errno: NbdErrno | 0): void
  /** Answers a read: buffers that add up to `length`; nobody may change them until they are sent. */
  completeRead(pieces: readonly Buffer[]): void
  /**
   * Answers a read at once if `fill` puts all of its bytes into the buffer that it is given, within the call, and says
   * true. With false nothing has happened, and the read is still to be answered.
   */
  fillRead(fill: (into: Buffer) => boolean): boolean
  /** Answers a block-status: extents from `offset` on, at least one. */
  completeStatus(extents: readonly Extent[]): void
}

/** One exported device. Its size and properties are fixed while a client is connected. */
export interface NbdExport {
  readonly name: string
  readonly description: string
  readonly sizeBytes: number
  readonly readOnly: boolean
  /** Offsets and lengths of requests must be multiples of this power of two (1 .. 65536). */
  readonly minimumBlockBytes: number
  /** What clients should prefer; a power of two. */
  readonly preferredBlockBytes: number
  readonly canTrim: boolean
  readonly canWriteZeroes: boolean
  /** A flush on one connection covers the writes answered on every other (NBD_FLAG_CAN_MULTI_CONN). */
  readonly canMultiConnection: boolean
  /** Takes over one request. Never throws. */
  submit(request: NbdRequest): void
  /** A client has finished its negotiation for this export, or has gone. */
  connected?(client: string): void
  disconnected?(client: string): void
}

/** Where the server finds its exports; asked anew at each LIST, INFO and GO. */
export interface ExportDirectory {
  list(): readonly NbdExport[]
  /** The export of that name ('' = the default one, if there is one), or a sentence that says why it is not available. */
  find(name: string): NbdExport | { readonly unavailable: string } | null
}
