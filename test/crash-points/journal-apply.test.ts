/**
 * Frames on their way into an agent's journal and on to its devices, and the cut of a tail that its primary lost: at every
 * crash point devices and journal are an exact prefix, acknowledgements are kept, and what was cut never comes back.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
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
import { SMALL_BOUND } from './choices.js'
import { accountOf, checkAccount, checkTally, CrashPoints, type Scenario } from './crash-points.js'
import { imagesOf, mostlyZeros, NUMBERED } from './primary-life.js'

const KIB = 1024

/** Steps whose loss no crash shows, and why. */
const REDUNDANT = {
  'name /state/replica.json | replica-file run':
    'an agent that does not know the life of its end begins anew, with every region dirty',
}

interface Promises extends Acknowledged {
  /** A session with this life of the primary has begun: the agent holds nothing that it lost. */
  readonly life: number | null
}

const world = new World({ seed: 'journal', deviceBytes: [96 * KIB, 16 * KIB], journalBytes: JOURNAL_BYTES })
await world.start()
await world.addSite({ dirtyLog: { type: 'core' } })
await world.until('the slink is live', () => world.primary.word() === 'live')
await world.settle()
const { primary, agent, prng } = world
// With so many lives a superblock has several sectors that change, and can be torn.
for (let life = 0; life < 8; life++) await world.restartAgent('stop')
await world.settle()
await world.advance(3000)

const names = new Map([
  [1, 'dev0'],
  [2, 'dev1'],
])
const trace = agent.disks.startTrace()
const watch = new AckWatch(world, trace)
const write = async (device: number, offset: number, bytes: number): Promise<void> => {
  await world.answered(primary.write({ device, offset, bytes: mostlyZeros(prng, bytes) }))
  await watch.flow(2)
}
await write(0, 512, 1536)
await write(1, 0, 1536)
await write(0, 1024, 1536)
await world.answered(primary.flush())
await watch.flow(120)
// More than a step of the journal, so that its space is given back.
await write(0, 4 * KIB, 80 * KIB)
await write(0, 8 * KIB, 80 * KIB)
await world.answered(primary.flush())
await watch.flow(1500)
await write(1, 0, 1536)
await world.answered(primary.flush())
await watch.flow(30)
// The agent has these, and its primary loses them.
await write(0, 512, 1536)
await write(1, 1024, 1536)
await watch.flow(10)
const lost = primary.history.lastLsn
primary.powerCut({ kind: 'lose-all' })
await world.startPrimary()
assert(primary.history.lastLsn < lost, 'the primary lost a tail')
watch.look()
await world.until('the session has begun', () => primary.slink().stream !== null)
await world.until('the slink is live', () => primary.word() === 'live')
trace.mark({ life: primary.history.incarnation })
await write(1, 512, 1536)
await write(0, 0, 1536)
await watch.flow(300)
trace.stop()

const { history } = primary
const lives = Array.from({ length: history.incarnation + 1 }, (_, life) => imagesOf(history, life))
const points = new CrashPoints(scenario(), SMALL_BOUND)

function scenario(): Scenario<AgentFacts, Promises> {
  return {
    trace,
    before: { received: 0, durable: 0, life: null },
    area: areaOfAgent,
    numbered: NUMBERED,
    promise: (promises, mark) => ({ ...promises, ...(mark as Partial<Promises>) }),
    recover: (disks) => openAgent(world, disks, names, (life, lsn) => lives[life]?.[lsn] ?? null),
    judge: (facts, promises, death) => {
      const { incarnation, receivedLsn, consistent } = facts
      if (!consistent) return 'the agent is not consistent, and nothing was resynced'
      if (promises.life !== null && !history.isCurrent(incarnation, receivedLsn))
        return `the agent ends at ${incarnation}:${receivedLsn}, which its primary has lost`
      return judgeAgent(facts, promises, death === 'kill')
    },
  }
}

test('devices and journal of an agent are an exact prefix at every crash point, with all that it acknowledged and nothing that was cut', async (t) => {
  checkTally(await points.all(), (line) => t.diagnostic(line))
})

test('no sync of journal, device or superblock can be left out at an agent', async (t) => {
  checkAccount(accountOf(await points.steps()), REDUNDANT, (line) => t.diagnostic(line))
})
