/** The watch of the ring alone: a group that is made of facts, and who loses his place by them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimClock } from '@sitelink/storage/testing'
import type { Group } from '../../src/group/group.js'
import { ShortageWatch } from '../../src/group/shortage-watch.js'
import { STREAMING_GRACE_MS } from '../../src/limits.js'
import type { Slink } from '../../src/slink/slink.js'

/** A full log whose tail one site holds; a writer has waited for room since the beginning. */
function watchOf(overflow: 'drop' | 'fail', streaming: boolean) {
  const clock = new SimClock()
  const acted: string[] = []
  const site = {
    number: 1,
    pin: 0,
    mappings: { size: 1 },
    stream: streaming ? {} : null,
    config: { overflow },
    overflow: { drop: async () => void acted.push('drop'), filled: () => void acted.push('fail') },
  }
  const log = { isCapped: false, status: () => ({ ringBytes: 1000, usedBytes: 1000, end: 1000 }) }
  const logResize = { isHolding: false }
  const group = {
    state: 'running',
    log,
    logResize,
    parts: { clock, event: () => undefined },
    writePath: { waitingCount: 1, headWaitMs: (nowMs: number) => nowMs },
    writeBack: { appliedPosition: 1000, status: () => ({ failedDeviceIds: [], heldDeviceIds: [] }) },
    slinks: new Map([[1, site as unknown as Slink]]),
  }
  return { watch: new ShortageWatch(group as unknown as Group), clock, log, logResize, acted }
}

for (const overflow of ['drop', 'fail'] as const) {
  test(`while a log shrinks no site with policy ${overflow} pays for room that it could not give`, () => {
    const { watch, log, acted } = watchOf(overflow, false)
    log.isCapped = true
    watch.look()
    assert.deepEqual(acted, [])
    log.isCapped = false
    watch.look()
    assert.deepEqual(acted, [overflow])
  })
}

test('a site that acknowledges has all its time again once a log has shrunk, or its writers were held for it', async () => {
  for (const why of ['capped', 'held'] as const) {
    const { watch, clock, log, logResize, acted } = watchOf('drop', true)
    log.isCapped = why === 'capped'
    logResize.isHolding = why === 'held'
    await clock.advance(10 * STREAMING_GRACE_MS)
    watch.look()
    log.isCapped = logResize.isHolding = false
    await clock.advance(STREAMING_GRACE_MS - 1)
    watch.look()
    assert.deepEqual(acted, [], why)
    await clock.advance(1)
    watch.look()
    assert.deepEqual(acted, ['drop'], why)
  }
})
