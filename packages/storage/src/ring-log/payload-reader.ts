/**
 * Reads pieces of payloads that are in the log file alone, and hands out nothing that does not check.
 *
 * A checksum covers a whole payload, so the whole entry is read and checked for each piece. Owns what keeps that bounded:
 * pieces of one entry that are wanted at the same time share one read, and few entries are read at once. Whoever reads one
 * entry after the other, as write-back does, gets them out of one larger read, which grows while that goes on; what is
 * handed out keeps that read in memory, so it begins only where nearly all of it is wanted.
 */
import type { LogPosition } from '@sitelink/protocol/entry'
import type { LogEntry } from './contract.js'
import { LogError } from './log-error.js'
import {
  PAYLOAD_AHEAD_BYTES_MAX,
  PAYLOAD_AHEAD_BYTES_MIN,
  PAYLOAD_GAP_BYTES_MAX,
  PAYLOAD_READS_MAX,
  PAYLOAD_RUNS_MAX,
} from './limits.js'
import { entryIn, readEntry } from './locate.js'
import type { LogView } from './log-view.js'

/** A place up to which somebody has read, entry after entry, and the bytes that were read there at last. */
interface Run {
  readonly start: LogPosition
  /** `start` where nothing was read ahead yet. */
  readonly end: LogPosition
  /** Null where there are none, or where they cannot be read. */
  readonly bytes: Promise<Buffer | null>
}

const NOTHING = Promise.resolve(null)

export class PayloadReader {
  readonly #view: LogView
  /** The runs of those who read, newest last. */
  #runs: Run[] = []
  readonly #underWay = new Map<LogPosition, Promise<LogEntry>>()
  #reading = 0
  readonly #waiting: (() => void)[] = []

  constructor(view: LogView) {
    this.#view = view
  }

  /** `length` bytes of the payload of the entry at `position`. Rejects with LOG_GONE or LOG_ENTRY_UNREADABLE. */
  async read(position: LogPosition, offset: number, length: number): Promise<Buffer> {
    const held = this.#view.recent.entryAt(position)?.frame.payload
    if (held !== undefined && held !== null) return held.subarray(offset, offset + length)
    const { payload } = (await this.#entryAt(position)).frame
    if (payload === null || offset + length > payload.length)
      throw new LogError('LOG_ENTRY_UNREADABLE', `the entry at position ${position} is not what was written there`, {
        position,
        offset,
        length,
      })
    const piece = payload.subarray(offset, offset + length)
    // A small piece must not keep a large payload in memory.
    return length * 2 < payload.length ? Buffer.from(piece) : piece
  }

  /** What was read ahead is not what the log holds any more: it was cut, and goes on with other bytes at the same positions. */
  forget(): void {
    this.#runs = []
  }

  #entryAt(position: LogPosition): Promise<LogEntry> {
    const shared = this.#underWay.get(position)
    if (shared !== undefined) return shared
    const reading = this.#fetch(position).finally(() => this.#underWay.delete(position))
    this.#underWay.set(position, reading)
    return reading
  }

  async #fetch(position: LogPosition): Promise<LogEntry> {
    if (position < this.#view.tail().entriesEnd)
      throw new LogError('LOG_GONE', `position ${position} of the log was freed`, { position })
    const lease = this.#view.lease(position)
    try {
      if (this.#reading >= PAYLOAD_READS_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve))
      else this.#reading++
      return (await this.#fromRun(position)) ?? (await readEntry(this.#view, position))
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#reading--
      else next()
      lease.release()
    }
  }

  /** The entry out of a larger read; null where it is not in one. */
  async #fromRun(position: LogPosition): Promise<LogEntry | null> {
    const run = this.#runs.find(({ start, end }) => position >= start && position < end) ?? this.#begin(position)
    const bytes = await run.bytes
    const entry = bytes === null ? null : entryIn(bytes, run.start, position)
    if (entry !== null || bytes === null || run.start === position) return entry
    // It goes on behind what was read.
    const next = this.#begin(position)
    const more = await next.bytes
    return more === null ? null : entryIn(more, next.start, position)
  }

  /** A run that begins here: it reads ahead, more each time, if it goes on where another one ended. */
  #begin(position: LogPosition): Run {
    const before = this.#runs.find(({ start, end }) => position > start && position <= end + PAYLOAD_GAP_BYTES_MAX)
    const others = this.#runs.filter((run) => run !== before)
    const run = before === undefined ? { start: position, end: position, bytes: NOTHING } : this.#read(position, before)
    this.#runs = [...others.slice(1 - PAYLOAD_RUNS_MAX), run]
    return run
  }

  #read(start: LogPosition, before: Run): Run {
    const { space, written } = this.#view
    const wanted = Math.min(PAYLOAD_AHEAD_BYTES_MAX, Math.max(PAYLOAD_AHEAD_BYTES_MIN, 2 * (before.end - before.start)))
    const end = Math.max(start, Math.min(start + wanted, written().entriesEnd))
    const bytes = Buffer.allocUnsafeSlow(end - start)
    const reading = space.read(bytes, start).then(
      () => bytes,
      () => null,
    )
    return { start, end, bytes: reading }
  }
}
