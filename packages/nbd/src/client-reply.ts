/**
 * The answer to one request of a client, as its chunks come in.
 *
 * Owns what has arrived: pieces of a read, extents, errors. Checks that each lies within what was asked, and at the end
 * that a read is complete. Never settles its promise twice.
 */
import { errnoName, NbdClientError } from './client-error.js'
import * as nbd from './constants.js'
import type { Extent } from './export.js'

export interface ReplyChunk {
  readonly flags: number
  readonly type: number
  /** Bytes of its payload. */
  readonly length: number
}

export class Answer {
  readonly cookie: number
  readonly type: number
  readonly offset: number
  readonly length: number
  readonly reject: (error: Error) => void
  readonly #resolve: (answer: Answer) => void
  #data: Buffer | null = null
  #dataBytes = 0
  #extents: Extent[] = []
  #errno = 0
  #sentence = ''

  constructor(
    cookie: number,
    type: number,
    offset: number,
    length: number,
    resolve: (answer: Answer) => void,
    reject: (error: Error) => void,
  ) {
    this.cookie = cookie
    this.type = type
    this.offset = offset
    this.length = length
    this.#resolve = resolve
    this.reject = reject
  }

  data(): Buffer {
    return this.#data ?? Buffer.alloc(0)
  }

  extents(): readonly Extent[] {
    return this.#extents
  }

  addChunk(chunk: ReplyChunk, payload: Buffer): void {
    switch (chunk.type) {
      case nbd.Chunk.NONE:
        return
      case nbd.Chunk.OFFSET_DATA:
        check(payload.length > 8, 'a chunk of data is empty')
        return this.addData(Number(payload.readBigUInt64BE(0)), payload.subarray(8))
      case nbd.Chunk.OFFSET_HOLE:
        check(payload.length === 12, 'a chunk for a hole has the wrong length')
        return this.#addHole(Number(payload.readBigUInt64BE(0)), payload.readUInt32BE(8))
      case nbd.Chunk.BLOCK_STATUS:
        return this.#addExtents(payload)
      default:
        check(chunk.type >= nbd.CHUNK_ERROR_BASE, `a chunk has the unknown type ${chunk.type}`)
        check(payload.length >= 6 && payload.readUInt16BE(4) <= payload.length - 6, 'an error chunk is malformed')
        return this.addError(payload.readUInt32BE(0), payload.toString('utf8', 6, 6 + payload.readUInt16BE(4)))
    }
  }

  addData(offset: number, data: Buffer): void {
    this.#checkRange(offset, data.length)
    this.#dataBytes += data.length
    // The usual case: all of it at once.
    if (data.length === this.length) this.#data = data
    else data.copy(this.#target(), offset - this.offset)
  }

  addError(errno: number, sentence: string): void {
    check(errno !== 0, 'an error has the number zero')
    this.#errno = errno
    this.#sentence = sentence
  }

  /** The last chunk has come. Throws when the server claims to have said all and has not. */
  settle(): void {
    if (this.#errno !== 0) {
      const name = errnoName(this.#errno)
      const sentence = this.#sentence === '' ? name : `${name}: ${this.#sentence}`
      return this.reject(new NbdClientError('refused', sentence, { errno: this.#errno }))
    }
    if (this.type === nbd.Command.READ) {
      check(this.#dataBytes === this.length, `a read of ${this.length} bytes was answered with ${this.#dataBytes}`)
    }
    if (this.type === nbd.Command.BLOCK_STATUS) check(this.#extents.length > 0, 'a block status came without extents')
    this.#resolve(this)
  }

  #addHole(offset: number, length: number): void {
    this.#checkRange(offset, length)
    this.#dataBytes += length
    this.#target().fill(0, offset - this.offset, offset - this.offset + length)
  }

  #addExtents(payload: Buffer): void {
    check(this.type === nbd.Command.BLOCK_STATUS, 'extents came without having been asked for')
    check(payload.length >= 12 && payload.length % 8 === 4, 'a chunk of extents has the wrong length')
    for (let at = 4; at < payload.length; at += 8) {
      const length = payload.readUInt32BE(at)
      const flags = payload.readUInt32BE(at + 4)
      check(length > 0, 'an extent is empty')
      this.#extents.push({
        length,
        hole: (flags & nbd.StateFlag.HOLE) !== 0,
        zero: (flags & nbd.StateFlag.ZERO) !== 0,
      })
    }
  }

  #checkRange(offset: number, length: number): void {
    check(this.type === nbd.Command.READ, 'data came without having been asked for')
    const within = offset >= this.offset && offset + length <= this.offset + this.length
    check(within, 'data lies outside of what was asked for')
  }

  #target(): Buffer {
    this.#data ??= Buffer.allocUnsafeSlow(this.length)
    return this.#data
  }
}

function check(holds: boolean, sentence: string): void {
  if (!holds) throw new NbdClientError('protocol', sentence)
}
