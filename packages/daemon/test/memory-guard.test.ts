/**
 * The memory guard, with a clock that the test moves.
 */
import assert from 'node:assert/strict'
import { constants, PerformanceObserver, type PerformanceEntry } from 'node:perf_hooks'
import { test } from 'node:test'
import type { Clock } from '@sitelink/protocol/entry'
import { guardMemory } from '../src/index.js'

/** What Node tells of a collection. */
interface Collection {
  readonly kind: number
  readonly flags: number
}

/** A clock whose one timer the test ends. */
class HandClock {
  #look: (() => void) | null = null
  readonly clock = {
    after: (_delayMs: number, action: () => void) => {
      this.#look = action
      return { cancel: () => (this.#look = null) }
    },
  } as unknown as Clock

  get waits(): boolean {
    return this.#look !== null
  }

  tick(): void {
    const look = this.#look
    this.#look = null
    look?.()
  }
}

test('where the system promises no memory that is not used, the guard collects as it can, and goes on', () => {
  const clock = new HandClock()
  const stop = guardMemory({ clock: clock.clock, stepBytes: 64 * 1024 })
  const held = Array.from({ length: 8 }, () => Buffer.alloc(64 * 1024))
  const real = globalThis.ArrayBuffer
  let refused = 0
  globalThis.ArrayBuffer = class {
    constructor() {
      refused += 1
      throw new RangeError('Array buffer allocation failed')
    }
  } as unknown as ArrayBufferConstructor
  try {
    clock.tick()
  } finally {
    globalThis.ArrayBuffer = real
  }
  assert.equal(held.length, 8)
  assert.equal(refused, 1)
  assert.equal(clock.waits, true)
  stop()
})

test(
  'buffers that nobody holds any more are given back once they have grown by a step, and no whole heap is forced',
  { timeout: 60_000 },
  async () => {
    const clock = new HandClock()
    const tick = (): void => clock.tick()
    const collections: Collection[] = []
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries() as (PerformanceEntry & { detail: Collection })[])
        collections.push(detail)
    })
    observer.observe({ entryTypes: ['gc'] })
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
    const MIB = 1024 * 1024
    const bytes = (): number => process.memoryUsage().arrayBuffers
    const stop = guardMemory({ clock: clock.clock, stepBytes: 8 * MIB })
    const before = bytes()
    // Less than V8 would begin a collection for by itself.
    const held = Array.from({ length: 40 }, () => Buffer.alloc(MIB))
    for (let looks = 0; looks < 8; looks += 1) {
      tick()
      await turn()
    }
    assert.ok(bytes() >= before + 39 * MIB, 'what is held stays')
    assert.equal(held.length, 40)
    held.length = 0
    // What comes in its place is held, so that the young generation has nothing to give back.
    for (let step = 0; step < 12; step += 1) {
      held.push(Buffer.alloc(MIB))
      tick()
      await turn()
    }
    while (bytes() >= before + 30 * MIB) await new Promise<void>((resolve) => setTimeout(resolve, 5))
    assert.equal(held.length, 12)
    const { NODE_PERFORMANCE_GC_MAJOR: major, NODE_PERFORMANCE_GC_FLAGS_FORCED: forced } = constants
    const whole = collections.filter(({ kind }) => kind === major)
    assert.ok(whole.length > 0, 'the whole heap was collected')
    assert.deepEqual(
      whole.filter(({ flags }) => (flags & forced) !== 0),
      [],
    )
    observer.disconnect()
    stop()
    assert.equal(clock.waits, false, 'a stopped guard has no timer')
  },
)
