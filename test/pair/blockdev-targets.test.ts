/** The devices of a blockdev site: opened anew where they failed, and let go where they are unmapped or the site is closed. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DiskError, type Disk } from '@sitelink/storage'
import { writeAt, round } from './pairs.js'
import { blockdevWorld, settleSite, target, targetPath } from './blockdev-sites.js'
import { MIB, type World } from './world.js'

const PROBE_MS = 15_000
const PATH = targetPath(1, 0)
const TIMED = { diskLatency: { writeMs: [0, 0] } } as const
const broken = { error: 'EIO', count: Infinity, keep: 'none' } as const

const failedOnce = (world: World): boolean => world.primary.events.some(({ kind }) => kind === 'remote-device-failed')
const handlesOf = (world: World, device: number): number => world.primary.disks.handles(targetPath(1, device)).length

test('a device that failed is opened anew by a probe: its descriptor may lead to what is gone', async () => {
  const world = await blockdevWorld('opened anew', [{}])
  const { primary } = world
  await writeAt(world, 0, round(3))
  await settleSite(world)
  // As after a logout and a login of iSCSI: the path is a device again, what was opened before fails for ever.
  const [old] = primary.disks.handles(PATH)
  assert.ok(old !== undefined)
  const gone = async (): Promise<void> => {
    throw new DiskError('DISK_IO', PATH, 'cannot write', { errno: 'EIO' })
  }
  Object.assign(old, { read: gone, write: gone, sync: gone })
  await writeAt(world, 0, round(3))
  await world.until('it has failed', () => failedOnce(world))
  await settleSite(world)
  assert.equal(handlesOf(world, 0), 1, 'the old one is closed')
  assert.equal(primary.slink().copiedBytes, 0)
})

test('a device that failed and cannot be opened any more says so, and has to be written before it is healthy', async () => {
  const world = await blockdevWorld('opened later', [{}])
  const { primary } = world
  const fault = primary.disks.inject(PATH, { on: 'write', ...broken })
  await writeAt(world, 0, [0])
  await world.until('it has failed', () => failedOnce(world))
  const open = primary.disks.open.bind(primary.disks)
  primary.disks.open = async (path, options) => {
    if (path === PATH) throw new DiskError('DISK_MISSING', path, 'cannot open', { errno: 'ENOENT' })
    return open(path, options)
  }
  await world.advance(2 * PROBE_MS)
  assert.equal(primary.group.sites.trouble(1, 1)?.kind, 'open')
  primary.disks.open = open
  await world.advance(2 * PROBE_MS)
  assert.equal(primary.group.sites.trouble(1, 1)?.kind, 'write')
  assert.ok(
    primary.events.every(({ kind }) => kind !== 'remote-device-recovered'),
    'that it opens is not enough',
  )
  fault.remove()
  await settleSite(world)
})

test('a device that is unmapped is let go when the verb has ended, also while its slink is paused', async () => {
  const world = await blockdevWorld('paused', [{}])
  const { primary } = world
  await writeAt(world, 0, round(4))
  await world.run(primary.admin.changeSlink(1, { paused: true }))
  await world.advance(1000)
  await world.run(primary.admin.unmap(1, 1))
  assert.equal(handlesOf(world, 1), 0)
  assert.equal(handlesOf(world, 0), 1, 'the others are kept')
})

test('a device that is unmapped is not written by a probe that was under way, nor tried again', async () => {
  const world = await blockdevWorld('probe', [{}], TIMED)
  const { primary } = world
  const fault = primary.disks.inject(PATH, { on: 'write', ...broken })
  await writeAt(world, 0, [0])
  await world.until('it has failed', () => failedOnce(world))
  fault.remove()
  const read = primary.disks.inject(PATH, { on: 'read', delayMs: 3000 })
  await world.until('a probe reads its begin', () => read.hits === 1)
  const unmapped = world.run(primary.admin.unmap(0, 1))
  const { counts } = primary.disks.handles(PATH)[0] as { counts: { writes: number } }
  const { writes } = counts
  await unmapped
  assert.equal(handlesOf(world, 0), 0, 'it is free when the verb has ended')
  const before = target(world, 1, 0).clone()
  await world.advance(3 * PROBE_MS)
  assert.equal(counts.writes, writes, 'nothing was written any more')
  assert.equal(target(world, 1, 0).firstDifference(before), -1)
  assert.equal(handlesOf(world, 0), 0)
  assert.equal(primary.group.sites.trouble(1, 1), null)
})

test('a slink that is deleted while a device of it hangs lets all of them go, and its record, once that answers', async () => {
  const world = await blockdevWorld('delete', [{}], TIMED)
  const { primary } = world
  primary.disks.inject(PATH, { on: 'write', delayMs: 40_000 })
  await writeAt(world, 0, [0])
  await world.advance(500)
  const startMs = world.clock.nowMs()
  await world.run(primary.admin.deleteSlink(1, true))
  assert.ok(world.clock.nowMs() - startMs < 15_000, 'the verb does not wait for it')
  await world.advance(60_000)
  assert.deepEqual([handlesOf(world, 0), handlesOf(world, 1)], [0, 0])
  assert.ok(!primary.disks.paths().includes('/state/site-1'), 'its record is gone')
})

test('a site that is closed while it opens a device keeps none open', async () => {
  const world = await blockdevWorld('close', [{}])
  const { primary } = world
  await world.run(primary.admin.unmap(1, 1))
  const open = primary.disks.open.bind(primary.disks)
  let asked = 0
  primary.disks.open = async (path, options): Promise<Disk> => {
    if (path !== targetPath(1, 1)) return open(path, options)
    asked += 1
    await new Promise<void>((resolve) => void world.clock.after(20_000, resolve))
    return open(path, options)
  }
  await world.map(1, 1, { remote: targetPath(1, 1), initial: 'sync' })
  await world.until('it is being opened', () => asked > 1)
  await world.run(primary.admin.deleteSlink(1, true))
  await world.advance(60_000)
  assert.deepEqual([handlesOf(world, 0), handlesOf(world, 1)], [0, 0])
})

test('a step of an older session on the record is over before the next one takes one', async () => {
  const world = await blockdevWorld('steps', [{}], { diskLatency: { writeMs: [0, 1], syncMs: [0, 1] } })
  const { primary } = world
  await settleSite(world)
  // Longer than the detection time: the primary gives the session up in the middle of its handshake.
  const [record] = primary.disks.handles('/state/site-1')
  assert.ok(record !== undefined)
  let storing = 0
  let mostStoring = 0
  const write = record.write.bind(record)
  const sync = record.sync.bind(record)
  record.write = (chunks, offset) => {
    mostStoring = Math.max(mostStoring, ++storing)
    return write(chunks, offset)
  }
  record.sync = () => sync().finally(() => (storing -= 1))
  const fault = primary.disks.inject('/state/site-1', { on: 'sync', delayMs: 7000, count: 4 })
  primary.slink(1).reconnect('a test')
  await world.until('its handshake stores a record', () => fault.hits > 0)
  for (let count = 0; count < 3; count++) {
    primary.slink(1).reconnect('a test')
    await world.advance(500)
  }
  fault.remove()
  await writeAt(world, 0, round(4, MIB))
  await settleSite(world)
  assert.equal(mostStoring, 1)
})
