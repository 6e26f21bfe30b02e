import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { delay, RealClock, RealRandom } from '../src/index.js'

describe('the real clock', () => {
  it('tells the wall clock in microseconds and never runs backwards', () => {
    const clock = new RealClock()
    assert.ok(Math.abs(clock.wallUs() / 1000 - Date.now()) < 50)
    let last = clock.nowMs()
    for (let n = 0; n < 1000; n += 1) {
      const now = clock.nowMs()
      assert.ok(now >= last)
      last = now
    }
  })

  it('fires a timer once and not before its time, at whatever part of a millisecond it began', async () => {
    const clock = new RealClock()
    for (let turn = 0; turn < 50; turn += 1) {
      const spunMs = clock.nowMs() + turn / 50
      while (clock.nowMs() < spunMs);
      const beganMs = clock.nowMs()
      let fired = 0
      await new Promise<void>((resolve) => clock.after(3, () => resolve(void (fired += 1))))
      assert.ok(clock.nowMs() - beganMs >= 3, `turn ${turn}: after ${clock.nowMs() - beganMs} of 3 ms`)
      assert.equal(fired, 1)
    }
  })

  it('does not fire a cancelled timer, nor one beyond the range of Node at once', async () => {
    const clock = new RealClock()
    let fired = 0
    const far = clock.after(2 ** 40, () => (fired += 1))
    const near = clock.after(1, () => (fired += 1))
    near.cancel()
    near.cancel()
    await delay(clock, 20)
    far.cancel()
    assert.equal(fired, 0)
  })

  it('does soon what is soon, behind what waits already', async () => {
    const clock = new RealClock()
    const order: string[] = []
    await new Promise<void>((resolve) => {
      clock.soon(() => resolve(void order.push('soon')))
      process.nextTick(() => order.push('waiting'))
    })
    assert.deepEqual(order, ['waiting', 'soon'])
  })
})

describe('a delay', () => {
  it('ends at once when its signal aborts, also before it began', async () => {
    const clock = new RealClock()
    await delay(clock, 2 ** 30, AbortSignal.abort())
    const control = new AbortController()
    const waiting = delay(clock, 2 ** 30, control.signal)
    control.abort()
    await waiting
  })
})

describe('the real randomness', () => {
  it('gives as many bytes as asked for, and others each time', () => {
    const random = new RealRandom()
    assert.equal(random.bytes(0).length, 0)
    assert.notDeepEqual(random.bytes(16), random.bytes(16))
  })
})
