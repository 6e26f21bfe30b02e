/** The log is resized by message, while it is empty, in use, wrapped and written; what is refused, and what it leaves alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bytes, KIB, MIB } from '../group/group-world.js'
import { AGENT, DmWorld, LOCAL } from './dm-world.js'

const D0 = 'd0: 0 4096 replicator-dev group 0 0 1 /dev/0 nolog 0'
const LATENCY = { writeMs: [0.2, 1], syncMs: [1, 3] } as const

const sectorsOf = (dm: DmWorld): number => dm.world.group.log.status().sizeBytes / 512

/** A site that nobody meets keeps everything that is written from now on, in a log of 4 MiB. */
async function withSite(more: { capacityBytes?: number } = {}): Promise<DmWorld> {
  const dm = await DmWorld.running({ logBytes: 4 * MIB, latency: LATENCY, ...more })
  await dm.load(`${LOCAL} agent 3 1 ${AGENT} asynchronous+drop\n${D0} 1 1 r0 disk 3 - 2048 nosync`)
  return dm
}

const dropped = (dm: DmWorld): boolean => dm.world.group.slinks.get(1)?.standing.kind !== 'log'

async function ended(dm: DmWorld): Promise<void> {
  for (let ms = 0; ms < 60_000 && dm.world.group.log.status().resize !== null; ms++) await dm.world.clock.advance(1)
  assert.equal(dm.world.group.log.status().resize, null)
}

/** Writes of 20 KiB, each with bytes of its own. */
async function write(dm: DmWorld, count: number, at: number): Promise<void> {
  for (let each = 0; each < count; each++)
    await dm.world.ok(dm.world.write(0, ((at + each) % 100) * 20 * KIB, bytes(20 * KIB, (at + each) % 251)))
}

test('[MSG-09] [MSG-10] [MSG-15] a message makes the log larger and smaller while writers write; status says so, a restart too', async () => {
  const dm = await withSite()
  const { world } = dm
  await write(dm, 100, 0)
  let at = 100
  for (const sectors of [16_384, 9216, 24_576]) {
    const [line] = await dm.message('group', 'replog', 'resize', String(sectors))
    assert.equal(line, `resizing the log to ${sectors} sectors: see status`)
    const steps = new Set<string>()
    while (world.group.log.status().resize !== null) {
      steps.add(world.group.log.status().resize?.step ?? '')
      await write(dm, 1, at++)
    }
    assert.ok(steps.size > 0, 'how far it is can be seen')
    assert.equal(sectorsOf(dm), sectors)
    assert.match((await dm.status())[0] ?? '', new RegExp(`/${sectors}s$`))
  }
  const { lastLsn } = world.group.writePath
  assert.equal(dropped(dm), false, 'the site keeps its place')
  assert.deepEqual(
    world.kinds().filter((kind) => kind.startsWith('log-resize')),
    ['log-resized', 'log-resized', 'log-resized'],
  )
  const found = await Promise.all(Array.from({ length: 100 }, (_, part) => world.read(0, part * 20 * KIB, 20 * KIB)))
  await dm.restart()
  assert.equal(sectorsOf(dm), 24_576)
  assert.equal(world.group.writePath.lastLsn, lastLsn)
  assert.equal(dropped(dm), false)
  for (const [part, content] of found.entries())
    assert.deepEqual(await world.read(0, part * 20 * KIB, 20 * KIB), content, `part ${part}`)
})

test('[MSG-09] a resize is EPERM while one runs, EINVAL where it does not fit, and stands in the way of none', async () => {
  const dm = await withSite()
  await write(dm, 110, 0)
  const short = await dm.refused(() => dm.message('group', 'replog', 'resize', '6600'))
  assert.deepEqual([short.code, short.errno, short.word], ['DM_MESSAGE', 'EINVAL', '6600'])
  assert.match(short.message, /the log cannot have .* of it are needed, so it needs/)
  assert.equal(dropped(dm), false)
  await dm.message('group', 'replog', 'resize', '65536')
  const busy = await dm.refused(() => dm.message('group', 'replog', 'resize', '16384'))
  assert.deepEqual([busy.errno, busy.word], ['EPERM', '16384'])
  await ended(dm)
  assert.equal(sectorsOf(dm), 65_536)
  await dm.message('group', 'REPLOG'.toLowerCase(), 'RES', '16384')
  await ended(dm)
  assert.equal(sectorsOf(dm), 16_384)
})

test('a size that no log can have is refused with the least that one can', async () => {
  const dm = await withSite()
  for (const used of [0, 20]) {
    await write(dm, used, 0)
    const error = (await dm.world.admin.resizeLog({ sizeBytes: 1, sparse: false, overwrite: false }).then(
      () => null,
      (thrown: unknown) => thrown,
    )) as Error | null
    assert.match(error?.message ?? '', /a log has at least 2097152 bytes, not 1/)
  }
})

test('[MSG-09] where the disk is full, or a block device too small, the log keeps its size, goes on, and it is reported', async () => {
  const dm = await withSite({ capacityBytes: 10 * MIB })
  await write(dm, 20, 0)
  await dm.message('group', 'replog', 'resize', '65536')
  await ended(dm)
  assert.equal(sectorsOf(dm), 8192)
  assert.equal(dm.world.kinds().filter((kind) => kind === 'log-resize-failed').length, 1)
  assert.equal(dm.world.disk('/log').sizeBytes, 4 * MIB)
  await write(dm, 20, 20)
  await dm.message('group', 'replog', 'resize', '10240')
  await ended(dm)
  assert.equal(sectorsOf(dm), 10_240)
})

test('[MSG-09] writers that wait for a resize are no shortage of room: no site loses its place for them', async () => {
  const dm = await withSite()
  const { world } = dm
  // Nearly three quarters: the next writer that waited for room would cost the site its place.
  await write(dm, 110, 0)
  const before = world.group.log.status()
  assert.ok(before.usedBytes > 0.6 * before.ringBytes)
  await dm.message('group', 'replog', 'resize', '16384')
  while (world.group.log.status().resize?.step !== 'switching') await world.clock.advance(0.1)
  world.disk('/log').inject({ on: 'sync', delayMs: 2000 })
  const asked = Array.from({ length: 10 }, (_, block) => world.write(0, block * 4096, bytes(4096, 9)))
  await world.clock.advance(1500)
  assert.ok(
    asked.every((one) => !one.answered),
    'they wait',
  )
  await world.ok(...asked)
  assert.equal(sectorsOf(dm), 16_384)
  assert.equal(dropped(dm), false)
  assert.equal(world.group.logStalls, 0)
})
