/**
 * Exports of a replica: the whole group stands still while one is open, and the journal goes on.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SitelinkError } from '@sitelink/daemon'
import { NbdErrno, type NbdExport, type NbdOperation, type NbdRequest } from '@sitelink/nbd'
import { seedFromEnv } from '@sitelink/storage/testing'
import { JOURNAL, World } from './support/world.js'

const MIB = 1 << 20
const seed = seedFromEnv('agent export')

/** Reads through an export as the NBD server would; the errno where it fails. */
function ask(view: NbdExport, operation: NbdOperation, offset: number, length: number): Promise<Buffer | number> {
  return new Promise((resolve) => {
    const request: NbdRequest = {
      operation,
      offset,
      length,
      fua: false,
      noHole: false,
      fastZero: false,
      payload: null,
      complete: (errno) => resolve(errno),
      completeRead: (pieces) => resolve(Buffer.concat(pieces)),
      fillRead: () => false,
      completeStatus: (extents) => resolve(extents.reduce((sum, one) => sum + one.length, 0)),
    }
    view.submit(request)
  })
}

async function pair(options: Partial<ConstructorParameters<typeof World>[0]> = {}): Promise<World> {
  const world = new World({ seed: `${seed}`, ...options })
  await world.init()
  await world.start()
  await world.connect()
  for (let i = 0; i < 10; i++) world.primary.write(1 + (i % 2), i * 4096, world.randomBytes(4096))
  world.primary.feed()
  world.primary.makeDurable()
  await world.until(() => world.agent.status().replica?.appliedLsn === 10)
  return world
}

test('[MGT-05] an export shows one point of the whole group while entries keep coming', async () => {
  const world = await pair()
  const { primary } = world
  const opened = await world.clock.runUntil(world.agent.openExport({ name: 'dev0', hold: false, force: false }), 5000)
  assert.equal(opened.point.lsn, 10)
  for (let i = 0; i < 30; i++) primary.write(1 + (i % 2), i * 4096, world.randomBytes(4096))
  primary.feed()
  primary.makeDurable()
  await world.until(() => primary.current?.acks.at(-1)?.durable[1] === 40)
  await world.clock.advance(2000)
  world.assertContent(10, 'while it is frozen')
  const bytes = await world.clock.runUntil(ask(opened.export, 'read', 0, 2 * MIB), 1000)
  assert(Buffer.isBuffer(bytes) && bytes.equals(primary.contentAt(1, 10)))
  for (const operation of ['write', 'trim', 'write-zeroes'] as const)
    assert.equal(await ask(opened.export, operation, 0, 512), NbdErrno.EPERM)
  assert.equal(await world.clock.runUntil(ask(opened.export, 'block-status', 0, MIB), 1000), MIB)
  assert.equal(world.agent.status().exports[0]?.lsn, 10)
  await world.clock.runUntil(opened.close('done'), 1000)
  assert.equal(await ask(opened.export, 'read', 0, 512), NbdErrno.ESHUTDOWN)
  await world.until(() => world.agent.status().replica?.appliedLsn === 40)
  world.assertContent(40)
  await world.stop()
})

test('an export opens once the devices have everything that may be applied, also what came a moment ago', async () => {
  const world = await pair()
  const { primary } = world
  for (let i = 0; i < 20; i++) primary.write(1 + (i % 2), i * 4096, world.randomBytes(4096))
  primary.feed()
  primary.makeDurable()
  await world.until(() => primary.current?.acks.at(-1)?.durable[1] === 30)
  assert.equal(world.agent.status().replica?.appliedLsn, 10, 'the devices do not have it yet')
  const opened = await world.clock.runUntil(world.agent.openExport({ name: 'dev0', hold: false, force: false }), 5000)
  assert.equal(opened.point.lsn, 30)
  world.assertContent(30)
  await world.clock.runUntil(opened.close('done'), 1000)
  await world.stop()
})

test('an export ends before its replica is opened anew, and what it showed was one point until then', async () => {
  const world = await pair()
  const { primary } = world
  const opened = await world.clock.runUntil(world.agent.openExport({ name: 'dev0', hold: true, force: false }), 5000)
  const fault = world.disks.inject(JOURNAL, { on: 'sync', error: 'EIO', count: 1 })
  for (let i = 0; i < 10; i++) primary.write(1, i * 4096, world.randomBytes(4096))
  primary.feed()
  await world.until(() => /journal failed/.test(world.agent.status().broken ?? ''))
  fault.remove()
  const bytes = await world.clock.runUntil(ask(opened.export, 'read', 0, 2 * MIB), 1000)
  assert(Buffer.isBuffer(bytes) && bytes.equals(primary.contentAt(1, 10)), 'nothing was applied behind it')
  await world.connect()
  assert.match(await world.clock.runUntil(opened.ended, 5000), /opened anew/)
  assert.equal(await ask(opened.export, 'read', 0, 512), NbdErrno.ESHUTDOWN)
  primary.makeDurable()
  await world.until(() => world.agent.status().replica?.appliedLsn === 20)
  await world.stop()
})

test('an export ends when the journal is nearly full, unless it is held', async () => {
  for (const hold of [false, true]) {
    const world = await pair({ journalBytes: 4 * MIB, limits: { windowBytesMax: 4 * MIB } })
    const { primary } = world
    const opened = await world.clock.runUntil(world.agent.openExport({ name: 'dev0', hold, force: false }), 5000)
    let why: string | null = null
    void opened.ended.then((reason) => (why = reason))
    for (let i = 0; i < 100; i++) primary.write(1, (i % 16) * 65536, world.randomBytes(65536))
    primary.feed()
    primary.makeDurable()
    await world.clock.advance(5000)
    if (hold) {
      assert.equal(why, null)
      assert(primary.queue.length > 0, 'the primary has to wait')
      world.assertContent(10)
      await world.clock.runUntil(opened.close('done'), 1000)
    } else {
      assert.match(why ?? '', /full/)
      assert(world.events.some(({ kind }) => kind === 'export-ended'))
    }
    await world.until(() => world.agent.status().replica?.appliedLsn === 110, 120_000)
    world.assertContent(110)
    await world.stop()
  }
})

test('an inconsistent replica is not exported without force, and an unknown device never', async () => {
  const world = await pair()
  const { primary } = world
  primary.push(primary.resyncBeginFrame(1, [0]))
  await world.until(() => world.agent.status().replica?.dirtyRegions === 1)
  const refused = async (name: string): Promise<string> => {
    const opening = world.agent.openExport({ name, hold: false, force: false })
    const error = await world.clock.runUntil(
      opening.then(
        () => null,
        (thrown: unknown) => thrown,
      ),
      5000,
    )
    assert(SitelinkError.is(error))
    return error.code
  }
  assert.equal(await refused('dev0'), 'AGENT_EXPORT_INCONSISTENT')
  assert.equal(await refused('nowhere'), 'AGENT_DEVICE_UNKNOWN')
  const opened = await world.clock.runUntil(world.agent.openExport({ name: 'dev0', hold: false, force: true }), 5000)
  assert.equal(opened.consistent, false)
  assert.equal(await refused('dev0'), 'AGENT_EXPORT_BUSY')
  await world.stop()
})

/** Asks for so many digests of a device whose every read takes so long, then for the rest of what is written. */
async function underVerify(looks: number, readMs: number): Promise<World> {
  const world = await pair({ diskMs: 0, limits: { freezeMsMax: 1000 } })
  const { primary } = world
  world.disks.inject('/dev/dev0', { on: 'read', delayMs: readMs, count: Infinity })
  // What the primary has durably is asked for by this one: the frames behind the looks may be applied as well.
  primary.write(1, 0, world.randomBytes(4096))
  primary.feed()
  for (let id = 1; id <= looks; id++)
    primary.current?.session.sendControl({ kind: 'verify', id, deviceId: 1, offset: 0, length: MIB })
  for (let i = 1; i < 10; i++) primary.write(1, MIB + i * 4096, world.randomBytes(4096))
  primary.feed()
  primary.makeDurable()
  await world.until(() => world.agent.status().replica?.appliedLsn === 11)
  assert.equal(primary.current?.acks.at(-1)?.durable[1], 20)
  return world
}

test('an export opens in the middle of a verify whose reads take long, and the verify waits for its end', async () => {
  const world = await underVerify(60, 200)
  const opened = await world.clock.runUntil(world.agent.openExport({ name: 'dev1', hold: false, force: false }), 900)
  assert.equal(opened.point.lsn, 11)
  await world.clock.advance(20_000)
  world.assertContent(11, 'while it is frozen')
  await world.clock.runUntil(opened.close('done'), 1000)
  await world.until(() => world.agent.status().replica?.appliedLsn === 20)
  await world.stop()
})

test('an export that was given up because a device is slow freezes nothing later', async () => {
  const world = await underVerify(1, 5000)
  const opening = world.agent.openExport({ name: 'dev1', hold: false, force: false })
  await assert.rejects(world.clock.runUntil(opening, 2000), { code: 'AGENT_EXPORT_STUCK' })
  await world.until(() => world.agent.status().replica?.appliedLsn === 20)
  world.assertContent(20)
  await world.stop()
})

test('an export that is forced although a device is slow stands still from its beginning', async () => {
  const world = await underVerify(1, 5000)
  const opened = await world.clock.runUntil(world.agent.openExport({ name: 'dev1', hold: false, force: true }), 2000)
  assert.equal(opened.point.lsn, 11)
  await world.clock.advance(20_000)
  world.assertContent(11, 'while it is frozen')
  await world.clock.runUntil(opened.close('done'), 1000)
  await world.until(() => world.agent.status().replica?.appliedLsn === 20)
  await world.stop()
})
