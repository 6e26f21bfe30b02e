/**
 * Rewrites of one block: the log, the wire and the journal keep every entry, so that a site is always a prefix; the
 * devices of both sides get only the newest bytes of each layer, and nothing that could still be unmade.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FaultDisk, FaultDiskProvider } from '@sitelink/storage/testing'
import { JOURNAL_FILE } from './agent-host.js'
import { livePair } from './pairs.js'
import { LOG_FILE } from './primary-host.js'
import type { World } from './world.js'

const BLOCK = 4096
/** A clock for slow disks, and nothing else: every operation takes no time. */
const DISKS = { diskLatency: { readMs: [0, 0], writeMs: [0, 0], syncMs: [0, 0] } } as const

function handleOf(disks: FaultDiskProvider, path: string): FaultDisk {
  const [disk, ...more] = disks.handles(path)
  assert.ok(disk !== undefined && more.length === 0, `${path} is open once`)
  return disk
}

/** The device of each side: the primary's own, then the site's. */
const devicesOf = ({ primary, agent }: World): FaultDisk[] => [
  handleOf(primary.disks, '/dev/local0'),
  handleOf(agent.disks, '/dev/dev0'),
]

/** Writes a block with one byte in all of it. */
const put = (world: World, at: number, value: number) =>
  world.primary.write({ offset: at * BLOCK, bytes: Buffer.alloc(BLOCK, value) })

async function putAll(world: World, at: number, values: readonly number[]): Promise<void> {
  const tickets = values.map((value) => put(world, at, value))
  for (const ticket of tickets) assert.equal(await world.answered(ticket), 0)
}

/** What the devices themselves hold of a block, as its first byte; all of it has to be the same. */
function onDevices(world: World, at: number): number[] {
  return devicesOf(world).map((disk) => {
    const bytes = disk.peek(at * BLOCK, BLOCK)
    assert.ok(
      bytes.every((byte) => byte === bytes[0]),
      `block ${at} of ${disk.description} is of one write`,
    )
    return bytes[0] as number
  })
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, at) => from + at)

test('[LIM-06] of rewrites of the same blocks both sides write the last ones to their devices, and log and wire carry all', async () => {
  const world = await livePair('rewrites', { mode: 'async' }, DISKS)
  await world.settle()
  const { primary, agent } = world
  const rounds = 100
  const blocks = 8
  const entries = rounds * blocks
  const disks = devicesOf(world)
  const logs = [handleOf(primary.disks, LOG_FILE), handleOf(agent.disks, JOURNAL_FILE)]
  const counts = (of: readonly FaultDisk[], key: 'writes' | 'writtenBytes') => of.map((disk) => disk.counts[key])
  const [writes, bytes, logged] = [counts(disks, 'writes'), counts(disks, 'writtenBytes'), counts(logs, 'writtenBytes')]
  const lsn = primary.group.writePath.lastLsn
  const sent = primary.slink().stream?.feed.entriesSent as number
  for (let round = 1; round <= rounds; round++) {
    for (let at = 0; at < blocks; at++) put(world, 2 * at, round)
    await world.advance(1)
  }
  await world.settle()
  assert.equal(primary.group.writePath.lastLsn - lsn, entries, 'every write is an entry')
  assert.equal((primary.slink().stream?.feed.entriesSent as number) - sent, entries, 'and every entry is sent')
  for (const [side, disk] of logs.entries()) {
    const found = disk.counts.writtenBytes - (logged[side] as number)
    assert.ok(found >= entries * BLOCK, `${disk.description} has every one: ${found} bytes of ${entries} blocks`)
  }
  for (const [side, disk] of disks.entries()) {
    const found = disk.counts.writtenBytes - (bytes[side] as number)
    assert.ok(found >= blocks * BLOCK && found * 20 <= entries * BLOCK, `${found} bytes of ${entries} blocks`)
    const times = disk.counts.writes - (writes[side] as number)
    assert.ok(times * 20 <= entries, `${times} writes of ${entries} entries`)
  }
  for (let at = 0; at < blocks; at++) assert.deepEqual(onDevices(world, 2 * at), [rounds, rounds])
})

test('[LIM-06] rewrites are merged up to what can no longer be unmade: no newer bytes reach a device before a flush covers them', async () => {
  const world = await livePair('rewrites and a flush', { mode: 'async' }, DISKS)
  const { primary } = world
  await putAll(world, 0, range(1, 10))
  assert.equal(await world.answered(primary.flush()), 0)
  await world.settle()
  const writes = devicesOf(world).map((disk) => disk.counts.writes)
  primary.disks.inject(LOG_FILE, { on: 'sync', delayMs: 600_000, count: Infinity })
  await putAll(world, 0, range(11, 20))
  await putAll(world, 7, [1])
  await world.advance(20_000)
  const received = world.agent.status().replica?.receivedLsn
  assert.equal(received, primary.group.writePath.lastLsn, 'the site has received all of it')
  assert.deepEqual(onDevices(world, 0), [10, 10], 'the newest bytes of what was flushed, on both sides')
  assert.deepEqual(onDevices(world, 7), [0, 0])
  assert.deepEqual(
    devicesOf(world).map((disk) => disk.counts.writes),
    writes,
    'nothing at all was written',
  )
})

test('[LIM-06] a layer with entries on both sides of a flush reaches no device in part, and a power cut keeps what was flushed', async () => {
  const world = await livePair('a flush in a layer', { mode: 'async' }, DISKS)
  const { primary } = world
  await world.settle()
  await putAll(world, 0, range(1, 5))
  assert.equal(await world.answered(primary.flush()), 0)
  const unsynced = primary.disks.inject(LOG_FILE, { on: 'sync', delayMs: 600_000, count: Infinity })
  await putAll(world, 0, range(6, 9))
  await world.advance(5000)
  for (const value of onDevices(world, 0)) assert.ok(value === 0 || value === 5, `${value} is on a device`)
  unsynced.remove()
  await world.restartPrimary('power-cut')
  await world.settle()
  await world.checkLocal()
  const [kept] = await primary.read(0, 0, 1)
  assert.ok((kept as number) >= 5, `${kept} is there, 5 was flushed`)
})
