/**
 * Where a journal is cut: at the end of the last frame that stays.
 *
 * Not where the first one begins that goes: between the two may lie the header of its group, which nobody would ever
 * apply, and which would count as received for ever.
 */
import type { LogPosition, Lsn } from '@sitelink/protocol'
import type { RingLog } from '@sitelink/storage'

const READ_BYTES = 1024 * 1024

/** The place behind everything up to `lsn`; null if that lies below the tail. Nothing is appended meanwhile. */
export async function cutPlace(log: RingLog, lsn: Lsn): Promise<LogPosition | null> {
  const end = await log.locate(lsn)
  if (end === null) return null
  const start = (lsn === 0 ? null : await log.locate(lsn - 1)) ?? log.tail
  let place = start
  const cursor = log.cursor(start)
  try {
    for (let read = await cursor.next(READ_BYTES); read !== null; read = await cursor.next(READ_BYTES)) {
      for (const item of read) {
        if (item.position >= end) return place
        // A hole has no end of its own that a cut could stand on.
        place = 'frame' in item ? item.end : end
      }
    }
  } finally {
    cursor.close()
  }
  return place
}
