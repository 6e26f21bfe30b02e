/** The words and windows of a bandwidth limit, and the bucket that keeps it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  limitProblem,
  LimitWordsError,
  localMinute,
  printLimit,
  rateAt,
  readLimit,
  UNLIMITED,
} from '../../src/slink/link-limit.js'
import { InFlight } from '../../src/slink/in-flight.js'
import { BURST_MS, TokenBucket } from '../../src/slink/token-bucket.js'
import { Prng } from '@sitelink/storage/testing'

const MIB = 1024 * 1024
const seed = process.env['SEED'] ?? String(process.hrtime.bigint())
console.log(`SEED=${seed}`)

test('a limit is read and printed back, and a window over midnight holds on both of its sides', () => {
  const limit = readLimit('10m,22:00-06:00=unlimited,12:30-13:00=512k')
  assert.equal(printLimit(limit), '10m,12:30-13:00=512k,22:00-06:00=unlimited')
  assert.deepEqual(readLimit(printLimit(limit)), limit)
  const at = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3))
  for (const [time, rate] of [
    ['21:59', 10 * MIB],
    ['22:00', 0],
    ['00:00', 0],
    ['05:59', 0],
    ['06:00', 10 * MIB],
    ['12:29', 10 * MIB],
    ['12:30', 512 * 1024],
    ['13:00', 10 * MIB],
  ] as const)
    assert.equal(rateAt(limit, at(time)), rate, time)
  assert.deepEqual(readLimit('none'), UNLIMITED)
  assert.equal(rateAt(readLimit('unlimited,00:00-24:00=1m'.replace('24:00', '23:59')), 1439), 0)
  assert.equal(printLimit(readLimit('5,'.replace('5,', '5000'))), '5000')
})

test('a limit that overlaps itself, is too small, or is no time is refused with what is wrong', () => {
  for (const [text, why] of [
    ['1m,08:00-10:00=2m,09:59-12:00=3m', /two windows at 09:59/],
    ['1m,22:00-06:00=2m,05:00-05:01=3m', /two windows at 05:00/],
    ['1m,08:00-08:00=2m', /begins where it ends/],
    ['1m,25:00-06:00=2m', /no time of a day/],
    ['1m,08:61-09:00=2m', /no time of a day/],
    ['1m,8-9=2m', /should be as 22:00-06:00=unlimited/],
    ['22:00-06:00=1m', /should begin with the rate/],
    ['1023', /pause the slink to stop it/],
    ['0', /the rate 0: "none" lifts the limit, and pausing the slink stops it/],
    ['1m,08:00-09:00=0', /the rate 0: "none" lifts the limit/],
    ['1m,08:00-09:00=1', /pause the slink to stop it/],
  ] as const)
    assert.throws(
      () => readLimit(text),
      (error) => error instanceof LimitWordsError && why.test(error.message),
      text,
    )
  const windows = Array.from({ length: 25 }, (_, at) => ({ fromMinute: at, toMinute: at + 1, bytesPerSecond: 4096 }))
  assert.match(limitProblem({ bytesPerSecond: 0, windows }) ?? '', /more than 24 windows/)
})

test('on the days on which clocks are changed each moment has the rate that the clock on the wall says', () => {
  const before = process.env['TZ']
  process.env['TZ'] = 'Europe/Berlin'
  try {
    const limit = readLimit('1m,02:30-03:30=2m')
    const minuteUs = 60e6
    // Spring: 01:59 is followed by 03:00, so that only half of the window is there.
    const spring = Date.UTC(2026, 2, 29, 0, 0) * 1000
    const rates = (fromUs: number): number[] =>
      Array.from({ length: 240 }, (_, at) => rateAt(limit, localMinute(fromUs + at * minuteUs)))
    assert.equal(rates(spring).filter((rate) => rate === 2 * MIB).length, 30)
    // Autumn: 02:59 is followed by 02:00, so that half of the window is there twice.
    const autumn = Date.UTC(2026, 9, 24, 23, 0) * 1000
    assert.equal(rates(autumn).filter((rate) => rate === 2 * MIB).length, 90)
  } finally {
    if (before === undefined) delete process.env['TZ']
    else process.env['TZ'] = before
  }
})

test('a bucket gives its rate, whatever the sizes and the pace of those who ask, and never more', () => {
  const prng = new Prng(seed)
  for (let round = 0; round < 200; round += 1) {
    const rate = prng.between(1000, 50_000_000)
    const frameMax = prng.between(100, MIB)
    let nowMs = prng.between(0, 1e9)
    const startMs = nowMs
    const bucket = new TokenBucket(nowMs)
    let sent = 0
    while (nowMs - startMs < 60_000) {
      const waitMs = bucket.waitMs(rate, nowMs)
      if (waitMs > 0) {
        nowMs += waitMs
        continue
      }
      const bytes = prng.between(1, frameMax)
      bucket.spend(bytes)
      sent += bytes
      const most = (rate * (nowMs - startMs)) / 1000 + (rate * BURST_MS) / 1000 + frameMax
      assert.ok(sent <= most, `SEED=${seed} round ${round}: ${sent} of ${most} bytes`)
      if (sent > rate * 70) break
    }
    const due = (rate * (nowMs - startMs)) / 1000
    assert.ok(sent >= due * 0.98 - frameMax, `SEED=${seed} round ${round}: only ${sent} of ${due} bytes`)
  }
})

test('time that nobody used counts for no more than a moment', () => {
  const bucket = new TokenBucket(0)
  const rate = 1000_000
  assert.equal(bucket.waitMs(rate, 3_600_000), 0)
  bucket.spend((rate * BURST_MS) / 1000 + 1000)
  assert.equal(Math.round(bucket.waitMs(rate, 3_600_000)), 1)
})

test('what was sent while there was no limit is not owed when one is set', () => {
  const bucket = new TokenBucket(0)
  assert.equal(bucket.waitMs(0, 1000), 0)
  bucket.spend(1024 * 1024)
  assert.equal(bucket.waitMs(1024, 1000), 0)
  bucket.spend(1024)
  assert.ok(bucket.waitMs(1024, 1000) > 900, 'what goes out under it is')
})

test('what is in flight is what was sent and not received, by runs, and zero at the end', () => {
  const flight = new InFlight()
  flight.sent(3, 300)
  flight.sent(2, 50)
  assert.deepEqual([flight.frames, flight.bytes], [5, 350])
  flight.received(2)
  assert.deepEqual([flight.frames, flight.bytes], [3, 350])
  flight.received(3)
  assert.deepEqual([flight.frames, flight.bytes], [2, 50])
  flight.received(2)
  assert.deepEqual([flight.frames, flight.bytes], [2, 50], 'an older word changes nothing')
  flight.received(99)
  assert.deepEqual([flight.frames, flight.bytes], [0, 0], 'no more was sent')
  for (let at = 0; at < 20_000; at += 1) flight.sent(1, 10)
  assert.deepEqual([flight.frames, flight.bytes], [20_000, 200_000])
  flight.received(20_005)
  assert.deepEqual([flight.frames, flight.bytes], [0, 0])
})
