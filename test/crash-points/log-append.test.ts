/**
 * Appends to a ring log, over its end, in groups of one and of several entries, with and without a sync; then a crash at
 * every point, recovery, other entries, and a second crash at every point of that life too.
 */
import { test } from 'node:test'
import type { FaultDiskProvider } from '@sitelink/storage/testing'
import { accountOf, checkAccount, checkTally, CrashPoints, type Step, type Tally } from './crash-points.js'
import { LogLife, logScenario, NO_PROMISES } from './log-life.js'
import { firstCrashes } from './second-crash.js'

/** Steps whose loss no crash shows, and why. */
const REDUNDANT = {
  '/log: superblock | sync-schedule #writeAndSync':
    'it says what is durable already, so that damage that comes later is not taken for a torn tail',
  '/log: ring + superblock | sync-schedule #writeAndSync < sync-schedule #run':
    'what it covers of the ring is a checkpoint, which saves a later opening from reading and holds no entry',
  '/log: superblock | reopen reopenLog (1)':
    'only the second copy of a durable superblock is at stake here; with a tail it is noticed',
  '/log: superblock | reopen reopenLog (3)':
    'the new life is durable in one slot by then; with both slots equal, damage of one that comes later loses nothing',
}
const steps: Step[] = []

/** Of a second life, of which there are many. */
const FEW = { allMax: 16, areaMax: 16, placesMax: 4, writesMax: 2, sampleCount: 2 }
const FIRST_CRASHES = process.env['CRASH_POINTS'] === 'all' ? 500 : 18

/** Groups of entries by their payload bytes; those with `sync` are asked to be durable. */
const GROUPS: readonly { readonly lengths: readonly number[]; readonly sync?: boolean }[] = [
  { lengths: [300] },
  { lengths: [500, 40, 700] },
  { lengths: [60], sync: true },
  { lengths: [5000] },
  // Over the end of the ring.
  { lengths: [3000, 900, 2000] },
  { lengths: [1], sync: true },
  { lengths: [800] },
  { lengths: [200] },
]

/** A log whose end is a few blocks before the end of the ring. */
async function nearTheEnd(): Promise<{ life: LogLife; disks: FaultDiskProvider }> {
  const disks = await LogLife.create()
  const life = await LogLife.open(disks, 'first')
  await life.fillUp(200_000)
  await life.sync()
  life.release(life.log.lastLsn - 1)
  await life.store()
  while (life.log.writtenEnd % life.log.ringBytes < life.log.ringBytes - 20_000) {
    life.append(700)
    await life.sync()
  }
  life.release(life.log.lastLsn - 1)
  await life.store()
  await life.clock.advance(1000)
  return { life, disks }
}

const { life: first, disks: host } = await nearTheEnd()
const [lsn, position] = [first.durableLsn, first.log.lastLsn - 1]
const trace = host.startTrace()
first.trace = trace
for (const { lengths, sync } of GROUPS) {
  for (const length of lengths) first.append(length)
  if (sync === true) first.log.requestSync()
  await first.clock.settle()
}
await first.clock.advance(300)
trace.stop()
const points = new CrashPoints(
  logScenario(trace, { written: lsn, durable: lsn, position, said: position }, new Map([['first', 1]])),
)

test('[REC-01] [REC-02] what is in the file survives a kill, what is durable every subset of the unsynced sectors, and what is found is a prefix', async (t) => {
  checkTally(await points.all(), (line) => t.diagnostic(line))
  steps.push(...(await points.steps()))
})

test('what a crash cut off never comes back to life, whatever the second life wrote and however it ended', async (t) => {
  const tally: Tally = { cases: 0, states: 0, broken: [] }
  const crashes = firstCrashes(trace, FIRST_CRASHES)
  for (const { count, death, disks } of crashes) {
    const promises = points.promisesAt(count)
    const second = disks.startTrace()
    const life = await LogLife.open(disks, 'second', second)
    const found = life.log.lastLsn
    second.mark({ written: found, durable: found })
    // As long as what was cut off may have been, so that the old bytes lie where the next ones would.
    for (const length of [300, 500, 60]) {
      life.append(length)
      if (length === 60) life.log.requestSync()
      await life.clock.settle()
    }
    await life.clock.advance(300)
    second.stop()
    const lives = new Map([
      ['first', 1],
      ['second', found + 1],
    ])
    const before = { ...NO_PROMISES, ...promises, written: death === 'kill' ? promises.written : promises.durable }
    const again = new CrashPoints(logScenario(second, before, lives), FEW)
    const one = await again.all()
    tally.cases += one.cases
    tally.states += one.states
    tally.broken.push(...one.broken)
    steps.push(...(await again.steps()))
  }
  checkTally(tally, (line) => t.diagnostic(`${crashes.length} first crashes: ${line}`))
})

test('no sync of an append or of a recovery can be left out', (t) => {
  checkAccount(accountOf(steps), REDUNDANT, (line) => t.diagnostic(line))
})
