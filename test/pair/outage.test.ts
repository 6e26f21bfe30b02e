/** Outages: short ones cost nothing, long ones exactly what was dropped; restarts of either side in between. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MIB, World, type SiteWish, type WorldOptions } from './world.js'

async function pair(seed: string, site: SiteWish = {}, options: Partial<WorldOptions> = {}): Promise<World> {
  const world = new World({ seed, ...options })
  await world.start()
  await world.addSite(site)
  await world.until('the slink is live', () => world.primary.word() === 'live')
  return world
}

/** Writes 64 KiB at each of these offsets of a device. */
async function fill(world: World, device: number, offsets: readonly number[]): Promise<void> {
  for (const offset of offsets)
    assert.equal(await world.answered(world.primary.write({ device, offset, bytes: world.prng.bytes(65_536) })), 0)
}

const steps = (count: number, from = 0): number[] => Array.from({ length: count }, (_, at) => from + (at % 16) * 65_536)

for (const how of ['crash', 'power-cut', 'stop'] as const) {
  test(`[SM-09] [REC-03] an outage shorter than the log resyncs nothing, when the agent comes back after a ${how}`, async () => {
    const world = await pair(`short ${how}`)
    if (how === 'stop') await world.run(world.agent.stop())
    else if (how === 'crash') world.agent.crash()
    else world.agent.powerCut()
    await fill(world, 0, steps(10))
    await fill(world, 1, steps(10))
    await world.startAgent()
    await world.settle()
    assert.equal(world.primary.slink().resyncs.count, 0)
    assert.equal(world.primary.slink().copiedBytes, 0)
  })

  test(`[OVF-01] [OVF-03] [OVF-13] an overflow makes exactly the regions of dropped entries dirty, and a ${how} of the primary forgets none`, async () => {
    const world = await pair(`overflow ${how}`, {}, { logBytes: 2 * MIB, deviceBytes: [8 * MIB, 8 * MIB] })
    await fill(world, 0, steps(4, 7 * MIB))
    await world.settle()
    world.agent.crash()
    // Regions 1 of device 0 and 5 of device 1 and no others.
    await fill(world, 0, steps(20, MIB))
    await fill(world, 1, steps(20, 5 * MIB))
    await world.until('the slink is behind', () => world.primary.word() === 'behind')
    assert.deepEqual(dirtyRegions(world), ['1:1', '2:5'])
    await world.restartPrimary(how)
    assert.equal(world.primary.word(), 'behind', '[OVF-16]')
    assert.deepEqual(dirtyRegions(world), ['1:1', '2:5'])
    await world.startAgent()
    await world.settle()
    assert(world.primary.slink().copiedBytes <= 2 * MIB, '[RSY-03] nothing else was copied')
  })
}

test('[MSG-16] a site that is dropped by hand lets go of the log, and gets copies of exactly what it missed', async () => {
  const world = await pair('dropped by hand', { overflow: 'stall' }, { deviceBytes: [8 * MIB, 8 * MIB] })
  const { primary } = world
  world.agent.crash()
  await fill(world, 0, steps(20, MIB))
  await fill(world, 1, steps(20, 5 * MIB))
  assert(primary.group.log.status().usedBytes > 2 * MIB, 'the log holds it for the site')
  assert.equal(await world.run(primary.admin.dropSite(1)), true)
  assert.equal(primary.word(), 'behind')
  assert.deepEqual(dirtyRegions(world), ['1:1', '2:5'])
  await world.until('the log has let go of it', () => primary.group.log.status().usedBytes < MIB)
  assert.equal(await world.run(primary.admin.dropSite(1)), false, 'there is nothing more to give up')
  await world.restartPrimary('power-cut')
  assert.deepEqual(dirtyRegions(world), ['1:1', '2:5'])
  await world.startAgent()
  await world.settle()
  assert.equal(primary.slink().copiedBytes, 2 * MIB)
  assert.equal(await world.run(primary.admin.dropSite(1)), true, 'one that is connected as well')
  await world.settle()
})

function dirtyRegions(world: World): string[] {
  const found: string[] = []
  for (const mapping of world.primary.slink().mappings) {
    for (const { first, count } of mapping.dirty.bitmap.runs())
      for (let at = 0; at < count; at++) found.push(`${mapping.deviceId}:${first + at}`)
  }
  return found
}

test('[OVF-06] with policy stall nothing is dropped: writers wait, and go on when the site is back', async () => {
  const world = await pair('stall', { overflow: 'stall' }, { logBytes: 2 * MIB })
  world.agent.crash()
  const tickets = steps(60).map((offset) => world.primary.write({ offset, bytes: world.prng.bytes(65_536) }))
  await world.advance(20_000)
  assert(
    tickets.some(({ errno }) => errno === null),
    'writers wait',
  )
  assert.notEqual(world.primary.word(), 'behind')
  await world.startAgent()
  for (const ticket of tickets) assert.equal(await world.answered(ticket), 0)
  await world.settle()
  assert.equal(world.primary.slink().resyncs.count, 0)
})

test('[OVF-15] [MGT-03] with policy fail a full log fails writers, those that wait included, until the site has caught up', async () => {
  const world = await pair('fail', { mode: 'sync', overflow: 'fail', holdMs: 1000 }, { logBytes: 2 * MIB })
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  world.agent.crash()
  const ticket = world.primary.write({ offset: 0, bytes: world.prng.bytes(4096) })
  assert.equal(await world.answered(ticket), 5, 'the writer that waited for the lost site gets an error')
  assert.equal(await world.answered(world.primary.write({ offset: 0, bytes: world.prng.bytes(4096) })), 5)
  await world.startAgent()
  await world.until('it is back', () => world.primary.word() === 'live')
  assert.equal(await world.answered(world.primary.write({ offset: 0, bytes: world.prng.bytes(4096) })), 0)
  await world.settle()
})

test('[RSY-12] a site that is away and behind does not keep another from being settled', async () => {
  const world = new World({ seed: 'two', agents: 2, logBytes: 2 * MIB })
  await world.start()
  await world.addSite({ agent: world.agents[0] as never })
  await world.addSite({ agent: world.agents[1] as never })
  await world.until('both are live', () => world.primary.word(1) === 'live' && world.primary.word(2) === 'live')
  world.agents[1]?.crash()
  for (let round = 0; round < 5; round++) await fill(world, 0, steps(16))
  await world.until('the second is behind', () => world.primary.word(2) === 'behind')
  await world.settle(1)
  assert.equal(world.primary.slink(1).overflow.count, 0, 'a site that keeps up is not dropped')
  await world.startAgent(world.agents[1])
  await world.settle(2)
})

test('[OVF-05] a dirty log that cannot be stored keeps the entries in the log, and writers wait for it', async () => {
  const world = await pair('unstorable', {}, { logBytes: 2 * MIB })
  const path = world.primary.disks.paths().find((one) => one.startsWith('/state/dirty-1-')) as string
  const faults = [
    world.primary.disks.inject(path, { on: 'write', error: 'EIO', count: Infinity }),
    world.primary.disks.inject(path, { on: 'sync', error: 'EIO', count: Infinity }),
  ]
  world.agent.crash()
  const tickets = steps(60).map((offset) => world.primary.write({ offset, bytes: world.prng.bytes(65_536) }))
  await world.advance(10_000)
  assert(tickets.some(({ errno }) => errno === null))
  assert(world.primary.eventsOf('dirty-log-failed').length > 0)
  for (const fault of faults) fault.remove()
  for (const ticket of tickets) assert.equal(await world.answered(ticket), 0)
  await world.startAgent()
  await world.settle()
})

test('the tail that a power cut takes from the primary is cut at the agent and never comes back', async () => {
  const world = await pair('tail')
  await fill(world, 0, steps(3))
  await world.settle()
  const durable = world.primary.group.log.durableLsn
  for (const offset of steps(5, MIB)) world.primary.write({ offset, bytes: world.prng.bytes(65_536) })
  await world.until('the agent has the tail', () => (world.agent.status().replica?.receivedLsn ?? 0) >= durable + 5, 90)
  world.primary.powerCut({ kind: 'lose-all' })
  await world.startPrimary()
  assert.equal(world.primary.history.lastLsn, durable)
  await fill(world, 1, steps(5))
  await world.settle()
  assert(world.agent.events.some(({ kind }) => kind === 'journal-cut'))
  await world.restartAgent('power-cut')
  await world.settle()
})

test('a dead peer that says nothing is noticed within 3 s', async () => {
  const world = await pair('half-open')
  world.silenceOneWay(world.agent.name, 'primary')
  const took = await world.until('the primary notices', () => world.primary.word() === 'disconnected')
  assert(took <= 3500, `it took ${took} ms`)
  world.silence(world.agent, false)
  await world.settle()
})
