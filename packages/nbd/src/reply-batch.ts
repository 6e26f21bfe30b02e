/**
 * Encodes replies and gathers them until the socket takes them all at once.
 *
 * Owns blocks of memory that headers, and small pieces of reads, are written into one after the other; larger pieces go
 * between them as they are. A block is never written twice, so that the socket may keep what it got. The bytes of one
 * reply stay together.
 *
 *   simple reply   magic u32 | error u32 | cookie u64 | data of a read
 *   chunk          magic u32 | flags u16 | type u16 | cookie u64 | length u32 | payload
 */
import {
  ALLOCATION_CONTEXT_ID,
  CHUNK_HEADER_BYTES,
  Chunk,
  ChunkFlag,
  MAGIC_SIMPLE_REPLY,
  MAGIC_STRUCTURED_REPLY,
  SIMPLE_REPLY_BYTES,
  StateFlag,
} from './constants.js'
import type { Extent } from './export.js'
import { ERROR_SENTENCE_BYTES_MAX, REPLY_BLOCK_BYTES, REPLY_COPY_BYTES_MAX, REPLY_FILL_BYTES_MAX } from './limits.js'

/** Who is answered. */
export interface Cookie {
  readonly cookieHigh: number
  readonly cookieLow: number
}

export class ReplyBatch {
  #block: Buffer = Buffer.alloc(0)
  /** Bytes start .. end of the block are encoded and not yet among the chunks. */
  #start = 0
  #end = 0
  #chunks: Buffer[] = []
  #bytes = 0

  /** Bytes encoded since the last `take`. */
  get bytes(): number {
    return this.#bytes
  }

  /** Hands over what has gathered. */
  take(): readonly Buffer[] {
    this.#seal()
    const chunks = this.#chunks
    this.#chunks = []
    this.#bytes = 0
    return chunks
  }

  /** A reply without data. */
  simple(to: Cookie, errno: number): void {
    this.#room(SIMPLE_REPLY_BYTES)
    this.#simpleHeader(to, errno)
  }

  /** The data of a read, when structured replies were not negotiated. */
  simpleData(to: Cookie, pieces: readonly Buffer[]): void {
    this.#room(SIMPLE_REPLY_BYTES)
    this.#simpleHeader(to, 0)
    this.#pieces(pieces)
  }

  /** As {@link simpleData}, if `fill` puts the data where it is to be sent from; else nothing has happened. */
  fillSimpleData(to: Cookie, length: number, fill: (into: Buffer) => boolean): boolean {
    const into = this.#behind(SIMPLE_REPLY_BYTES, length)
    if (!fill(into)) return false
    this.#simpleHeader(to, 0)
    this.#filled(into)
    return true
  }

  /** As {@link data}, if `fill` puts the data where it is to be sent from; else nothing has happened. */
  fillData(to: Cookie, offset: number, length: number, fill: (into: Buffer) => boolean): boolean {
    const into = this.#behind(CHUNK_HEADER_BYTES + 8, length)
    if (!fill(into)) return false
    this.#dataHeader(to, offset, length)
    this.#filled(into)
    return true
  }

  /** The data of a read as one chunk. */
  data(to: Cookie, offset: number, length: number, pieces: readonly Buffer[]): void {
    this.#room(CHUNK_HEADER_BYTES + 8)
    this.#dataHeader(to, offset, length)
    this.#pieces(pieces)
  }

  /** An error with a sentence for the user. */
  error(to: Cookie, errno: number, sentence: string): void {
    const text = Buffer.from(sentence).subarray(0, ERROR_SENTENCE_BYTES_MAX)
    this.#room(CHUNK_HEADER_BYTES + 6 + text.length)
    this.#chunkHeader(to, ChunkFlag.DONE, Chunk.ERROR, 6 + text.length)
    this.#u32(errno)
    this.#u16(text.length)
    this.#copy(text)
  }

  /** Extents, already cut to what the request allows. */
  status(to: Cookie, extents: readonly Extent[]): void {
    this.#room(CHUNK_HEADER_BYTES + 4 + extents.length * 8)
    this.#chunkHeader(to, ChunkFlag.DONE, Chunk.BLOCK_STATUS, 4 + extents.length * 8)
    this.#u32(ALLOCATION_CONTEXT_ID)
    for (const extent of extents) {
      this.#u32(extent.length)
      this.#u32((extent.hole ? StateFlag.HOLE : 0) | (extent.zero ? StateFlag.ZERO : 0))
    }
  }

  #dataHeader(to: Cookie, offset: number, length: number): void {
    this.#chunkHeader(to, ChunkFlag.DONE, Chunk.OFFSET_DATA, 8 + length)
    this.#u32(Math.floor(offset / 2 ** 32))
    this.#u32(offset % 2 ** 32)
  }

  #simpleHeader(to: Cookie, errno: number): void {
    this.#u32(MAGIC_SIMPLE_REPLY)
    this.#u32(errno)
    this.#u32(to.cookieHigh)
    this.#u32(to.cookieLow)
  }

  #chunkHeader(to: Cookie, flags: number, type: number, length: number): void {
    this.#u32(MAGIC_STRUCTURED_REPLY)
    this.#u16(flags)
    this.#u16(type)
    this.#u32(to.cookieHigh)
    this.#u32(to.cookieLow)
    this.#u32(length)
  }

  #pieces(pieces: readonly Buffer[]): void {
    for (const piece of pieces) {
      if (piece.length <= REPLY_COPY_BYTES_MAX) {
        this.#room(piece.length)
        this.#copy(piece)
      } else {
        this.#seal()
        this.#chunks.push(piece)
        this.#bytes += piece.length
      }
    }
  }

  /** Room for data of a read behind a header: in the block, or of its own where much of a block could be left over. */
  #behind(headerBytes: number, length: number): Buffer {
    const inBlock = length <= REPLY_FILL_BYTES_MAX
    this.#room(inBlock ? headerBytes + length : headerBytes)
    const start = this.#end + headerBytes
    return inBlock ? this.#block.subarray(start, start + length) : Buffer.allocUnsafeSlow(length)
  }

  /** Behind the header that it was made room for. */
  #filled(into: Buffer): void {
    this.#bytes += into.length
    if (into.length <= REPLY_FILL_BYTES_MAX) {
      this.#end += into.length
      return
    }
    this.#seal()
    this.#chunks.push(into)
  }

  /** Moves what is encoded to the chunks. */
  #seal(): void {
    if (this.#start === this.#end) return
    this.#chunks.push(this.#block.subarray(this.#start, this.#end))
    this.#start = this.#end
  }

  /** Makes sure that the block has room for `bytes` more. */
  #room(bytes: number): void {
    if (this.#block.length - this.#end >= bytes) return
    this.#seal()
    this.#block = Buffer.allocUnsafeSlow(Math.max(REPLY_BLOCK_BYTES, bytes))
    this.#start = 0
    this.#end = 0
  }

  #u16(value: number): void {
    this.#byte(value >>> 8)
    this.#byte(value)
    this.#bytes += 2
  }

  #u32(value: number): void {
    this.#byte(value >>> 24)
    this.#byte(value >>> 16)
    this.#byte(value >>> 8)
    this.#byte(value)
    this.#bytes += 4
  }

  /** By index: V8 looks up the name of a Buffer's method at each call. There is room: `#room` saw to it. */
  #byte(value: number): void {
    this.#block[this.#end++] = value
  }

  #copy(piece: Buffer): void {
    piece.copy(this.#block, this.#end)
    this.#end += piece.length
    this.#bytes += piece.length
  }
}

/**
 * Cuts extents to what the answer to one block-status request may hold: together at most `length` bytes, neighbours of
 * the same kind as one, at most `countMax` of them, only the first when `one`.
 */
export function cutExtents(extents: readonly Extent[], length: number, one: boolean, countMax: number): Extent[] {
  const cut: Extent[] = []
  let rest = length
  for (const extent of extents) {
    if (rest === 0) break
    const bytes = Math.min(extent.length, rest)
    const last = cut.at(-1)
    if (last !== undefined && last.hole === extent.hole && last.zero === extent.zero) {
      cut[cut.length - 1] = { ...last, length: last.length + bytes }
    } else if (cut.length === (one ? 1 : countMax)) {
      break
    } else {
      cut.push({ length: bytes, hole: extent.hole, zero: extent.zero })
    }
    rest -= bytes
  }
  return cut
}
