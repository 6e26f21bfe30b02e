/**
 * From bytes to facts: what a group header or a frame says about itself, held against the chain before it.
 *
 * Owns the comparison, not the judgement (recovery.ts) and not the way (scan.ts).
 */
import {
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
import type { LogHole, LsnRule } from './contract.js'
import { GroupKind, type GroupHeader } from './group.js'
import { spanIndexAt, type LifeSpan } from './lives.js'
import type { PositionReader } from './position-reader.js'
import type { Facts } from './recovery.js'
import { touchesDevice } from './region-set.js'

/** All facts but the durable mark, which is looked for only when it matters. */
export type FactsFound = Omit<Facts, 'durable'>

/** The chain behind the last thing that counts; null fields are not known. */
export interface Chain {
  readonly lsn: Lsn
  readonly incarnation: number
  readonly entryCrc: number | null
  readonly groupCrc: number | null
  /** Log that the last frame names. */
  readonly logId: Id64 | null
}

/** What one log is, for telling its own from anything else. */
export interface LogTraits {
  readonly logId: Id64
  readonly rule: LsnRule
  readonly spans: readonly LifeSpan[]
}

/** A frame as it was read; `frame` is null if its header does not check. */
export interface ReadFrame {
  readonly frame: Frame | null
  readonly problem: Facts['header']
  readonly payloadGood: boolean
  /** Behind its payload; without a frame the end of what could be read. */
  readonly end: LogPosition
}

const NOTHING = { identity: false, position: 'right', life: 'void', chain: false, lsn: false, body: false } as const

/** `header`: what was decoded, or why nothing was. */
export function groupFacts(
  header: GroupHeader | string,
  position: LogPosition,
  span: LifeSpan,
  chain: Chain,
  log: LogTraits,
): FactsFound {
  if (typeof header === 'string') return { place: 'group', header: header === 'none' ? 'absent' : 'bad', ...NOTHING }
  const newest = (log.spans.at(-1) as LifeSpan).number
  const expected = position === span.first ? span.id.low : chain.groupCrc
  const isData = header.kind === GroupKind.data
  const lsnExpected = isData && log.rule === 'dense' ? chain.lsn + 1 : chain.lsn
  return {
    place: 'group',
    header: 'good',
    identity: sameId64(header.logId, log.logId),
    position:
      header.position === position
        ? 'right'
        : header.position < position || isCutAway(header, newest, log)
          ? 'behind'
          : 'ahead',
    life: header.incarnation === span.number ? 'right' : header.incarnation > newest ? 'unknown' : 'void',
    chain: expected === null || header.previousCrc === expected,
    lsn: isData && log.rule === 'monotone' ? true : header.firstLsn === lsnExpected,
    body: true,
  }
}

/**
 * Of a tail that was cut: it lies where its life ended before. A ring that was resized may have another position there
 * now; nothing of the log that counts was lost with it.
 */
function isCutAway({ position, incarnation }: GroupHeader, newest: number, { spans }: LogTraits): boolean {
  if (incarnation > newest) return false
  const span = spans[spanIndexAt(spans, position)] as LifeSpan
  return span.number !== incarnation || position >= span.end
}

export function frameFacts(found: ReadFrame, span: LifeSpan, chain: Chain, log: LogTraits): FactsFound {
  const { frame } = found
  if (frame === null) return { place: 'entry', header: found.problem, ...NOTHING }
  const facts = { place: 'entry', header: 'good', position: 'right', body: found.payloadGood } as const
  const frameLogId = headerLogId(frame.header)
  if (log.rule === 'monotone') {
    // Frames carry the identity of the log that they come from; within one their order never falls.
    const falls =
      chain.logId !== null &&
      sameId64(frameLogId, chain.logId) &&
      (frame.incarnation < chain.incarnation || (frame.incarnation === chain.incarnation && frame.lsn < chain.lsn))
    return { ...facts, identity: true, life: 'right', chain: true, lsn: !falls }
  }
  return {
    ...facts,
    identity: sameId64(frameLogId, log.logId),
    life: frame.incarnation === span.number ? 'right' : frame.incarnation > span.number ? 'unknown' : 'void',
    chain: chain.entryCrc === null || headerPreviousCrc(frame.header) === chain.entryCrc,
    lsn: frame.lsn === chain.lsn + 1,
  }
}

/** The frame at `at`, of which nothing lies at or behind `end`. */
export async function readFrame(reader: PositionReader, at: LogPosition, end: LogPosition): Promise<ReadFrame> {
  const nothing = { frame: null, payloadGood: false, end }
  if (end - at < FRAME_HEADER_BYTES) return { ...nothing, problem: 'absent' }
  const header = reader.have(at, FRAME_HEADER_BYTES) ?? (await reader.at(at, FRAME_HEADER_BYTES))
  const problem = headerProblem(header)
  if (problem !== null) return { ...nothing, problem: problem === 'magic' ? 'absent' : 'bad' }
  const payloadBytes = headerPayloadBytes(header)
  const payloadAt = at + FRAME_HEADER_BYTES
  if (payloadAt + payloadBytes > end) return { ...nothing, problem: 'bad' }
  const payload =
    payloadBytes === 0 ? null : (reader.have(payloadAt, payloadBytes) ?? (await reader.at(payloadAt, payloadBytes)))
  return {
    frame: decodeFrame(header, payload),
    problem: 'good',
    payloadGood: payloadMatches(header, payload),
    end: payloadAt + payloadBytes,
  }
}

/** The chain behind a frame whose header is good. */
export function chainBehind(frame: Frame, groupCrc: number | null): Chain {
  const { lsn, incarnation, headerCrc } = frame
  return { lsn, incarnation, entryCrc: headerCrc, groupCrc, logId: headerLogId(frame.header) }
}

/** A frame whose header is good and whose payload is not. */
export function holeOf(frame: Frame, position: LogPosition, end: LogPosition): LogHole {
  const ranges = touchesDevice(frame) ? [{ deviceId: frame.deviceId, offset: frame.offset, length: frame.length }] : []
  return { position, end, firstLsn: frame.lsn, lastLsn: frame.lsn, ranges }
}
