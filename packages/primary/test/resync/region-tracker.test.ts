/** The regions of a mapping during a session, against a model that remembers what the agent would have. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DirtyBitmap } from '@sitelink/storage'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import { RegionTracker } from '../../src/resync/region-tracker.js'

const MIB = 1024 * 1024

function trackerOf(regions: number, dirty: readonly number[]): { bits: DirtyBitmap; tracker: RegionTracker } {
  const bits = new DirtyBitmap(regions * MIB, MIB)
  for (const region of dirty) bits.markRegions(region, 1)
  return { bits, tracker: new RegionTracker(bits, MIB) }
}

test('[RSY-07] an entry for a dirty, unread region is left out: its copy will contain it', () => {
  assert.equal(trackerOf(4, [1]).tracker.judge(MIB + 512, 4096), 'skip')
})

test('[RSY-08] an entry for a clean region is sent while others are copied', () => {
  const { tracker } = trackerOf(4, [1])
  tracker.startRead(1)
  assert.equal(tracker.judge(0, 4096), 'send')
})

test('an entry that touches a dirty and a clean region is sent', () => {
  assert.equal(trackerOf(4, [1]).tracker.judge(0, 2 * MIB), 'send')
})

test('[RSY-09] an entry stops at a region that is being read, and goes on when the copy is queued', () => {
  const { tracker } = trackerOf(4, [1, 2])
  tracker.startRead(1)
  assert.equal(tracker.judge(MIB, 512), 'stop')
  tracker.queued(1, 7, 1)
  assert.equal(tracker.judge(MIB, 512), 'send')
})

test('[RSY-10] no read starts in what the stopped entry touches, until it has passed', () => {
  const { tracker } = trackerOf(4, [1, 2, 3])
  tracker.startRead(1)
  assert.equal(tracker.judge(MIB, 2 * MIB), 'stop')
  assert.equal(tracker.next(), 3)
  tracker.unblock()
  assert.equal(tracker.next(), 2)
})

test('[RSY-05] a region is clean only when the agent has that very copy durable and the log is durable to its stamp', () => {
  const { tracker } = trackerOf(2, [0])
  tracker.startRead(0)
  assert.deepEqual(tracker.settle(99, 99), [], 'a copy that is only being read settles nothing')
  tracker.queued(0, 7, 3)
  assert.deepEqual(tracker.settle(2, 99), [], 'the agent does not have it')
  assert.deepEqual(tracker.settle(3, 6), [], 'the log may lose what it contains')
  assert.deepEqual(tracker.settle(3, 7), [0])
})

test('[OVF-10] a region that was dirtied again does not become clean by the copy under way', () => {
  const { tracker, bits } = trackerOf(2, [0])
  tracker.startRead(0)
  tracker.queued(0, 7, 1)
  tracker.dirtied(0)
  assert.deepEqual(tracker.settle(9, 9), [])
  assert.equal(bits.isDirty(0), true)
  assert.equal(tracker.next(), 0, 'it is copied again')
})

test('[RSY-14] a region whose read failed is read again', () => {
  const { tracker } = trackerOf(2, [0])
  tracker.startRead(0)
  assert.equal(tracker.next(), -1)
  tracker.abandon(0)
  assert.equal(tracker.next(), 0)
})

test('[RSY-04] [RSY-13] regions come in ascending order, and those behind the cursor come again', () => {
  const { tracker, bits } = trackerOf(5, [1, 3])
  const order: number[] = []
  for (let region = tracker.next(); region >= 0; region = tracker.next()) {
    tracker.startRead(region)
    tracker.queued(region, 1, 1)
    order.push(region)
    if (region === 3) bits.markRegions(0, 1)
  }
  assert.deepEqual(order, [1, 3, 0])
})

test('[RSY-06] under random writes and reads, a region that became clean has at the agent all that the stream passed', () => {
  const seed = seedFromEnv('region tracker')
  for (let round = 0; round < 200; round++) {
    const prng = new Prng(`${seed}/${round}`)
    const regions = 6
    const { bits, tracker } = trackerOf(
      regions,
      [0, 1, 2, 3, 4, 5].filter(() => prng.chance(0.6)),
    )
    /** Newest entry of each region: in the overlay, in the stream's past, at the agent. */
    const written = new Array<number>(regions).fill(0)
    const there = new Array<number>(regions).fill(0)
    const log: { lsn: number; region: number }[] = []
    let cursor = 0
    let frames = 0
    const reading = new Map<number, number>()
    for (let step = 0; step < 150; step++) {
      const kind = prng.below(5)
      if (kind === 0) {
        const region = prng.below(regions)
        log.push({ lsn: log.length + 1, region })
        written[region] = log.length
      } else if (kind === 1 && cursor < log.length) {
        const { lsn, region } = log[cursor] as { lsn: number; region: number }
        const verdict = tracker.judge(region * MIB, 512)
        if (verdict === 'stop') continue
        tracker.unblock()
        cursor++
        if (verdict === 'send') {
          frames++
          there[region] = Math.max(there[region] as number, lsn)
        }
      } else if (kind === 2) {
        const region = tracker.next()
        if (region < 0) continue
        tracker.startRead(region)
        // The read is planned now: it sees what is written now.
        reading.set(region, written[region] as number)
      } else if (kind === 3 && reading.size > 0) {
        const [region, seen] = prng.pick([...reading])
        reading.delete(region)
        there[region] = Math.max(there[region] as number, seen)
        tracker.queued(region, log.length, ++frames)
      } else if (kind === 4) {
        for (const region of tracker.settle(prng.between(0, frames), prng.between(0, log.length))) bits.clear(region)
      }
      for (let region = 0; region < regions; region++) {
        if (bits.isDirty(region)) continue
        const passed =
          log
            .slice(0, cursor)
            .filter((one) => one.region === region)
            .at(-1)?.lsn ?? 0
        assert(
          (there[region] as number) >= passed,
          `round ${round} step ${step}: region ${region} is clean, the agent has ${there[region]} of ${passed}`,
        )
      }
    }
  }
})
