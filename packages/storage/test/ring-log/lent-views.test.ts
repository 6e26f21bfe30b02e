/** Memory that is read into again and again: what was handed out before stays whole as long as was said, and no longer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FrameType, PayloadPool, type Frame, type PayloadMemory } from '@sitelink/protocol/entry'
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

/** A log of so many entries of 20,000 bytes that is only on the disk; every tenth frame is a marker with a payload. */
async function onDisk(bench: Bench, count: number) {
  const opened = await bench.open(bench.disk(16 * MIB))
  for (let each = 1; each <= count; each++)
    append(opened.log, 20_000, each % 10 === 0 ? { type: FrameType.marker, offset: 0 } : {})
  await bench.clock.advance(1000)
  return bench.open(opened.disk.crashProcess(), { recentBytesMax: 0 })
}

test('what a cursor reads into memory of a pool is whole until it is let go of, and the memory serves the next read', async () => {
  const bench = new Bench()
  const { log } = await onDisk(bench, 400)
  const pool = new PayloadPool(16 * MIB)
  const memories = new Set<PayloadMemory>()
  const frames: Frame[] = []
  const first: Frame[] = []
  let keptMost = 0
  await drain(bench, log.cursor(log.tail, pool), (items) => {
    for (const item of items) {
      assert.ok('frame' in item)
      const { frame } = item
      assert.deepEqual(frame.payload, payloadFor(frame.lsn, 20_000))
      frames.push(frame)
      if (frame.memory === null) continue
      memories.add(frame.memory)
      if (first.length < 5) first.push(frame)
      else frame.memory.release()
    }
    keptMost = Math.max(keptMost, pool.keptBytes)
  })
  assert.deepEqual(
    frames.map(({ lsn }) => lsn),
    upTo(400),
  )
  assert(memories.size >= 6, `${memories.size} reads`)
  assert(
    keptMost > 0 && pool.keptBytes <= 2 * (CHUNK_BYTES + 4096),
    `${pool.keptBytes} bytes for ${memories.size} reads`,
  )
  for (const { lsn, payload } of first) assert.deepEqual(payload, payloadFor(lsn, 20_000), 'held to the end')
  for (const { type, lsn, payload, memory } of frames) {
    if (type === FrameType.marker) assert.deepEqual(payload, payloadFor(lsn, 20_000), 'it has bytes of its own')
    assert.equal(memory === null, type === FrameType.marker || !memories.has(memory as PayloadMemory))
  }
  const kept = pool.keptBytes
  for (const frame of first) frame.memory?.release()
  assert(pool.keptBytes > kept)
  for (const { payload } of first) assert.equal(payload?.length, 0, 'nobody sees what comes there next')
})

test('a short read is not worth the memory of a long one', async () => {
  const bench = new Bench()
  const { log } = await onDisk(bench, 9)
  const pool = new PayloadPool(16 * MIB)
  let count = 0
  await drain(bench, log.cursor(log.tail, pool), (items) => {
    for (const item of items) if ('frame' in item && item.frame.memory === null) count++
  })
  assert.deepEqual([count, pool.keptBytes], [9, 0])
})

test('memory that a failed read was for is given back, and what can be read around it comes without', async () => {
  const bench = new Bench()
  const { log, disk } = await onDisk(bench, 400)
  disk.makeUnreadable(RING_OFFSET_BYTES + log.tail + 500_224, 512)
  const pool = new PayloadPool(16 * MIB)
  const found: (LogEntry | LogHole)[] = []
  await drain(bench, log.cursor(log.tail, pool), (items) => {
    for (const item of items) {
      found.push(item)
      if (!('frame' in item)) continue
      assert.deepEqual(item.frame.payload, payloadFor(item.frame.lsn, 20_000))
      item.frame.memory?.release()
    }
  })
  assert.deepEqual(lsnsOf(found), lsnsOf(await readAll(bench, log)))
  assert(pool.keptBytes > 0)
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
