/**
 * The two slots on the disk, and which of them is written next.
 *
 * Owns the order that makes a torn slot lose nothing: a superblock goes first into the slot that does not hold the
 * newest durable one; when a sync has covered it, it is copied into the other. Never syncs by itself.
 */
import { assert } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { SUPERBLOCK_SLOT_BYTES } from './limits.js'
import { decodeSlot, encodeSuperblock, type SlotContent, type Superblock } from './superblock.js'

export class SuperblockStore {
  #copying: Promise<void> = Promise.resolve()
  #lastBytes: Buffer | null = null
  writes = 0

  constructor(
    readonly disk: Disk,
    readonly startOffset: number,
    /** Slot that holds the newest durable superblock. */
    private newest: 0 | 1,
  ) {}

  /** Writes into the other slot. Durable when a sync that starts after this has returned; then call `copy`. */
  async write(superblock: Superblock): Promise<void> {
    await this.#copying
    const bytes = encodeSuperblock(superblock)
    this.newest = this.newest === 0 ? 1 : 0
    this.#lastBytes = bytes
    this.writes++
    await this.disk.write([bytes], this.#offsetOf(this.newest))
  }

  /** Copies the superblock that was written last, now durable, into the other slot. */
  copy(): Promise<void> {
    const bytes = this.#lastBytes
    assert(bytes !== null, 'a superblock was written')
    this.#copying = this.disk.write([bytes], this.#offsetOf(this.newest === 0 ? 1 : 0))
    return this.#copying
  }

  #offsetOf(slot: 0 | 1): number {
    return this.startOffset + slot * SUPERBLOCK_SLOT_BYTES
  }
}

/** Both slots as they are on the disk. Rejects as the disk does. */
export async function readSlots(disk: Disk, startOffset: number): Promise<[SlotContent, SlotContent]> {
  const bytes = Buffer.allocUnsafe(2 * SUPERBLOCK_SLOT_BYTES)
  await disk.read(bytes, startOffset)
  return [decodeSlot(bytes.subarray(0, SUPERBLOCK_SLOT_BYTES)), decodeSlot(bytes.subarray(SUPERBLOCK_SLOT_BYTES))]
}
