/**
 * Where a journal is cut, where the last frame ends that stays, and what has to follow it.
 *
 * Between the two places may lie the header of a group, which nobody ever applies: it must not count as received. The
 * first frame that goes may be a skip that began before the cut; it goes as a whole, and a shorter one says what of it
 * stays true. Invariant: behind a cut the last frame of the journal stands where the cut was asked for.
 */
import { encodeFrame, FrameType, headerLogId, type Frame, type LogPoint, type LogPosition } from '@sitelink/protocol'
import type { RingLog } from '@sitelink/storage'

const READ_BYTES = 1024 * 1024

export interface CutPlace {
  /** Where the first frame begins that goes. */
  readonly position: LogPosition
  readonly lastEnd: LogPosition
  /** What is appended behind the cut: the begin of a skip that the cut goes through. Null if it goes through none. */
  readonly skip: Frame | null
}

/** The place behind everything up to `common`; null if that lies below the tail. Nothing is appended meanwhile. */
export async function cutPlace(log: RingLog, common: LogPoint): Promise<CutPlace | null> {
  const { lsn } = common
  const position = await log.locate(lsn)
  if (position === null) return null
  let lastEnd = (lsn === 0 ? null : await log.locate(lsn - 1)) ?? log.tail
  const cursor = log.cursor(lastEnd)
  try {
    for (let read = await cursor.next(READ_BYTES); read !== null; read = await cursor.next(READ_BYTES)) {
      for (const item of read) {
        if (item.position >= position)
          return { position, lastEnd, skip: 'frame' in item ? skipUpTo(common, item.frame) : null }
        lastEnd = item.end
      }
    }
  } finally {
    cursor.close()
  }
  return { position, lastEnd, skip: null }
}

/** The part of a skip that `common` and what lies before it have; null if `frame` begins behind. */
function skipUpTo({ incarnation, lsn }: LogPoint, frame: Frame): Frame | null {
  if (frame.type !== FrameType.skip || frame.aux > lsn) return null
  return encodeFrame(
    { type: FrameType.skip, logId: headerLogId(frame.header), incarnation, lsn, aux: frame.aux, wallUs: frame.wallUs },
    null,
  )
}
