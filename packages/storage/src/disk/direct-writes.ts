/**
 * Large writes past the page cache.
 *
 * What is written in bulk and seldom read again costs twice in the page cache: pages are found for it and filled, and are
 * written out later. Such a write goes to the medium from memory of our own instead, through a second descriptor of the
 * same file (O_DIRECT). Owns that descriptor, and the knowledge whether this file can do it at all. Never changes what a
 * write means: when it has returned, reads see it, and only a sync makes it durable. The system keeps cached pages of the
 * file in step, as long as nobody makes them dirty meanwhile; a page may be larger than a block and lie half in what is
 * written. So writes past the cache and writes through it take turns. Whatever cannot be written so (a place, a length, a
 * file system) is left to the page cache.
 */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { assert } from '@sitelink/protocol/entry'
import type { Ffi } from './ffi.js'
import { writeFully } from './node-disk-io.js'

/** Smaller writes are cheaper through the page cache, which also gathers them. */
export const DIRECT_BYTES_MIN = 256 * 1024
/** Place, length and memory are multiples of it: the largest sector that media have. */
const ALIGN_BYTES = 4096
/** Bytes of one piece of memory, and how many of them all disks of a process use at once. */
const STAGE_BYTES = 1024 * 1024
const STAGES_MAX = 8
/** A file system, kernel or medium that does not take such writes says one of these. */
const NEVER = new Set(['EINVAL', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS'])

/** Memory that a medium can read from, for all disks of a process. */
export class Stages {
  readonly #addressOf: Ffi['addressOf']
  readonly #free: Buffer[] = []
  readonly #waiting: ((stage: Buffer) => void)[] = []
  #made = 0

  constructor(addressOf: Ffi['addressOf']) {
    this.#addressOf = addressOf
  }

  /** Resolves when there is one that nobody uses, in order of asking. */
  async take(): Promise<Buffer> {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#made === STAGES_MAX) return new Promise((resolve) => this.#waiting.push(resolve))
    this.#made += 1
    const memory = Buffer.allocUnsafeSlow(STAGE_BYTES + ALIGN_BYTES)
    const over = Number(this.#addressOf(memory) % BigInt(ALIGN_BYTES))
    const from = over === 0 ? 0 : ALIGN_BYTES - over
    return memory.subarray(from, from + STAGE_BYTES)
  }

  giveBack(stage: Buffer): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free.push(stage)
    else next(stage)
  }
}

/** The large writes of one file. */
export class DirectWrites {
  readonly #fd: number
  readonly #stages: Stages
  #handle: Promise<FileHandle | null> | null = null
  #works = true
  /** Writes under way past the cache, and through it. */
  #past = 0
  #through = 0
  #turn: (() => void)[] = []

  /** `fd`: an open descriptor of the file, which stays open as long as this is used. */
  constructor(fd: number, stages: Stages) {
    this.#fd = fd
    this.#stages = stages
  }

  /** Whether a write of this range should be made here, as far as is known. */
  takes(offset: number, length: number): boolean {
    return this.#works && length >= DIRECT_BYTES_MIN && offset % ALIGN_BYTES === 0 && length % ALIGN_BYTES === 0
  }

  /** Writes are under way past the cache: who would write through it waits for its turn. */
  get busy(): boolean {
    return this.#past > 0
  }

  /** Resolves when a write past the cache, or through it, may begin; {@link leave} ends it. */
  async enter(past: boolean): Promise<void> {
    while ((past ? this.#through : this.#past) > 0) await new Promise<void>((go) => this.#turn.push(go))
    if (past) this.#past += 1
    else this.#through += 1
  }

  leave(past: boolean): void {
    if (past) this.#past -= 1
    else this.#through -= 1
    if ((past ? this.#past : this.#through) > 0) return
    const waiting = this.#turn
    this.#turn = []
    for (const go of waiting) go()
  }

  /**
   * Writes the buffers, `length` bytes, one after the other from `offset`. False: it cannot be done here; the range then
   * holds anything. Between {@link enter} and {@link leave} only.
   */
  async write(chunks: readonly Buffer[], offset: number, length: number): Promise<boolean> {
    this.#handle ??= this.#open()
    const handle = await this.#handle
    if (handle === null) return false
    const stage = await this.#stages.take()
    try {
      let at = offset
      for (const filled of fillings(chunks, stage)) {
        await writeFully(handle.fd, [filled], at)
        at += filled.length
      }
      assert(at === offset + length, 'buffers stay until they are written')
      return true
    } catch (error) {
      if (!NEVER.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      this.#works = false
      return false
    } finally {
      this.#stages.giveBack(stage)
    }
  }

  /** Never rejects: what became of the bytes is what a sync of the first descriptor says. */
  async close(): Promise<void> {
    const handle = await this.#handle
    await handle?.close().catch(() => {})
  }

  /** Its path may name another file by now; the descriptor does not. */
  async #open(): Promise<FileHandle | null> {
    try {
      return await open(`/proc/self/fd/${this.#fd}`, constants.O_RDWR | constants.O_DIRECT)
    } catch {
      this.#works = false
      return null
    }
  }
}

/** The bytes of the buffers, in memory of the stage: as much as it holds, again and again. */
function* fillings(chunks: readonly Buffer[], stage: Buffer): Generator<Buffer> {
  let filled = 0
  for (const chunk of chunks) {
    for (let from = 0; from < chunk.length;) {
      const count = chunk.copy(stage, filled, from)
      from += count
      filled += count
      if (filled < stage.length) continue
      yield stage
      filled = 0
    }
  }
  if (filled > 0) yield stage.subarray(0, filled)
}
