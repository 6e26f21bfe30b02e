/** The guard's table and its verdict, over all states, events and facts; the diagram in the docs is the table. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import {
  defaultOverflow,
  guardTable,
  holdingOf,
  type GuardEvent,
  type GuardFacts,
  type GuardState,
} from '../../src/slink/guard.js'

const STATES: readonly GuardState[] = ['catching-up', 'live', 'lost']
const EVENTS: readonly GuardEvent[] = ['caught-up', 'dirtied', 'hold-over', 'session', 'paused']
const BOTH = [false, true]

test('every state has exactly one next state for every event', () => {
  assert.deepEqual(Object.keys(guardTable), STATES)
  for (const state of STATES) {
    assert.deepEqual(Object.keys(guardTable[state]).sort(), [...EVENTS].sort())
    for (const event of EVENTS) assert(STATES.includes(guardTable[state][event]))
  }
})

test('every state is reached from every other', () => {
  for (const from of STATES) {
    const reached = new Set<GuardState>([from])
    for (let before = 0; before < reached.size;) {
      before = reached.size
      for (const state of [...reached]) for (const event of EVENTS) reached.add(guardTable[state][event])
    }
    assert.deepEqual([...reached].sort(), [...STATES].sort())
  }
})

test('only what is caught up is live, and nothing that is dirty is', () => {
  for (const state of STATES) {
    for (const event of EVENTS) {
      if (guardTable[state][event] === 'live')
        assert(event === 'caught-up' || state === 'live', `${state} is not live by ${event}`)
    }
    assert.notEqual(guardTable[state].dirtied, 'live')
    assert.equal(guardTable[state]['hold-over'], 'lost')
    assert.equal(guardTable[state].paused, 'lost')
  }
})

/** All facts there are. */
function* allFacts(): Generator<GuardFacts> {
  for (const state of STATES)
    for (const mode of ['sync', 'async'] as const)
      for (const overflow of ['drop', 'stall', 'fail'] as const)
        for (const forced of BOTH)
          for (const latched of BOTH)
            for (const mapped of BOTH)
              for (const overflowed of BOTH) yield { state, mode, overflow, forced, latched, mapped, overflowed }
}

test('[OVF-14] a site without devices holds nobody, and a dropped one lets its writers go', () => {
  for (const facts of allFacts()) {
    if (!facts.mapped) assert.equal(holdingOf(facts), 'none')
    if (facts.overflow === 'drop' && facts.state !== 'live') assert.equal(holdingOf(facts), 'none')
  }
})

test('[WR-16] writers of a lost sync site wait, fail or go on by its policy, if it was protected', () => {
  const lost = { state: 'lost', mode: 'sync', forced: false, mapped: true, overflowed: false } as const
  assert.equal(holdingOf({ ...lost, overflow: 'stall', latched: true }), 'wait')
  assert.equal(holdingOf({ ...lost, overflow: 'fail', latched: true }), 'fail')
  assert.equal(holdingOf({ ...lost, overflow: 'drop', latched: true }), 'none')
  for (const overflow of ['stall', 'fail', 'drop'] as const)
    assert.equal(holdingOf({ ...lost, overflow, latched: false }), 'none')
})

test('a live sync site always holds, a live async site exactly while it exceeds its limits', () => {
  for (const facts of allFacts()) {
    if (facts.state !== 'live' || !facts.mapped || (facts.overflowed && facts.overflow === 'fail')) continue
    assert.equal(holdingOf(facts), facts.mode === 'sync' || facts.forced ? 'wait' : 'none')
  }
})

test('[OVF-15] writes fail only where the policy says so', () => {
  for (const facts of allFacts()) if (holdingOf(facts) === 'fail') assert.equal(facts.overflow, 'fail')
})

test('[WR-15] an async site within its limits neither holds nor fails a writer, in any state', () => {
  for (const facts of allFacts()) {
    if (facts.mode === 'async' && !facts.forced && !facts.overflowed) assert.equal(holdingOf(facts), 'none')
  }
})

test('only the site that was protected holds writers while it catches up', () => {
  for (const facts of allFacts()) {
    if (facts.state !== 'catching-up' || holdingOf(facts) !== 'wait') continue
    assert(facts.mode === 'sync' && facts.latched && facts.overflow === 'stall')
  }
})

test('an async site is dropped and a sync one stalls, unless the operator says otherwise', () => {
  assert.equal(defaultOverflow('async'), 'drop')
  assert.equal(defaultOverflow('sync'), 'stall')
})

test('the page of slink states shows the table as it is', () => {
  const page = readFileSync(new URL('../../../../../docs/internals/slink-states.md', import.meta.url), 'utf8')
  const rows = STATES.map(
    (state) => `| \`${state}\` | ${EVENTS.map((event) => `\`${guardTable[state][event]}\``).join(' | ')} |`,
  )
  for (const row of rows) assert(page.includes(row), `docs/internals/slink-states.md has the row: ${row}`)
})
