/** The page of metrics. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linkMetrics } from '../../src/control/link-metrics.js'
import { groupStatus } from '../../src/group/status.js'
import { GroupWorld } from './group-world.js'

test('metrics say what status says of each slink, and have no line for what is not known', async () => {
  const world = await GroupWorld.running({ devices: [1024 * 1024] })
  await world.clock.runUntil(world.admin.addSlink({ number: 3, addresses: ['tcp://h:1'], mode: 'async' }))
  const text = linkMetrics(groupStatus(world.group))
  assert.match(text, /^sitelink_slink_lag_seconds\{slink="3"\} 0$/m)
  assert.match(text, /^sitelink_slink_connected\{slink="3"\} 0$/m)
  assert.equal(text.includes('clock_offset'), false, 'no session, no offset')
})
