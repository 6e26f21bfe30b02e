/**
 * A journal that is lost, foreign, damaged or failing: nothing is destroyed, nothing false is applied, and there is a way on.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Agent } from '@sitelink/agent'
import { SitelinkError } from '@sitelink/daemon'
import { seedFromEnv } from '@sitelink/storage/testing'
import { JOURNAL, STATE, World } from './support/world.js'

const MIB = 1 << 20
const seed = seedFromEnv('agent damage')

async function stoppedPair(durable = 10): Promise<World> {
  const world = new World({ seed: `${seed}`, journalBytes: 4 * MIB })
  await world.init()
  await world.start()
  const session = await world.connect()
  for (let i = 0; i < 20; i++) world.primary.write(1 + (i % 2), i * 4096, world.randomBytes(4096))
  world.primary.feed()
  world.primary.makeDurable(durable)
  await world.until(() => session.acks.at(-1)?.durable[1] === 20 && session.acks.at(-1)?.applied[1] === durable)
  // Long enough for the journal to say of itself what is durable: damage below that is no torn tail.
  await world.clock.advance(1000)
  await world.crash()
  world.primary.disconnect()
  return world
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
    return 'no error'
  } catch (error) {
    assert(SitelinkError.is(error), String(error))
    assert.match(error.toJson('sitelink-agent').hint ?? '', /sitelink-agent/)
    return error.code
  }
}

function bytesOf(world: World, path: string): Buffer {
  const medium = world.disks.medium(path)
  const bytes = Buffer.alloc(medium.sizeBytes)
  medium.read(bytes, 0)
  return bytes
}

async function overwrite(world: World, path: string, offset: number, bytes: Buffer): Promise<void> {
  const disk = await world.disks.open(path)
  await disk.write([bytes], offset)
  await disk.sync()
  await disk.close()
}

test('[FMT-23] a missing, foreign or damaged journal stops the agent and is left as it is', async () => {
  const world = await stoppedPair()
  const open = (): Promise<unknown> => world.clock.runUntil(Agent.open(world.options()), 60_000)
  const good = bytesOf(world, JOURNAL)
  const rows: readonly (readonly [string, () => Promise<void>])[] = [
    [
      'AGENT_JOURNAL_DAMAGED',
      async () => {
        for (const slot of [0, 128 * 1024]) await overwrite(world, JOURNAL, slot + 100, Buffer.alloc(400, 0x5a))
      },
    ],
    ['AGENT_JOURNAL_FOREIGN', () => overwrite(world, JOURNAL, 0, Buffer.alloc(good.length))],
    [
      'AGENT_JOURNAL_FOREIGN',
      async () => {
        // The journal of another agent.
        await world.clock.runUntil(
          Agent.create({ ...world.options(), stateDir: '/other', journalPath: '/other/journal', sparse: true }),
          10_000,
        )
        await overwrite(world, JOURNAL, 0, bytesOf(world, '/other/journal'))
      },
    ],
    ['AGENT_JOURNAL_MISSING', () => world.disks.removeFile(JOURNAL)],
  ]
  for (const [code, harm] of rows) {
    await harm()
    const before = code === 'AGENT_JOURNAL_MISSING' ? null : bytesOf(world, JOURNAL)
    const replica = bytesOf(world, `${STATE}/replica.json`)
    assert.equal(await codeOf(open()), code)
    if (before !== null) assert(bytesOf(world, JOURNAL).equals(before), `${code}: the journal is as it was`)
    assert(bytesOf(world, `${STATE}/replica.json`).equals(replica), `${code}: the state is as it was`)
  }
  // Given up, everything is dirty, and a resync makes it whole.
  await world.start({ forgetJournal: true })
  assert.equal(world.agent.status().replica?.dirtyRegions, 5)
  world.primary.makeDurable()
  const session = await world.connect()
  assert.match(session.plan?.restart ?? '', /another journal/)
  await world.until(
    () => world.agent.status().replica?.consistent === true && world.agent.status().replica?.appliedLsn === 20,
  )
  world.assertContent(20)
  await world.stop()
})

test('a state file that cannot be read stops the agent and is kept', async () => {
  const world = await stoppedPair()
  await world.disks.replaceFile(`${STATE}/replica.json`, Buffer.from('{ "version": 1, '))
  const before = bytesOf(world, JOURNAL)
  assert.equal(await codeOf(world.clock.runUntil(Agent.open(world.options()), 60_000)), 'AGENT_REPLICA_DAMAGED')
  assert.equal(bytesOf(world, `${STATE}/replica.json`).toString(), '{ "version": 1, ')
  assert(bytesOf(world, JOURNAL).equals(before))
})

test('[REC-13] behind a hole in the journal nothing is applied, every region is dirty, and a resync heals it', async () => {
  const world = await stoppedPair(10)
  // An entry above the applied point, durable for long, is damaged at rest.
  const wanted = world.primary.entries[14]?.payload as Buffer
  const at = bytesOf(world, JOURNAL).indexOf(wanted)
  assert(at > 0)
  await overwrite(world, JOURNAL, at, Buffer.alloc(512, 0xee))
  await world.start()
  await world.clock.advance(2000)
  const status = world.agent.status()
  assert((status.replica?.appliedLsn ?? 0) < 15, 'nothing behind the hole')
  assert.equal(status.replica?.receivedLsn, 14, 'nor is it said to be here')
  const regions = status.mappings.reduce((sum, { regionsTotal }) => sum + regionsTotal, 0)
  assert.equal(status.replica?.dirtyRegions, regions)
  assert(
    world.events.some(({ kind, message }) => kind === 'journal-damaged' && /entries 15 to 15/.test(message)),
    'it is a hole, not a torn tail',
  )
  world.primary.makeDurable()
  const session = await world.connect()
  assert.notEqual(session.plan?.restart, null)
  await world.until(() => world.agent.status().replica?.consistent === true)
  world.assertContent(20)
  await world.stop()
})

test('a journal that fails ends the session, and the next one finds it recovered', async () => {
  const world = new World({ seed: `${seed}`, journalBytes: 4 * MIB })
  await world.init()
  await world.start()
  const session = await world.connect()
  const fault = world.disks.inject(JOURNAL, { on: 'sync', error: 'EIO', count: 1 })
  for (let i = 0; i < 20; i++) world.primary.write(1, i * 4096, world.randomBytes(4096))
  world.primary.feed()
  await world.until(() => session.end !== null)
  fault.remove()
  assert.match(world.agent.status().broken ?? '', /journal failed/)
  assert(world.events.some(({ kind }) => kind === 'journal-failed'))
  const acked = session.acks.at(-1)?.durable[1] ?? 0
  const again = await world.connect()
  assert(again.ready, again.end?.message)
  assert((again.welcome?.replica?.durable[1] ?? 0) >= acked)
  world.primary.makeDurable()
  await world.until(() => world.agent.status().replica?.appliedLsn === 20)
  world.assertContent(20)
  await world.stop()
})
