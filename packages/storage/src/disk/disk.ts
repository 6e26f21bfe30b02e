/**
 * The only way to a file or a block device: everything durable in Sitelink goes through this interface, so that a
 * simulated disk can lose, tear, delay and refuse.
 *
 * What an implementation may do, and what its users must therefore survive:
 * - A write that has returned is visible to reads at once, but survives a power cut only once a `sync` that started
 *   after it returned has returned. Before that any subset of its 512-byte sectors may be lost or kept, in any order.
 * - A write or sync may reject (EIO, ENOSPC). After a failed write the range holds old or new bytes, sector by sector.
 *   After a failed sync nothing is known about any write since the last good one, and repeating the sync proves nothing.
 *   A sync that was asked for before another one failed fails as well.
 * - Several operations may be under way at once. Overlapping writes under way at the same time end in any order.
 */
export interface Disk {
  /** What it is, for messages: a path. */
  readonly description: string
  /** Bytes; grows only by {@link Disk.resize} and {@link Disk.measure}. */
  readonly sizeBytes: number
  /** False if it is known that `discard` only writes zeros and gives nothing back. */
  readonly canDiscard: boolean
  /** Smallest unit that the medium writes as one: 512 or 4096. Offsets and lengths need not be aligned to it. */
  readonly sectorBytes: number
  /** Fills `into` from `offset`; short only never: beyond the end it rejects. */
  read(into: Buffer, offset: number): Promise<void>
  /**
   * Fills `into` in this very call if that needs no wait; else, and for whatever is wrong, false: `into` then holds
   * anything, and {@link Disk.read} knows more. A disk without it has no such way.
   */
  readNow?(into: Buffer, offset: number): boolean
  /** Writes the buffers one after the other from `offset`; resolves when all of them are in. They must not change until then. */
  write(chunks: readonly Buffer[], offset: number): Promise<void>
  /**
   * Does {@link Disk.write} in this very call if that is quick, and throws its error; false, with nothing written, if it is
   * not. A disk without it has no such way.
   */
  writeNow?(chunks: readonly Buffer[], offset: number): boolean
  /** Stable storage for all writes that had returned when it was called. */
  sync(): Promise<void>
  /** Makes a range read as zeros and gives its space back if it can; the range must read as zeros afterwards in any case. */
  discard(offset: number, length: number): Promise<void>
  /** Makes a range read as zeros, its space kept. */
  writeZeroes(offset: number, length: number): Promise<void>
  /** Allocation of a range: runs that are holes and read as zeros; null if this disk cannot tell. */
  extents(offset: number, length: number): Promise<readonly DiskExtent[] | null>
  /** Changes the size; only files can. */
  resize(sizeBytes: number): Promise<void>
  /** Looks at the size anew: where something made it larger meanwhile, `sizeBytes` says so from then on. */
  measure(): Promise<void>
  /**
   * Lets go of what memory caches of it and stable storage has, where the system can do that: for who does not read it
   * again. Changes nothing else and never rejects. A disk without it has no such way.
   */
  uncache?(): Promise<void>
  /** Releases it, without a sync. Operations under way finish first. */
  close(): Promise<void>
}

/** A run of a disk with the same allocation. */
export interface DiskExtent {
  readonly length: number
  readonly hole: boolean
}

export interface OpenOptions {
  readonly readOnly?: boolean
  /** Hold it against every other process that asks likewise (flock or O_EXCL); refuse if somebody holds it. */
  readonly exclusive?: boolean
  /** Large writes go past the page cache where they can: for what comes in bulk and is seldom read again. */
  readonly direct?: boolean
  /** Small writes come to any place of it: the page cache is kept from making them dear. */
  readonly scattered?: boolean
  /** It may hang, as what is behind a network does: nothing of it is ever waited for in the calling thread. */
  readonly mayHang?: boolean
}

/** Where disks come from: the real file system, or the simulator's. Paths are opaque to everybody else. */
export interface DiskProvider {
  /** Opens what is there. Rejects with a coded error: missing, not permitted, in use, not a file or block device. */
  open(path: string, options?: OpenOptions): Promise<Disk>
  /** Creates a file of that size, which must not exist; `preallocate` writes it once, so that no later write needs space. */
  create(
    path: string,
    sizeBytes: number,
    options?: OpenOptions & { readonly preallocate?: boolean; readonly progress?: (bytes: number) => void },
  ): Promise<Disk>
  /** 'file', 'block-device' or null where there is nothing. */
  exists(path: string): Promise<'file' | 'block-device' | null>
  /** A name that is the same for two paths that reach the same file or device (device and inode, or major:minor). */
  identify(path: string): Promise<string>
  /** Small files (dirty logs): whole-file atomic replacement and read; the new content is durable on return. */
  readFile(path: string): Promise<Buffer | null>
  replaceFile(path: string, content: Buffer): Promise<void>
  removeFile(path: string): Promise<void>
}
