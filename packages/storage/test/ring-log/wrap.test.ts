/** The end of the ring, the room that is left, and when it may be used again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkLog } from '../../src/ring-log/inspect.js'
import { FaultDisk, Prng, seedFromEnv } from '../../src/testing/index.js'
import { append, Bench, lsnsOf, MIB, readAll, upTo, type Opened } from './support.js'

/** Appends one entry as a group of its own, durable. */
async function appendAlone(bench: Bench, { log }: Opened, length: number): Promise<void> {
  append(log, length)
  log.requestSync()
  await bench.clock.advance(1)
}

async function releaseAll(bench: Bench, { log }: Opened): Promise<void> {
  log.releaseBelow(log.durableEnd)
  await bench.clock.runUntil(log.writeSuperblock())
}

test('[FMT-16] an exactly full ring is told from an empty one after a crash', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk())
  const { log } = opened
  // An odd place to begin, so that the full ring wraps.
  await appendAlone(bench, opened, 300_000)
  await releaseAll(bench, opened)
  const first = log.lastLsn + 1
  // The largest entries that leave no gap, ignoring what `hasRoom` keeps in reserve.
  for (let left = log.ringBytes; left > 0;) {
    const group = Math.min(left, 128 * 1024)
    await appendAlone(bench, opened, group - 192)
    left = log.ringBytes - log.status().usedBytes
  }
  assert.equal(log.status().usedBytes, log.ringBytes)
  assert.equal(log.freeBytes, 0)
  const last = log.lastLsn
  const again = await bench.open(opened.disk.powerCut({ kind: 'lose-all' }))
  assert.equal(again.report.entriesFound, last - first + 1)
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(last, first))
  assert.equal(again.log.status().usedBytes, log.ringBytes)
  await releaseAll(bench, again)
  assert.equal(again.log.status().usedBytes, 0)
  const empty = await bench.open(again.disk.powerCut({ kind: 'lose-all' }))
  assert.equal(empty.report.entriesFound, 0)
  await appendAlone(bench, empty, 4096)
})

test('[FMT-17] a group wraps at any byte of the ring end, or fits exactly', async () => {
  const bench = new Bench()
  for (const blocksLeft of [0, 1, 2, 3, 5, 25]) {
    const opened = await bench.open(bench.disk(), { mode: 'create', discardEntries: true })
    const { log } = opened
    const target = log.ringBytes - blocksLeft * 4096
    for (;;) {
      const left = target - log.status().end
      if (left === 0) break
      await appendAlone(bench, opened, Math.min(left, 100 * 1024) - 192)
      await releaseAll(bench, opened)
    }
    const first = log.lastLsn + 1
    await appendAlone(bench, opened, 70_001)
    await appendAlone(bench, opened, 3904)
    assert.deepEqual(lsnsOf(await readAll(bench, log, log.tail)), upTo(first + 1, first))
    const again = await bench.open(opened.disk.powerCut({ kind: 'lose-all' }), { recentBytesMax: 0 })
    assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(first + 1, first), `${blocksLeft} blocks were left`)
    await bench.clock.runUntil(again.log.close())
    const { problems } = await checkLog(again.disk.crashProcess())
    assert.deepEqual(problems, [])
  }
})

test('[FMT-18] after 10^5 random entries and many wraps the free space is exactly what it was', async () => {
  const seed = seedFromEnv('many wraps')
  const bench = new Bench(seed)
  const prng = new Prng(seed)
  const opened = await bench.open(bench.disk(2 * MIB + 4096 * prng.between(1, 9) + prng.below(4096)))
  const { log, recorder } = opened
  const free = log.freeBytes
  let appended = 0
  while (appended < 100_000) {
    for (let count = 0; count < 400 && appended < 100_000; count++, appended++) {
      const length = prng.chance(0.01) ? prng.below(100_000) : prng.below(400)
      if (!log.hasRoom(1, length)) break
      append(log, length)
    }
    await bench.clock.settle()
    assert.equal(recorder.written_.length, appended)
    log.releaseBelow((recorder.written_.at(-1 - prng.below(3)) ?? assert.fail()).end)
    if (!log.hasRoom(1, 100_000)) {
      log.requestSync()
      await bench.clock.settle()
    }
  }
  log.requestSync()
  await bench.clock.settle()
  await releaseAll(bench, opened)
  assert.ok(log.status().wraps >= 10, `${log.status().wraps} wraps`)
  assert.equal(log.status().usedBytes, 0)
  assert.equal(log.freeBytes, free)
})

test('a freed byte is written to only when the superblock that freed it is durable', async () => {
  const bench = new Bench()
  // Slow syncs: a superblock is under way for long while appends look for room.
  const slow = new FaultDisk({ sizeBytes: 2 * MIB, clock: bench.clock, latency: { syncMs: [20, 20] } })
  const opened = await bench.open(slow)
  const { log, disk } = opened
  while (log.hasRoom(1, 100_000)) await appendAlone(bench, opened, 100_000)
  await bench.clock.advance(300)
  const kept = 3
  const position = opened.recorder.written_[kept - 1]?.end ?? assert.fail()
  disk.startTrace()
  log.releaseBelow(position)
  for (let each = 0; each < 60; each++) {
    if (log.hasRoom(1, 50_000)) await appendAlone(bench, opened, 50_000)
    else await bench.clock.advance(1)
  }
  assert.ok(log.lastLsn > 17, 'the freed room was used')
  for (let count = 0; count <= disk.trace.length; count++) {
    for (const policy of ['lose-all', 'keep-all', 'random', 'random'] as const) {
      const again = await bench.open(disk.at(count, bench.prng).powerCut({ kind: policy }))
      const lsns = lsnsOf(await readAll(bench, again.log))
      assert.ok(Number(lsns[0]) <= kept + 1, `after ${count} events entry ${String(lsns[0])} is the first`)
      assert.deepEqual(lsns, upTo(again.log.lastLsn, Number(lsns[0])))
      assert.deepEqual(again.report.holes, [])
    }
  }
})

test('space comes back in steps, at once when somebody waits for room, and is told', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(64 * MIB))
  const { log, recorder } = opened
  for (let each = 0; each < 40; each++) await appendAlone(bench, opened, 1000)
  log.releaseBelow(log.durableEnd)
  await bench.clock.advance(1)
  assert.equal(recorder.spaceFreedCount, 0, 'too little for a sync of its own')
  while (log.hasRoom(1, MIB)) {
    append(log, MIB)
    await bench.clock.settle()
  }
  await bench.clock.advance(1)
  assert.equal(recorder.spaceFreedCount, 1, 'hasRoom was false, so a small step was worth it')
  log.releaseBelow(recorder.written_[43]?.end ?? assert.fail())
  await bench.clock.advance(1)
  assert.equal(recorder.spaceFreedCount, 2)
  assert.equal(log.hasRoom(1, MIB), true)
})

test('a lease holds what is released until it is let go', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk())
  const { log } = opened
  await appendAlone(bench, opened, 100_000)
  await appendAlone(bench, opened, 100_000)
  const second = opened.recorder.written_[1] ?? assert.fail()
  const lease = log.lease(second.position)
  await releaseAll(bench, opened)
  assert.ok(log.tail <= second.position)
  assert.ok((await bench.clock.runUntil(log.readEntry(second.position))).frame.lsn === 2)
  lease.release()
  await releaseAll(bench, opened)
  assert.equal(log.tail, second.end)
  assert.equal(log.status().usedBytes, 0)
})

test('who waits for room that a lease held back gets it when the lease is let go, though nothing else happens', async () => {
  for (const end of ['release', 'advance'] as const) {
    const bench = new Bench()
    const opened = await bench.open(bench.disk())
    const { log, recorder } = opened
    await appendAlone(bench, opened, 100_000)
    const lease = log.lease(recorder.written_[0]?.position ?? assert.fail())
    while (log.hasRoom(1, 100_000)) await appendAlone(bench, opened, 100_000)
    log.releaseBelow(log.writtenEnd)
    await bench.clock.advance(1000)
    assert.equal(log.hasRoom(1, 100_000), false)
    const told = recorder.spaceFreedCount
    if (end === 'release') lease.release()
    else lease.advance(log.writtenEnd)
    await bench.clock.advance(1000)
    assert.equal(recorder.spaceFreedCount, told + 1, end)
    assert.equal(log.hasRoom(1, 100_000), true)
  }
})

test('whatever hasRoom admits fits, and the log is never wedged', async () => {
  const seed = seedFromEnv('room')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  for (let round = 0; round < 8; round++) {
    const opened = await bench.open(bench.disk(2 * MIB + prng.below(64) * 4096), {
      mode: 'create',
      discardEntries: true,
    })
    const { log, recorder } = opened
    for (let filled = 0; filled < 3; filled++) {
      const sizes = prng.pick([[0], [100], [4096], [MIB], [0, 5000, 200_000]])
      for (;;) {
        const length = prng.pick(sizes)
        if (!log.hasRoom(1, length)) break
        append(log, length)
        if (prng.chance(0.05)) await bench.clock.settle()
      }
      await bench.clock.advance(200)
      assert.equal(recorder.failure, null)
      assert.equal(log.writtenEnd, log.status().end)
      log.releaseBelow(log.durableEnd)
      await bench.clock.advance(200)
      assert.ok(log.hasRoom(1, MIB), 'after everything is released the largest entry fits')
    }
  }
})

test('[FMT-05] whatever is written begins and ends on 4 KiB, on a device of 4 KiB sectors, over many turns, lives and deaths', async () => {
  const seed = seedFromEnv('aligned')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  let disk = new FaultDisk({
    sizeBytes: 6 * MIB,
    prng: prng.fork('disk'),
    clock: bench.clock,
    sectorBytes: 4096,
  })
  let changes = 0
  for (let life = 0; life < 6; life++) {
    disk.startTrace()
    const process = bench.clock.process()
    const opened = await bench.open(disk, { startOffset: 4096, sizeBytes: 4 * MIB, sparse: life > 0 }, process)
    const { log } = opened
    for (let each = 0; each < 60; each++) {
      const length = prng.pick([0, 1, 511, 4096, 4097, 100_001, MIB])
      if (log.hasRoom(1, length)) append(log, length)
      if (prng.chance(0.5)) log.requestSync()
      if (prng.chance(0.3)) await bench.clock.advance(5)
      if (prng.chance(0.2)) await releaseAll(bench, opened)
    }
    await bench.clock.advance(200)
    for (const event of disk.trace) {
      if (event.kind !== 'change') continue
      changes++
      const { offset, length } = event.change
      assert.ok(offset % 4096 === 0 && length % 4096 === 0, `${length} bytes at ${offset} in life ${life}`)
      assert.ok(offset >= 4096 && offset + length <= 4096 + 4 * MIB, `${length} bytes at ${offset}`)
    }
    process.kill()
    disk = prng.chance(0.5) ? disk.powerCut({ kind: 'random' }) : disk.crashProcess('random')
  }
  assert.ok(changes > 300, `${changes} writes`)
})
