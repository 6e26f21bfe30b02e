/** Where the bytes of a ring lie: arithmetic only, held against a model that knows the place of every block. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  isPlain,
  isPossibleLayout,
  layoutAround,
  piecesAt,
  plainLayout,
  shrinkTo,
  type RingLayout,
} from '../../src/ring-log/layout.js'
import { Prng, seedFromEnv } from '../../src/testing/index.js'

const BLOCK = 4096
const RUNS = Number(process.env['RUNS'] ?? 300)

/** The place of every block from `tail` up to `head`. */
function placesOf(layout: RingLayout, tail: number, head: number): number[] {
  return piecesAt(layout, tail, head - tail).flatMap(({ place, length }) =>
    Array.from({ length: length / BLOCK }, (_, block) => place + block * BLOCK),
  )
}

test('a ring that grows while it is full and wrapped takes the new space in between, and nothing moves', () => {
  const old = plainLayout(8 * BLOCK)
  const [tail, head] = [12 * BLOCK, 20 * BLOCK]
  const grown = layoutAround(piecesAt(old, tail, head - tail), tail, 10 * BLOCK)
  assert.deepEqual(grown.pieces, [
    { place: 0, length: 4 * BLOCK },
    { place: 8 * BLOCK, length: 2 * BLOCK },
    { place: 4 * BLOCK, length: 4 * BLOCK },
  ])
  assert.deepEqual(placesOf(grown, tail, head), placesOf(old, tail, head))
  assert.deepEqual(placesOf(grown, head, head + 2 * BLOCK), [8 * BLOCK, 9 * BLOCK])
})

test('a ring that grows while what is needed does not wrap stays in one piece, and an empty one is as new', () => {
  const old = plainLayout(8 * BLOCK)
  const grown = layoutAround(piecesAt(old, 10 * BLOCK, 4 * BLOCK), 10 * BLOCK, 11 * BLOCK)
  assert.deepEqual(grown.pieces, [{ place: 0, length: 11 * BLOCK }])
  assert.equal(piecesAt(grown, 10 * BLOCK, BLOCK)[0]?.place, 2 * BLOCK)
  assert.ok(isPlain(layoutAround([], 10 * BLOCK, 11 * BLOCK)))
})

test('through any number of resizes what is needed stays where it lies, or moves to places that nobody needs', () => {
  const base = seedFromEnv('ring layouts')
  for (let index = 0; index < RUNS; index++) {
    const prng = new Prng(`${base}/${index}`)
    let layout = plainLayout(prng.between(4, 40) * BLOCK)
    let tail = prng.below(100) * BLOCK
    let head = tail
    for (let step = prng.between(1, 12); step > 0; step--) {
      tail += prng.between(0, (head - tail) / BLOCK) * BLOCK
      head += prng.between(0, (layout.ringBytes - (head - tail)) / BLOCK) * BLOCK
      const ringBytes = prng.between(Math.max(1, (head - tail) / BLOCK), 60) * BLOCK
      const before = placesOf(layout, tail, head)
      if (ringBytes >= layout.ringBytes) {
        layout = layoutAround(piecesAt(layout, tail, head - tail), tail, ringBytes)
        assert.deepEqual(placesOf(layout, tail, head), before, `seed ${base}/${index}`)
      } else {
        const { layout: shrunk, moves } = shrinkTo(layout, tail, ringBytes)
        const places = placesOf(shrunk, tail, head)
        const moved = moves.flatMap(({ position, length }) =>
          Array.from({ length: length / BLOCK }, (_, block) => position + block * BLOCK),
        )
        const needed = new Set(before)
        places.forEach((place, block) => {
          if (place === before[block]) return
          assert.ok(moved.includes(tail + block * BLOCK), 'what lies elsewhere is said to move')
          assert.ok(!needed.has(place), 'a place that is needed is not written to')
          assert.ok((before[block] as number) >= ringBytes, 'only what lies behind the new end moves')
        })
        layout = layoutAround(piecesAt(shrunk, tail, head - tail), tail, ringBytes)
        assert.deepEqual(placesOf(layout, tail, head), places, `seed ${base}/${index}`)
      }
      assert.equal(layout.ringBytes, ringBytes)
      assert.ok(layout.pieces.length > 64 || isPossibleLayout(layout), `seed ${base}/${index}`)
      const all = placesOf(layout, tail, tail + ringBytes).toSorted((a, b) => a - b)
      assert.deepEqual(all, placesOf(plainLayout(ringBytes), 0, ringBytes), 'every block is used once')
    }
  }
})
