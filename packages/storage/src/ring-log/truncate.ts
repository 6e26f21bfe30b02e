/**
 * Cuts a journal at a position: what is left is found again, and a new life begins there.
 *
 * Owns the order of a cut: what stays is looked at before anything is written; the cut becomes true with the superblock
 * of the next life, and only then the parts of the log are told. Called while nothing gathers and nothing is under way.
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import type { LogParts } from './log-parts.js'
import { LogError } from './log-error.js'
import { newLife, scanAll, type Found } from './reopen.js'
import type { RingSpace } from './ring-space.js'
import type { Segments } from './segments.js'
import type { Superblock } from './superblock.js'

/** Voids everything from `position` on, durably. Rejects as `RingLog.truncate`. */
export async function cutAt(parts: LogParts, position: LogPosition): Promise<void> {
  const { options, space, store, segments, commit } = parts
  const found = await scanToCut(space, parts.superblockNow(), segments, position)
  const reviseOwnerState = (): Buffer => options.listener.ownerState()
  const { superblock, head } = newLife({ ...options, reviseOwnerState }, parts.superblockNow(), found.end)
  assert(commit.gatheringCount === 0, 'nothing is appended while the log is truncated')
  try {
    await store.write(superblock)
    await options.disk.sync()
    await store.copy()
  } catch (error) {
    parts.fail(error)
    throw error
  }
  parts.adopt(superblock)
  segments.replace(found.segments)
  parts.recent.clear()
  parts.retention.truncate(position, found.marks)
  commit.restart(head, (superblock.incarnations.at(-1) as { number: number }).number)
  parts.sync.restart(head)
  parts.order.restart(head)
}

/** `superblock`: as it would be written now. Rejects with LOG_ENTRY_UNREADABLE if no entry ends or begins there. */
async function scanToCut(
  space: RingSpace,
  superblock: Superblock,
  segments: Segments,
  position: LogPosition,
): Promise<Found> {
  const below = segments.checkpoints.filter(({ anchor }) => anchor.position < position)
  // From the last checkpoint that stays: the segment behind it is open again, and its regions are needed whole.
  const start = below.at(-1)?.anchor ?? superblock.tail
  const found = await scanAll(space, superblock, start, below.slice(0, -1), position)
  if (found.holes.some(({ end, ranges }) => end === position && ranges === null)) {
    throw new LogError('LOG_ENTRY_UNREADABLE', `no entry that can be read ends at position ${position}`, { position })
  }
  return found
}
