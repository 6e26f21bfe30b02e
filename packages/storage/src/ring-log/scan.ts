/**
 * Walks the log group by group and judges every byte that counts.
 *
 * Owns the facts for the table in recovery.ts, and what follows from its decisions: where to go on behind a hole, where
 * the log ends. Reads only. Used by start-up, truncation, the cursor when it meets damage, and the inspector, so that all
 * of them see the same log.
 *
 * Behind a place that does not check it looks for groups that prove what was durable: writers wait for a sync when too
 * much is unsynced, so such a proof lies near or not at all.
 */
import { assert, crc32, FRAME_HEADER_BYTES, type Frame, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import { anchorOf, type Anchor } from './anchor.js'
import { decodeCheckpoint, type CheckpointBody } from './checkpoint.js'
import type { LogEntry, LogHole } from './contract.js'
import { alignUp } from './geometry.js'
import { searchGroups, type FoundGroup } from './group-search.js'
import { decodeGroupHeader, GROUP_HEADER_BYTES, GroupKind, groupSpan, type GroupHeader } from './group.js'
import { BLOCK_BYTES, CHUNK_BYTES, GROUP_BODY_BYTES_MAX, SEARCH_BYTES } from './limits.js'
import { LogError } from './log-error.js'
import { skipVoid, spanIndexAt, type LifeSpan } from './lives.js'
import { PositionReader, type Views } from './position-reader.js'
import { judge, type Row } from './recovery.js'
import type { RingSpace } from './ring-space.js'
import {
  chainBehind,
  frameFacts,
  groupFacts,
  holeOf,
  readFrame,
  type Chain,
  type FactsFound,
  type LogTraits,
} from './scan-facts.js'

/** What is at the next place. */
export type ScanStep =
  /** A group of entries; holes among them where entries could not be read. */
  | {
      readonly kind: 'data'
      readonly before: Anchor
      readonly header: GroupHeader
      readonly items: readonly (LogEntry | LogHole)[]
      readonly end: LogPosition
    }
  /** A checkpoint; `body` is null if it was durable once and cannot be read. */
  | {
      readonly kind: 'checkpoint'
      readonly before: Anchor
      readonly header: GroupHeader
      readonly body: CheckpointBody | null
      readonly end: LogPosition
    }
  /** Groups that were durable once and cannot be read; `hole` is null if no entries were lost with them. */
  | {
      readonly kind: 'hole'
      readonly position: LogPosition
      readonly end: LogPosition
      readonly hole: LogHole | null
      readonly why: string
    }
  /** The log ends. The last step. `items`: what counts of a group that is torn inside. */
  | {
      readonly kind: 'end'
      readonly why: string
      readonly cut: LogPosition
      readonly cutLsn: Lsn | null
      readonly before: Anchor
      readonly items: readonly (LogEntry | LogHole)[]
    }

export interface ScanOptions extends LogTraits {
  readonly space: RingSpace
  /** Where to begin. */
  readonly from: Anchor
  /** Nothing lies at or behind this: tail + ring bytes. */
  readonly limit: LogPosition
  /** Highest durable mark that is known. */
  readonly mark: LogPosition
  /** Last LSN below the mark. */
  readonly markLsn: Lsn
  /** How far behind a place proof of its durability may lie; 0: the mark is known to be the highest. */
  readonly proofBytes: number
  /** End here, whatever follows. */
  readonly stopAt?: LogPosition
  /** `lent`: of a frame in an answer only the numbers count, neither its header nor its payload. Default `kept`. */
  readonly views?: Views
}

/** Where the scanner stood before a group, to go back to if the group does not count. */
interface Place {
  readonly anchor: Anchor
  readonly chain: Chain
  readonly entriesEnd: LogPosition
}

export class Scanner {
  readonly #options: ScanOptions
  readonly #reader: PositionReader
  #position: LogPosition
  #chain: Chain
  #mark: LogPosition
  #markLsn: Lsn
  #probedTo: LogPosition = 0
  #foundEnd: LogPosition = 0
  #entriesEnd: LogPosition
  #done = false

  constructor(options: ScanOptions) {
    this.#options = options
    this.#reader = new PositionReader(options.space, options.limit, CHUNK_BYTES, options.views)
    const { position, entriesEnd, lsn, incarnation, entryCrc, groupCrc } = options.from
    this.#position = position
    this.#entriesEnd = entriesEnd
    this.#chain = { lsn, incarnation, entryCrc: lsn > 0 && entryCrc === 0 ? null : entryCrc, groupCrc, logId: null }
    this.#mark = options.mark
    this.#markLsn = options.markLsn
  }

  /** Highest durable mark found so far. */
  get mark(): LogPosition {
    return this.#mark
  }

  get bytesRead(): number {
    return this.#reader.bytesRead
  }

  /** End of the last group of this log that was seen, also behind the cut. */
  get foundEnd(): LogPosition {
    return this.#foundEnd
  }

  /** Where it stands, as a place to begin. */
  anchor(): Anchor {
    const { lsn, incarnation, entryCrc, groupCrc } = this.#chain
    return anchorOf(this.#position, this.#entriesEnd, lsn, incarnation, entryCrc ?? 0, groupCrc ?? 0)
  }

  /** The next place. Not called after `end`. Rejects with LOG_DAMAGED or LOG_READ_FAILED. */
  async next(): Promise<ScanStep> {
    assert(!this.#done, 'nothing follows the end')
    const { spans, limit, stopAt } = this.#options
    this.#position = skipVoid(spans, this.#position)
    const position = this.#position
    if (stopAt !== undefined && position >= stopAt) return this.#end('stop', stopAt, null)
    if (position + BLOCK_BYTES > limit) return this.#end('full', position, null)
    const span = spans[spanIndexAt(spans, position)] as LifeSpan
    const found = decodeGroupHeader(await this.#bytes(position, GROUP_HEADER_BYTES), 0)
    // Of a group that was cut only what lies below the cut is there, however long it says it is.
    const isTooLong =
      typeof found === 'object' && Math.min(position + groupSpan(found.bodyBytes), alignUp(span.end)) > limit
    const header = isTooLong ? 'field' : found
    const row = await this.#judge(groupFacts(header, position, span, this.#chain, this.#options))
    switch (row.then) {
      case 'accept':
        assert(typeof header === 'object', 'what is accepted has a header')
        return header.kind === GroupKind.checkpoint ? this.#checkpoint(header) : this.#data(header, span)
      case 'hole':
      case 'hole-body':
        return this.#skipHole(row.name)
      case 'refuse':
        throw this.#refusal(row.name, header)
      default:
        if (row.then !== 'torn') return this.#end(row.name, position, null)
        // Of a group whose header cannot be read only the first block is known.
        this.#sawEnd(position + (typeof header === 'object' ? groupSpan(header.bodyBytes) : BLOCK_BYTES))
        return this.#end(row.name, position, typeof header === 'object' ? header.firstLsn : this.#nextLsn())
    }
  }

  async #bytes(position: LogPosition, length: number): Promise<Buffer> {
    return this.#reader.have(position, length) ?? this.#reader.at(position, length)
  }

  /** Judges; before it believes that something was never durable it looks for proof of the contrary. */
  async #judge(facts: FactsFound, at = this.#position, end = at + BLOCK_BYTES): Promise<Row> {
    const first = judge({ ...facts, durable: at < this.#mark })
    if (first.then === 'accept' || first.then === 'refuse' || at < this.#mark) return first
    await this.#probe(at)
    const unreadable = this.#reader.unreadable.find((bad) => bad.position < end && bad.end > at)
    if (at >= this.#mark && unreadable !== undefined) {
      throw new LogError(
        'LOG_READ_FAILED',
        `the log cannot be read at position ${unreadable.position}`,
        { position: unreadable.position },
        { cause: unreadable.error },
      )
    }
    return judge({ ...facts, durable: at < this.#mark })
  }

  async #data(header: GroupHeader, span: LifeSpan): Promise<ScanStep> {
    const place = { anchor: this.anchor(), chain: this.#chain, entriesEnd: this.#entriesEnd }
    const groupAt = this.#position
    const bodyEnd = groupAt + GROUP_HEADER_BYTES + header.bodyBytes
    const end = Math.min(bodyEnd, span.end, this.#options.stopAt ?? bodyEnd)
    const clipped = end < bodyEnd
    const groupEnd = clipped ? end : groupAt + groupSpan(header.bodyBytes)
    this.#sawEnd(groupEnd)
    const items: (LogEntry | LogHole)[] = []
    let digest = 0
    let whole = !clipped
    for (let at = groupAt + GROUP_HEADER_BYTES; at < end;) {
      const found = await readFrame(this.#reader, at, end)
      const row = await this.#judge(frameFacts(found, span, this.#chain, this.#options), at, found.end)
      if (row.then === 'torn') return this.#tornInside(row.name, at, found.frame, place, items)
      if (row.then === 'hole') {
        const lastLsn = span.end < bodyEnd ? span.lastLsn : header.lastLsn
        items.push({ position: at, end, firstLsn: this.#nextLsn(), lastLsn, ranges: null })
        this.#chain = { ...this.#chain, lsn: lastLsn, entryCrc: null, logId: null }
        whole = false
        break
      }
      assert(row.then === 'accept' || row.then === 'hole-body', 'a frame is taken, torn or a hole')
      const frame = found.frame as Frame
      items.push(row.then === 'accept' ? { frame, position: at, end: found.end } : holeOf(frame, at, found.end))
      digest = crc32(frame.header.subarray(FRAME_HEADER_BYTES - 4), digest)
      this.#chain = chainBehind(frame, this.#chain.groupCrc)
      at = found.end
    }
    const matching = !whole || (items.length === header.entryCount && digest === header.bodyCrc)
    if (!matching) {
      // Each frame checks, but they are not those that were written with this header.
      const facts = { ...groupFacts(header, groupAt, span, place.chain, this.#options), body: false }
      const row = await this.#judge(facts, groupAt, bodyEnd)
      if (row.then === 'torn') return this.#tornInside(row.name, groupAt, null, place, [])
      const { firstLsn, lastLsn } = header
      items.splice(0, items.length, { position: groupAt + GROUP_HEADER_BYTES, end, firstLsn, lastLsn, ranges: null })
    }
    this.#noteMark(header)
    this.#chain = { ...this.#chain, groupCrc: matching ? header.headerCrc : null }
    this.#entriesEnd = end
    this.#position = groupEnd
    return { kind: 'data', before: place.anchor, header, items, end: groupEnd }
  }

  /**
   * A group that is torn inside. Where LSNs are dense each frame proves that it belongs here, and those before the cut
   * count. In a journal a frame of an earlier lap could pass for one of this group, so the group goes as a whole.
   */
  #tornInside(
    why: string,
    at: LogPosition,
    frame: Frame | null,
    { anchor, chain, entriesEnd }: Place,
    items: readonly (LogEntry | LogHole)[],
  ): ScanStep {
    if (this.#options.rule === 'dense' && items.length > 0) {
      this.#entriesEnd = at
      return this.#end(why, at, frame?.lsn ?? this.#nextLsn(), anchor, items)
    }
    this.#chain = chain
    this.#entriesEnd = entriesEnd
    return this.#end(why, anchor.position, this.#nextLsn(), anchor)
  }

  async #checkpoint(header: GroupHeader): Promise<ScanStep> {
    const before = this.anchor()
    const position = this.#position
    const end = position + groupSpan(header.bodyBytes)
    const bytes = await this.#bytes(position + GROUP_HEADER_BYTES, header.bodyBytes)
    const body = crc32(bytes) === header.bodyCrc ? decodeCheckpoint(bytes) : null
    this.#sawEnd(end)
    if (body === null) {
      const span = this.#options.spans[spanIndexAt(this.#options.spans, position)] as LifeSpan
      const row = await this.#judge(
        { ...groupFacts(header, position, span, this.#chain, this.#options), body: false },
        position,
        end,
      )
      if (row.then === 'torn') return this.#end(row.name, position, null)
    }
    this.#noteMark(header)
    this.#chain = { ...this.#chain, groupCrc: header.headerCrc }
    this.#position = end
    return { kind: 'checkpoint', before, header, body, end }
  }

  /** Goes on at the next group that counts below the mark, or at the mark. */
  async #skipHole(why: string): Promise<ScanStep> {
    const position = this.#position
    const next = await this.#search(position + BLOCK_BYTES, this.#mark, 'first')
    const end = next?.position ?? Math.max(alignUp(this.#mark), position + BLOCK_BYTES)
    const isData = next !== null && next.header.kind === GroupKind.data
    const firstLsn = this.#nextLsn()
    const lastLsn =
      next === null
        ? this.#markLsn
        : isData && this.#options.rule === 'dense'
          ? next.header.firstLsn - 1
          : next.header.firstLsn
    const lost = lastLsn >= firstLsn
    const hole = lost ? { position, end, firstLsn, lastLsn, ranges: null } : null
    this.#chain = {
      lsn: Math.max(lastLsn, this.#chain.lsn),
      incarnation: this.#chain.incarnation,
      entryCrc: lost ? null : this.#chain.entryCrc,
      groupCrc: null,
      logId: null,
    }
    this.#position = end
    if (lost) this.#entriesEnd = end
    return { kind: 'hole', position, end, hole, why }
  }

  /** Looks behind `at` for groups that say what was durable when they were written. */
  async #probe(at: LogPosition): Promise<void> {
    const { proofBytes, limit } = this.#options
    if (proofBytes === 0) return
    const from = Math.max(alignUp(at + 1), this.#probedTo)
    const to = Math.min(limit, alignUp(at) + proofBytes + 2 * groupSpan(GROUP_BODY_BYTES_MAX))
    await this.#search(from, to, 'all')
    this.#probedTo = Math.max(this.#probedTo, to)
  }

  /** The first group from `from` on, or null after having seen all; notes the marks of those that it passes. */
  async #search(from: LogPosition, to: LogPosition, want: 'first' | 'all'): Promise<FoundGroup | null> {
    const { space, limit, rule } = this.#options
    // Of what it reads only decoded headers are kept.
    const reader = new PositionReader(space, Math.min(to, limit), SEARCH_BYTES, 'lent')
    try {
      for await (const found of searchGroups(reader, from, this.#options)) {
        const { position, header, span } = found
        if (rule === 'dense' && header.firstLsn < this.#chain.lsn) continue
        this.#noteMark(header)
        this.#sawEnd(Math.min(span.end, position + groupSpan(header.bodyBytes)))
        if (want === 'first') return found
      }
      return null
    } finally {
      this.#reader.bytesRead += reader.bytesRead
    }
  }

  #nextLsn(): Lsn {
    return this.#options.rule === 'dense' ? this.#chain.lsn + 1 : this.#chain.lsn
  }

  #noteMark(header: GroupHeader): void {
    if (header.durableEnd <= this.#mark) return
    this.#mark = header.durableEnd
    this.#markLsn = header.durableLsn
  }

  #sawEnd(end: LogPosition): void {
    this.#foundEnd = Math.max(this.#foundEnd, end)
  }

  #end(
    why: string,
    cut: LogPosition,
    cutLsn: Lsn | null,
    before = this.anchor(),
    items: readonly (LogEntry | LogHole)[] = [],
  ): ScanStep {
    this.#done = true
    return { kind: 'end', why, cut, cutLsn, before, items }
  }

  #refusal(why: string, header: GroupHeader | string): LogError {
    const facts =
      typeof header === 'object'
        ? { position: this.#position, found: header.position, incarnation: header.incarnation }
        : { position: this.#position }
    return new LogError(
      'LOG_DAMAGED',
      `the ring is newer than its superblock (${why} at position ${this.#position}): the newest superblock was lost`,
      facts,
    )
  }
}
