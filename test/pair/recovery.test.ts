/**
 * What a site gets after one side has died, or after the log was damaged: what it had not confirmed and nothing else,
 * never a byte that does not check, and without anybody having to write for it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupStatus } from '@sitelink/primary'
import { LOG_FILE } from './primary-host.js'
import { dirtyLogPath, dirtyRegions, dropSlink, livePair, round, writeAt } from './pairs.js'
import { MIB, type World } from './world.js'

const LARGE = { deviceBytes: [8 * MIB, 8 * MIB] }

/** Entries that the present session has sent. */
const sent = (world: World): number => world.primary.slink().stream?.feed.entriesSent ?? 0

for (const how of ['crash', 'power-cut'] as const) {
  test(`[REC-04] after a ${how} of the primary a site gets the entries that it had not confirmed, each once, and no other`, async () => {
    const world = await livePair(`once ${how}`, {}, LARGE)
    await writeAt(world, 0, round(20))
    await world.settle()
    world.silence()
    await writeAt(world, 1, round(7))
    assert.equal(await world.answered(world.primary.flush()), 0)
    await world.restartPrimary(how)
    world.silence(world.agent, false)
    await world.settle()
    assert.equal(sent(world), 7)
    world.cut()
    await world.settle()
    assert.equal(sent(world), 0, 'nothing twice')
  })
}

test('[REC-04] an agent that died with entries that it had not confirmed gets those that it lost, and repetition harms nothing', async () => {
  for (let at = 0; at < 12; at++) {
    const world = await livePair(`lost ${at}`, {}, { diskLatency: { writeMs: [0, 3], syncMs: [2, 20] } })
    await writeAt(world, 0, round(4))
    await world.settle()
    for (const offset of round(10)) world.primary.write({ device: 1, offset, bytes: world.prng.bytes(65_536) })
    await world.advance(at * 3)
    await world.restartAgent(at % 2 === 0 ? 'power-cut' : 'crash')
    const has = world.agent.status().replica?.receivedLsn ?? 0
    await world.settle()
    assert.equal(sent(world), 14 - has, `it had ${has} of 14`)
  }
})

/** Flips a bit of the payload of the entry that wrote `bytes`, wherever it lies in the log. */
function damage(world: World, bytes: Buffer): void {
  const medium = world.primary.disks.medium(LOG_FILE)
  const all = Buffer.alloc(medium.sizeBytes)
  medium.read(all, 0)
  const at = all.indexOf(bytes.subarray(0, 64))
  assert(at > 0, 'the log holds those bytes')
  medium.flipBit(at + 100, 5)
}

test('[REC-14] [REC-13] a damaged payload is never sent: the site gets its region as a copy of the local device, and only that', async () => {
  const world = await livePair('damaged', {}, LARGE)
  await world.settle()
  world.agent.crash()
  const bytes = world.prng.bytes(65_536)
  await writeAt(world, 0, [0])
  assert.equal(await world.answered(world.primary.write({ offset: 3 * MIB, bytes })), 0)
  await writeAt(world, 1, [5 * MIB])
  // All of it is on the local devices.
  await world.run(world.primary.stop())
  damage(world, bytes)
  await world.startPrimary()
  await world.startAgent()
  await world.until('the damage is met', () => world.primary.eventsOf('log-hole').length > 0)
  await world.settle()
  assert(!JSON.stringify(world.agent.events).includes('corrupt'))
  // The drop marks what the log still held for the site, and nothing else.
  assert(world.primary.slink().copiedBytes >= MIB && world.primary.slink().copiedBytes <= 3 * MIB)
  await world.checkLocal()
})

test('[REC-14] [RSY-16] a payload that is damaged before any device had it is lost for reads and for the site, until it is overwritten', async () => {
  const world = await livePair('damaged early', {}, { ...LARGE, diskLatency: {} })
  await world.settle()
  world.silence()
  const hung = world.primary.disks.inject('/dev/local0', { on: 'write', delayMs: 600_000, count: Infinity })
  const bytes = world.prng.bytes(65_536)
  assert.equal(await world.answered(world.primary.write({ offset: 3 * MIB, bytes })), 0)
  await writeAt(world, 0, [MIB])
  assert.equal(await world.answered(world.primary.flush()), 0)
  await world.advance(1000)
  world.primary.crash('none')
  hung.remove()
  damage(world, bytes)
  await world.startPrimary()
  assert.equal(world.primary.eventsOf('log-hole').length, 1)
  await assert.rejects(world.run(world.primary.read(0, 3 * MIB, 4096)))
  assert.equal((await world.run(world.primary.read(0, MIB, 4096))).length, 4096)
  world.silence(world.agent, false)
  await world.until('only that region is left', () => dirtyRegions(world).join() === '1:3')
  await world.advance(5000)
  assert.deepEqual(dirtyRegions(world), ['1:3'])
  assert.equal(world.agent.status().replica?.consistent, false)
  assert(world.primary.eventsOf('resync-read-failed').length > 0)
  assert.equal(await world.answered(world.primary.write({ offset: 3 * MIB, bytes })), 0)
  await world.settle()
  await world.checkLocal()
})

test('[WR-17] progress is stored by superblocks, a few for any number of entries, and is there after a crash', async () => {
  const world = await livePair('progress', {}, { ...LARGE, logBytes: 32 * MIB })
  const log = () => groupStatus(world.primary.group).log
  const before = log()
  for (let at = 0; at < 1000; at++) {
    const ticket = world.primary.write({ device: at % 2, offset: (at % 500) * 4096, bytes: world.prng.bytes(4096) })
    if (at % 10 === 9) await world.answered(ticket)
  }
  await world.settle()
  await world.advance(1000)
  const after = log()
  assert.equal(after.lastLsn, 1000)
  assert(after.superblockWrites - before.superblockWrites <= 20, `${after.superblockWrites - before.superblockWrites}`)
  // Each entry went into the log once: payload, header and the rest of the group's last page.
  assert(after.bytesWritten - before.bytesWritten < 1000 * 4096 * 1.3, `${after.bytesWritten - before.bytesWritten}`)
  await world.restartPrimary('crash')
  await world.settle()
  assert.equal(sent(world), 0)
})

test('[SM-13] a link that is idle stays up and is measured; what a lost one misses is shown as it grows older', async () => {
  const world = await livePair('idle', {}, { link: { latencyMs: 25 } })
  const status = () => groupStatus(world.primary.group).slinks[0]
  await writeAt(world, 0, [0])
  await world.settle()
  await world.advance(60_000)
  assert.equal(world.primary.eventsOf('slink-disconnected').length, 0)
  assert.deepEqual(
    [status()?.connected, status()?.lagWrites, status()?.lagBytes, status()?.lagSeconds],
    [true, 0, 0, 0],
  )
  const rttMs = status()?.rttMs ?? 0
  assert(rttMs >= 50 && rttMs < 60, `${rttMs} ms`)
  world.silence()
  await writeAt(world, 0, [4096], 4096)
  await world.advance(7000)
  assert.deepEqual([status()?.connected, status()?.lagWrites, status()?.lagBytes], [false, 1, 4096])
  const lagSeconds = status()?.lagSeconds ?? 0
  assert(lagSeconds >= 7 && lagSeconds < 8, `${lagSeconds} s`)
})

/** Each makes something fail that is tried again later, and answers how it is mended. */
const RETRIED: Record<string, (world: World) => Promise<() => void | Promise<void>>> = {
  'the link is cut': async (world) => {
    world.silence()
    await writeAt(world, 0, [0])
    await world.advance(20_000)
    return () => world.silence(world.agent, false)
  },
  'a device of the agent cannot be written': async (world) => {
    const fault = world.agent.disks.inject('/dev/dev0', { on: 'write', error: 'EIO', count: Infinity })
    await writeAt(world, 0, [0])
    await world.advance(20_000)
    return () => fault.remove()
  },
  'a device of the agent cannot be synced': async (world) => {
    const fault = world.agent.disks.inject('/dev/dev0', { on: 'sync', error: 'EIO', count: Infinity })
    await writeAt(world, 0, [0])
    await world.advance(20_000)
    return () => fault.remove()
  },
  'the local device cannot be written': async (world) => {
    const fault = world.primary.disks.inject('/dev/local0', { on: 'write', error: 'EIO', count: Infinity })
    await writeAt(world, 0, [0])
    await world.advance(20_000)
    return () => fault.remove()
  },
  'the dirty log cannot be stored': async (world) => {
    const fault = world.primary.disks.inject(dirtyLogPath(world, 1), { on: 'write', error: 'EIO', count: Infinity })
    world.agent.crash()
    await writeAt(world, 0, [MIB])
    void world.primary.slink().overflow.drop('the log is short of space')
    await world.advance(20_000)
    assert.equal(world.primary.word(), 'dropping')
    await world.startAgent()
    await world.advance(20_000)
    return () => fault.remove()
  },
  'a region cannot be read': async (world) => {
    const fault = world.primary.disks.inject('/dev/local0', { on: 'read', error: 'EIO', count: Infinity })
    await world.run(world.primary.admin.resync(1, true))
    await world.advance(20_000)
    return () => fault.remove()
  },
  'the slink is paused': async (world) => {
    await world.run(world.primary.admin.changeSlink(1, { paused: true }))
    await writeAt(world, 0, [0])
    await world.advance(20_000)
    return () => world.run(world.primary.admin.changeSlink(1, { paused: false }))
  },
  'the group is suspended in the middle of a resync': async (world) => {
    world.agent.crash()
    await writeAt(world, 0, [0, MIB, 5 * MIB])
    await dropSlink(world)
    await world.run(world.primary.admin.suspend(null))
    await world.startAgent()
    await world.advance(20_000)
    return () => world.run(world.primary.admin.resume(null))
  },
}

for (const [cause, strike] of Object.entries(RETRIED)) {
  test(`[SM-08] when ${cause} and then it is mended, the site is brought up to date without anything being written`, async () => {
    const world = await livePair(cause, {}, LARGE)
    await writeAt(world, 0, [0, MIB])
    await world.settle()
    const mend = await strike(world)
    const lsn = world.primary.group.writePath.lastLsn
    await mend()
    const tookMs = await world.settle(1, 30_000)
    assert.equal(world.primary.group.writePath.lastLsn, lsn)
    assert(tookMs <= 15_000, `it took ${tookMs} ms`)
  })
}
