/** What the links of a storm go over: every carrier within two rounds, and never the same for both. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SCHEMES } from '../support/carriers.js'
import { carriersOf } from './itinerary.js'

test('two rounds take some link over each of four carriers, and no two rounds in a row leave a link where it was', () => {
  for (let round = 1; round <= 20; round++) {
    const [now, next] = [carriersOf(SCHEMES, round), carriersOf(SCHEMES, round + 1)]
    assert.notEqual(now[0], now[1])
    for (const at of [0, 1] as const) assert.notEqual(now[at], next[at], `slink ${at + 1} in round ${round}`)
    if (round % 2 === 1) assert.deepEqual(new Set([...now, ...next]), new Set(SCHEMES))
  }
})

test('each link goes over each carrier in the end, however few there are', () => {
  for (let count = 1; count <= SCHEMES.length; count++) {
    const over = SCHEMES.slice(0, count)
    const rounds = Array.from({ length: 20 }, (_, at) => carriersOf(over, at + 1))
    for (const at of [0, 1] as const) assert.deepEqual(new Set(rounds.map((pair) => pair[at])), new Set(over))
  }
})
