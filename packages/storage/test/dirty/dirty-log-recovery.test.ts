import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DirtyLogHeader, HeaderScan } from '../../src/dirty/dirty-log-format.js'
import { chooseHeader, matchIdentity } from '../../src/dirty/dirty-log-recovery.js'
import { at, identityOf } from './dirty-log-support.js'

function header(generation: number, goodGeneration: number): DirtyLogHeader {
  return {
    identity: identityOf(10),
    generation,
    goodGeneration,
    basePoint: at(generation * 10),
    pagesDigest: generation,
  }
}

function valid(generation: number, goodGeneration: number): HeaderScan {
  return { kind: 'valid', header: header(generation, goodGeneration) }
}

const EMPTY: HeaderScan = { kind: 'empty' }
const DAMAGED: HeaderScan = { kind: 'unknown', why: 'crc' }

/** Every combination of copies with pages that fit generation `digest` and sectors that know `good` as good. */
const TABLE: readonly {
  readonly copies: readonly [HeaderScan, HeaderScan]
  readonly digest: number | null
  readonly good: number
  readonly answer: number | 'missing' | 'unreadable'
}[] = [
  { copies: [EMPTY, EMPTY], digest: null, good: 0, answer: 'missing' },
  { copies: [EMPTY, EMPTY], digest: null, good: 9, answer: 'missing' },
  { copies: [DAMAGED, EMPTY], digest: 5, good: 0, answer: 'unreadable' },
  { copies: [EMPTY, DAMAGED], digest: 5, good: 9, answer: 'unreadable' },
  { copies: [DAMAGED, DAMAGED], digest: 5, good: 9, answer: 'unreadable' },
  // One header left: it counts if its flush ended.
  { copies: [valid(5, 4), EMPTY], digest: 5, good: 0, answer: 5 },
  { copies: [EMPTY, valid(5, 4)], digest: null, good: 5, answer: 5 },
  { copies: [valid(5, 4), EMPTY], digest: 4, good: 4, answer: 'unreadable' },
  { copies: [valid(5, 4), EMPTY], digest: null, good: 4, answer: 'unreadable' },
  { copies: [DAMAGED, valid(5, 4)], digest: 5, good: 0, answer: 5 },
  { copies: [DAMAGED, valid(5, 4)], digest: 6, good: 5, answer: 5 },
  { copies: [DAMAGED, valid(5, 4)], digest: 6, good: 4, answer: 'unreadable' },
  // Two: the newer one if its flush ended, else the one that it names as good, else none.
  { copies: [valid(5, 4), valid(4, 3)], digest: 5, good: 4, answer: 5 },
  { copies: [valid(4, 3), valid(5, 4)], digest: 6, good: 5, answer: 5 },
  { copies: [valid(5, 4), valid(4, 3)], digest: 4, good: 3, answer: 4 },
  { copies: [valid(4, 3), valid(5, 4)], digest: null, good: 4, answer: 4 },
  { copies: [valid(7, 4), valid(4, 3)], digest: 6, good: 4, answer: 4 },
  { copies: [valid(7, 5), valid(4, 3)], digest: 6, good: 4, answer: 'unreadable' },
  { copies: [valid(7, 5), valid(6, 5)], digest: 6, good: 5, answer: 'unreadable' },
]

describe('which header of a dirty log counts', () => {
  for (const { copies, digest, good, answer } of TABLE) {
    const name = copies.map((copy) => (copy.kind === 'valid' ? `${copy.header.generation}` : copy.kind)).join(' and ')
    it(`${name}, pages of ${digest ?? 'no one flush'}, ${good} known good: ${answer}`, () => {
      const decision = chooseHeader(copies, { digest: () => digest, goodGenerationMax: () => good }, () => 1)
      assert.equal(decision.kind === 'use' ? decision.header.generation : decision.kind, answer)
      if (decision.kind === 'use') assert.equal(decision.copyDamaged, copies.includes(DAMAGED))
    })
  }

  it('[DLG-08] identities are the same, outdated or foreign, and the size of the device does not matter', () => {
    const kind = (changes: Parameters<typeof identityOf>[1]): string =>
      matchIdentity(identityOf(10, changes), identityOf(10)).kind
    assert.equal(kind({}), 'same')
    assert.equal(kind({ deviceBytes: 512 }), 'same')
    assert.equal(kind({ logId: { high: 0x01234567, low: 0 } }), 'outdated')
    assert.equal(kind({ logId: { high: 0, low: 0x89abcdef } }), 'outdated')
    assert.equal(kind({ regionBytes: 2 ** 21 }), 'outdated')
    assert.equal(kind({ groupId: 'g' }), 'foreign')
    assert.equal(kind({ mappingId: 'm' }), 'foreign')
    assert.equal(kind({ deviceId: 1 }), 'foreign')
    assert.equal(kind({ deviceId: 1, regionBytes: 2 ** 21 }), 'foreign')
  })
})
