/**
 * Large pieces of a file in the page cache, split before small writes go into them.
 *
 * ext4 and block devices keep what one large write or read brought in as one piece (since Linux 6.16), and go through the
 * list of all its blocks for every small write into it: 20 us where 2 would do. Owns the knowledge where that was looked
 * after: one bit for each window of a disk. Content, order and what is durable are not touched by it, and where it cannot
 * be done nothing but speed is lost. Its time counts as that of small writes does.
 */
import { statfs } from 'node:fs/promises'
import { release } from 'node:os'
import type { Ffi } from './ffi.js'
import type { DiskKind } from './node-disk-block.js'
import type { QuickTurn } from './quick-writes.js'

/** Pieces are as large as a power of two and lie at multiples of it: who has the first page of a window has all that cover it. */
export const WINDOW_BYTES = 256 * 1024
/** Larger writes hardly feel the size of the piece that they go to. */
const SMALL_BYTES_MAX = 64 * 1024
/** `f_type` of ext2, ext3 and ext4: linux/magic.h. */
const EXT_MAGIC = 0xef53
const LARGE_PIECES_SINCE = [6, 16] as const

type Split = NonNullable<Ffi['splitPiece']>

interface PieceMeans {
  readonly ffi: Ffi | null
  readonly turn: QuickTurn | null
}

export class CachePieces {
  readonly #fd: number
  readonly #split: Split
  readonly #turn: QuickTurn
  /** A bit for each window: a piece of it was looked after, and no large write has come since. */
  #seen = new Uint32Array(0)

  constructor(fd: number, split: Split, turn: QuickTurn) {
    this.#fd = fd
    this.#split = split
    this.#turn = turn
  }

  /**
   * For the file or block device at `path`, open as `fd`; null where its pieces are small, or cannot be split, or nothing of it is done in
   * the calling thread.
   */
  static async of(
    path: string,
    kind: DiskKind,
    fd: number,
    means: PieceMeans,
    kernel = release(),
  ): Promise<CachePieces | null> {
    const { turn } = means
    const split = means.ffi?.splitPiece ?? null
    if (split === null || turn === null || !hasLargePieces(kernel)) return null
    return kind === 'block-device' || (await liesOnExt(path)) ? new CachePieces(fd, split, turn) : null
  }

  /** A write is about to be made through the page cache: `here`, in the calling thread, or in another. */
  before(offset: number, length: number, here: boolean): void {
    if (length === 0 || (length < WINDOW_BYTES && (length > SMALL_BYTES_MAX || !here))) return
    const last = Math.floor((offset + length - 1) / WINDOW_BYTES)
    for (let window = Math.floor(offset / WINDOW_BYTES); window <= last; window++) {
      const at = window >>> 5
      const bit = 1 << (window & 31)
      if (at >= this.#seen.length) this.#grow(at)
      const seen = this.#seen[at] as number
      if (length >= WINDOW_BYTES) this.#seen[at] = seen & ~bit
      else if ((seen & bit) === 0 && this.#splitNow(window)) this.#seen[at] = seen | bit
    }
  }

  /** The page cache has forgotten the file: what comes in next may be large. */
  forget(): void {
    this.#seen.fill(0)
  }

  #splitNow(window: number): boolean {
    const { clock } = this.#turn
    const startMs = clock.nowMs()
    const wasThere = this.#split(this.#fd, window * WINDOW_BYTES)
    this.#turn.spend(clock.nowMs() - startMs)
    return wasThere
  }

  #grow(at: number): void {
    const grown = new Uint32Array(Math.max(at + 1, this.#seen.length * 2))
    grown.set(this.#seen)
    this.#seen = grown
  }
}

async function liesOnExt(path: string): Promise<boolean> {
  const type = await statfs(path).then(
    (facts) => facts.type,
    () => null,
  )
  return type === EXT_MAGIC
}

/** Whether ext4 and block devices of this kernel have large pieces. `kernel`: as `uname -r` says. */
export function hasLargePieces(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10))
  const [sinceMajor, sinceMinor] = LARGE_PIECES_SINCE
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor)
}
