/**
 * The memory guard, with a clock that the test moves.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '@sitelink/protocol/entry'
import { guardMemory } from '../src/index.js'

test('buffers that nobody holds any more are given back once they have grown by a step', () => {
  let look: (() => void) | null = null
  const clock = {
    after: (_delayMs: number, action: () => void) => {
      look = action
      return { cancel: () => (look = null) }
    },
  } as unknown as Clock
  const tick = (): void => (look as unknown as () => void)()
  const stop = guardMemory({ clock, stepBytes: 8 * 1024 * 1024 })
  const before = process.memoryUsage().arrayBuffers
  let held: Buffer[] = Array.from({ length: 64 }, () => Buffer.alloc(1024 * 1024))
  tick()
  assert.ok(process.memoryUsage().arrayBuffers >= before + 60 * 1024 * 1024, 'what is held stays')
  assert.equal(held.length, 64)
  held = []
  for (let step = 0; step < 32; step += 1) {
    Buffer.alloc(1024 * 1024)
    tick()
  }
  assert.ok(process.memoryUsage().arrayBuffers < before + 40 * 1024 * 1024, 'what was let go is given back')
  stop()
  assert.equal(look, null, 'a stopped guard has no timer')
})
