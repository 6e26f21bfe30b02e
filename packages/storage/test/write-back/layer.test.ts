/**
 * The pure structures: intervals of a part, plans over parts, device writes of a part, lost ranges. Each against a plain
 * array with one cell for every 4 bytes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng, seedFromEnv } from '../../src/testing/index.js'
import { CHUNK_BYTES, Fill, Interval, replaceRange } from '../../src/write-back/chunk-intervals.js'
import { planFlush } from '../../src/write-back/flush-plan.js'
import { Part } from '../../src/write-back/layer.js'
import { LostRanges } from '../../src/write-back/lost-ranges.js'
import { partTouches, PiecePlan } from '../../src/write-back/overlay.js'

const seed = seedFromEnv('write-back layers')
const SPAN = 6 * CHUNK_BYTES
const CELLS = SPAN / 4

/** A cell: the position of the entry whose payload it is (1..), ZERO, or NONE. */
const NONE = 0
const ZERO = -1
const TRIMMED = -2

/** A part and, cell by cell, what it should hold; `from` is the payload's offset on the device, by position. */
class Subject {
  readonly part = new Part(1)
  readonly cells = new Int32Array(CELLS)
  readonly from = new Map<number, number>()
  readonly payloads = new Map<number, Buffer>()
  #position = 0

  change(prng: Prng): void {
    const place = prng.pick([0, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES, 5 * CHUNK_BYTES])
    const offset = Math.max(0, place + 4 * (prng.below(4096) - 2048))
    const kind = prng.below(10)
    const position = ++this.#position
    if (kind < 7) {
      const length = Math.min(SPAN - offset, 4 * prng.between(1, prng.pick([1, 1024, 4096])))
      const payload = prng.chance(0.5) ? Buffer.alloc(length) : null
      if (payload !== null) this.payloads.set(position, payload)
      this.part.addData(offset, length, position, payload)
      this.from.set(position, offset)
      this.cells.fill(position, offset / 4, (offset + length) / 4)
      return
    }
    const length = Math.min(SPAN - offset, 4 * prng.between(1, prng.pick([4096, CHUNK_BYTES])))
    const fill = prng.pick([Fill.trim, Fill.zeroes])
    this.part.addZeroes(offset, length, position, fill)
    this.cells.fill(fill === Fill.trim ? TRIMMED : ZERO, offset / 4, (offset + length) / 4)
  }
}

test('a part holds, cell by cell, what was put there last', () => {
  const master = new Prng(seed)
  for (let run = 0; run < 150; run++) {
    const prng = master.fork(`run ${run}`)
    const subject = new Subject()
    for (let i = prng.between(1, 60); i > 0; i--) subject.change(prng)
    checkPlan(subject, prng)
    checkFlush(subject, prng)
    checkTotals(subject)
  }
})

function checkPlan({ part, cells, from }: Subject, prng: Prng): void {
  const offset = 4 * prng.below(CELLS)
  const length = prng.chance(0.2) ? SPAN - offset : Math.min(SPAN - offset, 4 * prng.below(16_384))
  const plan = new PiecePlan(offset, length)
  plan.take(part)
  let at = offset
  for (const piece of plan.finish()) {
    assert.ok(piece.length > 0)
    if (piece.from === 'device') assert.equal(piece.offset, at)
    if (piece.from === 'memory') assert.equal(piece.bytes.length, piece.length)
    for (let cell = at / 4; cell < (at + piece.length) / 4; cell++) {
      const held = cells[cell] as number
      if (held === NONE) assert.equal(piece.from, 'device')
      else if (held < 0) assert.equal(piece.from, 'zeroes')
      else if (piece.from === 'log') {
        assert.equal(piece.position, held)
        assert.equal(piece.payloadOffset, at - (from.get(held) as number))
      } else assert.equal(piece.from, 'memory')
    }
    at += piece.length
  }
  assert.equal(at, offset + length, 'the pieces have no gaps')
  assert.equal(
    partTouches(part, offset, length),
    cells.subarray(offset / 4, (offset + length) / 4).some((held) => held !== NONE),
  )
}

function checkFlush({ part, cells, from }: Subject, prng: Prng): void {
  const bytesMax = prng.pick([CHUNK_BYTES, 4 * CHUNK_BYTES])
  const piecesMax = prng.pick([1, 4, 512])
  const plan = planFlush(part, bytesMax, piecesMax)
  const written = new Int32Array(CELLS)
  for (const { offset, length, discard } of plan.zeroes) {
    assert.ok(length > 0)
    written.fill(discard ? TRIMMED : ZERO, offset / 4, (offset + length) / 4)
  }
  let behind = -1
  for (const { offset, length, logBytes, pieces } of plan.writes) {
    assert.ok(offset >= behind, 'writes are sorted and do not overlap')
    assert.ok(length <= bytesMax && pieces.length <= piecesMax)
    let at = offset
    let fromLog = 0
    for (const piece of pieces) {
      const size = piece.end - piece.start
      assert.equal(piece.start - piece.base, at - (from.get(piece.position) as number))
      if (piece.bytes === null) fromLog += size
      written.fill(piece.position, at / 4, (at + size) / 4)
      at += size
    }
    assert.equal(at, offset + length)
    assert.equal(logBytes, fromLog)
    behind = at
  }
  assert.deepEqual(written, cells)
}

function checkTotals({ part, payloads }: Subject): void {
  let intervals = part.runs.length
  const kept = new Set<Buffer>()
  for (const list of part.chunks.values()) {
    intervals += list.length
    for (const { bytes } of list) if (bytes !== null) kept.add(bytes)
  }
  assert.equal(part.intervalCount, intervals)
  let keptBytes = 0
  for (const bytes of kept) keptBytes += bytes.length
  let notedBytes = 0
  for (const bytes of payloads.values()) notedBytes += bytes.length
  assert.ok(part.memoryBytes >= keptBytes, 'memory is never counted too low')
  assert.ok(part.memoryBytes <= notedBytes)
  part.forgetBytes()
  assert.equal(part.memoryBytes, 0)
  for (const list of part.chunks.values()) for (const { bytes } of list) assert.equal(bytes, null)
}

test('a payload that is overwritten as a whole leaves memory at once', () => {
  const part = new Part(1)
  for (let i = 0; i < 1000; i++) part.addData(8192, 4096, i, Buffer.alloc(4096))
  assert.equal(part.memoryBytes, 4096)
  part.addZeroes(0, CHUNK_BYTES, 1001, Fill.zeroes)
  assert.equal(part.memoryBytes, 0)
})

test('a trim of 1 GiB is one record, and a device trimmed from end to end as well', () => {
  const part = new Part(1)
  const gib = 1024 * CHUNK_BYTES
  for (let i = 0; i < 1024; i++) part.addZeroes(i * gib, gib, i, Fill.trim)
  assert.equal(part.intervalCount, 1)
  part.addZeroes(gib + 512, gib, 2000, Fill.zeroes)
  assert.equal(part.intervalCount, 5)
})

test('a cut range is not written, and nothing else changes', () => {
  const part = new Part(1)
  part.addData(0, 8192, 1, Buffer.alloc(8192))
  part.addData(CHUNK_BYTES, 4096, 2, Buffer.alloc(4096))
  part.cut(4096, 2 * CHUNK_BYTES)
  assert.equal(part.intervalCount, 2)
  part.applyCuts()
  assert.deepEqual(
    planFlush(part, CHUNK_BYTES, 512).writes.map(({ offset, length }) => [offset, length]),
    [[0, 4096]],
  )
  assert.equal(part.memoryBytes, 8192)
})

test('replacing a range with nothing leaves what lies around it', () => {
  const list: Interval[] = []
  replaceRange(list, 0, 100, new Interval(0, 100, 0, 1, null, Fill.data, 100))
  assert.equal(replaceRange(list, 40, 60, null), 0, 'the halves still share the payload')
  assert.deepEqual(
    list.map(({ start, end, base, charge }) => [start, end, base, charge]),
    [
      [0, 40, 0, 0],
      [60, 100, 0, 0],
    ],
  )
  assert.equal(replaceRange(list, 200, 300, null), 0)
  assert.equal(list.length, 2)
})

test('a lost range is read as lost until it is overwritten, and stored until that is applied', () => {
  const lost = new LostRanges()
  lost.add(1, 1000, 1000, 5)
  lost.overwritten(1, 1200, 100)
  const spans: number[][] = []
  lost.within(1, 0, 1250, (start, end) => spans.push([start, end]))
  assert.deepEqual(spans, [[1000, 1200]])
  assert.deepEqual(lost.stored(), [{ deviceId: 1, offset: 1000, length: 1000 }])
  lost.applied(1, 0, 5000, 4)
  assert.equal(lost.stored().length, 1, 'an older layer does not undo a loss')
  lost.applied(1, 1200, 100, 5)
  assert.deepEqual(lost.stored(), [
    { deviceId: 1, offset: 1000, length: 200 },
    { deviceId: 1, offset: 1300, length: 700 },
  ])
  assert.equal(lost.touches(2), false)
})

test('lost ranges agree with a plain array', () => {
  const prng = new Prng(seed).fork('lost')
  const lost = new LostRanges()
  const cells = new Uint8Array(1000)
  for (let i = 0; i < 2000; i++) {
    const offset = prng.below(990)
    const length = prng.between(1, 1000 - offset > 60 ? 60 : 10)
    if (prng.chance(0.4)) {
      lost.add(1, offset, length, i)
      cells.fill(1, offset, offset + length)
    } else {
      lost.overwritten(1, offset, length)
      cells.fill(0, offset, offset + length)
    }
    const seen = new Uint8Array(1000)
    lost.within(1, 100, 800, (start, end) => seen.fill(1, start, end))
    const expected = new Uint8Array(1000)
    expected.set(cells.subarray(100, 900), 100)
    assert.deepEqual(seen, expected)
  }
})
