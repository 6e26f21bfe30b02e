/**
 * A {@link Disk} over a real file or block device, through the page cache.
 *
 * Owns one open descriptor and its lock. Never keeps data of its own: what a write returned for is the kernel's. A sync
 * is `fdatasync`, once, its failure reported once; nothing is retried here, because a repeated sync proves nothing.
 * Every failure is a {@link DiskError}.
 */
import { open, type FileHandle } from 'node:fs/promises'
import { assert } from '@sitelink/protocol/entry'
import { CachePieces } from './cache-pieces.js'
import { DirectWrites, type Stages } from './direct-writes.js'
import { DiskError, toDiskError } from './disk-error.js'
import type { Disk, DiskExtent, OpenOptions } from './disk.js'
import type { Ffi } from './ffi.js'
import { blockDeviceFacts, identityOf, kindOf, openFlags, statPath, type DiskKind } from './node-disk-block.js'
import { dataSync, readFully, writeFully, writeFullySync } from './node-disk-io.js'
import { lockFile, type FileLock } from './node-disk-lock.js'
import { DiskSpace } from './node-disk-space.js'
import { QuickReads } from './quick-reads.js'
import { QuickDisk, type QuickTurn } from './quick-writes.js'
import { SyncTurns } from './sync-turns.js'

/** What a disk has of its process: system calls that Node lacks, a share of each turn, memory for large writes. All optional. */
export interface HostMeans {
  readonly ffi: Ffi | null
  readonly turn: QuickTurn | null
  readonly stages: Stages | null
}

interface Opened {
  readonly handle: FileHandle
  readonly path: string
  readonly kind: DiskKind
  readonly identity: string
  readonly sizeBytes: number
  readonly sectorBytes: number
  readonly readOnly: boolean
  readonly lock: FileLock | null
  readonly means: HostMeans
  readonly direct: boolean
  readonly pieces: CachePieces | null
}

/** A file says 512: what lies under its file system, and may tear there, is not known. */
const FILE_SECTOR_BYTES = 512

export class NodeDisk implements Disk {
  readonly description: string
  readonly sectorBytes: number
  readonly kind: DiskKind
  /** The same for every path to this file or device. */
  readonly identity: string
  readonly readOnly: boolean
  #sizeBytes: number
  readonly #handle: FileHandle
  readonly #fd: number
  readonly #ffi: Ffi | null
  readonly #lock: FileLock | null
  readonly #space: DiskSpace
  readonly #quick: QuickDisk | null
  readonly #direct: DirectWrites | null
  readonly #pieces: CachePieces | null
  readonly #quickReads: QuickReads | null
  readonly #syncs: SyncTurns
  #underWayCount = 0
  #closing: Promise<void> | null = null
  #idle: (() => void) | null = null

  private constructor(opened: Opened) {
    this.description = opened.path
    this.kind = opened.kind
    this.identity = opened.identity
    this.readOnly = opened.readOnly
    this.sectorBytes = opened.sectorBytes
    this.#sizeBytes = opened.sizeBytes
    this.#handle = opened.handle
    this.#fd = opened.handle.fd
    const { ffi, turn, stages } = opened.means
    this.#ffi = ffi
    this.#lock = opened.lock
    this.#quick = turn === null ? null : new QuickDisk(turn)
    this.#direct = opened.direct && stages !== null ? new DirectWrites(this.#fd, stages) : null
    this.#pieces = opened.pieces
    const readCached = ffi?.readCached ?? null
    this.#quickReads = turn === null || readCached === null ? null : new QuickReads(readCached, turn)
    this.#syncs = new SyncTurns((whole) => (whole ? this.#handle.sync() : dataSync(this.#fd)))
    this.#space = new DiskSpace(this.#fd, ffi, opened.kind === 'block-device', opened.sectorBytes)
  }

  /** Opens what is at `path`. Rejects: DISK_MISSING, _IN_USE, _NOT_PERMITTED, _READ_ONLY, _NOT_A_DEVICE. */
  static async open(path: string, options: OpenOptions, means: HostMeans): Promise<NodeDisk> {
    // Looked at before it is opened: the open of a named pipe would wait for its other end.
    const kind = kindOf(await statPath(path, 'cannot open'), path, 'cannot open')
    let handle: FileHandle
    try {
      handle = await open(path, openFlags(kind, options.readOnly === true, options.exclusive === true))
    } catch (error) {
      throw toDiskError(error, path, 'cannot open')
    }
    return NodeDisk.adopt(handle, path, options, means)
  }

  /** Makes a disk of an open handle, which it then owns; closes it if that fails. */
  static async adopt(handle: FileHandle, path: string, options: OpenOptions, means: HostMeans): Promise<NodeDisk> {
    const { ffi } = means
    try {
      const stats = await handle.stat({ bigint: true })
      const kind = kindOf(stats, path, 'cannot open')
      const identity = identityOf(stats)
      const readOnly = options.readOnly === true
      const lock = kind === 'file' && options.exclusive === true ? await lockFile(handle.fd, identity, path, ffi) : null
      const ownMeans = options.mayHang === true ? { ...means, turn: null } : means
      const direct = options.direct === true && !readOnly
      const scattered = options.scattered === true && !readOnly
      const pieces = scattered ? await CachePieces.of(path, kind, handle.fd, ownMeans) : null
      const common = { handle, path, kind, identity, readOnly, lock, means: ownMeans, direct, pieces }
      if (kind === 'file')
        return new NodeDisk({ ...common, sizeBytes: Number(stats.size), sectorBytes: FILE_SECTOR_BYTES })
      const facts = await blockDeviceFacts(stats, handle.fd, path, ffi)
      if (facts.readOnly && !readOnly) throw new DiskError('DISK_READ_ONLY', path, 'cannot open for writing')
      return new NodeDisk({ ...common, sizeBytes: facts.sizeBytes, sectorBytes: facts.sectorBytes })
    } catch (error) {
      await handle.close().catch(() => undefined)
      throw toDiskError(error, path, 'cannot open')
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** True unless it is known that `discard` only writes zeros here. */
  get canDiscard(): boolean {
    return this.#space.givesBack && !this.readOnly
  }

  /** By itself, not through {@link #run}: a closure for each read is compiled anew after each collection of the whole heap. */
  async read(into: Buffer, offset: number): Promise<void> {
    const { length } = into
    this.#refuse('read', offset, length)
    this.#underWayCount++
    try {
      if ((await this.#quickReads?.fillLater(this.#fd, into, offset)) === true) return
      const got = await readFully(this.#fd, into, offset)
      if (got < length)
        throw new DiskError('DISK_RANGE', this.description, 'cannot read', {
          offset: offset + got,
          length: length - got,
        })
    } catch (error) {
      throw toDiskError(error, this.description, 'cannot read', { offset, length })
    } finally {
      this.#ended()
    }
  }

  readNow(into: Buffer, offset: number): boolean {
    const quick = this.#quickReads
    if (quick === null || this.#closing !== null || offset < 0 || offset + into.length > this.#sizeBytes) return false
    return quick.fill(this.#fd, into, offset)
  }

  /** Without closures, as {@link read}. What is quick is made in the calling thread, now or when it has its turn. */
  async write(chunks: readonly Buffer[], offset: number): Promise<void> {
    const length = lengthOf(chunks)
    const direct = this.#direct
    const past = direct !== null && direct.takes(offset, length)
    const quick = !past && this.#quick?.takes(length) === true ? this.#quick : null
    if (quick !== null && !quick.mustWait && direct?.busy !== true)
      return this.#writeHere(quick, chunks, offset, length)
    this.#refuse('write', offset, length)
    this.#underWayCount++
    try {
      if (direct !== null) await direct.enter(past)
      if (past && (await direct.write(chunks, offset, length))) return
      if (quick !== null) await quick.next()
      // Whatever gave a buffer back meanwhile must not let others take its place.
      assert(lengthOf(chunks) === length, 'buffers stay until they are written')
      this.#pieces?.before(offset, length, quick !== null)
      if (quick === null) await writeFully(this.#fd, chunks, offset)
      else quick.make(writeFullySync, this.#fd, chunks, offset)
    } catch (error) {
      throw toDiskError(error, this.description, 'cannot write', { offset, length })
    } finally {
      direct?.leave(past)
      this.#ended()
    }
  }

  writeNow(chunks: readonly Buffer[], offset: number): boolean {
    const quick = this.#quick
    if (quick === null || quick.mustWait) return false
    const length = lengthOf(chunks)
    if (!quick.takes(length) || this.#leavesToDirect(offset, length)) return false
    this.#writeHere(quick, chunks, offset, length)
    return true
  }

  #writeHere(quick: QuickDisk, chunks: readonly Buffer[], offset: number, length: number): void {
    this.#refuse('write', offset, length)
    this.#pieces?.before(offset, length, true)
    try {
      quick.make(writeFullySync, this.#fd, chunks, offset)
    } catch (error) {
      throw toDiskError(error, this.description, 'cannot write', { offset, length })
    }
  }

  #leavesToDirect(offset: number, length: number): boolean {
    const direct = this.#direct
    return direct !== null && (direct.busy || direct.takes(offset, length))
  }

  sync(): Promise<void> {
    return this.#run('sync', 0, 0, () => this.#syncs.sync())
  }

  async uncache(): Promise<void> {
    const { uncache = null } = this.#ffi ?? {}
    // Only memory and speed depend on it.
    if (uncache !== null) await this.#run('uncache', 0, 0, () => uncache(this.#fd)).catch(() => {})
    this.#pieces?.forget()
  }

  discard(offset: number, length: number): Promise<void> {
    return this.#run('discard', offset, length, () => this.#space.discard(offset, length))
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#run('zero', offset, length, () => this.#space.writeZeroes(offset, length))
  }

  async extents(offset: number, length: number): Promise<readonly DiskExtent[] | null> {
    let found: readonly DiskExtent[] | null = null
    await this.#run('look for holes in', offset, length, async () => {
      found = await this.#space.extents(offset, length)
    })
    return found
  }

  /**
   * Changes the size of a file, durably; what is added reads as zeros and has no space of its own yet. A block device
   * cannot be changed, but if it has grown meanwhile, a size up to its new one is taken over.
   */
  resize(sizeBytes: number): Promise<void> {
    return this.#run('resize', 0, 0, async () => {
      if (this.kind === 'file') {
        await this.#handle.truncate(sizeBytes)
        await this.#syncs.sync(true)
      } else if (sizeBytes > (await this.#bytesNow()))
        throw new DiskError('DISK_NOT_SUPPORTED', this.description, 'cannot resize')
      this.#sizeBytes = sizeBytes
    })
  }

  measure(): Promise<void> {
    return this.#run('look at the size of', 0, 0, async () => {
      this.#sizeBytes = Math.max(this.#sizeBytes, await this.#bytesNow())
    })
  }

  async #bytesNow(): Promise<number> {
    const stats = await this.#handle.stat({ bigint: true })
    if (this.kind === 'file') return Number(stats.size)
    return (await blockDeviceFacts(stats, this.#fd, this.description, this.#ffi)).sizeBytes
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#underWayCount > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    try {
      await this.#lock?.release()
      await this.#direct?.close()
      await this.#handle.close()
    } catch (error) {
      throw toDiskError(error, this.description, 'cannot close')
    }
  }

  /** Throws if it cannot be done here. */
  #refuse(what: string, offset: number, length: number): void {
    if (this.#closing !== null) throw new DiskError('DISK_CLOSED', this.description, `cannot ${what}`)
    if (offset < 0 || offset + length > this.#sizeBytes) {
      throw new DiskError('DISK_RANGE', this.description, `cannot ${what}`, { offset, length })
    }
    if (this.readOnly && (what === 'write' || what === 'discard' || what === 'zero' || what === 'resize')) {
      throw new DiskError('DISK_READ_ONLY', this.description, `cannot ${what}`)
    }
  }

  async #run(what: string, offset: number, length: number, work: () => Promise<void>): Promise<void> {
    this.#refuse(what, offset, length)
    this.#underWayCount++
    try {
      await work()
    } catch (error) {
      throw toDiskError(error, this.description, `cannot ${what}`, { offset, length })
    } finally {
      this.#ended()
    }
  }

  #ended(): void {
    this.#underWayCount--
    if (this.#underWayCount === 0) this.#idle?.()
  }
}

function lengthOf(chunks: readonly Buffer[]): number {
  let length = 0
  for (const chunk of chunks) length += chunk.length
  return length
}
