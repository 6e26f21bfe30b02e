/** Integers in headers, against what Node's own methods say. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from '../../src/entry/bytes.js'

const VALUES = [
  0, 1, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x1_0000, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, 0xffff_ffff,
]

test('integers of 16 and 32 bits are those of Node, at any place', () => {
  for (const at of [0, 1, 5]) {
    for (const value of VALUES) {
      const [ours, theirs] = [Buffer.alloc(16, 0xaa), Buffer.alloc(16, 0xaa)]
      writeU32(ours, value, at)
      theirs.writeUInt32LE(value, at)
      writeU16(ours, value & 0xffff, at + 8)
      theirs.writeUInt16LE(value & 0xffff, at + 8)
      assert.deepEqual(ours, theirs)
      assert.equal(readU32(ours, at), value)
      assert.equal(readU16(ours, at + 8), value & 0xffff)
    }
  }
})

test('integers of 64 bits are exact up to 2^53 - 1; what is larger is read as -1, and never written', () => {
  for (const value of [...VALUES, 2 ** 32, 2 ** 40 + 7, 2 ** 53 - 1]) {
    const ours = Buffer.alloc(12, 0xaa)
    writeU64(ours, value, 2)
    assert.equal(ours.readBigUInt64LE(2), BigInt(value))
    assert.equal(readU64(ours, 2), value)
    assert.deepEqual([ours[1], ours[10]], [0xaa, 0xaa])
  }
  for (const value of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
    const theirs = Buffer.alloc(8)
    theirs.writeBigUInt64LE(value)
    assert.equal(readU64(theirs, 0), -1)
  }
  for (const value of [-1, 2 ** 53, Number.NaN]) assert.throws(() => writeU64(Buffer.alloc(8), value, 0))
})
