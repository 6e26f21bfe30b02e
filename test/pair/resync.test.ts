/**
 * Resyncs of a living pair: what is copied and what is not, what interrupts them, what they say of themselves.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupStatus } from '@sitelink/primary'
import { JOURNAL_FILE } from './agent-host.js'
import { dirtyRegions, dropSlink, livePair, liveSites, round, writeAt } from './pairs.js'
import { MIB, World } from './world.js'

const LARGE = { deviceBytes: [8 * MIB, 8 * MIB] }

const copied = (world: World): number => world.primary.slink().copiedBytes
const statusOf = (world: World) =>
  groupStatus(world.primary.group).slinks[0] as ReturnType<typeof groupStatus>['slinks'][0]

/** A site that gets everything, at 2 MiB a second. */
async function addSlowSite(world: World): Promise<void> {
  await world.addSite({ devices: [] })
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 2 * MIB }))
  for (const device of [0, 1]) await world.map(device, 1, { initial: 'sync' })
}

/** A pair whose resync of both devices runs at 2 MiB a second and has copied some of them. */
async function halfCopied(seed: string): Promise<World> {
  const world = new World({ seed, ...LARGE })
  await world.start()
  for (let region = 0; region < 8; region++) {
    await writeAt(world, 0, [region * MIB])
    await writeAt(world, 1, [region * MIB + 4096])
  }
  await addSlowSite(world)
  await world.until('some regions are clean', () => dirtyRegions(world).length <= 10)
  return world
}

test('[RSY-03] only the regions that are dirty travel, however many others there are', async () => {
  const world = await livePair('only dirty', {}, LARGE)
  world.agent.crash()
  await writeAt(world, 0, [0, 3 * MIB + 65_536])
  await writeAt(world, 1, [7 * MIB])
  await dropSlink(world)
  assert.deepEqual(dirtyRegions(world), ['1:0', '1:3', '2:7'])
  await world.startAgent()
  await world.settle()
  assert.equal(copied(world), 3 * MIB)
})

/** A site that is brought a device of 32 MiB: how long that takes, and how often its journal is synced. */
async function bring(
  seed: string,
  wish: Parameters<World['addSite']>[0] = {},
): Promise<{ tookMs: number; syncs: number }> {
  const world = new World({ seed, deviceBytes: [32 * MIB], journalBytes: 64 * MIB })
  await world.start()
  for (let region = 0; region < 32; region++) await writeAt(world, 0, [region * MIB])
  await world.addSite({ ...wish, devices: [] })
  const syncs = world.agent.disks.inject(JOURNAL_FILE, { on: 'sync', delayMs: 0, count: Infinity })
  await world.map(0, 1, { initial: 'sync' })
  const tookMs = await world.settle()
  assert.equal(copied(world), 32 * MIB)
  return { tookMs, syncs: syncs.hits }
}

test('a resync has the site sync behind every few MiB of copies, not behind each', async () => {
  const { tookMs, syncs } = await bring('few syncs')
  assert(syncs <= 16, `${syncs} syncs`)
  assert(tookMs < 250, `${tookMs} ms: nor has it wait for the own time of the site`)
})

test('where only one may be under way, each copy is told of as soon as it is there', async () => {
  const { tookMs } = await bring('one at a time', { inFlight: { ios: 1, bytes: 0 } })
  assert(tookMs < 450, `${tookMs} ms`)
})

test('[DEV-13] copies of one device have regions of different sizes, and each copies its own', async () => {
  const world = await liveSites('region sizes', [{ regionBytes: MIB }, { regionBytes: 8 * MIB }], {
    deviceBytes: [16 * MIB],
  })
  for (const agent of world.agents) agent.crash()
  await writeAt(world, 0, [9 * MIB])
  for (const slink of [1, 2]) await dropSlink(world, slink)
  assert.deepEqual(
    [1, 2].map((slink) => dirtyRegions(world, slink)),
    [['1:9'], ['1:1']],
  )
  for (const agent of world.agents) await world.run(agent.start())
  for (const slink of [1, 2]) await world.settle(slink)
  assert.deepEqual(
    [1, 2].map((slink) => world.primary.slink(slink).copiedBytes),
    [MIB, 8 * MIB],
  )
})

for (const loss of [
  'a lost session',
  'a crash of the primary',
  'a power cut of the primary',
  'a crash of the agent',
  'a power cut of the agent',
  'a clean stop of the primary',
  'a pause',
] as const) {
  test(`[RSY-15] a resync that is interrupted by ${loss} goes on where it was`, async () => {
    const world = await halfCopied(`interrupted by ${loss}`)
    const { primary, agent } = world
    // What became clean is soon stored as clean at both sides; what did so just now may come again.
    const stored = dirtyRegions(world)
    await world.advance(2000)
    const before = dirtyRegions(world)
    assert(before.length > 0 && before.length < 9, `${before.length} regions are left`)
    const copiedBefore = copied(world)
    if (loss === 'a lost session') world.cut()
    else if (loss === 'a pause') {
      await world.run(primary.admin.changeSlink(1, { paused: true }))
      await world.run(primary.admin.changeSlink(1, { paused: false }))
    } else if (loss.endsWith('agent')) await world.restartAgent(loss.startsWith('a crash') ? 'crash' : 'power-cut')
    else
      await world.restartPrimary(
        loss.startsWith('a crash') ? 'crash' : loss.startsWith('a clean') ? 'stop' : 'power-cut',
      )
    const after = dirtyRegions(world)
    assert(
      after.every((region) => stored.includes(region)),
      `${after.join()} of ${stored.join()}`,
    )
    await world.run(primary.admin.changeSlink(1, { resyncBytesPerSecond: 0 }))
    await world.settle()
    const again = copied(world) - (loss.endsWith('primary') ? 0 : copiedBefore)
    assert(again <= stored.length * MIB, `${again / MIB} MiB were copied, ${stored.length} regions were left`)
    assert.equal(agent.status().replica?.consistent, true)
  })
}

test('[RSY-16] a region that cannot be read stays dirty and is reported, the others go on, and it is copied once it can', async () => {
  const world = await livePair('unreadable region', {}, LARGE)
  await writeAt(world, 0, [0, MIB, 2 * MIB])
  await writeAt(world, 1, [MIB])
  await world.settle()
  await world.restartPrimary('stop')
  const broken = world.primary.disks.inject('/dev/local0', {
    on: 'read',
    error: 'EIO',
    count: Infinity,
    range: { offset: MIB + 4096, length: 4096 },
  })
  await world.run(world.primary.admin.resync(1, true))
  await world.until('only that region is left', () => dirtyRegions(world).join() === '1:1')
  await world.advance(5000)
  assert.deepEqual(dirtyRegions(world), ['1:1'])
  const failed = world.primary.eventsOf('resync-read-failed')
  const told = failed.map(({ facts }) => `${facts['deviceId']}:${facts['region']}`)
  assert.deepEqual(told, ['1:1'], 'once, however often it is tried')
  assert(broken.hits > 1 && broken.hits <= 10, `it is tried again, not in a tight loop: ${broken.hits} times`)
  assert.equal(world.agent.status().replica?.consistent, false)
  // Writers elsewhere and into that very region are not stopped by it.
  await writeAt(world, 0, [3 * MIB, MIB + 65_536])
  broken.remove()
  await world.settle()
})

test('[RSY-17] status shows that a resync runs, how much of it is done, and null once it is over', async () => {
  const world = await halfCopied('progress')
  let { resync, dirtyRegions: left, totalRegions, state } = statusOf(world)
  assert(resync !== null && resync.running)
  assert.equal(state, 'resyncing')
  assert.equal(totalRegions, 16)
  assert.equal(resync.leftBytes, left * MIB)
  assert.equal(resync.totalBytes, 16 * MIB)
  assert.equal(resync.copiedBytes, resync.totalBytes - resync.leftBytes)
  assert(resync.etaSeconds !== null && resync.etaSeconds > 1 && resync.etaSeconds < 20, `${resync.etaSeconds} s`)
  const before = resync.copiedBytes
  await world.advance(2000)
  ;({ resync } = statusOf(world))
  assert(resync !== null && resync.copiedBytes > before, 'it moves')
  world.agent.crash()
  await world.until('it is noticed', () => world.primary.word() === 'disconnected')
  ;({ resync, dirtyRegions: left, totalRegions, state } = statusOf(world))
  assert(resync !== null && !resync.running)
  assert.equal(resync.leftBytes, left * MIB)
  await world.startAgent()
  await world.settle()
  assert.equal(statusOf(world).resync, null)
  assert.equal(statusOf(world).dirtyRegions, 0)
  assert.equal(world.primary.eventsOf('resync-finished').length, 1)
})

test('[RSY-19] the rate of a resync can be lowered and raised while it runs', async () => {
  const world = new World({ seed: 'rate', deviceBytes: [32 * MIB, 32 * MIB] })
  await world.start()
  await addSlowSite(world)
  const mibIn = async (ms: number): Promise<number> => {
    const before = copied(world)
    await world.advance(ms)
    return (copied(world) - before) / MIB
  }
  await mibIn(1000)
  const first = await mibIn(4000)
  assert(first >= 6 && first <= 10, `${first} MiB in 4 s at 2 MiB/s`)
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 6 * MIB }))
  await mibIn(500)
  const second = await mibIn(3000)
  assert(second >= 15 && second <= 21, `${second} MiB in 3 s at 6 MiB/s`)
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: MIB }))
  await mibIn(500)
  const third = await mibIn(4000)
  assert(third >= 3 && third <= 5, `${third} MiB in 4 s at 1 MiB/s`)
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 0 }))
  assert((await world.settle()) < 3000, 'without a limit the rest takes no time')
})

test('[LIFE-10] a site that is removed and added again is resynced, whatever it has', async () => {
  const world = await livePair('added again', {}, LARGE)
  await writeAt(world, 0, round(8))
  await world.settle()
  await world.run(world.primary.admin.deleteSlink(1, true))
  await writeAt(world, 1, round(8, 5 * MIB))
  await world.addSite({ number: 1, initial: 'sync' })
  await world.settle()
  assert.equal(copied(world), 16 * MIB)
})

test('[REC-11] a site that is added while the log is full of entries gets copies, and not one entry from before it was mapped', async () => {
  const world = new World({ seed: 'late site', agents: 2, ...LARGE })
  await world.start()
  // Another site that is away pins the log, so that everything is still in it.
  await world.addSite({ number: 7, overflow: 'stall', initial: 'nosync' })
  await world.until('it is live', () => world.primary.word(7) === 'live')
  await world.run(world.primary.admin.changeSlink(7, { paused: true }))
  for (let at = 0; at < 3; at++) await writeAt(world, at % 2, round(16, at * MIB))
  const last = world.primary.history.lastLsn
  assert.equal(world.primary.group.log.status().usedBytes > 3 * MIB, true, 'the log holds them all')
  await world.run(world.primary.admin.deleteSlink(7, true))
  await world.addSite({ agent: world.agents[1] as never, number: 2, initial: 'sync' })
  await world.settle(2)
  const { stream } = world.primary.slink(2)
  assert.equal(last, 48)
  assert.equal(stream?.feed.entriesSent, 0)
  assert.equal(world.primary.slink(2).copiedBytes, 16 * MIB)
})

test('a resync that is cut off at any moment, by any power cut, ends with both sides equal', async () => {
  for (let at = 0; at < 10; at++) {
    const world = new World({
      seed: `cut resync ${at}`,
      diskLatency: { readMs: [0, 2], writeMs: [0, 4], syncMs: [0, 20] },
    })
    await world.start()
    await writeAt(world, 0, round(8))
    await writeAt(world, 1, round(8, 2 * MIB))
    await world.addSite({ initial: 'sync' })
    for (let cut = 0; cut < 4; cut++) {
      world.primary.write({ device: cut % 2, offset: cut * 65_536, bytes: world.prng.bytes(4096) })
      await world.advance(world.prng.between(0, 150))
      if (world.prng.chance(0.5)) await world.restartPrimary('power-cut')
      else await world.restartAgent('power-cut')
      world.checkApplied()
      if (cut === 1) await world.run(world.primary.admin.resync(1, true))
    }
    await world.settle()
    await world.checkLocal()
  }
})

test('[DEV-15] a device that is mapped while its agent is away is taken, and brought up to date once it is there', async () => {
  const world = new World({ seed: 'mapped while away', ...LARGE })
  await world.start()
  world.agent.crash()
  await writeAt(world, 0, round(4))
  await world.addSite({ initial: 'sync' })
  await writeAt(world, 1, round(4, 3 * MIB))
  await world.advance(30_000)
  assert.equal(world.primary.word(), 'disconnected')
  await world.startAgent()
  await world.settle()
})
