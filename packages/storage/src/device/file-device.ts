/**
 * A {@link BlockDevice} over a {@link Disk}: a file or a block device of the host, with a size fixed at open.
 *
 * Owns the rounding of the size and the checks of ranges. Keeps no data and no state of its own: order, durability and
 * failures are those of the disk.
 */
import { assert } from '@sitelink/protocol/entry'
import { DiskError } from '../disk/disk-error.js'
import type { Disk, DiskProvider, OpenOptions } from '../disk/disk.js'
import type { BlockDevice } from './block-device.js'

/** Sizes of devices are multiples of this; bytes of a file behind the last multiple are not used. */
export const DEVICE_BLOCK_BYTES = 512

export class FileDevice implements BlockDevice {
  readonly description: string
  /** Usable bytes when it was opened, a multiple of {@link DEVICE_BLOCK_BYTES}, at least one. */
  readonly sizeBytes: number

  /** Rejects a disk that has no whole block with DISK_TOO_SMALL. The device owns the disk from here on. */
  constructor(readonly disk: Disk) {
    this.description = disk.description
    this.sizeBytes = Math.floor(disk.sizeBytes / DEVICE_BLOCK_BYTES) * DEVICE_BLOCK_BYTES
    if (this.sizeBytes === 0) throw new DiskError('DISK_TOO_SMALL', disk.description, 'cannot use as a device')
  }

  get canDiscard(): boolean {
    return this.disk.canDiscard
  }

  async read(into: Buffer, offset: number): Promise<void> {
    this.#check('read', offset, into.length)
    await this.disk.read(into, offset)
  }

  readNow(into: Buffer, offset: number): boolean {
    if (offset + into.length > this.sizeBytes) return false
    return this.disk.readNow?.(into, offset) ?? false
  }

  async write(chunks: readonly Buffer[], offset: number): Promise<void> {
    let length = 0
    for (const chunk of chunks) length += chunk.length
    this.#check('write', offset, length)
    await this.disk.write(chunks, offset)
  }

  writeNow(chunks: readonly Buffer[], offset: number): boolean {
    let length = 0
    for (const chunk of chunks) length += chunk.length
    this.#check('write', offset, length)
    return this.disk.writeNow?.(chunks, offset) ?? false
  }

  async zero(offset: number, length: number): Promise<void> {
    this.#check('zero', offset, length)
    if (length > 0) await this.disk.writeZeroes(offset, length)
  }

  async discard(offset: number, length: number): Promise<void> {
    this.#check('discard', offset, length)
    if (length > 0) await this.disk.discard(offset, length)
  }

  sync(): Promise<void> {
    return this.disk.sync()
  }

  async uncache(): Promise<void> {
    await this.disk.uncache?.()
  }

  close(): Promise<void> {
    return this.disk.close()
  }

  #check(what: string, offset: number, length: number): void {
    assert(Number.isSafeInteger(offset) && offset >= 0 && length >= 0, 'a range has a non-negative offset and length')
    if (offset + length > this.sizeBytes) {
      throw new DiskError('DISK_RANGE', this.description, `cannot ${what}`, { offset, length })
    }
  }
}

/**
 * Opens the file or block device at `path` as a device. Rejects with a {@link DiskError}: whatever the provider's open
 * says, and DISK_TOO_SMALL for one without a whole block; nothing stays open then.
 */
export async function openBlockDevice(
  provider: DiskProvider,
  path: string,
  options: OpenOptions = {},
): Promise<FileDevice> {
  const disk = await provider.open(path, options)
  try {
    return new FileDevice(disk)
  } catch (error) {
    await disk.close()
    throw error
  }
}
