/**
 * Bytes of any size that cost memory only where something other than zeros was written.
 *
 * Owns a map of 64 KiB chunks; an absent chunk reads as zeros. A clone shares chunks until one of the two writes to them,
 * so that thousands of images of one device cost what differs between them. Knows nothing of durability or faults.
 */

/** Size of a chunk in bytes: what one far-away byte costs. */
export const SPARSE_CHUNK_BYTES = 64 * 1024

const ZEROES = Buffer.alloc(SPARSE_CHUNK_BYTES)

export class SparseBytes {
  readonly #chunks: Map<number, Buffer>
  /** Chunks that no clone shares: only these are changed in place. */
  readonly #own = new Set<number>()

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
      bytes.copy(this.#ownChunk(index), from, at, at + length)
    })
  }

  /** Makes a range read as zeros; chunks that lie in it as a whole become absent. */
  zero(offset: number, length: number): void {
    for (const index of this.#presentIn(offset, length)) {
      const start = index * SPARSE_CHUNK_BYTES
      const from = Math.max(offset, start)
      const to = Math.min(offset + length, start + SPARSE_CHUNK_BYTES)
      if (to - from === SPARSE_CHUNK_BYTES) this.#drop(index)
      else this.#ownChunk(index).fill(0, from - start, to - start)
    }
  }

  /** Forgets everything at or beyond this size. */
  truncate(sizeBytes: number): void {
    for (const index of [...this.#chunks.keys()]) {
      const start = index * SPARSE_CHUNK_BYTES
      if (start >= sizeBytes) this.#drop(index)
      else if (start + SPARSE_CHUNK_BYTES > sizeBytes) this.#ownChunk(index).fill(0, sizeBytes - start)
    }
  }

  /** Start offsets of the chunks that are present and touch this range, in no order. */
  chunksIn(offset: number, length: number): number[] {
    return this.#presentIn(offset, length).map((index) => index * SPARSE_CHUNK_BYTES)
  }

  clone(): SparseBytes {
    this.#own.clear()
    return new SparseBytes(new Map(this.#chunks))
  }

  /** Every chunk that is present, as its start offset and its bytes, ascending. */
  *present(): Generator<{ readonly offset: number; readonly bytes: Buffer }, void, void> {
    for (const index of [...this.#chunks.keys()].sort((a, b) => a - b))
      yield { offset: index * SPARSE_CHUNK_BYTES, bytes: this.#chunks.get(index) ?? ZEROES }
  }

  /** Offset of the first byte in which the two differ, below `limitBytes`; -1 if none does. */
  firstDifference(other: SparseBytes, limitBytes = Number.POSITIVE_INFINITY, fromBytes = 0): number {
    const indices = new Set([...this.#chunks.keys(), ...other.#chunks.keys()])
    let first = -1
    for (const index of indices) {
      const start = index * SPARSE_CHUNK_BYTES
      if (start >= limitBytes || start + SPARSE_CHUNK_BYTES <= fromBytes || (first >= 0 && start > first)) continue
      const a = this.#chunks.get(index) ?? ZEROES
      const b = other.#chunks.get(index) ?? ZEROES
      if (a === b) continue
      const end = Math.min(SPARSE_CHUNK_BYTES, limitBytes - start)
      let at = Math.max(0, fromBytes - start)
      if (a.compare(b, at, end, at, end) === 0) continue
      while (a[at] === b[at]) at++
      first = start + at
    }
    return first
  }

  /** The chunk for a change in place: made, or copied if a clone shares it. */
  #ownChunk(index: number): Buffer {
    const chunk = this.#chunks.get(index)
    if (chunk !== undefined && this.#own.has(index)) return chunk
    const own = chunk === undefined ? Buffer.alloc(SPARSE_CHUNK_BYTES) : Buffer.from(chunk)
    this.#chunks.set(index, own)
    this.#own.add(index)
    return own
  }

  #drop(index: number): void {
    this.#chunks.delete(index)
    this.#own.delete(index)
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
