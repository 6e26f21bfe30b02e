/**
 * Where a slink goes on: each rule by an example, and over random histories the one property that counts - two
 * histories that diverge are never joined above their last common entry.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  commonPoint,
  LogHistory,
  ORIGIN,
  planResume,
  type LogPoint,
  type ResumeFacts,
  type ResumePlan,
  type Welcome,
  type WireIncarnation,
  type WirePoint,
  type WireReplica,
} from '../../src/index.js'
import { SeededRandom, seeded } from '../support/random.js'
import { sampleMessages } from '../support/samples.js'

const LOG = '00112233445566ff'
const idOf = (number: number): string => number.toString(16).padStart(16, '0')
const at = (incarnation: number, lsn: number): LogPoint => ({ incarnation, lsn })

/** Incarnation 1 ended at 49, 2 began at 50 and goes to 100. */
const history: readonly WireIncarnation[] = [
  { number: 1, id: idOf(1), firstLsn: 1 },
  { number: 2, id: idOf(2), firstLsn: 50 },
]

function facts(change: Partial<ResumeFacts> = {}): ResumeFacts {
  return {
    logId: LOG,
    incarnations: history,
    head: at(2, 100),
    firstLsn: 1,
    recorded: { agent: sampleMessages.welcome.agent, journal: sampleMessages.welcome.journal, durable: at(1, 30) },
    start: ORIGIN,
    answered: false,
    behind: false,
    commonCrc: null,
    ...change,
  }
}

function welcome(replica: Partial<WireReplica> | null, change: Partial<Welcome> = {}): Welcome {
  const whole: WireReplica | null =
    replica === null
      ? null
      : {
          logId: LOG,
          incarnationId: idOf(replica.end?.[0] ?? 2),
          end: [2, 80],
          endCrc: 0,
          durable: [2, 80],
          applied: [1, 30],
          primaryDurable: [2, 70],
          stamp: [0, 0],
          ...replica,
        }
  return { ...sampleMessages.welcome, replica: whole, ...change }
}

function resumes(plan: ResumePlan, common: LogPoint): void {
  assert.equal(plan.restart, null)
  assert.deepEqual(plan.common, common)
  assert.equal(plan.corruption, null)
  assert.deepEqual(plan.begin, { kind: 'log', after: common })
}

function restarts(plan: ResumePlan, why: RegExp, corruption = false): void {
  assert.match(plan.restart ?? 'no restart', why)
  assert.deepEqual(plan.common, ORIGIN)
  assert.equal(plan.allDirty, plan.restart, 'every region is dirty before the first frame')
  assert.equal(plan.corruption, corruption ? plan.restart : null)
  assert.deepEqual(plan.begin, { kind: 'behind' })
}

test('an agent in the current incarnation resumes at its end', () => {
  resumes(planResume(facts(), welcome({})), at(2, 80))
})

test('an agent that holds a lost tail resumes where its incarnation ended here', () => {
  resumes(
    planResume(facts(), welcome({ end: [1, 60], durable: [1, 60], applied: [1, 40], primaryDurable: [1, 45] })),
    at(1, 49),
  )
})

test('an agent that ended before its incarnation did resumes at its end', () => {
  resumes(planResume(facts(), welcome({ end: [1, 35], durable: [1, 35], primaryDurable: [1, 45] })), at(1, 35))
})

test('two names of one point are one point', () => {
  resumes(
    planResume(facts(), welcome({ end: [2, 49], durable: [1, 49], applied: [2, 49], primaryDurable: [2, 49] })),
    at(1, 49),
  )
})

test('an agent that lags is told of durable entries that it lacks, and that is no corruption', () => {
  resumes(planResume(facts(), welcome({ end: [1, 40], durable: [1, 40], primaryDurable: [2, 100] })), at(1, 40))
})

test('an agent without replica begins at the slink’s own start, unless it once had one', () => {
  const fresh = planResume(facts({ recorded: null, start: at(2, 90) }), welcome(null))
  assert.deepEqual(fresh, {
    kind: 'resume',
    common: ORIGIN,
    restart: null,
    allDirty: null,
    corruption: null,
    begin: { kind: 'log', after: at(2, 90) },
  })
  restarts(planResume(facts(), welcome(null)), /no replica although it acknowledged 1:30 as durable/)
})

test('a slink whose start this log does not have starts over', () => {
  restarts(
    planResume(facts({ recorded: null, start: at(2, 101) }), welcome(null)),
    /begins at 2:101, which this log does not have/,
  )
})

test('an agent that took the log’s identity but never got an entry begins at the slink’s start as well', () => {
  const plan = planResume(
    facts({ recorded: null, start: at(2, 90) }),
    welcome({ end: [0, 0], durable: [0, 0], applied: [0, 0], primaryDurable: [2, 95] }),
  )
  assert.deepEqual([plan.common, plan.restart, plan.begin], [ORIGIN, null, { kind: 'log', after: at(2, 90) }])
})

test('a replica that has less than was ever acknowledged starts over, whoever remembers it', () => {
  const start = at(2, 90)
  const durable = { ...facts().recorded!, durable: start }
  for (const known of [facts({ recorded: durable, start }), facts({ recorded: null, start, answered: true })])
    restarts(planResume(known, welcome({})), /has 2:80 durable, less than the slink's position 2:90/)
})

test('a replica from before the start of a slink that nobody answered for is kept, and the entries between are passed', () => {
  const plan = planResume(facts({ recorded: null, start: at(2, 90) }), welcome({}))
  assert.deepEqual([plan.restart, plan.allDirty, plan.common], [null, null, at(2, 80)])
  assert.deepEqual(plan.begin, { kind: 'log', after: at(2, 90) })
  resumes(planResume(facts({ recorded: null, start: at(2, 70) }), welcome({})), at(2, 80))
})

test('another agent, another journal, another log start over', () => {
  restarts(planResume(facts(), welcome({}, { agent: idOf(9) })), /another agent answers: 0+9 in place of 1111/)
  restarts(planResume(facts(), welcome({}, { journal: idOf(9) })), /another journal: 0+9/)
  restarts(planResume(facts(), welcome({ logId: idOf(9) })), /replica of the log 0+9, this log is 00112233445566ff/)
})

test('an incarnation that the table does not hold starts over; one of the future is corruption', () => {
  restarts(planResume(facts(), welcome({ incarnationId: idOf(77) })), /incarnation 2 \(0+4d\) is not in the history/)
  restarts(planResume(facts(), welcome({ end: [3, 80] })), /incarnation 3 .* is not in the history/, true)
})

test('applied or promised durable beyond what both have is corruption', () => {
  restarts(
    planResume(facts(), welcome({ end: [1, 60], applied: [1, 50], durable: [1, 60], primaryDurable: [1, 45] })),
    /applied up to 1:50, but agrees .* only up to 1:49/,
    true,
  )
  restarts(
    planResume(facts(), welcome({ end: [1, 60], durable: [1, 60], primaryDurable: [1, 50] })),
    /told that 1:50 is durable/,
    true,
  )
  restarts(planResume(facts(), welcome({ primaryDurable: [2, 101] })), /told that 2:101 is durable/, true)
  restarts(planResume(facts(), welcome({ primaryDurable: [3, 20] })), /told that 3:20/, true)
  restarts(planResume(facts(), welcome({ applied: [2, 81] })), /applied up to 2:81/, true)
})

test('another entry at the common point is corruption; an unknown CRC on either side proves nothing', () => {
  restarts(planResume(facts({ commonCrc: 5 }), welcome({ endCrc: 6 })), /entry at 2:80 is not the same/, true)
  resumes(planResume(facts({ commonCrc: 5 }), welcome({ endCrc: 5 })), at(2, 80))
  resumes(planResume(facts({ commonCrc: 5 }), welcome({ endCrc: 0 })), at(2, 80))
  resumes(planResume(facts({ commonCrc: null }), welcome({ endCrc: 6 })), at(2, 80))
  resumes(
    planResume(
      facts({ commonCrc: 5 }),
      welcome({ end: [1, 60], endCrc: 6, durable: [1, 60], primaryDurable: [1, 45] }),
    ),
    at(1, 49),
  )
})

test('an agent that reports less durable than it ever acknowledged starts over', () => {
  restarts(
    planResume(facts({ recorded: { ...facts().recorded!, durable: at(2, 80) } }), welcome({ durable: [2, 79] })),
    /has 2:79 durable, less than the slink's position 2:80/,
  )
  // What lay in a lost tail does not count as durable.
  restarts(
    planResume(
      facts({ recorded: { ...facts().recorded!, durable: at(2, 60) } }),
      welcome({ end: [1, 70], durable: [1, 70], primaryDurable: [1, 49] }),
    ),
    /has 1:49 durable/,
  )
})

test('entries that the log no longer has start over, unless the slink is behind', () => {
  resumes(planResume(facts({ firstLsn: 81 }), welcome({})), at(2, 80))
  restarts(
    planResume(facts({ firstLsn: 82 }), welcome({})),
    /entries after 2:80 are no longer in the log, which begins at 82/,
  )
  const behind = planResume(facts({ firstLsn: 95, behind: true }), welcome({}))
  assert.deepEqual(
    [behind.common, behind.restart, behind.allDirty, behind.begin],
    [at(2, 80), null, null, { kind: 'behind' }],
  )
})

test('an agent that cannot say what it lacks gets every region, and keeps its journal', () => {
  const plan = planResume(facts(), welcome({}, { allDirty: true }))
  assert.equal(plan.restart, null)
  assert.match(plan.allDirty ?? '', /cannot say/)
  assert.deepEqual(plan.common, at(2, 80))
})

test('a history knows the writer of every entry, over empty lives as well', () => {
  const lives: WireIncarnation[] = [3, 4, 6].map((number, index) => ({
    number,
    id: idOf(number),
    firstLsn: [10, 20, 20][index]!,
  }))
  const log = new LogHistory(lives, at(6, 25))
  assert.equal(log.endOf(3), 19)
  assert.equal(log.endOf(4), 19)
  assert.equal(log.endOf(6), 25)
  assert.deepEqual(log.normal(at(6, 19)), at(3, 19))
  assert.deepEqual(log.normal(at(4, 25)), at(4, 25))
  assert.deepEqual(log.normal(at(6, 9)), at(0, 9))
  assert.deepEqual(log.commonWith(at(4, 25)), at(3, 19))
  assert.equal(log.contains(at(4, 20)), false)
  assert.equal(log.contains(at(5, 20)), false, 'an incarnation that never was in this table')
  assert.equal(log.contains(at(6, 26)), false)
  assert.ok(log.compare(at(3, 19), at(6, 19)) === 0)
})

/** One group's life: a primary whose power is cut at random, an agent that takes the stream. Every entry has a content. */
class World {
  /** Content of LSN i + 1, at the primary and at the agent. */
  primary: number[] = []
  agent: number[] = []
  lives: WireIncarnation[] = [{ number: 1, id: idOf(1), firstLsn: 1 }]
  primaryDurable = 0
  /** Life in which the agent last resumed; its end is named by it or by the life of its last entry. */
  agentLife = 1
  agentDurable = 0
  agentApplied = 0
  told: WirePoint = [0, 0]
  recorded: LogPoint | null = null
  #content = 0

  constructor(readonly random: SeededRandom) {}

  get life(): number {
    return this.lives.at(-1)!.number
  }

  get head(): LogPoint {
    return at(this.life, this.primary.length)
  }

  write(): void {
    this.primary.push(++this.#content)
  }

  sync(): void {
    this.primaryDurable = this.primary.length
  }

  /** The primary's power is cut: it loses a part of what was not durable, and begins a new life. */
  powerCut(): void {
    this.primary.length = this.primaryDurable + this.random.below(this.primary.length - this.primaryDurable + 1)
    this.primaryDurable = this.primary.length
    const number = this.life + 1 + this.random.below(2)
    this.lives.push({ number, id: idOf(number), firstLsn: this.primary.length + 1 })
    if (this.recorded !== null && this.recorded.lsn > this.primary.length)
      this.recorded = at(this.recorded.incarnation, this.primary.length)
  }

  /** The agent takes a part of the stream that it is connected to. */
  receive(): void {
    if (this.agentLife !== this.life) return
    const count = this.random.below(this.primary.length - this.agent.length + 1)
    this.agent.push(...this.primary.slice(this.agent.length, this.agent.length + count))
    if (this.random.oneIn(2))
      this.told = [this.life, Math.max(this.primaryDurable, this.told[0] === this.life ? this.told[1] : 0)]
    if (this.random.oneIn(2)) this.agentDurable = Math.max(this.agentDurable, this.random.below(this.agent.length + 1))
    const limit = Math.min(this.agentDurable, this.told[1], this.agent.length)
    if (limit > this.agentApplied && this.random.oneIn(2))
      this.agentApplied += this.random.below(limit - this.agentApplied + 1)
    if (this.random.oneIn(3)) this.recorded = this.#name(this.agentDurable)
  }

  /** The agent's process or power is lost: it keeps at least what was durable. */
  agentCut(): void {
    this.agent.length = this.agentDurable + this.random.below(this.agent.length - this.agentDurable + 1)
  }

  /** A point of the agent's history under the life in which it is now. */
  #name(lsn: number): LogPoint {
    if (lsn === 0) return ORIGIN
    // By the life in which it is, or by the one that wrote the entry: both are right.
    const writer = this.lives.findLast((one) => one.number <= this.agentLife && one.firstLsn <= lsn)
    return at(this.random.oneIn(2) ? this.agentLife : (writer as WireIncarnation).number, lsn)
  }

  facts(): ResumeFacts {
    const recorded =
      this.recorded === null || this.recorded.lsn === 0
        ? null
        : { agent: sampleMessages.welcome.agent, journal: sampleMessages.welcome.journal, durable: this.recorded }
    return {
      logId: LOG,
      incarnations: this.lives,
      head: this.head,
      firstLsn: 1,
      recorded,
      start: ORIGIN,
      answered: false,
      behind: false,
      commonCrc: null,
    }
  }

  welcome(): Welcome {
    const point = (lsn: number): WirePoint => {
      const { incarnation } = this.#name(lsn)
      return [incarnation, lsn]
    }
    const end = point(this.agent.length)
    return welcome({
      end,
      incarnationId: idOf(end[0]),
      durable: point(this.agentDurable),
      applied: point(this.agentApplied),
      primaryDurable: this.told,
    })
  }

  /** Length of what both have in common, by content. */
  trueCommon(): number {
    let count = 0
    while (count < this.agent.length && this.agent[count] === this.primary[count]) count++
    return count
  }

  resume(plan: ResumePlan): void {
    this.agent.length = plan.common.lsn
    this.agentDurable = Math.min(this.agentDurable, plan.common.lsn)
    if (plan.restart !== null) {
      this.agentDurable = this.agentApplied = 0
      this.recorded = null
    }
    this.agentLife = this.life
  }

  step(): void {
    const { random } = this
    const what = random.below(12)
    if (what < 5) for (let count = random.below(6); count > 0; count--) this.write()
    else if (what < 6) this.sync()
    else if (what < 10) this.receive()
    else if (what < 11) this.agentCut()
    else this.powerCut()
  }
}

test('histories that diverge are never joined above their last common entry, and honest ones never start over', (t) => {
  const random = seeded(t)
  let cut = 0
  for (let run = 0; run < 400; run++) {
    const world = new World(random)
    for (let step = 0; step < 60; step++) {
      world.step()
      if (!random.oneIn(8)) continue
      const plan = planResume(world.facts(), world.welcome())
      const common = world.trueCommon()
      assert.equal(plan.restart, null, `an honest pair is not restarted: ${plan.restart}`)
      assert.equal(plan.common.lsn, common, 'exactly the last common entry')
      if (common < world.agent.length) cut += 1
      world.resume(plan)
    }
  }
  assert.ok(cut > 50, `only ${cut} lost tails were seen`)
})

test('no lie of an agent joins a diverged history without being told', (t) => {
  const random = seeded(t)
  for (let run = 0; run < 2000; run++) {
    const world = new World(random)
    for (let step = 0; step < 30; step++) world.step()
    const honest = world.welcome()
    const replica = honest.replica!
    const any = (): WirePoint => [random.below(world.life + 3), random.below(world.primary.length + 10)]
    const twisted: WireReplica = {
      ...replica,
      end: random.oneIn(2) ? replica.end : any(),
      durable: random.oneIn(2) ? replica.durable : any(),
      applied: random.oneIn(2) ? replica.applied : any(),
      primaryDurable: random.oneIn(2) ? replica.primaryDurable : any(),
      incarnationId: random.oneIn(2) ? replica.incarnationId : idOf(random.below(world.life + 3)),
    }
    const log = world.facts()
    const plan = planResume(log, { ...honest, replica: twisted })
    const known = new LogHistory(log.incarnations, log.head)
    if (plan.restart !== null) {
      assert.equal(plan.allDirty, plan.restart)
      assert.deepEqual(plan.common, ORIGIN)
      continue
    }
    assert.deepEqual(plan.common, commonPoint(log, twisted))
    assert.ok(known.contains(plan.common), 'the common point is in this log')
    assert.ok(plan.common.lsn <= twisted.end[1], 'and not beyond what the agent says it has')
    assert.ok(plan.common.lsn === 0 || known.has(twisted.end[0], twisted.incarnationId))
    assert.ok(twisted.applied[1] <= plan.common.lsn, 'nothing that was applied is cut')
  }
})
