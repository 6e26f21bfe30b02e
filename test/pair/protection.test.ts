/**
 * A sync site of a living pair: what its answers cover, when it stops being protected, and that it holds nobody then.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SparseBytes } from '@sitelink/storage/testing'
import { dirtyRegions, dropSlink, livePair, round, writeAt } from './pairs.js'
import { MIB, World, type SiteWish, type WorldOptions } from './world.js'

const write = (world: World, offset = 0, fua = false) =>
  world.primary.write({ offset, bytes: world.prng.bytes(4096), fua })

async function protectedPair(seed: string, site: SiteWish = {}, options: Partial<WorldOptions> = {}): Promise<World> {
  const world = await livePair(seed, { mode: 'sync', overflow: 'stall', ...site }, options)
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  return world
}

test('[FLU-01] [FLU-04] [WR-03] a write waits for what its site received, FLUSH and FUA for what it has durably', async () => {
  const world = await protectedPair('flush', { ack: 'received' }, { diskLatency: {} })
  await world.answered(write(world))
  await world.settle()
  const slow = world.agent.disks.inject('/state/journal', { on: 'sync', delayMs: 2000, count: Infinity })
  assert.equal(await world.answered(write(world), 500), 0, 'received is enough')
  for (const ask of [() => world.primary.flush(), () => write(world, 4096, true)]) {
    const ticket = ask()
    await world.advance(1000)
    assert.equal(ticket.errno, null)
    assert.equal(await world.answered(ticket, 5000), 0)
    assert(world.agent.owed.durable >= ticket.lsn)
  }
  slow.remove()
  await world.settle()
})

test('[FLU-02] a flush waits for no async site, also not for one that is beyond its limits', async () => {
  const world = await livePair('flush async', { fallBehind: { ios: 1, bytes: 0, timeoutMs: 0 }, overflow: 'stall' })
  world.silence()
  for (let at = 0; at < 2; at++) assert.equal(await world.answered(write(world, at * 4096), 200), 0)
  const held = write(world, MIB)
  assert.equal(await world.answered(world.primary.flush(), 500), 0)
  await world.advance(500)
  assert.equal(held.errno, null, 'the write itself waits')
  world.silence(world.agent, false)
  assert.equal(await world.answered(held), 0)
})

test('a device that is mapped with sync makes its site unprotected until it is copied, and nobody waits for that', async () => {
  const world = await protectedPair('mapped', { overflow: 'drop', devices: [1] }, { deviceBytes: [8 * MIB, 2 * MIB] })
  await writeAt(world, 0, round(16))
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 2 * MIB }))
  await world.map(0, 1, { initial: 'sync' })
  assert.equal(world.primary.slink().protection.protected, false)
  assert.equal(world.primary.eventsOf('slink-unprotected').length, 1)
  await world.until('it copies', () => world.primary.slink().copiedBytes > 0)
  for (let at = 0; at < 10; at++) {
    assert.equal(await world.answered(write(world, at * 4096), 20), 0)
    await world.advance(50)
    assert.equal(world.primary.slink().protection.protected, false)
  }
  await world.settle()
  await world.until('it is protected again', () => world.primary.slink().protection.protected, 1000)
  assert.equal(world.primary.eventsOf('slink-protected').length, 2)
})

test('a sync site that comes back from an overflow holds no writer until it is clean at both sides, then it is protected', async () => {
  const world = await protectedPair('back', { overflow: 'drop', holdMs: 500 }, { deviceBytes: [8 * MIB, 2 * MIB] })
  world.agent.crash()
  for (const region of [0, 1, 2, 3, 4, 5]) await writeAt(world, 0, [region * MIB])
  await dropSlink(world)
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 2 * MIB }))
  await world.startAgent()
  await world.until('it is resynced', () => world.primary.word() === 'resyncing')
  while (dirtyRegions(world).length > 0) {
    assert.equal(world.primary.slink().protection.protected, false)
    assert.equal(await world.answered(write(world, 7 * MIB), 20), 0)
    await world.advance(20)
  }
  await world.settle()
  await world.until('it is protected', () => world.primary.slink().protection.protected, 1000)
})

test('[RSY-15] a resync that is overtaken by another overflow keeps what it has copied', async () => {
  const world = new World({ seed: 'overflow in a resync', deviceBytes: [12 * MIB, 2 * MIB], logBytes: 2 * MIB })
  await world.start()
  await world.addSite({ devices: [] })
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 2 * MIB }))
  await world.map(0, 1, { initial: 'sync' })
  await world.until('some of it is copied', () => dirtyRegions(world).length <= 6)
  world.agent.crash()
  const before = dirtyRegions(world)
  await writeAt(world, 0, round(60, 11 * MIB))
  await world.until('it is behind', () => world.primary.word() === 'behind')
  assert.deepEqual(dirtyRegions(world), before, 'region 11 was to be copied anyhow')
  await writeAt(world, 0, [0])
  assert.deepEqual(dirtyRegions(world), ['1:0', ...before])
  await world.startAgent()
  await world.settle()
})

test('[SM-07] a paused or deleted slink is not tried, one that is resumed is', async () => {
  const world = await livePair('not tried')
  const admin = () => world.primary.admin
  await world.run(admin().changeSlink(1, { paused: true }))
  await world.restartAgent('stop')
  await world.advance(60_000)
  assert.equal(world.agent.status().session.connected, false)
  await world.run(admin().changeSlink(1, { paused: false }))
  await world.settle(1, 2000)
  world.agent.crash()
  await world.until('it is tried', () => world.primary.slink().link.state.kind === 'waiting')
  await world.run(admin().deleteSlink(1, true))
  await world.startAgent()
  await world.advance(60_000)
  assert.equal(world.agent.status().session.connected, false)
})

test('an agent that has applied what the log does not hold any more is reported, and copied as a whole', async () => {
  const world = await livePair('old log')
  await writeAt(world, 0, round(4))
  await world.settle()
  const { primary } = world
  await world.run(primary.group.log.writeSuperblock())
  const medium = primary.disks.medium('/state/replog')
  const old = Buffer.alloc(medium.sizeBytes)
  medium.read(old, 0)
  await writeAt(world, 1, round(4))
  await world.settle()
  // The log comes back as it was a while ago, as from a backup or a disk that lied.
  primary.crash('all')
  medium.apply(0, old.length, old)
  medium.synced(medium.sequence)
  primary.promised.written = primary.promised.durable = 0
  await world.startPrimary()
  assert.equal(primary.history.lastLsn, 4)
  await world.until('it is in sync', () => primary.eventsOf('resync-finished').length > 0)
  await world.until('it is applied', () => world.agent.status().replica?.consistent === true)
  assert.equal(primary.eventsOf('slink-corruption').length, 1)
  assert.equal(primary.slink().copiedBytes, 5 * MIB)
  for (const [device, bytes] of world.deviceBytes.entries()) {
    const local = new SparseBytes()
    local.write(await world.run(primary.read(device, 0, bytes)), 0)
    assert.equal(world.agent.content(`dev${device}`).firstDifference(local), -1)
  }
})
