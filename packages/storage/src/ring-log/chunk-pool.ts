/**
 * The memory that all cursors of a log share for what they read from the disk.
 *
 * Owns the count of chunks that cursors hold and of reads under way; both are bounded. A cursor that wants a chunk when
 * all are held takes the one that was used longest ago from its holder, who reads again when it comes back: a site that
 * stands still holds no memory for long, and nobody waits for it. Chunks are never written to again after their read,
 * because entries that were handed out point into them; a holder that lends them for a while only brings its own memory.
 */
import { type LogPosition } from '@sitelink/protocol/entry'
import type { RingSpace } from './ring-space.js'

export interface ChunkHolder {
  /** Its chunk was taken for somebody else. */
  dropChunk(): void
}

export class ChunkPool {
  /** Oldest use first. */
  readonly #holders = new Set<ChunkHolder>()
  #reading = 0
  #queue: (() => void)[] = []

  constructor(
    readonly space: RingSpace,
    readonly chunksMax: number,
    readonly readsMax: number,
  ) {}

  get heldCount(): number {
    return this.#holders.size
  }

  /**
   * Reads a chunk, which `holder` holds until it lets it go or it is taken away. `room`: where it is read to, if it is large
   * enough. Rejects as the disk does.
   */
  async read(holder: ChunkHolder, position: LogPosition, length: number, room: Buffer | null = null): Promise<Buffer> {
    while (this.#reading >= this.readsMax) await new Promise<void>((resolve) => this.#queue.push(resolve))
    this.#reading++
    try {
      const bytes = room !== null && room.length >= length ? room.subarray(0, length) : Buffer.allocUnsafeSlow(length)
      await this.space.read(bytes, position)
      this.#holders.delete(holder)
      this.#holders.add(holder)
      this.#evict()
      return bytes
    } finally {
      this.#reading--
      this.#queue.shift()?.()
    }
  }

  letGo(holder: ChunkHolder): void {
    this.#holders.delete(holder)
  }

  #evict(): void {
    for (const holder of this.#holders) {
      if (this.#holders.size <= this.chunksMax) return
      this.#holders.delete(holder)
      holder.dropChunk()
    }
  }
}
