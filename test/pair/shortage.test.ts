/**
 * A log that runs short, with living and dead sites of every policy: who is dropped, who is waited for, who is told.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupStatus } from '@sitelink/primary'
import { PRIMARY, type Ticket } from './primary-host.js'
import { dirtyRegions, livePair, liveSites, round, writeAt } from './pairs.js'
import { MIB, type World } from './world.js'

const SMALL = { logBytes: 2 * MIB }

/** Asks for `count` writes of 64 KiB at once. */
const burst = (world: World, count: number): Ticket[] =>
  round(count).map((offset) => world.primary.write({ offset, bytes: world.prng.bytes(65_536) }))

const unanswered = (tickets: readonly Ticket[]): number => tickets.filter(({ errno }) => errno === null).length

test('[OVF-02] a site that is slow but alive is dropped when the log is full, writers go on, and it ends equal', async () => {
  const world = await livePair('slow', {}, SMALL)
  world.network.setLink(PRIMARY, world.agent.name, { bandwidthBytes: 40_000 })
  for (const ticket of burst(world, 96)) assert.equal(await world.answered(ticket, 30_000), 0)
  assert.equal(world.primary.slink().overflow.count, 1)
  assert.equal(
    world.primary.eventsOf('slink-disconnected').filter(({ message }) => /silen|timeout/.test(message)).length,
    0,
  )
  assert(dirtyRegions(world).length > 0)
  world.network.setLink(PRIMARY, world.agent.name, { bandwidthBytes: 100 * MIB })
  await world.settle()
})

test('[SM-10] [OVF-01] an outage of the link drops the site once the log does not hold it any more, and not before', async () => {
  const world = await livePair('long outage', {}, SMALL)
  world.silence()
  await writeAt(world, 0, round(12))
  await world.advance(60_000)
  assert.equal(world.primary.word(), 'disconnected', 'however long: what it needs is in the log')
  await writeAt(world, 0, round(40))
  await world.until('it is behind', () => world.primary.word() === 'behind')
  world.silence(world.agent, false)
  await world.settle()
})

for (const when of ['a write waits for room', 'the log is three quarters full and nobody waits'] as const) {
  test(`[OVF-11] a dead site is dropped without any further write, when ${when}`, async () => {
    const world = await livePair(`last write ${when}`, {}, SMALL)
    world.agent.crash()
    await world.until('it is noticed', () => world.primary.word() === 'disconnected')
    const { ringBytes } = world.primary.group.log.status()
    if (when === 'a write waits for room') {
      await writeAt(world, 0, round(16))
      // One write, larger than what is free, and then nothing.
      assert.equal(await world.answered(world.primary.write({ offset: 0, bytes: world.prng.bytes(MIB) }), 5000), 0)
    } else await writeAt(world, 0, round(Math.ceil((ringBytes * 0.76) / 65_536)))
    await world.until('it is behind', () => world.primary.word() === 'behind', 5000)
    await world.until('the log is let go', () => world.primary.group.log.status().usedBytes < ringBytes / 2, 5000)
  })
}

test('[OVF-07] a local device that hangs is never dropped, is reported with the time that writers have waited, and loses nothing', async () => {
  const world = await livePair('slow local', {}, { ...SMALL, diskLatency: {} })
  const slow = world.primary.disks.inject('/dev/local0', { on: 'write', delayMs: 20_000, count: Infinity })
  const tickets = burst(world, 60)
  await world.advance(10_000)
  assert(unanswered(tickets) > 0, 'writers wait')
  const [event] = world.primary.eventsOf('log-full')
  assert(event !== undefined, 'it is reported')
  assert.equal(event.facts['local'], true)
  const waitedMs = event.facts['waitedMs'] as number
  assert(waitedMs >= 1000 && waitedMs <= 1500, `${waitedMs} ms`)
  assert.match(event.message, /the local devices.* ms/)
  await world.advance(35_000)
  assert(world.primary.eventsOf('log-full').length >= 2, 'and again while it lasts')
  assert.equal(world.primary.slink().overflow.count, 0, 'no site pays for it')
  slow.remove()
  for (const ticket of tickets) assert.equal(await world.answered(ticket), 0)
  await world.settle()
  await world.checkLocal()
})

test('[OVF-08] only the site that holds the log is dropped: one that lags a little keeps its place', async () => {
  const world = await liveSites('guilty', [{}, {}, {}], SMALL)
  world.network.setLink(PRIMARY, 'agent1', { latencyMs: 40 })
  world.network.setLink(PRIMARY, 'agent2', { latencyMs: 10 })
  world.silence(world.agents[2])
  for (const ticket of burst(world, 120)) assert.equal(await world.answered(ticket), 0)
  const counts = [1, 2, 3].map((number) => world.primary.slink(number).overflow.count)
  assert.deepEqual(counts, [0, 0, 1])
  await world.settle(1)
  await world.settle(2)
  assert.deepEqual(
    [1, 2].map((number) => world.primary.slink(number).resyncs.count),
    [0, 0],
  )
})

test('[OVF-09] when every site is away each is treated by its own policy: drop loses its place, stall keeps it and writers', async () => {
  const world = await liveSites('all slow', [{ overflow: 'drop' }, { overflow: 'stall' }, { overflow: 'drop' }], SMALL)
  for (const agent of world.agents) world.silence(agent)
  const tickets = burst(world, 60)
  await world.advance(30_000)
  assert(unanswered(tickets) > 0)
  assert.deepEqual(
    [1, 2, 3].map((number) => world.primary.word(number)),
    ['behind', 'disconnected', 'behind'],
  )
  assert.match(world.primary.eventsOf('log-full')[0]?.message ?? '', /slink 2 \(policy stall\)/)
  world.silence(world.agents[1], false)
  for (const ticket of tickets) assert.equal(await world.answered(ticket), 0)
  await world.settle(2)
  assert.equal(world.primary.slink(2).resyncs.count, 0)
  for (const at of [0, 2]) {
    world.silence(world.agents[at], false)
    await world.settle(at + 1)
  }
})

test('[OVF-09] with policy fail among sites that are all away writers get errors, and nobody else loses a place for it', async () => {
  const world = await liveSites('all away, one fails', [{ overflow: 'fail' }, { overflow: 'stall' }], SMALL)
  for (const agent of world.agents) world.silence(agent)
  const tickets = burst(world, 60)
  await world.until('all are answered', () => unanswered(tickets) === 0)
  assert.deepEqual([...new Set(tickets.map(({ errno }) => errno))].sort(), [0, 5])
  assert.equal(world.primary.slink(2).overflow.count, 0)
  for (const agent of world.agents) world.silence(agent, false)
  await world.settle(1)
  await world.settle(2)
  assert.deepEqual(
    [1, 2].map((number) => world.primary.slink(number).resyncs.count),
    [0, 0],
  )
  assert.equal(await world.answered(burst(world, 1)[0] as Ticket), 0)
})

test('[OVF-12] a site that was dropped says that it is behind until its resync ends; what is written meanwhile is only marked', async () => {
  const world = await livePair('only marks', {}, { ...SMALL, deviceBytes: [8 * MIB, 2 * MIB] })
  world.silence()
  await writeAt(world, 0, round(40))
  await world.until('it is behind', () => world.primary.word() === 'behind')
  const status = () => groupStatus(world.primary.group).slinks[0]
  assert.deepEqual([status()?.behind, status()?.pinnedBytes, status()?.dirtyRegions], [true, 0, 1])
  await writeAt(world, 0, [5 * MIB])
  assert.deepEqual([status()?.behind, status()?.pinnedBytes, status()?.dirtyRegions], [true, 0, 2])
  world.silence(world.agent, false)
  await world.until('it is resynced', () => world.primary.word() === 'resyncing')
  await world.settle()
  assert.deepEqual([status()?.behind, status()?.dirtyRegions, status()?.agentConsistent], [false, 0, true])
  assert.equal(status()?.sentEntries, 0)
})

test('[LIFE-02] suspending ends with a full log and a dead site that stalls; nothing is lost, and it goes on', async () => {
  const world = await livePair('suspend', { overflow: 'stall' }, SMALL)
  world.agent.crash()
  const tickets = burst(world, 60)
  await world.advance(5000)
  const waiting = unanswered(tickets)
  assert(waiting > 0)
  await world.run(world.primary.admin.suspend(null), 100)
  assert.equal(groupStatus(world.primary.group).group.state, 'suspended')
  const later = burst(world, 1)[0] as Ticket
  await world.advance(5000)
  assert.equal(unanswered(tickets), waiting)
  await world.startAgent()
  await world.advance(5000)
  assert.equal(unanswered(tickets), waiting, 'suspended: also with room nothing is taken')
  await world.run(world.primary.admin.resume(null), 100)
  for (const ticket of [...tickets, later]) assert.equal(await world.answered(ticket), 0)
  await world.settle()
})

test('[LIFE-02] a stop ends with a full log, a dead site and writers that wait, and the next start has what was acknowledged', async () => {
  const world = await livePair('stop full', { overflow: 'stall' }, SMALL)
  world.agent.crash()
  const tickets = burst(world, 60)
  await world.advance(5000)
  assert(unanswered(tickets) > 0)
  await world.run(world.primary.stop(), 60_000)
  await world.startPrimary()
  await world.startAgent()
  await world.settle()
  await world.checkLocal()
})

test('[MSG-04] [WR-19] a slink that is deleted lets go of the log and of the writers that waited for it, and leaves no dirty log', async () => {
  const world = await livePair('deleted', { mode: 'sync', overflow: 'stall' }, SMALL)
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  world.agent.crash()
  const tickets = burst(world, 60)
  await world.advance(10_000)
  assert.equal(unanswered(tickets), 60)
  await assert.rejects(world.run(world.primary.admin.deleteSlink(1, false)), /still has devices 0, 1/)
  assert.equal(unanswered(tickets), 60, 'refused: nothing has changed')
  await world.run(world.primary.admin.deleteSlink(1, true))
  for (const ticket of tickets) assert.equal(await world.answered(ticket, 5000), 0)
  assert.equal(world.primary.eventsOf('slink-deleted').length, 1)
  assert.deepEqual(
    world.primary.disks.paths().filter((path) => path.startsWith('/state/dirty-')),
    [],
  )
  await world.checkLocal()
})

test('a site that has everything when it comes back lets go of a full log, although nothing can be sent to it', async () => {
  const world = await livePair('full and equal', { overflow: 'stall' }, SMALL)
  const { primary, agent } = world
  // The agent gets everything; its acknowledgements get lost.
  world.silenceOneWay(agent.name, PRIMARY)
  const tickets = burst(world, 40)
  await world.until('the log is full', () => unanswered(tickets) > 0 && primary.group.writePath.waitingCount > 0)
  await world.advance(1000)
  assert.equal(agent.status().replica?.durableLsn, primary.group.writePath.lastLsn, 'the agent has all of it')
  world.cut()
  world.silence(agent, false)
  await world.until('all writers are answered', () => unanswered(tickets) === 0)
  await world.settle()
})
