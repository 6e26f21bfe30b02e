/**
 * The write path against a log of the test's own: admission in order, the split, the chain of CRCs, flags, and owners
 * that call back in the middle of it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  FRAME_HEADER_BYTES,
  FrameFlag,
  FrameType,
  frameBytes,
  headerLogId,
  headerPreviousCrc,
  headerProblem,
  RANGE_BYTES_MAX,
  type Frame,
} from '@sitelink/protocol'
import type { RingLog, WriteBack } from '@sitelink/storage'
import { Prng, seedFromEnv, SimClock } from '@sitelink/storage/testing'
import { Holds } from '../../src/group/holds.js'
import { LagLedger } from '../../src/group/lag-ledger.js'
import { WritePath, type WritePathOwner } from '../../src/group/write-path.js'
import { Asked, KIB, MIB } from './group-world.js'
import { entriesOf } from './write-order.js'

const LOG_ID = { high: 0x1234_5678, low: 0x9abc_def0 }

class Bench implements WritePathOwner {
  readonly frames: Frame[] = []
  readonly holds = new Holds()
  readonly path: WritePath
  freeBytes = Infinity
  memoryRoom = true
  durableLsn = 0
  syncs = 0
  shortages = 0
  state: 'run' | 'hold' | 'refuse' = 'run'
  onAdmitted: () => void = () => {}
  readonly marked: [number, number, number][] = []

  constructor(lastLsn = 0) {
    const log = {
      identity: LOG_ID,
      incarnation: { number: 3 },
      lastLsn,
      lastHeaderCrc: 0xabcd,
      hasRoom: (_count: number, payloadBytes: number) => this.freeBytes >= payloadBytes + FRAME_HEADER_BYTES,
      append: (frame: Frame) => {
        this.freeBytes -= frameBytes(frame)
        this.frames.push(frame)
      },
      requestSync: () => void (this.syncs += 1),
    } as unknown as RingLog
    Object.defineProperty(log, 'durableLsn', { get: () => this.durableLsn })
    const writeBack = { hasRoom: () => this.memoryRoom } as unknown as WriteBack
    const clock = new SimClock()
    this.path = new WritePath({
      log,
      writeBack,
      holds: this.holds,
      ledger: new LagLedger(lastLsn, 0, 0),
      clock,
      owner: this,
    })
  }

  admission(): 'run' | 'hold' | 'refuse' {
    return this.state
  }

  logShort(): void {
    this.shortages += 1
  }

  appended(deviceId: number, offset: number, length: number): void {
    this.marked.push([deviceId, offset, length])
  }

  admitted(): void {
    this.onAdmitted()
  }

  flushed(): void {
    this.release()
  }

  release(): void {
    const writtenLsn = this.frames.length
    this.holds.release({ writtenLsn, durableLsn: this.durableLsn })
  }

  write(offset: number, length: number, fua = false, device = 1): Asked {
    const request = new Asked('write', offset, length, Buffer.alloc(length, 0x5a), fua)
    this.path.submit(device, request as never)
    return request
  }
}

const places = (bench: Bench): [number, number][] => bench.frames.map((frame) => [frame.offset, frame.length])

test('[DEV-19] a write is split at multiples of 1 MiB of its device, and at nothing else', () => {
  for (const [offset, length, pieces] of [
    [0, MIB, 1],
    [1, MIB, 2],
    [MIB - 1, 2, 2],
    [MIB - 1, 1, 1],
    [MIB, MIB, 1],
    [512, 3 * MIB, 4],
    [5 * MIB + 100, MIB - 100, 1],
  ] as const) {
    const bench = new Bench()
    bench.write(offset, length)
    const payload = Buffer.alloc(length)
    assert.deepEqual(
      places(bench),
      entriesOf({ device: 1, offset, length, payload }).map((one) => [one.offset, one.length]),
      `${length} bytes at ${offset}`,
    )
    assert.equal(bench.frames.length, pieces)
    for (const frame of bench.frames) {
      assert.ok(
        Math.floor(frame.offset / MIB) === Math.floor((frame.offset + frame.length - 1) / MIB),
        'no entry crosses a multiple of 1 MiB',
      )
      assert.equal(frame.payload?.length, frame.length)
    }
    assert.equal(
      bench.frames.reduce((sum, frame) => sum + frame.length, 0),
      length,
    )
    assert.deepEqual(
      bench.marked,
      bench.frames.map((frame) => [1, frame.offset, frame.length]),
      'each entry is marked before the next',
    )
  }
})

test('trims and zeroes go by range, without payload', () => {
  const bench = new Bench()
  bench.path.submit(1, new Asked('trim', 0, RANGE_BYTES_MAX + 10) as never)
  bench.path.submit(1, new Asked('write-zeroes', 5, 3 * MIB, null, false, true) as never)
  bench.path.submit(1, new Asked('write-zeroes', 5, 3 * MIB, null, false, false) as never)
  const { trim, zeroes } = FrameType
  assert.deepEqual(
    bench.frames.map((frame) => frame.type),
    [trim, trim, zeroes, trim],
    'zeroes that may leave a hole are a trim',
  )
  for (const frame of bench.frames) assert.equal(frame.payload, null)
})

test('every frame carries its LSN, its log, and the CRC of the header before it', () => {
  const bench = new Bench()
  for (let at = 0; at < 600; at += 1) bench.write(at * 4096, 512)
  let previous = 0xabcd
  bench.frames.forEach((frame, index) => {
    assert.equal(frame.lsn, index + 1)
    assert.deepEqual({ ...headerLogId(frame.header) }, LOG_ID)
    assert.equal(frame.incarnation, 3)
    assert.equal(headerPreviousCrc(frame.header), previous)
    previous = frame.headerCrc
    assert.equal(headerProblem(frame.header), null, 'its header bytes are its own, whatever was framed afterwards')
  })
})

test('[FLU-05] the first entry after a flush says so, and no other', () => {
  const bench = new Bench()
  bench.path.flush(new Asked('flush', 0, 0))
  bench.write(0, 512)
  bench.path.flush(new Asked('flush', 0, 0))
  bench.path.flush(new Asked('flush', 0, 0))
  bench.write(0, 512)
  bench.write(0, 512)
  assert.deepEqual(
    bench.frames.map((frame) => (frame.flags & FrameFlag.flushBefore) !== 0),
    [false, true, false],
    'nothing came before the first',
  )
})

test('the first entry after a restart says that a flush came before it: nobody knows better', () => {
  const bench = new Bench(7)
  bench.write(0, 512)
  bench.write(0, 512)
  assert.deepEqual(
    bench.frames.map((frame) => [frame.lsn, (frame.flags & FrameFlag.flushBefore) !== 0]),
    [
      [8, true],
      [9, false],
    ],
  )
})

test('a flush and a FUA write ask for the sync that they wait for, a plain write and a flush of nothing do not', () => {
  const bench = new Bench()
  bench.write(0, 512)
  assert.equal(bench.syncs, 0)
  bench.path.flush(new Asked('flush', 0, 0))
  assert.equal(bench.syncs, 1)
  bench.write(512, 512, true)
  assert.equal(bench.syncs, 2)
  bench.durableLsn = bench.frames.length
  bench.path.flush(new Asked('flush', 0, 0))
  assert.equal(bench.syncs, 2)
})

test('a request of very many entries asks for a sync on its way, so that the log need not wait for it with the rest', () => {
  const bench = new Bench()
  const trim = (entries: number): void => bench.path.submit(1, new Asked('trim', 0, entries * RANGE_BYTES_MAX) as never)
  trim(64)
  assert.equal(bench.syncs, 0)
  trim(130)
  assert.equal(bench.syncs, 1)
})

test('[FLU-01] [FLU-04] a flush and a FUA write wait for durability, a plain write does not', () => {
  const bench = new Bench()
  const plain = bench.write(0, 512)
  const fua = bench.write(512, MIB, true)
  const flush = new Asked('flush', 0, 0)
  bench.path.flush(flush)
  assert.ok(bench.syncs > 0)
  bench.release()
  assert.deepEqual([plain.errno, fua.errno, flush.errno], [0, null, null])
  for (const frame of bench.frames.slice(1))
    assert.ok((frame.flags & FrameFlag.fua) !== 0, 'every piece of a FUA write is one')
  bench.durableLsn = bench.frames.length - 1
  bench.release()
  assert.deepEqual([fua.errno, flush.errno], [null, null], 'a part of it is not enough')
  bench.durableLsn = bench.frames.length
  bench.release()
  assert.deepEqual([fua.errno, flush.errno], [0, 0])
  const empty = new Asked('flush', 0, 0)
  bench.path.flush(empty)
  assert.equal(empty.errno, 0, 'a flush with nothing to wait for is answered at once')
})

test('[BP-02] [WR-20] what waits for room goes in in its order, and nothing overtakes it', () => {
  const bench = new Bench()
  bench.freeBytes = 2000
  const sizes = [1000, 4000, 100, 100, 1000]
  const requests = sizes.map((length, index) => bench.write(index * 8192, length))
  assert.equal(bench.frames.length, 1)
  assert.equal(bench.path.waitingCount, 4, 'small ones that would fit wait behind the large one')
  for (let turn = 0; turn < 10; turn += 1) {
    bench.freeBytes += 1500
    bench.path.pump()
  }
  assert.deepEqual(
    places(bench),
    sizes.map((length, index) => [index * 8192, length]),
  )
  bench.release()
  assert.ok(requests.every((request) => request.errno === 0))
  assert.ok(bench.shortages > 0)
})

test('[BP-06] a request larger than the ring goes in piece by piece, is answered once, and nobody gets in between', () => {
  const bench = new Bench()
  bench.freeBytes = 2.5 * MIB
  const large = bench.write(100, 8 * MIB)
  const after = bench.write(0, 512)
  assert.equal(bench.frames.length, 2)
  for (let turn = 0; turn < 20; turn += 1) {
    bench.release()
    assert.equal(large.errno, bench.frames.length >= 9 ? 0 : null)
    bench.freeBytes = 1.5 * MIB
    bench.path.pump()
  }
  bench.release()
  assert.equal(after.errno, 0)
  const payload = Buffer.alloc(8 * MIB)
  assert.deepEqual(places(bench), [
    ...entriesOf({ device: 1, offset: 100, length: 8 * MIB, payload }).map((one): [number, number] => [
      one.offset,
      one.length,
    ]),
    [0, 512],
  ])
})

test('an owner who pumps while a waiting request is being admitted does not get it admitted twice', () => {
  const bench = new Bench()
  bench.state = 'hold'
  const requests = Array.from({ length: 5 }, (_, index) => bench.write(index * 4096, 512))
  // As a slink does that exceeds its limits with this entry: who holds changes, and the group pumps.
  bench.onAdmitted = () => bench.path.pump()
  bench.state = 'run'
  bench.path.pump()
  bench.release()
  assert.deepEqual(
    places(bench),
    [0, 1, 2, 3, 4].map((index) => [index * 4096, 512]),
  )
  assert.ok(requests.every((request) => request.errno === 0))
  assert.equal(bench.path.waitingCount, 0)
})

test('an owner who refuses from within the admission of a request leaves that request as it is', () => {
  const bench = new Bench()
  bench.state = 'hold'
  const [first, second] = [bench.write(0, 512), bench.write(4096, 512)]
  bench.onAdmitted = () => {
    bench.state = 'refuse'
    bench.path.pump()
  }
  bench.state = 'run'
  bench.path.pump()
  bench.release()
  assert.deepEqual([first.errno, second.errno], [0, 5])
  assert.equal(bench.frames.length, 1)
})

test('while refused, what waits and what comes fails at once, and nothing is appended', () => {
  const bench = new Bench()
  bench.freeBytes = 700
  const requests = [bench.write(0, 512), bench.write(4096, 512), bench.write(8192, 512)]
  bench.state = 'refuse'
  bench.path.pump()
  const late = bench.write(0, 512)
  const flush = new Asked('flush', 0, 0)
  bench.path.flush(flush)
  assert.deepEqual([requests[1]?.errno, requests[2]?.errno, late.errno, flush.errno], [5, 5, 5, 5])
  assert.equal(bench.frames.length, 1)
})

test("a device that goes fails its own waiting requests and nobody else's, also in the middle of one", () => {
  const bench = new Bench()
  bench.freeBytes = 1.5 * MIB
  const own = bench.write(0, 4 * MIB, false, 1)
  const other = bench.write(0, 512, false, 2)
  const more = bench.write(0, 512, false, 1)
  bench.path.failDevice(1)
  assert.deepEqual([own.errno, other.errno, more.errno], [5, null, 5])
  bench.freeBytes = 4 * MIB
  bench.path.pump()
  bench.release()
  assert.equal(other.errno, 0)
  assert.equal(bench.frames.at(-1)?.deviceId, 2)
  assert.equal(bench.frames.length, 2, 'nothing more of the request that was cut short')
})

test('an empty request is answered and appends nothing', () => {
  const bench = new Bench()
  const empty = bench.write(0, 0)
  bench.release()
  assert.equal(empty.errno, 0)
  assert.equal(bench.frames.length, 0)
})

test('whatever room comes when, the entries are those of the requests in their order', () => {
  const seed = seedFromEnv('write path')
  for (let run = 0; run < 60; run += 1) {
    const prng = new Prng(`${seed}/${run}`)
    const bench = new Bench()
    bench.freeBytes = 0
    const expected: [number, number][] = []
    const requests: Asked[] = []
    // Answers bring new requests, and admissions bring pumps.
    bench.onAdmitted = () => {
      if (prng.chance(0.2)) bench.path.pump()
      if (prng.chance(0.2)) bench.release()
    }
    const make = (): void => {
      const length = prng.pick([512, prng.between(1, 5000), prng.between(1, 3 * MIB), prng.between(1, 100 * KIB)])
      const offset = prng.below(6 * MIB)
      const payload = Buffer.alloc(length)
      expected.push(
        ...entriesOf({ device: 1, offset, length, payload }).map((one): [number, number] => [one.offset, one.length]),
      )
      const request = new Asked('write', offset, length, payload)
      if (prng.chance(0.3)) request.onAnswer = () => (requests.length < 60 ? make() : undefined)
      requests.push(request)
      bench.path.submit(1, request as never)
    }
    for (let step = 0; step < 40; step += 1) {
      if (requests.length < 40) make()
      bench.freeBytes = Math.min(4 * MIB, bench.freeBytes + prng.below(2 * MIB))
      bench.state = prng.chance(0.1) ? 'hold' : 'run'
      bench.memoryRoom = prng.chance(0.9)
      bench.path.pump()
      if (prng.chance(0.5)) bench.release()
    }
    bench.state = 'run'
    bench.memoryRoom = true
    for (let turn = 0; turn < 300 && requests.some((request) => !request.answered); turn += 1) {
      bench.freeBytes = 2 * MIB
      bench.path.pump()
      bench.release()
    }
    assert.deepEqual(places(bench), expected, `SEED=${seed} run ${run}`)
    assert.ok(
      requests.every((request) => request.errno === 0),
      `SEED=${seed} run ${run}: all are answered`,
    )
  }
})
