/** Every change that matters is an event: what an operator has to hear of, in one story for each thing that can happen. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addBlockdev, blockdevWorld, settleSite, targetPath } from './blockdev-sites.js'
import { livePair, round, writeAt } from './pairs.js'
import { MIB, type World } from './world.js'

const broken = { error: 'EIO', count: Infinity, keep: 'none' } as const
const kinds = (world: World): Set<string> => new Set(world.primary.events.map(({ kind }) => kind))
const came = (world: World, ...wanted: readonly string[]): void => {
  for (const kind of wanted) assert.ok(kinds(world).has(kind), `${kind} came: ${[...kinds(world)].join(' ')}`)
}

test('[STA-10] an error of a device and its end are events, at either site', async () => {
  const world = await blockdevWorld('events of devices', [{}])
  const { disks } = world.primary
  const faults = ['/dev/local0', targetPath(1, 0)].map((path) => disks.inject(path, { on: 'write', ...broken }))
  await writeAt(world, 0, round(2))
  world.primary.group.writeBack.checkpoint()
  await world.advance(3000)
  came(world, 'device-failed', 'remote-device-failed', 'slink-disconnected')
  for (const fault of faults) fault.remove()
  await settleSite(world)
  await world.until('the local device works', () => kinds(world).has('device-recovered'))
  came(world, 'remote-device-recovered', 'slink-connected')
})

test('[STA-10] forced synchrony on and off, protection given and lost, and a site that makes no progress are events', async () => {
  const world = await livePair('events of policies', { fallBehind: { ios: 2, bytes: 0, timeoutMs: 0 } })
  world.silence()
  for (const offset of round(6)) world.primary.write({ device: 0, offset, bytes: world.prng.bytes(4096) })
  await world.until('it is let go', () => kinds(world).has('slink-lost'))
  came(world, 'fall-behind')
  world.silence(world.agent, false)
  await world.settle()
  came(world, 'fall-behind-end')
  await world.run(world.primary.admin.changeSlink(1, { mode: 'sync', fallBehind: { ios: 0, bytes: 0, timeoutMs: 0 } }))
  await world.until('it is protected', () => kinds(world).has('slink-protected'))
  await world.run(world.primary.admin.changeSlink(1, { paused: true }))
  await world.until('it is not any more', () => kinds(world).has('slink-unprotected'))
})

test('[STA-10] an overflow, the begin and the end of a resync are events', async () => {
  const world = await livePair('events of an overflow', {}, { logBytes: 2 * MIB, deviceBytes: [8 * MIB] })
  world.agent.crash()
  await writeAt(world, 0, round(30, MIB))
  await world.until('it has overflowed', () => kinds(world).has('slink-overflow'))
  await world.startAgent()
  await world.settle()
  came(world, 'resync-start', 'resync-finished')
})

test('[STA-10] a dirty log that cannot be stored, and a log that fails, are events', async () => {
  const world = await livePair('events of logs', {}, { logBytes: 2 * MIB, deviceBytes: [8 * MIB] })
  const { disks } = world.primary
  const dirty = disks.paths().filter((path) => path.startsWith('/state/dirty-'))
  for (const path of dirty) for (const on of ['write', 'sync'] as const) disks.inject(path, { on, ...broken })
  world.agent.crash()
  for (const offset of round(30, MIB)) world.primary.write({ device: 0, offset, bytes: world.prng.bytes(65_536) })
  await world.until('the dirty log is missed', () => kinds(world).has('dirty-log-failed'))
  disks.clearFaults()
  disks.inject('/state/replog', { on: 'write', ...broken })
  world.primary.write({ device: 0, offset: 0, bytes: world.prng.bytes(4096) })
  await world.until('the group fails', () => kinds(world).has('group-failed'), 120_000)
})

test('[REC-10] entries of a slink that is deleted are dropped with a message, with and without a daemon', async () => {
  const world = await blockdevWorld('gone', [{}, {}])
  const { primary } = world
  await writeAt(world, 0, round(2))
  await settleSite(world, 1)
  await settleSite(world, 2)
  await world.run(primary.admin.changeSlink(1, { paused: true }))
  await world.run(primary.admin.changeSlink(2, { paused: true }))
  await writeAt(world, 0, round(5))
  await world.run(primary.admin.deleteSlink(1, true))
  const [deleted] = primary.eventsOf('slink-deleted')
  assert.equal(deleted?.facts['entries'], 5)
  assert.match(deleted?.message ?? '', /slink 1 was deleted: 5 entries that it had not received are dropped/)
  const { config } = primary.group.parts
  await world.run(config.update((current) => ({ ...current, slinks: [] })) as Promise<unknown>)
  await world.restartPrimary('crash')
  const dropped = primary.eventsOf('slink-gone').map(({ message }) => message)
  assert.match(dropped.join(), /slink 2 is gone: entries 3 to \d+ were kept for it/)
  const before = primary.eventsOf('slink-gone').length
  await world.restartPrimary('stop')
  assert.equal(primary.eventsOf('slink-gone').length, before, 'once')
  await addBlockdev(world, 3, { initial: 'sync' })
  await settleSite(world, 3)
})
