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
  assert.equal(pool.keptBytes, 100 * KIB)
  assert.equal(pool.take(40 * KIB).bytes.length, 40 * KIB)
  assert.equal(pool.keptBytes, 100 * KIB, 'another size has memory of its own')
  assert.equal(pool.take(99 * KIB).bytes.length, 99 * KIB)
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

test('a pool that is full of one size lets it go for the size that comes now', () => {
  const pool = new PayloadPool(1024 * KIB)
  const given = (size: number, count: number): void => {
    const taken = Array.from({ length: count }, () => pool.take(size))
    for (const memory of taken) memory.release()
  }
  given(256 * KIB, 4)
  assert.equal(pool.keptBytes, 1024 * KIB)
  given(64 * KIB, 4)
  assert.equal(pool.keptBytes, 1024 * KIB)
  for (let each = 0; each < 4; each++) pool.take(64 * KIB)
  assert.equal(pool.keptBytes, 768 * KIB, 'four of them were there')
  given(2048 * KIB, 1)
  assert.equal(pool.keptBytes, 768 * KIB, 'what is larger than all is not kept')
})

test('a pool that is closed keeps nothing, not even what comes back later', () => {
  const pool = new PayloadPool(1024 * KIB)
  const [first, second] = [pool.take(KIB), pool.take(KIB)]
  first.release()
  pool.close()
  assert.equal(pool.keptBytes, 0)
  second.release()
  assert.equal(pool.keptBytes, 0)
  assert.equal(second.bytes.length, 0)
})
