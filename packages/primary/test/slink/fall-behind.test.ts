/** Fall-behind at its exact boundaries. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  exceeds,
  fallBehindProblem,
  forces,
  isLimited,
  NO_LIMIT,
  resumePercentOf,
  withResume,
  type Outstanding,
} from '../../src/slink/fall-behind.js'

const IDLE: Outstanding = { ios: 0, bytes: 0, ageMs: null }

test('[FB-01] ios N is exceeded by N + 1 entries and not by N', () => {
  const limit = { ...NO_LIMIT, ios: 10 }
  assert.equal(exceeds(limit, { ...IDLE, ios: 10 }), null)
  assert.equal(exceeds(limit, { ...IDLE, ios: 11 }), 'ios')
})

test('[FB-02] size N counts bytes: with 1 MiB the 257th write of 4 KiB exceeds it', () => {
  const limit = { ...NO_LIMIT, bytes: 1024 * 1024 }
  assert.equal(exceeds(limit, { ...IDLE, bytes: 256 * 4096 }), null)
  assert.equal(exceeds(limit, { ...IDLE, bytes: 257 * 4096 }), 'size')
  assert.equal(exceeds(limit, { ...IDLE, bytes: 1024 * 1024 + 1 }), 'size')
})

test('[FB-03] timeout N is exceeded by an older entry, not by one of just that age, never by none', () => {
  const limit = { ...NO_LIMIT, timeoutMs: 500 }
  assert.equal(exceeds(limit, { ...IDLE, ageMs: 500 }), null)
  assert.equal(exceeds(limit, { ...IDLE, ageMs: 500.001 }), 'timeout')
  assert.equal(exceeds(limit, IDLE), null)
})

test('[FB-07] a limit of 0 is never exceeded', () => {
  assert.equal(
    exceeds(NO_LIMIT, { ios: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER, ageMs: Number.MAX_SAFE_INTEGER }),
    null,
  )
  assert.equal(isLimited(NO_LIMIT), false)
  for (const one of [{ ios: 1 }, { bytes: 1 }, { timeoutMs: 1 }]) assert.equal(isLimited({ ...NO_LIMIT, ...one }), true)
})

test('[FB-11] a site that is waited for is let go at or below its share of every limit; what begins it is the limit', () => {
  const limit = withResume({ ios: 10, bytes: 1000, timeoutMs: 500 }, 80)
  const at = (ios: number, bytes: number, ageMs: number | null, forced: boolean) =>
    forces(limit, { ios, bytes, ageMs }, forced)
  assert.deepEqual([at(10, 1000, 500, false), at(11, 0, null, false)], [null, 'ios'])
  assert.deepEqual([at(9, 0, 0, true), at(8, 0, 0, true)], ['ios', null])
  assert.deepEqual([at(1, 801, 0, true), at(1, 800, 0, true)], ['size', null])
  assert.deepEqual([at(1, 1, 400.001, true), at(1, 1, 400, true)], ['timeout', null])
  assert.equal(at(8, 801, 0, true), 'size', 'of every limit, not of the one that began it')
  assert.equal(at(0, 0, null, true), null, 'one that has everything is always let go')
})

test('[FB-11] without a share a site is let go at its limits, and a share is never rounded to another', () => {
  const bare = { ...NO_LIMIT, ios: 10 }
  for (const ios of [9, 10, 11])
    assert.equal(forces(bare, { ...IDLE, ios }, true), forces(bare, { ...IDLE, ios }, false))
  for (let percent = 1; percent < 100; percent++) {
    const limit = withResume({ ...NO_LIMIT, ios: 100 }, percent)
    assert.equal(forces(limit, { ...IDLE, ios: percent }, true), null, `${percent} % of 100`)
    assert.equal(forces(limit, { ...IDLE, ios: percent + 1 }, true), 'ios')
  }
  const one = withResume({ ...NO_LIMIT, ios: 1 }, 50)
  assert.equal(forces(one, { ...IDLE, ios: 1 }, true), 'ios', 'half of one is less than one, and is a limit')
})

test('[FB-11] a share of 100 is none, and a share without a limit is refused', () => {
  assert.deepEqual(withResume({ ...NO_LIMIT, ios: 1, resumePercent: 5 }, 100), { ...NO_LIMIT, ios: 1 })
  assert.equal(resumePercentOf(NO_LIMIT), 100)
  assert.match(fallBehindProblem(withResume(NO_LIMIT, 80), 'async') ?? '', /there is none: ios, size or timeout/)
  assert.equal(fallBehindProblem(withResume({ ...NO_LIMIT, timeoutMs: 1 }, 80), 'async'), null)
  assert.match(fallBehindProblem(withResume({ ...NO_LIMIT, ios: 1 }, 80), 'sync') ?? '', /never falls behind/)
})
