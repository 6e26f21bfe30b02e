/**
 * Real disks: the {@link DiskProvider} over the file system of this host.
 *
 * Owns what is done to names: opening, creating, replacing and removing. What it created, replaced or removed is durable
 * when it returns, the directory included. It never overwrites what exists, except by `replaceFile`, which is atomic.
 * Files are made for their owner alone (mode 0600).
 */
import { constants } from 'node:fs'
import { open, readFile, realpath, rename, unlink, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Clock } from '@sitelink/protocol/entry'
import { Stages } from './direct-writes.js'
import { DiskError, toDiskError } from './disk-error.js'
import type { DiskProvider, OpenOptions } from './disk.js'
import { systemCalls, type Ffi } from './ffi.js'
import { CREATE_FLAGS, identityOf, kindOf, statPath } from './node-disk-block.js'
import { dataSync, writeFully, writeZerosFully } from './node-disk-io.js'
import { NodeDisk, type HostMeans } from './node-disk.js'
import { QuickTurn } from './quick-writes.js'

const FILE_MODE = 0o600
/** A new file is synced each time so many bytes were added: its progress is then true, and the page cache stays small. */
const SYNC_EVERY_BYTES = 128 * 1024 * 1024

export interface CreateOptions extends OpenOptions {
  readonly preallocate?: boolean
  readonly progress?: (bytes: number) => void
}

export class NodeDiskProvider implements DiskProvider {
  readonly #means: HostMeans
  /** Replacements of one path go one after the other. */
  readonly #replacing = new Map<string, Promise<void>>()

  /** `ffi: null` does without the optional system calls; without a clock every write goes through the thread pool. */
  constructor(options: { readonly ffi?: Ffi | null; readonly clock?: Pick<Clock, 'nowMs' | 'soon'> } = {}) {
    const { ffi = systemCalls(), clock } = options
    const turn = clock === undefined ? null : new QuickTurn(clock)
    this.#means = { ffi, turn, stages: ffi === null ? null : new Stages(ffi.addressOf) }
  }

  open(path: string, options: OpenOptions = {}): Promise<NodeDisk> {
    return NodeDisk.open(path, options, this.#means)
  }

  async create(path: string, sizeBytes: number, options: CreateOptions = {}): Promise<NodeDisk> {
    let handle: FileHandle
    try {
      handle = await open(path, CREATE_FLAGS, FILE_MODE)
    } catch (error) {
      throw toDiskError(error, path, 'cannot create')
    }
    let disk: NodeDisk | undefined
    try {
      await handle.truncate(sizeBytes)
      // Owned and locked before it takes long.
      disk = await NodeDisk.adopt(handle, path, options, this.#means)
      if (options.preallocate === true) await this.#fill(handle, sizeBytes, options.progress)
      await handle.sync()
      await syncDirectory(dirname(path))
      return disk
    } catch (error) {
      await (disk ?? handle).close().catch(() => undefined)
      await unlink(path).catch(() => undefined)
      throw toDiskError(error, path, 'cannot create')
    }
  }

  async exists(path: string): Promise<'file' | 'block-device' | null> {
    try {
      return kindOf(await statPath(path, 'cannot look at'), path, 'cannot use')
    } catch (error) {
      if (error instanceof DiskError && error.code === 'DISK_MISSING') return null
      throw error
    }
  }

  async identify(path: string): Promise<string> {
    return identityOf(await statPath(path, 'cannot look at'))
  }

  async readFile(path: string): Promise<Buffer | null> {
    try {
      return await readFile(path)
    } catch (error) {
      const failure = toDiskError(error, path, 'cannot read')
      if (failure.code === 'DISK_MISSING') return null
      throw failure
    }
  }

  async replaceFile(path: string, content: Buffer): Promise<void> {
    const before = this.#replacing.get(path) ?? Promise.resolve()
    const done = before.then(() => replaceFile(path, content))
    const settled = done.catch(() => undefined)
    this.#replacing.set(path, settled)
    void settled.then(() => {
      if (this.#replacing.get(path) === settled) this.#replacing.delete(path)
    })
    try {
      await done
    } catch (error) {
      throw toDiskError(error, path, 'cannot replace')
    }
  }

  async removeFile(path: string): Promise<void> {
    try {
      await unlink(path)
    } catch (error) {
      const failure = toDiskError(error, path, 'cannot remove')
      if (failure.code === 'DISK_MISSING') return
      throw failure
    }
    await syncDirectory(dirname(path)).catch((error: unknown) => {
      throw toDiskError(error, path, 'cannot remove')
    })
  }

  /** Writes every byte once, so that no later write needs space or a change of the file's map. */
  async #fill(handle: FileHandle, sizeBytes: number, progress?: (bytes: number) => void): Promise<void> {
    // Asking for all of the space first makes a full disk known at once. A file system that cannot is simply filled.
    if (sizeBytes > 0) {
      await this.#means.ffi?.reserve(handle.fd, 0, sizeBytes).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOSPC' || error.code === 'EDQUOT' || error.code === 'EFBIG') throw error
      })
    }
    for (let at = 0; at < sizeBytes;) {
      const count = Math.min(SYNC_EVERY_BYTES, sizeBytes - at)
      const start = at
      await writeZerosFully(handle.fd, at, count, (bytes) => progress?.(start + bytes))
      await dataSync(handle.fd)
      at += count
    }
  }
}

async function replaceFile(path: string, content: Buffer): Promise<void> {
  // A symlink keeps pointing: what it points to is replaced.
  const target = await realpath(path).catch(() => path)
  const temporary = join(dirname(target), `.${basename(target)}.new`)
  await unlink(temporary).catch(() => undefined)
  const handle = await open(temporary, CREATE_FLAGS, FILE_MODE)
  try {
    try {
      await writeFully(handle.fd, [content], 0)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, target)
  } catch (error) {
    await unlink(temporary).catch(() => undefined)
    throw error
  }
  await syncDirectory(dirname(target))
}

/** Makes the names in a directory durable. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } catch (error) {
    // A file system that cannot sync a directory says so with EINVAL; there is nothing better to be had on it.
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error
  } finally {
    await handle.close()
  }
}
