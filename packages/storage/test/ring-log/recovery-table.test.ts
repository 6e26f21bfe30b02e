/** The decision table of recovery, over every combination of facts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judge, matches, RECOVERY_TABLE, type Facts } from '../../src/ring-log/recovery.js'

const VALUES: { readonly [Key in keyof Facts]: readonly Facts[Key][] } = {
  place: ['group', 'entry'],
  header: ['absent', 'bad', 'good'],
  identity: [true, false],
  position: ['right', 'behind', 'ahead'],
  life: ['right', 'void', 'unknown'],
  chain: [true, false],
  lsn: [true, false],
  body: [true, false],
  durable: [true, false],
}

function* combinations(): Generator<Facts> {
  let all: Record<string, unknown>[] = [{}]
  for (const [key, values] of Object.entries(VALUES))
    all = all.flatMap((each) => values.map((value) => ({ ...each, [key]: value })))
  yield* all as unknown as Facts[]
}

test('each of the 1728 combinations of facts is in exactly one row, and each row has one', () => {
  const reached = new Set<string>()
  let count = 0
  for (const facts of combinations()) {
    const rows = RECOVERY_TABLE.filter((row) => matches(row, facts))
    assert.equal(rows.length, 1, `${rows.map(({ name }) => name).join(' + ') || 'no row'} for ${JSON.stringify(facts)}`)
    assert.equal(judge(facts), rows[0])
    reached.add((rows[0] as { name: string }).name)
    count++
  }
  assert.equal(count, 1728)
  assert.deepEqual(
    RECOVERY_TABLE.map(({ name }) => name).filter((name) => !reached.has(name)),
    [],
  )
})

test('nothing counts that does not check, nothing durable is cut, nothing else is kept behind a cut', () => {
  for (const facts of combinations()) {
    const { then } = judge(facts)
    const { header, identity, position, life, chain, lsn, body, durable } = facts
    const good = header === 'good' && identity && position === 'right' && life === 'right' && chain && lsn && body
    assert.equal(then === 'accept', good)
    if (durable) assert.ok(!['end', 'stale', 'torn'].includes(then), 'what was durable is never cut')
    else assert.ok(!['hole', 'hole-body'].includes(then), 'only what was durable leaves a hole')
    if (facts.place === 'entry')
      assert.ok(!['end', 'stale', 'refuse'].includes(then), 'inside a group a log does not just end')
  }
})
