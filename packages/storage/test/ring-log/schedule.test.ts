/** When groups are formed, when they are synced, what says so on the disk. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspectLog } from '../../src/ring-log/inspect.js'
import { FaultDisk } from '../../src/testing/index.js'
import { append, Bench, MIB } from './support.js'

test('all appends of one turn share one write, and what gathers meanwhile shares the next', async () => {
  const bench = new Bench()
  const { log, disk, recorder } = await bench.open(bench.disk(64 * MIB))
  const before = disk.counts.writes
  disk.hold()
  for (let each = 0; each < 50; each++) append(log)
  await bench.clock.settle()
  assert.equal(disk.counts.writes - before, 1)
  for (let each = 0; each < 50; each++) {
    append(log)
    await bench.clock.settle()
  }
  assert.equal(disk.counts.writes - before, 1, 'one group is written at a time')
  assert.equal(recorder.written_.length, 0, 'nothing is written before its write has returned')
  disk.release()
  await bench.clock.settle()
  assert.equal(disk.counts.writes - before, 2)
  assert.equal(recorder.written_.length, 100)
  assert.deepEqual(
    recorder.written_.map(({ frame }) => frame.lsn),
    Array.from({ length: 100 }, (_, index) => index + 1),
  )
})

test('a burst larger than a group is split, and groups stay within their size', async () => {
  const bench = new Bench()
  const { log, recorder } = await bench.open(bench.disk(64 * MIB))
  for (let each = 0; each < 20; each++) append(log, MIB)
  await bench.clock.settle()
  assert.equal(recorder.written_.length, 20)
  const { groupsWritten } = log.status()
  assert.ok(groupsWritten >= 4 && groupsWritten <= 12, `${groupsWritten} groups`)
})

test('a sync starts 100 ms after the oldest unsynced byte, and once is enough', async () => {
  const bench = new Bench()
  const { log, disk, recorder } = await bench.open(bench.disk())
  const syncs = disk.counts.syncs
  append(log)
  await bench.clock.advance(60)
  append(log)
  await bench.clock.advance(39)
  assert.equal(disk.counts.syncs, syncs)
  await bench.clock.advance(1)
  assert.equal(disk.counts.syncs, syncs + 1)
  assert.equal(recorder.durableLsn, 2)
  assert.equal(recorder.durablePosition, log.writtenEnd)
})

test('a sync that no append follows is written down, then the log is at rest', async () => {
  const bench = new Bench()
  const { log, disk } = await bench.open(bench.disk())
  append(log)
  await bench.clock.advance(150)
  assert.notEqual((await inspectLog(disk)).superblock?.durableEnd, log.writtenEnd)
  await bench.clock.advance(100)
  assert.equal((await inspectLog(disk)).superblock?.durableEnd, log.writtenEnd)
  assert.equal((await inspectLog(disk)).superblock?.durableLsn, 1)
  const { writes, syncs } = disk.counts
  await bench.clock.advance(10_000)
  assert.deepEqual([disk.counts.writes, disk.counts.syncs], [writes, syncs])
  assert.equal(bench.clock.pendingCount, 0)
})

test('while appends go on, no superblock is written for their durability', async () => {
  const bench = new Bench()
  const { log } = await bench.open(bench.disk(64 * MIB))
  const { superblockWrites } = log.status()
  for (let each = 0; each < 50; each++) {
    append(log, 100)
    log.requestSync()
    await bench.clock.advance(20)
  }
  assert.equal(log.status().superblockWrites, superblockWrites)
})

test('a requested sync covers what was appended before it, and one that runs already does not count', async () => {
  const bench = new Bench()
  const disk = new FaultDisk({ sizeBytes: 2 * MIB, clock: bench.clock, latency: { writeMs: [1, 1], syncMs: [10, 10] } })
  const { log, recorder } = await bench.open(disk)
  append(log)
  log.requestSync()
  await bench.clock.advance(2)
  append(log)
  log.requestSync()
  await bench.clock.advance(10)
  assert.equal(recorder.durableLsn, 1, 'the sync that was under way when the second was written does not cover it')
  await bench.clock.advance(10)
  assert.equal(recorder.durableLsn, 2)
})

test('writes go on while a sync runs', async () => {
  const bench = new Bench()
  const disk = new FaultDisk({
    sizeBytes: 2 * MIB,
    clock: bench.clock,
    latency: { writeMs: [1, 1], syncMs: [1000, 1000] },
  })
  const { log, recorder } = await bench.open(disk)
  append(log)
  log.requestSync()
  for (let each = 0; each < 20; each++) {
    await bench.clock.advance(5)
    append(log)
  }
  assert.ok(recorder.written_.length >= 19)
  assert.equal(recorder.durableLsn, 0)
})

test('groups wait when too much is unsynced, and go on after the sync', async () => {
  const bench = new Bench()
  const disk = new FaultDisk({ sizeBytes: 200 * MIB, clock: bench.clock, latency: { syncMs: [1000, 1000] } })
  const { log, recorder } = await bench.open(disk)
  const payload = 1024 * 1024
  for (let each = 0; each < 120; each++) append(log, payload)
  await bench.clock.advance(500)
  const written = recorder.written_.length
  assert.ok(written >= 60 && written <= 70, `${written} MiB were written without a sync`)
  await bench.clock.advance(3000)
  assert.equal(recorder.written_.length, 120)
})

test('an owner state is in every superblock, and is found again', async () => {
  const bench = new Bench()
  const { log, disk, recorder } = await bench.open(bench.disk())
  assert.equal(log.ownerStateFound.length, 0)
  recorder.owner = Buffer.alloc(60 * 1024, 7)
  await bench.clock.runUntil(log.writeSuperblock())
  const again = await bench.open(disk.powerCut({ kind: 'lose-all' }), {
    reviseOwnerState: (found, lives) => {
      assert.equal(lives.length, 3)
      return Buffer.from(`${found.length} revised`)
    },
  })
  assert.ok(again.log.ownerStateFound.equals(recorder.owner))
  assert.equal((await inspectLog(again.disk)).superblock?.owner.toString(), `${60 * 1024} revised`)
})

test('the owner is asked for its state in a turn of the log, never inside its own calls', async () => {
  const bench = new Bench()
  const { log, recorder } = await bench.open(bench.disk())
  for (let each = 0; each < 10; each++) append(log, 100_000)
  log.requestSync()
  await bench.clock.advance(10)
  let inCall = true
  recorder.ownerState = () => {
    assert.equal(inCall, false)
    return Buffer.alloc(0)
  }
  log.releaseBelow(log.durableEnd)
  while (log.hasRoom(1, 1000)) append(log, 1000)
  const written = log.writeSuperblock()
  inCall = false
  await bench.clock.runUntil(written)
})
