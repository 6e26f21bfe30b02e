/**
 * Canaries for the prefix checker: faults that it must catch, prefixes that it must accept, and its agreement with a
 * slow judge that simply tries every order of the writes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '@sitelink/storage/testing'
import { History, type WriteRecord } from './history.js'
import { checkPrefix } from './prefix-checker.js'
import { seededPrng } from './seed.js'
import { BLOCK_BYTES, readStamp, readStamps, type Shown, stampedPayload } from './stamp.js'

const empty: Shown = { kind: 'empty' }
const shows = (write: WriteRecord): Shown => ({ kind: 'write', writer: write.writer, sequence: write.sequence })
const blank = (devices = 2, blocks = 4): Shown[][] =>
  Array.from({ length: devices }, () => Array.from({ length: blocks }, () => empty))

/** Performs one acknowledged write, after everything before it. */
function acknowledged(history: History, device: number, block: number, count = 1): WriteRecord {
  const write = history.invoke(1, device, block, count)
  history.acknowledge(write)
  return write
}

function put(shown: Shown[][], write: WriteRecord): Shown[][] {
  for (let i = 0; i < write.count; i++) (shown[write.device] as Shown[])[write.block + i] = shows(write)
  return shown
}

test('every prefix of writes that came one after another is accepted', () => {
  const history = new History(blank())
  const writes = [0, 1, 0, 1, 0].map((device, i) => acknowledged(history, device, i % 3, 1 + (i % 2)))
  const shown = blank()
  assert.deepEqual(checkPrefix({ history, shown }).faults, [])
  for (const write of writes) assert.deepEqual(checkPrefix({ history, shown: put(shown, write) }).faults, [])
})

test('canary: a lost write between two that are there is caught', () => {
  const history = new History(blank())
  const [first, , third] = [0, 1, 2].map((block) => acknowledged(history, 0, block))
  const shown = put(put(blank(), first as WriteRecord), third as WriteRecord)
  assert.equal(checkPrefix({ history, shown }).faults.length, 1)
})

test('canary: writes to two devices that arrived in the wrong order are caught', () => {
  const history = new History(blank())
  acknowledged(history, 0, 0)
  const second = acknowledged(history, 1, 0)
  assert.equal(checkPrefix({ history, shown: put(blank(), second) }).faults.length, 1)
})

test('canary: an older write over a newer one is caught', () => {
  const history = new History(blank())
  const older = acknowledged(history, 0, 0)
  acknowledged(history, 0, 0)
  const last = acknowledged(history, 1, 3)
  assert.equal(checkPrefix({ history, shown: put(put(blank(), older), last) }).faults.length, 1)
})

test('canary: a write of which only some blocks are there is caught', () => {
  const history = new History(blank())
  const write = acknowledged(history, 0, 0, 3)
  const shown = put(blank(), write)
  ;(shown[0] as Shown[])[1] = empty
  assert.equal(checkPrefix({ history, shown }).faults.length, 1)
})

test('canary: two simultaneous writes that are each partly over the other are caught', () => {
  const history = new History(blank())
  const one = history.invoke(1, 0, 0, 2)
  const two = history.invoke(2, 0, 0, 2)
  const shown = blank()
  shown[0] = [shows(one), shows(two), empty, empty]
  assert.match(checkPrefix({ history, shown }).faults.join(), /each shown over the other/)
  shown[0] = [shows(one), shows(one), empty, empty]
  assert.deepEqual(checkPrefix({ history, shown }).faults, [])
})

test('canary: an acknowledged write that is missing is caught where it must be there', () => {
  const history = new History(blank())
  const first = acknowledged(history, 0, 0)
  const shown = put(blank(), first)
  const between = history.now()
  acknowledged(history, 1, 0)
  assert.deepEqual(checkPrefix({ history, shown }).faults, [])
  assert.deepEqual(checkPrefix({ history, shown, requiredUntil: between }).faults, [])
  assert.equal(checkPrefix({ history, shown, requiredUntil: history.now() }).faults.length, 1)
})

test('canary: a write that was abandoned cannot take effect after a later one', () => {
  const history = new History(blank())
  const abandoned = history.invoke(1, 0, 0, 1)
  history.abandonUnderWay()
  const later = acknowledged(history, 0, 0)
  const last = acknowledged(history, 1, 0)
  assert.deepEqual(checkPrefix({ history, shown: put(put(blank(), later), last) }).faults, [])
  assert.equal(checkPrefix({ history, shown: put(put(blank(), abandoned), last) }).faults.length, 1)
})

test('canary: content from before the base, and content that nobody wrote, are caught', () => {
  const history = new History(blank())
  const old = acknowledged(history, 0, 0)
  history.rebase(put(blank(), acknowledged(history, 0, 0)))
  assert.equal(checkPrefix({ history, shown: put(blank(), old) }).faults.length, 1)
  assert.deepEqual(checkPrefix({ history, shown: history.base }).faults, [])
})

test('canary: torn, foreign and misplaced blocks are told apart', () => {
  const payload = stampedPayload({ writer: 7, sequence: 9, device: 1, block: 4 }, 2)
  assert.deepEqual(readStamps(payload.subarray(0, 0), 1), [])
  assert.deepEqual(readStamp(payload, 0, 1, 4), { kind: 'write', writer: 7, sequence: 9 })
  assert.deepEqual(readStamp(payload, BLOCK_BYTES, 1, 5), { kind: 'write', writer: 7, sequence: 9 })
  assert.match(JSON.stringify(readStamp(payload, 0, 1, 5)), /belongs to block 4/)
  assert.match(JSON.stringify(readStamp(payload, 0, 0, 4)), /device 1/)
  payload.fill(0, 2048, 4096)
  assert.match(JSON.stringify(readStamp(payload, 0, 1, 4)), /torn/)
  assert.match(JSON.stringify(readStamp(Buffer.alloc(BLOCK_BYTES, 1), 0, 1, 4)), /no stamped block/)
  const history = new History(blank(2, 6))
  const shown = blank(2, 6)
  ;(shown[1] as Shown[])[4] = readStamp(payload, 0, 1, 4)
  assert.match(checkPrefix({ history, shown }).faults.join(), /torn/)
})

/** Whether some order of the writes and some point in it explain what is shown: tries them all. */
function explained(history: History, shown: Shown[][], requiredUntil: number): boolean {
  const writes = [...history.writes]
  const wanted = JSON.stringify(shown)
  const visit = (state: Shown[][], done: Set<WriteRecord>): boolean => {
    const open = writes.filter((write) => !done.has(write))
    const complete = open.every((write) => !write.acknowledged || write.endedAt >= requiredUntil)
    if (complete && JSON.stringify(state) === wanted) return true
    return open.some((write) => {
      // An unanswered write that has not been taken may never have happened; an acknowledged one has by its end.
      const early = open.some((other) => other !== write && other.acknowledged && other.endedAt < write.invokedAt)
      const late = [...done].some((other) => other.invokedAt > write.endedAt)
      if (early || late) return false
      return visit(put(structuredClone(state), write), new Set([...done, write]))
    })
  }
  return visit(structuredClone(history.base) as Shown[][], new Set())
}

function randomCase(prng: Prng): { history: History; shown: Shown[][]; requiredUntil: number } {
  const history = new History(blank(2, 2))
  const open: WriteRecord[] = []
  for (let i = prng.between(1, 5); i > 0; i--) {
    const block = prng.below(2)
    open.push(history.invoke(prng.below(3), prng.below(2), block, block === 0 ? prng.between(1, 2) : 1))
    while (open.length > 0 && prng.chance(0.5)) {
      const [write] = open.splice(prng.below(open.length), 1)
      if (write) history.acknowledge(write)
    }
    if (prng.chance(0.1)) {
      history.abandonUnderWay()
      open.length = 0
    }
  }
  const writes = [...history.writes]
  const shown = blank(2, 2).map((blocks, device) =>
    blocks.map((none, block) => {
      const candidates = writes.filter((w) => w.device === device && block >= w.block && block < w.block + w.count)
      return prng.chance(0.3) || candidates.length === 0 ? none : shows(prng.pick(candidates))
    }),
  )
  return { history, shown, requiredUntil: prng.chance(0.3) ? prng.below(history.now() + 1) : -1 }
}

test('the checker agrees with a judge that tries every order', (t) => {
  const prng = seededPrng(t, 'prefix-checker')
  const verdicts = { prefix: 0, fault: 0 }
  for (let i = 0; i < 3000; i++) {
    const { history, shown, requiredUntil } = randomCase(prng)
    const { faults } = checkPrefix({ history, shown, requiredUntil })
    const truth = explained(history, shown, requiredUntil)
    const context = () => JSON.stringify({ i, writes: [...history.writes], shown, requiredUntil, faults }, null, 1)
    assert.equal(faults.length === 0, truth, context())
    verdicts[truth ? 'prefix' : 'fault']++
  }
  assert.ok(verdicts.prefix > 100 && verdicts.fault > 100, `both verdicts occur: ${JSON.stringify(verdicts)}`)
})
