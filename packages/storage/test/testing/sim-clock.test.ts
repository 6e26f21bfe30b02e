import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Prng, SimClock } from '../../src/testing/index.js'

describe('SimClock', () => {
  it('time passes only when told, and timers fire in order of due time, then of making', async () => {
    const clock = new SimClock()
    const fired: string[] = []
    clock.after(10, () => fired.push(`b@${clock.nowMs()}`))
    clock.after(5, () => fired.push(`a@${clock.nowMs()}`))
    clock.after(10, () => fired.push(`c@${clock.nowMs()}`))
    await clock.advance(4)
    assert.deepEqual(fired, [])
    await clock.advance(100)
    assert.deepEqual(fired, ['a@5', 'b@10', 'c@10'])
    assert.equal(clock.nowMs(), 104)
  })

  it('promise jobs and soon actions end between two timers', async () => {
    const clock = new SimClock()
    const order: string[] = []
    clock.after(1, () => {
      void Promise.resolve()
        .then(() => order.push('job'))
        .then(() => clock.soon(() => order.push('soon')))
    })
    clock.after(1, () => order.push('second'))
    await clock.run()
    assert.deepEqual(order, ['job', 'soon', 'second'])
  })

  it('a cancelled timer does not fire, and cancelling later does nothing', async () => {
    const clock = new SimClock()
    let count = 0
    const timer = clock.after(1, () => count++)
    const other = clock.after(1, () => count++)
    timer.cancel()
    timer.cancel()
    assert.equal(clock.pendingCount, 1)
    await clock.run()
    other.cancel()
    assert.equal(count, 1)
    assert.equal(clock.pendingCount, 0)
  })

  it('runUntil answers the promise, and tells when it never will', async () => {
    const clock = new SimClock()
    assert.equal(await clock.runUntil(new Promise<number>((resolve) => clock.after(1000, () => resolve(3)))), 3)
    assert.equal(clock.nowMs(), 1000)
    await assert.rejects(clock.runUntil(new Promise(() => undefined)), /still waiting/)
  })

  it('wall time follows and can jump without monotonic time', async () => {
    const clock = new SimClock({ wallStartUs: 1000 })
    await clock.advance(2)
    assert.equal(clock.wallUs(), 3000)
    clock.jumpWallUs(-2500)
    assert.equal(clock.wallUs(), 500)
    assert.equal(clock.nowMs(), 2)
  })

  it('a killed process sees none of its timers', async () => {
    const clock = new SimClock()
    const process = clock.process()
    let count = 0
    process.after(5, () => count++)
    process.soon(() => count++)
    process.kill()
    await clock.run()
    assert.equal(count, 0)
  })

  it('a thousand timers fire in order', async () => {
    const clock = new SimClock()
    const prng = new Prng(7)
    const fired: number[] = []
    for (let at = 0; at < 1000; at++) clock.after(prng.below(50), () => fired.push(clock.nowMs()))
    await clock.run()
    assert.equal(fired.length, 1000)
    assert.deepEqual(
      fired,
      fired.toSorted((a, b) => a - b),
    )
  })
})

describe('Prng', () => {
  it('the same seed gives the same numbers, another seed others', () => {
    const draw = (seed: number | string): number[] =>
      Array.from(
        { length: 4 },
        (
          (prng) => () =>
            prng.u32()
        )(new Prng(seed)),
      )
    assert.deepEqual(draw(1), draw(1))
    assert.notDeepEqual(draw(1), draw(2))
    assert.notDeepEqual(draw('a'), draw('b'))
    assert.notDeepEqual(draw(1), draw(1 + 2 ** 32))
  })

  it('a fork does not depend on what was drawn before it', () => {
    const prng = new Prng(5)
    const early = prng.fork('x').u32()
    prng.u32()
    assert.equal(prng.fork('x').u32(), early)
    assert.notEqual(prng.fork('y').u32(), early)
  })

  it('numbers are spread evenly and stay in bounds', () => {
    const prng = new Prng(11)
    const counts = new Array<number>(10).fill(0)
    for (let at = 0; at < 100_000; at++) {
      const value = prng.below(10)
      counts[value] = (counts[value] ?? 0) + 1
    }
    for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, counts.join(' '))
    for (let at = 0; at < 1000; at++) {
      const large = prng.below(2 ** 50)
      assert.ok(large >= 0 && large < 2 ** 50)
      const between = prng.between(-3, 3)
      assert.ok(between >= -3 && between <= 3)
    }
    assert.equal(prng.bytes(7).length, 7)
    assert.deepEqual(prng.shuffle([1, 2, 3, 4]).toSorted(), [1, 2, 3, 4])
  })
})
