/** A synchronous slink 0: writers wait until the local devices have what they wrote, on stable storage. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupStatus } from '../../src/group/status.js'
import { bytes, GroupWorld, KIB } from './group-world.js'

const SYNC = { mode: 'sync' } as const

async function syncWorld(): Promise<GroupWorld> {
  const world = await GroupWorld.running({ latency: { writeMs: [0, 0] } })
  await world.clock.runUntil(world.admin.changeSlink(0, SYNC))
  return world
}

test('[WR-02] with a synchronous slink 0 a write is answered when the local device has it, and not before', async () => {
  const world = await syncWorld()
  assert.equal(groupStatus(world.group).local.mode, 'sync')
  world.disks.inject('/dev/0', { on: 'write', delayMs: 700 })
  const startMs = world.clock.nowMs()
  await world.ok(world.write(0, 0, bytes(64 * KIB, 1)))
  assert.ok(world.clock.nowMs() - startMs >= 700)
  // Whatever the power takes now, the device alone has it: no log is needed.
  world.powerCut({ kind: 'lose-all' })
  const found = Buffer.alloc(64 * KIB)
  world.disks.medium('/dev/0').visible().read(found, 0)
  assert.deepEqual(found, bytes(64 * KIB, 1))
})

test('[WR-02] flushes and FUA writes wait as well, and nothing is left to a timer', async () => {
  const world = await syncWorld()
  const startMs = world.clock.nowMs()
  for (let at = 0; at < 20; at++) await world.ok(world.write(0, at * 4096, bytes(4096, at), at % 3 === 0))
  assert.ok(world.clock.nowMs() - startMs < 100, `20 writes took ${world.clock.nowMs() - startMs} ms`)
  world.disks.inject('/dev/1', { on: 'sync', delayMs: 300 })
  const write = world.write(1, 0, bytes(4096, 7))
  const flush = world.flush()
  await world.clock.advance(200)
  assert.deepEqual([write.answered, flush.answered], [false, false])
  await world.ok(write, flush)
})

test('[WR-13] a write waits for a local device that fails, and succeeds when a retry does', async () => {
  const world = await syncWorld()
  const fault = world.disks.inject('/dev/0', { on: 'write', error: 'EIO', count: Infinity, keep: 'none' })
  const write = world.write(0, 0, bytes(4096, 3))
  await world.clock.advance(5000)
  assert.equal(write.answered, false)
  assert.deepEqual(await world.read(0, 0, 4096), bytes(4096, 3), 'reads do not wait')
  fault.remove()
  await world.ok(write)
})

test('[WR-11] an asynchronous slink 0 lets go of those who wait, and the mode outlives a restart', async () => {
  const world = await syncWorld()
  await world.restart()
  world.disks.inject('/dev/0', { on: 'write', delayMs: 60_000 })
  const write = world.write(0, 0, bytes(4096, 3))
  await world.clock.advance(1000)
  assert.equal(write.answered, false)
  await world.clock.runUntil(world.admin.changeSlink(0, { mode: 'async' }))
  await world.clock.advance(1)
  assert.equal(write.errno, 0)
})

test('a stop answers those who wait for a local device: with success if it is applied, else with an error', async () => {
  for (const [delayMs, errno] of [
    [100, 0],
    [60_000, 5],
  ] as const) {
    const world = await syncWorld()
    world.disks.inject('/dev/0', { on: 'write', delayMs })
    const write = world.write(0, 0, bytes(4096, 3))
    await world.clock.advance(10)
    await world.stop(1000)
    assert.equal(write.errno, errno)
  }
})
