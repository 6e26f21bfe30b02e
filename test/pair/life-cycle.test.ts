/** What a group says of its life: an event for every change that matters, and what becomes of a site that is gone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { GroupConfig } from '@sitelink/primary'
import { dirtyLogPath, livePair, liveSites, round, writeAt } from './pairs.js'
import { CONFIG_FILE, LOG_FILE } from './primary-host.js'
import { MIB } from './world.js'

test('[STA-10] errors and recovery, forced sync on and off, overflow, resync begin and end, failures of dirty log and log are events', async () => {
  const fallBehind = { ios: 5, bytes: 0, timeoutMs: 0 }
  const world = await livePair('events', { mode: 'async', overflow: 'drop', fallBehind }, { logBytes: 2 * MIB })
  const { primary } = world
  const happens = async (kind: string, level: string): Promise<void> => {
    await world.until(kind, () => primary.eventsOf(kind).length > 0)
    for (const event of primary.eventsOf(kind)) assert.equal(event.level, level, event.message)
  }
  primary.disks.inject('/dev/local0', { on: 'write', error: 'EIO', count: 2 })
  await writeAt(world, 0, [0])
  await happens('device-failed', 'error')
  await happens('device-recovered', 'info')
  world.agent.crash()
  for (const offset of round(8)) primary.write({ offset, bytes: world.prng.bytes(4096) })
  await happens('fall-behind', 'warning')
  await world.startAgent()
  await happens('fall-behind-end', 'info')
  await world.settle()
  world.agent.crash()
  await world.advance(10_000)
  primary.disks.inject(dirtyLogPath(world, 1), { on: 'sync', error: 'EIO' })
  for (const offset of round(60)) primary.write({ offset, bytes: world.prng.bytes(65_536) })
  await happens('slink-overflow', 'warning')
  await happens('dirty-log-failed', 'error')
  await world.startAgent()
  await happens('resync-start', 'info')
  await happens('resync-finished', 'info')
  await world.settle()
  primary.disks.inject(LOG_FILE, { on: 'sync', error: 'EIO' })
  primary.write({ offset: 0, bytes: world.prng.bytes(4096) })
  await happens('group-failed', 'error')
})

test('[REC-10] entries that were kept for a site that is gone at the start are let go, with a message', async () => {
  const world = await liveSites('gone', [{ mode: 'async' }, { mode: 'async' }], { logBytes: 4 * MIB })
  const { primary } = world
  world.agentOf(1).crash()
  await writeAt(world, 0, round(30))
  const usedBytes = (): number => primary.group.log.status().usedBytes
  await world.until('slink 2 has all', () => primary.slink(2).point.lsn === 30)
  assert.ok(usedBytes() > MIB)
  await world.run(primary.stop())
  // While no daemon runs, as `sitelink slink del 1 --unmap` does.
  const bytes = await world.run(primary.disks.readFile(CONFIG_FILE))
  assert.ok(bytes !== null)
  const config = JSON.parse(bytes.toString()) as GroupConfig
  const slinks = config.slinks.filter(({ number }) => number !== 1)
  await world.run(primary.disks.replaceFile(CONFIG_FILE, Buffer.from(JSON.stringify({ ...config, slinks }))))
  await world.startPrimary()
  assert.match(primary.eventsOf('slink-gone')[0]?.message ?? '', /^slink 1 is gone: entries .* were kept for it/)
  await world.until('the log is empty', () => usedBytes() < MIB / 4)
  await world.settle(2)
  await world.restartPrimary('stop')
  assert.equal(primary.eventsOf('slink-gone').length, 1, 'it is said once')
})
