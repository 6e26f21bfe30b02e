/**
 * The tool itself: it reaches exactly the states that a simulated power cut can leave, its selection holds what it says,
 * and programs that are broken on purpose are caught.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FaultDisk, FaultDiskProvider, Prng, seedFromEnv, type HostTrace } from '@sitelink/storage/testing'
import { choicesOf } from './choices.js'
import { accountOf, checkAccount, checkTally, CrashPoints, type Scenario } from './crash-points.js'
import { HostStates } from './host-states.js'

const SECTOR = 512
const ALL = { allMax: 100_000, areaMax: 1, placesMax: 1, writesMax: 0, sampleCount: 0 }

test('the states after each event are exactly those that a power cut of the same disk can leave', async () => {
  const seed = seedFromEnv('crash-points tool')
  for (let round = 0; round < 30; round++) {
    const prng = new Prng(`${seed} ${round}`)
    const disks = new FaultDiskProvider()
    disks.addDevice('/d', 4 * SECTOR)
    const host = disks.startTrace()
    const disk = (await disks.open('/d')) as FaultDisk
    disk.startTrace()
    for (let step = 0; step < 6; step++) {
      const offset = prng.below(4 * SECTOR)
      const length = prng.between(1, Math.min(900, 4 * SECTOR - offset))
      if (prng.chance(0.25)) await disk.sync()
      else if (prng.chance(0.2)) await disk.writeZeroes(offset, length)
      else await disk.write([prng.bytes(length)], offset)
    }
    const states = new HostStates(host)
    for (;;) {
      const slots = states.slots()
      const ours = new Map<string, string>()
      for (const choice of choicesOf(slots, ALL))
        ours.set(imageOf(states.afterPowerCut(slots, choice)), states.print(slots, choice))
      assert.equal(new Set(ours.values()).size, ours.size, 'other bytes have another print')
      const units = disk.at(states.count).unsynced().length
      const theirs = new Set<string>()
      for (let bits = 0; bits < 2 ** units; bits++) {
        const keep = (_: unknown, index: number): boolean => ((bits >> index) & 1) === 1
        theirs.add(disk.at(states.count).powerCut({ kind: 'subset', keep }).peek().toString('base64'))
      }
      assert.deepEqual([...ours.keys()].sort(), [...theirs].sort(), `round ${round} after ${states.count} events`)
      assert.equal(imageOf(states.afterKill()), disk.at(states.count).peek().toString('base64'))
      if (states.isOver) break
      states.step()
    }
  }
})

function imageOf(disks: FaultDiskProvider): string {
  const bytes = Buffer.alloc(disks.medium('/d').sizeBytes)
  disks.medium('/d').read(bytes, 0)
  return bytes.toString('base64')
}

test('beyond the bound the selection has nothing, everything, each sector alone, and each end of the order', async () => {
  const disks = new FaultDiskProvider()
  disks.addDevice('/d', 64 * SECTOR)
  const trace = disks.startTrace()
  const disk = await disks.open('/d')
  for (let at = 0; at < 10; at++) await disk.write([new Prng(at).bytes(SECTOR)], at * SECTOR)
  const states = new HostStates(trace)
  while (!states.isOver) states.step()
  const bound = { allMax: 64, areaMax: 16, placesMax: 10, writesMax: 4, sampleCount: 6 }
  const found = new Set([...choicesOf(states.slots(), bound)].map((choice) => choice.join('')))
  const wanted = [
    '0000000000',
    '1111111111',
    '1000000000',
    '0000000001',
    '0111111111',
    '1111111110',
    '1111100000',
    '0000011111',
  ]
  for (const choice of wanted) assert(found.has(choice), `${choice} is tried`)
  assert(found.size < 64)
})

/**
 * A toy: a counter in two slots that are written in turn, and a name. It says a number when it is durable; `broken` leaves
 * one step out.
 */
async function toy(broken: 'nothing' | 'no sync' | 'one slot' | 'said too early'): Promise<HostTrace> {
  const disks = new FaultDiskProvider()
  disks.addDevice('/d', 8 * SECTOR)
  await disks.replaceFile('/name', Buffer.from('0'))
  const trace = disks.startTrace()
  const disk = await disks.open('/d')
  for (let value = 1; value <= 3; value++) {
    const slot = broken === 'one slot' ? 0 : value % 2
    const bytes = Buffer.alloc(2 * SECTOR, value)
    if (broken === 'said too early') trace.mark(value)
    await disk.write([bytes], slot * 2 * SECTOR)
    if (broken !== 'no sync') await disk.sync()
    trace.mark(value)
    // A second time, for nothing.
    await disk.write([bytes.subarray(0, 1)], 6 * SECTOR)
    await disk.sync()
    await disks.replaceFile('/name', Buffer.from(`${value}`))
    trace.mark(-value)
  }
  trace.stop()
  return trace
}

function toyScenario(trace: HostTrace): Scenario<{ value: number; name: number }, { value: number; name: number }> {
  return {
    trace,
    before: { value: 0, name: 0 },
    area: (_, offset) => (offset < 6 * SECTOR ? 'slots' : 'rest'),
    promise: ({ value, name }, mark) => ({
      value: Math.max(value, mark as number),
      name: Math.max(name, -(mark as number)),
    }),
    async recover(disks) {
      const disk = await disks.open('/d')
      const values = [0, 1].map(async (slot) => {
        const bytes = Buffer.alloc(2 * SECTOR)
        await disk.read(bytes, slot * 2 * SECTOR)
        return bytes.every((byte) => byte === bytes[0]) ? (bytes[0] as number) : 0
      })
      const name = Number((await disks.readFile('/name'))?.toString())
      return { value: Math.max(...(await Promise.all(values))), name }
    },
    judge: (facts, promises) => {
      if (facts.value < promises.value) return `${promises.value} was said, ${facts.value} is found`
      return facts.name < promises.name ? `the name ${promises.name} was said, ${facts.name} is found` : null
    },
  }
}

for (const broken of ['no sync', 'one slot', 'said too early'] as const) {
  test(`canary: a program with ${broken} is caught`, async () => {
    const tally = await new CrashPoints(toyScenario(await toy(broken))).all()
    assert.equal(tally.broken.length, 1)
    assert.throws(() => checkTally(tally, () => {}), /was said, \d is found/)
  })
}

test('canary: of a program that is right every step is noticed but the one that does nothing', async () => {
  const points = new CrashPoints(toyScenario(await toy('nothing')))
  checkTally(await points.all(), () => {})
  const accounts = accountOf(await points.steps())
  const counts = accounts.map(({ site, taken, noticed }) => `${site.split(' |')[0]} ${noticed}/${taken}`)
  assert.deepEqual(counts, ['/d: rest 0/3', '/d: slots 3/3', 'name /name 3/3'])
  const idle = accounts.find(({ noticed }) => noticed === 0)?.site as string
  assert.throws(() => checkAccount(accounts, {}, () => {}), /whose loss nothing notices/)
  assert.throws(() => checkAccount(accounts, { [idle]: 'idle', other: 'old' }, () => {}), /without a use/)
  checkAccount(accounts, { [idle]: 'idle' }, () => {})
})
