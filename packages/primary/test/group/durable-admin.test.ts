/** What a change of a running group leaves behind if the power goes at the worst moment of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspectLog } from '@sitelink/storage'
import { addMapping, addSlink, type NewMapping } from '../../src/admin/changes.js'
import type { GroupConfig } from '../../src/config.js'
import { markDropped } from '../../src/group/drop-marks.js'
import type { Group } from '../../src/group/group.js'
import { decodeOwnerState, type SlinkRecord } from '../../src/group/owner-state.js'
import { MappingSet } from '../../src/slink/mapping-set.js'
import { bytes, GroupWorld, LOG_PATH, MIB } from './group-world.js'

const MAPPING_ID = '00000000-0000-4000-8000-000000000001'
const slink = { number: 1, addresses: ['tcp://nowhere:1'], mode: 'async' } as const
const lose = { kind: 'lose-all' } as const

function wish(changes: Partial<NewMapping> = {}): NewMapping {
  return {
    device: 0,
    slink: 1,
    remote: 'data',
    dirtyLog: { type: 'disk', path: null },
    regionBytes: MIB,
    initial: 'sync',
    mappingId: MAPPING_ID,
    ...changes,
  }
}

const dirtyPath = `/dirty/slink-1-${MAPPING_ID}`

/** What the superblock on the medium says of the slink: what would be left if everything unsynced were lost. */
async function recordOf(world: GroupWorld): Promise<SlinkRecord | null> {
  const disk = world.disk(LOG_PATH)
  disk.startTrace()
  const { superblock } = await inspectLog(disk.at(0).powerCut(lose))
  return decodeOwnerState(superblock?.owner ?? Buffer.alloc(0))?.slinks[0] ?? null
}

/** Looks at the world each time that the configuration is about to be stored. */
function beforeStoring(world: GroupWorld, look: (next: GroupConfig) => Promise<void>): void {
  const { config } = world
  const update = config.update.bind(config)
  config.update = async (change) => {
    await look(change(config.current))
    await update(change)
  }
}

const dirtyRegions = (world: GroupWorld): number | undefined => world.group.slinks.get(1)?.mappings.dirtyRegions

test('a mapping made at a start is written down as made, behind a superblock that calls it dirty', async () => {
  const world = await GroupWorld.make()
  world.config.current = addMapping(addSlink(world.config.current, slink), wish({ dirtyLog: { type: 'core' } }))
  let stored = 0
  beforeStoring(world, async (next) => {
    stored += 1
    assert.notEqual(next.slinks[0]?.mappings[0]?.since, null)
    assert.equal((await recordOf(world))?.dirty, true)
  })
  await world.open()
  assert.equal(stored, 1)
  assert.notEqual(world.config.current.slinks[0]?.mappings[0]?.since, null)
  await world.stop()
})

test('a mapping made at run time is written down behind a superblock that calls it dirty', async () => {
  const world = await GroupWorld.running()
  await world.clock.runUntil(world.admin.addSlink(slink))
  let stored = 0
  beforeStoring(world, async () => {
    stored += 1
    assert.equal((await recordOf(world))?.dirty, true)
  })
  await world.clock.runUntil(world.admin.map(wish({ dirtyLog: { type: 'core' } })))
  assert.equal(stored, 1)
  world.powerCut(lose)
  await world.open()
  assert.equal(dirtyRegions(world), 2)
})

test('what was written while a device is mapped is in its dirty log, durably, however far the log has gone meanwhile', async () => {
  const world = await GroupWorld.running({ devices: [4 * MIB, 4 * MIB] })
  await world.clock.runUntil(world.admin.addSlink(slink))
  world.disks.addDevice('/dev/dirty', MIB)
  world.disks.inject('/dev/dirty', { on: 'sync', delayMs: 3000, count: 1 })
  const dirtyLog = { type: 'disk', path: '/dev/dirty' } as const
  const mapping = world.admin.map(wish({ initial: 'nosync', dirtyLog }))
  await world.clock.advance(100)
  const writes = [world.write(0, 3 * MIB, bytes(4096, 1))]
  // More than the ring has room for goes to the other device.
  for (let at = 0; at < 64; at++) writes.push(world.write(1, (at % 32) * 100_000, bytes(100_000, at)))
  await world.clock.advance(2000)
  await world.clock.runUntil(mapping)
  await world.ok(...writes)
  assert.equal(world.group.slinks.get(1)?.mappings.get(1)?.dirty.bitmap.isDirty(3), true)
  world.powerCut(lose)
  await world.open()
  assert.equal(world.group.slinks.get(1)?.mappings.get(1)?.dirty.bitmap.isDirty(3), true)
  assert.ok(!world.kinds().includes('dirty-log-lost'))
})

test('what was written while a device is mapped is in its dirty log when the mapping is made', async () => {
  const world = await GroupWorld.running({ devices: [4 * MIB] })
  await world.clock.runUntil(world.admin.addSlink(slink))
  world.disks.addDevice('/dev/dirty', MIB)
  world.disks.inject('/dev/dirty', { on: 'sync', delayMs: 3000, count: 1 })
  const mapping = world.admin.map(wish({ initial: 'nosync', dirtyLog: { type: 'disk', path: '/dev/dirty' } }))
  await world.clock.advance(100)
  await world.ok(world.write(0, 3 * MIB, bytes(4096, 1)))
  await world.clock.runUntil(mapping)
  world.powerCut(lose)
  await world.open()
  assert.equal(world.group.slinks.get(1)?.mappings.get(1)?.dirty.bitmap.isDirty(3), true)
})

test('a full resync is stored before it begins', async () => {
  const world = await GroupWorld.running()
  await world.clock.runUntil(world.admin.addSlink(slink))
  await world.clock.runUntil(world.admin.map(wish({ initial: 'nosync' })))
  await world.clock.advance(1000)
  assert.equal(dirtyRegions(world), 0)
  await world.clock.runUntil(world.admin.resync(1, true))
  world.powerCut(lose)
  await world.open()
  assert.equal(dirtyRegions(world), 2)
})

test('a stop lets the dirty logs go: the next start finds them as they were', async () => {
  const world = await GroupWorld.running()
  await world.clock.runUntil(world.admin.addSlink(slink))
  await world.clock.runUntil(world.admin.map(wish({ initial: 'nosync' })))
  assert.equal(world.disks.handles(dirtyPath).length, 1)
  await world.stop()
  assert.equal(world.disks.handles(dirtyPath).length, 0)
  await world.open()
  assert.ok(!world.kinds().includes('dirty-log-lost'))
  assert.equal(dirtyRegions(world), 0)
})

test('an unmapped device and a deleted slink leave neither marks nor a peer', async () => {
  const world = await GroupWorld.make()
  const peers: [number, unknown][] = []
  world.peers = { get: () => null, set: async (number, record) => void peers.push([number, record]) }
  await world.open()
  await world.clock.runUntil(world.admin.addSlink(slink))
  await world.clock.runUntil(world.admin.map(wish()))
  assert.ok(world.disks.paths().includes(dirtyPath))
  await world.clock.runUntil(world.admin.unmap(0, 1))
  assert.ok(!world.disks.paths().includes(dirtyPath))
  await world.clock.runUntil(world.admin.map(wish()))
  await world.clock.runUntil(world.admin.deleteSlink(1, true))
  assert.ok(!world.disks.paths().includes(dirtyPath))
  assert.deepEqual(peers, [[1, null]])
})

test('a slink whose peer cannot be forgotten is deleted all the same, and nobody waits for it', async () => {
  const world = await GroupWorld.make()
  const full = (): Promise<void> => Promise.reject(new Error('no space is left'))
  world.peers = { get: () => null, set: full }
  await world.open()
  await world.clock.runUntil(world.admin.addSlink(slink))
  await world.clock.runUntil(world.admin.deleteSlink(1, true))
  assert.deepEqual(world.group.config.slinks, [])
  assert.ok(world.kinds().includes('slink-deleted'))
})

test('verbs act one after the other: the second begins when the first is stored', async () => {
  const world = await GroupWorld.running()
  const { admin } = world
  const seen: number[] = []
  let go = (): void => {}
  beforeStoring(world, async (next) => {
    seen.push(next.slinks.length)
    await new Promise<void>((resolve) => (go = resolve))
  })
  const both = [admin.addSlink(slink), admin.addSlink({ ...slink, number: 2 })]
  await world.clock.settle()
  assert.deepEqual(seen, [1])
  go()
  await world.clock.settle()
  assert.deepEqual(seen, [1, 2], 'it knows what the first has made')
  go()
  await world.clock.runUntil(Promise.all(both))
})

test('marks of a drop are looked for when all that was appended is in the log file', async () => {
  let write = (): void => {}
  const asked: number[][] = []
  const group = {
    allWritten: () => new Promise<void>((resolve) => (write = resolve)),
    log: {
      writtenEnd: 500,
      regionsBetween(from: number, to: number) {
        asked.push([from, to])
        return []
      },
    },
  }
  const marked = markDropped(group as unknown as Group, new MappingSet(), 100)
  await Promise.resolve()
  assert.deepEqual(asked, [])
  group.log.writtenEnd = 900
  write()
  await marked
  assert.deepEqual(asked, [[100, 900]])
})

test('whoever reads in the turn of an answer sees what was answered', async () => {
  const world = await GroupWorld.running()
  const write = world.write(0, 0, bytes(4096, 1))
  const answered = new Promise<Buffer>((resolve) => {
    write.onAnswer = () => {
      const read = world.ask(0, 0, 4096)
      read.onAnswer = () => resolve(read.bytes)
    }
  })
  assert.deepEqual(await world.clock.runUntil(answered), bytes(4096, 1))
})
