/**
 * Bytes of a socket are read to where they stay: into memory that the receiver names before each read.
 *
 * Owns how a socket of Node is told so, and the memory for what does not belong anywhere yet. Node allocates 64 KiB for
 * each read of a socket and hands it out as a chunk, from which whoever waits for a large payload copies it once more:
 * twice the bytes for the collector, and twice the copies. Its option `onread` does better, but only for sockets that
 * the program itself opens; the slots behind that option are found here on a socket made for it, and filled in on any
 * socket. Where a release of Node has other slots, chunks come as they always did. Invariant: no byte of memory is
 * handed out for two reads while anybody may keep what the first one brought.
 */
import { Socket, type SocketConstructorOpts } from 'node:net'
import type { Duplex } from 'node:stream'

const EMPTY = Buffer.alloc(0)

/** What is read without a place of its own goes into pieces of so many bytes. */
const PIECE_BYTES = 64 * 1024

/** A piece with less room than this is left for a new one. */
const ROOM_BYTES_MIN = 16 * 1024

/** The rest of a payload that is worth a read of its own. */
export const DIRECT_BYTES_MIN = 32 * 1024

/** Where there is a payload behind it that is worth a read of its own, a header is read with no more than this. */
const HEADER_ROOM_BYTES = 4096

/** Memory for what comes, one read behind the other. A piece lives as long as a part of it that somebody kept. */
export class Landing {
  #piece: Buffer | null = null
  #at = 0

  /** Where the next read may go. `large`: it is expected to begin with the header of a large payload. */
  room(large = false): Buffer {
    if (this.#piece === null || this.#piece.length - this.#at < ROOM_BYTES_MIN) {
      this.#piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
      this.#at = 0
    }
    return this.#piece.subarray(this.#at, large ? this.#at + HEADER_ROOM_BYTES : PIECE_BYTES)
  }

  /**
   * True for a short read: what else will come into its piece is not known, so whoever keeps little of it for long keeps
   * a copy.
   */
  isCrumb(chunk: Buffer): boolean {
    return chunk.length < ROOM_BYTES_MIN && chunk.buffer === this.#piece?.buffer
  }

  /** A read has come. Does nothing if it went elsewhere. */
  took(chunk: Buffer): void {
    if (chunk.buffer === this.#piece?.buffer) this.#at = chunk.byteOffset + chunk.length
  }
}

/** True if `chunk` was read to where it belongs already: at `at` of `place`, which has memory of its own. */
export function isInPlace(chunk: Buffer, place: Buffer, at: number): boolean {
  return chunk.buffer === place.buffer && chunk.byteOffset === place.byteOffset + at
}

/** What Node keeps in a socket that reads into a buffer of the program. */
interface Slots {
  readonly buffer: symbol
  readonly generate: symbol
  readonly callback: symbol
}

let found: Slots | null | undefined

/** The slots, or null where this release of Node has others. */
export function userBufferSlots(): Slots | null {
  if (found === undefined) found = findSlots()
  return found
}

function findSlots(): Slots | null {
  const bytes = new Uint8Array(1)
  const generated = (): Uint8Array => bytes
  const callback = (): boolean => true
  // The types of Node name this option only where a socket is opened.
  const options = { onread: { buffer: generated, callback } } as SocketConstructorOpts
  const socket = new Socket(options) as unknown as Record<symbol, unknown>
  const symbols = Object.getOwnPropertySymbols(socket)
  const called = (name: string, holds: unknown): symbol | undefined =>
    symbols.find((symbol) => symbol.description === name && socket[symbol] === holds)
  const buffer = called('kBuffer', true)
  const generate = called('kBufferGen', generated)
  const told = called('kBufferCb', callback)
  if (buffer === undefined || generate === undefined || told === undefined) return null
  return { buffer, generate, callback: told }
}

/**
 * Lets a socket flow into `taken`: each chunk lies in what `room` answered last, if the socket can, and `room` is asked
 * again after it. A socket that cannot, and what it had read before, comes in memory of its own. To be called once, in
 * place of a listener for `data`. A pause stops the reading itself: nothing more is read from the kernel, so that a peer
 * that has gone is seen at the resumption only; of TLS, what was read before still comes.
 */
export function readInto(socket: Duplex, room: () => Buffer, taken: (chunk: Buffer) => void): void {
  const slots = socket instanceof Socket ? userBufferSlots() : null
  const handle = (socket as { _handle?: { useUserBuffer?: (buffer: Buffer) => void } | null })._handle
  if (slots !== null && typeof handle?.useUserBuffer === 'function') {
    const first = room()
    Object.assign(socket, {
      [slots.buffer]: first,
      [slots.generate]: room,
      [slots.callback]: (bytes: number, buffer: Buffer) => {
        taken(buffer.subarray(0, bytes))
        return true
      },
    })
    handle.useUserBuffer(first)
    // Who gave up a payload half way must not keep it as long as the socket is remembered.
    socket.once('close', () => Object.assign(socket, { [slots.buffer]: EMPTY }))
  }
  socket.on('data', taken)
}
