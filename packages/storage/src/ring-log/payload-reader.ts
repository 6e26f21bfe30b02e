/**
 * Reads pieces of payloads that are in the log file alone, and hands out nothing that does not check.
 *
 * A checksum covers a whole payload, so the whole entry is read and checked for each piece. Owns what keeps that bounded:
 * pieces of one entry that are wanted at the same time share one read, and few entries are read at once. Whoever wants many,
 * as write-back does, gets those that lie close together out of few large reads; what is handed out keeps such a read in
 * memory, so it is made only where a good part of it is wanted.
 */
import { FRAME_HEADER_BYTES, type LogPosition } from '@sitelink/protocol/entry'
import type { LogEntry, PayloadPlace } from './contract.js'
import { LogError } from './log-error.js'
import { PAYLOAD_GAP_BYTES_MAX, PAYLOAD_READ_BYTES_MAX, PAYLOAD_READS_MAX } from './limits.js'
import { entryIn, readEntry } from './locate.js'
import type { LogView } from './log-view.js'

export class PayloadReader {
  readonly #view: LogView
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

  /**
   * Payloads of entries at ascending positions, where several lie close together: out of few large reads. Null for the
   * others, and for what cannot be read or does not check: {@link read} knows more of those.
   */
  async readMany(places: readonly PayloadPlace[]): Promise<readonly (Buffer | null)[]> {
    const found: (Buffer | null)[] = new Array<null>(places.length).fill(null)
    const first = places[0]?.position
    if (first === undefined || first < this.#view.tail().entriesEnd) return found
    const lease = this.#view.lease(first)
    try {
      for (let at = 0; at < places.length;) at = await this.#readRun(places, at, found)
    } finally {
      lease.release()
    }
    return found
  }

  /** Reads the entries from index `at` on that lie close together; answers the index behind them. */
  async #readRun(places: readonly PayloadPlace[], at: number, found: (Buffer | null)[]): Promise<number> {
    const { recent, space } = this.#view
    const { position: start, payloadBytes } = places[at] as PayloadPlace
    const held = recent.entryAt(start)
    if (held !== null) {
      found[at] = held.frame.payload
      return at + 1
    }
    let [behind, end] = [at + 1, start + FRAME_HEADER_BYTES + payloadBytes]
    for (; behind < places.length; behind++) {
      const next = places[behind] as PayloadPlace
      const nextEnd = next.position + FRAME_HEADER_BYTES + next.payloadBytes
      if (next.position - end > PAYLOAD_GAP_BYTES_MAX || nextEnd - start > PAYLOAD_READ_BYTES_MAX) break
      end = Math.max(end, nextEnd)
    }
    if (behind === at + 1) return behind
    const bytes = Buffer.allocUnsafeSlow(end - start)
    try {
      await space.read(bytes, start)
      for (let each = at; each < behind; each++)
        found[each] = entryIn(bytes, start, (places[each] as PayloadPlace).position)?.frame.payload ?? null
    } catch {
      // The one that does not check, and those behind it, are asked for by themselves.
    }
    return behind
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
      return await readEntry(this.#view, position)
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#reading--
      else next()
      lease.release()
    }
  }
}
