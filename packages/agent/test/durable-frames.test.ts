/**
 * Frames that change what the agent must know durably, devices that go, damage that is found: none of it is forgotten by
 * a power cut at the moment in which somebody relies on it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seedFromEnv } from '@sitelink/storage/testing'
import { parseReplica, type ReplicaState } from '../src/replica/replica-state.js'
import { HeldNames } from './support/held-names.js'
import { JOURNAL, STATE, World } from './support/world.js'

const MIB = 1 << 20
const seed = seedFromEnv('agent durable frames')

type Options = Partial<ConstructorParameters<typeof World>[0]> & { readonly entryBytes?: number }

/** A pair in step after `count` entries, of which the primary has `durable`, on disks that can hold replacements. */
async function pairWith(count: number, durable: number, options: Options = {}): Promise<[World, HeldNames]> {
  const world = new World({ seed: `${seed}`, ...options })
  await world.init()
  const held = new HeldNames(world.disks)
  await world.start({ disks: held })
  const session = await world.connect()
  const { primary } = world
  for (let at = 0; at < count; at++)
    primary.write(1 + (at % 2), at * 4096, world.randomBytes(options.entryBytes ?? 4096))
  primary.feed()
  primary.makeDurable(durable)
  await world.until(() => session.acks.at(-1)?.durable[1] === count && session.acks.at(-1)?.applied[1] === durable)
  return [world, held]
}

async function stateOf(world: World): Promise<ReplicaState> {
  const bytes = await world.disks.readFile(`${STATE}/replica.json`)
  const parsed = parseReplica(bytes?.toString('utf8') ?? '')
  assert(parsed.kind === 'replica', parsed.kind)
  return parsed.state
}

async function darkness(world: World): Promise<void> {
  world.primary.disconnect()
  await world.powerCut({ kind: 'lose-all' })
}

test('the journal keeps an unmap until the table has forgotten its mapping, durably, and its dirty log goes with it', async () => {
  const [world, held] = await pairWith(6, 6)
  const { primary } = world
  const dirtyLog = (): boolean => world.disks.paths().some((path) => path.includes('aaaaaaaaaaaa0000'))
  held.hold('replica.json')
  primary.push(primary.unmapFrame(1))
  primary.devices = primary.devices.slice(1)
  await world.until(() => held.waitingCount === 1)
  // Frames and superblocks go on: none of them may say that the unmap is applied.
  for (let at = 0; at < 40; at++) {
    primary.write(2, at * 4096, world.randomBytes(4096))
    primary.feed()
    primary.makeDurable()
    await world.clock.advance(50)
  }
  assert(dirtyLog())
  await darkness(world)
  assert.equal((await stateOf(world)).mappings.length, 2)
  await world.start()
  await world.clock.advance(5000)
  assert.equal((await stateOf(world)).mappings.length, 1, 'it was found again, and done')
  assert(!dirtyLog())
  const session = await world.connect()
  assert.deepEqual(
    session.welcome?.mappings.map((one) => one.deviceId),
    [2],
  )
  await world.stop()
})

test('an unmap that waits in a journal which is given up is done with it: no primary says it again', async () => {
  const [world] = await pairWith(10, 4)
  const { primary } = world
  // It waits for the entries before it, which the primary does not have durably.
  primary.push(primary.unmapFrame(1))
  primary.devices = primary.devices.slice(1)
  await world.until(() => world.agent.status().mappings.some(({ unmapping }) => unmapping))
  primary.disconnect()
  await world.clock.advance(100)
  primary.recorded = { agent: 'f'.repeat(16), journal: 'f'.repeat(16), durable: { incarnation: 1, lsn: 4 } }
  const session = await world.connect()
  assert.match(session.plan?.restart ?? '', /another agent/)
  assert.deepEqual(
    world.agent.status().mappings.map(({ deviceId }) => deviceId),
    [2],
  )
  assert.equal((await stateOf(world)).mappings.length, 1)
  assert(!world.disks.paths().some((path) => path.includes('aaaaaaaaaaaa0000')), 'its dirty log is gone')
  await world.stop()
})

test('a stop waits until an unmap is written down, and its dirty log is gone', async () => {
  for (const part of ['replica.json', 'aaaaaaaaaaaa0000']) {
    const [world, held] = await pairWith(6, 6)
    const { primary } = world
    held.hold(part)
    primary.push(primary.unmapFrame(1))
    primary.devices = primary.devices.slice(1)
    await world.until(() => held.waitingCount === 1)
    let stopped = false
    const stopping = world.agent.close().then(() => (stopped = true))
    await world.clock.advance(2000)
    assert.equal(stopped, false, part)
    held.letGo()
    await world.clock.runUntil(stopping, 60_000)
    assert.equal((await stateOf(world)).mappings.length, 1)
    assert(!world.disks.paths().some((path) => path.includes('aaaaaaaaaaaa0000')))
  }
})

test('a device that is let go while it is mapped is dirty from end to end, durably, before anything of it is dropped', async () => {
  const [world] = await pairWith(10, 4, { diskMs: 1 })
  const path = world.disks.paths().find((one) => one.includes('aaaaaaaaaaaa0000')) ?? assert.fail('it has a dirty log')
  world.disks.inject(path, { on: 'sync', delayMs: 500 })
  let gone = false
  const removing = world.agent.removeDevice('dev0').then(() => (gone = true))
  await world.clock.advance(300)
  assert.equal(gone, false)
  await world.clock.runUntil(removing, 5000)
  await darkness(world)
  await world.start()
  await world.clock.advance(500)
  assert.equal(world.agent.status().mappings.find((one) => one.deviceId === 1)?.regionsDirty, 2)
  await world.stop()
})

test('a dirty log that could not be written while the agent started over is opened again with the next session', async () => {
  const [world] = await pairWith(4, 4)
  const { primary } = world
  primary.disconnect()
  primary.recorded = { agent: 'f'.repeat(16), journal: 'f'.repeat(16), durable: { incarnation: 1, lsn: 4 } }
  const path = world.disks.paths().find((one) => one.includes('aaaaaaaaaaaa0001')) ?? assert.fail('it has a dirty log')
  await world.clock.advance(5000)
  // The close of what was open before it fails as well.
  const fault = world.disks.inject(path, { on: 'write', error: 'EIO', count: 2 })
  const refused = await world.clock.runUntil(primary.connect(), 5000)
  await world.until(() => refused.end !== null)
  fault.remove()
  assert((await world.connect()).ready)
  await world.stop()
})

test('where a device was found is written down: it is taken for another one once, not at every start', async () => {
  const [world] = await pairWith(4, 4)
  world.primary.disconnect()
  await world.stop()
  world.disks.addDevice('/dev/other', 2 * MIB)
  world.devices = [{ name: 'dev0', path: '/dev/other' }, ...world.devices.slice(1)]
  await world.start()
  await darkness(world)
  assert.equal((await stateOf(world)).mappings.find((one) => one.deviceId === 1)?.path, '/dev/other')
  await world.start()
  await world.connect()
  await world.until(() => world.agent.status().replica?.consistent === true)
  await world.stop()
  await world.start()
  assert.equal(world.agent.status().replica?.dirtyRegions, 0)
  await world.stop()
})

test('a session that takes over hears its welcome only when what the older one began is over', async () => {
  const [world, held] = await pairWith(3, 3)
  const { primary } = world
  world.disks.addDevice('/dev/spare', 2 * MIB)
  await world.clock.runUntil(world.agent.addDevice({ name: 'spare', path: '/dev/spare' }), 1000)
  const fresh = {
    ...primary.device(1),
    deviceId: 3,
    number: 2,
    mappingId: 'cccccccccccc0000',
    name: 'new',
    remote: 'spare',
  }
  held.hold('replica.json')
  primary.push(primary.mapFrame(fresh))
  await world.until(() => held.waitingCount === 1)
  // The older session lives on while the next one greets.
  const session = await world.clock.runUntil(primary.connect(), 5000)
  await world.clock.advance(500)
  assert(session.welcome === null)
  held.letGo()
  await world.until(() => session.welcome !== null)
  await world.stop()
})

test('the welcome says which regions are dirty, in the middle of a resync', async () => {
  const [world] = await pairWith(4, 4)
  const { primary } = world
  primary.push(primary.resyncBeginFrame(1, [1]), primary.resyncBeginFrame(2, [0, 2]))
  await world.until(() => primary.current?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
  primary.disconnect()
  primary.live = false
  const session = await world.connect()
  assert.deepEqual([...(session.dirty.get(1) ?? [])], [1])
  assert.deepEqual([...(session.dirty.get(2) ?? [])], [0, 2])
  await world.stop()
})

test('a mapping of more bytes than its device has is refused, whatever hello said of it', async () => {
  const [world] = await pairWith(4, 4)
  const { primary } = world
  world.disks.addDevice('/dev/spare', 2 * MIB)
  await world.clock.runUntil(world.agent.addDevice({ name: 'spare', path: '/dev/spare' }), 1000)
  const session = primary.current
  const fresh = {
    ...primary.device(1),
    deviceId: 3,
    number: 2,
    mappingId: 'cccccccccccc0000',
    name: 'new',
    remote: 'spare',
  }
  primary.push(primary.mapFrame({ ...fresh, sizeBytes: 3 * MIB }))
  await world.until(() => session?.end !== null)
  assert.match(session?.end?.message ?? '', /only 2097152/)
  assert.equal((await stateOf(world)).mappings.length, 2)
  await world.stop()
})

test('what a resync brought is clean after a stop that comes at once', async () => {
  const [world] = await pairWith(4, 4)
  const { primary } = world
  const session = primary.current
  primary.push(primary.resyncBeginFrame(1, [1]), ...primary.copyFrames(1, 1))
  await world.until(() => session?.acks.at(-1)?.applied[2] === primary.sentFrames.length)
  await world.stop()
  await world.start()
  assert.equal(world.agent.status().replica?.dirtyRegions, 0)
  await world.stop()
})

/** Changes a payload in the journal at rest. */
async function damage(world: World, lsn: number): Promise<void> {
  const medium = world.disks.medium(JOURNAL)
  const bytes = Buffer.alloc(medium.sizeBytes)
  medium.read(bytes, 0)
  const at = bytes.indexOf(world.primary.entries[lsn - 1]?.payload as Buffer)
  assert(at > 0)
  const disk = await world.disks.open(JOURNAL)
  await disk.write([Buffer.alloc(512, 0xee)], at)
  await disk.sync()
  await disk.close()
}

test('damage that a start finds makes every region dirty, and both are durable before anybody is welcomed', async () => {
  const [world] = await pairWith(20, 10)
  world.primary.disconnect()
  await world.stop()
  await damage(world, 15)
  const held = new HeldNames(world.disks)
  held.hold('replica.json')
  const starting = world.start({ disks: held })
  await world.until(() => held.waitingCount === 1)
  const before = await stateOf(world)
  assert.equal(before.allDirty, null)
  held.letGo()
  await starting
  assert.equal(world.agent.status().replica?.dirtyRegions, 5)
  assert(world.events.some(({ kind }) => kind === 'journal-damaged'))
  const { journalId } = await stateOf(world)
  await darkness(world)
  assert.notEqual((await stateOf(world)).allDirty, null)
  await world.start()
  assert.equal(world.agent.status().replica?.dirtyRegions, 5)
  assert((world.agent.status().replica?.appliedLsn ?? 0) < 15, 'nothing behind the hole')
  world.primary.makeDurable()
  const session = await world.connect()
  assert.equal(session.welcome?.journal, journalId)
  assert.notEqual(session.plan?.restart, null)
  await world.until(() => world.agent.status().replica?.consistent === true)
  world.assertContent(20)
  await world.stop()
})

test('damage that applying finds ends it there: nothing behind is applied, and no session goes on before it is written down', async () => {
  // More than what has been read of the journal already, and nothing of it is in memory.
  const limits = { applyReadBytes: MIB / 16, recentBytesMax: 1 }
  const [world, held] = await pairWith(20, 10, { entryBytes: MIB / 4, limits })
  const { primary } = world
  await damage(world, 18)
  held.hold('replica.json')
  primary.makeDurable()
  await world.until(() => held.waitingCount === 1)
  await world.clock.advance(2000)
  assert((world.agent.status().replica?.appliedLsn ?? 0) < 18)
  const last = primary.entries[18]?.payload as Buffer
  assert(
    !world
      .content('dev0')
      .subarray(18 * 4096, 19 * 4096)
      .equals(last.subarray(0, 4096)),
    'nor on the device',
  )
  const early = await world.clock.runUntil(primary.connect(), 5000)
  await world.clock.advance(1000)
  assert(early.welcome === null)
  held.letGo()
  await world.until(() => early.end !== null)
  const session = await world.connect()
  assert.equal(session.welcome?.allDirty, true)
  await world.until(() => world.agent.status().replica?.consistent === true)
  world.assertContent(20)
  await world.stop()
})
