/**
 * Reads entries in order from any position that an entry begins or ends at.
 *
 * Owns one place in the log and the lease on it. Answers from memory, without a promise and without a copy, as long as
 * the entries are there; else it parses chunks from the disk and checks every CRC. Where something does not check it
 * hands the place over to the scanner, which says what is lost. Never shows an entry that is not in the file, never
 * passes one in silence.
 */
import {
  assert,
  headerLogId,
  sameId64,
  scanFrame,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  readU32,
  FrameType,
  type Frame,
  type LogPosition,
  type PayloadMemory,
  type PayloadPool,
} from '@sitelink/protocol/entry'
import type { ChunkHolder } from './chunk-pool.js'
import type { CursorViews, Lease, LogCursor, LogEntry, LogHole } from './contract.js'
import { alignUp } from './geometry.js'
import { decodeGroupHeader, GROUP_HEADER_BYTES, GroupKind, groupSpan } from './group.js'
import { BLOCK_BYTES, CHUNK_BYTES } from './limits.js'
import { skipVoid, spanIndexAt, type LifeSpan } from './lives.js'
import { scannerOver, type LogView } from './log-view.js'
import { entryIndex } from './recent.js'

export type LogItem = LogEntry | LogHole

/** True for an entry, false for a hole. */
export function isEntry(item: LogItem): item is LogEntry {
  return 'frame' in item
}

/** What parsing came to: more bytes are needed, something does not check, or there is enough for now. */
type Stop = 'need-more' | 'damage' | 'enough'

export class Cursor implements LogCursor, ChunkHolder {
  readonly #view: LogView
  readonly #lease: Lease
  #chunk: Buffer | null = null
  /** What the chunk lies in, if it is given back. */
  #memory: PayloadMemory | null = null
  #chunkStart: LogPosition = 0
  /** The lives when the chunk was read; a truncation makes others, and what was read before is void. */
  #chunkSpans: readonly LifeSpan[] | null = null
  /** End of the body of the group that it stands in; -1 if that is not known. */
  #bodyEnd = -1
  #busy = false
  #closed = false
  /** `lent`: what every chunk is read into. */
  readonly #room: Buffer | null
  /** Where large chunks find their memory. */
  readonly #pool: PayloadPool | null

  constructor(view: LogView, position: LogPosition, views: CursorViews = 'kept') {
    this.#view = view
    this.#lease = view.lease(position)
    this.#room = views === 'lent' ? Buffer.allocUnsafeSlow(CHUNK_BYTES) : null
    this.#pool = typeof views === 'string' ? null : views
  }

  get position(): LogPosition {
    return this.#lease.position
  }

  next(bytesMax: number): readonly LogItem[] | null | Promise<readonly LogItem[] | null> {
    assert(!this.#closed && !this.#busy, 'an open cursor reads one thing at a time')
    const { recent } = this.#view
    if (this.position >= this.#view.written().entriesEnd) return this.#nothing()
    return recent.find(this.position) >= 0 ? this.#fromMemory(bytesMax) : this.#fromDisk(bytesMax)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.dropChunk()
    this.#view.chunks.letGo(this)
    this.#lease.release()
  }

  dropChunk(): void {
    this.#chunk = null
    this.#memory?.release()
    this.#memory = null
  }

  #forget(): void {
    this.dropChunk()
    this.#bodyEnd = -1
    this.#chunkSpans = this.#view.spans()
  }

  #nothing(): null {
    if (this.#chunk !== null) {
      this.dropChunk()
      this.#view.chunks.letGo(this)
    }
    return null
  }

  #fromMemory(bytesMax: number): readonly LogEntry[] {
    const { recent } = this.#view
    const start = this.position
    let index = recent.find(start)
    const first = recent.group(index)
    assert(first !== undefined, 'the group is held')
    const from = entryIndex(first.entries, start)
    this.#bodyEnd = -1
    if (this.#chunk !== null) this.#nothing()
    const bytesEnd = start + bytesMax
    const result: LogEntry[] = []
    for (
      let group: typeof first | undefined = first, at = from;
      group !== undefined;
      group = recent.group(++index), at = 0
    ) {
      for (; at < group.entries.length; at++) {
        const entry = group.entries[at] as LogEntry
        if (result.length > 0 && entry.end > bytesEnd) return this.#takenFromMemory(result)
        result.push(entry)
      }
      if (group.bodyEnd >= bytesEnd) break
    }
    return this.#takenFromMemory(result)
  }

  #takenFromMemory(entries: readonly LogEntry[]): readonly LogEntry[] {
    this.#taken(entries)
    this.#view.recent.taken(this.position)
    return entries
  }

  #taken<T extends LogItem>(items: readonly T[]): readonly T[] {
    const last = items.at(-1)
    if (last !== undefined) this.#lease.advance(last.end)
    return items
  }

  async #fromDisk(bytesMax: number): Promise<readonly LogItem[] | null> {
    this.#busy = true
    try {
      for (;;) {
        const { recent } = this.#view
        const written = this.#view.written()
        if (this.position >= written.entriesEnd) return this.#nothing()
        if (recent.find(this.position) >= 0) return this.#fromMemory(bytesMax)
        if (this.#chunkSpans !== this.#view.spans()) this.#forget()
        const limit = Math.min(written.position, recent.from)
        const items: LogEntry[] = []
        const stop = this.#parse(items, bytesMax, limit)
        if (items.length > 0) return items
        if (stop === 'damage') {
          const lost = await this.#damaged()
          if (lost.length > 0) return lost
        } else if (stop === 'need-more') {
          const lost = await this.#readChunk(limit)
          if (lost.length > 0) return lost
        }
        if (this.#closed) return null
      }
    } finally {
      this.#busy = false
    }
  }

  /** Reads on from where it stands; answers what is lost there if the disk refuses. */
  async #readChunk(limit: LogPosition): Promise<readonly LogItem[]> {
    const start = this.position
    const length = Math.min(CHUNK_BYTES, limit - start)
    assert(length > 0, 'there is something to read')
    // A short chunk is not worth the memory of a whole one, which a few frames would keep.
    const memory = this.#pool !== null && length * 2 >= CHUNK_BYTES ? this.#pool.take(CHUNK_BYTES) : null
    let bytes: Buffer
    try {
      bytes = await this.#view.chunks.read(this, start, length, memory?.bytes ?? this.#room)
    } catch {
      memory?.release()
      // Around a bad sector the rest can still be read; the scanner does that.
      return this.#damaged()
    }
    this.dropChunk()
    if (this.#closed || start !== this.position || this.#chunkSpans !== this.#view.spans()) {
      memory?.release()
      this.#view.chunks.letGo(this)
    } else {
      this.#chunk = bytes
      this.#chunkStart = start
      this.#memory = memory
    }
    return []
  }

  /** Takes what the chunk holds, up to `limit`; moves the cursor over what it takes and over fill. */
  #parse(items: LogEntry[], bytesMax: number, limit: LogPosition): Stop {
    const spans = this.#view.spans()
    const bytesEnd = this.position + bytesMax
    for (;;) {
      const position = this.#skipFill(spans)
      // A group begins at the limit, and no frame fits before it.
      if (this.#bodyEnd < 0 && position < limit && limit - position < FRAME_HEADER_BYTES) this.#moveTo(limit)
      if (this.position >= limit || (items.length > 0 && position >= bytesEnd)) return 'enough'
      const chunk = this.#chunk
      const at = position - this.#chunkStart
      if (chunk === null || at < 0 || at + 4 > chunk.length) return 'need-more'
      const span = spans[spanIndexAt(spans, position)] as LifeSpan
      const magic = readU32(chunk, at)
      const inGroup = this.#bodyEnd >= 0 || magic === FRAME_MAGIC
      if (!inGroup) {
        if (position % BLOCK_BYTES !== 0) this.#moveTo(alignUp(position))
        else {
          if (at + GROUP_HEADER_BYTES > chunk.length) return 'need-more'
          if (!this.#enterGroup(chunk, at, position, span)) return 'damage'
        }
        continue
      }
      const bodyEnd = this.#bodyEnd >= 0 ? this.#bodyEnd : Math.min(limit, span.end)
      const left = bodyEnd - position
      const found = scanFrame(chunk.length - at > left ? chunk.subarray(0, at + left) : chunk, at)
      if (found.kind === 'need-more') {
        if (chunk.length - at >= left || (at === 0 && chunk.length >= CHUNK_BYTES)) return 'damage'
        return 'need-more'
      }
      if (found.kind !== 'entry' || !this.#belongs(found.frame.header, span)) return 'damage'
      const end = position + found.next - at
      if (items.length > 0 && end > bytesEnd) return 'enough'
      items.push({ frame: this.#memory === null ? found.frame : heldBy(found.frame, this.#memory), position, end })
      this.#lease.advance(end)
    }
  }

  /** Over the end of a group and of a life to where something may begin. */
  #skipFill(spans: readonly LifeSpan[]): LogPosition {
    if (this.#bodyEnd >= 0 && this.position >= this.#bodyEnd) {
      this.#bodyEnd = -1
      this.#moveTo(alignUp(this.position))
    }
    const position = skipVoid(spans, this.position)
    if (position !== this.position) {
      this.#bodyEnd = -1
      this.#moveTo(position)
    }
    return position
  }

  #moveTo(position: LogPosition): void {
    this.#lease.advance(position)
  }

  #enterGroup(chunk: Buffer, at: number, position: LogPosition, span: LifeSpan): boolean {
    const header = decodeGroupHeader(chunk, at)
    if (typeof header === 'string' || header.position !== position || header.incarnation !== span.number) return false
    if (!sameId64(header.logId, this.#view.logId)) return false
    if (header.kind === GroupKind.checkpoint) this.#moveTo(position + groupSpan(header.bodyBytes))
    else {
      this.#bodyEnd = Math.min(position + GROUP_HEADER_BYTES + header.bodyBytes, span.end)
      this.#moveTo(position + GROUP_HEADER_BYTES)
    }
    return true
  }

  #belongs(header: Buffer, span: LifeSpan): boolean {
    if (this.#view.rule === 'monotone') return true
    return header.readUInt32LE(32) === span.number && sameId64(headerLogId(header), this.#view.logId)
  }

  /** What the scanner makes of the place where the cursor stands; moves behind it. Empty if nothing was lost there. */
  async #damaged(): Promise<readonly LogItem[]> {
    const start = this.position
    const from = this.#view.anchorBelow(start)
    const lease = this.#view.lease(Math.max(from.entriesEnd, this.#view.tail().entriesEnd))
    try {
      const scanner = scannerOver(this.#view, from)
      for (;;) {
        const step = await scanner.next()
        if (step.kind === 'end') {
          this.#moveTo(Math.max(start, this.#view.written().position))
          return step.items.filter((item) => item.position >= start)
        }
        if (step.end <= start) continue
        const items = step.kind === 'data' ? step.items : step.kind === 'hole' && step.hole !== null ? [step.hole] : []
        const rest = items.filter((item) => item.position >= start || (!isEntry(item) && item.end > start))
        const clipped = rest.map((item) => (item.position < start ? { ...item, position: start } : item))
        this.#bodyEnd = -1
        this.dropChunk()
        this.#moveTo(step.end)
        if (clipped.length > 0 || step.end > start) return clipped
      }
    } finally {
      lease.release()
    }
  }
}

/**
 * What is brought to a device goes with the memory that it lies in, and is let go of there; everything else is read by who
 * keeps views, and gets bytes of its own. Headers are empty once the memory was given back.
 */
function heldBy(frame: Frame, memory: PayloadMemory): Frame {
  if (frame.payload === null) return frame
  if (frame.type !== FrameType.write && frame.type !== FrameType.copy)
    return { ...frame, payload: Buffer.from(frame.payload) }
  memory.hold()
  return { ...frame, memory }
}
