/**
 * A site that is away: what is written meanwhile is marked, the site loses its place, the log gives the space back. At every
 * crash point the regions that the site misses are dirty as the next process opens its dirty logs, or their entries are
 * still in the log behind the site's place.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LOG_FILE } from '../pair/primary-host.js'
import { MIB, World } from '../pair/world.js'
import { SMALL_BOUND } from './choices.js'
import { accountOf, checkAccount, checkTally, CrashPoints, type Scenario } from './crash-points.js'
import { areaOfPrimary, markAnswers, mostlyZeros, NUMBERED, reopenPrimary } from './primary-life.js'

const KIB = 1024
const LOG_BYTES = 2 * MIB
const DEVICE_BYTES = [6 * MIB, 3 * MIB]

/** Steps whose loss no crash shows, and why. */
const REDUNDANT = {
  '/state/dirty-1-0000000000000001: header | dirty-log-store DirtyLogStore.write':
    'it says that the bitmap is complete up to a later entry; an opening that does not know marks more, never less',
}

interface Promises {
  readonly written: number
  readonly durable: number
}

interface Facts {
  readonly lastLsn: number
  /** Entries up to here need not be sent from the log; null: the site has no place there. */
  readonly place: number | null
  /** As `device id:region`. */
  readonly dirty: ReadonlySet<string>
}

const world = new World({ seed: 'dirty mark', deviceBytes: DEVICE_BYTES, logBytes: LOG_BYTES })
await world.start()
const { primary, prng } = world
// With so many lives a superblock has several sectors that change, and can be torn.
for (let life = 0; life < 8; life++) await world.restartPrimary('stop')
await world.addSite({ devices: [0], dirtyLog: { type: 'disk', path: null } })
await world.map(1, 1, { dirtyLog: { type: 'core' } })
await world.until('the slink is live', () => primary.word() === 'live')
await world.answered(primary.write({ device: 0, offset: 0, bytes: prng.bytes(512) }))
await world.settle()
await world.run(world.agent.stop())
/** What the site has: it is gone for good, and everything of it is durable. */
const siteLsn = primary.history.lastLsn
await world.advance(3000)

const trace = primary.disks.startTrace()
markAnswers(world, trace)
const write = async (device: number, region: number, bytes = 1536, fua = false): Promise<void> => {
  const offset = region * MIB + 4096 * prng.below(8)
  assert.equal(await world.answered(primary.write({ device, offset, bytes: mostlyZeros(prng, bytes), fua })), 0)
}
await write(0, 0)
await write(0, 2)
await write(1, 0, 600, true)
await world.advance(1500)
void primary.slink().overflow.drop('the log is short of space')
// While the marks of what the log holds are being stored, more is written.
await write(0, 3)
await write(1, 1)
await world.until('the slink is behind', () => primary.slink().standing.kind === 'behind')
await write(0, 4, 60 * KIB)
await world.answered(primary.flush())
await world.advance(1500)
await write(0, 5)
await write(1, 2, 60 * KIB)
await world.advance(1500)
await write(0, 1)
await world.answered(primary.flush())
await world.advance(2500)
trace.stop()

const points = new CrashPoints(scenario(), SMALL_BOUND)

function scenario(): Scenario<Facts, Promises> {
  const { history } = primary
  return {
    trace,
    before: { ...primary.promised, written: 0, durable: 0 },
    area: areaOfPrimary,
    // write-back.test.ts loses sectors of devices.
    isVaried: (path) => !path.startsWith('/dev/'),
    numbered: NUMBERED,
    promise: (_, mark) => mark as Promises,
    async recover(disks) {
      const { primary: next, clock } = await reopenPrimary(disks, history, LOG_BYTES)
      const { standing, mappings } = next.slink()
      const { log } = next.group
      const dirty = new Set<string>()
      for (const { deviceId, dirty: found } of mappings)
        for (const { first, count } of found.bitmap.runs())
          for (let region = first; region < first + count; region++) dirty.add(`${deviceId}:${region}`)
      const point = standing.kind === 'behind' ? null : standing.place.point.lsn
      const isThere = point !== null && (await clock.runUntil(log.locate(point))) !== null
      const facts = { lastLsn: log.lastLsn, place: isThere ? point : null, dirty }
      next.crash('none')
      return facts
    },
    judge: ({ lastLsn, place, dirty }, promises, death) => {
      const wanted = death === 'kill' ? promises.written : promises.durable
      if (lastLsn < wanted) return `LSN ${wanted} was promised, the log ends at ${lastLsn}`
      for (let lsn = siteLsn + 1; lsn <= lastLsn; lsn++) {
        const { deviceId, offset, length } = history.entry(lsn)
        if (place !== null && lsn > place) continue
        for (let region = Math.floor(offset / MIB); region * MIB < offset + length; region++)
          if (!dirty.has(`${deviceId}:${region}`))
            return `nothing brings LSN ${lsn} to the site: its place is ${place}, dirty are ${[...dirty].join()}`
      }
      return null
    },
  }
}

test('[DLG-03] at every crash point the dirty logs, or the log behind the place of a site, cover everything that it misses', async (t) => {
  assert(trace.start.has(LOG_FILE))
  checkTally(await points.all(), (line) => t.diagnostic(line))
})

test('no sync of a dirty log or of a superblock can be left out on the way of a mark', async (t) => {
  checkAccount(accountOf(await points.steps()), REDUNDANT, (line) => t.diagnostic(line))
})
