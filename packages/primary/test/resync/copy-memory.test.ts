/** Memory of copies: used again only once nobody, here or at the site, can still ask for its bytes. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CopyMemory } from '../../src/resync/copy-memory.js'

const BYTES = 64 * 1024

test('a copy that is acknowledged and sent gives its memory to the next, and whoever still names it sees no bytes', () => {
  const copies = new CopyMemory()
  const memory = copies.take(BYTES)
  const { bytes } = memory
  const { buffer } = bytes.fill(1)
  copies.sent(memory, 3, 1000)
  copies.arrived(3, 1000)
  assert.equal(bytes.length, 0)
  assert.equal(buffer.byteLength, 0)
  assert.equal(copies.take(BYTES).bytes[0], 1, 'it is the same memory')
})

test('neither an acknowledgement of what is queued here, nor what has left without one, gives memory back', () => {
  const copies = new CopyMemory()
  const [one, two] = [copies.take(BYTES), copies.take(BYTES)]
  copies.sent(one, 3, 1000)
  copies.sent(two, 4, 2000)
  copies.arrived(9, 999)
  copies.arrived(2, 5000)
  assert.deepEqual([one.bytes.length, two.bytes.length], [BYTES, BYTES])
  copies.arrived(4, 1999)
  assert.deepEqual([one.bytes.length, two.bytes.length], [0, BYTES], 'in order, each by itself')
  copies.arrived(4, 2000)
  assert.equal(two.bytes.length, 0)
})

test("what is under way when the session ends is nobody else's ever after", () => {
  const copies = new CopyMemory()
  const memory = copies.take(BYTES)
  copies.sent(memory, 1, 100)
  copies.close()
  copies.arrived(1, 100)
  assert.equal(memory.bytes.length, BYTES)
})
