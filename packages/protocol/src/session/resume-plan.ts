/**
 * How a slink goes on with an agent that has just said how far it is.
 *
 * Owns the decision and its reasons; pure. It must never join two histories above their last common entry, and never
 * trust a replica that could lack something which no dirty log knows: then the agent starts over and every region is
 * dirty, durably, before the first frame. A sentence says why, for the event and for the agent's log.
 *
 * Rules, in this order; the first that holds decides:
 *
 *   another agent or journal than recorded                          start over
 *   no replica there, a durable acknowledgement recorded here       start over
 *   no replica there, none recorded                                 begin at the slink's own start
 *   replica of another log                                          start over
 *   incarnation of its end not in this log's table                  start over, corruption if it is of the future
 *   it applied an entry that is not at or below the common point    start over, corruption
 *   it was told durable what this log does not have                 start over, corruption
 *   the entry at the common point has another header CRC            start over, corruption
 *   its durable mark is below what it ever acknowledged             start over
 *   the slink's own start is beyond the head                        start over
 *   the log no longer has what follows, and the slink is not behind start over
 *   else                                                            resume at the common point
 *
 * "Was told durable" is held against the whole history, not against the common point: an agent that lags is told of
 * entries that it does not have yet.
 */
import { comparePoints, formatPoint, minPoint, ORIGIN, type LogPoint, type Lsn } from '../entry/lsn.js'
import type { Welcome, WireIncarnation, WirePoint, WireReplica } from '../control/messages.js'
import { LogHistory } from './history.js'

/** What the primary knows of its log and of the slink. */
export interface ResumeFacts {
  readonly logId: string
  /** Oldest first, the current one last. */
  readonly incarnations: readonly WireIncarnation[]
  readonly head: LogPoint
  /** First LSN that the log still holds; head + 1 if it holds none. */
  readonly firstLsn: Lsn
  /** Whose durable acknowledgements the slink has recorded, and the last of them. Null: none ever. */
  readonly recorded: { readonly agent: string; readonly journal: string; readonly durable: LogPoint } | null
  /** Up to where the agent acknowledged as durable; unless `answered`, where the slink begins: nothing before it is sent. */
  readonly start: LogPoint
  /** Whether an agent behind this slink ever acknowledged anything; if none did, nobody relies on what it has. */
  readonly answered: boolean
  /** The slink has no place in the log; its dirty logs cover everything behind its position. */
  readonly behind: boolean
  /** Header CRC of the entry at {@link commonPoint}, or null where the log no longer has it. */
  readonly commonCrc: number | null
}

export interface ResumePlan {
  readonly kind: 'resume'
  /** As `resume.common`. `ORIGIN` with `restart`. */
  readonly common: LogPoint
  /** As `resume.restart`: why the agent starts over, or null. */
  readonly restart: string | null
  /** Why every region of the slink must be dirty, durably, before the first frame; null if none need be. */
  readonly allDirty: string | null
  /** What must be reported as corruption of the log; null if nothing. Comes with `restart`. */
  readonly corruption: string | null
  /** Where the stream begins: behind an entry of the log, or by the rules of a slink that is behind. */
  readonly begin: { readonly kind: 'log'; readonly after: LogPoint } | { readonly kind: 'behind' }
}

/** `[incarnation, lsn]` as a point. */
export function pointOf(wire: WirePoint): LogPoint {
  return { incarnation: wire[0], lsn: wire[1] }
}

/** A point as `[incarnation, lsn]`. */
export function wirePoint(point: LogPoint): WirePoint {
  return [point.incarnation, point.lsn]
}

/** The last point that the log and the replica have in common; null if they have none that could be known. */
export function commonPoint(
  facts: Pick<ResumeFacts, 'logId' | 'incarnations' | 'head'>,
  replica: WireReplica | null,
): LogPoint | null {
  if (replica === null || replica.logId !== facts.logId) return null
  const history = new LogHistory(facts.incarnations, facts.head)
  const end = pointOf(replica.end)
  if (end.incarnation !== 0 && !history.has(end.incarnation, replica.incarnationId)) return null
  return history.commonWith(end)
}

/** Decides. `welcome` has passed the codec; `facts` are of one moment, with the log not moving on meanwhile. */
export function planResume(facts: ResumeFacts, welcome: Welcome): ResumePlan {
  const { recorded } = facts
  if (recorded !== null && recorded.agent !== welcome.agent) {
    return startOver(`another agent answers: ${welcome.agent} in place of ${recorded.agent}`)
  }
  if (recorded !== null && recorded.journal !== welcome.journal) {
    return startOver(`the agent has another journal: ${welcome.journal} in place of ${recorded.journal}`)
  }
  if (welcome.replica === null) {
    if (recorded !== null) {
      return startOver(`the agent has no replica although it acknowledged ${formatPoint(recorded.durable)} as durable`)
    }
    return begin(facts, welcome, ORIGIN, facts.start)
  }
  return planWithReplica(facts, welcome, welcome.replica)
}

function planWithReplica(facts: ResumeFacts, welcome: Welcome, replica: WireReplica): ResumePlan {
  if (replica.logId !== facts.logId) {
    return startOver(`the agent holds a replica of the log ${replica.logId}, this log is ${facts.logId}`)
  }
  const common = commonPoint(facts, replica)
  const history = new LogHistory(facts.incarnations, facts.head)
  if (common === null) {
    const why = `the agent's incarnation ${replica.end[0]} (${replica.incarnationId}) is not in the history of this log`
    return startOver(why, replica.end[0] > facts.head.incarnation)
  }
  const applied = pointOf(replica.applied)
  const told = pointOf(replica.primaryDurable)
  if (!history.contains(applied) || history.compare(applied, common) > 0) {
    return startOver(
      `the agent applied up to ${formatPoint(applied)}, but agrees with this log only up to ${formatPoint(common)}`,
      true,
    )
  }
  if (!history.contains(told)) {
    return startOver(
      `the agent was told that ${formatPoint(told)} is durable here, but this log does not have it`,
      true,
    )
  }
  if (crcDiffers(facts, replica, common)) {
    return startOver(`the entry at ${formatPoint(common)} is not the same here and at the agent`, true)
  }
  // What was in a lost tail is not durable any more in the history that goes on.
  const durable = minPoint(history.normal(pointOf(replica.durable)), common)
  const never = facts.recorded === null && !facts.answered
  const position = never ? ORIGIN : history.normal(facts.recorded?.durable ?? facts.start)
  if (comparePoints(durable, position) < 0) {
    return startOver(
      `the agent has ${formatPoint(durable)} durable, less than the slink's position ${formatPoint(position)}`,
    )
  }
  return begin(facts, welcome, common, never && history.compare(common, facts.start) < 0 ? facts.start : common)
}

function begin(facts: ResumeFacts, welcome: Welcome, common: LogPoint, after: LogPoint): ResumePlan {
  // Positions are clamped when a log is opened; one that was not must not let entries pass that nothing covers.
  if (after.lsn > facts.head.lsn) {
    return startOver(`the slink begins at ${formatPoint(after)}, which this log does not have`)
  }
  if (!facts.behind && after.lsn + 1 < facts.firstLsn) {
    return startOver(
      `the entries after ${formatPoint(after)} are no longer in the log, which begins at ${facts.firstLsn}`,
    )
  }
  return {
    kind: 'resume',
    common,
    restart: null,
    allDirty: welcome.allDirty ? 'the agent cannot say which regions it lacks' : null,
    corruption: null,
    begin: facts.behind ? { kind: 'behind' } : { kind: 'log', after },
  }
}

function crcDiffers(facts: ResumeFacts, replica: WireReplica, common: LogPoint): boolean {
  if (facts.commonCrc === null || replica.endCrc === 0 || common.lsn === 0) return false
  // The agent names the CRC of its last entry only.
  return replica.end[1] === common.lsn && replica.endCrc !== facts.commonCrc
}

function startOver(why: string, corrupt = false): ResumePlan {
  return {
    kind: 'resume',
    common: ORIGIN,
    restart: why,
    allDirty: why,
    corruption: corrupt ? why : null,
    begin: { kind: 'behind' },
  }
}
