/**
 * Rounds of weather over real processes: a primary and two agents, everything broken that can be, then quiet and judgement.
 *
 * A round: writers and fio write; both links change over to another carrier; lanes of faults, drawn from the seed before the round began, run side by side; each
 * death is judged while it lasts. Then everything is mended, and within a bounded time all sites have to be in step, equal,
 * idle, and as their status says. The schedule follows from the seed; what real processes make of it does not.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Prng } from '@sitelink/storage/testing'
import type { LinkScheme } from '../support/carriers.js'
import { slinkOf } from '../support/status-shape.js'
import { waitFor } from '../support/wait-for.js'
import { type Cast, siteOf } from './cast.js'
import { Crew } from './crew.js'
import { Fio } from './fio.js'
import { carriersOf } from './itinerary.js'
import { Lanes } from './lanes.js'
import { LogJudge } from './log-judge.js'
import { Operator } from './operator.js'
import { drawRound } from './plan.js'
import { Sampler } from './sampler.js'
import { SiteJudge } from './site-judge.js'
import { agentUnrest, unrest } from './status-judge.js'
import { type Trace, Violation } from './trace.js'

/** After everything is mended, all is in step within this; far beyond what a slow machine needs. */
const REST_MS_MAX = 120_000
/** No round takes longer: somebody waits for ever. */
const ROUND_MS_MAX = 300_000
/** Before the first write is judged, everything is mended and has settled, and the first writes are made. */
const FIRST_WRITES_MS = 300

/** By what the rounds of a link over a carrier are counted, once each is judged. */
export function overName(scheme: LinkScheme): string {
  return `rounds of a link over ${scheme}`
}

export class Storm {
  readonly sampler: Sampler
  readonly judge: SiteJudge
  readonly #logs: LogJudge
  readonly #operator: Operator
  readonly #fio: Fio | null

  constructor(
    private readonly cast: Cast,
    private readonly trace: Trace,
    private readonly prng: Prng,
    /** What the links go over, in the order of {@link carriersOf}. */
    private readonly order: readonly LinkScheme[] = ['tcp'],
  ) {
    this.sampler = new Sampler(cast, trace)
    this.judge = new SiteJudge(cast, trace)
    this.#logs = new LogJudge(cast.logFolder)
    this.#operator = new Operator(cast, trace, this.judge, this.sampler)
    this.#fio = cast.fio === null ? null : new Fio(cast.fio, cast.cluster, trace)
  }

  async begin(): Promise<void> {
    await this.#rest()
    this.sampler.start()
  }

  /** One round. Throws at the first violation, whoever finds it. */
  async round(): Promise<void> {
    const { trace } = this
    trace.round++
    const late = new AbortController()
    const tooLate = delay(ROUND_MS_MAX, null, { signal: late.signal }).then(() =>
      trace.fail(`the round takes longer than ${ROUND_MS_MAX / 1000} s`),
    )
    tooLate.catch(() => {})
    const round = this.#round()
    round.catch((error: unknown) => {
      if (!(error instanceof Violation)) trace.violate(error instanceof Error ? `${error.stack}` : String(error))
    })
    const violated = trace.violated.then((violation) => {
      throw violation
    })
    try {
      await Promise.race([round, violated, tooLate])
    } finally {
      late.abort()
    }
    if (trace.violation !== null) throw trace.violation
    trace.count('rounds')
  }

  async end(): Promise<void> {
    // A round that failed has left it writing.
    await this.#fio?.end()
    await this.sampler.stop()
  }

  async #round(): Promise<void> {
    const { cast, trace } = this
    const prng = this.prng.fork(`round ${trace.round}`)
    const plan = drawRound(prng.fork('plan'), cast.abilities)
    trace.say(`${plan.lanes.flat().length} steps in ${plan.lanes.length} lanes, load ${JSON.stringify(plan.load)}`)
    this.judge.strict = await this.#isStrict()
    const crew = new Crew(cast, trace, prng.fork('writers'), plan.load)
    const lanes = new Lanes(cast, trace, crew, this.judge, this.#operator)
    cast.daemon('primary').revive = () => lanes.revivePrimary()
    await crew.begin()
    this.#fio?.begin(prng.fork('fio').between(1, 1_000_000), plan.load.fioBytesPerSecond)
    await delay(FIRST_WRITES_MS)
    await this.#carry()
    await lanes.run(plan.lanes)
    await this.#mend()
    await this.#fio?.end()
    await crew.end()
    trace.say('everything is mended')
    await this.#rest()
    await this.#fio?.verify(prng.fork('fio quiet').between(1, 1_000_000))
    await this.#rest()
    await this.judge.quiet()
    this.#readLogs()
    for (const scheme of carriersOf(this.order, trace.round)) trace.count(overName(scheme))
    trace.say('quiet: all sides are equal')
  }

  /** Both links change over to what they go over in this round, while everybody writes. */
  async #carry(): Promise<void> {
    const changes = carriersOf(this.order, this.trace.round).map(async (scheme, at) => {
      await this.cast.carry(at + 1, scheme)
      this.trace.say(`slink ${at + 1} goes over ${scheme}`)
    })
    await Promise.all(changes)
  }

  /** Who should run runs, what the operator left half done is done. */
  async #mend(): Promise<void> {
    for (const daemon of this.cast.daemons.values()) {
      daemon.freeDisk()
      // Whoever was brought back by his supervisor is back.
      await daemon.exclusive(async () => {
        if (!daemon.runs) await daemon.revive()
      })
    }
    await this.#operator.settle({ stalling: this.trace.round % 2 === 0 })
  }

  /** Resolves when every status says that nothing is left to do. */
  async #rest(): Promise<void> {
    const { cluster } = this.cast
    let left: string[] = ['nobody has answered']
    const atRest = waitFor(
      'rest',
      async () => {
        const status = await cluster.status()
        left = unrest(status)
        for (const agent of cluster.agents) {
          const found = agentUnrest(await agent.status(), Number(status.log.lastLsn))
          left.push(...found.map((each) => `${siteOf(agent.slink)}: ${each}`))
        }
        return left.length === 0
      },
      { timeoutMs: REST_MS_MAX, intervalMs: 50 },
    )
    await atRest.catch((error: unknown) =>
      this.trace.fail(`no rest after ${REST_MS_MAX / 1000} s: ${left.join('; ')}\n${String(error)}`),
    )
  }

  /** Whether from now on nothing acknowledged may be missing at the synchronous site. */
  async #isStrict(): Promise<boolean> {
    const slink = slinkOf(await this.cast.cluster.status(), 1) as { protected: boolean | null; overflow?: string }
    return slink.protected === true && slink.overflow === 'stall'
  }

  #readLogs(): void {
    const found = this.#logs.look()
    if (found.length > 0) this.trace.fail(`a daemon speaks of a bug:\n  ${found.slice(0, 10).join('\n  ')}`)
  }
}
