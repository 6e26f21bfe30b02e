/**
 * A replicated device on one site: a disk with fixed size and alignment rules, as write-back and resync see it.
 *
 * Offsets and lengths are byte-exact; an implementation on a medium with larger sectors takes care of its edges.
 * Durability as in {@link Disk}: only `sync` makes anything durable.
 */
import type { Disk } from '../disk/disk.js'

export interface BlockDevice {
  /** What it is, for messages: a path. */
  readonly description: string
  /** Usable bytes, a multiple of 512. */
  readonly sizeBytes: number
  /** True if `discard` gives space back and the range then reads as zeros. */
  readonly canDiscard: boolean
  readonly disk: Disk
  read(into: Buffer, offset: number): Promise<void>
  /** As {@link Disk.readNow}; false where the disk does not have it. */
  readNow(into: Buffer, offset: number): boolean
  /** As {@link Disk.writeNow}; absent, or false, where the disk does not have it. */
  writeNow?(chunks: readonly Buffer[], offset: number): boolean
  write(chunks: readonly Buffer[], offset: number): Promise<void>
  zero(offset: number, length: number): Promise<void>
  discard(offset: number, length: number): Promise<void>
  sync(): Promise<void>
  /** As {@link Disk.uncache}. */
  uncache?(): Promise<void>
  close(): Promise<void>
}
