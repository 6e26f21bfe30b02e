/** Opening, creating, and refusing to do either. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LogError, type LogErrorCode } from '../../src/ring-log/log-error.js'
import { HANDLER_NAME, encodeSuperblock, SUPERBLOCK_OFFSET } from '../../src/ring-log/superblock.js'
import { inspectLog } from '../../src/ring-log/inspect.js'
import { RING_OFFSET_BYTES, SUPERBLOCK_SLOT_BYTES } from '../../src/ring-log/limits.js'
import type { OpenLogOptions } from '../../src/ring-log/open.js'
import type { FaultDisk } from '../../src/testing/index.js'
import { append, Bench, lsnsOf, MIB, readAll, upTo } from './support.js'

/** Opening is refused with this code, and the disk is as it was. */
async function refuses(
  bench: Bench,
  disk: FaultDisk,
  code: LogErrorCode,
  options: Partial<OpenLogOptions>,
): Promise<LogError> {
  const before = disk.peek()
  const error = await bench.open(disk, options).then(
    () => assert.fail(`${options.mode} was not refused`),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof LogError, String(error))
  assert.equal(error.code, code, error.message)
  assert.ok(disk.peek().equals(before), 'the disk is untouched')
  return error
}

/** A disk with a log of three entries, closed in order or not. */
async function withEntries(bench: Bench, sizeBytes = 3 * MIB): Promise<FaultDisk> {
  const { log, disk } = await bench.open(bench.disk(4 * MIB), { sizeBytes })
  for (let each = 0; each < 3; each++) append(log)
  log.requestSync()
  await bench.clock.advance(10)
  return disk.crashProcess()
}

test('[FMT-08] [FMT-11] auto and create make a log of the given size on a blank disk; open finds none', async () => {
  const bench = new Bench()
  await refuses(bench, bench.disk(), 'LOG_MISSING', { mode: 'open' })
  for (const mode of ['auto', 'create'] as const) {
    const { log, report } = await bench.open(bench.disk(4 * MIB), { mode, sizeBytes: 3 * MIB + 4000 })
    assert.equal(report.created, true)
    assert.equal(log.status().sizeBytes, 3 * MIB)
    assert.equal(log.lastLsn, 0)
  }
})

test('[FMT-06] [FMT-09] open and auto use what is there, whatever size is given', async () => {
  for (const mode of ['open', 'auto'] as const) {
    const bench = new Bench()
    const disk = await withEntries(bench)
    const { log, report } = await bench.open(disk, { mode, sizeBytes: 2 * MIB })
    assert.equal(report.created, false)
    assert.equal(log.status().sizeBytes, 3 * MIB)
    assert.deepEqual(lsnsOf(await readAll(bench, log)), upTo(3))
  }
})

test('[FMT-07] [FMT-10] [FMT-15] a damaged log is refused by open and auto and stays untouched', async () => {
  const bench = new Bench()
  for (const mode of ['open', 'auto'] as const) {
    const disk = await withEntries(bench)
    disk.flipBit(100)
    disk.flipBit(SUPERBLOCK_SLOT_BYTES + 100)
    await refuses(bench, disk, 'LOG_DAMAGED', { mode })
    // Both first sectors gone.
    disk.poke(Buffer.alloc(512), 0)
    disk.poke(Buffer.alloc(512), SUPERBLOCK_SLOT_BYTES)
    await refuses(bench, disk, 'LOG_DAMAGED', { mode })
    // Both superblocks gone, the ring still there.
    disk.poke(Buffer.alloc(RING_OFFSET_BYTES), 0)
    await refuses(bench, disk, 'LOG_DAMAGED', { mode })
    const unreadable = await withEntries(bench)
    unreadable.makeUnreadable(SUPERBLOCK_SLOT_BYTES, 512)
    unreadable.flipBit(100)
    await assert.rejects(bench.open(unreadable, { mode }), { code: 'LOG_READ_FAILED' })
    const blank = bench.disk()
    blank.makeUnreadable(0, 512)
    await assert.rejects(bench.open(blank, { mode }), { code: 'LOG_READ_FAILED' })
  }
})

test('[FMT-12] [FMT-20] create over entries needs discardEntries, and then none of them ever comes back', async () => {
  const bench = new Bench()
  const disk = await withEntries(bench)
  const error = await refuses(bench, disk, 'LOG_HOLDS_ENTRIES', { mode: 'create' })
  assert.equal(error.facts['entries'], 3)
  const { log } = await bench.open(disk, { mode: 'create', discardEntries: true, sizeBytes: 3 * MIB })
  assert.deepEqual(await readAll(bench, log), [])
  append(log)
  await bench.clock.settle()
  const again = await bench.open(disk.crashProcess())
  assert.equal(again.report.entriesFound, 1)
  assert.equal(again.log.incarnation.number, 3)
})

test('[FMT-12] create over an empty log, or one whose entries are all given up, starts anew', async () => {
  const bench = new Bench()
  const disk = await withEntries(bench)
  const { log } = await bench.open(disk)
  log.releaseBelow(log.writtenEnd)
  await bench.clock.runUntil(log.close())
  const { report, log: fresh } = await bench.open(disk.crashProcess(), { mode: 'create' })
  assert.equal(report.created, true)
  assert.notDeepEqual(fresh.identity, log.identity)
  assert.equal(fresh.lastLsn, 0)
})

test('[FMT-13] another handler and foreign bytes are refused, also by create', async () => {
  const bench = new Bench()
  const disk = await withEntries(bench)
  const { superblock } = await inspectLog(disk)
  assert.ok(superblock !== null)
  const { crc32 } = await import('@sitelink/protocol/entry')
  const other = encodeSuperblock(superblock)
  other.fill(0, SUPERBLOCK_OFFSET.handler, SUPERBLOCK_OFFSET.handler + HANDLER_NAME.length)
  other.write('tapedrive', SUPERBLOCK_OFFSET.handler)
  other.writeUInt32LE(
    crc32(other.subarray(SUPERBLOCK_OFFSET.crc + 4), crc32(other.subarray(0, SUPERBLOCK_OFFSET.crc))),
    SUPERBLOCK_OFFSET.crc,
  )
  disk.poke(other, 0)
  disk.poke(other, SUPERBLOCK_SLOT_BYTES)
  const foreign = bench.disk()
  foreign.poke(Buffer.from('dm-replicatorHJM'), 0)
  for (const mode of ['open', 'auto', 'create'] as const) {
    const error = await refuses(bench, disk, 'LOG_FOREIGN', { mode })
    assert.match(error.message, /tapedrive/)
    await refuses(bench, foreign, 'LOG_FOREIGN', { mode })
  }
  const { report } = await bench.open(foreign, { mode: 'create', discardEntries: true })
  assert.equal(report.created, true)
})

test('[FMT-14] a newer format is refused with both versions named', async () => {
  const bench = new Bench()
  const disk = await withEntries(bench)
  const { superblock } = await inspectLog(disk)
  assert.ok(superblock !== null)
  const { crc32 } = await import('@sitelink/protocol/entry')
  const newer = encodeSuperblock({ ...superblock, sequence: superblock.sequence + 1 })
  newer.writeUInt32LE(3, SUPERBLOCK_OFFSET.version)
  newer.writeUInt32LE(
    crc32(newer.subarray(SUPERBLOCK_OFFSET.crc + 4), crc32(newer.subarray(0, SUPERBLOCK_OFFSET.crc))),
    SUPERBLOCK_OFFSET.crc,
  )
  disk.poke(newer, 0)
  for (const mode of ['open', 'auto', 'create'] as const) {
    const error = await refuses(bench, disk, 'LOG_NEWER', { mode })
    assert.match(error.message, /format 3.*up to 2/)
  }
})

test('[CFG-13] a log of the other kind, one beyond its disk, one too small and one not on a block are refused', async () => {
  const bench = new Bench()
  const disk = await withEntries(bench)
  await refuses(new Bench(1, 'monotone'), disk, 'LOG_OTHER_KIND', { mode: 'open' })
  await bench.clock.runUntil(disk.resize(3 * MIB - 4096))
  await refuses(bench, disk, 'LOG_BEYOND_DISK', { mode: 'open' })
  await refuses(bench, bench.disk(), 'LOG_BEYOND_DISK', { mode: 'create', sizeBytes: 2 * MIB + 4096 })
  await refuses(bench, bench.disk(4 * MIB), 'LOG_BEYOND_DISK', {
    mode: 'create',
    sizeBytes: 3 * MIB,
    startOffset: 2 * MIB,
  })
  await refuses(bench, bench.disk(4 * MIB), 'LOG_TOO_SMALL', { mode: 'create', sizeBytes: 2 * MIB - 1 })
  await refuses(bench, bench.disk(4 * MIB), 'LOG_TOO_SMALL', { mode: 'create', startOffset: 512 })
})

test('a log lives at any start offset and touches nothing outside its range', async () => {
  const bench = new Bench()
  const disk = bench.disk(6 * MIB)
  disk.poke(Buffer.alloc(6 * MIB, 0xee), 0)
  disk.poke(Buffer.alloc(2 * MIB), 3 * MIB)
  const { log } = await bench.open(disk, { startOffset: 3 * MIB, sizeBytes: 2 * MIB, sparse: false })
  for (let each = 0; each < 40; each++) {
    append(log, 100_000)
    log.requestSync()
    await bench.clock.advance(5)
    log.releaseBelow(log.durableEnd)
    await bench.clock.advance(5)
  }
  await bench.clock.runUntil(log.close())
  const bytes = disk.peek()
  assert.ok(bytes.subarray(0, 3 * MIB).every((byte) => byte === 0xee))
  assert.ok(bytes.subarray(5 * MIB).every((byte) => byte === 0xee))
})

test('create writes the whole ring once and says how far it is; sparse does not', async () => {
  const bench = new Bench()
  const steps: number[] = []
  const full = bench.disk(12 * MIB)
  const { log } = await bench.open(full, { mode: 'create', sparse: false, progress: (done) => steps.push(done) })
  assert.equal(steps.at(-1), log.ringBytes)
  assert.ok(full.counts.writtenBytes >= 12 * MIB)
  const sparse = bench.disk(12 * MIB)
  await bench.open(sparse, { mode: 'create', sparse: true })
  assert.ok(sparse.counts.writtenBytes < MIB)
})

test('a crash at any write of a creation leaves a disk that auto fills again', async () => {
  const bench = new Bench()
  const disk = bench.disk()
  disk.startTrace()
  await bench.open(disk, { sparse: false })
  const kinds = new Set<string>()
  for (let count = 0; count < disk.trace.length; count++) {
    const middle = disk.at(count, bench.prng).powerCut({ kind: 'random' })
    const { slots, chosen } = await inspectLog(middle)
    for (const { kind } of slots) kinds.add(kind)
    if (chosen === null && slots.some(({ kind }) => kind !== 'blank'))
      await refuses(bench, middle, 'LOG_DAMAGED', { mode: 'auto' })
    else assert.equal((await bench.open(middle)).report.entriesFound, 0)
  }
  assert.ok(kinds.has('blank') && kinds.has('valid'))
})
