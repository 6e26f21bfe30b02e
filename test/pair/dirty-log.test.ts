/**
 * Dirty logs of a living pair: what they know survives restarts and power cuts, damage only ever makes more dirty, and
 * what they say is what is copied.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedFromEnv } from '@sitelink/storage/testing'
import { dirtyLogPath, dirtyRegions, dropSlink, livePair, round, writeAt } from './pairs.js'
import { MIB, World } from './world.js'

const LARGE = { deviceBytes: [8 * MIB, 8 * MIB] }

for (const how of ['crash', 'power-cut', 'stop'] as const) {
  test(`[DLG-02] [OVF-16] a site that is behind misses the same regions after a ${how} of the primary, again and again, and gets no others`, async () => {
    const world = await livePair(`dirty ${how}`, {}, LARGE)
    world.agent.crash()
    await writeAt(world, 0, [MIB, 6 * MIB])
    await dropSlink(world)
    await writeAt(world, 1, [3 * MIB])
    for (let life = 0; life < 3; life++) {
      await writeAt(world, 1, [(4 + life) * MIB])
      // What nobody was promised to survive a power cut need not be there after it.
      assert.equal(await world.answered(world.primary.flush()), 0)
      const before = dirtyRegions(world)
      assert.deepEqual(before, ['1:1', '1:6', '2:3', ...[4, 5, 6].slice(0, life + 1).map((region) => `2:${region}`)])
      await world.restartPrimary(how)
      assert.deepEqual(dirtyRegions(world), before)
      assert.equal(world.primary.word(), 'behind')
    }
    await world.startAgent()
    await world.settle()
    assert.equal(world.primary.slink().copiedBytes, 6 * MIB)
  })
}

test('[DLG-03] [OVF-04] a power cut at any moment of an overflow loses no mark, and makes nothing else dirty', async () => {
  const seed = seedFromEnv('overflow cut')
  let cutWhileDropping = 0
  for (let at = 0; at < 8; at++) {
    const world = await livePair(
      `${seed}/${at}`,
      {},
      {
        deviceBytes: [6 * MIB, 6 * MIB],
        logBytes: 2 * MIB,
        diskLatency: { readMs: [0, 2], writeMs: [0, 4], syncMs: [0, 20] },
      },
    )
    const { prng, primary } = world
    world.agent.crash()
    const touched = new Set<string>()
    for (let write = 0; write < 110; write++) {
      const [device, region] = [prng.between(0, 1), prng.between(0, 3)]
      touched.add(`${device + 1}:${region}`)
      primary.write({ device, offset: region * MIB + write * 4096, bytes: prng.bytes(65_536) })
    }
    // Either within the overflow, while marks are stored and the log lets go, or some time after it.
    await world.until('the site is being dropped', () => primary.word() === 'dropping')
    const afterMs = prng.chance(0.5) ? prng.below(25) : prng.below(250)
    for (let ms = 0; ms < afterMs; ms++) await world.advance(1)
    if (primary.word() === 'dropping') cutWhileDropping++
    await world.restartPrimary('power-cut')
    const extra = dirtyRegions(world).filter((region) => !touched.has(region))
    assert.deepEqual(extra, [], 'regions that nobody wrote to')
    await world.startAgent()
    await world.settle()
    await world.checkLocal()
  }
  assert(cutWhileDropping > 0 && cutWhileDropping < 8, `${cutWhileDropping} of 8 while marks were being stored`)
})

for (const damage of ['flipped bits', 'unreadable sectors', 'no file'] as const) {
  test(`[DLG-04] a dirty log with ${damage} makes its device dirty and no other, is reported, and stops no writer`, async () => {
    const world = await livePair(`damage by ${damage}`, {}, LARGE)
    await writeAt(world, 0, [MIB])
    await world.settle()
    world.agent.crash()
    await writeAt(world, 1, [5 * MIB])
    // With a place in the log it is all the same: what the dirty log knew is not in the log.
    const behind = damage !== 'flipped bits'
    if (behind) await dropSlink(world)
    const path = dirtyLogPath(world, 1)
    await world.run(world.primary.stop())
    const { disks } = world.primary
    const medium = disks.medium(path)
    if (damage === 'no file') await world.run(disks.removeFile(path))
    else if (damage === 'unreadable sectors') medium.makeUnreadable(0, medium.sizeBytes)
    else for (let offset = 0; offset < medium.sizeBytes; offset += 64) medium.flipBit(offset, 3)
    await world.startPrimary()
    assert.deepEqual(dirtyRegions(world), [
      ...Array.from({ length: 8 }, (_, region) => `1:${region}`),
      ...(behind ? ['2:5'] : []),
    ])
    const lost = world.primary.eventsOf('dirty-log-lost')
    assert.deepEqual(
      lost.map(({ facts }) => facts['device']),
      [0],
    )
    await writeAt(world, 0, [0])
    await world.startAgent()
    await world.settle()
    assert.equal(world.primary.slink().copiedBytes, (behind ? 9 : 8) * MIB)
    await world.restartPrimary('crash')
    assert.equal(world.primary.eventsOf('dirty-log-lost').length, 1, 'it was made anew: it is not lost a second time')
    assert.deepEqual(dirtyRegions(world), [])
  })
}

test('[DLG-05] a device that has grown is copied no further than before, one that has shrunk keeps its marks until it is back', async () => {
  const world = await livePair('resized', {}, LARGE)
  world.agent.crash()
  await writeAt(world, 0, [MIB, 7 * MIB])
  await dropSlink(world)
  const marks = ['1:1', '1:7']
  for (const bytes of [12 * MIB, 4 * MIB, 8 * MIB]) {
    await world.run(world.primary.stop())
    world.primary.disks.resize('/dev/local0', bytes)
    await world.startPrimary()
    assert.deepEqual(dirtyRegions(world), marks, `with ${bytes / MIB} MiB`)
    assert.equal(world.primary.eventsOf('device-missing').length, bytes === 12 * MIB ? 0 : 1)
  }
})

test('[DLG-06] [DLG-02] sync and nosync act when the mapping is made and never again: the dirty log decides at every start', async () => {
  const world = new World({ seed: 'initial', ...LARGE })
  await world.start()
  await writeAt(world, 0, [0, 5 * MIB])
  await world.addSite({ initial: 'sync', devices: [0] })
  await world.map(1, 1, { initial: 'nosync' })
  await world.settle()
  assert.equal(world.primary.slink().copiedBytes, 8 * MIB, 'all of the one, nothing of the other')
  await world.restartPrimary('crash')
  await world.settle()
  assert.equal(world.primary.slink().copiedBytes, 0, 'not once more')
  world.agent.crash()
  await writeAt(world, 1, [2 * MIB])
  await dropSlink(world)
  await world.restartPrimary('power-cut')
  assert.deepEqual(dirtyRegions(world), ['2:2'], 'nosync hides nothing that is known')
  // Made anew, with a dirty log on a device that has a valid one: the wish decides.
  for (const initial of ['sync', 'nosync'] as const) {
    await world.run(world.primary.admin.unmap(1, 1))
    await world.map(1, 1, { initial })
    assert.equal(dirtyRegions(world).length, initial === 'sync' ? 8 : 0)
  }
})

test('a dirty log that says clean is not believed of an agent that has lost what it acknowledged', async () => {
  const world = await livePair('another journal', {}, LARGE)
  await writeAt(world, 0, round(8))
  await world.settle()
  await world.run(world.agent.stop())
  // The agent's host is restored from nothing: same name, same address, empty devices.
  for (const path of world.agent.disks.paths().filter((one) => !one.startsWith('/dev/')))
    await world.run(world.agent.disks.removeFile(path))
  await world.run(world.agent.create())
  world.agent.owed.received = world.agent.owed.durable = 0
  await world.startAgent()
  await world.settle()
  assert.equal(world.primary.slink().copiedBytes, 16 * MIB)
  assert.equal(world.primary.eventsOf('slink-all-dirty').length, 1)
})
