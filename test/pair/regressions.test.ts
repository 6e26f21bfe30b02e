/** Situations in which a pair once came to a halt, or once said what was not so. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { groupStatus } from '@sitelink/primary'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import { JOURNAL_FILE, REPLICA_STATE_FILE, type AgentHost } from './agent-host.js'
import { dirtyLogPath, livePair, round, writeAt } from './pairs.js'
import { LOG_FILE } from './primary-host.js'
import { MIB, World, type SiteWish } from './world.js'

const SLOW = { diskLatency: { readMs: [0, 2], writeMs: [0, 4], syncMs: [0, 20] }, link: { latencyMs: 5 } } as const

async function pair(seed: string, site: SiteWish = {}): Promise<World> {
  const world = new World({ seed, ...SLOW })
  await world.start()
  await world.addSite(site)
  await world.until('the slink is live', () => world.primary.word() === 'live')
  return world
}

const write = (world: World, offset: number) => world.primary.write({ offset, bytes: world.prng.bytes(4096) })

test('a site that comes back to an idle group is live again, and applies the last entry', async () => {
  const world = await pair('idle')
  for (let round = 0; round < 4; round++) {
    write(world, round * 8192)
    await world.advance(round * 7)
    world.cut()
    await world.settle(1, 20_000)
  }
})

test('a device that is unmapped and mapped again is clean at both sides after its copy', async () => {
  const world = await pair('map again')
  for (let round = 0; round < 3; round++) {
    await world.run(world.primary.admin.unmap(0, 1))
    await world.answered(write(world, round * 4096))
    await world.map(0, 1, { initial: 'sync' })
    await world.settle(1, 20_000)
  }
})

test('a site whose only device is mapped again keeps its journal: what moved while it had none was not for it', async () => {
  for (const restart of [false, true]) {
    const world = await pair(`map the only one again ${restart}`, { devices: [0], mode: 'sync', ack: 'durable' })
    for (let at = 0; at < 8; at++) write(world, at * 4096)
    await world.settle(1, 20_000)
    const { lastLsn } = world.primary.history
    await world.run(world.primary.admin.unmap(0, 1))
    await world.run(world.primary.admin.changeSlink(1, { paused: true }))
    await world.answered(write(world, 0))
    await world.advance(1000)
    await world.map(0, 1, { initial: 'sync' })
    if (restart) await world.restartPrimary('crash')
    await world.run(world.primary.admin.changeSlink(1, { paused: false }))
    await world.settle(1, 20_000)
    const kinds = [...world.agent.events, ...world.primary.events].map(({ kind }) => kind)
    assert(!kinds.includes('started-over') && !kinds.includes('slink-all-dirty'), kinds.join())
    assert(lastLsn >= 8)
  }
})

test('a session that begins at the very point of the place sends nothing twice and is not refused', async () => {
  const world = await pair('point', { mode: 'sync', ack: 'durable' })
  for (let round = 0; round < 6; round++) {
    for (let at = 0; at < 5; at++) write(world, at * 4096)
    await world.advance(round * 9 + 3)
    world.cut()
  }
  await world.settle(1, 20_000)
  assert.equal(world.agent.events.filter(({ message }) => /is due/.test(message)).length, 0)
})

test('a link that is cut at any moment of a map leaves a device that is copied all the same', async () => {
  const world = await pair('cut map', { devices: [1] })
  await world.answered(write(world, 0))
  for (let afterMs = 0; afterMs < 60; afterMs += 6) {
    await world.map(0, 1, { initial: 'sync' })
    await world.advance(100 + afterMs)
    world.cut()
    await world.settle(1, 20_000)
    await world.run(world.primary.admin.unmap(0, 1))
  }
})

test('[REC-03] a restarted primary keeps what a site needs, also while its dirty logs are slow to open', async () => {
  const world = await pair('slow dirty logs')
  await world.settle(1, 20_000)
  world.agent.crash()
  const tickets = Array.from({ length: 24 }, (_, at) =>
    world.primary.write({ offset: at * 65_536, bytes: world.prng.bytes(65_536) }),
  )
  for (const ticket of tickets) assert.equal(await world.answered(ticket), 0)
  world.primary.crash('all')
  const path = world.primary.disks.paths().find((one) => one.startsWith('/state/dirty-1-')) as string
  const slow = world.primary.disks.inject(path, { on: 'read', delayMs: 3000, count: Infinity })
  await world.run(world.primary.start())
  slow.remove()
  const { pin } = world.primary.slink()
  assert.ok(pin !== null && world.primary.group.log.tail <= pin, 'nothing that the site needs is released')
  await world.startAgent()
  await world.settle(1, 20_000)
  assert.equal(world.primary.slink().resyncs.count, 0, 'it is replayed from the log, nothing is copied')
})

test('what is written while a device is mapped with nosync reaches the site', async () => {
  const world = new World({
    seed: 'nosync under writes',
    diskLatency: { readMs: [0, 1], writeMs: [1, 6], syncMs: [1, 10] },
  })
  await world.start()
  await world.addSite({ mode: 'async', devices: [1] })
  await world.settle(1, 20_000)
  for (const overflowed of [false, true]) {
    if (overflowed) {
      world.agent.crash()
      await world.run(world.primary.admin.changeSlink(1, { overflow: 'drop' }))
      void world.primary.slink().overflow.drop('ring')
      await world.until('it is dropped', () => world.primary.slink().standing.kind === 'behind')
    }
    const mapped = world.beginMap(0, 1, { initial: 'nosync' })
    let done = false
    void mapped.then(() => (done = true))
    for (let at = 0; !done; at++) {
      world.primary.write({ offset: (at * 4096) % MIB, bytes: world.prng.bytes(4096) })
      await world.advance(1)
    }
    await mapped
    if (overflowed) await world.startAgent()
    await world.settle(1, 20_000)
    world.checkEqual(1)
    await world.run(world.primary.admin.unmap(0, 1))
  }
})

test('a primary that dies at any moment of a map copies the device all the same, also with a dirty log in memory', async () => {
  const world = new World({ seed: 'core map', diskLatency: { readMs: [0, 1], writeMs: [1, 6], syncMs: [1, 10] } })
  await world.start()
  await world.addSite({ mode: 'async', devices: [1] })
  await world.settle(1, 20_000)
  let mapped = 0
  for (let afterMs = 0; afterMs < 100; afterMs += 4) {
    world.primary.write({ offset: 4096 * (afterMs % 128), bytes: world.prng.bytes(4096) })
    await world.advance(50)
    void world.beginMap(0, 1, { initial: 'sync', dirtyLog: { type: 'core' } }).catch(() => {})
    await world.advance(afterMs)
    await world.restartPrimary('power-cut')
    await world.settle(1, 20_000)
    if (world.primary.slink().mappings.get(1) === undefined) continue
    mapped++
    world.checkEqual(1)
    await world.run(world.primary.admin.unmap(0, 1))
    await world.settle(1, 20_000)
  }
  assert.ok(mapped > 5 && mapped < 25, `it died before and after the map: ${mapped} of 25 were mapped`)
})

test('a first session that breaks at once costs no full copy: the agent has never acknowledged anything', async () => {
  for (let afterMs = 0; afterMs < 40; afterMs += 2) {
    const world = new World({ seed: `first session ${afterMs}`, link: { latencyMs: 3 } })
    await world.start()
    for (let at = 0; at < 6; at++)
      await world.answered(world.primary.write({ device: 1, offset: at * 4096, bytes: world.prng.bytes(4096) }))
    await world.addSite({ mode: 'async', devices: [0], initial: 'nosync' })
    await world.advance(afterMs)
    world.cut()
    const restart = afterMs % 4 === 0
    if (restart) await world.restartPrimary('crash')
    await world.settle(1, 20_000)
    assert.equal(world.primary.slink().copiedBytes, 0, `cut after ${afterMs} ms${restart ? ', restarted' : ''}`)
  }
})

test('a full resync whose marks cannot be stored is told so, and goes on as soon as they can', async () => {
  const world = await pair('resync refused', { devices: [1] })
  await world.settle(1, 20_000)
  const { primary } = world
  primary.disks.inject(dirtyLogPath(world, 2), { on: 'write', error: 'EIO' })
  await assert.rejects(world.run(primary.admin.resync(1, true)), /medium failed/)
  assert(primary.slink().mappings.dirtyRegions > 0)
  await world.settle(1, 20_000)
  assert(world.primary.slink().copiedBytes > 0)
})

test('[OVF-05] a dirty log that cannot be stored concerns its slink alone: the group starts, and says so', async () => {
  const world = new World({ seed: 'foreign dirty log' })
  world.primary.disks.addDevice('/dev/marks', 4 * MIB)
  await world.start()
  await world.addSite({ mode: 'async', devices: [1] })
  await world.map(0, 1, { initial: 'sync', dirtyLog: { type: 'disk', path: '/dev/marks' } })
  await world.settle(1, 20_000)
  world.agent.crash()
  void world.primary.slink().overflow.drop('ring')
  await world.until('it is dropped', () => world.primary.slink().standing.kind === 'behind')
  for (const held of [true, false]) {
    await world.run(world.primary.group.log.writeSuperblock())
    world.primary.crash('all')
    // Another process has the device.
    const other = held ? await world.primary.disks.open('/dev/marks', { exclusive: true }) : null
    await world.run(world.primary.start())
    assert.equal(await world.answered(world.primary.write({ offset: 0, bytes: world.prng.bytes(4096) }), 1000), 0)
    const mapping = world.primary.slink().mappings.get(1)
    assert.equal(mapping?.dirtyCount, held ? 2 : 1, 'while nothing is known of it, all of it is dirty')
    assert.deepEqual(world.primary.eventsOf('dirty-log-failed').length, 1, 'while it is held, and not once it is free')
    await other?.close()
  }
  await world.startAgent()
  await world.settle(1, 20_000)
})

test('[RSY-18] a superblock calls a site behind until the site has the announcement of its resync durably', async () => {
  const world = await pair('announcement')
  await world.answered(write(world, 0))
  world.agent.crash()
  void world.primary.slink().overflow.drop('ring')
  await world.until('it is dropped', () => world.primary.slink().standing.kind === 'behind')
  await world.answered(write(world, 8192))
  await world.startAgent()
  // What the agent receives it cannot make durable for a while.
  const journal = world.agent.disks.paths().find((one) => one.endsWith('/journal')) as string
  const slow = world.agent.disks.inject(journal, { on: 'sync', delayMs: 400, count: Infinity })
  await world.until('frames of the resync have arrived', () => (world.agent.status().replica?.dirtyRegions ?? 0) > 0)
  await world.advance(100)
  assert.equal(world.primary.slink().record().behind, true)
  slow.remove()
  await world.settle(1, 20_000)
  assert.equal(world.primary.slink().record().behind, false)
})

test('a site that loses its last device while it is being dropped is dropped all the same, and gets the next one', async () => {
  const world = await livePair('last device', { devices: [0] }, { logBytes: 2 * MIB })
  const { primary } = world
  world.silence()
  await writeAt(world, 0, [0])
  // The first attempt to store its marks fails; before the next one the log has let go of what it pinned.
  const fault = primary.disks.inject(dirtyLogPath(world, 1), { on: 'write', error: 'EIO' })
  void primary.slink().overflow.drop('the log is short of space')
  await world.until('the marks could not be stored', () => fault.hits > 0)
  await world.run(primary.admin.unmap(0, 1))
  await writeAt(world, 0, round(20))
  await world.advance(500)
  await world.map(0, 1, { initial: 'sync' })
  await world.until('it is behind', () => primary.word() === 'behind')
  world.silence(world.agent, false)
  await world.settle()
})

/** The state file cannot be replaced, `count` times, once a session has been agreed upon. */
function fullFromTheNextSessionOn(agent: AgentHost, count: number): void {
  agent.onEvent = ({ kind }) => {
    if (kind !== 'session-established') return
    agent.onEvent = null
    agent.disks.injectProviderFault({ on: 'replaceFile', path: REPLICA_STATE_FILE, code: 'DISK_FULL', count })
  }
}

test('an agent that could not write down a mapping is not held for inconsistent once that mapping is gone', async () => {
  const world = await livePair('mapping full', { devices: [0] })
  const { primary, agent } = world
  fullFromTheNextSessionOn(agent, 100)
  await world.map(1, 1, { initial: 'sync' })
  await world.until('the primary heard why', () =>
    primary.events.some(({ message }) => message.includes('no space is left')),
  )
  await world.run(primary.admin.unmap(1, 1))
  agent.disks.clearFaults()
  await world.settle()
  assert.equal(agent.status().replica?.dirtyRegions, 0)
})

test('an unmap that could not be written down at the agent is written down as soon as that works', async () => {
  const world = await livePair('unmap full')
  const { primary, agent } = world
  await world.settle()
  fullFromTheNextSessionOn(agent, 3)
  await world.run(primary.admin.unmap(1, 1))
  await world.until('it is written down', () => agent.status().mappings.length === 1)
  await writeAt(world, 0, round(4))
  await world.settle()
  await world.restartAgent('crash')
  assert.equal(agent.status().mappings.length, 1)
  await world.settle()
})

test('a map that the failure of the log overtakes is refused, and does not wait for ever', async () => {
  const world = await livePair('map and fail', { devices: [0] }, { diskLatency: { writeMs: [2, 2], syncMs: [5, 5] } })
  const { primary } = world
  primary.disks.inject(LOG_FILE, { on: 'write', error: 'EIO' })
  primary.write({ offset: 0, bytes: world.prng.bytes(4096) })
  await assert.rejects(world.map(1, 1, { initial: 'sync' }), /log|failed/)
  assert.notEqual(primary.group.failure, null)
})

test('an agent whose journal was cut reports no lag once it has applied what is left', async () => {
  const world = await livePair('cut lag')
  await writeAt(world, 0, round(3))
  await world.settle()
  // In the log file and received there, and not durable here.
  world.primary.write({ offset: 0, bytes: world.prng.bytes(4096) })
  await world.until('it is received', () => (world.agent.status().replica?.receivedLsn ?? 0) > 3)
  world.primary.powerCut({ kind: 'lose-all' })
  await world.startPrimary()
  assert.equal(world.primary.history.lastLsn, 3, 'the power cut took it')
  await world.settle()
  await world.advance(5000)
  assert.equal(world.agent.events.filter(({ kind }) => kind === 'journal-cut').length, 1)
  assert.equal(world.agent.status().replica?.lagBytes, 0)
})

test('what rots in the journal between its receipt and its application is reported, and never applied', async () => {
  const seed = seedFromEnv('rot')
  const prng = new Prng(seed)
  let damaged = 0
  for (let round = 0; round < 20; round++) {
    // Little memory for what is on its way to the devices: most of it is read from the journal again.
    const world = await livePair(
      `rot ${seed} ${round}`,
      {},
      { agentLimits: { writeBackBytesMax: MIB, recentBytesMax: 1 }, diskLatency: { writeMs: [0, 40] } },
    )
    const { agent } = world
    for (const offset of Array.from({ length: 24 }, (_, at) => (at % 8) * 256 * 1024))
      world.primary.write({ device: 1, offset, bytes: world.prng.bytes(256 * 1024) })
    await world.advance(prng.between(20, 200))
    const used = [...agent.disks.medium(JOURNAL_FILE).visible().present()].filter(({ offset }) => offset >= 256 * 1024)
    for (let flips = 0; flips < 3 && used.length > 0; flips++) {
      const { offset, bytes } = prng.pick(used)
      agent.disks.medium(JOURNAL_FILE).flipBit(offset + prng.below(bytes.length), prng.below(8))
    }
    await world.settle()
    if (agent.events.some(({ kind }) => kind === 'journal-damaged')) damaged++
  }
  assert.ok(damaged > 0, 'some of it was noticed by this way')
})

test('an agent that could not write down that it is clean says so all the same, and writes it down later', async () => {
  const world = new World({ seed: 'clean later' })
  await world.start()
  const { primary, agent } = world
  await world.addSite({ devices: [0], initial: 'sync' })
  await world.until('the resync has begun', () => agent.status().replica?.dirtyRegions === 2)
  const path = agent.disks.paths().find((one) => one.startsWith('/state/dirty-')) as string
  const fault = agent.disks.inject(path, { on: 'write', error: 'ENOSPC', count: 3 })
  await world.settle()
  await world.until('it was tried again', () => fault.hits === 3)
  await world.advance(3000)
  await world.restartAgent('power-cut')
  assert.equal(agent.status().replica?.dirtyRegions, 0, 'it is written down')
  await world.settle()
  assert.equal(primary.slink().copiedBytes, 2 * MIB, 'nothing was copied twice')
})

test('an entry that rots in the log before it is on its device is lost in the open, and what was written over it stays', async () => {
  const world = await livePair('rot before redo')
  const { primary } = world
  const fault = primary.disks.inject('/dev/local0', { on: 'write', error: 'EIO', count: Number.POSITIVE_INFINITY })
  await writeAt(world, 0, [0], 65_536)
  await writeAt(world, 0, [32_768], 16_384)
  const [rotten, over] = primary.history.entries(1, 2)
  // After a restart the bytes are in the log alone; the rot comes when the log has been opened and found whole.
  await world.restartPrimary('crash')
  const medium = primary.disks.medium(LOG_FILE)
  const log = Buffer.alloc(medium.sizeBytes)
  medium.read(log, 0)
  medium.flipBit(log.indexOf(rotten?.payload as Buffer) + 100, 3)
  fault.remove()
  await world.until('it is noticed', () => primary.eventsOf('log-hole').length > 0)
  const read = async (offset: number, length: number): Promise<Buffer | number> => {
    const { ticket, request } = primary.readTicket(0, offset, length)
    return (await world.answered(ticket)) === 0 ? (request.bytes as Buffer) : (ticket.errno as number)
  }
  assert.equal(await read(0, 4096), 5, 'what is lost fails')
  assert.deepEqual(await read(32_768, 16_384), over?.payload, 'what was written over it is read')
  await world.until('nothing waits for the device', () => groupStatus(primary.group).local.lagBytes === 0)
  await world.restartPrimary('power-cut')
  assert.equal(await read(0, 4096), 5, 'also after a restart')
  await writeAt(world, 0, [0, 49_152], 32_768)
  await world.settle()
  await world.checkLocal()
})

test('a mapping whose map frame a power cut took, and whose row it left, gets what is sent to it', async () => {
  const seed = seedFromEnv('map and cut')
  const prng = new Prng(seed)
  for (let round = 0; round < 40; round++) {
    const world = await livePair(`map and cut ${seed} ${round}`, { devices: [0] }, SLOW)
    await writeAt(world, 0, [0])
    await world.settle()
    const old = world.agent.status().mappings[0]?.mappingId
    await world.run(world.primary.admin.unmap(0, 1))
    await writeAt(world, 0, [65_536])
    await world.map(0, 1, { initial: 'sync' })
    // The state file is durable at once; what the journal has not synced yet is lost.
    const isNew = (): boolean => world.agent.status().mappings.some(({ mappingId }) => mappingId !== old)
    while (!isNew()) await world.advance(1)
    await world.advance(prng.between(0, 10))
    world.agent.powerCut({ kind: 'lose-all' })
    await world.startAgent()
    await world.settle()
  }
})
