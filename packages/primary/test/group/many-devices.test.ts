/** A group with as many devices as it may have. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEVICE_COUNT_MAX } from '../../src/limits.js'
import { bytes, GroupWorld, MIB } from './group-world.js'

test('[LIM-02] a group runs with more than a thousand devices, one log for all of them, and a restart finds them', async () => {
  assert.ok(DEVICE_COUNT_MAX >= 1000)
  const world = await GroupWorld.running({
    logBytes: 16 * MIB,
    devices: Array.from({ length: DEVICE_COUNT_MAX }, () => MIB),
  })
  const every = (number: number): Buffer => bytes(512, 1 + (number % 250))
  await world.ok(...world.config.current.devices.map(({ number }) => world.write(number, 4096, every(number))))
  assert.equal(world.group.writePath.lastLsn, DEVICE_COUNT_MAX)
  world.kill()
  await world.open()
  for (const { number } of world.config.current.devices)
    assert.deepEqual(await world.read(number, 4096, 512), every(number), `device ${number}`)
})
