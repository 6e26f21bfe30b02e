/** How long to wait before the next attempt. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { backoffMs } from '../../src/index.js'

const TIMES = { minMs: 100, maxMs: 5000 }
const chance = (byte: number) => ({ bytes: (count: number) => Buffer.alloc(count, byte) })

test('every address is tried at the shortest wait, each round doubles it, and chance moves it by a quarter', () => {
  const waits = (addresses: number, count: number): number[] =>
    Array.from({ length: count }, (_, attempt) => backoffMs(attempt, addresses, TIMES, chance(128)))
  assert.deepEqual(waits(1, 8), [100, 200, 400, 800, 1600, 3200, 5000, 5000])
  assert.deepEqual(waits(3, 7), [100, 100, 100, 200, 200, 200, 400])
  assert.equal(backoffMs(0, 1, TIMES, chance(0)), 75)
  assert.ok(backoffMs(1e9, 1, TIMES, chance(255)) < 6250)
})
