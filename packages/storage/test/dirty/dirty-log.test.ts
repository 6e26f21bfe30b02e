import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { crc32 } from '@sitelink/protocol/entry'
import type { DiskError } from '../../src/disk/disk-error.js'
import { NodeDiskProvider } from '../../src/disk/node-disk-provider.js'
import { DirtyLog } from '../../src/dirty/dirty-log.js'
import type { DirtyLogError } from '../../src/dirty/dirty-log-error.js'
import {
  DIRTY_PAGE_BYTES,
  HEADER_OFFSET,
  REGIONS_PER_PAGE,
  REGIONS_PER_SECTOR,
} from '../../src/dirty/dirty-log-format.js'
import { FaultDisk, FaultDiskProvider, Prng, seedFromEnv, SimClock } from '../../src/testing/index.js'
import { at, dirtyOf, identityOf, MIB, placeOn, storeDisk } from './dirty-log-support.js'

const seed = seedFromEnv('dirty-log')

/** A log on a fresh disk with these regions dirty and flushed at LSN 10. */
async function recorded(regionCount: number, regions: readonly number[]): Promise<{ disk: FaultDisk; log: DirtyLog }> {
  const disk = storeDisk(identityOf(regionCount), new Prng(seed))
  const log = await DirtyLog.create(placeOn(disk), identityOf(regionCount), { initial: 'all-clean', basePoint: at(3) })
  for (const region of regions) log.markRegions(region, 1)
  await log.flush(at(10))
  return { disk, log }
}

describe('DirtyLog', () => {
  it('[DLG-02] what was flushed is there after a restart, with its base point', async () => {
    const regions = [0, 5, REGIONS_PER_SECTOR - 1, REGIONS_PER_SECTOR, REGIONS_PER_PAGE, REGIONS_PER_PAGE + 77]
    const { disk } = await recorded(REGIONS_PER_PAGE + 100, regions)
    const { log, found, reason, resized } = await DirtyLog.open(placeOn(disk), identityOf(REGIONS_PER_PAGE + 100))
    assert.deepEqual([found, reason, resized], ['ok', null, null])
    assert.deepEqual(dirtyOf(log.bitmap), regions)
    assert.deepEqual(log.basePoint, at(10))
    assert.equal(log.hasUnflushedMarks, false)
    assert.equal(log.type, 'disk')
  })

  it('[DLG-03] marking is durable before it is relied on: a flush that resolved survives a power cut', async () => {
    const { disk, log } = await recorded(100, [1])
    log.markRange(20 * MIB, 2 * MIB)
    assert.equal(log.hasUnflushedMarks, true)
    await log.flush(at(20))
    assert.equal(log.hasUnflushedMarks, false)
    log.markRegions(90, 1)
    const after = disk.powerCut({ kind: 'lose-all' })
    const reopened = await DirtyLog.open(placeOn(after), identityOf(100))
    assert.deepEqual(dirtyOf(reopened.log.bitmap), [1, 20, 21])
    assert.deepEqual(reopened.log.basePoint, at(20))
  })

  it('[DLG-01] a log in memory is all dirty after a restart, and flushing it needs no disk', async () => {
    const log = await DirtyLog.create(null, identityOf(10), { initial: 'all-clean' })
    log.markRange(0, 1)
    await log.flush(at(5))
    assert.deepEqual([log.type, log.basePoint, log.hasUnflushedMarks], ['core', at(5), false])
    const reopened = await DirtyLog.open(null, identityOf(10))
    assert.equal(reopened.found, 'missing')
    assert.equal(reopened.log.bitmap.dirtyCount, 10)
    await log.destroy()
  })

  it('[DLG-04] what cannot be read at a start counts as dirty, with a reason: both headers gone', async () => {
    const { disk } = await recorded(100, [4])
    disk.makeUnreadable(0, 512)
    disk.makeUnreadable(DIRTY_PAGE_BYTES, 512)
    const { log, found, reason } = await DirtyLog.open(placeOn(disk), identityOf(100))
    assert.equal(found, 'unreadable')
    assert.match(reason ?? '', /no valid header/)
    assert.equal(log.bitmap.dirtyCount, 100)
    await log.flush(at(30))
    const again = await DirtyLog.open(placeOn(disk.powerCut({ kind: 'lose-all' })), identityOf(100))
    assert.deepEqual([again.found, again.log.bitmap.dirtyCount, again.log.basePoint], ['ok', 100, at(30)])
  })

  it('[DLG-04] one unreadable sector of the bitmap makes its regions dirty and no others', async () => {
    const { disk } = await recorded(REGIONS_PER_PAGE, [4, REGIONS_PER_SECTOR * 3])
    disk.makeUnreadable(2 * DIRTY_PAGE_BYTES + 512, 512)
    const { log, found, reason } = await DirtyLog.open(placeOn(disk), identityOf(REGIONS_PER_PAGE))
    assert.equal(found, 'damaged')
    assert.match(reason ?? '', /1 sectors of the bitmap/)
    const runs = [...log.bitmap.runs()]
    assert.deepEqual(runs, [
      { first: 4, count: 1 },
      { first: REGIONS_PER_SECTOR, count: REGIONS_PER_SECTOR },
      { first: REGIONS_PER_SECTOR * 3, count: 1 },
    ])
    assert.deepEqual(log.basePoint, at(10))
    await log.flush(at(10))
    assert.equal((await DirtyLog.open(placeOn(disk), identityOf(REGIONS_PER_PAGE))).found, 'ok')
  })

  it('[DLG-08] no flipped bit anywhere makes a region clean, and one that matters is reported', async () => {
    const regions = [0, 9, 99, 4000]
    const { disk } = await recorded(5000, regions)
    const image = disk.peek()
    const prng = new Prng(seed)
    let reported = 0
    for (let round = 0; round < 300; round++) {
      const rotten = storeDisk(identityOf(5000))
      rotten.poke(image, 0)
      const offset = prng.below(image.length)
      const mask = 1 << prng.below(8)
      rotten.poke(Buffer.from([image.readUInt8(offset) ^ mask]), offset)
      const { log, found } = await DirtyLog.open(placeOn(rotten), identityOf(5000))
      for (const region of regions)
        assert.ok(log.bitmap.isDirty(region), `byte ${offset} mask ${mask}: region ${region} is clean`)
      if (found === 'ok') assert.deepEqual(dirtyOf(log.bitmap), regions)
      else reported++
    }
    assert.ok(reported > 12, `${reported} reported`)
  })

  it('[DLG-04] a file that was cut short has its size again after the next flush', async () => {
    const clock = new SimClock()
    const disks = new FaultDiskProvider({ prng: new Prng(seed), clock })
    const identity = identityOf(REGIONS_PER_PAGE * 3)
    const place = { provider: disks, path: '/dirty' }
    const made = await DirtyLog.create(place, identity, { initial: 'all-clean', basePoint: at(3) })
    made.markRegions(0, 1)
    await made.flush(at(5))
    await made.close()
    const whole = (await disks.readFile('/dirty')) as Buffer
    await disks.replaceFile('/dirty', whole.subarray(0, 3 * DIRTY_PAGE_BYTES + 100))
    const { log, found } = await DirtyLog.open(place, identity)
    assert.equal(found, 'damaged')
    assert.equal(log.bitmap.isDirty(1), false)
    assert.equal(log.bitmap.isDirty(REGIONS_PER_PAGE * 2), true)
    await log.flush(at(4))
    await log.close()
    const again = await DirtyLog.open(place, identity)
    assert.deepEqual([again.found, again.log.bitmap.dirtyCount], ['ok', log.bitmap.dirtyCount])
  })

  it('a header with a size that no device has is not believed, however good its checksum', async () => {
    const { disk } = await recorded(100, [4])
    for (const copy of [0, DIRTY_PAGE_BYTES]) {
      const sector = disk.peek(copy, 512)
      sector.writeBigUInt64LE(2n ** 64n - 1n, HEADER_OFFSET.deviceBytes)
      sector.writeUInt32LE(crc32(sector.subarray(0, HEADER_OFFSET.crc)), HEADER_OFFSET.crc)
      disk.poke(sector, copy)
    }
    const { log, found } = await DirtyLog.open(placeOn(disk), identityOf(100))
    assert.deepEqual([found, log.bitmap.dirtyCount], ['unreadable', 100])
  })

  it('[DLG-05] of a device that has grown the new regions are dirty, and the last one if it was short', async () => {
    const before = identityOf(100, { deviceBytes: 100 * MIB - 512 })
    const disk = new FaultDisk({ sizeBytes: MIB })
    await DirtyLog.create(placeOn(disk), before, { initial: 'all-clean' })
    const after = identityOf(REGIONS_PER_PAGE * 2)
    const { log, found, resized } = await DirtyLog.open(placeOn(disk), after)
    assert.deepEqual([found, resized], ['ok', 'grown'])
    assert.deepEqual([...log.bitmap.runs()], [{ first: 99, count: REGIONS_PER_PAGE * 2 - 99 }])
    await log.flush(at(4))
    const again = await DirtyLog.open(placeOn(disk), after)
    assert.deepEqual([again.found, again.resized, again.log.bitmap.dirtyCount], ['ok', null, REGIONS_PER_PAGE * 2 - 99])
  })

  it('[DLG-05] of a device that has shrunk the bits behind its end are ignored, and dirty if it grows back', async () => {
    const { disk } = await recorded(100, [10, 90])
    const { log, resized } = await DirtyLog.open(placeOn(disk), identityOf(50))
    assert.equal(resized, 'shrunk')
    assert.deepEqual(dirtyOf(log.bitmap), [10])
    log.clearRegion(10)
    await log.flush(at(20))
    const back = await DirtyLog.open(placeOn(disk), identityOf(60))
    assert.deepEqual(dirtyOf(back.log.bitmap), [50, 51, 52, 53, 54, 55, 56, 57, 58, 59])
  })

  it('[DLG-06] sync makes all dirty even over a valid bitmap, nosync all clean', async () => {
    const { disk } = await recorded(100, [10])
    const dirty = await DirtyLog.create(placeOn(disk), identityOf(100), { initial: 'all-dirty' })
    assert.equal(dirty.bitmap.dirtyCount, 100)
    assert.equal(
      (await DirtyLog.open(placeOn(disk.powerCut({ kind: 'lose-all' })), identityOf(100))).log.bitmap.dirtyCount,
      100,
    )
    const other = await recorded(100, [10])
    await DirtyLog.create(placeOn(other.disk), identityOf(100), { initial: 'all-clean' })
    const reopened = await DirtyLog.open(placeOn(other.disk.powerCut({ kind: 'lose-all' })), identityOf(100))
    assert.equal(reopened.log.bitmap.dirtyCount, 0)
  })

  it('[DLG-07] [OVF-16] differences recorded after nosync are still there after any number of restarts', async () => {
    let { disk } = await recorded(100, [10, 11])
    for (let life = 0; life < 3; life++) {
      disk = disk.powerCut({ kind: 'random' })
      const { log } = await DirtyLog.open(placeOn(disk), identityOf(100))
      assert.deepEqual(dirtyOf(log.bitmap), [10, 11])
    }
  })

  it('[DLG-08] the bitmap of another mapping is refused, not used and not overwritten until it is given up', async () => {
    for (const changes of [{ groupId: 'other' }, { mappingId: 'mapping-2' }, { deviceId: 8 }]) {
      const { disk } = await recorded(100, [10])
      const image = disk.peek()
      const identity = identityOf(100, changes)
      const { log, found, reason } = await DirtyLog.open(placeOn(disk), identity)
      assert.equal(found, 'foreign')
      assert.match(reason ?? '', /belongs to/)
      assert.equal(log.bitmap.dirtyCount, 100)
      const refused = (error: DirtyLogError): boolean => error.code === 'DIRTY_LOG_FOREIGN'
      await assert.rejects(log.flush(at(1)), refused)
      await assert.rejects(DirtyLog.create(placeOn(disk), identity, { initial: 'all-clean' }), refused)
      assert.ok(disk.peek().equals(image))
      log.rebind()
      await log.flush(at(1))
      assert.equal((await DirtyLog.open(placeOn(disk), identity)).found, 'ok')
      assert.equal((await DirtyLog.open(placeOn(disk), identityOf(100))).found, 'foreign')
    }
  })

  it('a bitmap for another log or other regions counts as all dirty and is overwritten', async () => {
    for (const changes of [{ logId: { high: 1, low: 2 } }, { regionBytes: 2 * MIB }]) {
      const { disk } = await recorded(100, [10])
      const { log, found } = await DirtyLog.open(placeOn(disk), identityOf(100, changes))
      assert.equal(found, 'outdated')
      assert.equal(log.bitmap.cleanCount, 0)
      log.clearRegion(0)
      await log.flush(at(1))
      const again = await DirtyLog.open(placeOn(disk.powerCut({ kind: 'lose-all' })), identityOf(100, changes))
      assert.deepEqual([again.found, again.log.bitmap.cleanCount], ['ok', 1])
    }
  })

  it('[OVF-05] a flush that the disk fails rejects with the cause, keeps every mark, and a later one stores them all', async () => {
    for (const on of ['write', 'sync'] as const) {
      for (const keep of ['all', 'none', 'random'] as const) {
        const { disk, log } = await recorded(100, [10])
        log.markRegions(20, 1)
        disk.inject({ on, error: 'EIO', keep })
        await assert.rejects(log.flush(at(11)), (error: DiskError) => error.code === 'DISK_IO')
        assert.deepEqual([log.basePoint, log.hasUnflushedMarks, dirtyOf(log.bitmap)], [at(10), true, [10, 20]])
        assert.equal((log.failure as DiskError).code, 'DISK_IO')
        log.markRegions(30, 1)
        disk.dropAbandoned()
        await log.flush(at(12))
        assert.equal(log.failure, null)
        const again = await DirtyLog.open(placeOn(disk.powerCut({ kind: 'lose-all' })), identityOf(100))
        assert.deepEqual([again.found, again.log.basePoint, dirtyOf(again.log.bitmap)], ['ok', at(12), [10, 20, 30]])
      }
    }
  })

  it('a flush that failed lends nothing to the next one, whose header or page may be all that arrives', async () => {
    for (const kept of ['header', 'page']) {
      const disk = storeDisk(identityOf(100), new Prng(seed), new SimClock())
      const log = await DirtyLog.create(placeOn(disk), identityOf(100), { initial: 'all-clean', basePoint: at(3) })
      log.markRegions(10, 1)
      await log.flush(at(10))
      log.markRegions(20, 1)
      disk.inject({ on: 'sync', error: 'EIO', keep: 'all' })
      await assert.rejects(log.flush(at(11)))
      log.markRegions(30, 1)
      // Its writes are done, its sync never ends.
      disk.inject({ on: 'sync', delayMs: 1 })
      void log.flush(at(12))
      await new Promise((resolve) => setImmediate(resolve))
      const isHeader = (offset: number): boolean => offset < 2 * DIRTY_PAGE_BYTES
      const after = disk.powerCut({ kind: 'subset', keep: ({ offset }) => isHeader(offset) === (kept === 'header') })
      const again = await DirtyLog.open(placeOn(after), identityOf(100))
      assert.ok(again.log.basePoint.lsn < 12, `with only the ${kept} the base point is ${again.log.basePoint.lsn}`)
      assert.ok(again.log.bitmap.isDirty(10))
      assert.ok(again.log.basePoint.lsn < 11 || again.log.bitmap.isDirty(20))
    }
  })

  it('what a killed process had written is not trusted before it is on the medium', async () => {
    const { disk, log } = await recorded(100, [10])
    log.markRegions(20, 1)
    disk.inject({ on: 'sync', error: 'EIO', keep: 'none' })
    await assert.rejects(log.flush(at(11)))
    // The cache shows the whole flush, the medium has none of it, and the next process opens the log.
    const next = disk.crashProcess()
    const { log: second } = await DirtyLog.open(placeOn(next), identityOf(100))
    assert.deepEqual(second.basePoint, at(11))
    const after = next.powerCut({ kind: 'lose-all' })
    const { log: third } = await DirtyLog.open(placeOn(after), identityOf(100))
    assert.deepEqual([third.basePoint, dirtyOf(third.bitmap)], [at(11), [10, 20]])
  })

  it('an open whose writing fails goes on in memory, says so, and the next flush stores everything', async () => {
    const { disk } = await recorded(100, [10])
    disk.inject({ on: 'sync', error: 'EIO' })
    const { log, found, reason } = await DirtyLog.open(placeOn(disk), identityOf(100))
    assert.equal(found, 'damaged')
    assert.match(reason ?? '', /cannot be written again/)
    assert.deepEqual(dirtyOf(log.bitmap), [10])
    await log.flush(at(10))
    const again = await DirtyLog.open(placeOn(disk.powerCut({ kind: 'lose-all' })), identityOf(100))
    assert.deepEqual([again.found, dirtyOf(again.log.bitmap)], ['ok', [10]])
  })

  it('a flush writes the changed page and a header and syncs once; nothing new costs nothing', async () => {
    const { disk, log } = await recorded(REGIONS_PER_PAGE * 5, [1])
    const before = { ...disk.counts }
    log.markRegions(REGIONS_PER_PAGE * 3, 2)
    await log.flush(at(11))
    assert.deepEqual([disk.counts.writes - before.writes, disk.counts.syncs - before.syncs], [2, 1])
    assert.equal(disk.counts.writtenBytes - before.writtenBytes, 2 * DIRTY_PAGE_BYTES)
    await log.flush(at(11))
    await log.flush(at(9))
    assert.equal(disk.counts.syncs - before.syncs, 1)
    assert.deepEqual(log.basePoint, at(11))
  })

  it('a mark that came after its page was taken waits for the next flush', async () => {
    const { disk, log } = await recorded(100, [])
    log.markRegions(1, 1)
    disk.hold()
    const flush = log.flush(at(11))
    await new Promise((resolve) => setImmediate(resolve))
    log.markRegions(2, 1)
    disk.release()
    await flush
    assert.equal(log.hasUnflushedMarks, true)
    await log.flush(at(11))
    assert.equal(log.hasUnflushedMarks, false)
    const again = await DirtyLog.open(placeOn(disk.powerCut({ kind: 'lose-all' })), identityOf(100))
    assert.deepEqual(dirtyOf(again.log.bitmap), [1, 2])
  })

  it('flushes asked for during one share the next, and each covers what was marked before it', async () => {
    const { disk, log } = await recorded(100, [])
    const before = disk.counts.syncs
    log.markRegions(1, 1)
    const first = log.flush(at(11))
    await Promise.resolve()
    const rest = [2, 3, 4].map((region) => {
      log.markRegions(region, 1)
      return log.flush(at(11 + region))
    })
    await first
    await Promise.all(rest)
    assert.equal(disk.counts.syncs - before, 2)
    assert.deepEqual(log.basePoint, at(15))
    const again = await DirtyLog.open(placeOn(disk.powerCut({ kind: 'lose-all' })), identityOf(100))
    assert.deepEqual(dirtyOf(again.log.bitmap), [1, 2, 3, 4])
  })

  it('joining a bitmap marks what it has', async () => {
    const { log } = await recorded(50, [1])
    const other = (await recorded(100, [1, 20, 49, 50, 99])).log
    assert.equal(log.or(other.bitmap), 2)
    assert.deepEqual(dirtyOf(log.bitmap), [1, 20, 49])
    assert.equal(log.hasUnflushedMarks, true)
    assert.equal(log.markAll(), 47)
  })

  it('[DEV-17] a block device that is too small is refused, and so is one with something else on it', async () => {
    const small = new FaultDisk({ sizeBytes: DIRTY_PAGE_BYTES * 2 })
    await assert.rejects(
      DirtyLog.create(placeOn(small), identityOf(100), { initial: 'all-dirty' }),
      (error: DiskError) => error.code === 'DISK_TOO_SMALL',
    )
    const used = new FaultDisk({ sizeBytes: MIB })
    used.poke(Buffer.from('a file system'), 1080)
    await assert.rejects(
      DirtyLog.create(placeOn(used), identityOf(100), { initial: 'all-dirty' }),
      (error: DirtyLogError) => error.code === 'DIRTY_LOG_STORE_USED',
    )
    await DirtyLog.create(placeOn(used), identityOf(100), { initial: 'all-dirty', discardContents: true })
    assert.equal((await DirtyLog.open(placeOn(used), identityOf(100))).found, 'ok')
  })

  it('as a file it is made when it is missing, held exclusively, grown with its device, and removed at the end', async () => {
    const provider = new FaultDiskProvider()
    const place = { provider, path: 'data.dirty' }
    const opening = await DirtyLog.open(place, identityOf(100))
    assert.equal(opening.found, 'missing')
    await opening.log.flush(at(1))
    const held = await DirtyLog.open(place, identityOf(100))
    assert.deepEqual([held.found, held.log.bitmap.dirtyCount], ['unavailable', 100])
    await assert.rejects(held.log.flush(at(2)), (error: DiskError) => error.code === 'DISK_IN_USE')
    await held.log.close()
    await opening.log.close()
    await assert.rejects(opening.log.flush(at(2)), (error: DirtyLogError) => error.code === 'DIRTY_LOG_CLOSED')
    const grown = await DirtyLog.open(place, identityOf(REGIONS_PER_PAGE * 3))
    assert.equal(grown.resized, 'grown')
    await grown.log.flush(at(2))
    assert.equal(provider.medium('data.dirty').sizeBytes, 5 * DIRTY_PAGE_BYTES)
    await grown.log.destroy()
    assert.equal(await provider.exists('data.dirty'), null)
  })

  it('a file that somebody else chose is voided at the end and stays', async () => {
    const provider = new FaultDiskProvider()
    await (await provider.create('chosen', 64 * MIB)).close()
    const place = { provider, path: 'chosen', keepFile: true }
    const log = await DirtyLog.create(place, identityOf(100), { initial: 'all-dirty' })
    await log.destroy()
    assert.equal(await provider.exists('chosen'), 'file')
    const after = provider.medium('chosen')
    assert.equal(after.sizeBytes, 64 * MIB)
    const other = identityOf(100, { mappingId: 'mapping-2' })
    const next = await DirtyLog.create(place, other, { initial: 'all-clean' })
    await next.close()
    assert.equal((await DirtyLog.open(place, other)).found, 'ok')
  })

  it('on a block device its end voids it, so that the next mapping may use the place', async () => {
    const { disk, log } = await recorded(100, [10])
    await log.destroy()
    const other = identityOf(100, { mappingId: 'mapping-2' })
    const after = disk.powerCut({ kind: 'lose-all' })
    assert.equal((await DirtyLog.open(placeOn(after), other)).found, 'missing')
    await DirtyLog.create(placeOn(after), other, { initial: 'all-clean' })
  })

  it('works on a real file', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sitelink-dirty-'))
    try {
      const place = { provider: new NodeDiskProvider(), path: join(directory, 'data.dirty') }
      const log = await DirtyLog.create(place, identityOf(70_000), { initial: 'all-clean' })
      log.markRange(65_000 * MIB + 5, MIB)
      await log.flush(at(4))
      await log.close()
      const again = await DirtyLog.open(place, identityOf(70_000))
      assert.deepEqual([again.found, dirtyOf(again.log.bitmap), again.log.basePoint], ['ok', [65_000, 65_001], at(4)])
      await again.log.destroy()
      assert.equal(await place.provider.exists(place.path), null)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
