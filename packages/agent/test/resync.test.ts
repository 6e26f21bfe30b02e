/**
 * Resyncs at the agent: announced durably before the first byte, over only with every byte, and begun anew at any crash.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FileDevice } from '@sitelink/storage'
import { seedFromEnv } from '@sitelink/storage/testing'
import { World } from './support/world.js'

const MIB = 1 << 20
const seed = seedFromEnv('agent resync')

/** A pair in step, with some history. */
async function pairInStep(options: Partial<ConstructorParameters<typeof World>[0]> = {}): Promise<World> {
  const world = new World({ seed: `${seed}`, ...options })
  await world.init()
  await world.start()
  const session = await world.connect()
  const { primary } = world
  for (let i = 0; i < 10; i++) primary.write(1 + (i % 2), i * 4096, world.randomBytes(4096))
  primary.feed()
  primary.makeDurable()
  await world.until(() => session.acks.at(-1)?.applied[1] === 10)
  return world
}

test('[RSY-18] [DLG-03] a resync is announced durably before anything behind it is taken', async () => {
  const world = await pairInStep()
  const { primary } = world
  primary.write(1, 0, world.randomBytes(4096))
  const before = primary.current?.acks.at(-1)?.received[2] ?? 0
  // The dirty log cannot be written: nothing of the resync may pass.
  const path = world.disks.paths().find((one) => one.includes('dirty-aaaaaaaaaaaa0000'))
  assert(path !== undefined)
  const fault = world.disks.inject(path, { on: 'sync', delayMs: 500, count: 1 })
  const slow = world.disks.inject(path, { on: 'write', error: 'EIO', count: Number.POSITIVE_INFINITY })
  primary.push(primary.resyncBeginFrame(1, [0]), ...primary.copyFrames(1, 0, 11))
  await world.clock.advance(300)
  assert.equal(world.agent.status().session.connected, false, 'a resync that cannot be announced ends the session')
  assert.equal(world.agent.status().replica?.receivedLsn, 10)
  assert.equal(primary.current?.acks.at(-1)?.received[2] ?? before, before, 'nothing of it was taken')
  fault.remove()
  slow.remove()
  await world.stop()
})

test('the end of a resync does not wait for the next regular sync of the devices', async () => {
  const world = await pairInStep()
  const { primary, clock } = world
  await clock.advance(2000)
  const startMs = clock.nowMs()
  primary.push(primary.resyncBeginFrame(1, [0]), ...primary.copyFrames(1, 0, 10))
  await world.until(() => world.agent.status().replica?.dirtyRegions === 1)
  await world.until(() => world.agent.status().replica?.dirtyRegions === 0)
  const tookMs = clock.nowMs() - startMs
  assert(tookMs < 500, `it took ${tookMs} simulated ms, and the devices are synced once a second`)
  await world.stop()
})

test('copies, for which no writer waits, are acknowledged a moment later; with an entry behind them at once', async () => {
  const world = await pairInStep()
  const { primary, clock } = world
  primary.push(primary.resyncBeginFrame(1, [0, 1]))
  await clock.advance(500)
  const toldAfter = async (send: () => void): Promise<number> => {
    const startMs = clock.nowMs()
    const before = primary.current?.acks.at(-1)?.received[2] ?? 0
    send()
    await world.until(() => (primary.current?.acks.at(-1)?.received[2] ?? 0) > before)
    return clock.nowMs() - startMs
  }
  const alone = await toldAfter(() => primary.push(...primary.copyFrames(1, 0, 10)))
  assert(alone >= 20 && alone < 40, `${alone} ms`)
  await clock.advance(500)
  const together = await toldAfter(() => {
    primary.push(...primary.copyFrames(1, 1, 10))
    primary.write(1, 0, world.randomBytes(4096))
    primary.feed()
  })
  assert(together < 15, `${together} ms`)
  await world.stop()
})

test('devices leave the page cache when a resync has brought all, and not while it writes to them', async (t) => {
  const uncached: string[] = []
  t.mock.method(FileDevice.prototype, 'uncache', function (this: FileDevice) {
    uncached.push(this.description)
    return Promise.resolve()
  })
  const world = await pairInStep()
  const { primary } = world
  assert.equal(new Set(uncached).size, 2, 'those that need no resync have left it')
  uncached.length = 0
  primary.push(primary.resyncBeginFrame(1, [0]), ...primary.copyFrames(1, 0, 10))
  await world.until(() => world.agent.status().replica?.consistent === false)
  assert.deepEqual(uncached, [])
  await world.until(() => world.agent.status().replica?.consistent === true)
  assert.equal(new Set(uncached).size, 2)
  await world.stop()
})

test('[RSY-18] a power cut in the middle of a resync leaves a replica that says so', async () => {
  for (let cutAt = 0; cutAt < 60; cutAt += 3) {
    const world = await pairInStep({ seed: `${seed}/${cutAt}`, diskMs: 0.5 })
    const { primary } = world
    // The region's bytes at the primary differ from any point of the agent's history.
    for (let i = 0; i < 5; i++) primary.write(1, i * 8192, world.randomBytes(8192))
    primary.disconnect()
    primary.overflow()
    primary.makeDurable()
    await world.clock.runUntil(primary.connect(), 5000)
    await world.clock.advance(cutAt)
    await world.powerCut()
    primary.disconnect()
    await world.start()
    await world.clock.advance(3000)
    const { replica } = world.agent.status()
    assert(replica !== null)
    if (replica.consistent) world.assertContent(replica.appliedLsn ?? 0, `cut at ${cutAt} ms`)
    await world.stop()
  }
})

test('[RSY-05] [RSY-15] a copy makes its region clean only once the primary has its stamp, and over a restart', async () => {
  const world = await pairInStep()
  const { primary } = world
  const session = primary.current
  primary.write(1, 100 * 4096, world.randomBytes(4096))
  primary.push(primary.resyncBeginFrame(1, [0, 1]), ...primary.copyFrames(1, 0, 11), ...primary.copyFrames(1, 1, 11))
  await world.until(() => session?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
  await world.clock.advance(1000)
  assert.equal(session?.acks.at(-1)?.dirtyRegions, 2, 'the primary may still lose what the copies hold')
  primary.disconnect()
  await world.crash()
  await world.start()
  await world.clock.advance(1000)
  assert.equal(world.agent.status().replica?.dirtyRegions, 2)
  // Told by a new session, the copies in the journal count; the announcement of the new session makes them dirty again.
  primary.live = false
  primary.makeDurable()
  const again = await world.connect()
  assert.deepEqual([...(again.dirty.get(1) ?? [])], [0, 1])
  await world.until(() => world.agent.status().replica?.dirtyRegions === 0)
  assert.equal(world.agent.status().replica?.consistent, false, 'the devices are behind the stamp')
  primary.feed()
  await world.until(() => world.agent.status().replica?.consistent === true)
  world.assertContent(11)
  await world.crash()
  await world.start()
  assert.equal(world.agent.status().replica?.dirtyRegions, 0, 'clean is durable')
  await world.stop()
})

test('[RSY-13] a region that is announced again stays dirty whatever copy of it is still on its way', async () => {
  const world = await pairInStep()
  const { primary } = world
  primary.write(1, 0, world.randomBytes(512))
  const copies = primary.copyFrames(1, 0, 11)
  primary.push(primary.resyncBeginFrame(1, [0]), ...copies, primary.resyncBeginFrame(1, [0]))
  await world.until(() => primary.current?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
  // What stands in the journal counts after a restart as it did before.
  primary.disconnect()
  await world.crash()
  await world.start()
  primary.live = false
  primary.makeDurable()
  assert((await world.connect()).ready)
  await world.clock.advance(3000)
  assert.equal(world.agent.status().replica?.dirtyRegions, 1)
  primary.push(...primary.copyFrames(1, 0, 11))
  await world.until(() => world.agent.status().replica?.dirtyRegions === 0)
  await world.stop()
})

test('a copy of what the primary lost is never applied, whatever takes the place of its stamp', async () => {
  const world = await pairInStep()
  const { primary } = world
  const lost = world.randomBytes(4096)
  primary.write(1, 40960, lost)
  primary.push(primary.resyncBeginFrame(1, [0]), ...primary.copyFrames(1, 0, 11))
  await world.until(() => primary.current?.acks.at(-1)?.durable[2] === primary.sentFrames.length)
  primary.powerCut(10)
  primary.live = false
  for (let i = 0; i < 5; i++) primary.write(2, i * 512, world.randomBytes(512))
  primary.makeDurable()
  for (const crash of [false, true]) {
    if (crash) {
      primary.disconnect()
      await world.crash()
      await world.start()
    }
    assert((await world.connect()).ready)
    primary.feed()
    await world.until(() => world.agent.status().replica?.appliedLsn === 15)
    await world.clock.advance(2000)
    assert(!world.content('dev0').subarray(40960, 45056).equals(lost), 'the lost bytes did not land')
    assert.equal(world.agent.status().replica?.dirtyRegions, 1, 'and their region waits for a true copy')
  }
  primary.push(...primary.copyFrames(1, 0, 15))
  await world.until(() => world.agent.status().replica?.consistent === true)
  world.assertContent(15)
  await world.stop()
})

test('[REC-15] [DLG-04] starting over ends in the same place whatever interrupts it', async () => {
  let interrupted = 0
  for (let cutAt = 0; cutAt < 40; cutAt += 2) {
    const world = await pairInStep({ seed: `${seed}/over/${cutAt}`, diskMs: 0.4 })
    const { primary } = world
    primary.disconnect()
    // The primary knows of another agent: this one has to start over.
    primary.recorded = { agent: 'ffffffffffffffff', journal: 'ffffffffffffffff', durable: { incarnation: 1, lsn: 10 } }
    await world.clock.runUntil(primary.connect(), 5000)
    await world.clock.advance(cutAt)
    const done = primary.current?.ready === true
    if (!done) interrupted++
    await (cutAt % 4 === 0 ? world.powerCut() : world.crash())
    primary.disconnect()
    await world.start()
    await world.clock.advance(500)
    const status = world.agent.status()
    assert(status.replica !== null)
    const { receivedLsn, dirtyRegions, consistent } = status.replica
    const before = receivedLsn === 10 && consistent
    assert(before || dirtyRegions === 5 || done, `at ${cutAt} ms: ${JSON.stringify(status.replica)}`)
    const session = await world.connect()
    assert(session.ready, session.end?.message)
    primary.makeDurable()
    await world.until(
      () => world.agent.status().replica?.consistent === true && world.agent.status().replica?.appliedLsn === 10,
    )
    world.assertContent(10)
    await world.stop()
  }
  assert(interrupted > 3, 'some of them were cut in the middle')
})

test('[DLG-04] [DLG-08] a dirty log that is lost makes its device dirty, and only that', async () => {
  const world = await pairInStep()
  world.primary.disconnect()
  await world.stop()
  const path = world.disks.paths().find((one) => one.includes('dirty-aaaaaaaaaaaa0001'))
  assert(path !== undefined)
  await world.disks.removeFile(path)
  await world.start()
  const status = world.agent.status()
  assert.deepEqual(
    status.mappings.map((row) => row.regionsDirty),
    [0, 3],
  )
  assert(world.events.some(({ kind }) => kind === 'dirty-log-lost'))
  const session = await world.connect()
  assert.deepEqual([...(session.dirty.get(2) ?? [])], [0, 1, 2])
  await world.until(() => world.agent.status().replica?.consistent === true)
  world.assertContent(10)
  await world.stop()
})

test('another device under the same name is dirty from its first byte to its last', async () => {
  const world = await pairInStep()
  world.primary.disconnect()
  await world.stop()
  world.disks.addDevice('/dev/other', 2 * MIB)
  world.devices = [{ name: 'dev0', path: '/dev/other' }, ...world.devices.slice(1)]
  await world.start()
  assert.equal(world.agent.status().mappings[0]?.regionsDirty, 2)
  await world.stop()
  await world.start()
  assert.equal(world.agent.status().mappings[0]?.regionsDirty, 2, 'and stays so')
  await world.stop()
})

test('[RSY-18] a device whose map was not announced yet is all dirty, and its first announcement says what really is', async () => {
  const world = await pairInStep()
  const { primary } = world
  const fresh = { ...primary.device(1), mappingId: 'bbbbbbbbbbbb0000' }
  primary.push(primary.unmapFrame(1))
  primary.devices = [fresh, ...primary.devices.filter((one) => one.deviceId !== 1)]
  primary.push(primary.mapFrame(fresh, false))
  const mapping = () => world.agent.status().mappings.find((one) => one.mappingId === fresh.mappingId)
  await world.until(() => mapping() !== undefined && world.agent.status().mappings.every((one) => !one.unmapping))
  assert.equal(mapping()?.regionsDirty, mapping()?.regionsTotal)
  assert.equal(world.agent.status().replica?.consistent, false)
  await world.powerCut()
  primary.disconnect()
  await world.start()
  assert.equal(world.agent.status().replica?.consistent, false, 'it died before the announcement and says so')
  assert.equal(mapping()?.regionsDirty, mapping()?.regionsTotal)
  await world.stop()
})

test('[RSY-18] an announcement takes the place of all dirty only behind its own map', async () => {
  const world = await pairInStep()
  const { primary } = world
  const fresh = { ...primary.device(1), mappingId: 'bbbbbbbbbbbb0000' }
  primary.push(primary.unmapFrame(1))
  primary.devices = [fresh, ...primary.devices.filter((one) => one.deviceId !== 1)]
  primary.push(primary.mapFrame(fresh, false), primary.resyncBeginFrame(1, [1]))
  const mapping = () => world.agent.status().mappings.find((one) => one.mappingId === fresh.mappingId)
  await world.until(() => mapping()?.regionsDirty === 1)
  primary.push(primary.resyncBeginFrame(1, [0]))
  await world.until(() => mapping()?.regionsDirty === 2)
  await world.stop()
})
