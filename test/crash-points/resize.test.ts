/**
 * A ring log that is full and wrapped grows, is written over its new end, and shrinks again while entries lie behind the
 * new one: at every crash point it opens with one size or the other and with every entry that was promised.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SimClock } from '@sitelink/storage/testing'
import { accountOf, checkAccount, checkTally, CrashPoints } from './crash-points.js'
import { LOG_BYTES, LogLife, logScenario, NO_PROMISES, type LogFacts, type LogPromises } from './log-life.js'

const PIECE = 20_000
const MORE_BYTES = 96 * 1024

/** Steps whose loss no crash shows, and why. */
const REDUNDANT = {
  '/log: ring + superblock | resize #sync < resize #fill':
    'zeros are for the space; an old group tells by its position and its life that it is none of this ring',
}

async function resized(): Promise<CrashPoints<LogFacts, LogPromises>> {
  const clock = new SimClock()
  const disks = await LogLife.create(clock, { writeMs: [1, 1], syncMs: [4, 4] })
  const life = await LogLife.open(disks, 'first', null, clock)
  const resize = async (sizeBytes: number): Promise<void> => {
    const outcome = await clock.runUntil(life.log.resize({ sizeBytes, hold: () => () => undefined }))
    assert.equal(outcome.left, null)
  }
  const filled = async (): Promise<number> => {
    await life.fillUp(PIECE)
    await life.sync()
    await clock.advance(1000)
    return life.durableLsn
  }
  // Half is given up and written again, so that what is needed wraps.
  const position = Math.floor((await filled()) / 2)
  life.release(position)
  await life.store()
  await clock.advance(1000)
  const lsn = await filled()
  const trace = disks.startTrace()
  life.trace = trace
  await resize(LOG_BYTES + MORE_BYTES)
  assert.ok(life.log.status().pieces > 1, 'what is needed wrapped')
  await life.fill(PIECE)
  await life.sync()
  assert.ok(life.log.lastLsn > lsn, 'there was more room')
  // All but what lies in the new space, and a little around it.
  life.release(life.log.lastLsn - 6)
  await life.store()
  await resize(LOG_BYTES)
  for (let count = 0; count < 4; count++) {
    life.append(PIECE)
    await clock.settle()
  }
  await life.sync()
  await clock.advance(1000)
  trace.stop()
  const before = { ...NO_PROMISES, written: lsn, durable: lsn, position, said: position }
  return new CrashPoints(logScenario(trace, before, new Map([['first', 1]])))
}

const points = await resized()

test('[REC-17] a crash at any point of a resize leaves a log of one size or the other with every promised entry', async (t) => {
  checkTally(await points.all(), (line) => t.diagnostic(line))
})

test('no sync of a resize can be left out', async (t) => {
  checkAccount(accountOf(await points.steps()), REDUNDANT, (line) => t.diagnostic(line))
})
