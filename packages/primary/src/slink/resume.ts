/**
 * What the primary does between an agent's welcome and its own `resume`: everything that must be durable first.
 *
 * Owns the order: the agent's dirty maps are ORed into the slink's own, the plan is made, what it wants dirty is
 * marked, all of it is stored, the peer is recorded; only then the plan may be sent.
 */
import {
  commonPoint,
  formatId64,
  planResume,
  wirePoint,
  type DirtyMap,
  type LogPoint,
  type Resume,
  type ResumeFacts,
  type Welcome,
} from '@sitelink/protocol'
import { heartbeatMsOf } from './link-terms.js'
import type { SlinkContext } from './slink-context.js'
import type { Slink } from './slink.js'
import { hasAnswered } from './standing.js'
import type { PeerRecord } from './peers.js'

export interface PreparedResume {
  readonly resume: Resume
  readonly restart: boolean
  readonly common: LogPoint
}

/**
 * Plans and stores. Rejects with a sentence if the slink is being dropped or a dirty log cannot be stored; and if its
 * session is `over`, which says nothing any more of the next one and must not touch what that has begun with.
 */
export async function prepareResume(
  slink: Slink,
  welcome: Welcome,
  maps: readonly DirtyMap[],
  context: SlinkContext,
  over: () => boolean,
): Promise<PreparedResume> {
  if (slink.standing.kind === 'dropping') throw new Error('the slink is falling back to its dirty logs just now')
  for (const map of maps) takeMap(slink, map)
  const facts = await resumeFacts(slink, welcome, context)
  if (over()) throw new Error('the session is over')
  const plan = planResume(facts, welcome)
  if (plan.allDirty !== null && slink.mappings.size > 0) {
    slink.mappings.markAll()
    context.event({
      kind: plan.corruption === null ? 'slink-all-dirty' : 'slink-corruption',
      level: plan.corruption === null ? 'warning' : 'error',
      message: `slink ${slink.number} is resynced in full: ${plan.allDirty}`,
      facts: { slink: slink.number, corruption: plan.corruption !== null },
    })
  }
  if (slink.mappings.dirtyRegions > 0) await slink.flushMarks()
  if (over()) throw new Error('the session is over')
  // A restarted agent makes itself a new journal, which the next welcome names.
  const journal = plan.restart === null ? welcome.journal : ''
  const recorded = context.peer(slink.number)
  if (recorded === null || recorded.agent !== welcome.agent || recorded.journal !== journal) {
    await context.recordPeer(slink.number, { agent: welcome.agent, journal })
  }
  const resume: Resume = {
    kind: 'resume',
    common: wirePoint(plan.common),
    restart: plan.restart,
    heartbeatMs: heartbeatMsOf(slink.config),
    detectMs: slink.config.detectMs,
  }
  return { resume, restart: plan.restart !== null, common: plan.common }
}

function takeMap(slink: Slink, map: DirtyMap): void {
  const mapping = slink.mappings.get(map.deviceId)
  if (
    mapping === undefined ||
    mapping.config.mappingId !== map.mappingId ||
    mapping.config.regionBytes !== map.regionBytes
  )
    return
  const end = Math.min(map.regionCount, mapping.regionCount - map.firstRegion)
  for (let index = 0; index < end; index += 1) {
    if (((map.bits[index >> 3] as number) & (1 << (index & 7))) !== 0)
      mapping.dirty.markRegions(map.firstRegion + index, 1)
  }
}

async function resumeFacts(slink: Slink, welcome: Welcome, context: SlinkContext): Promise<ResumeFacts> {
  const { log } = context
  const incarnations = log.incarnations.map(({ number, id, firstLsn }) => ({ number, id: formatId64(id), firstLsn }))
  const head = { incarnation: log.incarnation.number, lsn: context.written().point.lsn }
  const logId = formatId64(log.identity)
  const peer = context.peer(slink.number)
  const common = commonPoint({ logId, incarnations, head }, welcome.replica)
  return {
    logId,
    incarnations,
    head,
    firstLsn: await firstLsn(slink, context, common),
    recorded: recorded(slink, welcome, peer),
    start: slink.point,
    answered: hasAnswered(slink.standing),
    behind: slink.standing.kind === 'behind',
    commonCrc: await headerCrcAt(common, context),
  }
}

/**
 * Whose acknowledgements count. None, where the very agent that was met before has never acknowledged anything: a first
 * session that broke at once says nothing of what it has. Of another agent nothing is known, so it is not asked about that.
 */
function recorded(slink: Slink, welcome: Welcome, peer: PeerRecord | null): ResumeFacts['recorded'] {
  if (peer === null) return null
  const journal = peer.journal === '' ? welcome.journal : peer.journal
  const known = peer.agent === welcome.agent && journal === welcome.journal
  return known && !hasAnswered(slink.standing) ? null : { agent: peer.agent, journal, durable: slink.point }
}

/** First LSN that the log still has for this slink: whatever its place pins. */
async function firstLsn(slink: Slink, context: SlinkContext, common: LogPoint | null): Promise<number> {
  if (slink.standing.kind === 'behind') return context.written().point.lsn + 1
  const from = Math.min(slink.point.lsn, common?.lsn ?? slink.point.lsn)
  const found = await context.log.locate(from)
  return found === null ? slink.point.lsn + 1 : from + 1
}

/** Header CRC of the entry at `point`, where the log has it. */
async function headerCrcAt(point: LogPoint | null, context: SlinkContext): Promise<number | null> {
  const { log } = context
  if (point === null || point.lsn === 0) return null
  if (point.lsn === log.lastLsn) return log.lastHeaderCrc
  const position = await log.locate(point.lsn - 1)
  if (position === null || position >= log.writtenEnd) return null
  const entry = await log.readEntry(position).catch(() => null)
  return entry !== null && entry.frame.lsn === point.lsn ? entry.frame.headerCrc : null
}
