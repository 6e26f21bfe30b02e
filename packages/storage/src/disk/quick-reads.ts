/**
 * Small reads of what is in the page cache, without the thread pool.
 *
 * The kernel answers such a read at once with what it has, and says so where a medium would have to be waited for: that
 * read is then made as every other one. Owns the bounds that keep the event loop moving (a size, and the share of a turn
 * that {@link QuickTurn} gives to all disks together) and the knowledge whether this disk can do it at all. Never waits
 * for a medium, and never takes a part of what was asked for as the whole.
 */
import { constants } from 'node:os'
import type { Ffi } from './ffi.js'
import type { QuickTurn } from './quick-writes.js'

/** Larger reads always go through the thread pool. */
export const QUICK_READ_BYTES_MAX = 64 * 1024
/** A file system, kernel or C library without such reads says one of these. */
const NEVER = new Set([constants.errno.EOPNOTSUPP, constants.errno.ENOSYS, constants.errno.EINVAL])

export class QuickReads {
  readonly #readCached: NonNullable<Ffi['readCached']>
  readonly #turn: QuickTurn
  #works = true

  constructor(readCached: NonNullable<Ffi['readCached']>, turn: QuickTurn) {
    this.#readCached = readCached
    this.#turn = turn
  }

  /** True if all of `into` was filled. Else it holds anything. */
  fill(fd: number, into: Buffer, offset: number): boolean {
    return this.#takes(into) && !this.#turn.isSpent && this.#try(fd, into, offset)
  }

  /** As {@link fill}, for what only missed its share of this turn: in one of the next. False at once for everything else. */
  async fillLater(fd: number, into: Buffer, offset: number): Promise<boolean> {
    if (!this.#takes(into) || !this.#turn.isSpent) return false
    while (this.#turn.isSpent) await this.#turn.next()
    return this.#try(fd, into, offset)
  }

  #takes(into: Buffer): boolean {
    return this.#works && into.length > 0 && into.length <= QUICK_READ_BYTES_MAX
  }

  #try(fd: number, into: Buffer, offset: number): boolean {
    const { clock } = this.#turn
    const startMs = clock.nowMs()
    const got = this.#readCached(fd, into, offset)
    this.#turn.spend(clock.nowMs() - startMs)
    if (got < 0 && NEVER.has(-got)) this.#works = false
    return got === into.length
  }
}
