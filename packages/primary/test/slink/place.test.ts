/** The place of a slink: what it pins, and what an acknowledgement moves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import { Place } from '../../src/slink/place.js'

const at = (lsn: number) => ({ incarnation: 1, lsn })

test('the pinned position moves by whole runs, and never beyond what is acknowledged', () => {
  const place = new Place(at(10), 1000, true)
  place.passed(12, 1200)
  place.passed(15, 1500)
  assert.equal(place.acknowledged(at(13)), true)
  assert.deepEqual([place.point.lsn, place.position], [13, 1200])
  assert.equal(place.acknowledged(at(14)), false)
  assert.equal(place.acknowledged(at(15)), true)
  assert.deepEqual([place.point.lsn, place.position], [15, 1500])
})

test('an acknowledgement below the place changes nothing', () => {
  const place = new Place(at(10), 1000, true)
  assert.equal(place.acknowledged(at(9)), false)
  assert.equal(place.point.lsn, 10)
})

test('a new session forgets the runs of the old one', () => {
  const place = new Place(at(10), 1000, true)
  place.passed(20, 2000)
  place.restart()
  assert.equal(place.acknowledged(at(20)), false)
  assert.equal(place.position, 1000)
})

test('[OVF-04] whatever is passed and acknowledged, everything that is not acknowledged is pinned', () => {
  const prng = new Prng(seedFromEnv('place'))
  const place = new Place(at(0), 0, true)
  let passed = 0
  let acked = 0
  for (let step = 0; step < 20_000; step++) {
    // In this model an entry of LSN n ends at position 10 n.
    if (prng.chance(0.5)) place.passed((passed += prng.between(1, 5)), passed * 10)
    else if (passed > acked) place.acknowledged(at((acked = prng.between(acked, passed))))
    assert(place.position <= acked * 10 && place.point.lsn === acked)
    if (acked === passed) assert.equal(place.position, passed * 10)
  }
})
