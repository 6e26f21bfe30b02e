/**
 * Sparse contents against plain buffers: the same bytes whatever is written, zeroed, cut and cloned in whatever order.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng, seedFromEnv, SPARSE_CHUNK_BYTES, SparseBytes } from '../../src/testing/index.js'

const SIZE_BYTES = 4 * SPARSE_CHUNK_BYTES

test('clones of sparse bytes hold what they held, whatever happens to each of them afterwards', () => {
  const prng = new Prng(seedFromEnv('sparse-bytes'))
  const all = [{ sparse: new SparseBytes(), plain: Buffer.alloc(SIZE_BYTES) }]
  for (let step = 0; step < 400; step++) {
    const one = prng.pick(all)
    const offset = prng.below(SIZE_BYTES)
    const length = prng.between(1, Math.min(SIZE_BYTES - offset, 2 * SPARSE_CHUNK_BYTES))
    const action = prng.below(8)
    if (action < 4) {
      const bytes = prng.bytes(length)
      one.sparse.write(bytes, offset)
      bytes.copy(one.plain, offset)
    } else if (action < 6) {
      one.sparse.zero(offset, length)
      one.plain.fill(0, offset, offset + length)
    } else if (action === 6) {
      one.sparse.truncate(offset)
      one.plain.fill(0, offset)
    } else if (all.length < 6) all.push({ sparse: one.sparse.clone(), plain: Buffer.from(one.plain) })
    for (const { sparse, plain } of all) {
      const seen = Buffer.alloc(SIZE_BYTES)
      sparse.read(seen, 0)
      assert(seen.equals(plain), `step ${step}`)
    }
  }
  assert(all.length > 1, 'something was cloned')
})
