/**
 * Crash points of the dirty log.
 *
 * The system marks a region when it appends an entry (LSN n) that a site misses, clears it when the site has it, and
 * flushes with the point up to which everything is marked. Whenever the process dies or the power fails, whatever subset
 * of the unsynced sectors is left, an open finds a bitmap R and a base point B with:
 *
 *   floor      B is not before the point of any flush that had resolved.
 *   complete   every region that was marked for an entry at or before B, and not cleared after it, is in R.
 *   honest     B is a point that some flush was asked for, or that of the creation.
 *   frugal     R has no region that was clean all the time since the last resolved flush was asked for
 *              (checked where nothing but the power failed).
 *
 * `complete` with `floor` says: never less than the last resolved flush promised, minus what was cleared since.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { comparePoints, maxPoint, ORIGIN, type LogPoint } from '@sitelink/protocol/entry'
import { DirtyLog } from '../../src/dirty/dirty-log.js'
import { REGIONS_PER_PAGE } from '../../src/dirty/dirty-log-format.js'
import { FaultDiskProvider, Prng, seedFromEnv, type PowerCutPolicy } from '../../src/testing/index.js'
import { at, dirtyOf, identityOf, placeOn, storeDisk } from './dirty-log-support.js'

const seed = seedFromEnv('dirty-log-crash')
const CREATED = at(1)

/** One thing that happened, at a moment of the disk's trace. */
type Step =
  | { readonly kind: 'mark'; readonly moment: number; readonly region: number; readonly lsn: number }
  | { readonly kind: 'clear'; readonly moment: number; readonly region: number }
  | { readonly kind: 'flush'; readonly moment: number; readonly point: LogPoint; resolved: number }

/** Checks floor, complete, honest and frugal for a crash after the first `moment` events. */
function check(
  steps: readonly Step[],
  moment: number,
  found: string,
  dirty: ReadonlySet<number>,
  base: LogPoint,
): void {
  const happened = steps.filter((step) => step.moment <= moment)
  const flushes = happened.filter((step) => step.kind === 'flush')
  const floor = flushes
    .filter((flush) => flush.resolved <= moment)
    .reduce((max, { point }) => maxPoint(max, point), CREATED)
  assert.equal(found, 'ok')
  assert.ok(comparePoints(base, floor) >= 0, `base point ${base.lsn} is before ${floor.lsn}`)
  assert.ok(
    base.lsn === CREATED.lsn || flushes.some(({ point }) => point.lsn === base.lsn),
    `${base.lsn} was never asked for`,
  )
  const needed = new Set<number>()
  const possible = new Set<number>()
  const lastResolved = flushes.findLast((flush) => flush.resolved <= moment)
  let isSince = lastResolved === undefined
  const now = new Set<number>()
  for (const step of happened) {
    if (step.kind === 'mark') {
      if (step.lsn <= base.lsn) needed.add(step.region)
      now.add(step.region)
      if (isSince) possible.add(step.region)
    } else if (step.kind === 'clear') {
      needed.delete(step.region)
      now.delete(step.region)
    } else if (step === lastResolved) {
      isSince = true
      for (const region of now) possible.add(region)
    }
  }
  for (const region of needed) assert.ok(dirty.has(region), `region ${region} is clean`)
  for (const region of dirty) assert.ok(possible.has(region), `region ${region} is dirty`)
}

/** Subsets of `count` unsynced units to try: all of them if they are few, else the corners and some at random. */
function policies(count: number, prng: Prng): PowerCutPolicy[] {
  const subset = (mask: number): PowerCutPolicy => ({
    kind: 'subset',
    keep: (_, index) => ((mask >>> index) & 1) === 1,
  })
  if (count <= 5) return Array.from({ length: 2 ** count }, (_, mask) => subset(mask))
  const singles = Array.from({ length: count }, (_, only) => only)
  return [
    { kind: 'lose-all' },
    { kind: 'keep-all' },
    ...prng
      .shuffle(singles)
      .slice(0, 6)
      .flatMap((only): PowerCutPolicy[] => [
        { kind: 'subset', keep: (_, index) => index === only },
        { kind: 'subset', keep: (_, index) => index !== only },
      ]),
    ...Array.from({ length: 8 }, (): PowerCutPolicy => ({ kind: 'random' })),
  ]
}

describe('dirty log under crashes', () => {
  for (const regionCount of [40, REGIONS_PER_PAGE * 2 + 500]) {
    it(`[DLG-03] [OVF-04] at every moment of a history over ${regionCount} regions, whatever sectors are lost`, async () => {
      const prng = new Prng(`${seed}/${regionCount}`)
      const identity = identityOf(regionCount)
      const disk = storeDisk(identity, prng.fork('disk'))
      const log = await DirtyLog.create(placeOn(disk), identity, { initial: 'all-clean', basePoint: CREATED })
      // Few different regions over all pages, so that they are marked and cleared again and again.
      const regions = Array.from({ length: 12 }, () => prng.below(regionCount))
      disk.startTrace()
      const steps: Step[] = []
      const running: Promise<void>[] = []
      let lsn = CREATED.lsn
      for (let step = 0; step < 100; step++) {
        const moment = disk.trace.length
        const region = prng.pick(regions)
        switch (prng.below(5)) {
          case 0:
          case 1:
            lsn++
            log.markRegions(region, 1)
            steps.push({ kind: 'mark', moment, region, lsn })
            break
          case 2:
            log.clearRegion(region)
            steps.push({ kind: 'clear', moment, region })
            break
          case 3: {
            const flush = { kind: 'flush' as const, moment, point: at(lsn), resolved: Number.POSITIVE_INFINITY }
            steps.push(flush)
            running.push(
              log.flush(flush.point).then(() => {
                flush.resolved = disk.trace.length
              }),
            )
            break
          }
          default:
            for (let jobs = prng.below(12); jobs > 0; jobs--) await Promise.resolve()
        }
      }
      await Promise.all(running)
      let cutCount = 0
      for (let moment = 0; moment <= disk.trace.length; moment++) {
        for (const policy of policies(disk.at(moment).unsynced().length, prng)) {
          const cut = disk.at(moment, prng.fork(`${moment}/${cutCount++}`)).powerCut(policy)
          const { log: reopened, found } = await DirtyLog.open(placeOn(cut), identity)
          check(steps, moment, found, new Set(dirtyOf(reopened.bitmap)), reopened.basePoint)
        }
      }
      assert.ok(cutCount > 100, `${cutCount} cuts`)
    })
  }

  it('[DLG-02] [DLG-03] over many lives with failing disks, killed processes and power cuts', async () => {
    const prng = new Prng(`${seed}/lives`)
    for (let world = 0; world < 60; world++) {
      await liveThrough(prng.fork(`world ${world}`))
    }
  })
})

/** What must hold of one region: dirty since the entry with this LSN, or clean. */
type Model = Map<number, number>

async function liveThrough(prng: Prng): Promise<void> {
  const regionCount = prng.pick([3, 500, REGIONS_PER_PAGE + 5])
  const identity = identityOf(regionCount)
  const regions = Array.from({ length: 10 }, () => prng.below(regionCount))
  let provider = new FaultDiskProvider({ prng: prng.fork('disks') })
  const model: Model = new Map()
  let floor: LogPoint = ORIGIN
  let lsn = 1
  await (
    await DirtyLog.create({ provider, path: 'log' }, identity, { initial: 'all-clean', basePoint: at(lsn) })
  ).close()
  floor = at(lsn)
  for (let life = 0; life < 8; life++) {
    const { log, found } = await DirtyLog.open({ provider, path: 'log' }, identity)
    assert.equal(found, 'ok')
    assert.ok(comparePoints(log.basePoint, floor) >= 0, `base point ${log.basePoint.lsn} is before ${floor.lsn}`)
    assert.ok(log.basePoint.lsn <= lsn)
    for (const [region, since] of model) {
      if (since <= log.basePoint.lsn) assert.ok(log.bitmap.isDirty(region), `region ${region} is clean in life ${life}`)
      // The log has the entries behind the base point and marks them again.
      else log.markRegions(region, 1)
    }
    // An open makes what it found durable: from here on it is promised.
    floor = maxPoint(floor, log.basePoint)
    if (prng.chance(0.3)) provider.inject('log', { on: 'write', error: 'EIO', probability: 0.2 })
    if (prng.chance(0.3)) provider.inject('log', { on: 'sync', error: 'EIO', probability: 0.3 })
    for (let step = prng.below(40); step > 0; step--) {
      const region = prng.pick(regions)
      switch (prng.below(6)) {
        case 0:
        case 1:
          lsn++
          log.markRegions(region, 1)
          if (!model.has(region)) model.set(region, lsn)
          break
        case 2:
          log.clearRegion(region)
          model.delete(region)
          break
        case 3:
        case 4: {
          const point = at(lsn)
          void log.flush(point).then(
            () => {
              floor = maxPoint(floor, point)
            },
            () => undefined,
          )
          break
        }
        default:
          for (let jobs = prng.below(20); jobs > 0; jobs--) await Promise.resolve()
          if (prng.chance(0.2)) for (const disk of provider.handles('log')) disk.dropAbandoned()
      }
    }
    for (const disk of provider.handles('log')) disk.faults.clear()
    provider = prng.chance(0.4) ? provider.crashProcess() : provider.powerCut({ kind: 'random' })
    // Promises of the process that died are heard no more.
    await new Promise((resolve) => setImmediate(resolve))
  }
}
