/**
 * The pure decisions of the agent, as tables: order, ranges, what may be applied, when a region is clean, what is said.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkedAck,
  worthSending,
  grantableWindow,
  StreamOrder,
  rangeProblem,
  encodeFrame,
  FrameFlag,
  FrameType,
  WINDOW_BYTES_MIN,
  type Ack,
  type Frame,
  type FrameFields,
  type Id64,
} from '@sitelink/protocol'
import { isVoidCopy, mayApply } from '../src/apply/apply-limit.js'
import { RegionCopies, type DirtyAgain } from '../src/apply/region-copies.js'
import { markBehind, MarkQueue, MARKS_MAX, type Mark } from '../src/journal/marks.js'
import { decodeOwnerState, encodeOwnerState, OWNER_STATE_FIRST } from '../src/journal/owner-state.js'
import { inconsistency } from '../src/replica/consistency.js'
import { freshReplica, parseReplica, REPLICA_VERSION } from '../src/replica/replica-state.js'
import { Prng } from '@sitelink/storage/testing'

const MIB = 1 << 20
const LOG: Id64 = { high: 7, low: 9 }

function frame(fields: Partial<FrameFields>, payloadBytes = 0): Frame {
  return encodeFrame(
    { type: FrameType.write, lsn: 1, incarnation: 1, logId: LOG, deviceId: 1, ...fields },
    payloadBytes === 0 ? null : Buffer.alloc(payloadBytes, 1),
  )
}

test('[WR-10] the stream is taken in order, and every way to break it has a sentence', () => {
  const place = { incarnation: 2, lsn: 10, crc: 77 }
  const next = { lsn: 11, incarnation: 2, previousCrc: 77 }
  const rows: readonly (readonly [string, Partial<FrameFields>, boolean])[] = [
    ['the next entry', next, true],
    ['an entry twice', { ...next, lsn: 10 }, false],
    ['an entry left out', { ...next, lsn: 12 }, false],
    ['an entry after another one than ours', { ...next, previousCrc: 78 }, false],
    ['an entry of an earlier life', { ...next, incarnation: 1 }, false],
    ['the first entry of the next life, whatever it follows', { ...next, incarnation: 3, previousCrc: 1 }, true],
    ['an entry of a life that the primary does not know', { ...next, incarnation: 4 }, false],
    ['an entry of another log', { ...next, logId: { high: 7, low: 8 } }, false],
    ['a skip that starts here', { type: FrameType.skip, aux: 11, lsn: 20, incarnation: 2 }, true],
    ['a skip that leaves one out', { type: FrameType.skip, aux: 12, lsn: 20, incarnation: 2 }, false],
    ['a skip backwards', { type: FrameType.skip, aux: 11, lsn: 10, incarnation: 2 }, false],
    ['a copy where the stream stands', { type: FrameType.copy, lsn: 10, incarnation: 2, aux: 15 }, true],
    ['a copy somewhere else', { type: FrameType.copy, lsn: 11, incarnation: 2, aux: 15 }, false],
    ['a copy of an earlier life', { type: FrameType.copy, lsn: 10, incarnation: 1, aux: 15 }, false],
    ['a resync-begin where the stream stands', { type: FrameType.resyncBegin, lsn: 10, incarnation: 2 }, true],
    ['a control frame', { type: FrameType.control, lsn: 10, incarnation: 2 }, false],
  ]
  for (const [what, fields, good] of rows) {
    const order = new StreamOrder(LOG, 3, place)
    const problem = order.pass(frame(fields))
    assert.equal(problem === null, good, `${what}: ${problem}`)
    if (!good) assert.deepEqual(order.place, place, `${what}: the place does not move`)
  }
})

test('behind a skip the predecessor is not known, behind an entry it is', () => {
  const order = new StreamOrder(LOG, 1, { incarnation: 1, lsn: 4, crc: null })
  const fifth = frame({ lsn: 5, previousCrc: 123 })
  assert.equal(order.pass(fifth), null)
  assert.notEqual(order.pass(frame({ lsn: 6, previousCrc: 123 })), null)
  assert.equal(order.pass(frame({ lsn: 6, previousCrc: fifth.headerCrc })), null)
  assert.equal(order.pass(frame({ type: FrameType.skip, aux: 7, lsn: 9 })), null)
  assert.equal(order.pass(frame({ lsn: 10, previousCrc: 1 })), null)
})

test('an empty journal takes the place of its first frame', () => {
  for (const first of [
    { lsn: 41 },
    { type: FrameType.map, lsn: 40 },
    { type: FrameType.skip, aux: 1, lsn: 40 },
  ] satisfies Partial<FrameFields>[]) {
    assert.equal(new StreamOrder(LOG, 1, { incarnation: 0, lsn: 0, crc: null }).pass(frame(first)), null)
  }
})

test('a frame stays inside its device, and bytes inside a boundary', () => {
  const device = { sizeBytes: 4 * MIB, regionBytes: 2 * MIB }
  const rows: readonly (readonly [string, Partial<FrameFields>, number, boolean])[] = [
    ['a write', { offset: 512, length: 512 }, 512, true],
    ['a write up to the end', { offset: 4 * MIB - 512, length: 512 }, 512, true],
    ['a write beyond the end', { offset: 4 * MIB - 512, length: 1024 }, 1024, false],
    ['a write of nothing', { offset: 0, length: 0 }, 0, false],
    ['a write with other bytes than it says', { offset: 0, length: 1024 }, 512, false],
    ['a write across a boundary', { offset: MIB - 512, length: 1024 }, 1024, false],
    ['zeroes across a boundary', { type: FrameType.zeroes, offset: MIB - 512, length: 2 * MIB }, 0, true],
    ['zeroes with bytes', { type: FrameType.zeroes, offset: 0, length: 512 }, 512, false],
    ['zeroes beyond the end', { type: FrameType.zeroes, offset: MIB, length: 4 * MIB }, 0, false],
    ['a copy', { type: FrameType.copy, offset: MIB, length: MIB }, MIB, true],
    ['a copy of zeros within its region', { type: FrameType.copyZeroes, offset: 0, length: 2 * MIB }, 0, true],
    ['a copy of zeros over two regions', { type: FrameType.copyZeroes, offset: MIB, length: 2 * MIB }, 0, false],
  ]
  for (const [what, fields, bytes, good] of rows)
    assert.equal(rangeProblem(frame(fields, bytes), device) === null, good, what)
  assert.notEqual(rangeProblem(frame({ offset: 0, length: 512 }, 512), null), null, 'a device that is not mapped')
  assert.equal(rangeProblem(frame({ type: FrameType.skip, deviceId: 0, aux: 1 }), null), null, 'a skip names no device')
})

test('nothing is applied that primary or journal may still lose', () => {
  const told = { incarnation: 2, lsn: 50 }
  const limit = { told, journalDurableEnd: 1000 }
  const rows: readonly (readonly [string, Partial<FrameFields>, number, boolean])[] = [
    ['durable on both sides', { lsn: 50, incarnation: 2 }, 1000, true],
    ['above the primary', { lsn: 51, incarnation: 2 }, 1000, false],
    ['above the journal', { lsn: 50, incarnation: 2 }, 1001, false],
    ['of an earlier life', { lsn: 49, incarnation: 1 }, 1000, true],
    ['of a later life with a smaller number', { lsn: 40, incarnation: 3 }, 1000, false],
    ['a copy whose stamp the primary has', { type: FrameType.copy, lsn: 40, incarnation: 2, aux: 50 }, 1000, true],
    ['a copy whose stamp it may lose', { type: FrameType.copy, lsn: 40, incarnation: 2, aux: 51 }, 1000, false],
    [
      'a copy of zeros whose stamp it may lose',
      { type: FrameType.copyZeroes, lsn: 40, incarnation: 2, aux: 51 },
      1000,
      false,
    ],
  ]
  for (const [what, fields, end, good] of rows) assert.equal(mayApply(frame(fields), end, limit, false), good, what)
})

test('a void copy waits for nothing but its place: no life may ever come as far as its stamp', () => {
  const limit = { told: { incarnation: 2, lsn: 50 }, journalDurableEnd: 1000 }
  const copy = frame({ type: FrameType.copy, lsn: 40, incarnation: 2, aux: 90 })
  assert.equal(mayApply(copy, 1000, limit, true), true)
  assert.equal(mayApply(copy, 1001, limit, true), false, 'the journal may still lose it')
  assert.equal(mayApply(frame({ type: FrameType.copy, lsn: 51, incarnation: 2, aux: 90 }), 1000, limit, true), false)
})

test('a copy of a lost tail is void, an entry never is', () => {
  const voids = [{ below: 500, stampAbove: 30 }]
  const copy = (aux: number): Frame => frame({ type: FrameType.copy, lsn: 20, aux })
  assert.equal(isVoidCopy(copy(31), 100, voids), true)
  assert.equal(isVoidCopy(copy(30), 100, voids), false, 'its stamp survived')
  assert.equal(isVoidCopy(copy(31), 500, voids), false, 'it came after the cut')
  assert.equal(isVoidCopy(frame({ lsn: 31, aux: 31 }), 100, voids), false)
})

const GRID = { sizeBytes: 5 * MIB, regionBytes: 2 * MIB }

function part(region: number, index: number, stamp: number, last: boolean, bytes = MIB): Frame {
  const offset = region * GRID.regionBytes + index * MIB
  return frame(
    { type: FrameType.copy, offset, length: bytes, aux: stamp, flags: last ? FrameFlag.lastOfRegion : 0, lsn: 1 },
    bytes,
  )
}

function again(region: number, position: number | null): DirtyAgain {
  return {
    deviceId: 1,
    place: position === null ? null : { position },
    firstRegion: 0,
    regionCount: 3,
    bits: Buffer.from([1 << region]),
  }
}

test('[RSY-05] a region is clean only with every part of one copy, in order', () => {
  const rows: readonly (readonly [string, readonly Frame[], number | null])[] = [
    ['both parts', [part(0, 0, 9, false), part(0, 1, 9, true)], 0],
    ['the last one alone', [part(0, 1, 9, true)], null],
    ['the first one alone', [part(0, 0, 9, false)], null],
    ['parts of two copies', [part(0, 0, 8, false), part(0, 1, 9, true)], null],
    ['a copy begun anew', [part(0, 0, 8, false), part(0, 0, 9, false), part(0, 1, 9, true)], 0],
    ['the last part twice', [part(0, 0, 9, false), part(0, 1, 9, true), part(0, 1, 9, true)], null],
    ['a last part that ends too early', [part(0, 0, 9, true)], null],
    ['two regions at once', [part(0, 0, 9, false), part(1, 0, 9, false), part(0, 1, 9, true)], 0],
    ['the short region at the end', [part(2, 0, 9, true)], 2],
  ]
  for (const [what, frames, region] of rows) {
    const copies = new RegionCopies()
    const results = frames.map((one, at) => copies.applied(one, 100 + at, GRID))
    assert.equal(results.at(-1), region, what)
  }
})

test('a region that was made dirty behind its copy stays dirty', () => {
  const rows: readonly (readonly [string, DirtyAgain, number | null])[] = [
    ['behind the copy', again(2, 200), null],
    ['not in the journal yet', again(2, null), null],
    ['before the copy', again(2, 50), 2],
    ['another region', again(1, 200), 2],
  ]
  for (const [what, one, region] of rows) {
    const copies = new RegionCopies()
    copies.dirtied(one)
    assert.equal(copies.applied(part(2, 0, 9, true), 100, GRID), region, what)
  }
  const copies = new RegionCopies()
  copies.dirtied(again(2, null))
  copies.dropUnplaced()
  assert.equal(copies.applied(part(2, 0, 9, true), 100, GRID), 2, 'a frame that never came into the journal')
})

test('marks are rounded down, and bounded', () => {
  const mark = (end: number): Mark => ({ end, incarnation: 1, lsn: end, crc: 0, frames: end })
  const queue = new MarkQueue(mark(0))
  for (const end of [10, 20, 30]) queue.push(mark(end))
  assert.equal(queue.reach(25), true)
  assert.equal(queue.reached.lsn, 20)
  assert.equal(queue.reach(29), false)
  queue.cut(25)
  assert.equal(queue.reach(100), false, 'what was cut is never reached')
  for (let end = 101; end <= 101 + 3 * MARKS_MAX; end++) queue.push(mark(end))
  assert(queue.waitingCount <= MARKS_MAX)
  queue.reach(101 + 3 * MARKS_MAX)
  assert.equal(queue.reached.lsn, 101 + 3 * MARKS_MAX, 'the newest one is never forgotten')
})

test('a mark names the CRC of its last entry, and none behind a skip', () => {
  const start: Mark = { end: 0, incarnation: 0, lsn: 0, crc: 0, frames: 0 }
  const entry = frame({ lsn: 5 })
  const behind = markBehind(start, entry, 10, 1)
  assert.equal(behind.crc, entry.headerCrc)
  assert.equal(markBehind(behind, frame({ type: FrameType.copy, lsn: 5, aux: 9 }), 20, 2).crc, entry.headerCrc)
  assert.equal(markBehind(behind, frame({ type: FrameType.skip, lsn: 8, aux: 6 }), 20, 2).crc, 0)
  assert.equal(markBehind(start, frame({ type: FrameType.map, lsn: 40 }), 20, 1).lsn, 40)
})

test('consistent is what has nothing dirty and reached its largest stamp', () => {
  const good = {
    dirtyRegions: 0,
    applied: { incarnation: 2, lsn: 9 },
    stamp: { incarnation: 1, lsn: 20 },
    allDirty: null,
    devicesMissing: [],
  }
  assert.equal(inconsistency(good), null)
  assert.notEqual(inconsistency({ ...good, dirtyRegions: 1 }), null)
  assert.notEqual(inconsistency({ ...good, stamp: { incarnation: 2, lsn: 10 } }), null)
  assert.notEqual(inconsistency({ ...good, allDirty: 'a hole' }), null)
  assert.notEqual(inconsistency({ ...good, devicesMissing: ['data'] }), null)
})

test('an acknowledgement is sent when it says something new, and never falls', () => {
  const ack: Ack = {
    kind: 'ack',
    received: [1, 9, 9],
    durable: [1, 8, 8],
    applied: [1, 7, 7],
    dirtyRegions: 0,
    consistent: true,
    journalUsedBytes: 5,
    journalBytes: 10,
  }
  assert.equal(worthSending(null, ack), true)
  assert.equal(worthSending(ack, { ...ack, journalUsedBytes: 6 }), false)
  for (const change of [
    { received: [1, 10, 10] },
    { durable: [1, 9, 9] },
    { applied: [1, 8, 8] },
    { dirtyRegions: 1 },
    { consistent: false },
  ]) {
    assert.equal(worthSending(ack, { ...ack, ...change } as Ack), true, JSON.stringify(change))
  }
  assert.throws(() => checkedAck(null, { ...ack, applied: [1, 9, 9] }), /applied/)
  assert.throws(() => checkedAck(ack, { ...ack, received: [1, 8, 8] }), /stays received/)
})

test('the window follows the room of the journal and closes when there is none', () => {
  const facts = { journalFreeBytes: 100 * MIB, reserveBytes: 10 * MIB, windowBytesMax: 32 * MIB }
  assert.equal(grantableWindow(facts), 32 * MIB)
  assert.equal(grantableWindow({ ...facts, journalFreeBytes: 50 * MIB }), 20 * MIB)
  assert.equal(grantableWindow({ ...facts, journalFreeBytes: 13 * MIB }), WINDOW_BYTES_MIN)
  assert.equal(grantableWindow({ ...facts, journalFreeBytes: 11 * MIB }), 0)
})

test("the owner's state and replica.json come back as they were written, and nothing else is taken for them", () => {
  const state = {
    ...OWNER_STATE_FIRST,
    ringId: 'ab',
    appliedPosition: 7,
    applied: { incarnation: 1, lsn: 2 },
    told: { incarnation: 1, lsn: 3 },
    stamp: { incarnation: 1, lsn: 1 },
    voids: [{ below: 9, stampAbove: 4 }],
  }
  assert.deepEqual(decodeOwnerState(encodeOwnerState(state)), state)
  for (const bytes of ['', 'x', '{}', '{"version":9}']) assert.equal(decodeOwnerState(Buffer.from(bytes)), null)
  const replica = freshReplica(new Prng(1))
  const text = JSON.stringify({ version: REPLICA_VERSION, ...replica })
  assert.deepEqual(parseReplica(text), { kind: 'replica', state: replica })
  assert.equal(parseReplica(JSON.stringify({ version: 99 })).kind, 'too-new')
  for (const broken of [
    '',
    '[]',
    '{"version":1}',
    text.replace('"epoch":0', '"epoch":-1'),
    text.replace('"epoch"', '"epoc"'),
  ]) {
    assert.equal(parseReplica(broken).kind, 'damaged', broken)
  }
  // Names that every object answers to without having them.
  for (const restarting of ['{"__proto__":1,"reason":"x"}', '{"hasOwnProperty":"reason","reason":"x"}']) {
    const text = JSON.stringify({ version: REPLICA_VERSION, ...freshReplica(new Prng(1)) })
    const broken = text.replace('"restarting":null', `"restarting":${restarting}`)
    assert.deepEqual(parseReplica(broken), {
      kind: 'damaged',
      why: 'restarting: it is missing or not what it should be',
    })
  }
})
