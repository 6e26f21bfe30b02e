/**
 * Takes headers and payloads out of the chunks of a byte stream.
 *
 * A header or payload that lies within one chunk is handed out where it lies; only one that spans chunks is put together,
 * in memory of exactly its size, and a large one by reading into that. Whoever calls `take` has reserved that many bytes
 * before. Never looks into what it hands out, and never holds more than one chunk: the stream stands still while a chunk
 * is not used up.
 */
import { DIRECT_BYTES_MIN, isInPlace, Landing } from '@sitelink/protocol/read-into'
import { assert } from './assert.js'

const EMPTY = Buffer.alloc(0)
/** Bytes: the largest header that `header` can put together. */
const SCRATCH_BYTES = 64

export class ByteReader {
  /** Where the header lies after `header` has returned true, until the next call. */
  view: Buffer = EMPTY
  at = 0

  #chunk: Buffer = EMPTY
  #position = 0
  readonly #scratch: Buffer = Buffer.alloc(SCRATCH_BYTES)
  #scratchFilled = 0
  #partial: Buffer | null = null
  #partialFilled = 0
  #skipBytes = 0
  readonly #landing = new Landing()
  /** The last payload was worth a read of its own. */
  #large = false

  /** Bytes of the current chunk that nobody has taken. */
  get restBytes(): number {
    return this.#chunk.length - this.#position
  }

  /** Where the next bytes may be read into. `takeBytes`: of the payload that is being taken; 0 where there is none. */
  room(takeBytes: number): Buffer {
    if (this.restBytes === 0 && takeBytes - this.#partialFilled >= DIRECT_BYTES_MIN) {
      return this.#begun(takeBytes).subarray(this.#partialFilled)
    }
    return this.#landing.room(this.#large)
  }

  /** The next chunk of the stream; the one before must be used up. Nobody changes its bytes any more. */
  feed(chunk: Buffer): void {
    assert(this.#position === this.#chunk.length, 'a chunk arrived while the one before was not used up')
    this.#landing.took(chunk)
    this.#chunk = chunk
    this.#position = 0
  }

  /** Throws the rest of the chunk away. */
  discard(): void {
    this.#chunk = EMPTY
    this.#position = 0
    this.#partial = null
    this.#partialFilled = 0
  }

  /** True when `bytes` bytes (1 .. 64) lie at `at` in `view`; false when the chunk is used up before. */
  header(bytes: number): boolean {
    const rest = this.#chunk.length - this.#position
    if (this.#scratchFilled === 0 && rest >= bytes) {
      this.view = this.#chunk
      this.at = this.#position
      this.#position += bytes
      return true
    }
    if (rest === 0) return false
    const taken = Math.min(rest, bytes - this.#scratchFilled)
    this.#chunk.copy(this.#scratch, this.#scratchFilled, this.#position, this.#position + taken)
    this.#scratchFilled += taken
    this.#position += taken
    if (this.#scratchFilled < bytes) return false
    this.#scratchFilled = 0
    this.view = this.#scratch
    this.at = 0
    return true
  }

  /** The next `bytes` bytes, or null when the chunk is used up before; call again with the same number then. */
  take(bytes: number): Buffer | null {
    const rest = this.#chunk.length - this.#position
    if (this.#partial === null) {
      this.#large = bytes >= DIRECT_BYTES_MIN
      if (rest >= bytes) {
        const taken = this.#chunk.subarray(this.#position, this.#position + bytes)
        this.#position += bytes
        // A write among a thousand reads, one after the other, would keep all that their headers were read into.
        return this.#landing.isCrumb(this.#chunk) ? copyOf(taken) : taken
      }
      // Clients often send header and payload apart: the next chunk may well hold all of it.
      if (rest === 0) return null
    }
    const partial = this.#begun(bytes)
    const taken = Math.min(rest, bytes - this.#partialFilled)
    if (this.#position > 0 || !isInPlace(this.#chunk, partial, this.#partialFilled)) {
      this.#chunk.copy(partial, this.#partialFilled, this.#position, this.#position + taken)
    }
    this.#partialFilled += taken
    this.#position += taken
    if (this.#partialFilled < bytes) return null
    this.#partial = null
    this.#partialFilled = 0
    return partial
  }

  /** The payload that spans chunks, of which `#partialFilled` bytes are here. */
  #begun(bytes: number): Buffer {
    this.#partial ??= Buffer.allocUnsafeSlow(bytes)
    assert(this.#partial.length === bytes, 'a payload was asked for with two lengths')
    return this.#partial
  }

  /** From now on `skipped` throws away `bytes` bytes. */
  skip(bytes: number): void {
    assert(this.#skipBytes === 0, 'one skip at a time')
    this.#skipBytes = bytes
  }

  /** True when everything to skip has been skipped; false when the chunk is used up before. */
  skipped(): boolean {
    const taken = Math.min(this.#chunk.length - this.#position, this.#skipBytes)
    this.#position += taken
    this.#skipBytes -= taken
    return this.#skipBytes === 0
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
}
