/**
 * Verifies of a living pair: what they find and what they do not, under writes, deaths and faults.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verifySite, type VerifyReport, type VerifyWish } from '@sitelink/primary'
import { dirtyRegions, livePair, round, writeAt } from './pairs.js'
import { MIB, type World } from './world.js'

const LARGE = { deviceBytes: [4 * MIB, 3 * MIB] }
/** Reads take their time, so that writes come in between. */
const SLOW = { ...LARGE, diskLatency: { readMs: [0, 6], writeMs: [0, 3], syncMs: [0, 8] } } as const

/** Starts a verify; `step` is called for each report of progress. */
async function verify(
  world: World,
  wish: Partial<VerifyWish> = {},
  { signal = new AbortController().signal, step = () => {} }: { signal?: AbortSignal; step?: () => void } = {},
): Promise<VerifyReport> {
  const { group, admin } = world.primary
  const steps = verifySite(group, admin, { slink: 1, device: null, mark: false, waitMs: 10_000, ...wish }, signal)
  for (;;) {
    const next = await steps.next()
    if (next.done === true) return next.value
    step()
  }
}

/** Changes a byte of an agent's device behind the back of everybody. */
function flip(world: World, device: string, offset: number): void {
  world.agent.disks.medium(`/dev/${device}`).flipBit(offset, 3)
}

/** Writes small and large things everywhere, a few a millisecond, until `work` is done. */
async function underWrites<T>(world: World, work: Promise<T>): Promise<T> {
  let over = false
  const settled = work.finally(() => (over = true))
  settled.catch(() => {})
  for (let count = 0; !over; count++) {
    assert(count < 60_000, 'it ends')
    const { prng, primary } = world
    const device = prng.below(2)
    const size = (device === 0 ? 4 : 3) * MIB
    const length = 512 * (prng.chance(0.1) ? prng.between(1, 400) : prng.between(1, 8))
    // Half of all in one place, where what is read is written to again and again.
    const offset = prng.chance(0.5) ? 4096 * prng.below(4) : 512 * prng.below((size - length) / 512)
    if (primary.open.size < 50) primary.write({ device, offset, bytes: prng.chance(0.1) ? length : prng.bytes(length) })
    await world.advance(1)
  }
  return settled
}

test('[RSY-20] a verify compares every byte of every device of a site that has everything, and finds no difference', async () => {
  const world = await livePair('equal', {}, LARGE)
  await writeAt(world, 0, round(20, MIB))
  await writeAt(world, 1, round(20, 2 * MIB - 65_536))
  const report = await world.run(verify(world))
  assert.equal(report.complete, true)
  assert.equal(report.totalBytes, 7 * MIB)
  assert.equal(report.equalBytes, 7 * MIB)
  assert.deepEqual(report.different, [])
  const one = await world.run(verify(world, { device: 1 }))
  assert.equal(one.equalBytes, 3 * MIB)
  assert.deepEqual(one.devices, [{ device: 1, name: 'dev1', sizeBytes: 3 * MIB }])
})

test('[RSY-20] a byte that changed behind the back of everybody is reported with its range, marked, and healed by the resync', async () => {
  const world = await livePair('flipped', {}, LARGE)
  await writeAt(world, 0, round(20, MIB))
  await world.settle()
  flip(world, 'dev0', 2 * MIB + 77)
  flip(world, 'dev0', 3 * MIB + 5)
  flip(world, 'dev1', 3 * MIB - 1)
  const found = await world.run(verify(world))
  assert.deepEqual(found.different, [
    { device: 0, offsetBytes: 2 * MIB, lengthBytes: 2 * MIB },
    { device: 1, offsetBytes: 2 * MIB, lengthBytes: MIB },
  ])
  assert.equal(found.differentBytes, 3 * MIB)
  assert.equal(found.equalBytes, 4 * MIB)
  assert.equal(found.markedRegions, 0)
  assert.deepEqual(dirtyRegions(world), [], 'nothing is marked unless it is asked for')
  assert.equal(world.primary.eventsOf('verify-finished').at(-1)?.level, 'error')
  const marked = await world.run(verify(world, { mark: true }))
  assert.equal(marked.markedRegions, 3)
  await world.settle()
  assert.equal(world.primary.slink().copiedBytes, 3 * MIB, 'only what differed is copied')
  assert.equal((await world.run(verify(world))).equalBytes, 7 * MIB)
})

test('[RSY-20] of a site that begins as an older copy only what differs is copied: mapped as equal, then verified', async () => {
  const world = await livePair('seeded', { devices: [1] }, LARGE)
  await writeAt(world, 0, round(20, MIB))
  // As if the device had been carried there, before the last of its writes.
  const content = await world.run(world.primary.read(0, 0, 4 * MIB))
  world.agent.disks.medium('/dev/dev0').apply(0, content.length, content)
  await writeAt(world, 0, [3 * MIB + 65_536])
  await world.map(0, 1, { initial: 'nosync' })
  await world.until('it is live', () => world.primary.word() === 'live')
  await writeAt(world, 0, [4096])
  const { markedRegions } = await world.run(verify(world, { mark: true }))
  assert.equal(markedRegions, 1)
  await world.settle()
  assert.equal(world.primary.slink().copiedBytes, MIB)
})

test('[RSY-20] writes during a verify never look like a difference, and it ends under them', async () => {
  for (let life = 0; life < 3; life++) {
    const world = await livePair(`under writes ${life}`, life % 2 === 0 ? {} : { mode: 'sync' }, SLOW)
    const report = await underWrites(world, verify(world))
    assert.deepEqual([report.different, report.unreadable, report.leftOutBytes], [[], [], 0])
    assert.equal(report.equalBytes, 7 * MIB)
    await world.settle()
  }
})

test('[RSY-20] a difference is found under writes as well, and nothing else is', async () => {
  const world = await livePair('found under writes', {}, SLOW)
  await world.advance(1000)
  flip(world, 'dev1', 3 * MIB - 1)
  // Nothing is ever written there, so that it is still there when its turn comes.
  const { primary } = world
  const write = primary.write.bind(primary)
  primary.write = (wish) =>
    wish.device === 1 && wish.offset > 2 * MIB ? write({ ...wish, offset: wish.offset - 2 * MIB }) : write(wish)
  const report = await underWrites(world, verify(world))
  assert.deepEqual(report.different, [{ device: 1, offsetBytes: 2 * MIB, lengthBytes: MIB }])
  assert.equal(report.equalBytes, 6 * MIB)
})

test('[RSY-20] a verify goes on over lost sessions, deaths of the agent and a lagging link, and counts every byte once', async () => {
  const world = await livePair('interrupted', {}, { ...SLOW, deviceBytes: [20 * MIB, 12 * MIB] })
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 8 * MIB }))
  let steps = 0
  const running = verify(world, {}, { step: () => steps++ })
  let over = false
  void running.finally(() => (over = true))
  for (let at = 0; !over; at++) {
    assert(at < 100, 'it ends')
    await writeAt(world, 0, [at * 4096, 7 * MIB + at * 8192])
    await world.advance(300)
    if (at % 3 === 0) world.cut()
    if (at % 7 === 4) await world.restartAgent(at % 2 === 0 ? 'crash' : 'power-cut')
  }
  const report = await running
  assert(steps > 10, 'it was not over at once')
  assert.equal(report.equalBytes + report.leftOutBytes, 32 * MIB)
  assert.deepEqual([report.different, report.unreadable], [[], []])
})

test('[RSY-20] regions that are dirty are left out and said to be, and a resync that runs at the same time is none of its business', async () => {
  const world = await livePair('dirty', {}, SLOW)
  // A region that cannot be read stays dirty.
  const range = { offset: 3 * MIB, length: 4096 }
  const fault = world.primary.disks.inject('/dev/local0', { on: 'read', error: 'EIO', count: Infinity, range })
  await world.run(world.primary.admin.resync(1, true))
  const report = await underWrites(world, verify(world))
  assert(report.leftOutBytes >= MIB && report.equalBytes > 0, JSON.stringify(report))
  assert.equal(report.equalBytes + report.leftOutBytes, 7 * MIB)
  assert.deepEqual(report.different, [])
  fault.remove()
  await world.settle()
  const rest = await world.run(verify(world))
  assert.equal(rest.equalBytes, 7 * MIB)
})

test('a range that cannot be read is reported with the side that cannot, and the others are compared', async () => {
  const world = await livePair('unreadable', {}, LARGE)
  await writeAt(world, 0, [0, MIB])
  await world.settle()
  const fault = { on: 'read', error: 'EIO', count: Infinity, range: { offset: MIB + 4096, length: 4096 } } as const
  world.primary.disks.inject('/dev/local0', fault)
  world.agent.disks.inject('/dev/dev1', { ...fault, range: { offset: 2 * MIB, length: 4096 } })
  const report = await world.run(verify(world))
  assert.deepEqual(
    report.unreadable.map(({ device, offsetBytes, side }) => [device, offsetBytes, side]),
    [
      [0, MIB, 'primary'],
      [1, 2 * MIB, 'agent'],
    ],
  )
  assert.equal(report.equalBytes, 5 * MIB)
  assert.equal(report.unreadableBytes, 2 * MIB)
})

test('[RSY-20] neighbours that cannot be read for the same reason are one line of the report', async () => {
  const world = await livePair('unreadable in a row', {}, LARGE)
  await world.settle()
  const fault = { on: 'read', error: 'EIO', count: Infinity, range: { offset: MIB, length: 2 * MIB } } as const
  world.agent.disks.inject('/dev/dev0', fault)
  world.primary.disks.inject('/dev/local1', { ...fault, range: { offset: 0, length: 3 * MIB } })
  const report = await world.run(verify(world))
  assert.deepEqual(
    report.unreadable.map(({ device, offsetBytes, lengthBytes, side }) => [device, offsetBytes, lengthBytes, side]),
    [
      [0, MIB, 2 * MIB, 'agent'],
      [1, 0, 3 * MIB, 'primary'],
    ],
  )
  assert.equal(report.unreadableBytes, 5 * MIB)
})

test('[RSY-19] what a verify reads in a second is bounded as a resync is', async () => {
  const world = await livePair('rate of a verify', {}, { deviceBytes: [16 * MIB, MIB] })
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 4 * MIB }))
  const startMs = world.clock.nowMs()
  await world.run(verify(world))
  const tookMs = world.clock.nowMs() - startMs
  assert(tookMs > 3500 && tookMs < 6000, `17 MiB took ${tookMs} ms at 4 MiB/s`)
})

test('a verify that is stopped tells what it has found, and leaves nothing behind', async () => {
  const world = await livePair('stopped', {}, { deviceBytes: [16 * MIB, MIB] })
  await world.settle()
  flip(world, 'dev0', 5)
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 2 * MIB }))
  const stop = new AbortController()
  const running = verify(world, { mark: true }, { signal: stop.signal })
  await world.advance(2000)
  await assert.rejects(verify(world), { code: 'VERIFY_BUSY' })
  const stoppedMs = world.clock.nowMs()
  stop.abort()
  const report = await world.run(running)
  assert.equal(world.clock.nowMs(), stoppedMs, 'at once')
  assert.equal(report.complete, false)
  assert.deepEqual(report.different, [{ device: 0, offsetBytes: 0, lengthBytes: MIB }])
  assert.equal(report.markedRegions, 1)
  await world.settle()
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 0 }))
  assert.equal((await world.run(verify(world))).equalBytes, 17 * MIB, 'another one may begin')
})

test('a site that does not come back ends a verify with what it has found, and with why it is not all', async () => {
  const world = await livePair('lost for good', {}, { deviceBytes: [16 * MIB, MIB] })
  await world.settle()
  flip(world, 'dev0', 5)
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 2 * MIB }))
  const running = verify(world, { mark: true, waitMs: 1000 })
  await world.advance(2000)
  world.agent.crash()
  const report = await world.run(running)
  assert.equal(report.complete, false)
  assert.notEqual(report.why, null)
  assert.deepEqual(report.different, [{ device: 0, offsetBytes: 0, lengthBytes: MIB }])
  assert.equal(report.markedRegions, 1)
})

test('[RSY-20] a dirty log that cannot be stored makes a verify that marks say so, with all the ranges that it found', async () => {
  const world = await livePair('marks cannot be stored', {}, LARGE)
  await world.settle()
  flip(world, 'dev0', 5)
  const path = world.primary.disks.paths().find((one) => one.startsWith('/state/dirty-1-')) as string
  const faults = (['write', 'sync'] as const).map((on) =>
    world.primary.disks.inject(path, { on, error: 'EIO', count: Infinity }),
  )
  const report = await world.run(verify(world, { mark: true }))
  assert.deepEqual(report.different, [{ device: 0, offsetBytes: 0, lengthBytes: MIB }])
  assert.equal(report.markedRegions, 0)
  assert.match(report.markProblem ?? '', /\/state\/dirty-1-.*EIO/)
  assert.equal(world.primary.eventsOf('verify-finished').at(-1)?.facts['differentBytes'], MIB)
  for (const fault of faults) fault.remove()
  await world.settle()
  assert.equal((await world.run(verify(world))).equalBytes, 7 * MIB, 'it is copied once that can be stored')
})

test('a verify of one device does not wait for another one of the site that does not answer', async () => {
  const world = await livePair(
    'hangs',
    {},
    { ...LARGE, agentLimits: { writeBackBytesMax: MIB, recentBytesMax: 1 }, diskLatency: { writeMs: [0, 1] } },
  )
  const { agent, primary } = world
  agent.disks.inject('/dev/dev0', { on: 'write', delayMs: 600_000, count: 4 })
  for (let at = 0; at < 12; at++)
    primary.write({ device: 0, offset: at * 256 * 1024, bytes: world.prng.bytes(256 * 1024) })
  await world.advance(1000)
  primary.write({ device: 1, offset: 0, bytes: world.prng.bytes(4096) })
  await world.advance(300)
  const fromMs = world.clock.nowMs()
  const report = await world.run(verify(world, { device: 1 }))
  assert.deepEqual([report.equalBytes, report.differentBytes], [3 * MIB, 0])
  assert(world.clock.nowMs() - fromMs < 60_000, `it took ${world.clock.nowMs() - fromMs} ms`)
})

test('a client that goes away in the middle of a verify ends it, and what it found is told and marked', async () => {
  const world = await livePair('client gone', {}, { deviceBytes: [16 * MIB, MIB] })
  flip(world, 'dev0', 5)
  await world.run(world.primary.admin.changeSlink(1, { resyncBytesPerSecond: 2 * MIB }))
  const { group, admin } = world.primary
  const wish = { slink: 1, device: null, mark: true, waitMs: 0 }
  const steps = verifySite(group, admin, wish, new AbortController().signal)
  const different = async (): Promise<number> => {
    const { value } = await steps.next()
    return 'differentBytes' in value ? value.differentBytes : 0
  }
  while ((await world.run(different())) === 0);
  await world.run(steps.return(undefined as never))
  const { level, facts } = world.primary.eventsOf('verify-finished').at(-1) ?? assert.fail('it is told')
  assert.deepEqual([level, facts['differentBytes']], ['error', MIB])
  await world.until('it is marked', () => dirtyRegions(world).length === 1)
  await world.run(admin.changeSlink(1, { resyncBytesPerSecond: 0 }))
  await world.settle()
})

test('a verify is refused by name where it cannot be: no such slink, paused, no devices, not connected', async () => {
  const world = await livePair('refused', { devices: [0] }, LARGE)
  await assert.rejects(verify(world, { slink: 9 }), { code: 'SLINK_UNKNOWN' })
  await assert.rejects(verify(world, { slink: 0 }), { code: 'SLINK_LOCAL' })
  await assert.rejects(verify(world, { device: 1 }), { code: 'VERIFY_NOTHING' })
  world.agent.crash()
  await world.until('it is noticed', () => world.primary.word() === 'disconnected')
  await assert.rejects(world.run(verify(world, { waitMs: 1000 })), { code: 'VERIFY_UNREACHABLE' })
  await world.run(world.primary.admin.changeSlink(1, { paused: true }))
  await assert.rejects(verify(world), { code: 'SLINK_PAUSED' })
})
