/**
 * The fall-behind account of a living pair: what counts, who is held, who is let go, and that it always ends at zero.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupStatus, type FallBehind } from '@sitelink/primary'
import { seedFromEnv } from '@sitelink/storage/testing'
import { dropSlink, livePair, round, writeAt } from './pairs.js'
import { PRIMARY } from './primary-host.js'
import { MIB, World, type SiteWish } from './world.js'

const write = (world: World, offset = 0) => world.primary.write({ offset, bytes: world.prng.bytes(4096) })

const statusOf = (world: World) =>
  groupStatus(world.primary.group).slinks[0] as ReturnType<typeof groupStatus>['slinks'][0]

const limitOf = (ios: number): FallBehind => ({ ios, bytes: 0, timeoutMs: 0 })

const limited = (ios: number, bytes = 0, timeoutMs = 0): SiteWish => ({
  mode: 'async',
  overflow: 'stall',
  fallBehind: { ios, bytes, timeoutMs },
})

test('[FB-08] the account is never below zero, and exactly zero when all is quiet, whatever failed, was dropped or came twice', async () => {
  const seed = seedFromEnv('fall-behind account')
  for (let at = 0; at < 6; at++) {
    const world = await livePair(
      `${seed}/${at}`,
      { ...limited(5, 128 * 1024, 2000), overflow: 'drop' },
      { logBytes: 2 * MIB, diskLatency: { readMs: [0, 1], writeMs: [0, 3], syncMs: [0, 10] } },
    )
    const { prng, primary } = world
    const look = (): void => {
      if (!primary.running) return
      const { ios, bytes, ageMs } = primary.slink().outstanding()
      assert(ios >= 0 && bytes >= 0 && (ageMs ?? 0) >= 0, `${ios} entries, ${bytes} bytes, ${ageMs} ms`)
      const { lastLsn } = primary.group.writePath
      assert(ios <= lastLsn, `${ios} entries of ${lastLsn}`)
      assert((ios === 0) === (ageMs === null), 'an age is of an entry')
    }
    for (let step = 0; step < 60; step++) {
      switch (prng.below(10)) {
        case 0:
          world.cut()
          break
        case 1:
          world.silence(world.agent, prng.chance(0.5))
          break
        case 2:
          if (world.agent.running) world.agent.crash()
          else await world.startAgent()
          break
        case 3:
          if (prng.chance(0.3)) await world.restartPrimary(prng.chance(0.5) ? 'crash' : 'power-cut')
          break
        case 5:
          if (prng.chance(0.3)) void primary.slink().overflow.drop('the log is short of space')
          break
        case 4:
          primary.disks.inject('/dev/local0', { on: 'write', error: 'EIO' })
          break
        default:
          for (let count = prng.below(8); count > 0; count--)
            primary.write({ device: prng.below(2), offset: prng.below(300) * 4096, bytes: prng.bytes(4096) })
      }
      look()
      await world.advance(prng.below(200))
      look()
    }
    world.silence(world.agent, false)
    if (!world.agent.running) await world.startAgent()
    await world.settle()
    assert.deepEqual(primary.slink().outstanding(), { ios: 0, bytes: 0, ageMs: null })
    assert.equal(primary.slink().protection.forced, null)
    assert.deepEqual([statusOf(world).lagWrites, statusOf(world).lagBytes, statusOf(world).lagSeconds], [0, 0, 0])
  }
})

test('[FB-10] turning to waiting and back is one event each, counted, and seen in the status', async () => {
  const world = await livePair('seen', limited(3))
  for (let turn = 1; turn <= 3; turn++) {
    world.silence()
    for (let at = 0; at < 4; at++) assert.equal(await world.answered(write(world, at * 4096), 200), 0)
    const held = write(world, MIB)
    await world.advance(500)
    assert.equal(held.errno, null)
    const { forced, forcedCount, holding, lagWrites, lagBytes } = statusOf(world)
    assert.deepEqual(
      { forced, forcedCount, holding, lagWrites, lagBytes },
      { forced: 'ios', forcedCount: turn, holding: true, lagWrites: 5, lagBytes: 5 * 4096 },
    )
    world.silence(world.agent, false)
    assert.equal(await world.answered(held), 0)
    await world.settle()
    assert.deepEqual([statusOf(world).forced, statusOf(world).holding], [null, false])
    const [begun, ended] = ['fall-behind', 'fall-behind-end'].map((kind) => world.primary.eventsOf(kind))
    assert.deepEqual([begun?.length, ended?.length], [turn, turn])
    assert.deepEqual([begun?.at(-1)?.facts['slink'], begun?.at(-1)?.facts['limit']], [1, 'ios'])
  }
})

/** What a slow link and four writers that never pause make of limits: how much was outstanding at each turn to and fro. */
async function turnsOf(
  name: string,
  fallBehind: FallBehind,
): Promise<{ readonly begun: number[]; readonly ended: number[] }> {
  const world = await livePair(name, { ...limited(0), fallBehind })
  world.network.setLink(PRIMARY, world.agent.name, { bandwidthBytes: 400_000 })
  const flying = new Set<ReturnType<typeof write>>()
  for (let written = 0; written < 400;) {
    for (const ticket of flying) if (ticket.errno !== null) flying.delete(ticket)
    while (flying.size < 4 && written < 400) flying.add(write(world, (written++ % 200) * 4096))
    await world.advance(5)
  }
  await world.settle()
  const of = (kind: string) => world.primary.eventsOf(kind).map(({ facts }) => facts['ios'] as number)
  return { begun: of('fall-behind'), ended: of('fall-behind-end') }
}

test('[FB-11] with a share to resume at, a site that fell behind is waited for until it is within that part', async () => {
  const ios = 20
  const plain = await turnsOf('toggles', limitOf(ios))
  const shared = await turnsOf('toggles', { ...limitOf(ios), resumePercent: 25 })
  for (const turns of [plain, shared]) {
    assert.equal(turns.begun.length, turns.ended.length)
    assert.ok(
      turns.begun.every((count) => count === ios + 1),
      `begun with ${turns.begun.join(' ')}`,
    )
  }
  assert.ok(Math.min(...plain.ended) > ios / 4, `without a share it ends at the limit: ${plain.ended.join(' ')}`)
  assert.ok(
    shared.ended.every((count) => count <= ios / 4),
    `ended with ${shared.ended.join(' ')}`,
  )
  assert.ok(shared.begun.length >= 2, `${shared.begun.length} turns`)
})

test('[FB-11] a share that is changed while writers wait acts at once', async () => {
  const world = await livePair('share changed', { ...limited(0), fallBehind: { ...limitOf(3), resumePercent: 25 } })
  world.silence()
  for (let at = 0; at < 4; at++) assert.equal(await world.answered(write(world, at * 4096), 200), 0)
  assert.equal(statusOf(world).forced, 'ios')
  const limits = (ios: number, resumePercent?: number) =>
    world.run(
      world.primary.admin.changeSlink(1, {
        fallBehind: { ...limitOf(ios), ...(resumePercent === undefined ? {} : { resumePercent }) },
      }),
    )
  await limits(4, 50)
  assert.equal(statusOf(world).forced, 'ios', '4 are within the limit, and more than half of it')
  assert.equal(statusOf(world).fallBehind.resumePercent, 50)
  await limits(4)
  assert.equal(statusOf(world).forced, null)
  assert.equal(statusOf(world).fallBehind.resumePercent, 100)
  await limits(4, 50)
  assert.equal(statusOf(world).forced, null, 'a share begins nothing')
})

test('[FB-13] a limit by age lets writers go once the site has caught up, and does not hold those after it', async () => {
  const world = await livePair('age ends', limited(0, 0, 500))
  world.silence()
  assert.equal(await world.answered(write(world), 200), 0)
  await world.until('it is behind its limit', () => world.primary.slink().protection.forced === 'timeout', 700)
  const held = write(world, 4096)
  await world.advance(2000)
  assert.equal(held.errno, null)
  world.silence(world.agent, false)
  assert.equal(await world.answered(held), 0)
  await world.until('the limit has let go', () => world.primary.slink().protection.forced === null, 200)
  world.silence()
  assert.equal(await world.answered(write(world, 8192), 200), 0, 'it is young again')
})

test('[FB-14] what a resync copies is in no account: a full copy of many times the limits holds nobody', async () => {
  const world = await livePair('resync is not counted', limited(2, 64 * 1024, 300), {
    deviceBytes: [16 * MIB, 16 * MIB],
  })
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 8 * MIB }))
  await world.run(world.primary.admin.resync(1, true))
  await world.until('it copies', () => world.primary.slink().copiedBytes > 0)
  const copiedBefore = world.primary.slink().copiedBytes
  for (let at = 0; at < 10; at++) {
    assert.equal(await world.answered(write(world, at * 4096), 100), 0)
    await world.advance(100)
    assert.deepEqual(statusOf(world).forced, null)
  }
  assert(world.primary.slink().copiedBytes > copiedBefore, 'all the while it copied')
  assert.equal(world.primary.word(), 'resyncing')
  await world.settle()
  assert.equal(world.primary.eventsOf('fall-behind').length, 0)
})

test('[FB-14] a site that is behind holds no writer, however far over its limits it is', async () => {
  const world = await livePair('behind holds nobody', { ...limited(2), overflow: 'drop' })
  world.agent.crash()
  await dropSlink(world)
  await writeAt(world, 0, round(12))
  assert(statusOf(world).lagWrites >= 12, 'its lag is told all the same')
  assert.equal(statusOf(world).holding, false)
  await world.startAgent()
  await world.settle()
  assert.equal(statusOf(world).forced, null)
})

test('a changed mode holds the writes behind it and none before; an idle site that has everything is protected at once', async () => {
  const world = await livePair('mode', { mode: 'async', overflow: 'stall' })
  assert.equal(await world.answered(write(world), 200), 0)
  await world.settle()
  await world.run(world.primary.admin.changeSlink(1, { mode: 'sync' }))
  assert.equal(statusOf(world).protected, true, 'nothing is written, and nothing need be')
  assert.equal(world.primary.eventsOf('slink-protected').length, 1)
  world.silence()
  const held = Array.from({ length: 5 }, (_, at) => write(world, at * 4096))
  await world.advance(2000)
  assert(
    held.every(({ errno }) => errno === null),
    'sync: they wait',
  )
  await world.run(world.primary.admin.changeSlink(1, { mode: 'async' }))
  for (const ticket of [...held, write(world, MIB)]) assert.equal(await world.answered(ticket, 200), 0)
  world.silence(world.agent, false)
  await world.settle()
})

test('a site that became protected while nothing was written holds writers after a restart as well', async () => {
  const world = await livePair('latched', { mode: 'async', overflow: 'stall' })
  await world.run(world.primary.admin.changeSlink(1, { mode: 'sync' }))
  await world.advance(1000)
  world.agent.crash()
  await world.restartPrimary('power-cut')
  const ticket = write(world)
  await world.advance(10_000)
  assert.equal(ticket.errno, null)
  await world.startAgent()
  assert.equal(await world.answered(ticket), 0)
})

test('[FB-08] a backlog that was there when the primary started counts, in entries and in bytes', async () => {
  const world = new World({ seed: 'backlog at start' })
  await world.start()
  await world.addSite({ mode: 'async', fallBehind: { ios: 0, bytes: 100_000, timeoutMs: 0 } })
  await world.settle()
  world.agent.crash()
  for (let at = 0; at < 4; at++)
    await world.answered(world.primary.write({ offset: at * 65_536, bytes: world.prng.bytes(65_536) }))
  await world.restartPrimary('crash')
  const { ios, bytes } = world.primary.slink().outstanding()
  assert.equal(ios, 4)
  assert.ok(bytes >= 4 * 65_536 && bytes < 5 * 65_536, `${bytes} bytes`)
  await world.startAgent()
  await world.settle()
  assert.deepEqual(world.primary.slink().outstanding(), { ios: 0, bytes: 0, ageMs: null })
})
