/**
 * Which regions a stretch of the log touches, for an overflow that has to mark them.
 *
 * Owns the choice of the cheaper exact way, segment by segment: the set of the checkpoint where the whole segment is
 * asked for, else the entries themselves. A stretch with lost entries whose ranges nobody knows has the answer null.
 */
import type { LogPosition } from '@sitelink/protocol/entry'
import type { CheckpointBody } from './checkpoint.js'
import { readCheckpoint } from './checkpoint-io.js'
import type { RegionRun, SegmentRegions } from './contract.js'
import { Cursor, isEntry } from './cursor.js'
import { CHUNK_BYTES } from './limits.js'
import type { LogView } from './log-view.js'
import { RegionSet } from './region-set.js'

/** See `RingLog.regionsBetween`. */
export async function* regionsBetween(
  view: LogView,
  from: LogPosition,
  to: LogPosition,
): AsyncGenerator<SegmentRegions> {
  const lease = view.lease(from)
  try {
    let at = from
    while (at < to) {
      const { checkpoints } = view.segments
      const index = view.segments.indexOfClosing(at)
      const closing = checkpoints[index]
      const end = closing === undefined ? to : Math.min(to, closing.anchor.position)
      if (end > at) {
        const whole = closing !== undefined && end === closing.anchor.position
        const set = whole ? await setOf(view, closing.anchor.position, at) : undefined
        const runs = set === undefined ? await walk(view, at, end, closing?.anchor.position ?? null) : set
        yield { from: at, to: end, runs }
      }
      lease.advance(end)
      at = closing === undefined || end === to ? to : end + 1
    }
  } finally {
    lease.release()
  }
}

/** The set of a checkpoint; undefined if it cannot be read, or if its segment is not the stretch from `from` on. */
async function setOf(
  view: LogView,
  position: LogPosition,
  from: LogPosition,
): Promise<readonly RegionRun[] | null | undefined> {
  const body = (await readCheckpoint(view.space, view.logId, position))?.body
  return body !== undefined && body.segmentStart >= from && isNext(body, from) ? body.runs : undefined
}

/**
 * No checkpoint lies between `from` and this one. There can be one that nobody knows: its header could not be read when
 * the log was opened. The entries that it closes are in no set of a later one.
 */
function isNext({ directory: [before] }: CheckpointBody, from: LogPosition): boolean {
  return before === undefined || before.anchor.position < from
}

async function walk(
  view: LogView,
  from: LogPosition,
  to: LogPosition,
  closing: LogPosition | null,
): Promise<readonly RegionRun[] | null> {
  const set = new RegionSet()
  const cursor = new Cursor(view, from)
  try {
    while (cursor.position < to) {
      const items = await cursor.next(CHUNK_BYTES)
      if (items === null) break
      for (const item of items) {
        if (item.position >= to) return set.runs()
        if (isEntry(item)) set.noteFrame(item.frame)
        else if (item.ranges !== null)
          for (const { deviceId, offset, length } of item.ranges) set.note(deviceId, offset, length)
        // Headers are lost: whatever the whole segment touches counts, if its checkpoint knows.
        else return closing === null ? null : await wholeSet(view, closing, from)
      }
    }
    return set.runs()
  } finally {
    cursor.close()
  }
}

/** All that the segment of a checkpoint touches; null if nobody knows that it holds everything from `from` on. */
async function wholeSet(view: LogView, position: LogPosition, from: LogPosition): Promise<readonly RegionRun[] | null> {
  const body = (await readCheckpoint(view.space, view.logId, position))?.body
  return body !== undefined && isNext(body, from) ? body.runs : null
}
