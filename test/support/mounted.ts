/**
 * A filesystem on an NBD export, mounted as any other: nbdfuse shows the export as a file, a loop device makes a block
 * device of it.
 *
 * Owns the three layers and takes them down in order, however far it got and whatever failed; what it mounted is also
 * taken down when the test process ends by an exception.
 */
import { mkdirSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { spawnSync } from 'node:child_process'
import { mustRun, Program, runCommand } from './program.js'
import { waitFor } from './wait-for.js'

export interface MountTools {
  readonly nbdfuse: string
  readonly losetup: string
  readonly mount: string
  readonly fusermount3: string
}

const standing = new Set<LoopedExport>()
process.on('exit', () => {
  for (const each of standing) each.abandon()
})

/** A block device whose bytes are an export. */
export class LoopedExport {
  device = ''
  #fuse: Program | null = null
  #mounted: string | null = null
  readonly #fuseFolder: string

  private constructor(
    private readonly tools: MountTools,
    private readonly folder: string,
  ) {
    this.#fuseFolder = join(folder, 'fuse')
  }

  static async attach(tools: MountTools, folder: string, uri: string): Promise<LoopedExport> {
    const looped = new LoopedExport(tools, folder)
    standing.add(looped)
    try {
      mkdirSync(looped.#fuseFolder, { recursive: true })
      const file = join(looped.#fuseFolder, 'disk')
      const fuse = (looped.#fuse = Program.start('nbdfuse', tools.nbdfuse, [file, uri]))
      await waitFor('nbdfuse to show the export', () => fuse.exit !== null || existsSync(file))
      if (fuse.exit !== null) throw new Error(`nbdfuse ended: ${fuse.output}`)
      looped.device = (await mustRun(tools.losetup, ['--find', '--show', file])).stdout.trim()
      return looped
    } catch (error) {
      await looped.detach().catch(() => {})
      throw error
    }
  }

  /** Mounts the filesystem on it and answers where. */
  async mount(options: readonly string[] = []): Promise<string> {
    const place = join(this.folder, 'mounted')
    mkdirSync(place, { recursive: true })
    await mustRun(this.tools.mount, [...(options.length > 0 ? ['-o', options.join(',')] : []), this.device, place])
    this.#mounted = place
    return place
  }

  async unmount(): Promise<void> {
    if (this.#mounted === null) return
    await mustRun('umount', [this.#mounted])
    this.#mounted = null
  }

  /** Takes everything down; afterwards every write has been answered by the export. */
  async detach(): Promise<void> {
    await this.unmount()
    if (this.device !== '') {
      await mustRun(this.tools.losetup, ['--detach', this.device])
      const { device } = this
      await waitFor('the loop device to be free', async () => {
        const { stdout } = await runCommand(this.tools.losetup, ['--noheadings', '--output', 'BACK-FILE', device])
        return stdout.trim() === ''
      })
      this.device = ''
    }
    if (this.#fuse !== null) {
      if (this.#fuse.exit === null) await mustRun(this.tools.fusermount3, ['-u', this.#fuseFolder])
      await this.#fuse.ended
      this.#fuse = null
    }
    standing.delete(this)
  }

  /**
   * The same without waiting for anything: for the way out after a failure. nbdfuse goes first, so that what is still
   * written fails: the export may be served by this very process, which answers nothing any more.
   */
  abandon(): void {
    this.#fuse?.signal('SIGKILL')
    if (this.#mounted !== null) spawnSync('umount', ['--lazy', this.#mounted])
    if (this.device !== '') spawnSync(this.tools.losetup, ['--detach', this.device])
    if (this.#fuse !== null) spawnSync(this.tools.fusermount3, ['-u', '-z', this.#fuseFolder])
    standing.delete(this)
  }
}
