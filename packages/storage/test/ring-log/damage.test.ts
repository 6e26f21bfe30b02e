/** Bits that rot, sectors that cannot be read, writes and syncs that fail: what is noticed, what is lost, what is not. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry, LogHole } from '../../src/ring-log/contract.js'
import { decodeGroupHeader, encodeGroupHeader } from '../../src/ring-log/group.js'
import { checkLog, inspectLog, listLog } from '../../src/ring-log/inspect.js'
import { RING_OFFSET_BYTES, SUPERBLOCK_SLOT_BYTES } from '../../src/ring-log/limits.js'
import { FaultDisk, Prng, seedFromEnv } from '../../src/testing/index.js'
import { append, Bench, foreignFrame, lsnsOf, MIB, readAll, upTo, type Opened } from './support.js'

/** A log of so many groups with three entries of 5000 bytes each. */
async function groups(bench: Bench, count: number, disk = bench.disk(4 * MIB)): Promise<Opened> {
  const opened = await bench.open(disk)
  for (let group = 0; group < count; group++) {
    for (let each = 0; each < 3; each++) append(opened.log, 5000)
    opened.log.requestSync()
    await bench.clock.advance(5)
  }
  return opened
}

function placeOf(opened: Opened, position: number): number {
  return RING_OFFSET_BYTES + (position % opened.log.ringBytes)
}

function entry(opened: Opened, lsn: number): LogEntry {
  return opened.recorder.written_.find(({ frame }) => frame.lsn === lsn) ?? assert.fail()
}

function holesOf(items: readonly (LogEntry | LogHole)[]): LogHole[] {
  return items.filter((item): item is LogHole => 'ranges' in item)
}

test('[FMT-02] with either superblock damaged nothing is lost', async () => {
  for (const slot of [0, 1]) {
    for (const damage of ['flip', 'zero', 'unreadable'] as const) {
      const bench = new Bench()
      const opened = await groups(bench, 4)
      opened.log.releaseBelow(entry(opened, 5).end)
      await bench.clock.runUntil(opened.log.writeSuperblock())
      await bench.clock.settle()
      const disk = opened.disk.crashProcess()
      if (damage === 'flip') disk.flipBit(slot * SUPERBLOCK_SLOT_BYTES, 4096)
      else if (damage === 'zero') disk.poke(Buffer.alloc(4096), slot * SUPERBLOCK_SLOT_BYTES)
      else disk.makeUnreadable(slot * SUPERBLOCK_SLOT_BYTES, 4096)
      const again = await bench.open(disk)
      assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(12, 4))
      const { slots } = await inspectLog(disk)
      assert.deepEqual(
        slots.map(({ kind }) => kind),
        ['valid', 'valid'],
        'both are whole again',
      )
    }
  }
})

test('[REC-13] [REC-14] a flipped payload bit below a durable mark is one hole with its range, everything else is kept', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 4)
  const bad = entry(opened, 5)
  opened.disk.flipBit(placeOf(opened, bad.position) + 96 + 1000)
  const again = await bench.open(opened.disk.powerCut({ kind: 'lose-all' }))
  const ranges = [{ deviceId: 1, offset: 5 * MIB, length: 5000 }]
  const hole = { position: bad.position, end: bad.end, firstLsn: 5, lastLsn: 5, ranges }
  assert.deepEqual(again.report.holes, [hole])
  assert.equal(again.report.entriesFound, 11)
  const items = await readAll(bench, again.log)
  assert.deepEqual(lsnsOf(items), [1, 2, 3, 4, 'hole 5..5', ...upTo(12, 6)])
  assert.deepEqual(holesOf(items), [hole])
  await assert.rejects(bench.clock.runUntil(again.log.readEntry(bad.position)), { code: 'LOG_ENTRY_UNREADABLE' })
  assert.equal((await bench.clock.runUntil(again.log.readEntry(entry(opened, 6).position))).frame.lsn, 6)
  assert.match((await checkLog(again.disk)).problems[0]?.what ?? '', /entries 5 to 5/)
})

test('a power cut that tore nothing but the fill behind a group leaves a log without a problem', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 4)
  const last = entry(opened, 12)
  const fillAt = placeOf(opened, last.end)
  opened.disk.poke(Buffer.alloc(4096 - (fillAt % 4096), 0xaa), fillAt)
  const disk = opened.disk.powerCut({ kind: 'lose-all' })
  assert.deepEqual((await checkLog(disk)).problems, [])
  const again = await bench.open(disk)
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(12))
  assert.deepEqual((await checkLog(again.disk)).problems, [], 'nor has it one when it was opened')
})

test('[REC-13] an unreadable frame header below a durable mark loses the rest of its group, an unreadable group header its group', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 5)
  opened.disk.flipBit(placeOf(opened, entry(opened, 5).position), 96)
  opened.disk.flipBit(placeOf(opened, entry(opened, 10).position - 96), 96)
  const again = await bench.open(opened.disk.powerCut({ kind: 'lose-all' }))
  assert.deepEqual(
    again.report.holes.map(({ firstLsn, lastLsn, ranges }) => [firstLsn, lastLsn, ranges]),
    [
      [5, 6, null],
      [10, 12, null],
    ],
  )
  const expected = [1, 2, 3, 4, 'hole 5..6', 7, 8, 9, 'hole 10..12', 13, 14, 15]
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), expected)
  // From the middle of the damage as well, and with the end of a group known only from its entries.
  assert.deepEqual(lsnsOf(await readAll(bench, again.log, entry(opened, 5).position)), expected.slice(4))
  assert.deepEqual(lsnsOf(await readAll(bench, again.log, entry(opened, 9).end)), expected.slice(8))
  append(again.log)
  await bench.clock.settle()
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), [...expected, 16])
})

test('[REC-13] a sector that cannot be read is a hole where it was durable, and refuses to open where it was not', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 4)
  const disk = opened.disk.powerCut({ kind: 'lose-all' })
  disk.makeUnreadable(placeOf(opened, entry(opened, 5).position + 2000), 512)
  const again = await bench.open(disk)
  assert.deepEqual(
    again.report.holes.map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn]),
    [[5, 5]],
  )
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), [1, 2, 3, 4, 'hole 5..5', ...upTo(12, 6)])
  const other = await groups(new Bench(2), 4)
  const place = placeOf(other, entry(other, 12).position + 2000)
  const next = other.disk.powerCut({ kind: 'lose-all' })
  next.makeUnreadable(place, 512)
  await assert.rejects(new Bench(3).open(next), { code: 'LOG_READ_FAILED' })
})

test('a torn tail is cut at the first entry that does not check, and nothing before it', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 2)
  for (let each = 0; each < 3; each++) append(opened.log, 5000)
  await bench.clock.settle()
  const bad = entry(opened, 8)
  const disk = opened.disk.crashProcess()
  disk.flipBit(placeOf(opened, bad.position) + 200)
  const again = await bench.open(disk)
  assert.deepEqual(again.report.holes, [])
  assert.equal(again.report.cutLsn, 8)
  assert.equal(again.report.cutBytes, opened.log.writtenEnd - bad.position)
  assert.equal(again.log.incarnation.previousEnd, bad.position)
  assert.equal(again.log.incarnation.firstLsn, 8)
  append(again.log, 100)
  await bench.clock.settle()
  const items = await readAll(bench, again.log)
  assert.deepEqual(lsnsOf(items), upTo(8))
  assert.equal((items[7] as LogEntry).frame.length, 100, 'entry 8 is the new one')
  const third = await bench.open(again.disk.crashProcess())
  assert.deepEqual(lsnsOf(await readAll(bench, third.log)), upTo(8))
})

test('a flipped bit in the header of the last group is a cut that is reported, in its magic as well', async () => {
  for (const offset of [0, 1, 5, 20, 30, 92]) {
    const bench = new Bench()
    const opened = await groups(bench, 2)
    for (let each = 0; each < 3; each++) append(opened.log, 100)
    await bench.clock.settle()
    const position = entry(opened, 7).position - 96
    const disk = opened.disk.crashProcess('all')
    disk.flipBit(placeOf(opened, position) + offset)
    const { problems } = await checkLog(disk)
    assert.deepEqual(
      problems.map((problem) => problem.position),
      [position],
    )
    const again = await bench.open(disk)
    assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(6))
    assert.deepEqual([again.report.cutBytes, again.report.cutLsn], [4096, 7], `a bit at ${offset}`)
  }
})

test('[REC-13] no region of the log is forgotten with a checkpoint whose header cannot be read', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 40)
  const image = opened.disk.powerCut({ kind: 'lose-all' }).peek()
  const whole = bench.disk(4 * MIB)
  whole.poke(image, 0)
  const checkpoints: number[] = []
  for await (const step of listLog(whole, (await inspectLog(whole)).superblock ?? assert.fail()))
    if (step.kind === 'checkpoint') checkpoints.push(step.before.position)
  assert.ok(checkpoints.length >= 4)
  for (const checkpoint of checkpoints) {
    for (const lostHeader of [null, entry(opened, 3), entry(opened, 90)]) {
      const disk = bench.disk(4 * MIB)
      disk.poke(image, 0)
      disk.flipBit(placeOf(opened, checkpoint) + 60)
      // Entries whose ranges nobody knows, in a segment whose own checkpoint may be the one that is lost.
      if (lostHeader !== null) disk.flipBit(placeOf(opened, lostHeader.position) + 40)
      const { log } = await bench.open(disk)
      const known = new Set<number>()
      let all = false
      for await (const { runs } of log.regionsBetween(log.tail, log.writtenEnd)) {
        all ||= runs === null
        for (const { firstUnit, unitCount } of runs ?? [])
          for (const unit of upTo(unitCount, 1)) known.add(firstUnit + unit - 1)
      }
      for (const lsn of upTo(120))
        assert.ok(all || known.has(lsn), `region of entry ${lsn}, without ${checkpoint} and ${lostHeader?.frame.lsn}`)
    }
  }
})

test('[REC-02] [REC-12] a failed write fails the log once, reads go on, and the next opening starts clean', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 2)
  const { log, disk, recorder } = opened
  disk.inject({ on: 'write', error: 'EIO', keep: 'random' })
  append(log, 5000)
  append(log, 5000)
  await bench.clock.advance(500)
  assert.match(recorder.failure?.message ?? '', /failed/)
  assert.equal(recorder.written_.length, 6)
  assert.throws(() => append(log), /failed or was closed/)
  await assert.rejects(log.writeSuperblock(), { code: 'LOG_WRITE_FAILED' })
  assert.deepEqual(lsnsOf(await readAll(bench, log)), upTo(6))
  const { syncs } = disk.counts
  await bench.clock.advance(5000)
  assert.equal(disk.counts.syncs, syncs)
  await bench.clock.runUntil(log.close())
  const again = await bench.open(disk.crashProcess())
  assert.ok(again.log.lastLsn >= 6)
  append(again.log)
  await bench.clock.advance(300)
  assert.equal(again.recorder.failure, null)
})

test('[FMT-21] a failed sync is never repeated and believed: what it covered is written again by the next opening', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 2)
  const { log, disk, recorder } = opened
  append(log, 5000)
  disk.inject({ on: 'sync', error: 'EIO', keep: 'none' })
  log.requestSync()
  await bench.clock.advance(500)
  assert.notEqual(recorder.failure, null)
  assert.equal(recorder.durableLsn, 6)
  const { syncs } = disk.counts
  log.requestSync()
  await bench.clock.advance(500)
  assert.equal(disk.counts.syncs, syncs)
  // The page cache still shows entry 7; the platters do not have it.
  const again = await bench.open(disk.crashProcess())
  assert.equal(again.log.lastLsn, 7)
  const third = await bench.open(again.disk.powerCut({ kind: 'lose-all' }))
  assert.deepEqual(lsnsOf(await readAll(bench, third.log)), upTo(7), 'what recovery reported survives the power cut')
})

test('[FMT-02] a superblock write that is torn at any point leaves one that is whole', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 3)
  const { log, disk, recorder } = opened
  disk.startTrace()
  for (let each = 1; each < 6; each++) {
    recorder.owner = Buffer.alloc(30_000, each)
    await bench.clock.runUntil(log.writeSuperblock())
    disk.mark(String(each))
  }
  let promised = 0
  for (let count = 0; count <= disk.trace.length; count++) {
    const event = disk.trace[count - 1]
    if (event?.kind === 'mark') promised = Number(event.label)
    for (let each = 0; each < 4; each++) {
      const middle = disk.at(count, bench.prng).powerCut({ kind: 'random' })
      const { superblock } = await inspectLog(middle)
      assert.ok(superblock !== null, `a superblock is left after ${count} events`)
      assert.ok((superblock.owner[0] ?? 0) >= promised || promised === 0)
    }
  }
})

test('a superblock that is older than the ring is refused, not believed', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 3)
  const disk = opened.disk.powerCut({ kind: 'lose-all' })
  const old = disk.peek(0, RING_OFFSET_BYTES)
  const second = await bench.open(disk)
  append(second.log)
  await bench.clock.advance(300)
  const later = second.disk.crashProcess()
  later.poke(old, 0)
  const before = later.peek()
  await assert.rejects(bench.open(later), { code: 'LOG_DAMAGED' })
  assert.ok(later.peek().equals(before))
})

test('[FMT-02] a superblock that is visible but not durable is made durable before the other one is touched', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 2)
  opened.disk.startTrace()
  // Large enough that a torn slot is neither the old nor the new one.
  opened.recorder.owner = Buffer.alloc(30_000, 7)
  await bench.clock.runUntil(opened.log.writeSuperblock())
  for (let first = 0; first < opened.disk.trace.length; first++) {
    // The process dies with a superblock write in the page cache; the next one dies, and the power goes.
    const second = opened.disk.at(first, bench.prng).crashProcess()
    second.startTrace()
    await bench.open(second)
    for (let count = 0; count <= second.trace.length; count++) {
      for (let each = 0; each < 4; each++) {
        const third = second.at(count, bench.prng).powerCut({ kind: 'random' })
        assert.notEqual((await inspectLog(third)).chosen, null, `after ${first} and ${count} events`)
      }
    }
  }
})

test('a group that checks but does not follow from the one before is not believed', async () => {
  const bench = new Bench()
  const opened = await groups(bench, 4)
  const place = placeOf(opened, entry(opened, 4).position - 96)
  const image = opened.disk.powerCut({ kind: 'lose-all' })
  const bytes = image.peek(place, 96)
  const header = decodeGroupHeader(bytes, 0)
  assert.ok(typeof header === 'object')
  const lies = [{ previousCrc: header.previousCrc + 1 }, { firstLsn: 5 }, { incarnation: 1 }, { bodyCrc: 1 }]
  for (const lie of [{}, ...lies]) {
    const disk = bench.disk(4 * MIB)
    disk.poke(image.peek(), 0)
    encodeGroupHeader(bytes, 0, { ...header, ...lie })
    disk.poke(bytes, place)
    const { report } = await bench.open(disk)
    const lost = report.holes.map(({ firstLsn, lastLsn }) => [firstLsn, lastLsn])
    const expected = lies.indexOf(lie as (typeof lies)[number]) < 0 ? [] : [[4, 6]]
    assert.deepEqual(lost, expected, JSON.stringify(lie))
  }
})

test('a frame of an earlier lap does not pass for one of a torn group, although its LSN would', async () => {
  for (const alsoTorn of [false, true]) {
    const bench = new Bench(1, 'monotone')
    const { log, recorder, disk } = await bench.open(bench.disk())
    const source = { high: 3, low: 3 }
    for (let aux = 1; aux <= 4; aux++) log.append(foreignFrame(source, 1, 9, 5000, { aux }))
    await bench.clock.settle()
    const [first, second, third] = recorder.written_
    assert.ok(first !== undefined && second !== undefined && third !== undefined)
    // What lost sectors of this write could show: the same bytes as an entry before, whole and with a good CRC.
    disk.poke(disk.peek(RING_OFFSET_BYTES + first.position, 5096), RING_OFFSET_BYTES + second.position)
    if (alsoTorn) disk.flipBit(RING_OFFSET_BYTES + third.position, 5096)
    const again = await bench.open(disk.crashProcess())
    assert.deepEqual(await readAll(bench, again.log), [])
    assert.equal(again.report.cutBytes, log.writtenEnd)
  }
})

test('[REC-15] recovery that dies a hundred times, anywhere, converges to the same log', async () => {
  const seed = seedFromEnv('recovery dies')
  const bench = new Bench(seed)
  const prng = new Prng(seed)
  const opened = await groups(bench, 2)
  for (let each = 0; each < 30; each++) {
    append(opened.log, prng.below(9000))
    if (each % 3 === 0) await bench.clock.settle()
  }
  await bench.clock.settle()
  let disk = opened.disk.powerCut({ kind: 'random' })
  let expected: (number | string)[] | null = null
  for (let death = 0; death < 100; death++) {
    const process = bench.clock.process()
    disk.startTrace()
    const { log, disk: opening } = await bench.open(disk, {}, process)
    const found = lsnsOf(await readAll(bench, log))
    if (expected !== null) assert.deepEqual(found, expected, `after death ${death}`)
    expected = found
    process.kill()
    const middle = opening.at(prng.below(opening.trace.length + 1), prng)
    disk = prng.chance(0.7) ? middle.powerCut({ kind: 'random' }) : middle.crashProcess()
    disk = new FaultDisk({ sizeBytes: disk.sizeBytes, clock: bench.clock, prng }, { medium: disk.medium })
  }
  assert.ok((expected?.length ?? 0) >= 6)
  const { log } = await bench.open(disk)
  assert.ok(log.incarnations.length > 20)
})

test('[FMT-03] any flipped bit of a durable log is noticed, and costs only what it touched', async () => {
  const seed = seedFromEnv('flipped bits')
  const prng = new Prng(seed)
  const bench = new Bench(seed)
  const opened = await groups(bench, 6)
  await bench.clock.advance(300)
  const image = opened.disk.peek()
  const end = opened.log.writtenEnd
  for (let round = 0; round < 60; round++) {
    const disk = bench.disk(4 * MIB)
    disk.poke(image, 0)
    const at = prng.below(end)
    disk.flipBit(RING_OFFSET_BYTES + at)
    const { problems } = await checkLog(disk)
    const again = await bench.open(disk)
    const items = await readAll(bench, again.log)
    const lost = holesOf(items)
    assert.ok(problems.length > 0, `a flipped bit at ${at} is noticed`)
    assert.deepEqual(lost, again.report.holes)
    let next = 1
    for (const item of items) {
      assert.equal('frame' in item ? item.frame.lsn : item.firstLsn, next)
      next = ('frame' in item ? item.frame.lsn : item.lastLsn) + 1
    }
    assert.equal(next, 19)
    assert.ok(
      lost.reduce((sum, { firstLsn, lastLsn }) => sum + lastLsn - firstLsn + 1, 0) <= 3,
      'no more than a group is lost',
    )
  }
})
