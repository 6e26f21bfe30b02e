/**
 * Who may speak to an agent, and what it does with the journal then: refusals, fencing, cuts, broken order, full journals.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFrame, frameBytes, FrameType } from '@sitelink/protocol'
import { seedFromEnv } from '@sitelink/storage/testing'
import { World } from './support/world.js'

const MIB = 1 << 20
const seed = seedFromEnv('agent sessions')

async function freshWorld(options: Partial<ConstructorParameters<typeof World>[0]> = {}): Promise<World> {
  const world = new World({ seed: `${seed}`, ...options })
  await world.init()
  await world.start()
  return world
}

/** A pair with `count` entries sent, of which the primary has `durable`. */
async function pairWith(
  count: number,
  durable: number,
  options: Partial<ConstructorParameters<typeof World>[0]> = {},
): Promise<World> {
  const world = await freshWorld(options)
  const session = await world.connect()
  const { primary } = world
  for (let i = 0; i < count; i++) primary.write(1 + (i % 2), i * 512, world.randomBytes(512))
  primary.feed()
  primary.makeDurable(durable)
  await world.until(() => session.acks.at(-1)?.durable[1] === count && session.acks.at(-1)?.applied[1] === durable)
  return world
}

test('[SM-14] a wrong peer is refused with a code and one sentence, and nothing changes', async () => {
  const world = await pairWith(5, 5)
  const { primary } = world
  const rows: readonly (readonly [string, () => void, () => void])[] = [
    [
      'wrong-group',
      () => (primary.group = '99999999-2222-3333-4444-555555555555'),
      () => (primary.group = '11111111-2222-3333-4444-555555555555'),
    ],
    ['older-epoch', () => (primary.epoch = 0), () => (primary.epoch = 1)],
    ['wrong-slink', () => (primary.slink = 2), () => (primary.slink = 1)],
    [
      'wire-version',
      () => (primary.wireVersion = primary.wireFloor = 99),
      () => (primary.wireVersion = primary.wireFloor = 1),
    ],
    [
      'device-missing',
      () => (primary.devices = [{ ...primary.device(1), remote: 'nowhere' }]),
      () => (primary.devices = [...primary.options.devices]),
    ],
    [
      'device-size',
      () => (primary.devices = [{ ...primary.device(1), sizeBytes: 64 * MIB }]),
      () => (primary.devices = [...primary.options.devices]),
    ],
  ]
  for (const [code, wrong, right] of rows) {
    // The session that is there goes on: whoever is refused fences nobody.
    const current = primary.current
    wrong()
    const refused = await world.clock.runUntil(primary.connect(), 5000)
    await world.until(() => refused.end !== null)
    assert.match(refused.end?.message ?? '', new RegExp(code))
    right()
    primary.current = current
    assert.equal(world.agent.status().session.connected, true, code)
    assert.equal(world.agent.status().replica?.receivedLsn, 5)
  }
  await world.stop()
})

test('a newer epoch is taken and is durable before the session is', async () => {
  const world = await pairWith(3, 3)
  world.primary.disconnect()
  world.primary.epoch = 7
  const session = await world.connect()
  assert(session.ready)
  await world.crash()
  await world.start()
  world.primary.disconnect()
  assert.equal(world.agent.status().replica?.epoch, 7)
  world.primary.epoch = 6
  const refused = await world.connect()
  assert.match(refused.end?.message ?? '', /older-epoch/)
  await world.stop()
})

test('of two sessions that greet at the same time the one of the newer epoch has the replica, whichever came first', async () => {
  for (const order of [
    [7, 6],
    [6, 7],
  ]) {
    const world = await pairWith(3, 3, { diskMs: 5 })
    const { primary } = world
    primary.disconnect()
    const hello = primary.hello.bind(primary)
    const epochs = [...order]
    primary.hello = () => ({ ...hello(), epoch: epochs.shift() ?? 7 })
    const sessions = await world.clock.runUntil(Promise.all([primary.connect(), primary.connect()]), 5000)
    await world.clock.advance(2000)
    assert.equal(world.agent.status().replica?.epoch, 7, `after ${order.join()}`)
    const older = sessions[order.indexOf(6)]
    assert(older !== undefined && (older.end !== null || older.session.ended), 'the older one has ended')
    assert.equal(world.agent.status().session.connected, true)
    await world.stop()
  }
})

test('[SM-11] a new session fences the old one: what that one still sends reaches nobody', async () => {
  const world = await pairWith(5, 5)
  const { primary } = world
  const old = primary.current
  assert(old !== null)
  primary.write(1, 0, world.randomBytes(512))
  const stale = primary.entries[5]
  assert(stale !== undefined)
  primary.live = false
  const dialled = primary.connect()
  // The old session's frame is on its way when the new one says hello.
  old.session.sendFrames([stale])
  await world.clock.runUntil(dialled, 5000)
  await world.until(() => primary.current?.ready === true)
  await world.clock.advance(500)
  const welcome = primary.current?.welcome
  const received = world.agent.status().replica?.receivedLsn
  assert.equal(received, welcome?.replica?.end[1], 'the replica stands where welcome said')
  assert(old.session.ended || old.end !== null)
  assert.equal(world.agent.status().counters.sessionsFenced, 1)
  await world.stop()
})

test('[SM-11] welcome names everything that an older session brought into the journal, and nothing follows it', async () => {
  for (let delayMs = 0; delayMs < 12; delayMs += 1) {
    const world = await pairWith(5, 5, { seed: `${seed}/${delayMs}`, diskMs: 2 })
    const { primary } = world
    for (let i = 0; i < 30; i++) primary.write(1 + (i % 2), i * 8192, world.randomBytes(8192))
    primary.feed(20)
    await world.clock.advance(delayMs)
    primary.feed(35)
    primary.live = false
    await world.clock.runUntil(primary.connect(), 5000)
    await world.until(() => primary.current?.ready === true || primary.current === null)
    const end = primary.current?.welcome?.replica?.end[1]
    assert.equal(primary.current?.welcome?.replica?.durable[1], end, 'all of it is durable')
    await world.clock.advance(200)
    assert.equal(world.agent.status().replica?.receivedLsn, end, `after ${delayMs} ms`)
    primary.feed()
    primary.makeDurable()
    await world.until(() => world.agent.status().replica?.appliedLsn === 35)
    world.assertContent(35)
    await world.stop()
  }
})

test('[REC-02] what a primary lost is cut from the journal, durably, and never comes back', async () => {
  const world = await pairWith(20, 8)
  const { primary } = world
  const lost = primary.entries.slice(8)
  primary.powerCut(8)
  const session = await world.connect()
  assert(session.ready)
  assert.equal(world.agent.status().replica?.receivedLsn, 8)
  primary.disconnect()
  await world.powerCut({ kind: 'lose-all' })
  await world.start()
  assert.equal(world.agent.status().replica?.receivedLsn, 8, 'the cut is durable')
  const again = await world.connect()
  assert(again.ready)
  for (let i = 0; i < 12; i++) primary.write(1 + (i % 2), 65536 + i * 512, world.randomBytes(512))
  primary.feed()
  primary.makeDurable()
  await world.until(() => world.agent.status().replica?.appliedLsn === 20)
  world.assertContent(20)
  for (const frame of lost) {
    const name = primary.device(frame.deviceId).name
    assert(
      !world
        .content(name)
        .subarray(frame.offset, frame.offset + frame.length)
        .equals(frame.payload as Buffer),
    )
  }
  await world.stop()
})

test('[REC-02] a cut that goes through a skip leaves the begin of it, durably, and an idle site settles behind it', async () => {
  const world = await pairWith(6, 6)
  const { primary } = world
  for (let i = 0; i < 4; i++) primary.zeroes(1, MIB + i * 4096, 4096)
  primary.push(primary.skipFrame(7, 10))
  await world.until(() => primary.current?.acks.at(-1)?.durable[1] === 10)
  primary.powerCut(8)
  assert((await world.connect()).ready)
  await world.until(() => primary.current?.acks.at(-1)?.applied[1] === 8)
  assert.deepEqual(primary.current?.acks.at(-1)?.applied.slice(0, 2), [1, 8])
  primary.disconnect()
  await world.powerCut({ kind: 'lose-all' })
  await world.start()
  assert.equal(world.agent.status().replica?.receivedLsn, 8, 'the journal says so itself')
  const again = await world.connect()
  assert.deepEqual([again.plan?.restart, again.plan?.common], [null, { incarnation: 1, lsn: 8 }])
  primary.write(1, 0, world.randomBytes(512))
  primary.feed()
  primary.makeDurable()
  await world.until(() => world.agent.status().replica?.appliedLsn === 9)
  world.assertContent(9)
  await world.stop()
})

test('[WR-10] a frame out of order or out of its device ends the session and nothing of it is kept', async () => {
  const world = await pairWith(5, 5)
  const { primary } = world
  const id = primary.logId
  const base = { logId: id, incarnation: 1, previousCrc: primary.entries[4]?.headerCrc ?? 0 }
  const bytes = Buffer.alloc(512, 9)
  const rows = [
    ['a gap', encodeFrame({ ...base, type: FrameType.write, deviceId: 1, lsn: 7, offset: 0, length: 512 }, bytes)],
    [
      'an unknown device',
      encodeFrame({ ...base, type: FrameType.write, deviceId: 77, lsn: 6, offset: 0, length: 512 }, bytes),
    ],
    [
      'beyond the device',
      encodeFrame({ ...base, type: FrameType.write, deviceId: 1, lsn: 6, offset: 2 * MIB, length: 512 }, bytes),
    ],
    [
      'another predecessor',
      encodeFrame(
        { ...base, previousCrc: 1, type: FrameType.write, deviceId: 1, lsn: 6, offset: 0, length: 512 },
        bytes,
      ),
    ],
  ] as const
  for (const [what, frame] of rows) {
    if (primary.current === null) assert((await world.connect()).ready, what)
    const session = primary.current
    session?.session.sendFrames([frame])
    await world.until(() => session?.end !== null)
    assert.equal(session?.end?.kind, 'peer-error', what)
    assert.equal(world.agent.status().replica?.receivedLsn, 5, what)
  }
  await world.stop()
})

test('[BP-04] a journal that cannot be emptied stops the primary, bounded, and goes on by itself', async () => {
  const world = await freshWorld({ journalBytes: 8 * MIB, limits: { windowBytesMax: 4 * MIB } })
  const session = await world.connect()
  const { primary } = world
  const broken = world.disks.inject('/dev/dev0', { on: 'write', error: 'EIO', count: Number.POSITIVE_INFINITY })
  const total = 300
  for (let i = 0; i < total; i++) primary.write(1, (i % 16) * 65536, world.randomBytes(65536))
  primary.feed()
  primary.makeDurable()
  let queuedMax = 0
  for (let i = 0; i < 40; i++) {
    await world.clock.advance(100)
    queuedMax = Math.max(queuedMax, world.agent.status().session.queuedBytes ?? 0)
  }
  assert(primary.queue.length > 0, 'the primary was stopped')
  assert.equal(session.end, null, 'and the session lives')
  assert(queuedMax <= 4 * MIB, `${queuedMax} bytes waited in memory`)
  assert(
    session.troubles.some((text) => /dev0 failed/.test(text)),
    'the primary was told of the device',
  )
  assert.deepEqual(world.agent.status().apply?.devicesFailing, ['dev0'])
  broken.remove()
  await world.until(() => world.agent.status().replica?.appliedLsn === total, 120_000)
  world.assertContent(total)
  assert(world.events.some(({ kind }) => kind === 'device-recovered'))
  await world.stop()
})

test('[WR-07] a primary that sends as fast as it may never has more under way than it was granted', async () => {
  const world = await freshWorld({
    journalBytes: 16 * MIB,
    limits: { windowBytesMax: 4 * MIB, writeBackBytesMax: 4 * MIB },
  })
  await world.connect()
  const { primary } = world
  let bytes = 0
  for (let i = 0; i < 1500; i++) bytes += frameBytes(primary.write(1, (i % 16) * 65536, world.randomBytes(32768)))
  primary.feed()
  for (let lsn = 100; lsn <= 1500; lsn += 100) {
    primary.makeDurable(lsn)
    await world.clock.advance(50)
    const status = world.agent.status()
    assert((status.session.queuedBytes ?? 0) <= 4 * MIB)
    assert((status.apply?.memoryBytes ?? 0) <= 4 * MIB)
  }
  await world.until(() => world.agent.status().replica?.appliedLsn === 1500, 120_000)
  assert(bytes > 2 * 16 * MIB, 'the journal was passed more than once')
  world.assertContent(1500)
  await world.stop()
})

test('[REC-09] entries of a device that is missing are held, and applied when it is back', async () => {
  const world = await pairWith(10, 4)
  const { primary } = world
  await world.crash()
  primary.disconnect()
  const devices = world.devices
  world.devices = [{ name: 'dev0', path: '/dev/nothing' }, ...devices.slice(1)]
  await world.start()
  const status = world.agent.status()
  assert.equal(status.replica?.consistent, false)
  assert.match(status.devices.find((one) => one.name === 'dev0')?.problem ?? '', /nothing/)
  const refused = await world.connect()
  assert.match(refused.end?.message ?? '', /device-missing/)
  await world.stop()
  world.devices = devices
  await world.start()
  primary.makeDurable()
  const session = await world.connect()
  assert(session.ready)
  await world.until(
    () => world.agent.status().replica?.appliedLsn === 10 && world.agent.status().replica?.consistent === true,
    120_000,
  )
  world.assertContent(10)
  await world.stop()
})

test('mappings come and go in the order of the stream, over a restart', async () => {
  const world = await pairWith(6, 6)
  const { primary } = world
  const old = primary.device(1)
  // The device goes, and comes back under a new mapping to another device of the agent.
  world.disks.addDevice('/dev/spare', 2 * MIB)
  world.devices.push({ name: 'spare', path: '/dev/spare' })
  assert.equal(await world.clock.runUntil(world.agent.addDevice({ name: 'spare', path: '/dev/spare' }), 1000), null)
  primary.write(1, 4096, world.randomBytes(512))
  primary.feed()
  primary.push(primary.unmapFrame(1))
  const fresh = { ...old, mappingId: 'bbbbbbbbbbbb0000', remote: 'spare' }
  primary.devices = [fresh, primary.device(2)]
  primary.push(primary.mapFrame(fresh))
  primary.write(1, 8192, world.randomBytes(512))
  primary.feed()
  await world.until(() => primary.current?.acks.at(-1)?.durable[1] === 8)
  await world.crash()
  primary.disconnect()
  await world.start()
  const session = await world.connect()
  assert.deepEqual(session.welcome?.mappings.map((one) => one.remote).sort(), ['dev1', 'spare'])
  primary.makeDurable()
  await world.until(() => world.agent.status().replica?.appliedLsn === 8)
  const content = primary.contentAt(1, 7)
  assert(world.content('dev0').equals(content), 'the old device has everything up to the unmap')
  assert(
    world
      .content('spare')
      .subarray(8192, 8704)
      .equals(primary.entries[7]?.payload as Buffer),
  )
  await world.until(() => world.agent.status().mappings.length === 2)
  assert.deepEqual(world.agent.status().devices.find((one) => one.name === 'dev0')?.mapped, false)
  await world.stop()
})

test('a mapping whose map frame got lost with the journal takes what follows the unmap before it, however slow that is', async () => {
  for (const more of [false, true]) {
    const world = await pairWith(6, 6)
    const { primary } = world
    const fresh = { ...primary.device(1), mappingId: 'bbbbbbbbbbbb0000' }
    // What waits for the device makes the unmap wait in the journal.
    const slow = world.disks.inject('/dev/dev0', { on: 'sync', delayMs: 15_000, count: 8 })
    primary.write(1, 4096, world.randomBytes(512))
    primary.feed()
    primary.push(primary.unmapFrame(1))
    await world.until(() => primary.current?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
    const journal = world.disks.paths().find((path) => path.endsWith('journal'))
    assert(journal !== undefined)
    world.disks.inject(journal, { on: 'write', error: 'EIO', count: 1 })
    primary.devices = [fresh, ...primary.devices.filter((one) => one.deviceId !== 1)]
    primary.push(primary.mapFrame(fresh, false))
    await world.until(() => primary.current === null)
    await world.crash()
    if (more) primary.write(1, 65536, world.randomBytes(512))
    primary.makeDurable()
    await world.start()
    const session = await world.connect()
    assert(session.welcome?.mappings.some((one) => one.mappingId === fresh.mappingId) ?? false, 'its row was stored')
    await world.until(() => world.agent.status().replica?.dirtyRegions === 0)
    slow.remove()
    await world.until(() => session.acks.at(-1)?.applied[1] === primary.entries.length)
    world.assertContent(primary.entries.length)
    await world.stop()
  }
})

test('what the last frame of a session began is over before the agent stops, or another session begins', async () => {
  for (let afterMs = 0; afterMs < 24; afterMs++) {
    const world = await pairWith(3, 3, { seed: `${seed}/barrier/${afterMs}`, diskMs: 2 })
    const { primary } = world
    const fresh = { ...primary.device(1), mappingId: 'bbbbbbbbbbbb0000' }
    primary.push(primary.unmapFrame(1))
    primary.devices = [fresh, ...primary.devices.filter((one) => one.deviceId !== 1)]
    primary.push(primary.mapFrame(fresh))
    await world.clock.advance(afterMs)
    primary.disconnect()
    if (afterMs % 2 === 0) {
      await world.clock.advance(2)
      await world.stop()
      await world.start()
    }
    const session = await world.connect()
    const inForce = () =>
      world.agent
        .status()
        .mappings.filter((one) => !one.unmapping)
        .map((one) => one.mappingId)
    const wanted = primary.devices.map((one) => one.mappingId)
    await world.until(() => inForce().sort().join() === wanted.sort().join())
    assert.equal(session.end, null, `after ${afterMs} ms`)
    await world.stop()
  }
})
