/** How often the log is read for the sites. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { liveSites, round, writeAt } from './pairs.js'
import { LOG_FILE } from './primary-host.js'

test('[LIM-05] sites that follow are sent what is written without one read of the log, however many there are', async () => {
  const world = await liveSites('log reads', [{ mode: 'async' }, { mode: 'sync' }, { mode: 'async' }])
  const [log] = world.primary.disks.handles(LOG_FILE)
  assert.ok(log !== undefined)
  await world.settle()
  const before = log.counts.reads
  await writeAt(world, 0, round(40))
  await writeAt(world, 1, round(40))
  for (const slink of [1, 2, 3]) await world.settle(slink)
  assert.equal(log.counts.reads, before)
  for (const slink of [1, 2, 3]) world.checkEqual(slink)
})
