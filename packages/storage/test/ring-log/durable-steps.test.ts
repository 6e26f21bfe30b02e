/** The steps that make a log durable, one by one: which of them ended before the next began, and what each is for. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspectLog } from '../../src/ring-log/inspect.js'
import { RING_OFFSET_BYTES, SUPERBLOCK_SLOT_BYTES } from '../../src/ring-log/limits.js'
import { FaultDisk } from '../../src/testing/index.js'
import { append, Bench, lsnsOf, MIB, readAll, upTo } from './support.js'

/** What was written and synced since the trace began, in order: `slots`, `slot 0`, `slot 1`, `ring`, `sync`. */
function stepsOf(disk: FaultDisk): string[] {
  const steps = disk.trace.flatMap((event) => {
    if (event.kind === 'synced') return ['sync']
    if (event.kind !== 'change') return []
    const { offset, length } = event.change
    if (offset >= RING_OFFSET_BYTES) return ['ring']
    return length > SUPERBLOCK_SLOT_BYTES ? ['slots'] : [`slot ${Math.floor(offset / SUPERBLOCK_SLOT_BYTES)}`]
  })
  return steps.filter((step, at) => step !== steps[at - 1])
}

test('a log is created step by step, each durable before the next: blank slots, the ring, one superblock, its copy', async () => {
  const bench = new Bench()
  const disk = bench.disk()
  disk.startTrace()
  let steps: string[] = []
  await bench.open(disk, {
    sparse: false,
    // Asked for by the opening of what was created.
    reviseOwnerState: (owner) => {
      steps = stepsOf(disk)
      assert.deepEqual(disk.unsynced(), [])
      return owner
    },
  })
  assert.deepEqual(steps, ['slots', 'sync', 'ring', 'sync', 'slot 0', 'sync', 'slot 1', 'sync'])
})

test('an opening goes step by step: what is believed is written again and synced, then the new life, then its copy', async () => {
  const bench = new Bench()
  const { log, disk } = await bench.open(bench.disk())
  append(log)
  await bench.clock.settle()
  const second = disk.crashProcess()
  second.startTrace()
  await bench.open(second)
  assert.deepEqual(second.unsynced(), [])
  const [believed, ...rest] = stepsOf(second)
  const other = believed === 'slot 0' ? 'slot 1' : 'slot 0'
  assert.deepEqual(rest, ['ring', 'sync', other, 'sync', believed, 'sync'])
})

test('a superblock that a failed sync left in the cache alone is on the medium before the other slot is touched', async () => {
  const bench = new Bench()
  const { log, disk, recorder } = await bench.open(bench.disk())
  append(log)
  await bench.clock.advance(500)
  // Large enough that a torn slot is neither the old nor the new one.
  recorder.owner = Buffer.alloc(30_000, 7)
  disk.inject({ on: 'sync', error: 'EIO', keep: 'none' })
  await assert.rejects(bench.clock.runUntil(log.writeSuperblock()))
  const second = disk.crashProcess('all')
  second.startTrace()
  await bench.open(second)
  for (let count = 0; count <= second.trace.length; count++) {
    for (let each = 0; each < 16; each++) {
      const third = second.at(count, bench.prng).powerCut({ kind: 'random' })
      assert.notEqual((await inspectLog(third)).chosen, null, `a superblock is left after ${count} events`)
    }
  }
})

test('a clean stop right after an append is durable when it resolves, in both slots, with everything in it', async () => {
  for (const slot of [0, 1]) {
    const bench = new Bench()
    const slow = new FaultDisk({
      sizeBytes: 2 * MIB,
      prng: bench.prng.fork('disk'),
      clock: bench.clock,
      latency: { writeMs: [5, 5], syncMs: [20, 20] },
    })
    const { log, disk, recorder } = await bench.open(slow)
    append(log)
    log.requestSync()
    await bench.clock.advance(10)
    append(log)
    await bench.clock.settle()
    append(log)
    disk.startTrace()
    await bench.clock.runUntil(log.close())
    assert.equal(recorder.failure, null)
    assert.deepEqual(disk.unsynced(), [])
    assert.match(stepsOf(disk).join(' '), /ring sync slot \d sync slot \d sync$/)
    const dead = disk.powerCut({ kind: 'lose-all' })
    dead.flipBit(slot * SUPERBLOCK_SLOT_BYTES, 4096)
    const again = await bench.open(dead)
    assert.equal(again.report.cleanStop, true)
    assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(3))
  }
})

test('a clean stop writes what was appended in the same turn, and calls all of it durable', async () => {
  const bench = new Bench()
  const { log, disk, recorder } = await bench.open(bench.disk())
  append(log)
  append(log)
  await bench.clock.runUntil(log.close())
  const last = recorder.written_[1] ?? assert.fail('both are written')
  const dead = disk.powerCut({ kind: 'lose-all' })
  // Damage of what is durable is a hole; of what might not be, the torn end of the log.
  dead.flipBit(RING_OFFSET_BYTES + last.position + 200, 1)
  const again = await bench.open(dead)
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), [1, 'hole 2..2'])
})

test('a superblock waits for the copy of the one before, which could land over it', async () => {
  const bench = new Bench()
  const { log, disk, recorder } = await bench.open(bench.disk())
  await bench.clock.advance(500)
  recorder.owner = Buffer.from('first')
  // The write of the superblock passes, the one of its copy is slow.
  disk.inject({ on: 'write', delayMs: 50, skip: 1 })
  await bench.clock.runUntil(log.writeSuperblock())
  recorder.owner = Buffer.from('second')
  await bench.clock.runUntil(log.writeSuperblock())
  await bench.clock.advance(100)
  disk.startTrace()
  for (const slot of [0, 1]) {
    const kept = disk.at(0, bench.prng).powerCut({
      kind: 'subset',
      keep: ({ offset }) => Math.floor(offset / SUPERBLOCK_SLOT_BYTES) === slot,
    })
    const { superblock } = await inspectLog(kept)
    assert.equal(superblock?.owner.toString(), 'second', `with only slot ${slot} written back`)
  }
})

test('what is being written when one sync follows another is synced right behind it, however slow syncs are', async () => {
  const bench = new Bench()
  const latency = { writeMs: [20, 20], syncMs: [150, 150] } as const
  const { log, disk, recorder } = await bench.open(new FaultDisk({ sizeBytes: 2 * MIB, clock: bench.clock, latency }))
  await bench.clock.advance(1000)
  const { syncs } = disk.counts
  log.writeSuperblock().catch(assert.fail)
  await bench.clock.advance(30)
  append(log)
  await bench.clock.advance(130)
  assert.equal(disk.counts.syncs, syncs + 1, 'the time of the first entry has come during that sync')
  append(log)
  await bench.clock.advance(20)
  assert.equal(disk.counts.syncs, syncs + 2, 'the next sync began while the second entry was being written')
  await bench.clock.advance(145)
  assert.equal(recorder.durableLsn, 1)
  await bench.clock.advance(155)
  assert.equal(recorder.durableLsn, 2)
})

test('a wish for durability that comes while an entry is being written starts a sync right behind that write', async () => {
  const bench = new Bench()
  const latency = { writeMs: [20, 20], syncMs: [5, 5] } as const
  const { log, recorder } = await bench.open(new FaultDisk({ sizeBytes: 2 * MIB, clock: bench.clock, latency }))
  await bench.clock.advance(1000)
  append(log)
  await bench.clock.advance(10)
  log.requestSync()
  await bench.clock.advance(20)
  assert.equal(recorder.durableLsn, 1)
})

test('what a truncation keeps is durable when it resolves, and the cut as well', async () => {
  const bench = new Bench(1, 'monotone')
  const slow = new FaultDisk({ sizeBytes: 2 * MIB, clock: bench.clock, latency: { writeMs: [1, 1], syncMs: [20, 20] } })
  const { log, disk, recorder } = await bench.open(slow)
  for (let each = 0; each < 4; each++) append(log)
  await bench.clock.advance(5)
  assert.equal(recorder.durableLsn, 0)
  const position = recorder.written_[1]?.end ?? assert.fail()
  disk.startTrace()
  await bench.clock.runUntil(log.truncate(position))
  for (let count = 0; count <= disk.trace.length; count++) {
    for (let each = 0; each < 16; each++) {
      const again = await bench.open(disk.at(count, bench.prng).powerCut({ kind: 'random' }))
      assert.deepEqual(again.report.holes, [], `nothing is called durable before it is, after ${count} events`)
    }
  }
  const again = await bench.open(disk.powerCut({ kind: 'lose-all' }))
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(2))
})

test('a log that failed writes nothing of what gathered', async () => {
  const bench = new Bench()
  const { log, disk, recorder } = await bench.open(bench.disk())
  await bench.clock.advance(500)
  disk.inject({ on: 'write', delayMs: 1000 })
  append(log)
  await bench.clock.settle()
  append(log)
  disk.inject({ on: 'sync', error: 'EIO', keep: 'none' })
  await assert.rejects(bench.clock.runUntil(log.writeSuperblock()))
  assert.notEqual(recorder.failure, null)
  const { writes } = disk.counts
  await bench.clock.advance(5000)
  assert.equal(disk.counts.writes, writes)
  assert.deepEqual(recorder.written_, [])
})
