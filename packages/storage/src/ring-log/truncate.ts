/**
 * Finds what is left of a journal that is cut at a position: the chain before it, the segment that grows again.
 *
 * Reads only; the cut becomes true with the superblock of the next life.
 */
import type { LogPosition } from '@sitelink/protocol/entry'
import { LogError } from './log-error.js'
import { scanAll, type Found } from './reopen.js'
import type { RingSpace } from './ring-space.js'
import type { Segments } from './segments.js'
import type { Superblock } from './superblock.js'

/** `superblock`: as it would be written now. Rejects with LOG_ENTRY_UNREADABLE if no entry ends or begins there. */
export async function scanToCut(
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
