/**
 * While writers are at work the devices are left alone, within bounds: what begins it, and everything that ends it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameType } from '@sitelink/protocol/entry'
import { Prng } from '../../src/testing/index.js'
import { ringLimits, type WriteBackLimits } from '../../src/write-back/limits.js'
import { MIB, World } from './world.js'

const LIMITS = { rushEntries: 16, layerBytes: 64 * 1024, syncMs: 50 }

function world(limits: Partial<WriteBackLimits> = {}): World {
  return new World({ prng: new Prng(1), limits: { ...LIMITS, ...limits } })
}

/** So many entries of 4 KiB, one each millisecond, all of them allowed. */
async function write(w: World, count: number, everyMs = 1): Promise<void> {
  for (let each = 0; each < count; each++) {
    w.write((each % 512) * 4096, 4096)
    w.allow()
    await w.clock.advance(everyMs)
  }
}

test('while entries come fast nothing goes to the devices; once they pause all of it does, and is merged', async () => {
  const w = world()
  // That they come fast shows after some of them.
  await write(w, 100)
  await w.clock.advance(0)
  const { writes } = w.disk().counts
  await write(w, 400)
  assert.equal(w.disk().counts.writes, writes)
  assert(w.applied.lsn < 100)
  await w.check()
  await w.clock.advance(1000)
  assert.equal(w.applied.lsn, 500)
  assert(w.disk().counts.writes < 40, `${w.disk().counts.writes} device writes of 500 entries`)
  await w.check()
})

test('entries that come slowly go to the devices as they come', async () => {
  const w = world()
  await write(w, 100, 10)
  assert(w.applied.lsn >= 80, `only ${w.applied.lsn} of 100 entries are applied`)
})

test('entries of which each is a commit group by itself go to the devices as they come, however fast', async () => {
  const w = world()
  for (let each = 0; each < 400; each++) {
    w.log.end += 4096
    w.write((each % 512) * 4096, 4096)
    w.allow()
    await w.clock.advance(1)
  }
  assert(w.applied.lsn >= 200, `only ${w.applied.lsn} of 400 entries are applied`)
})

test('a rush keeps them from the devices for a bounded time', async () => {
  const w = world({ putOffMsMax: 300 })
  await write(w, 1000)
  assert(w.applied.lsn >= 500, `only ${w.applied.lsn} of 1000 entries are applied`)
})

test('a rush keeps no more from them than the log can hold back', async () => {
  const w = world({ putOffBytesMax: MIB })
  await write(w, 1000)
  assert(w.disk().counts.writes > 0)
  const { lagBytes } = w.writeBack.status()
  assert(lagBytes < 2 * MIB, `${lagBytes} bytes of the log wait`)
})

test('a rush that kept from them all that it may does not begin again before a pause: they keep up', async () => {
  const w = world({ putOffBytesMax: MIB })
  await write(w, 400)
  let lagMost = 0
  for (let each = 0; each < 20; each++) {
    await write(w, 20)
    lagMost = Math.max(lagMost, w.writeBack.status().lagBytes)
  }
  assert(lagMost < MIB / 2, `${lagMost} bytes of the log wait`)
  await w.clock.advance(1000)
  await write(w, 200)
  assert(w.writeBack.status().lagBytes > MIB / 2, 'after a pause it begins again')
})

test('what memory does not hold meanwhile is in the log, and comes from there in long stretches', async () => {
  const w = world({ memoryBytesMax: MIB })
  await write(w, 1000)
  assert(w.writeBack.memoryBytes <= MIB)
  await w.check()
  await w.drain()
  await w.check()
  assert(w.log.payloadReads > 0)
})

test('a rush leaves a part of the intervals free', async () => {
  const w = world({ intervalsMax: 400, layerIntervals: 64 })
  for (let each = 0; each < 1000; each++) {
    assert.equal(w.writeBack.hasRoom(4096), true, `after ${each} entries`)
    w.write((each % 512) * 4096, 4096)
    w.allow()
    await w.clock.advance(1)
  }
})

test('who waits for the devices ends it: a drain, a detach, a log that runs short, a device that is not there', async () => {
  const drained = world()
  await write(drained, 100)
  await drained.drain()
  assert.equal(drained.applied.lsn, 100)

  const detached = world()
  await write(detached, 100)
  await detached.clock.runUntil(detached.writeBack.detach(1, 'apply-first'), 200)
  assert.equal(detached.onDisk(99 * 4096, 4)[0], 100)

  const short = world()
  await write(short, 100)
  short.writeBack.checkpoint()
  await write(short, 50)
  assert(short.applied.lsn >= 100, `only ${short.applied.lsn} of 100 entries are applied`)

  const held = world()
  await write(held, 100)
  held.note({ type: FrameType.write, deviceId: 9, offset: 0, length: 4096 })
  held.allow()
  await write(held, 150)
  assert.equal(held.applied.lsn, 100, 'all that came before it')
})

test('what a small ring holds leaves it in small steps, and a quarter of it may be put off', () => {
  const { lagBytesMax, layerBytes, putOffBytesMax, syncBytes } = ringLimits(4 * MIB)
  assert.deepEqual([lagBytesMax, layerBytes, putOffBytesMax, syncBytes], [2 * MIB, MIB / 2, MIB, MIB / 2])
  const large = ringLimits(1024 * 1024 * MIB)
  assert.deepEqual(
    [large.lagBytesMax, large.layerBytes, large.putOffBytesMax, large.syncBytes],
    [256 * MIB, 16 * MIB, 128 * MIB, 64 * MIB],
  )
})
