/** Syncs of one descriptor: one at a time, and a failure that is reported once reaches all that it may be about. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SyncTurns } from '../../src/disk/sync-turns.js'

class Kernel {
  readonly begun: { resolve: () => void; reject: (error: Error) => void }[] = []
  readonly ended: string[] = []
  readonly wholes: boolean[] = []
  readonly turns = new SyncTurns((whole) => {
    this.wholes.push(whole)
    return this.#turn()
  })

  #turn(): Promise<void> {
    return new Promise((resolve, reject) => void this.begun.push({ resolve, reject }))
  }

  ask(name: string, whole = false): Promise<void> {
    return this.turns.sync(whole).then(
      () => void this.ended.push(`${name} synced`),
      (error: Error) => void this.ended.push(`${name}: ${error.message}`),
    )
  }
}

test('syncs of one descriptor run one at a time, and all that wait share the next', async () => {
  const kernel = new Kernel()
  const first = kernel.ask('first')
  const second = kernel.ask('second')
  const third = kernel.ask('third', true)
  assert.equal(kernel.begun.length, 1)
  kernel.begun[0]?.resolve()
  await first
  assert.deepEqual(kernel.ended, ['first synced'], 'a sync that began before they asked is not theirs')
  assert.equal(kernel.begun.length, 2)
  kernel.begun[1]?.resolve()
  await Promise.all([second, third])
  const fourth = kernel.ask('fourth')
  assert.equal(kernel.begun.length, 3)
  kernel.begun[2]?.resolve()
  await fourth
  assert.deepEqual(kernel.wholes, [false, true, false], 'who wants all of the file synced gets it')
})

test('a sync that waits for one that fails fails with it: the report may be about its bytes', async () => {
  const kernel = new Kernel()
  const all = [kernel.ask('log'), kernel.ask('resize')]
  kernel.begun[0]?.reject(new Error('EIO'))
  await Promise.all(all)
  assert.deepEqual(kernel.ended, ['log: EIO', 'resize: EIO'])
  assert.equal(kernel.begun.length, 1, 'a sync that failed is not repeated')
  const after = kernel.ask('after')
  kernel.begun[1]?.resolve()
  await after
})
