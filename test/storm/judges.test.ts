/**
 * The judges of the storm, held to things that they must not let pass, and the plan to what it says of itself.
 */
import assert from 'node:assert/strict'
import { appendFileSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Prng } from '@sitelink/storage/testing'
import { temporaryFolder } from '../support/places.js'
import { seededPrng } from '../support/seed.js'
import type { AgentStatus, PrimaryStatus } from '../support/status-shape.js'
import { readsWrong } from './fio.js'
import { bugLines, LogJudge } from './log-judge.js'
import { drawRound, type RoundPlan, stepName } from './plan.js'
import { firstDifference } from './site-judge.js'
import { agentUnrest, disorders, fallen, negatives, unrest } from './status-judge.js'
import { Trace } from './trace.js'

const able = { namespaces: true, smallDisks: true }

function plans(seed: string, abilities = able): RoundPlan[] {
  const prng = new Prng(seed)
  return Array.from({ length: 300 }, (_, round) => drawRound(prng.fork(`round ${round}`), abilities))
}

test('the same seed draws the same rounds, another seed draws others', (t) => {
  const seed = String(seededPrng(t, 'storm plan').u32())
  assert.deepEqual(plans(seed), plans(seed))
  assert.notDeepEqual(plans(seed), plans(`${seed}x`))
})

test('every kind of fault is drawn, and each within its bounds', (t) => {
  const steps = plans(String(seededPrng(t, 'storm faults').u32())).flatMap(({ lanes }) => lanes.flat())
  const names = new Set(steps.map(stepName))
  const wanted =
    'kill crash-start freeze restart cut flap half-open stall-out stall-in delay limit link-down silence-out'
  const verbs = 'silence-in disk-full pause resync resync-full remap policy fall-behind rate path status'
  assert.deepEqual([...names].sort(), `${wanted} ${verbs}`.split(' ').sort())
  for (const step of steps) assert.ok(step.afterMs <= 3000 && step.forMs <= 5000, JSON.stringify(step))
})

test('what the machine cannot do is not drawn', (t) => {
  const seed = String(seededPrng(t, 'storm abilities').u32())
  const names = plans(seed, { namespaces: false, smallDisks: false }).flatMap(({ lanes }) => lanes.flat().map(stepName))
  for (const name of ['link-down', 'silence-out', 'silence-in', 'path', 'disk-full'])
    assert.ok(!names.includes(name), name)
  assert.ok(names.includes('cut'), 'the proxy is there anywhere')
})

const primary = (change: object = {}, slink: object = {}): PrimaryStatus =>
  ({
    group: { uuid: 'u', epoch: 1, state: 'running', waitingRequests: 0, heldRequests: 0 },
    log: { sizeBytes: 100, ringBytes: 90, usedBytes: 10, freeBytes: 80, lastLsn: 7, writtenLsn: 7, durableLsn: 7 },
    local: { lostRanges: 0 },
    devices: [],
    slinks: [
      {
        number: 1,
        mode: 'sync',
        state: 'live',
        protected: true,
        failing: false,
        receivedLsn: 7,
        durableLsn: 7,
        lagWrites: 0,
        lagBytes: 0,
        lagSeconds: 0,
        dirtyRegions: 0,
        totalRegions: 3,
        agentDirtyRegions: 0,
        agentConsistent: true,
        clockOffsetUs: -12,
        ...slink,
      },
    ],
    ...change,
  }) as unknown as PrimaryStatus

const report = (status: PrimaryStatus | AgentStatus): Record<string, unknown> => status as never

test('canary: a negative count, a mark that overtakes and a counter that falls are seen', () => {
  assert.deepEqual(negatives(report(primary())), [], 'a clock may be behind')
  assert.deepEqual(negatives(report(primary({}, { lagWrites: -1 }))), ['slinks.0.lagWrites is -1'])
  assert.deepEqual(negatives(report(primary({}, { rttMs: NaN }))), ['slinks.0.rttMs is NaN'])
  assert.deepEqual(disorders(primary()), [])
  assert.equal(disorders(primary({}, { durableLsn: 8 })).length, 1)
  assert.equal(disorders(primary({}, { receivedLsn: 9, durableLsn: 9 })).length, 1)
  assert.equal(disorders(primary({}, { dirtyRegions: 4 })).length, 1)
  const log = { sizeBytes: 100, ringBytes: 90, usedBytes: 91, lastLsn: 7, writtenLsn: 6, durableLsn: 7 }
  assert.equal(disorders(primary({ log })).length, 2)
  const [older, newer] = [report(primary()), report(primary({ log: { lastLsn: 6 } }))]
  assert.deepEqual(fallen('primary', older, newer), ['log.lastLsn fell from 7 to 6'])
  assert.deepEqual(fallen('primary', older, older), [])
})

test('canary: whatever is left to do at rest is seen', () => {
  assert.deepEqual(unrest(primary()), [])
  const busy = [
    primary({}, { lagWrites: 1 }),
    primary({}, { lagBytes: 1 }),
    primary({}, { lagSeconds: 0.1 }),
    primary({}, { dirtyRegions: 1 }),
    primary({}, { agentDirtyRegions: 1 }),
    primary({}, { agentConsistent: false }),
    primary({}, { state: 'catching-up' }),
    primary({}, { protected: false }),
    primary({}, { failing: true }),
    primary({ group: { state: 'failed', waitingRequests: 0, heldRequests: 0 } }),
    primary({ group: { state: 'running', waitingRequests: 1, heldRequests: 0 } }),
    primary({ group: { state: 'running', waitingRequests: 0, heldRequests: 1 } }),
    primary({ local: { lostRanges: 1 } }),
  ]
  for (const status of busy) assert.ok(unrest(status).length > 0, JSON.stringify(status))
  const replica = { consistent: true, dirtyRegions: 0, appliedLsn: 7, lagEntries: 0, lagBytes: 0 }
  const agent = (change: object, session: object = {}): AgentStatus =>
    ({ replica: { ...replica, ...change }, session: { connected: true, queuedBytes: 0, ...session } }) as never
  assert.deepEqual(agentUnrest(agent({}), 7), [])
  for (const change of [
    { consistent: false },
    { dirtyRegions: 1 },
    { appliedLsn: 6 },
    { lagEntries: 1 },
    { lagBytes: 1 },
  ])
    assert.equal(agentUnrest(agent(change), 7).length, 1, JSON.stringify(change))
  assert.equal(agentUnrest(agent({}, { connected: false }), 7).length, 1)
  assert.equal(agentUnrest(agent({}, { queuedBytes: 5 }), 7).length, 1)
})

test('canary: a line that speaks of a bug is seen once, an unended one when it is ended', () => {
  for (const line of [
    'AssertionError: x',
    'internal error: y',
    '{"code":"INTERNAL"}',
    'TypeError: z',
    'unhandledRejection',
  ])
    assert.equal(bugLines(line).length, 1, line)
  assert.deepEqual(bugLines('{"level":"warn","message":"slink 1: connection lost: reset"}'), [])
  const folder = join(temporaryFolder('log-judge'), 'logs')
  const judge = new LogJudge(folder)
  assert.deepEqual(judge.look(), [], 'nobody has logged anything')
  mkdirSync(folder)
  appendFileSync(join(folder, 'a.log'), 'all is well\nAssertion')
  assert.deepEqual(judge.look(), [])
  appendFileSync(join(folder, 'a.log'), 'Error: no\n')
  assert.deepEqual(judge.look(), ['a.log: AssertionError: no'])
  assert.deepEqual(judge.look(), [])
})

test('canary: fio that reads something else is told from fio that lost its connection', () => {
  assert.ok(readsWrong('verify: bad magic header 505, wanted acca at file v.0.0 offset 40960'))
  assert.ok(readsWrong('crc32c: verify failed at file /dev/x offset 0, length 4096'))
  assert.ok(!readsWrong('fio: nbd_poll: nbd_poll: recv: Connection reset by peer\nerr=-1/file:ioengines.c:320'))
})

test('canary: one byte of one block is a difference, and so is a size', () => {
  const one = Buffer.alloc(3 * 4096)
  const other = Buffer.from(one)
  assert.equal(firstDifference(one, other), null)
  other[4096] = 1
  assert.equal(firstDifference(one, other), 'block 1')
  assert.match(firstDifference(one, one.subarray(4096)) ?? '', /its size/)
})

test('the first violation counts, and a trace keeps what led to it', async () => {
  const path = join(temporaryFolder('trace'), 'trace.log')
  const trace = new Trace(path)
  for (trace.round = 1; trace.round < 4; trace.round++) trace.say(`in round ${trace.round}`)
  trace.round = 3
  assert.throws(() => trace.fail('one'), /round 3: one/)
  trace.violate('two')
  assert.equal((await trace.violated).message, 'round 3: one')
  assert.ok(trace.recent().some((line) => line.endsWith('in round 2')))
  assert.ok(!trace.recent().some((line) => line.endsWith('in round 1')))
  assert.match(readFileSync(path, 'utf8'), /VIOLATION: two/)
})
