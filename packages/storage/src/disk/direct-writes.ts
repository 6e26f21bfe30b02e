/**
 * Large writes past the page cache.
 *
 * What is written in bulk and seldom read again costs twice in the page cache: pages are found for it and filled, and are
 * written out later. Such a write goes to the medium from memory of our own instead, through a second descriptor of the
 * same file (O_DIRECT). Owns that descriptor, and the knowledge whether this file can do it at all. Never changes what a
 * write means: when it has returned, reads see it, and only a sync makes it durable. The system keeps cached pages of the
 * file in step. Whatever cannot be written so (a place, a length, a file system) is left to the page cache.
 */
import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
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
  #made = 0

  constructor(addressOf: Ffi['addressOf']) {
    this.#addressOf = addressOf
  }

  /** Null while all are in use. */
  take(): Buffer | null {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#made === STAGES_MAX) return null
    this.#made += 1
    const memory = Buffer.allocUnsafeSlow(STAGE_BYTES + ALIGN_BYTES)
    const over = Number(this.#addressOf(memory) % BigInt(ALIGN_BYTES))
    const from = over === 0 ? 0 : ALIGN_BYTES - over
    return memory.subarray(from, from + STAGE_BYTES)
  }

  giveBack(stage: Buffer): void {
    this.#free.push(stage)
  }
}

/** The large writes of one file. */
export class DirectWrites {
  readonly #fd: number
  readonly #stages: Stages
  #handle: Promise<FileHandle | null> | null = null
  #works = true

  /** `fd`: an open descriptor of the file, which stays open as long as this is used. */
  constructor(fd: number, stages: Stages) {
    this.#fd = fd
    this.#stages = stages
  }

  /** Whether a write of this range should be made here, as far as is known. */
  takes(offset: number, length: number): boolean {
    return this.#works && length >= DIRECT_BYTES_MIN && offset % ALIGN_BYTES === 0 && length % ALIGN_BYTES === 0
  }

  /** Writes the buffers one after the other from `offset`. False: it cannot be done here; the range then holds anything. */
  async write(chunks: readonly Buffer[], offset: number): Promise<boolean> {
    this.#handle ??= this.#open()
    const handle = await this.#handle
    const stage = handle === null ? null : this.#stages.take()
    if (handle === null || stage === null) return false
    try {
      let at = offset
      for (const filled of fillings(chunks, stage)) {
        await writeFully(handle.fd, [filled], at)
        at += filled.length
      }
      return true
    } catch (error) {
      if (!NEVER.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      this.#works = false
      return false
    } finally {
      this.#stages.giveBack(stage)
    }
  }

  async close(): Promise<void> {
    const handle = await this.#handle
    await handle?.close()
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
