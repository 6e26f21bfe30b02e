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
import {
  assert,
  crc32,
  decodeFrame,
  FRAME_HEADER_BYTES,
  headerLogId,
  headerPayloadBytes,
  headerPreviousCrc,
  headerProblem,
  payloadMatches,
  sameId64,
  type Frame,
  type Id64,
  type LogPosition,
  type Lsn,
} from '@sitelink/protocol/entry'
import type { Anchor } from './anchor.js'
import { decodeCheckpoint, type CheckpointBody } from './checkpoint.js'
import type { LogEntry, LogHole, LsnRule } from './contract.js'
import { alignUp } from './geometry.js'
import { decodeGroupHeader, GROUP_HEADER_BYTES, GroupKind, groupSpan, type GroupHeader } from './group.js'
import { BLOCK_BYTES, GROUP_BODY_BYTES_MAX } from './limits.js'
import { LogError } from './log-error.js'
import { skipVoid, spanIndexAt, type LifeSpan } from './lives.js'
import { PositionReader } from './position-reader.js'
import { judge, type Decision, type Facts } from './recovery.js'
import { touchesDevice } from './region-set.js'
import type { RingSpace } from './ring-space.js'

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

export interface ScanOptions {
  readonly space: RingSpace
  readonly logId: Id64
  readonly rule: LsnRule
  readonly spans: readonly LifeSpan[]
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
}

/** The chain behind the last thing that counts; null fields are not known. */
interface Chain {
  lsn: Lsn
  incarnation: number
  entryCrc: number | null
  groupCrc: number | null
  logId: Id64 | null
}

interface Probe {
  readonly position: LogPosition
  readonly header: GroupHeader
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
    this.#reader = new PositionReader(options.space, options.limit)
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
    return {
      position: this.#position,
      entriesEnd: this.#entriesEnd,
      lsn,
      incarnation,
      entryCrc: entryCrc ?? 0,
      groupCrc: groupCrc ?? 0,
    }
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
    const header = typeof found === 'object' && position + groupSpan(found.bodyBytes) > limit ? 'field' : found
    const row = await this.#judge(this.#groupFacts(header, position, span))
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
        if (typeof header === 'object' && row.then === 'torn') this.#sawEnd(position + groupSpan(header.bodyBytes))
        return this.#end(row.name, position, typeof header === 'object' && row.then === 'torn' ? header.firstLsn : null)
    }
  }

  async #bytes(position: LogPosition, length: number): Promise<Buffer> {
    return this.#reader.have(position, length) ?? this.#reader.at(position, length)
  }

  /** Judges; before it believes that something was never durable it looks for proof of the contrary. */
  async #judge(
    facts: Omit<Facts, 'durable'>,
    at = this.#position,
    end = at + BLOCK_BYTES,
  ): Promise<{ readonly name: string; readonly then: Decision }> {
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

  #groupFacts(header: GroupHeader | string, position: LogPosition, span: LifeSpan): Omit<Facts, 'durable'> {
    const { logId, rule, spans } = this.#options
    if (typeof header === 'string') {
      return {
        place: 'group',
        header: header === 'none' ? 'absent' : 'bad',
        identity: false,
        position: 'right',
        life: 'void',
        chain: false,
        lsn: false,
        body: false,
      }
    }
    const newest = (spans.at(-1) as LifeSpan).number
    const expected = position === span.first ? span.id.low : this.#chain.groupCrc
    const isData = header.kind === GroupKind.data
    const lsnExpected = isData && rule === 'dense' ? this.#chain.lsn + 1 : this.#chain.lsn
    return {
      place: 'group',
      header: 'good',
      identity: sameId64(header.logId, logId),
      position: header.position === position ? 'right' : header.position < position ? 'behind' : 'ahead',
      life: header.incarnation === span.number ? 'right' : header.incarnation > newest ? 'unknown' : 'void',
      chain: expected === null || header.previousCrc === expected,
      lsn: isData && rule === 'monotone' ? true : header.firstLsn === lsnExpected,
      body: true,
    }
  }

  async #data(header: GroupHeader, span: LifeSpan): Promise<ScanStep> {
    const before = this.anchor()
    const groupAt = this.#position
    const chainBefore = { ...this.#chain }
    const entriesEndBefore = this.#entriesEnd
    const bodyEnd = groupAt + GROUP_HEADER_BYTES + header.bodyBytes
    const end = Math.min(bodyEnd, span.end, this.#options.stopAt ?? bodyEnd)
    const clipped = end < bodyEnd
    const lastLsn = span.end < bodyEnd ? span.lastLsn : header.lastLsn
    const groupEnd = groupAt + groupSpan(header.bodyBytes)
    this.#sawEnd(clipped ? end : groupEnd)
    const items: (LogEntry | LogHole)[] = []
    let digest = 0
    let exact = !clipped
    let at = groupAt + GROUP_HEADER_BYTES
    while (at < end) {
      const found = await this.#frameAt(at, end)
      const row = await this.#judge(this.#frameFacts(found, span), at, found.end)
      if (row.then === 'torn')
        return this.#tornInside(row.name, at, found.header, { before, chainBefore, entriesEndBefore, items })
      if (row.then === 'hole') {
        items.push({ position: at, end, firstLsn: this.#nextLsn(), lastLsn, ranges: null })
        this.#chain = { ...this.#chain, lsn: lastLsn, entryCrc: null, logId: null }
        exact = false
        break
      }
      assert(row.then === 'accept' || row.then === 'hole-body', 'a frame is taken, torn or a hole')
      const frame = found.frame as Frame
      items.push(row.then === 'accept' ? { frame, position: at, end: found.end } : holeOf(frame, at, found.end))
      digest = crc32(frame.header.subarray(FRAME_HEADER_BYTES - 4), digest)
      this.#chain = {
        ...this.#chain,
        lsn: frame.lsn,
        incarnation: frame.incarnation,
        entryCrc: frame.headerCrc,
        logId: headerLogId(frame.header),
      }
      at = found.end
    }
    if (exact && (items.length !== header.entryCount || digest !== header.bodyCrc)) {
      const row = await this.#judge(
        { ...this.#groupFacts(header, groupAt, span), chain: true, lsn: true, body: false },
        groupAt,
        bodyEnd,
      )
      if (row.then === 'torn')
        return this.#tornInside(row.name, groupAt, null, { before, chainBefore, entriesEndBefore, items: [] })
      items.splice(0, items.length, {
        position: groupAt + GROUP_HEADER_BYTES,
        end,
        firstLsn: header.firstLsn,
        lastLsn: header.lastLsn,
        ranges: null,
      })
    }
    this.#noteMark(header)
    this.#chain.groupCrc = header.headerCrc
    this.#entriesEnd = end
    this.#position = clipped ? end : groupEnd
    return { kind: 'data', before, header, items, end: this.#position }
  }

  /**
   * A group that is torn inside. Where LSNs are dense each frame proves that it belongs here, and those before the cut
   * count. In a journal a frame of an earlier lap could pass for one of this group, so the group goes as a whole.
   */
  #tornInside(
    why: string,
    at: LogPosition,
    frameHeader: Buffer | null,
    group: {
      readonly before: Anchor
      readonly chainBefore: Chain
      readonly entriesEndBefore: LogPosition
      readonly items: readonly (LogEntry | LogHole)[]
    },
  ): ScanStep {
    if (this.#options.rule === 'dense' && group.items.length > 0) {
      this.#entriesEnd = at
      const lsn = frameHeader === null ? this.#chain.lsn + 1 : decodeFrame(frameHeader, null).lsn
      return this.#end(why, at, lsn, group.before, group.items)
    }
    this.#chain = group.chainBefore
    this.#entriesEnd = group.entriesEndBefore
    return this.#end(why, group.before.position, this.#nextLsn(), group.before)
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
      const row = await this.#judge({ ...this.#groupFacts(header, position, span), body: false }, position, end)
      if (row.then === 'torn') return this.#end(row.name, position, null)
    }
    this.#noteMark(header)
    this.#chain.groupCrc = header.headerCrc
    this.#position = end
    return { kind: 'checkpoint', before, header, body, end }
  }

  async #frameAt(
    at: LogPosition,
    end: LogPosition,
  ): Promise<{
    header: Buffer | null
    frame: Frame | null
    end: LogPosition
    problem: Facts['header']
    body: boolean
  }> {
    const nothing = { header: null, frame: null, end, body: false }
    if (end - at < FRAME_HEADER_BYTES) return { ...nothing, problem: 'absent' }
    const header = await this.#bytes(at, FRAME_HEADER_BYTES)
    const problem = headerProblem(header)
    if (problem !== null) return { ...nothing, problem: problem === 'magic' ? 'absent' : 'bad' }
    const payloadBytes = headerPayloadBytes(header)
    const frameEnd = at + FRAME_HEADER_BYTES + payloadBytes
    if (frameEnd > end) return { ...nothing, problem: 'bad' }
    const payload = payloadBytes === 0 ? null : await this.#bytes(at + FRAME_HEADER_BYTES, payloadBytes)
    return {
      header,
      frame: decodeFrame(header, payload),
      end: frameEnd,
      problem: 'good',
      body: payloadMatches(header, payload),
    }
  }

  #frameFacts(
    found: { readonly frame: Frame | null; readonly problem: Facts['header']; readonly body: boolean },
    span: LifeSpan,
  ): Omit<Facts, 'durable'> {
    const { frame } = found
    if (frame === null)
      return {
        place: 'entry',
        header: found.problem,
        identity: false,
        position: 'right',
        life: 'void',
        chain: false,
        lsn: false,
        body: false,
      }
    const facts = { place: 'entry', header: 'good', position: 'right', body: found.body } as const
    const { lsn, incarnation, entryCrc, logId } = this.#chain
    const frameLogId = headerLogId(frame.header)
    if (this.#options.rule === 'monotone') {
      // Frames carry the identity of the log that they come from; within one their order never falls.
      const falls =
        logId !== null &&
        sameId64(frameLogId, logId) &&
        (frame.incarnation < incarnation || (frame.incarnation === incarnation && frame.lsn < lsn))
      return { ...facts, identity: true, life: 'right', chain: true, lsn: !falls }
    }
    return {
      ...facts,
      identity: sameId64(frameLogId, this.#options.logId),
      life: frame.incarnation === span.number ? 'right' : frame.incarnation > span.number ? 'unknown' : 'void',
      chain: entryCrc === null || headerPreviousCrc(frame.header) === entryCrc,
      lsn: frame.lsn === lsn + 1,
    }
  }

  /** Goes on at the next group that counts below the mark, or at the mark. */
  async #skipHole(why: string): Promise<ScanStep> {
    const position = this.#position
    const next = await this.#search(position + BLOCK_BYTES, this.#mark, () => true)
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
    await this.#search(from, to, () => false)
    this.#probedTo = Math.max(this.#probedTo, to)
  }

  /** The first group of this log in its right place that `wanted` accepts; notes the marks of all that it passes. */
  async #search(from: LogPosition, to: LogPosition, wanted: (probe: Probe) => boolean): Promise<Probe | null> {
    const { spans, logId, rule, space, limit } = this.#options
    const reader = new PositionReader(space, Math.min(to, limit))
    try {
      for (let position = from; position + BLOCK_BYTES <= reader.limit; position += BLOCK_BYTES) {
        const bytes = reader.have(position, GROUP_HEADER_BYTES) ?? (await reader.at(position, GROUP_HEADER_BYTES))
        const header = decodeGroupHeader(bytes, 0)
        if (typeof header === 'string' || header.position !== position || !sameId64(header.logId, logId)) continue
        const span = spans[spanIndexAt(spans, position)] as LifeSpan
        if (header.incarnation !== span.number || position >= span.end) continue
        if (rule === 'dense' && header.firstLsn < this.#chain.lsn) continue
        this.#noteMark(header)
        this.#sawEnd(Math.min(span.end, position + groupSpan(header.bodyBytes)))
        if (wanted({ position, header })) return { position, header }
      }
    } finally {
      this.#reader.bytesRead += reader.bytesRead
    }
    return null
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

/** A frame whose header is good and whose payload is not. */
function holeOf(frame: Frame, position: LogPosition, end: LogPosition): LogHole {
  const ranges = touchesDevice(frame) ? [{ deviceId: frame.deviceId, offset: frame.offset, length: frame.length }] : []
  return { position, end, firstLsn: frame.lsn, lastLsn: frame.lsn, ranges }
}
