import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteReader } from '../src/byte-reader.js'
import { chunksOf, hex, Prng } from './support.js'

test('what lies within a chunk is handed out where it lies', () => {
  const reader = new ByteReader()
  const chunk = hex('01020304 05060708')
  reader.feed(chunk)
  assert.ok(reader.header(2))
  assert.equal(reader.view, chunk)
  assert.equal(reader.at, 0)
  const payload = reader.take(6)
  assert.equal(payload?.buffer, chunk.buffer)
  assert.deepEqual(payload, hex('0304 05060708'))
})

test('a payload that begins with a chunk is not copied', () => {
  const reader = new ByteReader()
  reader.feed(hex('01'))
  assert.ok(reader.header(1))
  assert.equal(reader.take(3), null)
  const chunk = hex('020304')
  reader.feed(chunk)
  assert.equal(reader.take(3)?.buffer, chunk.buffer)
})

test('a chunk that is not used up cannot be followed by another', () => {
  const reader = new ByteReader()
  reader.feed(hex('0102'))
  assert.ok(reader.header(1))
  assert.equal(reader.restBytes, 1)
  assert.throws(() => reader.feed(hex('03')), /not used up/)
  reader.discard()
  reader.feed(hex('03'))
})

test('any sequence of headers, payloads and skips is the same for any chunks', () => {
  const prng = new Prng('byte reader')
  for (let round = 0; round < 300; round++) {
    const bytes = prng.bytes(prng.between(1, 2000))
    const reader = new ByteReader()
    const chunks = chunksOf(bytes, () => prng.between(1, prng.pick([1, 10, 500])))
    /** Repeats until the step has all its bytes; false at the end of the stream. */
    const whole = (attempt: () => boolean): boolean => {
      for (;;) {
        if (attempt()) return true
        const next = chunks.next()
        if (next.done === true) return false
        reader.feed(next.value)
      }
    }
    let at = 0
    for (;;) {
      const length = prng.between(1, 64)
      const kind = prng.between(0, 2)
      let got: Buffer | null = null
      if (kind === 2) reader.skip(length)
      const done = whole(() => {
        if (kind === 2) return reader.skipped()
        if (kind === 1) return (got = reader.take(length)) !== null
        if (!reader.header(length)) return false
        got = reader.view.subarray(reader.at, reader.at + length)
        return true
      })
      if (!done) break
      if (kind !== 2) assert.deepEqual(got, bytes.subarray(at, at + length))
      at += length
    }
    assert.ok(bytes.length - at < 64)
  }
})
