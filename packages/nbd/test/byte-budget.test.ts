import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteBudget } from '../src/byte-budget.js'
import { defaultLimits, resolveLimits } from '../src/limits.js'
import { Prng } from './support.js'

test('a share never gets more than its own limit', () => {
  const share = new ByteBudget(1000, 10).share(100, () => {})
  assert.equal(share.tryTake(60), true)
  assert.equal(share.tryTake(41), false)
  assert.equal(share.tryTake(40), true)
  share.give(60)
  assert.equal(share.tryTake(60), true)
})

test('a share that holds nothing gets the reserve when the budget is used up', () => {
  const budget = new ByteBudget(100, 10)
  const greedy = budget.share(100, () => {})
  const late = budget.share(100, () => {})
  assert.equal(greedy.tryTake(100), true)
  assert.equal(late.tryTake(11), false)
  assert.equal(late.tryTake(10), true)
  assert.equal(late.tryTake(1), false)
  assert.equal(budget.takenBytes, 110)
})

test('those who wait are woken and served in the order they asked', () => {
  const budget = new ByteBudget(100, 1)
  const woken: string[] = []
  const holder = budget.share(100, () => {})
  const large = budget.share(100, () => woken.push('large'))
  const small = budget.share(100, () => woken.push('small'))
  holder.tryTake(90)
  assert.equal(large.tryTake(50), false)
  assert.equal(small.tryTake(5), false, 'nobody overtakes the one who waits')
  holder.give(30)
  assert.deepEqual(woken, ['large'])
  assert.equal(large.tryTake(50), false)
  holder.give(60)
  assert.equal(large.tryTake(50), true)
  assert.deepEqual(woken, ['large', 'large', 'small'])
  assert.equal(small.tryTake(5), true)
})

test('one that leaves makes way for the next', () => {
  const budget = new ByteBudget(100, 1)
  const woken: string[] = []
  const holder = budget.share(100, () => {})
  const first = budget.share(100, () => woken.push('first'))
  const second = budget.share(100, () => woken.push('second'))
  holder.tryTake(95)
  first.tryTake(50)
  second.tryTake(5)
  first.leave()
  assert.deepEqual(woken, ['second'])
  assert.equal(second.tryTake(5), true)
})

test('one that waits for its own limit does not stand in the way of others', () => {
  const budget = new ByteBudget(100, 1)
  const holder = budget.share(100, () => {})
  const limited = budget.share(20, () => {})
  const other = budget.share(100, () => {})
  holder.tryTake(85)
  limited.tryTake(10)
  assert.equal(limited.tryTake(9), false, 'the budget is short')
  assert.equal(other.tryTake(2), false, 'it stands behind the one before')
  assert.equal(limited.tryTake(11), false, 'its own limit is reached')
  assert.equal(other.tryTake(2), true)
})

test('giving back what was not taken is a bug', () => {
  const share = new ByteBudget(100, 1).share(100, () => {})
  assert.throws(() => share.give(1), /gave back more/)
})

test('all shares together stay within the budget and the reserves, whatever they do', () => {
  const prng = new Prng('byte budget')
  const budget = new ByteBudget(1000, 50)
  const held = Array.from({ length: 8 }, () => ({ share: budget.share(400, () => {}), taken: [] as number[] }))
  for (let round = 0; round < 20_000; round++) {
    const one = prng.pick(held)
    const bytes = prng.between(1, 300)
    if (prng.next() < 0.5 || one.taken.length === 0) {
      if (one.share.tryTake(bytes)) one.taken.push(bytes)
    } else one.share.give(one.taken.shift() ?? 0)
    const sum = held.flatMap((each) => each.taken).reduce((all, each) => all + each, 0)
    assert.equal(budget.takenBytes, sum)
    assert.ok(sum <= 1000 + 8 * 50)
  }
})

test('limits that contradict each other are refused with the relation', () => {
  assert.deepEqual(resolveLimits(), defaultLimits)
  assert.throws(() => resolveLimits({ connectionPayloadBytesMax: 1 << 20 }), /hold one payload/)
  assert.throws(() => resolveLimits({ writesInFlightMax: 5000 }), /leave places to reads/)
  assert.throws(() => resolveLimits({ drainMsMax: Number.NaN }), /drainMsMax must be a positive integer/)
})
