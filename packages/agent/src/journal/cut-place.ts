/**
 * Where a journal is cut, and where the last frame ends that stays.
 *
 * Between the two may lie the header of a group, which nobody ever applies: it must not count as received.
 */
import type { LogPosition, Lsn } from '@sitelink/protocol'
import type { RingLog } from '@sitelink/storage'

const READ_BYTES = 1024 * 1024

export interface CutPlace {
  /** Where the first frame begins that goes. */
  readonly position: LogPosition
  readonly lastEnd: LogPosition
}

/** The place behind everything up to `lsn`; null if that lies below the tail. Nothing is appended meanwhile. */
export async function cutPlace(log: RingLog, lsn: Lsn): Promise<CutPlace | null> {
  const position = await log.locate(lsn)
  if (position === null) return null
  let lastEnd = (lsn === 0 ? null : await log.locate(lsn - 1)) ?? log.tail
  const cursor = log.cursor(lastEnd)
  try {
    for (let read = await cursor.next(READ_BYTES); read !== null; read = await cursor.next(READ_BYTES)) {
      for (const item of read) {
        if (item.position >= position) return { position, lastEnd }
        lastEnd = item.end
      }
    }
  } finally {
    cursor.close()
  }
  return { position, lastEnd }
}
