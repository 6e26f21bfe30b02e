/**
 * What a site makes durable, and when: at once where somebody waits for it, in its own time where nobody does.
 *
 * The agent's journal syncs 100 ms after what came first; a wait of that length here is somebody who was forgotten.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockdevWorld } from './blockdev-sites.js'
import { livePair, round, writeAt } from './pairs.js'
import { MIB, type World } from './world.js'

/** Long enough for every step on simulated disks and links, and far below what anything does in its own time. */
const SOON_MS = 15

/** Nothing of what came before is under way any more, but for what happens in its own time. */
async function rested(world: World): Promise<void> {
  await world.settle()
  await world.advance(500)
}

test('[FLU-01] [FLU-04] a flush over a sync site is answered as soon as the site has synced, and so is a durable write', async () => {
  const world = await livePair('flush soon', { mode: 'sync' })
  for (let each = 0; each < 5; each++) {
    await rested(world)
    await writeAt(world, 0, [each * 65_536])
    assert.equal(await world.answered(world.primary.flush(), SOON_MS), 0)
    const bytes = world.prng.bytes(4096)
    assert.equal(await world.answered(world.primary.write({ offset: MIB, bytes, fua: true }), SOON_MS), 0)
    // Another one on the heels of the first: what was asked for then does not cover it.
    const first = world.primary.write({ offset: MIB, bytes, fua: true })
    await world.advance(1)
    const second = world.primary.write({ offset: MIB + 65_536, bytes, fua: true })
    assert.equal(await world.answered(first, SOON_MS), 0)
    assert.equal(await world.answered(second, SOON_MS), 0)
  }
})

test('with --ack durable a plain write waits for the two disks, and for no timer of either side', async () => {
  const world = await livePair('durable soon', { mode: 'sync', ack: 'durable' })
  for (let each = 0; each < 5; each++) {
    await rested(world)
    const ticket = world.primary.write({ offset: each * 65_536, bytes: world.prng.bytes(4096) })
    assert.equal(await world.answered(ticket, SOON_MS), 0)
    assert(world.primary.group.log.durableLsn >= ticket.lsn)
  }
})

test('a flush behind entries that are not for the site is answered soon as well', async () => {
  const world = await livePair('skipped', { mode: 'sync', devices: [0] }, { deviceBytes: [4 * MIB, 4 * MIB] })
  await rested(world)
  await writeAt(world, 1, [0, 65_536])
  assert.equal(await world.answered(world.primary.flush(1), SOON_MS), 0)
})

test('[FLU-02] nobody waits for an async site: it syncs in its own time, and a flush does not make it', async () => {
  const world = await livePair('own time', {})
  await rested(world)
  const durable = new Set<number>()
  for (let each = 0; each < 20; each++) {
    await writeAt(world, 0, [each * 65_536])
    assert.equal(await world.answered(world.primary.flush(), SOON_MS), 0)
    await world.advance(2)
    durable.add(world.agent.status().replica?.durableLsn ?? 0)
  }
  assert(durable.size <= 3, `20 writes took ${durable.size} steps`)
})

test('a log that is half full gets room from an async site as soon as that has received what is in it', async () => {
  const world = await livePair('half full', {}, { logBytes: 2 * MIB, journalBytes: 64 * MIB })
  await rested(world)
  const before = world.clock.nowMs()
  // Many times the log: each time that nobody asked would cost 100 ms.
  for (let turn = 0; turn < 12; turn++) await writeAt(world, 0, round(16))
  const tookMs = world.clock.nowMs() - before
  assert(tookMs < 150, `12 MiB through a log of 2 took ${tookMs} ms`)
  assert.equal(world.primary.slink().overflow.count, 0)
})

test('a small journal is emptied in small steps: it holds nobody up for a second', async () => {
  const world = await livePair('small journal', {}, { logBytes: 64 * MIB, journalBytes: 4 * MIB })
  await rested(world)
  const before = world.clock.nowMs()
  for (let turn = 0; turn < 16; turn++) await writeAt(world, 0, round(16))
  await world.until('the site has all of it', () => (world.agent.status().replica?.receivedLsn ?? 0) >= 256)
  const tookMs = world.clock.nowMs() - before
  assert(tookMs < 1000, `16 MiB through a journal of 4 took ${tookMs} ms`)
})

test('a write to a sync blockdev site waits for the log and for the device, and for no timer', async () => {
  const world = await blockdevWorld('blockdev soon', [{ mode: 'sync' }], { diskLatency: { writeMs: [0, 0] } })
  for (let each = 0; each < 5; each++) {
    await world.advance(500)
    const ticket = world.primary.write({ offset: each * 65_536, bytes: world.prng.bytes(4096) })
    assert.equal(await world.answered(ticket, 5), 0)
  }
})
