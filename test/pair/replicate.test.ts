/** A pair without faults: what is written arrives, in order, and everybody says so. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MIB, World } from './world.js'

test('an async slink is connected, live, and its devices become equal', async () => {
  const world = new World({ seed: 'async' })
  await world.start()
  await world.addSite({ mode: 'async' })
  for (let at = 0; at < 50; at++) {
    const ticket = world.primary.write({ device: at % 2, offset: (at * 8192) % MIB, bytes: world.prng.bytes(4096) })
    assert.equal(await world.answered(ticket), 0)
  }
  await world.settle()
  await world.checkLocal()
  assert.equal(world.primary.slink().stream?.feed.copyBytesSent, 0, 'nothing was copied')
})

test('[WR-03] a protected sync slink has what is answered, at the moment of the answer', async () => {
  const world = new World({ seed: 'sync', link: { latencyMs: 20 } })
  await world.start()
  await world.addSite({ mode: 'sync' })
  await world.until('the slink is protected', () => world.primary.slink().protection.protected)
  const ticket = world.primary.write({ offset: 0, bytes: world.prng.bytes(4096) })
  await world.advance(30)
  assert.equal(ticket.errno, null, 'the answer waits for the site')
  assert.equal(await world.answered(ticket), 0)
  assert(world.agent.owed.received >= ticket.lsn)
  await world.settle()
})

test('[RSY-01] a mapping made with sync is copied as a whole', async () => {
  const world = new World({ seed: 'copy', deviceBytes: [2 * MIB + 8192, 3 * MIB] })
  await world.start()
  for (let at = 0; at < 20; at++)
    await world.answered(world.primary.write({ device: at % 2, offset: at * 65536, bytes: world.prng.bytes(8192) }))
  await world.addSite({ mode: 'async', initial: 'sync' })
  await world.settle()
})
