/**
 * Every limit of the NBD server, with its reason.
 *
 * Nothing in this package allocates, counts or waits beyond a number that stands here. `resolveLimits` asserts the
 * relations between them; without these a connection could wait for room that can never come.
 */
import { assert } from './assert.js'
import { STRING_BYTES_MAX } from './constants.js'

const KIB = 1024
const MIB = 1024 * 1024

export interface NbdLimits {
  /** Connections of one server, counted until the last request of a client that has gone is answered. */
  readonly connectionCountMax: number
  /** From accept to the transmission phase. A client that dawdles holds a place among the connections. */
  readonly handshakeMsMax: number
  /** Options of one negotiation. Real clients need fewer than ten, and a few for each export they look at. */
  readonly optionCountMax: number
  /** Data of one option: a name, and a handful of queries, of at most 4 KiB each. Longer data is skipped unread. */
  readonly optionBytesMax: number
  /** Bytes that a client may send before it is in the transmission phase, skipped ones included. */
  readonly handshakeBytesMax: number
  /** Bytes of replies in one negotiation: a client that asks for the list again and again without reading it ends here. */
  readonly handshakeReplyBytesMax: number
  /** Queries of one metadata option. */
  readonly metaQueryCountMax: number

  /** Payload of one request, as advertised. The protocol asks for 32 MiB at least. */
  readonly payloadBytesMax: number
  /** A refused write's payload is read and thrown away up to this length; beyond it the connection is closed. */
  readonly drainBytesMax: number
  /** Requests of one connection between their first byte and their answer. Kernels keep 128, libnbd and fio 64 or so. */
  readonly requestsInFlightMax: number
  /** As above, of those that carry a payload; less, so that reads find a place while the device holds writers. */
  readonly writesInFlightMax: number
  /** Payload bytes that one connection holds at the device. */
  readonly connectionPayloadBytesMax: number
  /** Reply bytes of one connection, from the admission of the request until the socket has taken them. */
  readonly connectionReplyBytesMax: number
  /** Payload bytes of all connections together. */
  readonly serverPayloadBytesMax: number
  /** Reply bytes of all connections together. */
  readonly serverReplyBytesMax: number
  /** A connection that holds nothing gets this much of either kind, even if the others have taken all there is. */
  readonly connectionReserveBytes: number
  /** Descriptors in one answer to a block-status request. */
  readonly extentCountMax: number
  /** How long `close` waits for requests in flight. */
  readonly drainMsMax: number
  /** How long a connection that we have closed waits for the client to close it as well. */
  readonly lingerMsMax: number
}

/** Milliseconds of silence after which TCP asks whether a client still lives; a dead one must not hold its place. */
export const KEEP_ALIVE_MS = 60_000
/** Room for the header of a reply and for the sentence of an error. */
export const REPLY_OVERHEAD_BYTES = 256
/** A sentence in an error reply is cut here. */
export const ERROR_SENTENCE_BYTES_MAX = 192
/** Headers and small pieces of replies are put together in blocks of this size. */
export const REPLY_BLOCK_BYTES = 64 * KIB
/** Pieces of a read up to here are copied next to their header: cheaper than one more buffer for the socket. */
export const REPLY_COPY_BYTES_MAX = 2 * KIB
/** Reads up to here that are answered at once are read into such a block, behind their header. */
export const REPLY_FILL_BYTES_MAX = 8 * KIB
/** Larger reads are not tried to be answered at once: no device has so much at hand, and what was tried cost a buffer. */
export const FILL_BYTES_MAX = 64 * KIB

export const defaultLimits: NbdLimits = {
  connectionCountMax: 64,
  handshakeMsMax: 15_000,
  optionCountMax: 256,
  optionBytesMax: 16 * KIB,
  handshakeBytesMax: MIB,
  handshakeReplyBytesMax: MIB,
  metaQueryCountMax: 64,
  payloadBytesMax: 32 * MIB,
  drainBytesMax: 256 * MIB,
  requestsInFlightMax: 1024,
  writesInFlightMax: 768,
  connectionPayloadBytesMax: 32 * MIB,
  connectionReplyBytesMax: 33 * MIB,
  serverPayloadBytesMax: 256 * MIB,
  serverReplyBytesMax: 256 * MIB,
  connectionReserveBytes: MIB + 4 * KIB,
  extentCountMax: 4096,
  drainMsMax: 10_000,
  lingerMsMax: 2_000,
}

/** Fills in the defaults and asserts the relations. Throws `AssertionError` with the relation that does not hold. */
export function resolveLimits(changes: Partial<NbdLimits> = {}): NbdLimits {
  const limits: NbdLimits = { ...defaultLimits, ...changes }
  for (const [name, value] of Object.entries(limits)) {
    assert(Number.isSafeInteger(value) && value > 0, `${name} must be a positive integer, not ${String(value)}`)
  }
  const readBytesMax = limits.payloadBytesMax + REPLY_OVERHEAD_BYTES
  const statusBytesMax = limits.extentCountMax * 8 + REPLY_OVERHEAD_BYTES
  assert(limits.payloadBytesMax < 2 ** 32 - REPLY_OVERHEAD_BYTES, 'a payload must fit the 32-bit length of a chunk')
  assert(limits.drainBytesMax >= limits.payloadBytesMax, 'a payload of the advertised size must be drainable')
  assert(limits.optionBytesMax >= 2 * STRING_BYTES_MAX + 16, 'an option must have room for a name and one query')
  assert(limits.handshakeBytesMax >= 4 * limits.optionBytesMax, 'a handshake must have room for several options')
  assert(limits.writesInFlightMax < limits.requestsInFlightMax, 'writes must leave places to reads')
  assert(limits.connectionPayloadBytesMax >= limits.payloadBytesMax, 'a connection must be able to hold one payload')
  assert(limits.connectionReplyBytesMax >= readBytesMax, 'a connection must be able to hold the reply to one read')
  assert(limits.connectionReplyBytesMax >= statusBytesMax, 'a connection must be able to hold one block status')
  assert(limits.serverPayloadBytesMax >= limits.connectionPayloadBytesMax, 'the server holds what a connection holds')
  assert(limits.serverReplyBytesMax >= limits.connectionReplyBytesMax, 'the server holds what a connection holds')
  assert(limits.connectionReserveBytes >= statusBytesMax, 'the reserve must fit a block status')
  assert(limits.connectionReserveBytes <= limits.connectionPayloadBytesMax, 'the reserve must fit into the limit')
  assert(REPLY_OVERHEAD_BYTES >= ERROR_SENTENCE_BYTES_MAX + 64, 'an error reply must fit its reservation')
  const inBlockBytesMax = Math.max(REPLY_COPY_BYTES_MAX, REPLY_FILL_BYTES_MAX)
  assert(REPLY_BLOCK_BYTES >= 4 * (inBlockBytesMax + REPLY_OVERHEAD_BYTES), 'a block must fit several replies')
  return limits
}
