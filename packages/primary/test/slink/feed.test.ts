/** The feed alone: a session with so much credit, a log of a few entries, a copier that has what the test gives it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFrame, frameBytes, FrameFlag, FrameType, ORIGIN, type Frame, type LogPoint } from '@sitelink/protocol'
import type { LogEntry, RingLog } from '@sitelink/storage'
import type { Copier, ReadyCopy } from '../../src/resync/copier.js'
import { RegionTracker } from '../../src/resync/region-tracker.js'
import { Feed } from '../../src/slink/feed.js'

const MIB = 1024 * 1024
/** What one step may need: a skip and the largest entry. */
const STEP_BYTES = 2 * 96 + MIB
const LOG_ID = { high: 1, low: 2 }

/** A site with one device of 8 regions of 1 MiB, of which `dirty` are dirty. */
function feedOf(entries: readonly Frame[], dirty: Set<number>, since: LogPoint = ORIGIN) {
  const sent: Frame[] = []
  const ready: ReadyCopy[] = []
  const session = {
    writable: true,
    creditBytes: STEP_BYTES,
    streamFrames: 0,
    sentBytes: 0,
    idle: () => {},
    sendFrames(frames: readonly Frame[]): boolean {
      for (const frame of frames) {
        session.creditBytes -= frameBytes(frame)
        session.streamFrames += 1
        sent.push(frame)
      }
      assert.ok(session.creditBytes >= 0, 'no more is sent than was granted')
      return true
    },
  }
  const bits = {
    regionCount: 8,
    isDirty: (region: number) => dirty.has(region),
    nextDirty: (cursor: number) => [...dirty].sort().find((region) => region >= cursor) ?? [...dirty].sort()[0] ?? null,
  }
  const tracker = new RegionTracker(bits, MIB)
  let end = 0
  let items: readonly LogEntry[] | null = entries.map((frame) => {
    const position = end
    end += frameBytes(frame)
    return { frame, position, end }
  })
  const log = {
    identity: LOG_ID,
    durableLsn: 0,
    cursor: () => ({
      next: () => {
        const taken = items
        items = null
        return taken
      },
      close() {},
    }),
  }
  const copier = { pump() {}, peek: () => ready[0] ?? null, take: () => void ready.shift() }
  const feed = new Feed({
    session,
    log: log as unknown as RingLog,
    position: 0,
    point: ORIGIN,
    device: () => ({ since, tracker }),
    copier: copier as unknown as Copier,
    verifier: { pump() {}, meets: () => 'pass', stands() {} },
    pacer: { mayGo: () => true, runBytes: MIB, runFrames: Infinity, sent: () => {} },
    resyncSharePercent: () => 50,
    passed: () => {},
    pumped: () => {},
    taken: () => {},
    hole: () => assert.fail('there is no hole'),
    failed: (error) => assert.fail(error),
  })
  const copyOf = (region: number): ReadyCopy => ({
    source: { deviceId: 1, sizeBytes: 8 * MIB, regionBytes: MIB, tracker },
    region,
    offset: region * MIB,
    length: MIB,
    memory: null,
    stamp: entries.length,
    last: true,
  })
  return { feed, session, log, tracker, ready, sent, copyOf }
}

function write(lsn: number, offset: number, bytes: number, flags = 0): Frame {
  const fields = {
    type: FrameType.write,
    flags,
    deviceId: 1,
    lsn,
    incarnation: 1,
    logId: LOG_ID,
    offset,
    length: bytes,
  }
  return encodeFrame(fields, Buffer.alloc(bytes, lsn))
}

test('an entry that finds only when its turn comes that it must wait for a copy gives way to that copy at once', () => {
  const dirty = new Set<number>()
  const { feed, session, tracker, ready, sent, copyOf } = feedOf([write(1, 5 * MIB, 100_000), write(2, 0, MIB)], dirty)
  feed.pump()
  assert.deepEqual(
    sent.map(({ lsn }) => lsn),
    [1],
    'the second does not fit the credit yet',
  )
  // Meanwhile its region is read for a resync: it must wait for the copy, and the copy for its share of the stream.
  dirty.add(0)
  tracker.startRead(0)
  ready.push(copyOf(0))
  session.creditBytes = 8 * MIB
  feed.pump()
  assert.deepEqual(
    sent.map(({ type }) => type),
    [FrameType.write, FrameType.copyZeroes, FrameType.write],
  )
})

test('an entry is left out only where all that it touches is still to be read', () => {
  const dirty = new Set([0, 1])
  const { feed, session, sent } = feedOf(
    [write(1, 4096, 512), write(2, MIB - 512, 1024), write(3, 2 * MIB - 512, 1024)],
    dirty,
  )
  session.creditBytes = 8 * MIB
  feed.pump()
  assert.deepEqual(
    sent.map(({ type, lsn, aux }) => [type, lsn, aux]),
    [
      [FrameType.skip, 2, 1],
      [FrameType.write, 3, 0],
    ],
    'the first two are in the copies to come, the third reaches into a clean region',
  )
})

test('entries from before a device was mapped are left out, whatever is dirty', () => {
  const entries = [1, 2, 3, 4].map((lsn) => write(lsn, 0, 512))
  const { feed, session, sent } = feedOf(entries, new Set(), { incarnation: 1, lsn: 2 })
  session.creditBytes = 8 * MIB
  feed.pump()
  assert.deepEqual(
    sent.map(({ type, lsn, aux }) => [type, lsn, aux]),
    [
      [FrameType.skip, 2, 1],
      [FrameType.write, 3, 0],
      [FrameType.write, 4, 0],
    ],
  )
})

test('a flush before an entry that is left out is told with what is left out, and told once', () => {
  const { flushBefore } = FrameFlag
  const entries = [
    write(1, 0, 512),
    write(2, 3 * MIB, 512),
    write(3, 0, 512),
    write(4, 0, 512, flushBefore),
    write(5, 3 * MIB, 512),
    write(6, 0, 512),
    write(7, 3 * MIB, 512, flushBefore),
  ]
  const { feed, session, sent } = feedOf(entries, new Set([0]))
  session.creditBytes = 8 * MIB
  feed.pump()
  assert.deepEqual(
    sent.map(({ type, lsn, flags }) => [type, lsn, flags]),
    [
      [FrameType.skip, 1, 0],
      [FrameType.write, 2, 0],
      [FrameType.skip, 4, flushBefore],
      [FrameType.write, 5, 0],
      [FrameType.skip, 6, 0],
      [FrameType.write, 7, flushBefore],
    ],
  )
})

test('no more is sent than was granted, and the rest when more is', () => {
  const entries = Array.from({ length: 12 }, (_, at) => write(at + 1, 0, 300_000))
  const { feed, session, sent } = feedOf(entries, new Set())
  session.creditBytes = STEP_BYTES + 200_000
  feed.pump()
  const first = sent.length
  assert.ok(first > 0 && first < 12)
  session.creditBytes += 8 * MIB
  feed.pump()
  assert.equal(sent.length, 12)
})

test('a frame between entries promises no more than what is durable here, and nothing beyond itself', () => {
  for (const [durableLsn, promised] of [
    [1, 1],
    [9, 3],
  ] as const) {
    const { feed, session, log, sent } = feedOf(
      [1, 2, 3].map((lsn) => write(lsn, 0, 512)),
      new Set([0]),
    )
    log.durableLsn = durableLsn
    session.creditBytes = 8 * MIB
    feed.pump()
    assert.deepEqual(
      sent.map(({ type, lsn, durableLsn }) => [type, lsn, durableLsn]),
      [[FrameType.skip, 3, promised]],
    )
  }
})

test('a resync has its share of a link that entries alone would fill', () => {
  const entries = Array.from({ length: 200 }, (_, at) => write(at + 1, 5 * MIB, 100_000))
  const dirty = new Set([0])
  const { feed, session, tracker, ready, sent, copyOf } = feedOf(entries, dirty)
  feed.pump()
  const before = sent.length
  tracker.startRead(0)
  ready.push(copyOf(0))
  session.creditBytes = 64 * MIB
  feed.pump()
  assert.equal(sent.length, 201)
  const at = sent.findIndex(({ type }) => type === FrameType.copyZeroes)
  assert.ok(at >= before && at < 100, `the copy is frame ${at}`)
})
