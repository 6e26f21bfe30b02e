/**
 * The return of a site that was behind: its mappings, the announcement of what is dirty, copies, live entries beside them,
 * regions that become clean at both sides, the place in the log in the place of the behind-mark. Both hosts die at every
 * crash point, each losing any part of what it had not synced.
 *
 * Judged at each: what both sides call clean is the history at the point where the agent's journal ends, and the log has
 * all that follows. From a fixed part of the states the pair goes on: both sides become equal.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng, type FaultDiskProvider } from '@sitelink/storage/testing'
import { World } from '../pair/world.js'
import {
  AckWatch,
  areaOfAgent,
  JOURNAL_BYTES,
  judgeAgent,
  openAgent,
  type Acknowledged,
  type AgentFacts,
} from './agent-life.js'
import { TINY_BOUND } from './choices.js'
import { accountOf, checkAccount, checkTally, CrashPoints, type Scenario } from './crash-points.js'
import { areaOfPrimary, imagesOf, mostlyZeros, NUMBERED, reopenPrimary } from './primary-life.js'

const KIB = 1024
const LOG_BYTES = 2 * 1024 * KIB
/** A region each. */
const DEVICE_BYTES = [16 * KIB, 16 * KIB, 16 * KIB]
/**
 * One state in so many goes on to the end: what an agent was told of a log that then lost it breaks no promise where both
 * die, and shows only when they go on.
 */
const GOES_ON = process.env['CRASH_POINTS'] === 'all' ? 1 : 5

/** Steps whose loss no crash shows, and why. */
const MORE_DIRTY = 'it stores that regions are clean; one that is dirty for too long is copied once more'
const REDUNDANT = {
  'agent:/state/dirty-0000000000000001.log: bitmap + header | dirty-log-store DirtyLogStore.write < dirty-log #flushNow < dirty-book #clean':
    MORE_DIRTY,
  'agent:/state/dirty-0000000000000002.log: bitmap + header | dirty-log-store DirtyLogStore.write < dirty-log #flushNow < dirty-book #clean':
    MORE_DIRTY,
  'agent:/state/dirty-0000000000000001.log: bitmap + header | dirty-log-store DirtyLogStore.write < dirty-log #flushNow < dirty-book DirtyBook.markBits':
    'its only region is the first that is copied, and until that is applied its stamp says the same; of the other device it is noticed',
  'name agent:/state/replica.json | replica-file run':
    'an agent that does not know the life of its end begins anew, with every region dirty',
  'primary:/state/dirty-1-0000000000000001: bitmap + header | dirty-log-store DirtyLogStore.write': MORE_DIRTY,
  'primary:/state/dirty-1-0000000000000002: bitmap + header | dirty-log-store DirtyLogStore.write': MORE_DIRTY,
  'primary:/state/dirty-1-0000000000000003: header | dirty-log-store DirtyLogStore.write':
    'it says that the bitmap is complete up to a later entry; an opening that does not know marks more, never less',
}

interface Promises extends Acknowledged {
  readonly written: number
  readonly primaryDurable: number
}

interface Facts {
  readonly agent: AgentFacts
  readonly lastLsn: number
  /** Entries up to here need not be sent from the log; null: the site has no place there. */
  readonly place: number | null
  /** Devices that the primary calls dirty. */
  readonly dirty: ReadonlySet<string>
  /** How the pair ended if it went on, or null. */
  readonly problem: string | null
}

const names = new Map(DEVICE_BYTES.map((_, number) => [number + 1, `dev${number}`]))
const world = new World({
  seed: 'hand-over',
  deviceBytes: DEVICE_BYTES,
  logBytes: LOG_BYTES,
  journalBytes: JOURNAL_BYTES,
  // Regions become clean at the regular pace, so that there is something between their begin and their end.
  agentLimits: { catchUpMs: 60_000 },
})
await world.start()
await world.addSite()
const { primary, agent, prng } = world
await world.until('the slink is live', () => primary.word() === 'live')
const write = async (device: number, offset = 4096 * prng.below(3), bytes = 1536): Promise<void> => {
  assert.equal(await world.answered(primary.write({ device, offset, bytes: mostlyZeros(prng, bytes) })), 0)
}
for (const device of names.keys()) await write(device - 1)
await world.settle()
// With so many lives a superblock has several sectors that change, and can be torn.
for (let life = 0; life < 8; life++) {
  await world.restartAgent('stop')
  await world.restartPrimary('stop')
}
await world.settle()
// Slow, so that the announcement, each copy and the entries between them lie in groups of their own.
await world.run(primary.admin.changeSlink(1, { resyncBytesPerSecond: 40_000 }))
world.silence()
await write(0)
await write(1)
void primary.slink().overflow.drop('the log is short of space')
await world.until('the slink is behind', () => primary.word() === 'behind')
await world.answered(primary.flush())
await world.advance(5000)
await world.run(agent.stop())
await world.startAgent()

const trace = primary.disks.startTrace('primary:')
agent.disks.startTrace('agent:', trace)
{
  const { onAnswer } = primary
  primary.onAnswer = (ticket) => {
    onAnswer?.(ticket)
    trace.mark({ written: primary.promised.written, primaryDurable: primary.promised.durable })
  }
}
const watch = new AckWatch(world, trace)
world.silence(agent, false)
for (let ms = 0; primary.slink().stream === null; ms++) {
  assert(ms < 20_000, 'the site comes back')
  await watch.flow(1)
}
// Live entries: to a region that is clean, one that is being copied, one that is clean by then.
await write(2)
await watch.flow(5)
await write(0)
await watch.flow(150)
await write(1)
await world.answered(primary.flush())
for (let ms = 0; !world.isSettled(); ms++) {
  assert(ms < 5000, 'the resync ends')
  await watch.flow(1)
}
await write(0)
await watch.flow(300)
trace.stop()

const images = imagesOf(primary.history)
const life = primary.history.incarnation
const points = new CrashPoints(scenario(), TINY_BOUND)

function scenario(): Scenario<Facts, Promises> {
  const { history } = primary
  let count = 0
  return {
    trace,
    before: { received: 0, durable: 0, written: 0, primaryDurable: 0 },
    area: (path, offset) => (path.startsWith('agent:') ? areaOfAgent(path, offset) : areaOfPrimary(path, offset)),
    numbered: NUMBERED,
    hosts: ['primary:', 'agent:'],
    // write-back.test.ts loses sectors of local devices.
    isVaried: (path) => !path.startsWith('primary:/dev/'),
    promise: (promises, mark) => ({ ...promises, ...(mark as Partial<Promises>) }),
    async recover(...hosts) {
      const [ofPrimary, ofAgent] = hosts as [FaultDiskProvider, FaultDiskProvider]
      const again = count++ % GOES_ON === 0 ? [ofPrimary, ofAgent].map((disks) => disks.fork(new Prng(1))) : null
      const agentFacts = await openAgent(world, ofAgent, names, (_, lsn) => images[lsn] ?? null)
      const { primary: next, clock } = await reopenPrimary(ofPrimary, history, LOG_BYTES)
      const { standing, mappings } = next.slink()
      const { log } = next.group
      const dirty = [...mappings].filter((one) => one.dirtyCount > 0).map((one) => names.get(one.deviceId) as string)
      const point = standing.kind === 'behind' ? null : standing.place.point.lsn
      const isThere = point !== null && (await clock.runUntil(log.locate(point))) !== null
      const { lastLsn } = log
      next.crash('none')
      const problem = again === null ? null : await goOn(again as [FaultDiskProvider, FaultDiskProvider])
      return { agent: agentFacts, lastLsn, place: isThere ? point : null, dirty: new Set(dirty), problem }
    },
    judge: ({ agent: facts, lastLsn, place, dirty, problem }, promises, death) => {
      const wanted = death === 'kill' ? promises.written : promises.primaryDurable
      if (lastLsn < wanted) return `LSN ${wanted} was promised, the log ends at ${lastLsn}`
      if (problem !== null) return problem
      const agentProblem = judgeAgent(
        { ...facts, dirty: new Set([...facts.dirty, ...dirty]) },
        promises,
        death === 'kill',
      )
      if (agentProblem !== null && !(facts.consistent && facts.dirty.size === 0 && dirty.size > 0)) return agentProblem
      if (facts.consistent && facts.different.length > 0)
        return `${facts.different.join()} differ at a consistent agent`
      const has = Math.min(facts.receivedLsn, lastLsn)
      for (const [deviceId, device] of names) {
        if (facts.dirty.has(device) || dirty.has(device)) continue
        const isMissing = history.entries(has + 1, lastLsn).some((entry) => entry.deviceId === deviceId)
        if (isMissing && place === null) return `nothing brings ${device} what follows LSN ${has}`
        if (isMissing && (place as number) > has)
          return `the place ${place} lies behind LSN ${has}, where the agent ends`
      }
      return null
    },
  }
}

/** Starts both again and lets them finish: both sides equal the history then. */
async function goOn([ofPrimary, ofAgent]: [FaultDiskProvider, FaultDiskProvider]): Promise<string | null> {
  const { history } = primary
  const left = { primary: { disks: ofPrimary, history }, agent: { disks: ofAgent, devices: agent.devices } }
  const next = new World({
    seed: 'goes on',
    deviceBytes: DEVICE_BYTES,
    logBytes: LOG_BYTES,
    journalBytes: JOURNAL_BYTES,
    left,
  })
  try {
    await next.revive()
    await next.settle(1, 30_000)
    await next.checkLocal()
    return null
  } catch (error) {
    return (error as Error).message
  } finally {
    if (next.primary.running) next.primary.crash('none')
    if (next.agent.running) next.agent.crash('none')
  }
}

test('while a site is handed over from its dirty logs to the log, no crash of both hosts hides what it misses', async (t) => {
  assert(life > 0)
  checkTally(await points.all(), (line) => t.diagnostic(line))
})

test('no sync can be left out on the way from a resync to the log', async (t) => {
  checkAccount(accountOf(await points.steps()), REDUNDANT, (line) => t.diagnostic(line))
})
