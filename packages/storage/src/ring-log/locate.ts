/**
 * From an LSN to its place, and from a place to one entry.
 *
 * Owns the way there: the nearest remembered group start, then the sparse index of the checkpoint that closes that
 * segment, then a short walk. Reads through cursors, so it sees the same log as everybody.
 */
import {
  decodeFrame,
  FRAME_HEADER_BYTES,
  headerPayloadBytes,
  headerProblem,
  payloadMatches,
  type LogPosition,
  type Lsn,
} from '@sitelink/protocol/entry'
import type { CheckpointRef, IndexPoint } from './checkpoint.js'
import { readCheckpoint } from './checkpoint-io.js'
import type { LogEntry } from './contract.js'
import { Cursor, isEntry } from './cursor.js'
import { INDEX_STEP_BYTES } from './limits.js'
import { LogError } from './log-error.js'
import type { LogView } from './log-view.js'

/** Position of the first entry (or hole) above `lsn`; the end of what is in the file if there is none; null below the tail. */
export async function locate(view: LogView, lsn: Lsn): Promise<LogPosition | null> {
  const written = view.written()
  if (lsn < view.tail().lsn) return null
  if (lsn >= written.lsn) return written.position
  const start = await nearest(view, lsn)
  // The tail may have moved on while the index was read.
  if (start < view.tail().entriesEnd) return null
  const cursor = new Cursor(view, start)
  try {
    for (;;) {
      const items = await cursor.next(INDEX_STEP_BYTES)
      if (items === null) return written.position
      for (const item of items) if ((isEntry(item) ? item.frame.lsn : item.lastLsn) > lsn) return item.position
    }
  } finally {
    cursor.close()
  }
}

/** The nearest known group start with no entry above `lsn` below it. */
async function nearest(view: LogView, lsn: Lsn): Promise<LogPosition> {
  const anchor = view.anchorBefore(lsn)
  const { segments } = view
  const closing = segments.checkpoints[segments.indexOfClosing(anchor.position + 1)]
  const index = closing === undefined ? segments.current.index : await indexOf(view, closing)
  let best = anchor.position
  for (const point of index)
    if (point.lsn <= lsn && point.position > best && point.position >= view.tail().position) best = point.position
  return best
}

async function indexOf(view: LogView, checkpoint: CheckpointRef): Promise<readonly IndexPoint[]> {
  const read = await readCheckpoint(view.space, view.logId, checkpoint.anchor.position)
  return read === null ? [] : read.body.index
}

/** The entry whose header begins at `position`, payload checked. Rejects with LOG_GONE or LOG_ENTRY_UNREADABLE. */
export async function readEntry(view: LogView, position: LogPosition): Promise<LogEntry> {
  const held = view.recent.entryAt(position)
  if (held !== null) return held
  const facts = { position }
  if (position < view.tail().entriesEnd)
    throw new LogError('LOG_GONE', `position ${position} of the log was freed`, facts)
  if (position + FRAME_HEADER_BYTES > view.written().entriesEnd)
    throw new LogError('LOG_ENTRY_UNREADABLE', `position ${position} is not in the log yet`, facts)
  const lease = view.lease(position)
  try {
    const header = Buffer.allocUnsafe(FRAME_HEADER_BYTES)
    await view.space.read(header, position)
    checkHeader(header, position)
    const payload = Buffer.allocUnsafe(headerPayloadBytes(header))
    if (payload.length > 0) await view.space.read(payload, position + FRAME_HEADER_BYTES)
    return checkedEntry(header, payload, position)
  } catch (error) {
    if (error instanceof LogError) throw error
    throw new LogError('LOG_ENTRY_UNREADABLE', `the entry at position ${position} cannot be read`, facts, {
      cause: error,
    })
  } finally {
    lease.release()
  }
}

/** The entry at `position` in bytes that were read from `start` on; null if they end before it does. Throws as {@link readEntry}. */
export function entryIn(bytes: Buffer, start: LogPosition, position: LogPosition): LogEntry | null {
  const at = position - start
  if (at < 0 || at + FRAME_HEADER_BYTES > bytes.length) return null
  const header = bytes.subarray(at, at + FRAME_HEADER_BYTES)
  checkHeader(header, position)
  const payloadAt = at + FRAME_HEADER_BYTES
  const end = payloadAt + headerPayloadBytes(header)
  return end > bytes.length ? null : checkedEntry(header, bytes.subarray(payloadAt, end), position)
}

function checkHeader(header: Buffer, position: LogPosition): void {
  const problem = headerProblem(header)
  if (problem === null) return
  const what = `the entry at position ${position} cannot be read (header: ${problem})`
  throw new LogError('LOG_ENTRY_UNREADABLE', what, { position })
}

function checkedEntry(header: Buffer, payload: Buffer, position: LogPosition): LogEntry {
  if (!payloadMatches(header, payload)) {
    const what = `the entry at position ${position} cannot be read (payload)`
    throw new LogError('LOG_ENTRY_UNREADABLE', what, { position })
  }
  return { frame: decodeFrame(header, payload), position, end: position + FRAME_HEADER_BYTES + payload.length }
}
