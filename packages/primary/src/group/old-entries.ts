/**
 * When the entries that a start found in the log were written: what an honest lag needs and the ledger cannot know.
 *
 * Owns a few marks of LSN and wall clock, taken from entries that somebody read anyway. For reports alone: a wall clock
 * may jump, so that nothing is decided by it. Invariant: between two marks that are kept lies no unknown moment longer
 * than what was skipped between two reads.
 */
import type { LogPosition, Lsn } from '@sitelink/protocol'
import type { RingLog } from '@sitelink/storage'

/** Marks kept; where there are more, every second one goes. */
const MARKS_MAX = 1024

interface Mark {
  readonly lsn: Lsn
  readonly wallUs: number
}

export class OldEntries {
  readonly #baseLsn: Lsn
  /** By LSN. */
  #marks: Mark[] = []

  /** `baseLsn`: the last entry that the start found. */
  constructor(baseLsn: Lsn) {
    this.#baseLsn = baseLsn
  }

  /** An entry was read. One that this process appended says nothing here. */
  note(lsn: Lsn, wallUs: number): void {
    if (lsn === 0 || lsn > this.#baseLsn || wallUs === 0) return
    const at = this.#marks.findLastIndex((mark) => mark.lsn <= lsn)
    if (this.#marks[at]?.lsn === lsn) return
    this.#marks.splice(at + 1, 0, { lsn, wallUs })
    if (this.#marks.length > MARKS_MAX) this.#marks = this.#marks.filter((_, index) => index % 2 === 0)
  }

  /**
   * When the oldest entry above `lsn` was written, microseconds since 1970, or a moment before that as near as is known;
   * null where nothing is known of it.
   */
  oldestAboveUs(lsn: Lsn): number | null {
    if (lsn >= this.#baseLsn) return null
    return this.#marks.findLast((mark) => mark.lsn <= lsn + 1)?.wallUs ?? null
  }
}

/** Reads the one entry at a position, so that what a site misses has an age before anything is sent. Never rejects. */
export async function noteOldest(log: RingLog, position: LogPosition, old: OldEntries): Promise<void> {
  try {
    const cursor = log.cursor(position)
    try {
      const [item] = (await cursor.next(1)) ?? []
      if (item !== undefined && 'frame' in item) old.note(item.frame.lsn, item.frame.wallUs)
    } finally {
      cursor.close()
    }
  } catch {
    // Its age is not known then; what reads the log for a purpose says what is wrong with it.
  }
}
