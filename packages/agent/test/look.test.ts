/** Looks at a place in the order: what is passed before them, what after, and what while they are under way. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFrame, FrameType, rangeDigest, type LogPosition } from '@sitelink/protocol'
import type { LogCursor, LogEntry, WriteBack } from '@sitelink/storage'
import { SimClock } from '@sitelink/storage/testing'
import { Applier } from '../src/apply/applier.js'
import { rangeAnswer } from '../src/apply/range-answer.js'

const START = { end: 0, incarnation: 1, lsn: 0, crc: 0, frames: 0 }
const BYTES = 4096

function entryOf(lsn: number): LogEntry {
  const frame = encodeFrame(
    { type: FrameType.write, deviceId: 1, lsn, incarnation: 1, offset: 0, length: 512 },
    Buffer.alloc(512, lsn),
  )
  return { frame, position: (lsn - 1) * BYTES, end: lsn * BYTES }
}

/** An applier of a journal with `count` entries, of which those from `sessionFrom` on are of the session. */
function scene(count: number, sessionFrom: number) {
  const journal = Array.from({ length: count }, (_, at) => entryOf(at + 1))
  const noted: number[] = []
  /** `read` stands in for a read of the journal. */
  const state = { told: Infinity, read: null as LogCursor['next'] | null, damages: 0, memoryFor: Infinity }
  const cursor = (position: LogPosition): LogCursor => {
    let next = position / BYTES
    const take = (): readonly LogEntry[] | null => {
      const entries = journal.slice(next)
      next = journal.length
      return entries.length === 0 ? null : entries
    }
    return { next: (bytes: number) => state.read?.(bytes) ?? take(), close() {} } as unknown as LogCursor
  }
  const clock = new SimClock()
  const applier = new Applier(
    {
      limit: () => ({ told: { incarnation: 1, lsn: state.told }, journalDurableEnd: Infinity }),
      voids: () => [],
      cursor,
      mapped() {},
      unmapped: () => Promise.resolve(),
      passed() {},
      limitWanted() {},
      damaged: () => void (state.damages += 1),
    },
    {
      hasRoom: () => true,
      hasMemory: (bytes: number) => noted.length < state.memoryFor || bytes === 0,
      allow() {},
      note: ({ frame }: LogEntry) => void noted.push(frame.lsn),
    } as unknown as WriteBack,
    START,
    clock,
    1 << 20,
  )
  applier.countFrom((sessionFrom - 1) * BYTES)
  /** A look that says what was applied when it began, and goes on until it is let go. */
  const look = (frames: number) => {
    const one = { began: null as readonly number[] | null, end: () => {} }
    applier.look(frames, async () => {
      one.began = [...noted]
      await new Promise<void>((resolve) => (one.end = resolve))
    })
    return one
  }
  return { applier, journal, noted, state, clock, look }
}

test('a look sees all frames of the session before its place, and nothing is passed before it is over', async () => {
  const { applier, noted, clock, look } = scene(6, 3)
  const first = look(2)
  const second = look(2)
  applier.wake()
  await clock.settle()
  assert.deepEqual(first.began, [1, 2, 3, 4])
  assert.deepEqual(noted, [1, 2, 3, 4])
  assert.equal(second.began, null)
  first.end()
  await clock.settle()
  assert.deepEqual(second.began, [1, 2, 3, 4])
  assert.deepEqual(noted, [1, 2, 3, 4])
  second.end()
  await clock.settle()
  assert.deepEqual(noted, [1, 2, 3, 4, 5, 6])
})

test('a look before the first frame of a session sees all of the sessions before, also where they are still to be applied', async () => {
  const { applier, noted, state, clock, look } = scene(4, 3)
  state.told = 1
  const one = look(0)
  applier.wake()
  await clock.settle()
  assert.deepEqual(noted, [1])
  assert.equal(one.began, null)
  state.told = Infinity
  applier.wake()
  await clock.settle()
  assert.deepEqual(one.began, [1, 2])
})

test('a look behind the last frame that there is comes at once, one behind a frame that is to come waits for that', async () => {
  const { applier, journal, clock, look } = scene(3, 1)
  applier.wake()
  await clock.settle()
  const now = look(3)
  await clock.settle()
  assert.deepEqual(now.began, [1, 2, 3])
  now.end()
  const later = look(4)
  await clock.settle()
  assert.equal(later.began, null)
  journal.push(entryOf(4))
  applier.wake()
  await clock.settle()
  assert.deepEqual(later.began, [1, 2, 3, 4])
})

test('looks of a session that is over are not taken', async () => {
  const { applier, noted, state, clock, look } = scene(3, 1)
  state.told = 0
  const one = look(2)
  applier.dropLooks()
  state.told = Infinity
  applier.wake()
  await clock.settle()
  assert.equal(one.began, null)
  assert.deepEqual(noted, [1, 2, 3])
})

test('while a freeze is wanted no look is taken and nothing is passed behind one; after the thaw all goes on', async () => {
  const { applier, noted, clock, look } = scene(6, 1)
  const [first, second] = [look(2), look(2)]
  await clock.settle()
  assert.deepEqual(first.began, [1, 2])
  const freezing = applier.freezeSettled()
  first.end()
  assert.equal(await freezing, true)
  const third = look(4)
  await clock.settle()
  assert.deepEqual([second.began, third.began, noted], [null, null, [1, 2]])
  applier.thaw()
  await clock.settle()
  assert.deepEqual(second.began, [1, 2])
  second.end()
  await clock.settle()
  assert.deepEqual(third.began, [1, 2, 3, 4])
  third.end()
  await clock.settle()
  assert.deepEqual(noted, [1, 2, 3, 4, 5, 6])
})

test('a freeze that was given up while it waited freezes nothing, and the one after it does', async () => {
  const { applier, noted, clock, look } = scene(4, 1)
  const one = look(2)
  await clock.settle()
  const late = applier.freezeSettled()
  applier.thaw()
  one.end()
  assert.equal(await late, false)
  await clock.settle()
  assert.deepEqual([applier.frozen, noted], [false, [1, 2, 3, 4]])
  assert.equal(await applier.freezeSettled(), true)
  assert.equal(applier.frozen, true)
})

test('no look is taken once the journal cannot be read: sessions before may not be applied', async () => {
  const { state, clock, look } = scene(4, 3)
  state.read = () => {
    throw new Error('EIO')
  }
  const one = look(0)
  await clock.settle()
  assert.deepEqual([state.damages, one.began], [1, null])
})

test('what write-back has no memory for stays in the journal until it has', async () => {
  const { applier, noted, state, clock } = scene(5, 1)
  state.memoryFor = 2
  applier.wake()
  await clock.settle()
  assert.deepEqual(noted, [1, 2])
  state.memoryFor = 3
  applier.wake()
  await clock.settle()
  assert.deepEqual(noted, [1, 2, 3])
})

test('nor does a look wait for memory, nor what brings nothing that memory would hold', async () => {
  const { applier, journal, noted, state, clock, look } = scene(5, 1)
  state.memoryFor = 2
  applier.wake()
  await clock.settle()
  assert.deepEqual(noted, [1, 2])
  const one = look(4)
  await clock.settle()
  assert.deepEqual(one.began, [1, 2, 3, 4])
  one.end()
  await clock.settle()
  assert.deepEqual(noted, [1, 2, 3, 4], 'what lies behind it waits')

  const quiet = scene(0, 1)
  quiet.state.memoryFor = 0
  const { position, end } = entryOf(1)
  const marker = encodeFrame(
    { type: FrameType.marker, deviceId: 0, lsn: 1, incarnation: 1, offset: 0, length: 0 },
    Buffer.alloc(64),
  )
  quiet.journal.push({ frame: marker, position, end })
  quiet.applier.wake()
  await quiet.clock.settle()
  assert.deepEqual(quiet.noted, [1])
  assert.equal(journal.length, 5)
})

test('who waits until all that may be passed is passed waits for no memory', async () => {
  for (const wait of ['settled', 'freezeSettled'] as const) {
    const { applier, journal, noted, state, clock } = scene(5, 1)
    state.memoryFor = 2
    applier.wake()
    await clock.settle()
    await applier[wait]()
    assert.deepEqual(noted, [1, 2, 3, 4, 5], wait)
    journal.push(entryOf(6))
    applier.thaw()
    await clock.settle()
    assert.deepEqual(noted, [1, 2, 3, 4, 5], 'but those that come later')
  }
})

test('a read of the journal from before a cut that ends after it brings no look forward and harms nothing', async () => {
  const { applier, noted, state, clock, look } = scene(2, 1)
  let end: (read: null) => void = () => assert.fail('it reads')
  state.read = () => new Promise((resolve) => (end = resolve))
  applier.wake()
  await clock.settle()
  applier.beginCut(0)
  applier.endCut()
  applier.countFrom(0)
  state.read = null
  const one = look(0)
  end(null)
  await clock.settle()
  assert.deepEqual([one.began, noted], [[], []])
  one.end()
  await clock.settle()
  assert.deepEqual(noted, [1, 2])
})

test('a range is answered with its digest, or with why there is none', async () => {
  const bytes = [Buffer.alloc(512, 7), Buffer.alloc(512, 8)]
  const range = { deviceId: 1, offset: 0, length: 1024 }
  const reads = { read: () => Promise.resolve(bytes) }
  const mapped = { sizeBytes: 1024 }
  assert.deepEqual(await rangeAnswer(reads, mapped, range), { digest: rangeDigest(bytes), problem: null })
  assert.deepEqual(rangeDigest(bytes), rangeDigest([Buffer.concat(bytes)]))
  assert.match((await rangeAnswer(reads, null, range)).problem ?? '', /not mapped/)
  assert.match((await rangeAnswer(reads, mapped, { ...range, offset: 512 })).problem ?? '', /ends at 1536/)
  const fails = { read: () => Promise.reject(new Error('EIO')) }
  assert.deepEqual(await rangeAnswer(fails, mapped, range), { digest: null, problem: 'EIO' })
})
