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

test('the rest of a large payload is read to where it stays, also one of which nothing is here yet', () => {
  for (const ahead of [0, 7]) {
    const bytes = new Prng(`rest ${ahead}`).bytes(100_000)
    const reader = new ByteReader()
    const first = reader.room(0)
    reader.feed(first.subarray(0, bytes.copy(first, 0, 0, 20 + ahead)))
    assert.ok(reader.header(20))
    assert.equal(reader.take(90_000), null)
    const room = reader.room(90_000)
    assert.equal(room.length, 90_000 - ahead)
    let payload: Buffer | null = null
    for (let at = 20 + ahead; payload === null;) {
      const place = reader.room(90_000)
      const end = Math.min(at + place.length, at + 40_000, 90_020)
      reader.feed(place.subarray(0, bytes.copy(place, 0, at, end)))
      at = end
      payload = reader.take(90_000)
    }
    assert.ok(payload.buffer === room.buffer, 'without a copy')
    assert.ok(payload.equals(bytes.subarray(20, 90_020)))
    assert.equal(reader.restBytes, 0)
  }
})

test('headers and payloads are the same wherever they were read', () => {
  const prng = new Prng('rooms')
  for (let round = 0; round < 40; round++) {
    const bytes = prng.bytes(prng.between(1, 1_000_000))
    const reader = new ByteReader()
    let fed = 0
    let at = 0
    /** Feeds until the step has all its bytes; false at the end of the stream. */
    const whole = (takeBytes: number, attempt: () => boolean): boolean => {
      while (!attempt()) {
        if (fed === bytes.length) return false
        const place = prng.between(0, 5) === 0 ? Buffer.allocUnsafeSlow(prng.between(1, 9000)) : reader.room(takeBytes)
        const count = Math.min(place.length, bytes.length - fed, prng.between(1, prng.pick([50, 60_000, 200_000])))
        reader.feed(place.subarray(0, bytes.copy(place, 0, fed, fed + count)))
        fed += count
      }
      return true
    }
    for (;;) {
      const length = prng.between(1, prng.pick([100, 40_000, 150_000]))
      let got: Buffer | null = null
      if (!whole(0, () => reader.header(28))) break
      assert.ok(reader.view.subarray(reader.at, reader.at + 28).equals(bytes.subarray(at, at + 28)))
      if (!whole(length, () => (got = reader.take(length)) !== null)) break
      assert.ok((got as Buffer | null)?.equals(bytes.subarray(at + 28, at + 28 + length)))
      at += 28 + length
    }
  }
})

test('a small payload that was read by itself keeps no more than its own memory', () => {
  const reader = new ByteReader()
  const bytes = new Prng('crumbs').bytes(40_000)
  const read = (from: number, to: number): void => {
    const room = reader.room(0)
    reader.feed(room.subarray(0, bytes.copy(room, 0, from, to)))
  }
  read(0, 28 + 4096)
  assert.ok(reader.header(28))
  const alone = reader.take(4096)
  assert.equal(alone?.buffer.byteLength, 4096)
  assert.ok(alone?.equals(bytes.subarray(28, 28 + 4096)))
  read(10_000, 40_000)
  assert.ok(reader.header(28))
  const among = reader.take(4096)
  assert.ok((among?.buffer.byteLength ?? 0) > 4096, 'one of many stays where it was read')
  assert.ok(among?.equals(bytes.subarray(10_028, 10_028 + 4096)))
})
