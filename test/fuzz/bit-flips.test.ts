/**
 * A hundred thousand bits that flip, in logs, journals and dirty logs at rest and between two sessions: none is applied
 * silently, each is reported where it is found, or hit bytes that carry nothing.
 *
 * How it is judged stands in flips/: by what was given to the log, byte for byte, and by where the bit is. `FUZZ_SEED` draws
 * others. The canaries at the end hand broken outcomes to the same judges, which must refuse them.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { Prng } from '@sitelink/storage/testing'
import { Finding } from './engine/target.js'
import { Arena } from './flips/arena.js'
import { flipDirty, judgeDirty, openDirty } from './flips/dirty-flips.js'
import { placesOf } from './flips/places.js'
import { flipRing } from './flips/ring-flips.js'
import { judgeRing, openAndRead, type RingOutcome } from './flips/ring-judge.js'
import { deliver, flipWire, judgeWire, wireStreams } from './flips/wire-flips.js'
import { makeDirtyImage } from './worlds/dirty-image.js'
import { FlipDisk } from './worlds/flip-disk.js'
import { makeRingImage, type RingImageOptions } from './worlds/ring-image.js'

const seed = process.env['FUZZ_SEED'] ?? 'fuzz'
console.log(`bit flips: FUZZ_SEED=${seed}`)

/** All flips together; `SITELINK_FLIPS` asks for more or fewer. */
const TOTAL = Number(process.env['SITELINK_FLIPS'] ?? 100_000)
/** Images that the flips of one place are spread over. */
const IMAGES = 4
const share = (part: number): number => IMAGES * Math.round((part * TOTAL) / IMAGES)
/** Flips of each place: those that take longest are fewest. */
const FLIPS = { log: share(0.05), journal: share(0.03), dirty: share(0.35) } as const
const WIRE_FLIPS = TOTAL - FLIPS.log - FLIPS.journal - FLIPS.dirty

/** Flips that were judged. */
let told = 0

class Counts {
  readonly #counts = new Map<string, number>()
  total = 0

  add(what: string): void {
    this.total++
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  tell(t: TestContext, what: string): void {
    t.diagnostic(`${what}: ${this.total} flips, FUZZ_SEED=${seed}`)
    for (const [name, count] of [...this.#counts].sort()) t.diagnostic(`  ${String(count).padStart(6)}  ${name}`)
  }

  of(pattern: RegExp): number {
    return [...this.#counts].reduce((sum, [name, count]) => sum + (pattern.test(name) ? count : 0), 0)
  }
}

async function flipRings(t: TestContext, what: string, rule: RingImageOptions['rule'], flips: number): Promise<void> {
  const counts = new Counts()
  const arena = new Arena()
  for (let at = 0; at < IMAGES; at++) {
    const stop = at % 2 === 0 ? 'clean' : 'killed'
    const image = await makeRingImage(`${seed}/${at}`, { rule, stop })
    const places = await placesOf(image.bytes)
    const disk = new FlipDisk(image.bytes)
    const prng = new Prng(`${seed}/flip ${what} ${at}`)
    assert.equal(judgeRing(await openAndRead(disk, image), image, places).kind, 'nothing lost')
    disk.restore()
    // A log that was killed is searched for proofs at each opening, which takes longer: fewer of those.
    const part = Math.floor((flips * (stop === 'clean' ? 0.7 : 0.3)) / (IMAGES / 2))
    for (let left = at === IMAGES - 1 ? flips - counts.total : part; left > 0; left--) {
      arena.enter()
      try {
        counts.add(await flipRing(disk, image, places, prng))
      } finally {
        arena.leave()
      }
    }
  }
  counts.tell(t, what)
  told += counts.total
  assert.ok(counts.of(/^entry/) > flips / 10 && counts.of(/: hole/) > flips / 20, 'many flips hit what counts')
}

test('[FMT-03] bits that flip in a replog at rest are reported, and nothing that was durable is lost without a word', (t) =>
  flipRings(t, 'log', 'dense', FLIPS.log))

test('[FMT-03] bits that flip in a journal at rest are reported, and nothing that was durable is lost without a word', (t) =>
  flipRings(t, 'journal', 'monotone', FLIPS.journal))

test('bits that flip on the wire end the session before the frame that they hit', (t) => {
  const counts = new Counts()
  const prng = new Prng(`${seed}/wire`)
  const streams = wireStreams(prng)
  for (let left = WIRE_FLIPS; left > 0; left--) {
    const stream = prng.pick(streams)
    counts.add(`to the ${stream.role}, in a ${flipWire(stream, prng)}: session ended`)
  }
  counts.tell(t, 'wire')
  told += counts.total
})

test('[DLG-08] bits that flip in a dirty log at rest make no region clean, and are reported', async (t) => {
  const counts = new Counts()
  for (let at = 0; at < IMAGES; at++) {
    const prng = new Prng(`${seed}/dirty ${at}`)
    const image = await makeDirtyImage(prng, at % 2 === 1)
    const disk = new FlipDisk(image.bytes)
    const undamaged = await openDirty(disk, image)
    disk.restore()
    for (let left = FLIPS.dirty / IMAGES; left > 0; left--) counts.add(await flipDirty(disk, image, undamaged, prng))
  }
  counts.tell(t, 'dirty log')
  told += counts.total
})

test('as many bits were flipped as were asked for', () => {
  assert.equal(told, TOTAL)
})

// --- canaries: what the judges must not let pass ------------------------------------------------------------------

test('canary: an entry whose payload was not checked is caught', async () => {
  const image = await makeRingImage('canary', { rule: 'dense', stop: 'clean' })
  const places = await placesOf(image.bytes)
  const disk = new FlipDisk(image.bytes)
  const good = await openAndRead(disk, image)
  assert.ok(good.kind === 'opened')
  type Opened = Extract<RingOutcome, { kind: 'opened' }>
  const tampered = (change: (outcome: Opened) => RingOutcome): (() => void) => {
    return () => void judgeRing(change(good), image, places)
  }
  const at = good.items.findIndex((item) => 'frame' in item && (item.frame.payload?.length ?? 0) > 500)
  const unchecked = good.items.map((item, index) => {
    if (index !== at || !('frame' in item) || item.frame.payload === null) return item
    const payload = Buffer.from(item.frame.payload)
    payload[99] = (payload[99] as number) ^ 4
    return { ...item, frame: { ...item.frame, payload } }
  })
  assert.throws(
    tampered((outcome) => ({ ...outcome, items: unchecked })),
    /not what was given to the log/,
  )
  assert.throws(
    tampered((outcome) => ({ ...outcome, items: outcome.items.filter((_, index) => index !== at) })),
    /gone and nothing says so/,
  )
  assert.throws(
    tampered((outcome) => ({
      ...outcome,
      items: outcome.items.slice(0, 5),
      cut: outcome.items[5]?.position ?? 0,
      report: { ...outcome.report, cutBytes: 4096 },
    })),
    /was durable and was cut/,
  )
  const { position, end } = good.items[at] as { position: number; end: number }
  assert.throws(
    tampered((outcome) => ({
      ...outcome,
      items: outcome.items.with(at, { position, end, firstLsn: 1, lastLsn: 2 ** 50, ranges: [] }),
    })),
    /does not name its range/,
  )
  assert.throws(
    tampered((outcome) => ({ ...outcome, regions: new Set(['9/9']) })),
    /said to be untouched/,
  )
})

test('canary: a frame that was handed on behind the damage, or damage without an end, is caught', () => {
  const stream = wireStreams(new Prng(1))[0]
  assert.ok(stream !== undefined)
  const place = (stream.bounds[5] as number) + 10
  const whole = deliver(stream, stream.bytes, [])
  assert.throws(() => judgeWire(whole, stream, [place]), Finding)
  const ended = { ...whole, told: whole.told.slice(0, 5) }
  assert.throws(() => judgeWire(ended, stream, [place]), /it ended with connection/)
  const told = whole.told.slice(0, 5).with(2, { kind: 'bye', reason: 'other bytes' })
  assert.throws(() => judgeWire({ ...whole, told }, stream, [place]), /what was handed on/)
})

test('canary: a region that turned clean, or a flip that nobody reported, is caught', async () => {
  const image = await makeDirtyImage(new Prng('canary'), false)
  const undamaged = await openDirty(new FlipDisk(image.bytes), image)
  const { runs } = undamaged
  assert.throws(
    () => judgeDirty({ ...undamaged, found: 'damaged', reason: 'x', runs: runs.slice(1) }, image, undamaged, [9000]),
    /is clean and must be dirty/,
  )
  assert.throws(() => judgeDirty(undamaged, image, undamaged, [9000]), /is not reported/)
  assert.throws(() => judgeDirty({ ...undamaged, runs: [[0, 40_000]] }, image, undamaged, [600]), /something differs/)
})
