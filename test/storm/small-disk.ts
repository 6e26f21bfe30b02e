/**
 * A small filesystem of its own, in a file behind a loop device, that can be filled to the last block and freed again.
 *
 * Owns the file, the mount and the mount point, outside of every folder that somebody removes with what is in it. The loop
 * device goes with the mount. All of it is taken down at the end of the process too, whatever happened in it.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { findProgram } from '../support/clients.js'
import { mustRun } from '../support/program.js'

const MIB = 1024 * 1024
const BALLAST_CHUNK_BYTES = MIB
const BLOCK_BYTES = 4096

const standing = new Set<SmallDisk>()
process.on('exit', () => {
  for (const disk of standing) disk.abandon()
})

/** Why there can be none here, or null. */
export function smallDiskProblem(): string | null {
  if (process.getuid?.() !== 0) return 'mounting needs root'
  if (!existsSync('/dev/loop-control')) return 'there are no loop devices'
  for (const name of ['mkfs.ext4', 'mount', 'umount']) if (findProgram(name) === null) return `there is no ${name}`
  return null
}

export class SmallDisk {
  readonly #top: string
  /** The filesystem's root. */
  readonly folder: string
  #mounted = false
  #full = false

  private constructor(label: string) {
    this.#top = mkdtempSync(join(tmpdir(), `sitelink-disk-${label}-`))
    this.folder = join(this.#top, 'mounted')
  }

  static async make(label: string, sizeBytes: number): Promise<SmallDisk> {
    const disk = new SmallDisk(label)
    standing.add(disk)
    try {
      const image = join(disk.#top, 'image')
      writeFileSync(image, '')
      truncateSync(image, sizeBytes)
      mkdirSync(disk.folder)
      await mustRun(findProgram('mkfs.ext4') ?? 'mkfs.ext4', ['-q', '-F', '-m', '0', image])
      await mustRun(findProgram('mount') ?? 'mount', ['-o', 'loop', image, disk.folder])
      disk.#mounted = true
      return disk
    } catch (error) {
      disk.abandon()
      throw error
    }
  }

  get full(): boolean {
    return this.#full
  }

  /** Takes every block that is free. */
  fill(): void {
    this.#full = true
    const chunk = Buffer.alloc(BALLAST_CHUNK_BYTES, 0xbb)
    const file = openSync(this.#ballast, 'a')
    try {
      for (let bytes = chunk.length; bytes >= BLOCK_BYTES;) {
        try {
          if (writeSync(file, chunk, 0, bytes) < bytes) bytes /= 2
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
          bytes /= 2
        }
      }
    } finally {
      closeSync(file)
    }
  }

  /** Gives them back. */
  free(): void {
    rmSync(this.#ballast, { force: true })
    this.#full = false
  }

  /** Unmounts and removes it. Nobody may use it any more. */
  async remove(): Promise<void> {
    if (this.#mounted) await mustRun(findProgram('umount') ?? 'umount', [this.folder])
    this.#mounted = false
    this.abandon()
  }

  /** The same without waiting for whoever still uses it: for the way out after a failure. */
  abandon(): void {
    if (this.#mounted) {
      const lazy = spawnSync(findProgram('umount') ?? 'umount', ['--lazy', this.folder])
      // What could not be unmounted is not removed through its mount point.
      if (lazy.status !== 0) return
    }
    this.#mounted = false
    rmSync(this.#top, { recursive: true, force: true })
    standing.delete(this)
  }

  get #ballast(): string {
    return join(this.folder, 'ballast')
  }
}
