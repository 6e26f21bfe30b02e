/**
 * The steps that make the agent's own state durable, one by one: what must not happen while one of them is under way, and
 * what a power cut right behind it must find.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WIRE_SYNC } from '@sitelink/protocol'
import { seedFromEnv } from '@sitelink/storage/testing'
import { ReplicaFile } from '../src/replica/replica-file.js'
import { parseReplica, type ReplicaState } from '../src/replica/replica-state.js'
import { HeldNames } from './support/held-names.js'
import { JOURNAL, STATE, World } from './support/world.js'

const MIB = 1 << 20
const seed = seedFromEnv('agent durable steps')
const REPLICA = `${STATE}/replica.json`

type Options = Partial<ConstructorParameters<typeof World>[0]>

/** A pair with `count` entries sent, of which the primary has `durable` and the agent applied as many. */
async function pairWith(count: number, durable: number, options: Options = {}): Promise<World> {
  const world = new World({ seed: `${seed}`, ...options })
  await world.init()
  await world.start()
  const session = await world.connect()
  write(world, count)
  world.primary.feed()
  world.primary.makeDurable(durable)
  await world.until(() => session.acks.at(-1)?.durable[1] === count && session.acks.at(-1)?.applied[1] === durable)
  return world
}

function write(world: World, count: number): void {
  for (let at = 0; at < count; at++) world.primary.write(1 + (at % 2), at * 4096, world.randomBytes(4096))
}

/** The agent again, after `end`, on disks that hold replacements; the primary is not connected. */
async function againOn(world: World, end: 'crash' | 'stop'): Promise<HeldNames> {
  world.primary.disconnect()
  await world[end]()
  const held = new HeldNames(world.disks)
  await world.start({ disks: held })
  return held
}

async function stateOf(world: World): Promise<ReplicaState> {
  const bytes = await world.disks.readFile(REPLICA)
  const parsed = parseReplica(bytes?.toString('utf8') ?? '')
  assert(parsed.kind === 'replica', parsed.kind)
  return parsed.state
}

/** Power goes, and with it everything that was not synced. */
async function darkness(world: World): Promise<void> {
  world.primary.disconnect()
  await world.powerCut({ kind: 'lose-all' })
}

test('a state of the replica counts when it is durable, not before, and is what the file says', async () => {
  const world = await pairWith(2, 2)
  await world.stop()
  const held = new HeldNames(world.disks)
  const file = (await ReplicaFile.open(REPLICA, held, STATE)) ?? assert.fail('it is there')
  const before = file.current
  held.hold('replica.json')
  let done = false
  const update = file.update((state) => ({ ...state, epoch: 9 })).then(() => (done = true))
  const settled = file.settled()
  await world.clock.settle()
  assert.equal(done, false)
  assert.equal(file.current, before)
  held.letGo()
  await update
  await settled
  assert.equal(file.current.epoch, 9)
  assert.equal((await stateOf(world)).epoch, 9)
})

test('what is received is acknowledged as durable when the journal is synced: at once where the primary wants it', async () => {
  const world = await pairWith(2, 2, { diskMs: 3 })
  const { current } = world.primary
  const durableAfter = async (lsn: number, ask: () => void): Promise<number> => {
    // Whatever came before is told, and no timer runs that would do for this as well.
    await world.clock.advance(500)
    write(world, 3)
    world.primary.feed()
    ask()
    const before = world.clock.nowMs()
    await world.until(() => current?.acks.at(-1)?.received[1] === lsn)
    assert(world.clock.nowMs() - before < 15, 'what is received is told at once in any case')
    await world.until(() => current?.acks.at(-1)?.durable[1] === lsn)
    return world.clock.nowMs() - before
  }
  assert((await durableAfter(5, () => current?.session.sendControl({ kind: 'sync' }))) < 15)
  const unasked = await durableAfter(8, () => {})
  assert(unasked >= 90 && unasked < 150, `in the journal's own time: ${unasked} ms`)
  await world.stop()
})

test('one sync covers what came in one piece with the wish for it, whatever lay unsynced before', async () => {
  const world = await pairWith(2, 2, { diskMs: 10 })
  const { current } = world.primary
  await world.clock.advance(500)
  write(world, 1)
  world.primary.feed()
  await world.until(() => current?.acks.at(-1)?.received[1] === 3)
  const syncs = world.disks.inject(JOURNAL, { on: 'sync', delayMs: 1, count: Infinity })
  write(world, 1)
  world.primary.feed()
  current?.session.sendControl({ kind: 'sync' })
  await world.until(() => current?.acks.at(-1)?.durable[1] === 4)
  assert.equal(syncs.hits, 1)
  await world.stop()
})

test('what was asked for is made durable at once also where it came into the journal later, behind a barrier', async () => {
  const world = await pairWith(2, 2, { diskMs: 3 })
  const { primary } = world
  await world.clock.advance(500)
  primary.push(primary.resyncBeginFrame(1, [0]))
  write(world, 3)
  primary.feed()
  primary.current?.session.sendControl({ kind: 'sync' })
  await world.until(() => primary.current?.acks.at(-1)?.received[1] === 5)
  const before = world.clock.nowMs()
  await world.until(() => primary.current?.acks.at(-1)?.durable[1] === 5)
  const tookMs = world.clock.nowMs() - before
  assert(tookMs < 50, `they waited for the journal's own time: ${tookMs} ms`)
  await world.stop()
})

test('a primary that does not know how to ask is told of what is durable at once', async () => {
  const world = await pairWith(2, 2)
  world.primary.disconnect()
  world.primary.wireVersion = WIRE_SYNC - 1
  const { acks } = await world.connect()
  write(world, 3)
  world.primary.feed()
  const before = world.clock.nowMs()
  await world.until(() => acks.at(-1)?.durable[1] === 5)
  assert(world.clock.nowMs() - before < 15)
  await world.stop()
})

test('an acknowledgement says durable of nothing that a power cut takes', async () => {
  // What is applied is read from the journal, so that it is missed where the journal gave it back too early.
  const world = await pairWith(2, 2, { diskMs: 3, limits: { recentBytesMax: 1 } })
  const { primary } = world
  for (let round = 0; round < 12; round++) {
    const session = primary.current
    const sent = primary.entries.length + 4
    write(world, 4)
    primary.feed()
    session?.session.sendControl({ kind: 'sync' })
    await world.until(() => session?.acks.at(-1)?.received[1] === sent)
    if (round % 3 === 2) {
      // What came before is applied, and the journal may free that; the next superblock says what it has freed.
      primary.makeDurable(sent - 4)
      await world.clock.advance(1600)
      primary.makeDurable(sent - 2)
    }
    await world.clock.advance(round * 10)
    const durable = session?.acks.at(-1)?.durable[1] ?? 0
    await darkness(world)
    await world.start()
    assert((world.agent.status().replica?.receivedLsn ?? 0) >= durable, `round ${round}: ${durable} is there`)
    await world.connect()
    await world.until(() => primary.current?.acks.at(-1)?.durable[1] === sent)
  }
  await world.stop()
})

test('what the primary told is relied on only when a superblock of the journal has it, and that one only for what it says', async () => {
  const world = await pairWith(9, 3, { diskMs: 1 })
  const { primary } = world
  await world.clock.advance(1000)
  const slow = world.disks.inject(JOURNAL, { on: 'sync', delayMs: 1000, count: 2 })
  primary.makeDurable(6)
  await world.clock.advance(500)
  assert.equal(slow.hits, 1, 'the superblock that says 6 is under way')
  world.assertContent(3)
  primary.makeDurable(9)
  await world.clock.advance(300)
  world.assertContent(3)
  await world.until(() => slow.hits === 2)
  await world.clock.advance(500)
  world.assertContent(6, 'while the superblock that says 9 is under way')
  await world.until(() => world.agent.status().replica?.appliedLsn === 9)
  world.assertContent(9)
  await world.stop()
})

test('the journal frees nothing that the devices do not have durably', async () => {
  for (let round = 0; round < 4; round++) {
    const world = await pairWith(2, 2, { seed: `${seed}/free/${round}`, diskMs: 1 })
    const { primary } = world
    for (let at = 0; at < 40; at++) {
      write(world, 1)
      primary.feed()
      primary.makeDurable()
      await world.clock.advance(60 + round)
    }
    await darkness(world)
    await world.start()
    await world.connect()
    await world.until(() => world.agent.status().replica?.appliedLsn === 42)
    world.assertContent(42)
    await world.stop()
  }
})

test('a clean stop brings to the devices all that may be brought', async () => {
  const world = await pairWith(10, 4, { diskMs: 1 })
  for (const { path } of world.devices) world.disks.inject(path, { on: 'write', delayMs: 1000, count: Infinity })
  for (const durable of [7, 10]) {
    // What is told second waits behind what is being written.
    world.primary.makeDurable(durable)
    await world.clock.advance(300)
  }
  assert.equal(world.agent.status().replica?.appliedLsn, 4)
  await world.stop()
  world.assertContent(10)
})

test('a stop waits for the file of the replica', async () => {
  const world = await pairWith(3, 3)
  const held = await againOn(world, 'stop')
  held.hold('replica.json')
  world.primary.epoch = 2
  await world.clock.runUntil(world.primary.connect(), 5000)
  await world.clock.advance(100)
  assert.equal(held.waitingCount, 1)
  let stopped = false
  const stop = world.agent.close().then(() => (stopped = true))
  await world.clock.advance(2000)
  assert.equal(stopped, false)
  held.letGo()
  await world.clock.runUntil(stop, 5000)
  assert.equal((await stateOf(world)).epoch, 2)
})

test('what a primary lost is cut from the journal before its table of lives stands, and durably before it may send', async () => {
  const world = await pairWith(20, 8, { diskMs: 20 })
  const { primary } = world
  const held = await againOn(world, 'crash')
  primary.powerCut(8)
  held.hold('replica.json')
  await world.clock.runUntil(primary.connect(), 5000)
  while (held.waitingCount === 0) await world.clock.advance(1)
  await darkness(world)
  await world.start()
  assert.equal(world.agent.status().replica?.receivedLsn, 8, 'the cut was durable before the table was written')
  assert((await world.connect()).ready)
  await darkness(world)
  assert.deepEqual((await stateOf(world)).incarnations, primary.incarnations)
  await world.start()
  assert.equal(world.agent.status().replica?.receivedLsn, 8)
  await world.stop()
})

test('a cut is durable at the moment in which the primary hears that it may send', async () => {
  const world = await pairWith(20, 8, { diskMs: 4 })
  const { primary } = world
  primary.powerCut(8)
  primary.live = false
  const session = await world.clock.runUntil(primary.connect(), 5000)
  while (!session.ready) await world.clock.advance(1)
  await darkness(world)
  await world.start()
  assert.equal(world.agent.status().replica?.receivedLsn, 8)
  await world.stop()
})

test('a mapping whose map is cut from the journal is gone from the table, durably, and is not named in the welcome', async () => {
  const world = await pairWith(6, 6)
  const { primary } = world
  world.disks.addDevice('/dev/spare', 2 * MIB)
  world.devices.push({ name: 'spare', path: '/dev/spare' })
  await world.clock.runUntil(world.agent.addDevice({ name: 'spare', path: '/dev/spare' }), 1000)
  const fresh = {
    ...primary.device(1),
    deviceId: 3,
    number: 2,
    mappingId: 'cccccccccccc0000',
    name: 'new',
    remote: 'spare',
  }
  write(world, 2)
  primary.feed()
  primary.devices = [...primary.devices, fresh]
  primary.push(primary.mapFrame(fresh))
  await world.until(() => primary.current?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
  assert.equal(world.agent.status().mappings.length, 3)
  const held = await againOn(world, 'crash')
  primary.powerCut(6)
  primary.devices = primary.devices.slice(0, 2)
  held.hold('replica.json')
  await world.clock.runUntil(primary.connect(), 5000)
  await world.until(() => held.waitingCount === 1)
  // The journal is cut, and the table not yet: the next start is to find that.
  await darkness(world)
  await world.start()
  const session = await world.connect()
  assert.deepEqual(session.welcome?.mappings.map((one) => one.deviceId).sort(), [1, 2])
  assert(session.ready)
  await darkness(world)
  assert.deepEqual((await stateOf(world)).mappings.map((one) => one.deviceId).sort(), [1, 2])
  assert(!world.disks.paths().some((path) => path.includes('cccccccccccc0000')), 'its dirty log is gone')
  await world.start()
  await world.stop()
})

test('a mapping whose map is cut from the journal is not in force any more in the session that cut it', async () => {
  const world = await pairWith(6, 6)
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
  write(world, 2)
  primary.feed()
  primary.push(primary.mapFrame(fresh))
  await world.until(() => world.agent.status().mappings.length === 3)
  await world.until(() => primary.current?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
  primary.powerCut(6)
  assert((await world.connect()).ready)
  assert.equal(world.agent.status().mappings.length, 2)
  await world.stop()
})

test('whoever started over has the table of lives of the log that comes, durably, before it hears of it', async () => {
  const world = await pairWith(10, 10)
  const { primary } = world
  primary.disconnect()
  primary.recorded = { agent: 'ffffffffffffffff', journal: 'ffffffffffffffff', durable: { incarnation: 1, lsn: 10 } }
  primary.live = false
  const session = await world.connect()
  assert(session.ready)
  assert.notEqual(session.plan?.restart, null)
  await darkness(world)
  assert.deepEqual((await stateOf(world)).incarnations, primary.incarnations)
  await world.start()
  await world.stop()
})

test('what a cut makes void is void after a power cut as well: copies of a lost tail never land', async () => {
  const world = await pairWith(10, 10)
  const { primary } = world
  const lost = world.randomBytes(4096)
  primary.write(1, 40960, lost)
  primary.push(primary.resyncBeginFrame(1, [0]), ...primary.copyFrames(1, 0, 11))
  await world.until(() => primary.current?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
  primary.powerCut(10)
  primary.live = false
  assert((await world.connect()).ready)
  await darkness(world)
  await world.start()
  for (let at = 0; at < 5; at++) primary.write(2, at * 512, world.randomBytes(512))
  primary.makeDurable()
  assert((await world.connect()).ready)
  primary.feed()
  await world.until(() => world.agent.status().replica?.appliedLsn === 15)
  await world.clock.advance(2000)
  assert(!world.content('dev0').subarray(40960, 45056).equals(lost))
  await world.stop()
})

test('starting over begins with its mark: until that is durable the old journal and the dirty logs are as they were', async () => {
  const world = await pairWith(10, 10, { diskMs: 1 })
  const { primary } = world
  const held = await againOn(world, 'crash')
  primary.recorded = { agent: 'ffffffffffffffff', journal: 'ffffffffffffffff', durable: { incarnation: 1, lsn: 10 } }
  held.hold('replica.json')
  await world.clock.runUntil(primary.connect(), 5000)
  await world.until(() => held.waitingCount === 1)
  await world.clock.advance(1000)
  assert.equal(world.agent.status().replica?.receivedLsn, 10)
  assert.equal(world.agent.status().replica?.dirtyRegions, 0)
  const before = await stateOf(world)
  // Its journal is made anew only when every region is dirty, durably.
  const dirtyLog =
    world.disks.paths().find((path) => path.includes('dirty-aaaaaaaaaaaa0000')) ?? assert.fail('it has one')
  world.disks.inject(dirtyLog, { on: 'sync', delayMs: 3000, count: Infinity })
  const journal = Buffer.alloc(1000)
  world.disks.medium(JOURNAL).read(journal, 0)
  held.letGo()
  await world.clock.advance(4500)
  const after = Buffer.alloc(1000)
  world.disks.medium(JOURNAL).read(after, 0)
  assert(idOf(after).equals(idOf(journal)), 'the old journal is still there')
  await darkness(world)
  const marked = await stateOf(world)
  assert.notEqual(marked.restarting, null)
  assert.equal(marked.ringId, before.ringId)
  await world.start()
  assert.equal(world.agent.status().replica?.dirtyRegions, 5)
  assert((await world.connect()).ready)
  await darkness(world)
  const last = await stateOf(world)
  assert.equal(last.restarting, null)
  assert.notEqual(last.ringId, before.ringId)
  assert.deepEqual(last.incarnations, primary.incarnations)
  await world.start()
  await world.stop()
})

/** The identity of the log in a superblock. */
function idOf(superblock: Buffer): Buffer {
  return superblock.subarray(40, 48)
}
