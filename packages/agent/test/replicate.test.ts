import assert from 'node:assert/strict'
import { test } from 'node:test'
import { World } from './support/world.js'

test('entries that the primary has durably reach the devices, in order, and are acknowledged', async () => {
  const world = new World({ seed: 1 })
  await world.init()
  await world.start()
  const session = await world.connect()
  assert.equal(session.end, null)
  const { primary } = world
  for (let i = 0; i < 50; i++) primary.write(1 + (i % 2), (i * 4096) % (2 << 20), world.randomBytes(4096))
  primary.feed()
  await world.until(() => session.acks.at(-1)?.durable[1] === 50)
  assert.equal(session.acks.at(-1)?.applied[1], 0, 'nothing is applied that the primary may still lose')
  assert.deepEqual(world.content('dev0'), Buffer.alloc(2 << 20), 'and no byte of it is on the device')
  primary.makeDurable()
  await world.until(() => session.acks.at(-1)?.applied[1] === 50)
  world.assertContent(50)
  const status = world.agent.status()
  assert.equal(status.replica?.consistent, true)
  await world.stop()
})
