/**
 * Memory of large payloads, used again for the payloads that come next.
 *
 * The collector frees what nobody names any more when it comes round; at hundreds of megabytes of payloads a second it
 * comes round ten times a second for nothing else. Who knows that a payload is done with gives its memory back instead.
 * Owns what was given back, up to a bound. What is not given back is the collector's, as ever. Invariant: memory that was
 * given back is never seen under its old name. The buffers that named it are empty from then on (their ArrayBuffer is
 * detached), so that who gives back too early finds bytes missing, and never those of another payload.
 */
import { assert } from './assert.js'

/** Memory comes in multiples of this: whoever counts payloads counts their memory nearly right. */
const GRAIN_BYTES = 4 * 1024

/** The memory of one payload. In use until everybody who took hold of it has let go. */
export class PayloadMemory {
  /** Empty once it was given back. */
  readonly bytes: Buffer
  readonly #giveBack: (memory: ArrayBuffer) => void
  #holds = 1

  /** Whoever has it made holds it. `giveBack` is told the whole memory, under a name that nobody else knows. */
  constructor(memory: ArrayBuffer, length: number, giveBack: (memory: ArrayBuffer) => void) {
    this.bytes = Buffer.from(memory, 0, length)
    this.#giveBack = giveBack
  }

  /** It stays in use until one more has let go. */
  hold(): void {
    assert(this.#holds > 0, 'memory that was given back is not held')
    this.#holds += 1
  }

  /** Whoever held it looks at it no more, nor does anybody to whom it was shown. */
  release(): void {
    assert(this.#holds > 0, 'memory is given back once')
    this.#holds -= 1
    if (this.#holds > 0) return
    const memory = this.bytes.buffer as ArrayBuffer
    this.#giveBack(structuredClone(memory, { transfer: [memory] }))
  }
}

/** See the head of this file. */
export class PayloadPool {
  /** By their size in bytes; sizes that were given back last come last. */
  readonly #kept = new Map<number, ArrayBuffer[]>()
  #keptBytesMax: number
  #keptBytes = 0

  /** Keeps at most `keptBytesMax` bytes that are in nobody's use. */
  constructor(keptBytesMax: number) {
    this.#keptBytesMax = keptBytesMax
  }

  /** Bytes that are kept and in nobody's use. */
  get keptBytes(): number {
    return this.#keptBytes
  }

  /** Memory for a payload of `length` bytes, which holds anything. */
  take(length: number): PayloadMemory {
    const size = Math.ceil(length / GRAIN_BYTES) * GRAIN_BYTES
    let memory = this.#kept.get(size)?.pop()
    if (memory === undefined) memory = Buffer.allocUnsafeSlow(size).buffer as ArrayBuffer
    else this.#keptBytes -= size
    return new PayloadMemory(memory, length, this.#takeBack)
  }

  /** Keeps nothing any more: what is still in use is the collector's when it is given back. */
  close(): void {
    this.#keptBytesMax = 0
    this.#keptBytes = 0
    this.#kept.clear()
  }

  readonly #takeBack = (memory: ArrayBuffer): void => {
    const size = memory.byteLength
    if (size > this.#keptBytesMax) return
    const alike = this.#kept.get(size) ?? []
    this.#kept.delete(size)
    this.#makeRoom(size)
    if (this.#keptBytes + size <= this.#keptBytesMax) {
      this.#keptBytes += size
      alike.push(memory)
    }
    this.#kept.set(size, alike)
  }

  /** Lets go of other sizes, those first that were not given back for the longest time: what comes now is of this one. */
  #makeRoom(size: number): void {
    for (const [otherSize, others] of this.#kept) {
      while (this.#keptBytes + size > this.#keptBytesMax && others.pop() !== undefined) this.#keptBytes -= otherSize
      if (others.length > 0) return
      this.#kept.delete(otherSize)
    }
  }
}
