/** The tail alone: a log that notes what it is allowed to use again, and sites whose dirty logs take their time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RingLog } from '@sitelink/storage'
import { SimClock } from '@sitelink/storage/testing'
import { Tail } from '../../src/group/tail.js'
import type { Slink } from '../../src/slink/slink.js'

class Bench {
  readonly clock = new SimClock()
  readonly released: number[] = []
  readonly flushes: { done: () => void; fail: (error: Error) => void }[] = []
  local = 0
  pin: number | null = null
  behind = true
  failures = 0
  readonly tail = new Tail({
    log: { tail: 0, ringBytes: 3200, releaseBelow: (at: number) => this.released.push(at) } as unknown as RingLog,
    clock: this.clock,
    slinks: () => [this.#slink()],
    localPin: () => this.local,
    starving: () => false,
    failed: () => void (this.failures += 1),
  })

  #slink(): Slink {
    return {
      pin: this.pin,
      mappings: { size: 1 },
      needsFlushBeforeRelease: this.behind,
      flushMarks: () => new Promise<void>((done, fail) => this.flushes.push({ done, fail })),
    } as unknown as Slink
  }
}

test('the log is let go only when the marks of a site that is behind are stored', async () => {
  const bench = new Bench()
  bench.local = 1000
  bench.tail.advance()
  await bench.clock.settle()
  assert.deepEqual(bench.released, [])
  bench.flushes[0]?.done()
  await bench.clock.settle()
  assert.deepEqual(bench.released, [1000])
})

test('marks that cannot be stored keep the log, and are tried again', async () => {
  const bench = new Bench()
  bench.local = 1000
  bench.tail.advance()
  bench.flushes[0]?.fail(new Error('EIO'))
  await bench.clock.advance(500)
  assert.deepEqual([bench.released, bench.failures, bench.flushes.length], [[], 1, 1])
  await bench.clock.advance(1000)
  assert.equal(bench.flushes.length, 2)
  bench.flushes[1]?.done()
  await bench.clock.settle()
  assert.deepEqual(bench.released, [1000])
})

test('what a site takes hold of while marks are being stored is kept', async () => {
  const bench = new Bench()
  bench.local = 1000
  bench.tail.advance()
  bench.pin = 600
  bench.flushes[0]?.done()
  await bench.clock.settle()
  assert.deepEqual(bench.released, [600])
  bench.pin = null
  bench.behind = false
  bench.tail.advance()
  assert.deepEqual(bench.released, [600, 1000])
})

test('marks are not stored for the sake of a few bytes', async () => {
  const bench = new Bench()
  bench.local = 99
  bench.tail.advance()
  assert.equal(bench.flushes.length, 0)
  bench.local = 100
  bench.tail.advance()
  assert.equal(bench.flushes.length, 1)
})
