/** Who waits for whom, and for how long: sync and async slinks, their policies, their limits. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PRIMARY } from './primary-host.js'
import { MIB, World, type SiteWish } from './world.js'

async function pair(seed: string, site: SiteWish): Promise<World> {
  const world = new World({ seed })
  await world.start()
  await world.addSite(site)
  await world.until('the slink is live', () => world.primary.word() === 'live')
  return world
}

const write = (world: World, offset = 0) => world.primary.write({ offset, bytes: world.prng.bytes(4096) })

test('[WR-16] [WR-19] [MGT-03] with policy drop a writer waits for a dead sync site as long as its hold time, and is answered', async () => {
  const world = await pair('sync drop', { mode: 'sync', overflow: 'drop', holdMs: 2000 })
  world.agent.crash()
  const ticket = write(world)
  await world.advance(1900)
  assert.equal(ticket.errno, null)
  await world.advance(300)
  assert.equal(ticket.errno, 0)
  assert.equal(await world.answered(write(world), 100), 0, 'later writers do not wait')
  assert.equal(world.primary.eventsOf('slink-unprotected').length, 1)
  await world.startAgent()
  await world.settle()
  await world.until('it is protected again', () => world.primary.slink().protection.protected)
})

test('[MGT-03] a protected stall site holds writers after a restart of the primary, until it is back', async () => {
  const world = await pair('stall restart', { mode: 'sync', overflow: 'stall' })
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  await world.answered(write(world))
  world.agent.crash()
  await world.restartPrimary('power-cut')
  const ticket = write(world)
  await world.advance(30_000)
  assert.equal(ticket.errno, null)
  await world.startAgent()
  assert.equal(await world.answered(ticket), 0)
  await world.settle()
})

test('[FB-05] [FB-06] back within its limit, a site is still waited for by those who waited, and by no others', async () => {
  const world = await pair('fall behind in trickles', { mode: 'async', fallBehind: { ios: 2, bytes: 0, timeoutMs: 0 } })
  const { network, agent } = world
  network.setLink(PRIMARY, agent.name, { bandwidthBytes: 100_000 })
  const tickets = Array.from({ length: 12 }, (_, at) =>
    world.primary.write({ offset: at * 65_536, bytes: world.prng.bytes(65_536) }),
  )
  let waited = 0
  const seen: number[] = []
  world.primary.onAnswer = ({ lsn }) => {
    const received = agent.status().replica?.receivedLsn ?? 0
    if (seen.length >= 3) waited++
    assert.ok(seen.length < 3 || received >= lsn, `LSN ${lsn} is answered with ${received} received`)
    seen.push(lsn)
  }
  for (const ticket of tickets) assert.equal(await world.answered(ticket, 30_000), 0)
  assert.equal(waited, 9)
  await world.settle(1, 30_000)
  assert.equal(world.primary.slink().protection.forced, null)
  world.primary.onAnswer = null
  world.silence()
  assert.equal(await world.answered(write(world, MIB), 200), 0, 'later writes do not wait')
})

test('[FB-01] [FB-04] the write after ios + 1 outstanding waits for the site, those before do not', async () => {
  const world = await pair('fall behind', {
    mode: 'async',
    overflow: 'stall',
    fallBehind: { ios: 3, bytes: 0, timeoutMs: 0 },
  })
  world.silence()
  for (let at = 0; at < 4; at++)
    assert.equal(await world.answered(write(world, at * 4096), 200), 0, `write ${at + 1} is answered`)
  assert.equal(world.primary.slink().protection.forced, 'ios')
  const ticket = write(world, MIB)
  await world.advance(1000)
  assert.equal(ticket.errno, null)
  world.silence(world.agent, false)
  assert.equal(await world.answered(ticket), 0)
  await world.settle()
  assert.equal(world.primary.slink().protection.forced, null, '[FB-13] it has left')
  assert.deepEqual(
    [world.primary.eventsOf('fall-behind').length, world.primary.eventsOf('fall-behind-end').length],
    [1, 1],
    '[FB-10]',
  )
  assert.deepEqual(world.primary.slink().outstanding(), { ios: 0, bytes: 0, ageMs: null }, '[FB-08]')
})

test('[FB-03] timeout is noticed although nothing is written any more', async () => {
  const world = await pair('fall behind by age', { mode: 'async', fallBehind: { ios: 0, bytes: 0, timeoutMs: 500 } })
  world.silence()
  await world.answered(write(world), 200)
  await world.until('it is behind its limit', () => world.primary.slink().protection.forced === 'timeout', 700)
})

test('[FB-09] a changed limit acts at once, in both directions', async () => {
  const world = await pair('fall behind changed', { mode: 'async', fallBehind: { ios: 100, bytes: 0, timeoutMs: 0 } })
  world.silence()
  for (let at = 0; at < 4; at++) await world.answered(write(world, at * 4096), 200)
  await world.run(world.primary.admin.changeSlink(1, { fallBehind: { ios: 2, bytes: 0, timeoutMs: 0 } }))
  assert.equal(world.primary.slink().protection.forced, 'ios')
  await world.run(world.primary.admin.changeSlink(1, { fallBehind: { ios: 0, bytes: 0, timeoutMs: 0 } }))
  assert.equal(world.primary.slink().protection.forced, null)
})

test('[WR-04] [WR-09] [FB-12] with sites of different policy, writers wait for the slowest sync one and for no async one', async () => {
  const world = new World({ seed: 'several', agents: 3 })
  await world.start()
  await world.addSite({ agent: world.agents[0] as never, mode: 'sync' })
  await world.addSite({ agent: world.agents[1] as never, mode: 'sync' })
  await world.addSite({ agent: world.agents[2] as never, mode: 'async' })
  await world.until('all are live', () => [1, 2, 3].every((number) => world.primary.word(number) === 'live'))
  world.network.setLink('primary', 'agent2', { latencyMs: 100 })
  world.silence(world.agents[2])
  const ticket = write(world)
  await world.advance(50)
  assert.equal(ticket.errno, null)
  assert.equal(await world.answered(ticket, 400), 0)
})

test('[RSY-02] [DLG-07] a mapping made with nosync copies nothing, and a restart forgets none of its differences', async () => {
  const world = await pair('nosync', { initial: 'nosync' })
  assert.equal(world.primary.slink().copiedBytes, 0)
  await world.restartPrimary('power-cut')
  await world.settle()
  assert.equal(world.primary.slink().copiedBytes, 0)
})

test('[DLG-01] a dirty log in memory is lost at a restart while something is dirty: everything is copied', async () => {
  const world = await pair('core', { dirtyLog: { type: 'core' } })
  await world.run(world.primary.admin.changeSlink(1, { paused: true }))
  world.primary.slink().mappings.mark(1, 0, 4096, { incarnation: 99, lsn: 1 })
  await world.run(world.primary.group.log.writeSuperblock())
  await world.restartPrimary('crash')
  assert.equal(world.primary.slink().mappings.dirtyRegions, world.primary.slink().mappings.totalRegions)
})

test('[RSY-11] a resync ends although a writer never pauses', async () => {
  const world = new World({ seed: 'load', link: { latencyMs: 5, bandwidthBytes: 20 * MIB } })
  await world.start()
  for (let at = 0; at < 30; at++) await world.answered(write(world, at * 65_536))
  await world.addSite({ initial: 'sync' })
  let stop = false
  const load = async (): Promise<void> => {
    for (let at = 0; !stop; at++) {
      write(world, (at % 500) * 4096)
      await new Promise<void>((resolve) => void world.clock.after(1, resolve))
    }
  }
  void load()
  await world.until('the resync has ended', () => world.primary.eventsOf('resync-finished').length > 0)
  stop = true
  await world.settle()
})

test('what cannot be had is a sentence in the status, and is tried again: a remote device that is missing, then there', async () => {
  const world = new World({ seed: 'refused' })
  await world.start()
  await world.run(world.primary.admin.addSlink({ number: 1, mode: 'async', addresses: [world.agent.address] }))
  await world.map(0, 1, { remote: 'nowhere' })
  await world.until('it is refused', () => world.primary.slink().link.state.kind === 'waiting')
  await world.until(
    'the reason names the device',
    () => /nowhere/.test(JSON.stringify(world.primary.slink().link.state)),
    5000,
  )
  await world.run(world.primary.admin.unmap(0, 1))
  await world.map(0, 1)
  await world.settle()
})

test('a device that is mapped with a copy to make does not stop the writers of a protected stall site', async () => {
  const world = new World({ seed: 'map to stall' })
  await world.start()
  await world.addSite({ mode: 'sync', overflow: 'stall', devices: [1] })
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  world.network.setLink(PRIMARY, world.agent.name, { bandwidthBytes: 200_000 })
  await world.map(0, 1, { initial: 'sync' })
  assert.equal(world.primary.slink().protection.protected, false)
  assert.equal(await world.answered(write(world), 100), 0, 'nobody waits for the copy')
  await world.until('it is protected again', () => world.primary.slink().protection.protected, 60_000)
  await world.run(world.primary.admin.resync(1, true))
  assert.equal(await world.answered(write(world), 100), 0, 'nor for a full resync')
  world.network.setLink(PRIMARY, world.agent.name, { bandwidthBytes: Number.POSITIVE_INFINITY })
  await world.until('it is protected again', () => world.primary.slink().protection.protected, 60_000)
})
