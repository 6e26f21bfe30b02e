/**
 * Zeroing, giving space back, and seeing holes, by the best means that the disk has.
 *
 * Owns the choice of means and remembers what a disk refused. Never trusts a plain discard: `fallocate` with PUNCH_HOLE
 * is used for files and for block devices alike, because the kernel then either promises zeros or refuses; after a bare
 * BLKDISCARD a device may read as anything. What is refused is written as zeros.
 */
import type { Ffi } from './ffi.js'
import type { DiskExtent } from './disk.js'
import { writeZerosFully } from './node-disk-io.js'

/** One call is kept this short in bytes, so that a slow device does not hold a worker thread for long. */
const CALL_BYTES_MAX = 64 * 1024 * 1024
/** Answers that mean "not by this way", as opposed to a failure of the medium. */
const REFUSALS: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EINVAL', 'ENODEV', 'EPERM', 'EBUSY'])

type Means = 'punchHole' | 'zeroRange'

/** The means of one open disk. */
export class DiskSpace {
  readonly #fd: number
  readonly #ffi: Ffi | null
  readonly #blockDevice: boolean
  readonly #sectorBytes: number
  readonly #refused = new Set<Means>()

  constructor(fd: number, ffi: Ffi | null, blockDevice: boolean, sectorBytes: number) {
    this.#fd = fd
    this.#ffi = ffi
    this.#blockDevice = blockDevice
    this.#sectorBytes = sectorBytes
  }

  /** True unless it is known that `discard` only writes zeros. */
  get givesBack(): boolean {
    return this.#ffi !== null && !this.#refused.has('punchHole')
  }

  /** The range reads as zeros afterwards; its space is given back where that can be had. */
  discard(offset: number, length: number): Promise<void> {
    return this.#zero(offset, length, ['punchHole', 'zeroRange'])
  }

  /** The range reads as zeros afterwards; its space is kept. */
  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#zero(offset, length, ['zeroRange'])
  }

  /** Runs of data and holes that fill the range; null if this disk cannot tell. */
  async extents(offset: number, length: number): Promise<readonly DiskExtent[] | null> {
    const ffi = this.#ffi
    if (ffi === null || this.#blockDevice) return null
    const end = offset + length
    const runs: DiskExtent[] = []
    for (let at = offset; at < end;) {
      const data = Math.min((await ffi.seekData(this.#fd, at)) ?? end, end)
      if (data > at) runs.push({ length: data - at, hole: true })
      if (data >= end) break
      const hole = Math.min((await ffi.seekHole(this.#fd, data)) ?? end, end)
      // A writer may have made a hole of it meanwhile: data is the safe answer, and the loop has to move on.
      const stop = Math.max(hole, Math.min(end, data + this.#sectorBytes))
      runs.push({ length: stop - data, hole: false })
      at = stop
    }
    return runs
  }

  async #zero(offset: number, length: number, means: readonly Means[]): Promise<void> {
    // The kernel takes whole sectors of a block device only; the edges are written.
    const unit = this.#blockDevice ? this.#sectorBytes : 1
    const start = Math.min(Math.ceil(offset / unit) * unit, offset + length)
    const end = Math.max(Math.floor((offset + length) / unit) * unit, start)
    if (start > offset) await writeZerosFully(this.#fd, offset, start - offset)
    for (let at = start; at < end;) {
      const count = Math.min(CALL_BYTES_MAX, end - at)
      await this.#zeroPiece(at, count, means)
      at += count
    }
    if (offset + length > end) await writeZerosFully(this.#fd, end, offset + length - end)
  }

  async #zeroPiece(offset: number, length: number, means: readonly Means[]): Promise<void> {
    for (const way of means) {
      if (this.#ffi === null || this.#refused.has(way)) continue
      try {
        await this.#ffi[way](this.#fd, offset, length)
        return
      } catch (error) {
        if (!REFUSALS.has((error as NodeJS.ErrnoException).code ?? '')) throw error
        this.#refused.add(way)
      }
    }
    await writeZerosFully(this.#fd, offset, length)
  }
}
