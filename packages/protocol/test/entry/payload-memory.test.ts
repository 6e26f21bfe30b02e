/** Memory of payloads: used again once it was given back, and never seen under its old name. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PayloadPool } from '../../src/entry/index.js'

const KIB = 1024

test('memory that was given back is used for the next payload of its size', () => {
  const pool = new PayloadPool(1024 * KIB)
  const first = pool.take(100 * KIB)
  assert.equal(first.bytes.length, 100 * KIB)
  first.release()
  assert.equal(pool.keptBytes, 128 * KIB)
  assert.equal(pool.take(40 * KIB).bytes.length, 40 * KIB)
  assert.equal(pool.keptBytes, 128 * KIB, 'another size has memory of its own')
  assert.equal(pool.take(110 * KIB).bytes.length, 110 * KIB)
  assert.equal(pool.keptBytes, 0)
})

test('what named memory that was given back is empty, and memory that is still held is not touched', () => {
  const pool = new PayloadPool(1024 * KIB)
  const memory = pool.take(64 * KIB)
  const view = memory.bytes.subarray(10, 20)
  memory.bytes.fill(7)
  memory.hold()
  memory.release()
  assert.equal(pool.keptBytes, 0)
  assert.equal(view[0], 7)
  memory.release()
  assert.equal(view.length, 0)
  assert.equal(memory.bytes.length, 0)
})

test('memory is given back once, and not held behind that', () => {
  const memory = new PayloadPool(0).take(1)
  memory.release()
  assert.throws(() => memory.release(), /memory is given back once/)
  assert.throws(() => memory.hold(), /memory that was given back is not held/)
})

test('a pool keeps no more than its bound', () => {
  const pool = new PayloadPool(100 * KIB)
  const taken = [1, 2, 3, 4].map(() => pool.take(32 * KIB))
  for (const memory of taken) memory.release()
  assert.equal(pool.keptBytes, 96 * KIB)
})
