import assert from 'node:assert/strict'
import { test } from 'node:test'
import { cutExtents, ReplyBatch } from '../src/reply-batch.js'
import { hex } from './support.js'

const to = { cookieHigh: 0x01020304, cookieLow: 0x05060708 }
const hole = { hole: true, zero: true }
const data = { hole: false, zero: false }

function encoded(encode: (batch: ReplyBatch) => void): Buffer {
  const batch = new ReplyBatch()
  encode(batch)
  const { bytes } = batch
  const all = Buffer.concat(batch.take())
  assert.equal(all.length, bytes)
  assert.equal(batch.bytes, 0)
  return all
}

const fillWith = (bytes: string) => (into: Buffer) => hex(bytes).copy(into) === into.length

test('the golden bytes of every kind of reply stay as they are', () => {
  const golden: readonly [(batch: ReplyBatch) => void, string][] = [
    [(batch) => batch.simple(to, 0), '67446698 00000000 0102030405060708'],
    [(batch) => batch.simple(to, 28), '67446698 0000001c 0102030405060708'],
    [(batch) => batch.simpleData(to, [hex('aabb'), hex('cc')]), '67446698 00000000 0102030405060708 aabbcc'],
    [(batch) => batch.fillSimpleData(to, 3, fillWith('aabbcc')), '67446698 00000000 0102030405060708 aabbcc'],
    [
      (batch) => batch.fillData(to, 0x1_2345_6789, 3, fillWith('aabbcc')),
      '668e33ef 0001 0001 0102030405060708 0000000b 0000000123456789 aabbcc',
    ],
    [
      (batch) => batch.data(to, 0x1_2345_6789, 3, [hex('aabb'), hex('cc')]),
      '668e33ef 0001 0001 0102030405060708 0000000b 0000000123456789 aabbcc',
    ],
    [(batch) => batch.error(to, 22, 'no'), '668e33ef 0001 8001 0102030405060708 00000008 00000016 0002 6e6f'],
    [
      (batch) =>
        batch.status(to, [
          { length: 512, ...hole },
          { length: 4096, ...data },
        ]),
      '668e33ef 0001 0005 0102030405060708 00000014 00000001 00000200 00000003 00001000 00000000',
    ],
  ]
  for (const [encode, expected] of golden) assert.deepEqual(encoded(encode), hex(expected))
})

test('small replies become one chunk, and large pieces go as they are', () => {
  const batch = new ReplyBatch()
  for (let count = 0; count < 100; count++) batch.simple(to, 0)
  const large = Buffer.alloc(100_000, 7)
  batch.data(to, 0, large.length + 4, [large, hex('01020304')])
  batch.simple(to, 0)
  const chunks = batch.take()
  assert.equal(chunks.length, 3)
  assert.equal(chunks[1], large)
  assert.equal(chunks[2]?.length, 4 + 16)
})

test('reads that are filled in are sent as if they had come in pieces, whatever their size; one that fails leaves nothing', () => {
  const lengths = [1, 4096, 8192, 8193, 16_384, 65_536, 4096, 12, 100_000, 4096]
  const pieces = lengths.map((length, index) => Buffer.alloc(length, index + 1))
  const refused = (into: Buffer): boolean => {
    into.fill(0xee)
    return false
  }
  for (const structured of [true, false]) {
    const filled = encoded((batch) => {
      for (const piece of pieces) {
        const fill = (into: Buffer): boolean => piece.copy(into) === into.length
        const ways = structured
          ? [refused, fill].map((way) => batch.fillData(to, 512, piece.length, way))
          : [refused, fill].map((way) => batch.fillSimpleData(to, piece.length, way))
        assert.deepEqual(ways, [false, true])
      }
    })
    const given = encoded((batch) => {
      for (const piece of pieces)
        if (structured) batch.data(to, 512, piece.length, [piece])
        else batch.simpleData(to, [piece])
    })
    assert.ok(filled.equals(given))
  }
})

test('small reads that are filled in share one chunk with their headers', () => {
  const batch = new ReplyBatch()
  for (let count = 0; count < 10; count++) batch.fillData(to, 0, 4096, (into) => into.fill(count).length > 0)
  assert.equal(batch.take().length, 1)
})

test('what was taken never changes', () => {
  const batch = new ReplyBatch()
  batch.simple(to, 1)
  const first = batch.take()[0]
  const before = Buffer.from(first ?? '')
  for (let count = 0; count < 20_000; count++) batch.simple(to, 5)
  for (let count = 0; count < 100; count++) batch.fillData(to, 0, 4096, (into) => into.fill(9).length > 0)
  batch.take()
  assert.deepEqual(first, before)
})

test('a sentence that is too long is cut', () => {
  assert.equal(encoded((batch) => batch.error(to, 5, 'x'.repeat(10_000))).length, 20 + 6 + 192)
})

test('extents are cut to the request, merged with their likes, and counted', () => {
  const extents = [
    { length: 100, ...hole },
    { length: 100, ...hole },
    { length: 100, ...data },
    { length: 100, ...hole },
  ]
  const cut = (length: number, one: boolean, countMax: number): number[] =>
    cutExtents(extents, length, one, countMax).map((extent) => extent.length)
  assert.deepEqual(cut(1000, false, 10), [200, 100, 100])
  assert.deepEqual(cut(350, false, 10), [200, 100, 50])
  assert.deepEqual(cut(350, false, 2), [200, 100])
  assert.deepEqual(cut(350, true, 10), [200])
  assert.deepEqual(cut(150, true, 10), [150])
})
