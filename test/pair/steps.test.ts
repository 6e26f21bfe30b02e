/** Small steps of a pair that larger situations pass over: what is counted, what is kept, what is written down. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dropSlink, livePair, round, writeAt } from './pairs.js'
import { World } from './world.js'

const SLOW = { diskLatency: { readMs: [0, 2], writeMs: [0, 4], syncMs: [0, 20] }, link: { latencyMs: 5 } } as const

/** From now on the agent cannot make durable what it receives; answers how to mend it. */
function slowJournal(world: World, delayMs: number): () => void {
  const journal = world.agent.disks.paths().find((one) => one.endsWith('/journal')) as string
  const fault = world.agent.disks.inject(journal, { on: 'sync', delayMs, count: Infinity })
  return () => fault.remove()
}

test('fall-behind counts what a site has not received, not what it has not durably', async () => {
  const fallBehind = { ios: 3, bytes: 0, timeoutMs: 0 }
  const world = await livePair('received', { mode: 'async', overflow: 'stall', fallBehind }, SLOW)
  const mend = slowJournal(world, 5000)
  for (const offset of round(10)) {
    await writeAt(world, 0, [offset], 4096)
    await world.advance(50)
  }
  assert.equal(world.primary.eventsOf('fall-behind').length, 0)
  const { ios } = world.primary.slink().outstanding()
  assert.ok(ios <= 1, `${ios} entries are not received`)
  assert.ok(world.primary.slink().point.lsn < 5, 'hardly anything of it is durable there')
  mend()
  await world.settle()
})

test('a paused site keeps its place: what was written before and during the pause reaches it', async () => {
  const world = await livePair('pause', { mode: 'async' }, SLOW)
  world.silence()
  await writeAt(world, 0, round(5))
  await world.run(world.primary.admin.changeSlink(1, { paused: true }))
  await writeAt(world, 0, round(5, 1 << 20))
  world.silence(world.agent, false)
  await world.advance(10_000)
  assert.equal(world.agent.status().replica?.receivedLsn ?? 0, 0)
  await world.run(world.primary.admin.changeSlink(1, { paused: false }))
  await world.settle()
  assert.equal(world.primary.slink().resyncs.count, 0)
})

test('that a site has a place again is written down, though nothing else happens', async () => {
  const world = await livePair('placed', {}, SLOW)
  await writeAt(world, 0, [0])
  world.agent.crash()
  await dropSlink(world)
  await writeAt(world, 0, [1 << 20])
  await world.advance(2000)
  await world.startAgent()
  const mend = slowJournal(world, 800)
  await world.advance(10_000)
  mend()
  await world.settle()
  await world.advance(5000)
  await world.restartPrimary('power-cut', false)
  assert.equal(world.primary.slink().standing.kind, 'log')
})
