/**
 * Writes zeros where a ring is going to be.
 *
 * Owns how large those writes are, which decides what every later write of the log costs (see {@link FILL_WRITE_BYTES}).
 * Syncs nothing.
 */
import type { Disk } from '../disk/disk.js'
import { FILL_BYTES, FILL_WRITE_BYTES } from './limits.js'

const ZEROS = Buffer.alloc(FILL_WRITE_BYTES)

/** Writes zeros from `from` to `to`, one {@link FILL_BYTES} or less. Rejects as the disk does, when no write is under way. */
export async function fillStep(disk: Disk, from: number, to: number): Promise<void> {
  const writes: Promise<void>[] = []
  for (let at = from; at < to; at += ZEROS.length) {
    writes.push(disk.write([ZEROS.subarray(0, Math.min(ZEROS.length, to - at))], at))
  }
  const failed = (await Promise.allSettled(writes)).find(({ status }) => status === 'rejected')
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason
}

/** Behind the first step from `from` on of a fill up to `to`. */
export function fillStepEnd(from: number, to: number): number {
  return Math.min(from + FILL_BYTES, to)
}
