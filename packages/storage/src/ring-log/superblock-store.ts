/**
 * The two slots on the disk, and which of them is written next.
 *
 * Owns the order that makes a torn slot lose nothing: a superblock goes first into the slot that does not hold the
 * newest durable one; when a sync has covered it, it is copied into the other. Never syncs by itself.
 */
import { assert, AssertionFailure } from '@sitelink/protocol/entry'
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

/** Both slots as they are on the disk; one that cannot be read does not hide the other. */
export async function readSlots(disk: Disk, startOffset: number): Promise<[SlotContent, SlotContent]> {
  return [await readSlot(disk, startOffset), await readSlot(disk, startOffset + SUPERBLOCK_SLOT_BYTES)]
}

async function readSlot(disk: Disk, offset: number): Promise<SlotContent> {
  const bytes = Buffer.allocUnsafe(SUPERBLOCK_SLOT_BYTES)
  try {
    await disk.read(bytes, offset)
  } catch (error) {
    if (error instanceof AssertionFailure) throw error
    return { kind: 'unreadable', error }
  }
  return decodeSlot(bytes)
}
