import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
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

test('the page about the status names every key of it', async () => {
  const page = readFileSync(new URL('../../../../docs/reference/agent-status.md', import.meta.url), 'utf8')
  const world = new World({ seed: 2 })
  await world.init()
  await world.start()
  await world.connect()
  await world.until(() => world.agent.status().mappings.length > 0)
  const missing: string[] = []
  const look = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(look)
    if (typeof value !== 'object' || value === null) return
    for (const [key, inner] of Object.entries(value)) {
      if (!new RegExp(`[\`.]${key}[\`.[]`).test(page)) missing.push(key)
      look(inner)
    }
  }
  look(world.agent.status())
  assert.deepEqual(missing, [])
  await world.stop()
})
