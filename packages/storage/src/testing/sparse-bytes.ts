/**
 * Bytes of any size that cost memory only where something other than zeros was written.
 *
 * Owns a map of 64 KiB chunks; an absent chunk reads as zeros. Knows nothing of durability or faults.
 */

/** Size of a chunk in bytes: what one far-away byte costs. */
export const SPARSE_CHUNK_BYTES = 64 * 1024

export class SparseBytes {
  readonly #chunks: Map<number, Buffer>

  constructor(chunks = new Map<number, Buffer>()) {
    this.#chunks = chunks
  }

  /** Chunks that take memory. */
  get chunkCount(): number {
    return this.#chunks.size
  }

  /** True if the chunk that holds this byte is absent: all of it reads as zeros. */
  isHoleAt(offset: number): boolean {
    return !this.#chunks.has(Math.floor(offset / SPARSE_CHUNK_BYTES))
  }

  /** How many absent chunks a write to this range would add. */
  newChunks(offset: number, length: number): number {
    let count = 0
    this.#pieces(offset, length, (index) => {
      if (!this.#chunks.has(index)) count++
    })
    return count
  }

  read(into: Buffer, offset: number): void {
    this.#pieces(offset, into.length, (index, from, length, at) => {
      const chunk = this.#chunks.get(index)
      if (chunk === undefined) into.fill(0, at, at + length)
      else chunk.copy(into, at, from, from + length)
    })
  }

  write(bytes: Buffer, offset: number): void {
    this.#pieces(offset, bytes.length, (index, from, length, at) => {
      let chunk = this.#chunks.get(index)
      if (chunk === undefined) {
        chunk = Buffer.alloc(SPARSE_CHUNK_BYTES)
        this.#chunks.set(index, chunk)
      }
      bytes.copy(chunk, from, at, at + length)
    })
  }

  /** Makes a range read as zeros; chunks that lie in it as a whole become absent. */
  zero(offset: number, length: number): void {
    for (const index of this.#presentIn(offset, length)) {
      const start = index * SPARSE_CHUNK_BYTES
      const from = Math.max(offset, start)
      const to = Math.min(offset + length, start + SPARSE_CHUNK_BYTES)
      if (to - from === SPARSE_CHUNK_BYTES) this.#chunks.delete(index)
      else this.#chunks.get(index)?.fill(0, from - start, to - start)
    }
  }

  /** Forgets everything at or beyond this size. */
  truncate(sizeBytes: number): void {
    for (const [index, chunk] of this.#chunks) {
      const start = index * SPARSE_CHUNK_BYTES
      if (start >= sizeBytes) this.#chunks.delete(index)
      else if (start + SPARSE_CHUNK_BYTES > sizeBytes) chunk.fill(0, sizeBytes - start)
    }
  }

  /** Start offsets of the chunks that are present and touch this range, in no order. */
  chunksIn(offset: number, length: number): number[] {
    return this.#presentIn(offset, length).map((index) => index * SPARSE_CHUNK_BYTES)
  }

  clone(): SparseBytes {
    return new SparseBytes(new Map([...this.#chunks].map(([index, chunk]) => [index, Buffer.from(chunk)])))
  }

  /** Walks the range or the chunks, whichever is less work. */
  #presentIn(offset: number, length: number): number[] {
    const first = Math.floor(offset / SPARSE_CHUNK_BYTES)
    const last = Math.floor((offset + length - 1) / SPARSE_CHUNK_BYTES)
    if (last - first >= this.#chunks.size)
      return [...this.#chunks.keys()].filter((index) => index >= first && index <= last)
    const found: number[] = []
    for (let index = first; index <= last; index++) if (this.#chunks.has(index)) found.push(index)
    return found
  }

  #pieces(
    offset: number,
    length: number,
    visit: (index: number, from: number, length: number, at: number) => void,
  ): void {
    let at = 0
    while (at < length) {
      const index = Math.floor((offset + at) / SPARSE_CHUNK_BYTES)
      const from = offset + at - index * SPARSE_CHUNK_BYTES
      const count = Math.min(SPARSE_CHUNK_BYTES - from, length - at)
      visit(index, from, count, at)
      at += count
    }
  }
}
