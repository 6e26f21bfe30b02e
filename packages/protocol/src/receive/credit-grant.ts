/**
 * May the primary send more, and how much at once? The window follows the link; this says what the journal can take.
 *
 * Pure. Invariant: what is granted and not yet in the journal is bounded, and stops growing when the journal is full: that
 * stops the primary, and never breaks the session. What does not fit at once waits in memory, within the window.
 */
import { LARGEST_FRAME_BYTES, WINDOW_BYTES_MIN } from '../limits.js'

export interface GrantFacts {
  /** Bytes that appends to the journal may still use. */
  readonly journalFreeBytes: number
  /** Kept back for what groups, superblocks and small frames take beyond their bytes. */
  readonly reserveBytes: number
  /** The session's limit. */
  readonly windowBytesMax: number
}

/** Bytes of the window that the journal allows, or 0 where nothing may be granted now. */
export function grantableWindow({ journalFreeBytes, reserveBytes, windowBytesMax }: GrantFacts): number {
  const roomBytes = journalFreeBytes - reserveBytes
  if (roomBytes < LARGEST_FRAME_BYTES) return 0
  // Small frames take more room in the journal than on the wire: hence half.
  return Math.max(WINDOW_BYTES_MIN, Math.min(windowBytesMax, Math.floor(roomBytes / 2)))
}
