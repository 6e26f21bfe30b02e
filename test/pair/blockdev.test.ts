/** Blockdev slinks: the order over all devices of a site, devices that fail or are not there, probes, outages, policies. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { writeAt, round, dirtyRegions } from './pairs.js'
import {
  addBlockdev,
  blockdevWorld,
  checkSiteEqual,
  cutOf,
  recordOf,
  settleSite,
  target,
  targetPath,
} from './blockdev-sites.js'
import { MIB, World } from './world.js'

const PROBE_MS = 15_000
const troubles = (world: World): readonly string[] =>
  world.primary.events
    .filter(({ kind }) => kind === 'remote-device-failed' || kind === 'remote-device-recovered')
    .map(({ kind, facts }) => `${kind} ${facts['slink']}/${facts['device']}`)
/** Disks that can be slow. */
const TIMED = { diskLatency: { writeMs: [0, 0] } } as const
const broken = { error: 'EIO', count: Infinity, keep: 'none' } as const

test('several blockdev sites beside each other get every write, trim and zero of all devices', async () => {
  const world = await blockdevWorld('several', [{}, { mode: 'sync' }, { initial: 'sync' }])
  const { primary, prng } = world
  for (let at = 0; at < 40; at++) {
    const device = at % 2
    const offset = (at % 16) * 65_536
    primary.write({ device, offset, bytes: prng.bytes(65_536), fua: at % 7 === 0 })
    if (at % 5 === 0) primary.write({ device, offset: offset + 4096, bytes: 8192, operation: 'trim' })
    if (at % 6 === 0) primary.write({ device, offset, bytes: 4096 })
  }
  assert.equal(await world.answered(primary.flush()), 0)
  for (const slink of [1, 2, 3]) await settleSite(world, slink)
  assert.equal(primary.slink(1).copiedBytes, 0)
  assert(primary.slink(3).copiedBytes >= MIB, 'the third was copied in full')
})

test('[SM-01] [SM-02] the first error of a device is one event, and no device of its site is written any more', async () => {
  const world = await blockdevWorld('first error', [{}, {}])
  const { primary } = world
  const fault = primary.disks.inject(targetPath(1, 0), { on: 'write', ...broken })
  await writeAt(world, 0, [0])
  await world.until('the site is told to have failed', () => troubles(world).length === 1)
  const before = target(world, 1, 1).clone()
  await writeAt(world, 1, round(10))
  await writeAt(world, 0, round(10))
  await world.advance(3 * PROBE_MS)
  assert.deepEqual(troubles(world), ['remote-device-failed 1/0'], 'once, however often it is probed')
  assert.equal(target(world, 1, 1).firstDifference(before), -1, 'the healthy device of the site waits with it')
  assert.equal(primary.word(1), 'disconnected')
  await settleSite(world, 2)
  const [site] = primary.group.slinks.values()
  assert.equal(primary.group.sites.trouble(1, 1)?.kind, 'write', 'device 0 has the id 1')
  assert.equal(site?.stream, null)
  fault.remove()
  await settleSite(world, 1)
  assert.deepEqual(troubles(world), ['remote-device-failed 1/0', 'remote-device-recovered 1/0'])
})

test('[SM-06] [SM-09] a site whose devices are healthy again goes on with its oldest entry, skips nothing and copies nothing', async () => {
  const world = await blockdevWorld('goes on', [{}])
  const { primary } = world
  await writeAt(world, 0, round(4))
  await settleSite(world)
  const had = primary.history.lastLsn
  const fault = primary.disks.inject(targetPath(1, 1), { on: 'write', ...broken })
  for (let at = 0; at < 12; at++) await writeAt(world, at % 2, [at * 65_536])
  await world.until('it has failed', () => troubles(world).length === 1)
  assert(recordOf(world, 1)!.applied.lsn <= had + 1)
  fault.remove()
  await settleSite(world)
  assert.equal(primary.slink().resyncs.count, 0)
  assert.equal(primary.slink().copiedBytes, 0)
})

test('[SM-03] probes keep their interval, come one at a time, and none comes while nobody waits for the site', async () => {
  const world = await blockdevWorld('interval', [{}], TIMED)
  const { primary, clock } = world
  const path = targetPath(1, 0)
  const read = primary.disks.inject(path, { on: 'read', delayMs: 20_000, ...broken })
  const write = primary.disks.inject(path, { on: 'write', ...broken })
  await writeAt(world, 0, [0])
  await world.until('it has failed', () => troubles(world).length === 1)
  const failedMs = clock.nowMs()
  await world.advance(PROBE_MS - 100)
  assert.equal(read.hits, 0, 'not before the interval is over')
  await world.advance(200)
  assert.equal(read.hits, 1)
  // The probe itself takes longer than an interval: no other begins meanwhile, and the next waits from its end on.
  await world.advance(19_000)
  assert.equal(read.hits, 1)
  await world.until('the second probe begins', () => read.hits === 2)
  assert(clock.nowMs() - failedMs >= 2 * PROBE_MS + 20_000)
  await world.run(primary.admin.changeSlink(1, { paused: true }))
  await world.advance(60_000)
  assert(read.hits <= 2, 'a paused site is not probed')
  read.remove()
  write.remove()
  await world.run(primary.admin.changeSlink(1, { paused: false }))
  await settleSite(world)
})

test('[SM-04] [DEV-15] a device that is not there is taken, and opened by a probe once it is', async () => {
  const world = new World({ seed: 'not there', agents: 0 })
  await world.start()
  await addBlockdev(world, 1, { initial: 'sync', missing: [1] })
  const { primary } = world
  await world.until('its absence is told', () => troubles(world).length === 1)
  await writeAt(world, 0, round(4))
  await writeAt(world, 1, round(4))
  await world.advance(2 * PROBE_MS)
  assert.deepEqual(troubles(world), ['remote-device-failed 1/1'])
  assert.equal(primary.group.sites.trouble(1, 2)?.kind, 'open')
  assert.match(primary.group.sites.problem(1) ?? '', /device 1: .*\/dev\/site1-1/)
  assert.equal(target(world, 1, 0).chunkCount, 0, 'the device that is there waits for the other')
  primary.disks.addDevice(targetPath(1, 1), world.deviceBytes[1] as number)
  await settleSite(world)
  assert.deepEqual(troubles(world), ['remote-device-failed 1/1', 'remote-device-recovered 1/1'])
})

test('[DEV-16] a device that turns out to be smaller than its original is not used', async () => {
  const world = new World({ seed: 'small', agents: 0 })
  await world.start()
  await addBlockdev(world, 1, { missing: [1] })
  world.primary.disks.addDevice(targetPath(1, 1), MIB)
  await world.until('it is told', () => troubles(world).length === 1)
  await world.advance(2 * PROBE_MS)
  assert.match(world.primary.group.sites.trouble(1, 2)?.why ?? '', /has 1048576 bytes, 3145728 are needed/)
  assert.equal(world.primary.word(), 'disconnected')
})

test('[SM-05] a device that reads but cannot be written is not healthy: the probe writes', async () => {
  const world = await blockdevWorld('read-only', [{}])
  const { primary } = world
  await writeAt(world, 0, round(3))
  await settleSite(world)
  const fault = primary.disks.inject(targetPath(1, 0), { on: 'write', ...broken })
  await writeAt(world, 0, round(3))
  await world.until('it has failed', () => troubles(world).length === 1)
  const { hits } = fault
  await world.advance(3 * PROBE_MS)
  assert(fault.hits > hits, 'the probe tries the direction that failed')
  assert.equal(primary.slink().stream, null)
  assert.deepEqual(troubles(world), ['remote-device-failed 1/0'])
  fault.remove()
  const syncs = primary.disks.inject(targetPath(1, 0), { on: 'sync', ...broken })
  await world.advance(2 * PROBE_MS)
  assert.equal(primary.slink().stream, null, 'nor is one that cannot be synced')
  assert.deepEqual(troubles(world), ['remote-device-failed 1/0'])
  syncs.remove()
  await settleSite(world)
})

for (const how of ['crash', 'power-cut', 'stop'] as const) {
  test(`[OVF-01] [OVF-13] [OVF-16] a blockdev site that is away until the log is full falls back to its dirty logs, also over a ${how}`, async () => {
    const world = await blockdevWorld(`overflow ${how}`, [{}], { logBytes: 2 * MIB, deviceBytes: [8 * MIB, 8 * MIB] })
    const { primary } = world
    await writeAt(world, 0, round(4, 7 * MIB))
    await settleSite(world)
    const fault = primary.disks.inject(targetPath(1, 0), { on: 'write', ...broken })
    await writeAt(world, 0, round(20, MIB))
    await writeAt(world, 1, round(20, 5 * MIB))
    await world.until('the slink is behind', () => primary.word() === 'behind')
    const dirty = dirtyRegions(world)
    assert.deepEqual(dirty, ['1:1', '2:5'])
    fault.remove()
    await world.restartPrimary(how, false)
    assert.deepEqual(dirtyRegions(world), dirty)
    primary.group.run()
    await settleSite(world)
    assert(primary.slink().copiedBytes <= 2 * MIB, 'nothing else was copied')
  })
}

test('[WR-03] what a sync blockdev site was told to have is on its devices after any power cut', async () => {
  for (let at = 0; at < 12; at++) {
    const world = await blockdevWorld(`sync ${at}`, [{ mode: 'sync' }])
    await world.until('it is protected', () => world.primary.slink().protection.protected)
    const { primary, prng } = world
    let answered = 0
    primary.onAnswer = ((before) => (ticket) => {
      before?.(ticket)
      answered += 1
    })(primary.onAnswer)
    for (let write = 0; write < 20; write++)
      primary.write({ device: write % 2, offset: prng.below(16) * 65_536, bytes: prng.bytes(4096) })
    const wanted = prng.below(20)
    await world.until('some are answered', () => answered >= wanted)
    const owed = world.siteOwed.get(1) ?? 0
    primary.powerCut()
    const record = recordOf(world, 1)
    assert(record !== null && record.applied.lsn >= owed, `it owes LSN ${owed}, it has ${record?.applied.lsn}`)
    await world.startPrimary()
    await settleSite(world)
  }
})

test('a sync blockdev site does not wait for the timer of the log', async () => {
  const world = await blockdevWorld('no timer', [{ mode: 'sync' }])
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  const startMs = world.clock.nowMs()
  await writeAt(world, 0, round(20), 4096)
  assert(world.clock.nowMs() - startMs < 400, `20 writes took ${world.clock.nowMs() - startMs} ms`)
})

test('a flush of an application is a sync of all devices of the site before the entry behind it', async () => {
  const world = await blockdevWorld('flush', [{}])
  const { primary, prng } = world
  await settleSite(world)
  const seen: string[] = []
  for (const device of [0, 1]) {
    for (const disk of primary.disks.handles(targetPath(1, device))) {
      const write = disk.write.bind(disk)
      const sync = disk.sync.bind(disk)
      disk.write = (chunks, offset) => (seen.push(`write ${device}`), write(chunks, offset))
      disk.sync = () => (seen.push(`sync ${device}`), sync())
    }
  }
  primary.write({ device: 0, offset: 0, bytes: prng.bytes(4096) })
  primary.write({ device: 1, offset: 0, bytes: prng.bytes(4096) })
  primary.flush()
  primary.write({ device: 1, offset: 4096, bytes: prng.bytes(4096) })
  primary.write({ device: 0, offset: 4096, bytes: prng.bytes(4096), fua: true })
  primary.write({ device: 1, offset: 8192, bytes: prng.bytes(4096) })
  await settleSite(world)
  const text = seen.join(', ')
  const at = (what: string, from = 0): number => seen.indexOf(what, from)
  const flushed = at('write 1', at('write 1') + 1)
  assert(at('sync 0') < flushed && at('sync 1') < flushed, `both before the entry behind the flush: ${text}`)
  const fua = at('write 0', at('write 0') + 1)
  const behind = at('write 1', fua)
  assert(at('sync 0', fua) < behind, `the FUA entry before the next: ${text}`)
})

/** What is done to the devices of slink 1 from now on: `write N` and `sync N`. */
function watched(world: World): string[] {
  const seen: string[] = []
  for (const device of [0, 1]) {
    for (const disk of world.primary.disks.handles(targetPath(1, device))) {
      const write = disk.write.bind(disk)
      const sync = disk.sync.bind(disk)
      disk.write = (chunks, offset) => (seen.push(`write ${device}`), write(chunks, offset))
      disk.sync = () => (seen.push(`sync ${device}`), sync())
    }
  }
  return seen
}

test('a flush parts the writes of a site although the entry behind it is not for the site', async () => {
  const world = await blockdevWorld('flush skipped', [{}])
  const { primary, prng } = world
  await world.run(primary.admin.unmap(1, 1))
  await world.until('it is live', () => primary.word(1) === 'live')
  const seen = watched(world)
  primary.write({ device: 0, offset: 0, bytes: prng.bytes(4096) })
  primary.flush()
  primary.write({ device: 1, offset: 0, bytes: prng.bytes(4096) })
  primary.write({ device: 0, offset: 4096, bytes: prng.bytes(4096) })
  await world.until('both are there', () => primary.slink(1).stream?.appliedLsn === 3)
  assert.deepEqual(seen.slice(0, 3), ['write 0', 'sync 0', 'write 0'])
})

test('a flush parts the writes of a site although the primary was restarted behind it', async () => {
  const world = await blockdevWorld('flush restart', [{}])
  const { primary, prng } = world
  await settleSite(world)
  await world.run(primary.admin.changeSlink(1, { paused: true }))
  primary.write({ device: 0, offset: 0, bytes: prng.bytes(4096) })
  assert.equal(await world.answered(primary.flush()), 0)
  await world.restartPrimary('crash')
  primary.write({ device: 1, offset: 0, bytes: prng.bytes(4096) })
  await world.advance(500)
  const disks = primary.disks
  const open = disks.open.bind(disks)
  let seen: string[] = []
  disks.open = async (...args) => {
    const disk = await open(...args)
    seen = watched(world)
    return disk
  }
  await world.run(primary.admin.changeSlink(1, { paused: false }))
  await settleSite(world)
  const [first, second] = [seen.indexOf('write 0'), seen.indexOf('write 1')]
  assert.ok(first >= 0 && seen.slice(first, second).includes('sync 0'), seen.join(', '))
})

test('a device that hangs holds the writers of a sync site for its hold time, and the site goes on when it answers', async () => {
  const world = await blockdevWorld('hangs', [{ mode: 'sync', overflow: 'drop' }], TIMED)
  await world.until('it is protected', () => world.primary.slink().protection.protected)
  const { primary } = world
  primary.disks.inject(targetPath(1, 0), { on: 'write', delayMs: 40_000 })
  const startMs = world.clock.nowMs()
  await writeAt(world, 0, [0])
  assert(world.clock.nowMs() - startMs < 6000, 'released after the hold time')
  await writeAt(world, 1, round(4))
  assert.equal(primary.slink().stream, null)
  await world.advance(20_000)
  assert.equal(primary.slink().stream, null, 'no session while the device hangs')
  await settleSite(world)
  assert.deepEqual(troubles(world), [], 'slow is not broken')
})

test('a stop does not wait for a device that hangs longer than its bound', async () => {
  const world = await blockdevWorld('stop', [{}], TIMED)
  world.primary.disks.inject(targetPath(1, 0), { on: 'write', delayMs: 100_000 })
  await writeAt(world, 0, [0])
  await world.advance(1000)
  const startMs = world.clock.nowMs()
  await world.run(world.primary.stop())
  assert(world.clock.nowMs() - startMs < 15_000)
})

test('a clean stop and a pause leave the devices at one point of the history, and the record says which', async () => {
  for (let at = 0; at < 8; at++) {
    const world = await blockdevWorld(`rest ${at}`, [{}], { diskLatency: { writeMs: [0, 3], syncMs: [0, 5] } })
    const { primary, prng } = world
    for (let write = 0; write < 60; write++)
      primary.write({ device: write % 2, offset: prng.below(16) * 65_536, bytes: prng.bytes(4096) })
    await world.advance(prng.below(60))
    if (at % 2 === 0) await world.run(primary.stop())
    else {
      await world.run(primary.admin.changeSlink(1, { paused: true }))
      await world.advance(100)
    }
    const record = recordOf(world, 1)
    assert(record !== null)
    assert.equal(record.reachLsn, record.applied.lsn, 'nothing is in doubt')
    assert.equal(cutOf(world, 1, record.applied.lsn, record.applied.lsn, false), record.applied.lsn)
  }
})

test('[REC-09] a site whose record is lost is copied in full', async () => {
  const world = await blockdevWorld('lost', [{}])
  const { primary } = world
  await writeAt(world, 0, round(4))
  await settleSite(world)
  primary.crash()
  await world.run(primary.disks.removeFile('/state/site-1'))
  await world.startPrimary()
  await settleSite(world)
  assert(primary.slink().resyncs.count === 1)
  assert.equal(dirtyRegions(world).length, 0)
})

test('[LIFE-10] [DEV-21] [DEV-22] an unmapped target is let go, and a mapped one is copied; the other devices go on', async () => {
  const world = await blockdevWorld('unmap', [{}])
  const { primary } = world
  await writeAt(world, 0, round(4))
  await writeAt(world, 1, round(4))
  await settleSite(world)
  await world.run(primary.admin.unmap(1, 1))
  await writeAt(world, 0, round(4))
  await writeAt(world, 1, round(4))
  await world.until('its target is let go', () => primary.disks.handles(targetPath(1, 1)).length === 0)
  await world.map(1, 1, { remote: targetPath(1, 1), initial: 'sync' })
  await settleSite(world)
  await world.run(primary.admin.deleteSlink(1, true))
  assert(!primary.disks.paths().includes('/state/site-1'), 'its record goes with it')
  assert.equal(primary.disks.handles(targetPath(1, 0)).length, 0)
  checkSiteEqual(world, 1)
})

test('[WR-07] nothing is given to a device of a site before the log of the primary has it durably', async () => {
  const world = await blockdevWorld('durable first', [{}], TIMED)
  const { primary } = world
  await settleSite(world)
  primary.disks.inject('/state/replog', { on: 'sync', delayMs: 5000 })
  await writeAt(world, 0, round(4))
  await world.advance(2000)
  assert.equal(target(world, 1, 0).chunkCount, 0)
  assert.equal(recordOf(world, 1)?.reachLsn, 0)
  await settleSite(world)
})

test('[WR-06] writes of all devices reach a site in the order of the log, one at a time', async () => {
  const world = await blockdevWorld('order', [{}], { diskLatency: { writeMs: [0, 5] } })
  const { primary, prng } = world
  await settleSite(world)
  const seen: string[] = []
  let underWay = 0
  for (const device of [0, 1]) {
    for (const disk of primary.disks.handles(targetPath(1, device))) {
      const write = disk.write.bind(disk)
      disk.write = async (chunks, offset) => {
        assert.equal(underWay++, 0, 'one at a time')
        seen.push(`${device} ${offset}`)
        await write(chunks, offset)
        underWay -= 1
      }
    }
  }
  const wanted: string[] = []
  for (let at = 0; at < 60; at++) {
    const device = prng.below(2)
    const offset = at * 4096
    primary.write({ device, offset, bytes: prng.bytes(4096) })
    wanted.push(`${device} ${offset}`)
  }
  await settleSite(world)
  assert.deepEqual(seen, wanted)
})

test('a site that died in the middle of a batch says that it is in doubt until the batch is written again', async () => {
  const world = await blockdevWorld('doubt', [{}], { diskLatency: { writeMs: [5, 5], syncMs: [5, 5] } })
  const { primary } = world
  for (let at = 0; at < 20; at++) primary.write({ device: at % 2, offset: at * 4096, bytes: world.prng.bytes(4096) })
  await world.until('some of it is there', () => target(world, 1, 1).chunkCount > 0)
  primary.crash()
  const record = recordOf(world, 1)
  assert(record !== null && record.reachLsn > record.applied.lsn, 'it was announced')
  cutOf(world, 1, record.applied.lsn, record.reachLsn, true)
  await world.startPrimary()
  await world.until('it was opened', () => primary.group.sites.consistent(1) !== null)
  assert.equal(primary.group.sites.consistent(1), false)
  await settleSite(world)
  assert.equal(primary.group.sites.consistent(1), true)
})

test('a target that hangs holds up no verb: it is mapped, looked at for a bounded time, and tried by its site', async () => {
  const world = await blockdevWorld('hanging target', [{}])
  const { primary } = world
  const { disks } = world.primary
  disks.addDevice('/dev/hangs', 3 * MIB)
  const exists = disks.exists.bind(disks)
  disks.exists = (path) => (path === '/dev/hangs' ? new Promise(() => {}) : exists(path))
  await world.run(primary.admin.addSlink({ mode: 'async', number: 2, addresses: ['blockdev:'] }))
  const startMs = world.clock.nowMs()
  await world.map(0, 2, { remote: '/dev/hangs', initial: 'sync' })
  await world.run(primary.admin.unmap(1, 1))
  await world.map(1, 1, { remote: targetPath(1, 1), initial: 'sync' })
  assert(world.clock.nowMs() - startMs < 30_000, `${world.clock.nowMs() - startMs} ms`)
  await settleSite(world, 1)
})
