/** Credit: totals that never fall, windows that follow the path within a budget, and no way to get stuck. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CreditAccount,
  CreditWindow,
  FRAME_HEADER_BYTES,
  FRAME_PAYLOAD_BYTES_MAX,
  WINDOW_BYTES_MAX,
  WINDOW_BYTES_MIN,
} from '../../src/index.js'
import { seeded } from '../support/random.js'

const LARGEST = FRAME_HEADER_BYTES + FRAME_PAYLOAD_BYTES_MAX

test('an account is left what was granted minus what was spent, and a total never falls', () => {
  const account = new CreditAccount(1000)
  account.spend(600)
  assert.equal(account.left, 400)
  assert.equal(account.raise(999), false)
  assert.equal(account.raise(1000), true)
  assert.equal(account.raise(1500), true)
  assert.equal(account.left, 900)
  assert.throws(() => account.spend(901), /no more is sent/)
  assert.equal(account.spent, 600)
})

test('what is granted and not consumed never exceeds the window, and a sender with the largest frames is never stuck', (t) => {
  const random = seeded(t)
  const window = new CreditWindow()
  const account = new CreditAccount(window.grantedBytes)
  let received = 0
  let consumed = 0
  for (let round = 0; round < 20_000; round++) {
    const frame = random.oneIn(3) ? LARGEST : 96 + random.below(5000)
    if (account.left >= frame) {
      account.spend(frame)
      received += frame
    }
    if (random.oneIn(2)) {
      const bytes = random.below(received - consumed + 1)
      window.consume(bytes)
      consumed += bytes
    }
    const total = window.grantDue()
    if (total !== null) assert.ok(account.raise(total))
    assert.ok(window.grantedBytes - consumed <= window.windowBytes)
    if (consumed === received) assert.ok(account.left >= LARGEST, 'the largest frame fits once all is consumed')
  }
})

test('a grant is worth a message only after a quarter of the window', () => {
  const window = new CreditWindow()
  window.consume(WINDOW_BYTES_MIN / 4 - 1)
  assert.equal(window.grantDue(), null)
  window.consume(1)
  assert.equal(window.grantDue(), WINDOW_BYTES_MIN + WINDOW_BYTES_MIN / 4)
  assert.equal(window.grantDue(), null)
})

/** A path of `bytesPerMs` and `rttMs`: what a sender under the window gets through, measured for `ms`. */
function follow(window: CreditWindow, bytesPerMs: number, rttMs: number, ms: number): void {
  let consumed = consumedOf.get(window) ?? 0
  for (let now = 0; now < ms; now += 10) {
    for (let left = Math.floor(Math.min(bytesPerMs, window.windowBytes / rttMs) * 10); left > 0;) {
      const bytes = Math.min(left, window.grantedBytes - consumed)
      window.consume(bytes)
      window.grantDue()
      consumed += bytes
      left -= bytes
    }
    window.measure(now, rttMs)
  }
  consumedOf.set(window, consumed)
}
const consumedOf = new WeakMap<CreditWindow, number>()

test('the window grows to twice the product of bandwidth and round trip, and not beyond', () => {
  const window = new CreditWindow()
  follow(window, 200_000, 50, 20_000)
  const product = 200_000 * 50
  assert.ok(window.windowBytes >= 1.9 * product && window.windowBytes <= 2.2 * product, `${window.windowBytes}`)
})

test('a short path keeps the smallest window, a long fast one stops at the budget', () => {
  const short = new CreditWindow()
  follow(short, 1_000_000, 0.1, 5000)
  assert.equal(short.windowBytes, WINDOW_BYTES_MIN)
  const long = new CreditWindow()
  follow(long, 1_000_000, 1000, 60_000)
  assert.equal(long.windowBytes, WINDOW_BYTES_MAX)
  const poor = new CreditWindow({ bytesMax: 8 * 1024 * 1024 })
  follow(poor, 1_000_000, 1000, 60_000)
  assert.equal(poor.windowBytes, 8 * 1024 * 1024)
})

test('a smaller budget takes effect without taking granted credit back', () => {
  const window = new CreditWindow()
  follow(window, 1_000_000, 1000, 60_000)
  const granted = window.grantedBytes
  window.limit(WINDOW_BYTES_MIN)
  assert.equal(window.windowBytes, WINDOW_BYTES_MIN)
  assert.equal(window.grantDue(), null)
  assert.equal(window.grantedBytes, granted)
})

test('an idle path shrinks its window slowly', () => {
  const window = new CreditWindow()
  follow(window, 200_000, 50, 20_000)
  const before = window.windowBytes
  window.measure(30_000, 50)
  assert.ok(window.windowBytes >= before * 0.87 && window.windowBytes < before)
  for (let now = 31_000; now < 100_000; now += 1000) window.measure(now, 50)
  assert.equal(window.windowBytes, WINDOW_BYTES_MIN)
})

test('without a round trip the window stays', () => {
  const window = new CreditWindow()
  window.measure(0, null)
  window.consume(WINDOW_BYTES_MIN)
  window.measure(1000, null)
  assert.equal(window.windowBytes, WINDOW_BYTES_MIN)
})
