/** Fall-behind at its exact boundaries. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exceeds, isLimited, NO_LIMIT, type Outstanding } from '../../src/slink/fall-behind.js'

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
