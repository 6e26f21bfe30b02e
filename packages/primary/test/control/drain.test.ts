/** The verb drain of a running group: what it waits for, that it wakes, and that it ends. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventLog, SitelinkError, type ControlServer, type ControlStream, type Log } from '@sitelink/daemon'
import { registerVerbs, type ControlParts } from '../../src/control/handlers.js'
import { bytes, GroupWorld, MIB } from '../group/group-world.js'

/** Begins a drain; `said` collects what it waits for. */
function drain(world: GroupWorld, body: unknown): { said: string[]; result: Promise<unknown> } {
  const streams = new Map<string, ControlStream>()
  const server = { verb() {}, page() {}, stream: (name: string, run: ControlStream) => void streams.set(name, run) }
  const parts = {
    group: world.group,
    admin: world.admin,
    events: new EventLog(world.clock, { write() {} } as unknown as Log),
  }
  registerVerbs(server as unknown as ControlServer, { ...parts, links: {} } as unknown as ControlParts)
  const said: string[] = []
  const result = (async () => {
    const steps = streams.get('drain')?.(body, { signal: new AbortController().signal } as never)
    assert.ok(steps !== undefined)
    for (;;) {
      const step = await steps.next()
      if (step.done === true) return step.value
      said.push((step.value as { waitsFor: string }).waitsFor)
    }
  })()
  return { said, result }
}

test('[FLU-03] a drain waits until everything is on the local devices, and wakes when it is', async () => {
  const world = await GroupWorld.running({ latency: { writeMs: [1, 2], syncMs: [1, 2] } })
  await world.ok(world.write(0, 0, bytes(65_536, 1)), world.write(1, 0, bytes(65_536, 2)))
  world.disks.inject('/dev/1', { on: 'write', error: 'EIO', count: 5 })
  const { said, result } = drain(world, null)
  assert.deepEqual(await world.clock.runUntil(result, 120_000), { lsn: 2, skipped: [] })
  assert.ok(said.length > 0 && said.every((what) => what === 'the local devices'))
  assert.equal(world.group.writeBack.appliedLsn, 2)
  assert.deepEqual(
    await world.clock.runUntil(drain(world, null).result),
    { lsn: 2, skipped: [] },
    'nothing to wait for',
  )
})

test('[FLU-03] a drain that waits for a site that is away ends when its time is over, and says for whom it waited', async () => {
  const world = await GroupWorld.running({ devices: [2 * MIB] })
  const { admin } = world
  await world.clock.runUntil(admin.addSlink({ number: 1, addresses: ['tcp://h:1'], mode: 'async' }))
  const dirtyLog = { type: 'core' } as const
  const mapping = { device: 0, slink: 1, remote: 'r', dirtyLog, regionBytes: MIB, initial: 'nosync' } as const
  await world.clock.runUntil(admin.map({ ...mapping, mappingId: '0123456789abcdef' }))
  await world.ok(world.write(0, 0, bytes(4096, 1)))
  const { result } = drain(world, { timeoutMs: 5000 })
  const error = await world.clock.runUntil(
    result.then(
      () => null,
      (thrown: unknown) => thrown,
    ),
    60_000,
  )
  assert.ok(SitelinkError.is(error))
  assert.equal(error.code, 'DRAIN_TIMEOUT')
  assert.match(error.message, /slink 1, which is not connected/)
  await world.clock.runUntil(admin.changeSlink(1, { paused: true }))
  assert.deepEqual(
    await world.clock.runUntil(drain(world, null).result),
    { lsn: 1, skipped: [1] },
    'a paused one is not waited for',
  )
})
