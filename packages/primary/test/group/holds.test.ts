/**
 * Held answers, against a plain model: each request waits for what its set of sites said at its time, and no answer
 * overtakes an older one of its kind.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng, seedFromEnv } from '@sitelink/storage/testing'
import { Holds, type HoldingSite } from '../../src/group/holds.js'

interface Site extends HoldingSite {
  holds: boolean
  receivedLsn: number
  durableLsn: number
}

const site = (number: number, sync: boolean, level: 'received' | 'durable'): Site => ({
  number,
  holds: true,
  sync,
  level,
  receivedLsn: 0,
  durableLsn: 0,
})

interface Request {
  readonly lsn: number
  readonly kind: 'plain' | 'fua' | 'flush'
  readonly sites: readonly Site[]
  errno: number | null
  complete(errno: 0 | 5): void
}

function request(lsn: number, kind: Request['kind'], sites: readonly Site[], then: () => void = () => {}): Request {
  return {
    lsn,
    kind,
    sites,
    errno: null,
    complete(errno) {
      assert.equal(this.errno, null, 'answered once')
      this.errno = errno
      then()
    },
  }
}

/** May it be answered? Said as the promises say it, request by request. */
function due({ lsn, kind, sites }: Request, log: { writtenLsn: number; durableLsn: number }): boolean {
  const holding = sites.filter((one) => one.holds)
  const plain =
    lsn <= log.writtenLsn &&
    holding.every(
      (one) => lsn <= (one.level === 'received' ? one.receivedLsn : Math.min(one.durableLsn, log.durableLsn)),
    )
  const flush = lsn <= log.durableLsn && holding.every((one) => !one.sync || lsn <= one.durableLsn)
  return kind === 'plain' ? plain : kind === 'flush' ? flush : plain && flush
}

test('[WR-11] every answer is given exactly when log and the sites of its own time allow it, also when answers bring new requests', () => {
  const seed = seedFromEnv('holds')
  for (let run = 0; run < 300; run += 1) {
    const prng = new Prng(`${seed}/${run}`)
    const say = `SEED=${seed} run ${run}`
    const all = [site(1, true, 'received'), site(2, true, 'durable'), site(3, false, 'received')]
    const log = { writtenLsn: 0, durableLsn: 0 }
    const holds = new Holds()
    const made: Request[] = []
    let sites: readonly Site[] = []
    let lsn = 0
    let depth = 0
    const change = (): void => {
      sites = all.filter(() => prng.chance(0.5))
      holds.setSites(sites)
    }
    const ask = (): void => {
      const kind = prng.pick(['plain', 'plain', 'fua', 'flush'] as const)
      if (kind !== 'flush') lsn += 1
      // An answer may make its client write more, and that may change who is waited for and release others, at once.
      const one = request(lsn, kind, sites, () => {
        if (depth > 3 || !prng.chance(0.4)) return
        depth += 1
        for (let count = prng.between(1, 4); count > 0; count -= 1) prng.pick([change, ask, () => holds.release(log)])()
        depth -= 1
      })
      made.push(one)
      if (kind === 'flush') holds.flush(lsn, one)
      else holds.write(lsn, kind === 'fua', one)
    }
    for (let step = 0; step < 120; step += 1) {
      if (prng.chance(0.5)) ask()
      if (prng.chance(0.1)) change()
      if (prng.chance(0.4)) log.writtenLsn = prng.between(log.writtenLsn, lsn)
      if (prng.chance(0.2)) log.durableLsn = prng.between(log.durableLsn, log.writtenLsn)
      for (const one of all) {
        if (prng.chance(0.3)) one.receivedLsn = prng.between(one.receivedLsn, lsn)
        if (prng.chance(0.3)) one.durableLsn = prng.between(one.durableLsn, one.receivedLsn)
        if (prng.chance(0.03)) one.holds = !one.holds
      }
      if (prng.chance(0.03)) {
        const lost = prng.pick(all)
        const failed = made.filter((one) => one.errno === null && one.sites.includes(lost))
        depth = 9
        holds.fail(lost)
        depth = 0
        for (const one of failed) assert.equal(one.errno, 5, `${say}: what waits for a failed site fails`)
      }
      const waiting = made.filter((one) => one.errno === null)
      const oldest = prng.pick(all)
      const waitsFor = waiting.filter((one) => one.sites.includes(oldest) && (one.kind !== 'flush' || oldest.sync))
      assert.equal(
        holds.oldestHeldBy(oldest),
        Math.min(Infinity, ...waitsFor.map((one) => one.lsn)),
        `${say}: the oldest that waits for a site`,
      )
      holds.release(log)
      holds.release(log)
      for (const one of made) {
        assert.equal(
          one.errno === 0 || one.errno === 5,
          one.errno === 5 || (one.errno === 0 ? true : due(one, log)),
          `${say} step ${step}: ${one.kind} ${one.lsn} is not held without need`,
        )
      }
      for (const one of waiting)
        if (one.errno === 0)
          assert.ok(due(one, log), `${say} step ${step}: ${one.kind} ${one.lsn} is not answered early`)
      assert.equal(
        holds.size,
        made.filter((one) => one.errno === null).length,
        `${say} step ${step}: nothing is forgotten`,
      )
    }
  }
})

test('[WR-05] [WR-01] answers go out in the order of the log, none before its entry is in the log', () => {
  const holds = new Holds()
  const answers: number[] = []
  for (let lsn = 1; lsn <= 10_000; lsn += 1) holds.write(lsn, false, { complete: () => answers.push(lsn) })
  holds.release({ writtenLsn: 0, durableLsn: 0 })
  assert.deepEqual(answers, [])
  holds.release({ writtenLsn: 5000, durableLsn: 0 })
  assert.equal(answers.length, 5000)
  holds.release({ writtenLsn: 10_000, durableLsn: 0 })
  assert.deepEqual(
    answers,
    Array.from({ length: 10_000 }, (_, index) => index + 1),
  )
})

test('a flush that an answer brings is answered with it, also where the answer changed who is waited for', () => {
  const far = site(2, false, 'received')
  const holds = new Holds()
  const flush = request(1, 'flush', [far])
  holds.write(1, false, {
    complete: () => {
      holds.setSites([far])
      holds.flush(1, flush)
    },
  })
  holds.release({ writtenLsn: 1, durableLsn: 1 })
  assert.equal(flush.errno, 0)
})

test('[WR-19] a writer who waits only for a site that does not hold any more is answered', () => {
  const gone = site(1, true, 'received')
  const holds = new Holds()
  holds.setSites([gone])
  const one = request(1, 'plain', [gone])
  holds.write(1, false, one)
  holds.setSites([])
  holds.release({ writtenLsn: 1, durableLsn: 1 })
  assert.equal(one.errno, null, 'it waits for the site it was built with')
  gone.holds = false
  holds.release({ writtenLsn: 1, durableLsn: 1 })
  assert.equal(one.errno, 0)
})

test('[FLU-02] a flush waits for synchronous sites durably whatever their level, and for no asynchronous one', () => {
  const near = site(1, true, 'received')
  const far = site(2, false, 'received')
  const holds = new Holds()
  holds.setSites([near, far])
  const flush = request(5, 'flush', [near, far])
  holds.flush(5, flush)
  near.receivedLsn = 5
  holds.release({ writtenLsn: 5, durableLsn: 5 })
  assert.equal(flush.errno, null)
  near.durableLsn = 5
  holds.release({ writtenLsn: 5, durableLsn: 5 })
  assert.equal(flush.errno, 0)
})
