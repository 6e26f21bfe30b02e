/** Each way in which a frame or a group can be of another place is a fact of its own: no other check stands in for it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFrame, FrameType, type FrameFields } from '@sitelink/protocol/entry'
import { GroupKind, type GroupHeader } from '../../src/ring-log/group.js'
import type { LifeSpan } from '../../src/ring-log/lives.js'
import { frameFacts, groupFacts, type Chain, type FactsFound, type LogTraits } from '../../src/ring-log/scan-facts.js'

const logId = { high: 7, low: 8 }
const otherId = { high: 7, low: 9 }
/** A life that began where its predecessor was cut, and one more behind it. */
const span: LifeSpan = { number: 3, id: { high: 1, low: 33 }, first: 8192, end: 1 << 20, lastLsn: 100 }
const newest: LifeSpan = { number: 5, id: { high: 1, low: 55 }, first: 1 << 20, end: Infinity, lastLsn: Infinity }
const chain: Chain = { lsn: 11, incarnation: 3, entryCrc: 1234, groupCrc: 5678, logId }

/** What differs from a frame or group that follows in every way. */
function lies(good: FactsFound, bad: FactsFound): Partial<FactsFound> {
  return Object.fromEntries(
    Object.entries(bad).filter(([key, value]) => good[key as keyof FactsFound] !== value),
  ) as Partial<FactsFound>
}

function frameThat(log: LogTraits, change: Partial<FrameFields>, before: Chain = chain): FactsFound {
  const fields = { type: FrameType.write, lsn: 12, logId, incarnation: 3, previousCrc: 1234, length: 4, ...change }
  const frame = encodeFrame(fields, Buffer.alloc(4, 1))
  return frameFacts({ frame, problem: 'good', payloadGood: true, end: 0 }, span, before, log)
}

function groupThat(log: LogTraits, change: Partial<GroupHeader>, position = 16_384): FactsFound {
  const header: GroupHeader = {
    kind: GroupKind.data,
    logId,
    incarnation: 3,
    previousCrc: 5678,
    position,
    bodyBytes: 100,
    entryCount: 1,
    firstLsn: 12,
    lastLsn: 12,
    durableEnd: 0,
    durableLsn: 0,
    checkpoint: 0,
    wallUs: 0,
    bodyCrc: 0,
    headerCrc: 0,
    ...change,
  }
  return groupFacts(header, position, span, chain, log)
}

test('a frame of a replog that lies in one way is seen in that way alone', () => {
  const log: LogTraits = { logId, rule: 'dense', spans: [span, newest] }
  const good = frameThat(log, {})
  assert.deepEqual(good, {
    place: 'entry',
    header: 'good',
    identity: true,
    position: 'right',
    life: 'right',
    chain: true,
    lsn: true,
    body: true,
  })
  assert.deepEqual(lies(good, frameThat(log, { logId: otherId })), { identity: false })
  assert.deepEqual(lies(good, frameThat(log, { incarnation: 2 })), { life: 'void' })
  assert.deepEqual(lies(good, frameThat(log, { incarnation: 4 })), { life: 'unknown' })
  assert.deepEqual(lies(good, frameThat(log, { previousCrc: 1235 })), { chain: false })
  assert.deepEqual(lies(good, frameThat(log, { lsn: 13 })), { lsn: false })
  assert.deepEqual(lies(good, frameThat(log, { lsn: 11 })), { lsn: false })
  // Behind a hole the CRC of the predecessor is not known.
  assert.deepEqual(lies(good, frameThat(log, { previousCrc: 1235 }, { ...chain, entryCrc: null })), {})
})

test('frames of a journal never fall within the log that they name', () => {
  const log: LogTraits = { logId, rule: 'monotone', spans: [span] }
  const good = frameThat(log, {})
  assert.deepEqual(lies(good, frameThat(log, { lsn: 10 })), { lsn: false })
  assert.deepEqual(lies(good, frameThat(log, { lsn: 20, incarnation: 2 })), { lsn: false })
  assert.deepEqual(lies(good, frameThat(log, { lsn: 1, incarnation: 4 })), {})
  assert.deepEqual(lies(good, frameThat(log, { lsn: 1, logId: otherId })), {})
})

test('a group that lies in one way is seen in that way alone', () => {
  const log: LogTraits = { logId, rule: 'dense', spans: [span, newest] }
  const good = groupThat(log, {})
  assert.equal(
    Object.values(good).every((value) => value !== false),
    true,
  )
  assert.deepEqual(lies(good, groupThat(log, { logId: otherId })), { identity: false })
  assert.deepEqual(lies(good, groupThat(log, { position: 12_288 })), { position: 'behind' })
  assert.deepEqual(lies(good, groupThat(log, { position: 20_480 })), { position: 'ahead' })
  assert.deepEqual(lies(good, groupThat(log, { incarnation: 2 })), { life: 'void' })
  assert.deepEqual(lies(good, groupThat(log, { incarnation: 6 })), { life: 'unknown' })
  assert.deepEqual(lies(good, groupThat(log, { previousCrc: 5679 })), { chain: false })
  assert.deepEqual(lies(good, groupThat(log, { firstLsn: 13 })), { lsn: false })
  // The first group of a life follows from the life itself.
  assert.deepEqual(lies(good, groupThat(log, { previousCrc: 33 }, span.first)), {})
  assert.deepEqual(lies(good, groupThat(log, { previousCrc: 5678 }, span.first)), { chain: false })
})

test('a group further on in the log is left over if its life was cut before it, else the log is ahead of its superblock', () => {
  const log: LogTraits = { logId, rule: 'dense', spans: [span, newest] }
  const ahead = (change: Partial<GroupHeader>): string => groupThat(log, change).position
  // Of this life, which owns that position; and of one that the table does not know.
  assert.equal(ahead({ position: 20_480 }), 'ahead')
  assert.equal(ahead({ position: (1 << 20) + 4096, incarnation: 5 }), 'ahead')
  assert.equal(ahead({ position: 20_480, incarnation: 6 }), 'ahead')
  // Behind the end of its life, and of a life that never had that position.
  assert.equal(ahead({ position: (1 << 20) + 4096 }), 'behind')
  assert.equal(ahead({ position: 20_480, incarnation: 2 }), 'behind')
})
