/**
 * A ring log that is full, gives space back, and writes over it, again and again: at every crash point the log opens, the
 * owner's position never falls behind what was promised, and nothing above that position was written over.
 */
import { test } from 'node:test'
import { SimClock } from '@sitelink/storage/testing'
import { accountOf, checkAccount, checkTally, CrashPoints } from './crash-points.js'
import { LogLife, logScenario, NO_PROMISES, type LogFacts, type LogPromises } from './log-life.js'

const PIECE = 20_000
const LIVES = new Map([['first', 1]])

/** A log that is exactly full, and from there on traced: three times a step is freed and written over. */
async function swaps(): Promise<CrashPoints<LogFacts, LogPromises>> {
  const clock = new SimClock()
  const disks = await LogLife.create(clock, { writeMs: [1, 1], syncMs: [4, 4] })
  const life = await LogLife.open(disks, 'first', null, clock)
  await life.fillUp(PIECE)
  await life.sync()
  await life.clock.advance(1000)
  const lsn = life.durableLsn
  const trace = disks.startTrace()
  life.trace = trace
  let released = 0
  for (let round = 0; round < 3; round++) {
    // What is freed is durable, so that the superblock that frees it is synced for its own sake.
    await life.sync()
    released += 5
    life.release(released)
    // The first writes wait in the wings: each is made in the very moment in which it has room.
    for (let ms = 0; ms < 15; ms++) {
      await life.clock.advance(1)
      if (life.log.hasRoom(1, PIECE)) life.append(PIECE)
    }
    if (round === 1) await life.store()
    await life.clock.advance(5)
    await life.fill(PIECE)
  }
  await life.clock.advance(1000)
  trace.stop()
  return new CrashPoints(logScenario(trace, { ...NO_PROMISES, written: lsn, durable: lsn }, LIVES))
}

const points = await swaps()

test('however a superblock is torn, the log opens, no promised position is lost, and no entry above one is written over', async (t) => {
  checkTally(await points.all(), (line) => t.diagnostic(line))
})

test('no sync of a superblock can be left out before freed space is written over', async (t) => {
  checkAccount(accountOf(await points.steps()), {}, (line) => t.diagnostic(line))
})
