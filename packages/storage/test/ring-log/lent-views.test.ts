/** Memory that is read into again and again: what was handed out before stays whole as long as was said, and no longer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogCursor, LogEntry, LogHole } from '../../src/ring-log/contract.js'
import { plainLayout } from '../../src/ring-log/layout.js'
import { CHUNK_BYTES, RING_OFFSET_BYTES } from '../../src/ring-log/limits.js'
import { PositionReader } from '../../src/ring-log/position-reader.js'
import { RingSpace } from '../../src/ring-log/ring-space.js'
import { append, Bench, lsnsOf, MIB, payloadFor, readAll, upTo } from './support.js'

/** Asks until there is nothing more; `look` sees every answer before the next one. */
async function drain(bench: Bench, cursor: LogCursor, look: (items: readonly (LogEntry | LogHole)[]) => void) {
  for (;;) {
    const answer = cursor.next(256 * 1024)
    const items = answer instanceof Promise ? await bench.clock.runUntil(answer) : answer
    if (items === null) break
    look(items)
  }
  cursor.close()
}

test('a reader that lends fills two chunks by turns, so that what was handed out outlives one more read', async () => {
  const bench = new Bench()
  const disk = bench.disk()
  for (let block = 0; block < 8; block++) disk.poke(Buffer.alloc(4096, block + 1), block * 4096)
  const reader = new PositionReader(new RingSpace(disk, 0, plainLayout(MIB)), MIB, 4096, 'lent')
  const at = (block: number): Promise<Buffer> => bench.clock.runUntil(reader.at(block * 4096, 96))
  const first = await at(0)
  const second = await at(2)
  assert.deepEqual([first[0], second[0]], [1, 3])
  const third = await at(4)
  assert.deepEqual([second[0], third[0]], [3, 5])
  assert.equal(third.buffer, first.buffer, 'the first chunk was filled again')
})

test('a crashed log whose frames lie across the chunks of a scan is recovered with all of them', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(16 * MIB))
  // Unlike lengths: headers come to lie at the end of a chunk, with their payload in the next one.
  for (let each = 0; each < 300; each++) append(opened.log, 20_000 + 96 * (each % 53))
  await bench.clock.settle()
  const again = await bench.open(opened.disk.crashProcess(), { recentBytesMax: 0 })
  assert.deepEqual([again.report.entriesFound, again.report.holes], [300, []])
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(300))
})

test('a cursor that lends answers every entry as it was written, out of one piece of memory', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(16 * MIB))
  for (let each = 0; each < 300; each++) append(opened.log, 20_000)
  await bench.clock.advance(1000)
  const { log } = await bench.open(opened.disk.crashProcess(), { recentBytesMax: 0 })
  const lent = new Set<ArrayBufferLike>()
  const lsns: number[] = []
  await drain(bench, log.cursor(log.tail, 'lent'), (items) => {
    for (const item of items) {
      assert.ok('frame' in item)
      const { lsn, header, payload } = item.frame
      assert.deepEqual(payload, payloadFor(lsn, 20_000))
      lsns.push(lsn)
      lent.add(header.buffer)
    }
  })
  assert.deepEqual(lsns, upTo(300))
  assert.equal(lent.size, 1)
  const kept = (await readAll(bench, log)).map((item) => ('frame' in item ? item.frame.header.buffer : null))
  assert.ok(new Set(kept).size > 1, 'others have what they were answered for good')
})

test('a cursor that lends finds the same around sectors that cannot be read as one that does not', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(16 * MIB))
  for (let each = 0; each < 300; each++) append(opened.log, 20_000 + 96 * (each % 53))
  await bench.clock.advance(1000)
  const { log, disk } = await bench.open(opened.disk.crashProcess(), { recentBytesMax: 0 })
  for (let each = 1; each < 12; each++)
    disk.makeUnreadable(RING_OFFSET_BYTES + log.tail + each * 500_000 - ((each * 500_000) % 512), 512)
  const found: (LogEntry | LogHole)[] = []
  await drain(bench, log.cursor(log.tail, 'lent'), (items) => {
    for (const item of items)
      if ('frame' in item) assert.deepEqual(item.frame.payload, payloadFor(item.frame.lsn, item.frame.length))
    found.push(...items)
  })
  const all = lsnsOf(await readAll(bench, log))
  assert.ok(all.some((each) => typeof each === 'string'))
  assert.deepEqual(lsnsOf(found), all)
})

test('a torn tail of several chunks that is written again keeps its bytes, and zeros behind the cut', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(16 * MIB))
  const entries = Array.from({ length: 120 }, () => append(opened.log, 20_001))
  await bench.clock.settle()
  const torn = entries.at(-1) as LogEntry
  assert.ok(opened.recorder.durablePosition + 2 * CHUNK_BYTES < torn.position, 'it is not durable yet')
  const disk = opened.disk.crashProcess()
  disk.flipBit(RING_OFFSET_BYTES + torn.position + 10_000)
  const again = await bench.open(disk)
  const behind = 4096 - (torn.position % 4096)
  assert.deepEqual(again.disk.peek(RING_OFFSET_BYTES + torn.position, behind), Buffer.alloc(behind))
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(119))
})

test('a group that is shorter than its header says is not written', () => {
  const disk = new Bench().disk()
  const space = new RingSpace(disk, 0, plainLayout(MIB))
  assert.throws(() => space.write([Buffer.alloc(4096), Buffer.alloc(0)], 8192, 0), /as long as its header says/)
  assert.equal(disk.counts.writes, 0)
})
