/**
 * Large pieces of a file in the page cache, split before small writes go into them.
 *
 * Some file systems (ext4 since Linux 6.16) keep what one large write or read brought in as one piece, and go through the
 * list of all its blocks for every small write into it: 20 us where 2 would do. Owns the knowledge where that was looked
 * after: one bit for each window of a file. Content, order and what is durable are not touched by it, a medium is never
 * waited for, and where it cannot be done nothing but speed is lost.
 */
import { statfs } from 'node:fs/promises'
import { release } from 'node:os'
import type { Ffi } from './ffi.js'

/** Pieces are as large as a power of two and lie at multiples of it: who has the first page of a window has all that cover it. */
export const WINDOW_BYTES = 256 * 1024
/** Larger writes hardly feel the size of the piece that they go to. */
const SMALL_BYTES_MAX = 64 * 1024
/** `f_type` of ext2, ext3 and ext4: linux/magic.h. */
const EXT_MAGIC = 0xef53
const LARGE_PIECES_SINCE = [6, 16] as const

/** Splits the piece that holds a page of a file, if it is one, clean, and nobody else uses it. */
type Split = NonNullable<Ffi['splitPiece']>

export class CachePieces {
  readonly #fd: number
  readonly #split: Split
  /** A bit for each window: small writes have come to it since the last large one. */
  #seen = new Uint32Array(0)

  constructor(fd: number, split: Split) {
    this.#fd = fd
    this.#split = split
  }

  /** For the file at `path`, open as `fd`; null where its pieces are small, or cannot be split. */
  static async of(path: string, fd: number, ffi: Ffi | null, kernel = release()): Promise<CachePieces | null> {
    const split = ffi?.splitPiece ?? null
    if (split === null || !hasLargePieces(kernel)) return null
    const { type } = await statfs(path)
    return type === EXT_MAGIC ? new CachePieces(fd, split) : null
  }

  /** A write is about to be made through the page cache. */
  before(offset: number, length: number): void {
    if (length === 0 || (length > SMALL_BYTES_MAX && length < WINDOW_BYTES)) return
    const last = Math.floor((offset + length - 1) / WINDOW_BYTES)
    for (let window = Math.floor(offset / WINDOW_BYTES); window <= last; window++) {
      const at = window >>> 5
      const bit = 1 << (window & 31)
      if (at >= this.#seen.length) this.#grow(at)
      const seen = this.#seen[at] as number
      if (length >= WINDOW_BYTES) this.#seen[at] = seen & ~bit
      else if ((seen & bit) === 0) {
        this.#seen[at] = seen | bit
        this.#split(this.#fd, window * WINDOW_BYTES)
      }
    }
  }

  #grow(at: number): void {
    const grown = new Uint32Array(Math.max(at + 1, this.#seen.length * 2))
    grown.set(this.#seen)
    this.#seen = grown
  }
}

/** Whether ext4 of this kernel keeps large pieces. `kernel`: as `uname -r` says. */
export function hasLargePieces(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map((part) => Number.parseInt(part, 10))
  const [sinceMajor, sinceMinor] = LARGE_PIECES_SINCE
  return major > sinceMajor || (major === sinceMajor && minor >= sinceMinor)
}
