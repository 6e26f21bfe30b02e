/** Cursors, look-ups, region walks and truncation. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FRAME_HEADER_BYTES, FRAME_MAGIC, FrameType } from '@sitelink/protocol/entry'
import { ChunkPool, type ChunkHolder } from '../../src/ring-log/chunk-pool.js'
import type { LogEntry, RegionRun, SegmentRegions } from '../../src/ring-log/contract.js'
import { GROUP_HEADER_BYTES } from '../../src/ring-log/group.js'
import { checkLog } from '../../src/ring-log/inspect.js'
import { plainLayout } from '../../src/ring-log/layout.js'
import { RING_OFFSET_BYTES } from '../../src/ring-log/limits.js'
import { RegionSet } from '../../src/ring-log/region-set.js'
import { RingSpace } from '../../src/ring-log/ring-space.js'
import { Prng, seedFromEnv } from '../../src/testing/index.js'
import { append, Bench, foreignFrame, lsnsOf, MIB, readAll, upTo, type Opened } from './support.js'

/** A log with many groups, segments and kinds of entries. */
async function filled(bench: Bench, prng: Prng, entries: number, options = {}): Promise<Opened> {
  const opened = await bench.open(bench.disk(8 * MIB), options)
  for (let each = 0; each < entries; each++) {
    const deviceId = prng.between(1, 3)
    const offset = prng.below(500) * MIB
    if (prng.chance(0.1))
      append(opened.log, 0, { type: FrameType.trim, deviceId, offset, length: prng.between(1, 20 * MIB) })
    else append(opened.log, prng.below(prng.pick([100, 5000, 30_000])), { deviceId, offset })
    if (prng.chance(0.3)) await bench.clock.settle()
  }
  await bench.clock.advance(1000)
  return opened
}

test('a cursor reads the same from memory and from the disk, from any entry on, in pieces of any size', async () => {
  const seed = seedFromEnv('cursors')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  const { log, recorder, disk } = await filled(bench, prng, 400)
  const cold = await bench.open(disk.crashProcess(), { recentBytesMax: 0 })
  for (let round = 0; round < 40; round++) {
    const at = prng.below(recorder.written_.length)
    const { position, end, frame } = recorder.written_[at] as LogEntry
    const bytesMax = prng.pick([1, 5000, 100_000, 10 * MIB])
    const fromEnd = prng.chance(0.5)
    const expected = upTo(400, frame.lsn + (fromEnd ? 1 : 0))
    assert.deepEqual(lsnsOf(await readAll(bench, log, fromEnd ? end : position, bytesMax)), expected)
    assert.deepEqual(lsnsOf(await readAll(bench, cold.log, fromEnd ? end : position, bytesMax)), expected)
  }
})

test('what is left of a group that was cut is read, also where the bytes before it have to be passed over', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk())
  append(opened.log, 100)
  await bench.clock.advance(1000)
  // One group: its first entry is whole, the second one torn by a power cut.
  append(opened.log, 4096)
  const torn = append(opened.log, 30_000)
  await bench.clock.settle()
  const disk = opened.disk.crashProcess()
  disk.flipBit(RING_OFFSET_BYTES + torn.position + 20_000)
  const { log } = await bench.open(disk)
  assert.equal(log.lastLsn, 2)
  const [first] = await readAll(bench, log)
  assert.ok(first !== undefined && 'frame' in first)
  log.releaseBelow(first.end)
  await bench.clock.runUntil(log.writeSuperblock())
  // What lies between the tail and the next group is nobody's: here it looks like the beginning of a frame.
  const magic = Buffer.alloc(4)
  magic.writeUInt32LE(FRAME_MAGIC)
  await bench.clock.runUntil(disk.write([magic], RING_OFFSET_BYTES + first.end))
  assert.deepEqual(lsnsOf(await readAll(bench, log, log.tail)), [2])
})

test('a cursor goes on however little fill lies before the next group', async () => {
  for (const fill of [1, 2, 3, 4, FRAME_HEADER_BYTES - 1, FRAME_HEADER_BYTES, 500]) {
    const bench = new Bench()
    const disk = bench.disk()
    const { log: before } = await bench.open(disk)
    const first = append(before, 4096 - GROUP_HEADER_BYTES - FRAME_HEADER_BYTES - fill)
    await bench.clock.settle()
    assert.equal(first.end % 4096, 4096 - fill)
    await bench.clock.runUntil(before.close())
    // What is in memory begins behind the fill: that nothing else lies there has to be seen in the file.
    const { log } = await bench.open(disk.crashProcess())
    const cursor = log.cursor(first.end)
    const second = append(log, 17_000)
    await bench.clock.settle()
    let items = cursor.next(MIB)
    for (let looks = 0; looks < 3 && !Array.isArray(items); looks++)
      items = await bench.clock.runUntil(items as Promise<LogEntry[]>)
    assert.deepEqual(items, [second])
    cursor.close()
  }
})

test('a cursor that follows closely gets entries without a promise, the very ones that were appended', async () => {
  const bench = new Bench()
  const { log } = await bench.open(bench.disk())
  const cursor = log.cursor(log.writtenEnd)
  assert.equal(cursor.next(1000), null)
  const entry = append(log)
  assert.equal(cursor.next(1000), null, 'not before it is in the file')
  await bench.clock.settle()
  assert.deepEqual(cursor.next(1000), [entry])
  assert.equal(cursor.next(1000), null)
  append(log)
  append(log)
  await bench.clock.settle()
  assert.equal((cursor.next(1) as readonly LogEntry[]).length, 1)
  assert.equal((cursor.next(1_000_000) as readonly LogEntry[]).length, 1)
  cursor.close()
})

test('a cursor goes from the disk to memory and stays in order while appends go on', async () => {
  const bench = new Bench()
  const prng = new Prng(4)
  const { log } = await bench.open(bench.disk(16 * MIB), { recentBytesMax: 60_000 })
  for (let each = 0; each < 100; each++) {
    append(log, 4000)
    await bench.clock.settle()
  }
  const cursor = log.cursor(log.tail)
  const seen: number[] = []
  while (seen.length < 300) {
    if (log.lastLsn < 300 && prng.chance(0.7)) append(log, 4000)
    await bench.clock.settle()
    const answer = cursor.next(prng.below(100_000))
    const items = answer instanceof Promise ? await bench.clock.runUntil(answer) : answer
    seen.push(...(lsnsOf(items ?? []) as number[]))
  }
  assert.deepEqual(seen, upTo(300))
  cursor.close()
})

test('cursors share a bounded number of chunks; who stands still loses his', async () => {
  const bench = new Bench()
  const pool = new ChunkPool(new RingSpace(bench.disk(), 0, plainLayout(MIB)), 3, 2)
  const dropped: number[] = []
  const holders = Array.from({ length: 10 }, (_, index): ChunkHolder => ({ dropChunk: () => dropped.push(index) }))
  for (const holder of holders) await bench.clock.runUntil(pool.read(holder, 0, 4096))
  assert.equal(pool.heldCount, 3)
  assert.deepEqual(dropped, [0, 1, 2, 3, 4, 5, 6])
  const { log, recorder } = await filled(bench, new Prng(1), 300, { recentBytesMax: 0 })
  const cursors = Array.from({ length: 40 }, (_, index) => ({
    cursor: log.cursor(recorder.written_[index]?.position ?? 0),
    seen: [] as number[],
  }))
  for (let round = 0; round < 400; round++) {
    for (const each of cursors) {
      const items = await each.cursor.next(200_000)
      each.seen.push(...(lsnsOf(items ?? []) as number[]))
    }
    if (cursors.every(({ seen }) => seen.at(-1) === 300)) break
  }
  cursors.forEach(({ seen }, index) => assert.deepEqual(seen, upTo(300, index + 1)))
})

test('locate finds the first entry above any LSN, before and after a crash, and null below the tail', async () => {
  const seed = seedFromEnv('locate')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  const opened = await filled(bench, prng, 500)
  const { recorder } = opened
  opened.log.releaseBelow(recorder.written_[99]?.end ?? assert.fail())
  await bench.clock.runUntil(opened.log.writeSuperblock())
  for (const life of [1, 2]) {
    const { log } =
      life === 1 ? opened : await bench.open(opened.disk.powerCut({ kind: 'lose-all' }), { recentBytesMax: 0 })
    for (let lsn = 100; lsn < 500; lsn += 7) {
      const expected = recorder.written_[lsn]?.position
      const found = await bench.clock.runUntil(log.locate(lsn))
      assert.ok(found !== null)
      assert.equal(lsnsOf(await readAll(bench, log, found))[0], lsn + 1, `${found} for ${expected}`)
    }
    assert.equal(await log.locate(500), log.writtenEnd)
    assert.equal(await bench.clock.runUntil(log.locate(10)), null)
  }
})

test('regionsBetween answers exactly what the entries between two places touch', async () => {
  const seed = seedFromEnv('regions')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  const opened = await filled(bench, prng, 600)
  const { recorder } = opened
  for (const life of [1, 2]) {
    const { log } =
      life === 1 ? opened : await bench.open(opened.disk.powerCut({ kind: 'lose-all' }), { recentBytesMax: 0 })
    for (let round = 0; round < 25; round++) {
      const [a, b] = [prng.below(600), prng.below(600)].sort((x, y) => x - y) as [number, number]
      const from = round === 0 ? log.tail : (recorder.written_[a] as LogEntry).position
      const to = round === 0 ? log.writtenEnd : (recorder.written_[b] as LogEntry).position
      const expected = new RegionSet()
      for (const { frame } of recorder.written_.slice(round === 0 ? 0 : a, round === 0 ? 600 : b))
        expected.noteFrame(frame)
      const found = new RegionSet()
      const steps = await bench.clock.runUntil(collect(log.regionsBetween(from, to)))
      for (const { runs } of steps) for (const run of runs ?? assert.fail()) noteRun(found, run)
      assert.deepEqual(found.runs(), expected.runs())
      if (round === 0) assert.ok(steps.length > 3, 'a segment at a time')
      steps.reduce((at, step) => (assert.ok(step.from >= at && step.to > step.from), step.to), from)
    }
  }
})

function noteRun(set: RegionSet, { deviceId, firstUnit, unitCount }: RegionRun): void {
  set.note(deviceId, firstUnit * MIB, unitCount * MIB)
}

async function collect(all: AsyncIterable<SegmentRegions>): Promise<SegmentRegions[]> {
  const result: SegmentRegions[] = []
  for await (const each of all) result.push(each)
  return result
}

test('start-up reads the last segment and checkpoints, not the whole log', async () => {
  const bench = new Bench()
  const { log, disk } = await bench.open(bench.disk(64 * MIB))
  for (let each = 0; each < 700; each++) {
    append(log, 60_000)
    if (each % 10 === 0) await bench.clock.settle()
  }
  await bench.clock.advance(300)
  await bench.clock.runUntil(log.close())
  const again = await bench.open(disk.crashProcess())
  assert.equal(again.report.entriesFound, 700)
  assert.ok(again.report.bytesScanned < 4 * MIB, `${again.report.bytesScanned} bytes were read`)
  const { problems, checkpointCount } = await checkLog(again.disk)
  assert.deepEqual(problems, [])
  assert.ok(checkpointCount > 15)
  // The payload check of the owner begins where it says.
  const third = await bench.open(again.disk.crashProcess(), { payloadCheckFrom: () => 20 * MIB })
  assert.ok(third.report.bytesScanned > 20 * MIB)
})

test('a truncated journal ends exactly there, before and after a crash, and goes on', async () => {
  const seed = seedFromEnv('truncation')
  const prng = new Prng(seed)
  for (let round = 0; round < 25; round++) {
    const bench = new Bench(`${seed}/${round}`, 'monotone')
    const source = { high: 1, low: 1 }
    let opened = await bench.open(bench.disk())
    let expected: number[] = []
    for (let cut = 0; cut < 4; cut++) {
      const { log, recorder } = opened
      for (let count = prng.between(1, 60), lsn = expected.at(-1) ?? 0; count > 0 && log.hasRoom(1, 9000); count--) {
        lsn += prng.below(2)
        log.append(foreignFrame(source, 1, lsn, prng.below(9000)))
        expected.push(lsn)
        if (prng.chance(0.4)) await bench.clock.settle()
      }
      await bench.clock.settle()
      const entries = (await readAll(bench, log)) as LogEntry[]
      assert.deepEqual(lsnsOf(entries), expected)
      const at = prng.below(entries.length)
      const { position } = entries[at] as LogEntry
      const cursor = log.cursor(entries.at(-1)?.position ?? 0)
      await bench.clock.runUntil(log.truncate(position))
      assert.ok(cursor.position <= position, 'a cursor beyond the cut moves back')
      expected = expected.slice(0, at)
      assert.deepEqual(lsnsOf(await readAll(bench, log)), expected)
      assert.equal(log.incarnation.previousEnd, position)
      assert.equal(recorder.failure, null)
      if (prng.chance(0.5))
        opened = await bench.open(
          prng.chance(0.5) ? opened.disk.powerCut({ kind: 'random' }) : opened.disk.crashProcess(),
        )
      assert.deepEqual(lsnsOf(await readAll(bench, opened.log)), expected)
    }
    await bench.clock.advance(300)
    assert.deepEqual((await checkLog(opened.disk)).problems, [])
  }
})

test('a cursor shows nothing of what a truncation voided, even if it had read it', async () => {
  const bench = new Bench(1, 'monotone')
  const source = { high: 1, low: 1 }
  const { log } = await bench.open(bench.disk(), { recentBytesMax: 0 })
  for (let lsn = 1; lsn <= 40; lsn++) log.append(foreignFrame(source, 1, lsn, 3000))
  await bench.clock.settle()
  const entries = (await readAll(bench, log)) as LogEntry[]
  const cursor = log.cursor(log.tail)
  const before = lsnsOf((await cursor.next(10 * 3100)) ?? [])
  assert.deepEqual(before, upTo(before.length))
  assert.ok(before.length > 0 && before.length < 20)
  await bench.clock.runUntil(log.truncate(entries[20]?.position ?? 0))
  for (let lsn = 121; lsn <= 140; lsn++) log.append(foreignFrame(source, 2, lsn, 3000))
  await bench.clock.settle()
  const seen: (number | string)[] = []
  for (;;) {
    const items = await cursor.next(5000)
    if (items === null) break
    seen.push(...lsnsOf(items))
  }
  assert.deepEqual(seen, [...upTo(20, before.length + 1), ...upTo(140, 121)])
})

test('truncation inside an entry is refused', async () => {
  const bench = new Bench(1, 'monotone')
  const { log, recorder } = await bench.open(bench.disk())
  log.append(foreignFrame({ high: 1, low: 1 }, 1, 1, 9000))
  await bench.clock.settle()
  await assert.rejects(bench.clock.runUntil(log.truncate((recorder.written_[0]?.position ?? 0) + 50)), {
    code: 'LOG_ENTRY_UNREADABLE',
  })
})

test('an entry is read by its position, from memory and from the disk, and pieces of its payload', async () => {
  const bench = new Bench()
  const { log, recorder, disk } = await bench.open(bench.disk())
  for (let each = 0; each < 5; each++) append(log, 10_000)
  await bench.clock.advance(300)
  const cold = await bench.open(disk.crashProcess())
  for (const each of [log, cold.log]) {
    for (const { frame, position } of recorder.written_) {
      const entry = await bench.clock.runUntil(each.readEntry(position))
      assert.ok(entry.frame.payload?.equals(frame.payload ?? Buffer.alloc(0)))
      const piece = await bench.clock.runUntil(each.readPayload(position, 5000, 300))
      assert.ok(piece.equals(frame.payload?.subarray(5000, 5300) ?? Buffer.alloc(0)))
    }
    await assert.rejects(bench.clock.runUntil(each.readEntry(log.writtenEnd)), { code: 'LOG_ENTRY_UNREADABLE' })
  }
  cold.log.releaseBelow(recorder.written_[4]?.end ?? 0)
  await bench.clock.runUntil(cold.log.writeSuperblock())
  await assert.rejects(bench.clock.runUntil(cold.log.readEntry(recorder.written_[0]?.position ?? 0)), {
    code: 'LOG_GONE',
  })
})

test('a payload that rotted is refused, whichever piece of it is asked for, and its neighbours are read', async () => {
  const bench = new Bench()
  const { log, recorder, disk } = await bench.open(bench.disk())
  for (let each = 0; each < 5; each++) append(log, 10_000)
  await bench.clock.advance(300)
  const next = disk.crashProcess()
  const cold = await bench.open(next)
  const { position } = recorder.written_[2] as LogEntry
  next.flipBit(RING_OFFSET_BYTES + position + FRAME_HEADER_BYTES + 7000)
  // Many at once, so that they share reads.
  const wanted = recorder.written_.flatMap((entry) =>
    Array.from({ length: 20 }, (_, at) => ({ entry, offset: at * 500 })),
  )
  const reads = wanted.map(({ entry, offset }) => cold.log.readPayload(entry.position, offset, 500))
  const results = await bench.clock.runUntil(Promise.allSettled(reads))
  for (const [at, { entry, offset }] of wanted.entries()) {
    const result = results[at]
    if (entry.position === position) {
      assert.ok(result?.status === 'rejected' && result.reason.code === 'LOG_ENTRY_UNREADABLE')
    } else {
      assert.ok(result?.status === 'fulfilled')
      assert.ok(result.value.equals(entry.frame.payload?.subarray(offset, offset + 500) ?? Buffer.alloc(0)))
    }
  }
})
