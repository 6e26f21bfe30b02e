/** Steps of a dirty log that only a certain past makes visible: a place that could not be read, a close in a hurry. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskError } from '../../src/disk/disk-error.js'
import { REGIONS_PER_SECTOR } from '../../src/dirty/dirty-log-format.js'
import { DirtyLog } from '../../src/dirty/dirty-log.js'
import { FaultDiskProvider, Prng, seedFromEnv, SimClock } from '../../src/testing/index.js'
import { at, dirtyOf, identityOf, placeOn, storeDisk } from './dirty-log-support.js'

const seed = seedFromEnv('dirty-log-steps')

test('what lay in a place that could not be read at a start is void before anything new may be taken for part of it', async () => {
  const regions = 3 * REGIONS_PER_SECTOR
  const identity = identityOf(regions)
  const disk = storeDisk(identity, new Prng(seed))
  await DirtyLog.create(placeOn(disk), identity, { initial: 'all-clean', basePoint: at(3) })
  const place = placeOn(disk)
  let opens = 0
  const provider = new Proxy(place.provider, {
    get: (target, name) =>
      name === 'open' && opens++ === 0
        ? () => Promise.reject(new DiskError('DISK_IO', '/dev/dirty', 'cannot open'))
        : (Reflect.get(target, name) as unknown),
  })
  const { log, found } = await DirtyLog.open({ ...place, provider }, identity)
  assert.equal(found, 'unreadable')
  disk.startTrace()
  await log.flush(at(9))
  const prng = new Prng(seed).fork('void')
  for (let count = 0; count <= disk.trace.length; count++) {
    for (let each = 0; each < 64; each++) {
      const after = disk.at(count, prng).powerCut({ kind: 'random' })
      const { log: next } = await DirtyLog.open(placeOn(after), identity)
      // Complete up to LSN 9 means that everything is dirty; up to 3, that nothing was.
      if (next.basePoint.lsn === 9) assert.equal(next.bitmap.dirtyCount, regions, `after ${count} events`)
    }
  }
})

test('a close waits for the flush under way, and what it was asked for is there', async () => {
  const clock = new SimClock()
  const identity = identityOf(100)
  const disks = new FaultDiskProvider({ prng: new Prng(seed), clock, latency: { writeMs: [5, 5], syncMs: [5, 5] } })
  const place = { provider: disks, path: '/dirty' }
  const log = await clock.runUntil(DirtyLog.create(place, identity, { initial: 'all-clean' }))
  log.markRegions(7, 1)
  const flushed = log.flush(at(5))
  await clock.advance(2)
  const closed = log.close()
  await clock.runUntil(Promise.all([flushed, closed]))
  const dark = { provider: disks.powerCut({ kind: 'lose-all' }), path: '/dirty' }
  const next = await clock.runUntil(DirtyLog.open(dark, identity))
  assert.deepEqual([next.log.basePoint, dirtyOf(next.log.bitmap)], [at(5), [7]])
})
