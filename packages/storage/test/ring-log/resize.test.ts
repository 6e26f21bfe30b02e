/** A log that becomes larger or smaller while it is used: empty, in use, wrapped, full, busy, refused. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ResizeOptions, ResizeOutcome } from '../../src/ring-log/contract.js'
import { checkLog, inspectLog } from '../../src/ring-log/inspect.js'
import { RING_OFFSET_BYTES, SUPERBLOCK_SLOT_BYTES } from '../../src/ring-log/limits.js'
import { LogError } from '../../src/ring-log/log-error.js'
import { FaultDisk } from '../../src/testing/index.js'
import { append, Bench, lsnsOf, MIB, readAll, upTo, type Opened } from './support.js'

const PIECE = 60_000
const LATENCY = { writeMs: [1, 2], syncMs: [2, 5] } as const

function resize(
  bench: Bench,
  { log }: Opened,
  sizeBytes: number,
  more: Partial<ResizeOptions> = {},
): Promise<ResizeOutcome> {
  return bench.clock.runUntil(log.resize({ sizeBytes, hold: () => () => undefined, ...more }))
}

async function refused(work: Promise<unknown>): Promise<LogError> {
  const error = await work.then(
    () => null,
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof LogError, `refused, not ${String(error)}`)
  return error
}

/** Entries until the log is full. */
async function fill(bench: Bench, { log }: Opened, length = PIECE): Promise<void> {
  while (log.hasRoom(1, length)) append(log, length)
  log.requestSync()
  await bench.clock.advance(500)
}

/** Gives up entries until so many are left, and lets the space come back. */
async function keep(bench: Bench, { log, recorder }: Opened, count: number): Promise<void> {
  const last = recorder.written_.at(-1 - count)
  assert.ok(last !== undefined)
  log.releaseBelow(last.end)
  await bench.clock.runUntil(log.writeSuperblock())
  await bench.clock.advance(100)
}

interface Case {
  readonly what: string
  readonly prepare: (bench: Bench, opened: Opened) => Promise<void>
}

const CASES: readonly Case[] = [
  { what: 'empty', prepare: async () => undefined },
  {
    what: 'empty in the middle of the ring',
    prepare: async (bench, opened) => {
      await fill(bench, opened)
      await keep(bench, opened, 0)
    },
  },
  {
    what: 'in use from the beginning',
    prepare: async (bench, opened) => {
      for (let count = 0; count < 5; count++) append(opened.log, PIECE)
      await bench.clock.advance(500)
    },
  },
  {
    what: 'in use near the end',
    prepare: async (bench, opened) => {
      await fill(bench, opened)
      await keep(bench, opened, 4)
    },
  },
  {
    what: 'wrapped',
    prepare: async (bench, opened) => {
      await fill(bench, opened)
      await keep(bench, opened, 4)
      for (let count = 0; count < 6; count++) append(opened.log, PIECE)
      await bench.clock.advance(500)
    },
  },
]

for (const { what, prepare } of CASES) {
  for (const to of [7 * MIB, 4 * MIB + 8192, 3 * MIB, 2 * MIB]) {
    test(`[MSG-09] [MSG-10] a log of 4 MiB that is ${what} becomes one of ${to} bytes, loses nothing, and stays so`, async () => {
      const bench = new Bench(what)
      const opened = await bench.open(bench.disk(4 * MIB))
      await prepare(bench, opened)
      const { log, disk } = opened
      const before = lsnsOf(await readAll(bench, log))
      const outcome = await resize(bench, opened, to)
      const ringBytes = to - RING_OFFSET_BYTES
      assert.deepEqual(outcome, { fromBytes: 4 * MIB, toBytes: to, left: null })
      assert.equal(log.status().sizeBytes, to)
      assert.equal(log.status().resize, null)
      assert.equal(disk.sizeBytes, to, 'the file is as large as the log')
      assert.deepEqual(lsnsOf(await readAll(bench, log)), before)
      // Around the new ring, several times.
      for (let lap = 0; lap < 4; lap++) {
        await fill(bench, opened)
        const used = log.status().usedBytes
        assert.ok(used > ringBytes - 2 * PIECE - 150_000 && used <= ringBytes, `all of it is used: ${used}`)
        assert.deepEqual(
          lsnsOf(await readAll(bench, log)),
          upTo(log.lastLsn, log.lastLsn - (await readAll(bench, log)).length + 1),
        )
        await keep(bench, opened, 7)
      }
      const left = lsnsOf(await readAll(bench, log))
      const again = await bench.open(disk.powerCut({ kind: 'lose-all' }))
      assert.equal(again.log.status().sizeBytes, to)
      assert.deepEqual(lsnsOf(await readAll(bench, again.log)), left)
      await bench.clock.runUntil(again.log.close())
      assert.deepEqual((await checkLog(again.disk.crashProcess())).problems, [])
    })
  }
}

test('[MSG-09] a full log that wraps grows where it is needed: nothing moves, and there is room at once', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(2 * MIB))
  await fill(bench, opened)
  await keep(bench, opened, 9)
  for (let round = 0; round < 3; round++) await fill(bench, opened)
  const { log, disk } = opened
  const before = lsnsOf(await readAll(bench, log))
  assert.ok(!log.hasRoom(1, PIECE))
  disk.startTrace()
  await resize(bench, opened, 3 * MIB)
  const moved = disk.trace.filter(
    (event) => event.kind === 'change' && event.change.offset >= RING_OFFSET_BYTES && event.change.offset < 2 * MIB,
  )
  assert.deepEqual(moved, [])
  assert.ok(log.status().pieces > 1)
  for (let count = 0; count < 14; count++) {
    assert.ok(log.hasRoom(1, PIECE))
    append(log, PIECE)
    await bench.clock.settle()
  }
  await bench.clock.advance(500)
  assert.deepEqual(lsnsOf(await readAll(bench, log)), [...before, ...upTo(log.lastLsn, log.lastLsn - 13)])
})

for (const to of [12 * MIB, 3 * MIB]) {
  test(`[MSG-09] a log is resized to ${to} bytes while writers write: they wait for a moment only, and nothing is lost`, async () => {
    const bench = new Bench()
    const opened = await bench.open(
      new FaultDisk({ sizeBytes: 8 * MIB, prng: bench.prng, clock: bench.clock, latency: LATENCY }),
    )
    const { log, recorder, disk } = opened
    await fill(bench, opened)
    await keep(bench, opened, 20)
    let isHeld = false
    let heldMs = 0
    let done: ResizeOutcome | null = null
    const resizing = log.resize({
      sizeBytes: to,
      hold: () => {
        isHeld = true
        const sinceMs = bench.clock.nowMs()
        return () => {
          isHeld = false
          heldMs = bench.clock.nowMs() - sinceMs
        }
      },
    })
    void resizing.then((outcome) => (done = outcome))
    let appended = 0
    const steps = new Set<string>()
    for (let ms = 0; ms < 5000 && (done === null || ms < 400); ms++) {
      const { resize: state } = log.status()
      if (state !== null) steps.add(state.step)
      if (!isHeld && log.hasRoom(1, 5000)) {
        append(log, 5000)
        appended++
      }
      // A writer that keeps the last few: what moves is old and new.
      const give = recorder.written_.at(-30)
      if (give !== undefined && ms % 7 === 0) log.releaseBelow(give.end)
      await bench.clock.advance(1)
    }
    assert.deepEqual(done, { fromBytes: 8 * MIB, toBytes: to, left: null })
    assert.ok(appended > 300, `${appended} writes went through`)
    assert.ok(heldMs <= 50, `writers waited ${heldMs} ms`)
    assert.ok(steps.has(to > 8 * MIB ? 'filling' : 'moving'), [...steps].join())
    log.requestSync()
    await bench.clock.advance(500)
    const entries = lsnsOf(await readAll(bench, log))
    assert.deepEqual(entries, upTo(log.lastLsn, log.lastLsn - entries.length + 1))
    const again = await bench.open(disk.powerCut({ kind: 'lose-all' }))
    assert.equal(again.log.lastLsn, log.lastLsn)
    assert.deepEqual(lsnsOf(await readAll(bench, again.log)), lsnsOf(await readAll(bench, log)))
  })
}

test('[MSG-09] a resize that is refused changes nothing, says why, and stands in the way of no later one', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(4 * MIB))
  const { log, disk } = opened
  await fill(bench, opened)
  const before = disk.peek(0, disk.sizeBytes)
  const used = await refused(resize(bench, opened, 3 * MIB))
  assert.equal(used.code, 'LOG_RESIZE_USED')
  assert.match(used.message, /still needed: the least size is \d+ bytes/)
  assert.equal((await refused(resize(bench, opened, MIB))).code, 'LOG_TOO_SMALL')
  disk.inject({ on: 'write', error: 'ENOSPC' })
  const full = await refused(resize(bench, opened, 5 * MIB))
  assert.equal(full.code, 'LOG_RESIZE_SPACE')
  assert.equal(disk.sizeBytes, 4 * MIB, 'the file has its size again')
  assert.ok(disk.peek(RING_OFFSET_BYTES, 4 * MIB - RING_OFFSET_BYTES).equals(before.subarray(RING_OFFSET_BYTES)))
  assert.equal(opened.recorder.failure, null)
  assert.equal(log.status().resize, null)
  assert.equal((await resize(bench, opened, 5 * MIB)).toBytes, 5 * MIB)
  assert.equal((await resize(bench, opened, 5 * MIB)).toBytes, 5 * MIB, 'to the size that it has: nothing to do')
})

test('[MSG-09] one resize at a time: a second one is refused and the first one goes on', async () => {
  const bench = new Bench()
  const opened = await bench.open(
    new FaultDisk({ sizeBytes: 2 * MIB, prng: bench.prng, clock: bench.clock, latency: LATENCY }),
  )
  const first = resize(bench, opened, 6 * MIB)
  const second = await refused(opened.log.resize({ sizeBytes: 3 * MIB, hold: () => () => undefined }))
  assert.equal(second.code, 'LOG_RESIZE_BUSY')
  assert.equal((await first).toBytes, 6 * MIB)
})

test('[MSG-09] bytes behind a log that are somebody’s are not overwritten without being told to', async () => {
  const bench = new Bench()
  const disk = bench.disk(4 * MIB)
  disk.poke(Buffer.from('somebody'), 3 * MIB)
  const opened = await bench.open(disk, { mode: 'create', sizeBytes: 2 * MIB })
  const error = await refused(resize(bench, opened, 4 * MIB))
  assert.equal(error.code, 'LOG_RESIZE_BEHIND')
  await resize(bench, opened, 3 * MIB)
  await resize(bench, opened, 4 * MIB, { overwrite: true })
  assert.equal(opened.log.status().sizeBytes, 4 * MIB)
})

test('[MSG-10] a log behind a start offset grows and shrinks in its own place, and what lies before and behind is left alone', async () => {
  const bench = new Bench()
  const disk = bench.disk(8 * MIB)
  disk.poke(Buffer.alloc(MIB, 1), 0)
  disk.poke(Buffer.alloc(MIB, 2), 7 * MIB)
  const opened = await bench.open(disk, { mode: 'create', startOffset: MIB, sizeBytes: 3 * MIB, discardEntries: true })
  await fill(bench, opened)
  await resize(bench, opened, 6 * MIB)
  await keep(bench, opened, 5)
  const entries = lsnsOf(await readAll(bench, opened.log))
  await resize(bench, opened, 2 * MIB)
  assert.deepEqual(lsnsOf(await readAll(bench, opened.log)), entries)
  await bench.clock.runUntil(opened.log.close())
  assert.ok(disk.peek(0, MIB).equals(Buffer.alloc(MIB, 1)))
  assert.ok(disk.peek(7 * MIB, MIB).equals(Buffer.alloc(MIB, 2)))
  assert.ok(disk.peek(3 * MIB, 4 * MIB).equals(Buffer.alloc(4 * MIB)), 'what was given back reads as zeros')
  assert.equal(disk.sizeBytes, 8 * MIB)
  const again = await bench.open(disk.crashProcess(), { mode: 'open', startOffset: MIB })
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), entries)
})

test('a sync that fails while a log is resized may have cost bytes of the log: it fails', async () => {
  for (const to of [5 * MIB, 2 * MIB]) {
    const bench = new Bench()
    const opened = await bench.open(bench.disk(4 * MIB))
    await fill(bench, opened)
    await keep(bench, opened, 6)
    opened.disk.inject({ on: 'sync', error: 'EIO', skip: to > 4 * MIB ? 0 : 1 })
    await assert.rejects(resize(bench, opened, to))
    await bench.clock.advance(100)
    assert.notEqual(opened.recorder.failure, null)
    const again = await bench.open(opened.disk.crashProcess())
    assert.deepEqual(lsnsOf(await readAll(bench, again.log)).slice(-6), upTo(again.log.lastLsn, again.log.lastLsn - 5))
  }
})

test('[LIFE-11] a log of version 1 is used as it is, and is of version 2 only once it was resized in use', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(2 * MIB))
  const versionsOf = (disk: FaultDisk): number[] =>
    [0, SUPERBLOCK_SLOT_BYTES].map((slot) => disk.peek(slot + 8, 4).readUInt32LE(0))
  await fill(bench, opened)
  await keep(bench, opened, 9)
  await fill(bench, opened)
  assert.deepEqual(versionsOf(opened.disk), [1, 1])
  await resize(bench, opened, 3 * MIB)
  await bench.clock.runUntil(opened.log.close())
  assert.deepEqual(versionsOf(opened.disk), [2, 2])
  const again = await bench.open(opened.disk.crashProcess())
  assert.deepEqual((await inspectLog(again.disk)).superblock?.layout.pieces.length, again.log.status().pieces)
})

test('a log that is closed in the middle of a resize keeps the size that it had', async () => {
  const bench = new Bench()
  const opened = await bench.open(
    new FaultDisk({ sizeBytes: 2 * MIB, prng: bench.prng, clock: bench.clock, latency: LATENCY }),
  )
  append(opened.log, PIECE)
  const resizing = refused(opened.log.resize({ sizeBytes: 40 * MIB, hold: () => () => undefined }))
  await bench.clock.advance(5)
  await bench.clock.runUntil(opened.log.close())
  assert.equal((await bench.clock.runUntil(resizing)).code, 'LOG_CLOSED')
  const again = await bench.open(opened.disk.crashProcess())
  assert.equal(again.log.status().sizeBytes, 2 * MIB)
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), [1])
})

test('a read that began before a log shrinks ends before its place is given back', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(4 * MIB), { recentBytesMax: 0 })
  const { log, disk, recorder } = opened
  await fill(bench, opened)
  await keep(bench, opened, 4)
  const last = recorder.written_.at(-2)
  assert.ok(last !== undefined)
  // Longer than all that the resize does.
  disk.inject({ on: 'read', delayMs: 3000 })
  const reading = log.readEntry(last.position)
  await bench.clock.settle()
  const resizing = resize(bench, opened, 2 * MIB)
  assert.equal((await bench.clock.runUntil(reading)).frame.lsn, last.frame.lsn)
  await resizing
  assert.equal(disk.sizeBytes, 2 * MIB)
})

test('[MSG-09] a log that shrinks is used no further than it will reach, however much is written', async () => {
  const bench = new Bench()
  const opened = await bench.open(
    new FaultDisk({ sizeBytes: 16 * MIB, prng: bench.prng, clock: bench.clock, latency: LATENCY }),
  )
  const { log } = opened
  for (let count = 0; count < 2; count++) {
    await fill(bench, opened)
    await bench.clock.advance(5000)
    await keep(bench, opened, 100)
  }
  const [first] = lsnsOf(await readAll(bench, log)) as number[]
  let done = false
  let isHeld = false
  const hold = (): (() => void) => {
    isHeld = true
    return () => (isHeld = false)
  }
  const resizing = resize(bench, opened, 9 * MIB, { hold }).then(() => (done = true))
  for (let ms = 0; ms < 5000 && !done; ms++) {
    // Writers take all the room that there is, and nobody gives anything up.
    if (log.status().resize?.step === 'moving') while (!isHeld && log.hasRoom(1, 50_000)) append(log, 50_000)
    await bench.clock.advance(1)
  }
  await resizing
  log.requestSync()
  await bench.clock.advance(500)
  assert.ok(log.status().usedBytes > 8 * MIB && log.status().usedBytes <= log.ringBytes)
  assert.deepEqual(lsnsOf(await readAll(bench, log)), upTo(log.lastLsn, first))
  const again = await bench.open(opened.disk.powerCut({ kind: 'lose-all' }))
  assert.deepEqual(lsnsOf(await readAll(bench, again.log)), upTo(log.lastLsn, first))
})

test('a log that has shrunk is used as far as it reaches while it still gives back what lies behind it', async () => {
  const bench = new Bench()
  const opened = await bench.open(bench.disk(4 * MIB))
  const { log, disk } = opened
  await fill(bench, opened)
  await keep(bench, opened, 4)
  disk.inject({ on: 'discard', delayMs: 60_000 })
  const resizing = log.resize({ sizeBytes: 2 * MIB, hold: () => () => undefined })
  for (let ms = 0; ms < 1000 && log.status().resize?.step !== 'giving-back'; ms++) await bench.clock.advance(1)
  assert.equal(log.isCapped, false)
  // Around its end: what is given up makes room at once.
  for (let lap = 0; lap < 3; lap++) {
    const before = log.lastLsn
    await fill(bench, opened)
    assert.ok(log.lastLsn > before, `lap ${lap} finds room`)
    await keep(bench, opened, 3)
  }
  assert.equal(log.status().resize?.step, 'giving-back')
  await bench.clock.runUntil(resizing)
  assert.equal(disk.sizeBytes, 2 * MIB)
})

test('bytes that a disk gained since it was opened are looked at before a log grows over them, and are left where it shrinks', async () => {
  const bench = new Bench()
  const disk = bench.disk(2 * MIB)
  // As a descriptor does that nobody asked again.
  let seenBytes = 2 * MIB
  Object.defineProperty(disk, 'sizeBytes', { get: () => seenBytes })
  disk.measure = async () => void (seenBytes = disk.medium.sizeBytes)
  const opened = await bench.open(disk)
  append(opened.log, PIECE)
  disk.medium.resize(6 * MIB)
  disk.poke(Buffer.from('somebody'), 3 * MIB)
  const error = await refused(resize(bench, opened, 4 * MIB))
  assert.equal(error.code, 'LOG_RESIZE_BEHIND')
  assert.equal(disk.medium.sizeBytes, 6 * MIB)
  await resize(bench, opened, 4 * MIB, { overwrite: true, sparse: true })
  assert.ok(disk.peek(3 * MIB, 8).equals(Buffer.alloc(8)), 'what was there reads as zeros')
  disk.medium.resize(8 * MIB)
  seenBytes = 4 * MIB
  await resize(bench, opened, 3 * MIB)
  assert.equal(disk.medium.sizeBytes, 8 * MIB, 'what lies behind the log is not cut off')
})
