import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AssertionFailure } from '@sitelink/protocol/entry'
import { DirtyBitmap, REGION_COUNT_MAX, regionBytesProblem } from '../../src/dirty/dirty-bitmap.js'
import { Prng, seedFromEnv } from '../../src/testing/index.js'

const MIB = 1024 * 1024
const seed = seedFromEnv('dirty-bitmap')

/** What a bitmap should be: a set of indexes. */
function dirtyOf(bitmap: DirtyBitmap): number[] {
  return Array.from({ length: bitmap.regionCount }, (_, region) => region).filter((region) => bitmap.isDirty(region))
}

describe('DirtyBitmap', () => {
  it('[DLG-09] the count always equals the bits, over repeated marks and clears of every kind', () => {
    const prng = new Prng(seed)
    for (let round = 0; round < 30; round++) {
      const regionCount = prng.between(1, 200)
      const bitmap = new DirtyBitmap(regionCount * MIB - prng.below(MIB), MIB)
      const model = new Set<number>()
      for (let step = 0; step < 200; step++) {
        const first = prng.below(regionCount)
        const count = prng.between(1, regionCount - first)
        const before = model.size
        switch (prng.below(7)) {
          case 0:
            for (let at = first; at < first + count; at++) model.add(at)
            assert.equal(bitmap.markRegions(first, count), model.size - before)
            break
          case 1:
            assert.equal(bitmap.mark(first), !model.has(first))
            model.add(first)
            break
          case 2:
          case 3:
          case 4:
            assert.equal(bitmap.clear(first), model.delete(first))
            break
          case 5: {
            const length = prng.between(1, Math.min(3 * MIB, bitmap.deviceBytes - first * MIB))
            for (let at = first; at <= Math.floor((first * MIB + length - 1) / MIB); at++) model.add(at)
            assert.equal(bitmap.markRange(first * MIB, length), model.size - before)
            break
          }
          default: {
            const other = new DirtyBitmap(bitmap.deviceBytes, MIB)
            for (let more = 0; more < 5; more++) other.mark(prng.below(regionCount))
            for (const region of dirtyOf(other)) model.add(region)
            assert.equal(bitmap.or(other), model.size - before)
          }
        }
        assert.equal(bitmap.dirtyCount, model.size)
        assert.equal(bitmap.cleanCount, regionCount - model.size)
        assert.deepEqual(
          dirtyOf(bitmap),
          [...model].sort((a, b) => a - b),
        )
        const bytes = [...model].reduce((sum, region) => sum + bitmap.lengthOf(region), 0)
        assert.equal(bitmap.dirtyBytes, bytes)
        const cursor = prng.below(regionCount + 1)
        const sorted = dirtyOf(bitmap)
        assert.equal(bitmap.nextDirty(cursor), sorted.find((region) => region >= cursor) ?? sorted[0] ?? null)
        const runs = [...bitmap.runs()].flatMap((run) => Array.from({ length: run.count }, (_, at) => run.first + at))
        assert.deepEqual(runs, sorted)
      }
    }
  })

  it('[RSY-13] a walk that asks for the next dirty region finds those that were dirtied behind it', () => {
    const bitmap = new DirtyBitmap(100 * MIB, MIB)
    bitmap.mark(10)
    bitmap.mark(50)
    const walked: number[] = []
    for (let next = bitmap.nextDirty(0); next !== null; next = bitmap.nextDirty(next + 1)) {
      walked.push(next)
      bitmap.clear(next)
      if (next === 50 && walked.length === 2) bitmap.mark(3)
    }
    assert.deepEqual(walked, [10, 50, 3])
  })

  it('[RSY-04] the last region is short when the device is no multiple of regions', () => {
    const bitmap = new DirtyBitmap(10 * MIB + 512, 4 * MIB)
    assert.equal(bitmap.regionCount, 3)
    assert.deepEqual(
      [0, 1, 2].map((region) => bitmap.lengthOf(region)),
      [4 * MIB, 4 * MIB, 2 * MIB + 512],
    )
    assert.equal(bitmap.offsetOf(2), 8 * MIB)
    assert.equal(bitmap.regionOf(10 * MIB + 511), 2)
    assert.throws(() => bitmap.regionOf(10 * MIB + 512), AssertionFailure)
    bitmap.markAll()
    assert.equal(bitmap.dirtyBytes, 10 * MIB + 512)
    assert.throws(() => bitmap.mark(3), AssertionFailure)
  })

  it('a range touches a region by its first or last byte, and an empty one touches nothing', () => {
    const bitmap = new DirtyBitmap(10 * MIB, MIB)
    assert.equal(bitmap.markRange(MIB - 1, 2), 2)
    assert.deepEqual(dirtyOf(bitmap), [0, 1])
    assert.equal(bitmap.markRange(5 * MIB, 0), 0)
    assert.equal(bitmap.touchesDirty(2 * MIB - 1, 1), true)
    assert.equal(bitmap.touchesDirty(2 * MIB, 8 * MIB), false)
    assert.equal(bitmap.touchesDirty(0, 0), false)
  })

  it('joining leaves out regions that this device does not have, and a union changes neither', () => {
    const small = new DirtyBitmap(40 * MIB, MIB)
    const large = new DirtyBitmap(100 * MIB, MIB)
    large.markRegions(30, 60)
    assert.equal(small.or(large), 10)
    const other = new DirtyBitmap(40 * MIB, MIB)
    other.mark(0)
    const both = DirtyBitmap.union(small, other)
    assert.deepEqual([both.dirtyCount, small.dirtyCount, other.dirtyCount], [11, 10, 1])
  })

  it('bits go out as words and come back, within the regions that were valid then', () => {
    const prng = new Prng(seed)
    const bitmap = new DirtyBitmap(1000 * MIB, MIB)
    for (let at = 0; at < 300; at++) bitmap.mark(prng.below(1000))
    const words = Buffer.alloc(160)
    bitmap.copyWords(0, words)
    const same = new DirtyBitmap(1000 * MIB, MIB)
    same.orWords(0, words, 1000)
    assert.deepEqual(dirtyOf(same), dirtyOf(bitmap))
    const less = new DirtyBitmap(1000 * MIB, MIB)
    less.orWords(0, words, 333)
    assert.deepEqual(
      dirtyOf(less),
      dirtyOf(bitmap).filter((region) => region < 333),
    )
  })

  it('[DEV-12] a region size is a power of two, from 1 MiB to the device, and not too small for it', () => {
    assert.equal(regionBytesProblem(MIB, 10 * MIB), null)
    assert.equal(regionBytesProblem(MIB, 512), null)
    assert.match(regionBytesProblem(1024, 10 * MIB) ?? '', /at least/)
    assert.match(regionBytesProblem(3 * MIB, 10 * MIB) ?? '', /power of two/)
    assert.match(regionBytesProblem(2 ** 40, 10 * MIB) ?? '', /not larger/)
    assert.match(regionBytesProblem(MIB, (REGION_COUNT_MAX + 1) * MIB) ?? '', /at most/)
    assert.match(regionBytesProblem(Number.NaN, 10 * MIB) ?? '', /at least/)
  })

  it('the largest device takes 32 MiB and is searched by words', () => {
    const bitmap = new DirtyBitmap(REGION_COUNT_MAX * MIB, MIB)
    bitmap.mark(REGION_COUNT_MAX - 1)
    assert.equal(bitmap.nextDirty(5), REGION_COUNT_MAX - 1)
    assert.equal(bitmap.markAll(), REGION_COUNT_MAX - 1)
    assert.equal(bitmap.dirtyCount, REGION_COUNT_MAX)
    assert.deepEqual([...bitmap.runs()], [{ first: 0, count: REGION_COUNT_MAX }])
  })
})
