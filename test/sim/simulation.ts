/**
 * One simulated life of a primary and its sites, from one seed: what happens is drawn step by step, and checkers that know
 * nothing of how the programs work look at every step.
 *
 * Owns the order of a step: an action, the supervisor (who starts again what ended by itself), the checkers. It knows
 * which faults are in force, so that a checker knows what may be expected; it judges nothing itself.
 */
import { AssertionError } from 'node:assert/strict'
import { Prng } from '@sitelink/storage/testing'
import type { AgentHost } from '../pair/agent-host.js'
import { PRIMARY, type Ticket } from '../pair/primary-host.js'
import { MIB, World } from '../pair/world.js'
import { drawAction } from './actions/all.js'
import { CHECKERS } from './checkers/all.js'
import type { Checker } from './checkers/checker.js'
import { Cast, type Site } from './cast.js'
import { drawScenario, type Scenario } from './scenario.js'
import { Trace } from './trace.js'
import { demand, Violation } from './violation.js'

/** Everything is in order so long after the last fault, at the latest. */
export const HEAL_MS_MAX = 90_000

const PAYLOADS = new Prng('payloads').bytes(4 * MIB)

export class Simulation {
  readonly scenario: Scenario
  readonly world: World
  readonly cast: Cast
  readonly prng: Prng
  readonly trace = new Trace()
  readonly #checkers: readonly Checker[]
  #steps = 0
  /** When the present step began; what happens while everything heals is not held against a step. */
  #stepMs = Number.POSITIVE_INFINITY
  /** Last moment at which a disk of the primary was made to fail. */
  primaryFaultMs = Number.NEGATIVE_INFINITY
  /** Last moment at which a policy, a suspension or a stop entitled the primary to keep or fail its writers. */
  mayHoldMs = Number.NEGATIVE_INFINITY
  mayFailMs = Number.NEGATIVE_INFINITY
  /** Bits of the log that rotted: reads of what is lost fail until it is overwritten. */
  logRots = 0
  suspended = false

  /** `digest`: take what the disks hold at the end into the digest as well. */
  constructor(
    readonly seed: string,
    readonly digest = false,
  ) {
    const draw = new World({ seed }).prng.fork('draw')
    this.scenario = drawScenario(seed, draw)
    this.world = new World(this.scenario.world)
    this.prng = draw.fork('life')
    this.cast = new Cast(this)
    this.#checkers = CHECKERS.map((make) => make(this))
  }

  get nowMs(): number {
    return this.world.clock.nowMs()
  }

  get steps(): number {
    return this.#steps
  }

  /** Bytes to write: a piece of one random buffer, which costs nothing and differs from every other piece. */
  payload(bytes: number): Buffer {
    const at = this.prng.below(PAYLOADS.length - bytes)
    return PAYLOADS.subarray(at, at + bytes)
  }

  say(text: string): void {
    this.trace.say(this.nowMs, text)
  }

  /** The whole life. Rejects with a {@link Violation}, or with whatever else went wrong. */
  async run(): Promise<void> {
    const { world, scenario, prng } = this
    this.#listen()
    this.say(`families: ${[...scenario.families].join(', ')}; ${JSON.stringify(scenario.sites)}`)
    await world.start()
    await this.cast.begin()
    const healAt = prng.chance(0.4) ? Math.floor(scenario.steps / 2) : -1
    for (let step = 0; step < scenario.steps; step++) {
      await this.step()
      if (step === healAt) await this.heal()
    }
    await this.heal()
    await this.#end()
  }

  async step(): Promise<void> {
    this.#steps++
    this.#stepMs = this.nowMs
    const action = drawAction(this)
    this.say(`${action.name}${this.#standing()}`)
    const told = await action.run(this)
    if (typeof told === 'string') this.say(`  ${told}`)
    await this.supervise()
    await this.#look()
  }

  /** No more faults: everything converges, everybody is answered, and all sides are equal. */
  async heal(): Promise<void> {
    const { world, cast } = this
    this.#stepMs = Number.POSITIVE_INFINITY
    this.say(`heal${this.#standing()}`)
    await cast.healEverything()
    const { primary } = world
    await this.#until('everybody is answered', () => primary.open.size === 0)
    // Write-back may find only now what rotted in the log; what is lost counts until it is written anew.
    await this.#until(
      'nothing waits for a device',
      () => primary.running && primary.group.writeBack.intervalCount === 0,
    )
    for (const site of cast.present)
      await this.#until(
        `slink ${site.slink} is settled`,
        () => primary.running && (primary.word(site.slink) === 'idle' || world.isSettled(site.slink)),
      )
    for (const checker of this.#checkers) await checker.healed?.()
    await this.#look()
  }

  /** Starts again what ended by itself, as whoever supervises the programs does. */
  async supervise(): Promise<void> {
    const { world, cast } = this
    const { primary } = world
    if (primary.running && primary.group.failure !== null) {
      this.say(`the group failed: ${primary.group.failure}`)
      this.#expectFault('the group failed', this.primaryFaultMs)
      await cast.primaryDies(this.prng.chance(0.5) ? 'stop' : 'crash')
      await cast.primaryStarts()
    }
    for (const site of cast.sites) {
      const { agent } = site
      // The program ends by itself when its journal has failed.
      if (!agent.running || !agent.journalFailed) continue
      this.say(`the journal of ${agent.name} failed`)
      this.#expectFault(`the journal of ${agent.name} failed`, site.faultMs)
      await cast.agentDies(site, this.prng.chance(0.5) ? 'stop' : 'crash')
      await cast.agentStarts(site)
    }
  }

  /** A failure without a cause is a violation. It happened in the present step, which may have lasted. */
  #expectFault(what: string, faultMs: number): void {
    demand(
      'causes',
      Math.min(this.nowMs, this.#stepMs) - faultMs < 60_000,
      () => `${what}, and no disk was made to fail`,
    )
  }

  /** The devices of an agent with its journal laid over, when it is open again: `hole` if the journal has one. */
  agentOpened(site: Site, replay: Awaited<ReturnType<AgentHost['replayed']>>): void {
    for (const checker of this.#checkers) checker.agentOpened?.(site, replay)
  }

  primaryOpened(): void {
    for (const checker of this.#checkers) checker.primaryOpened?.()
  }

  async #look(): Promise<void> {
    const { cast, suspended } = this
    if (suspended || !this.world.primary.running || cast.present.some(({ overflow }) => overflow === 'stall'))
      this.mayHoldMs = this.nowMs
    if (cast.present.some(({ overflow }) => overflow === 'fail')) this.mayFailMs = this.nowMs
    for (const checker of this.#checkers) await checker.stepped?.()
  }

  async #until(what: string, condition: () => boolean): Promise<void> {
    const { clock } = this.world
    const startMs = this.nowMs
    await clock.settle()
    while (!condition()) {
      demand('convergence', this.nowMs < startMs + HEAL_MS_MAX, () => `not within ${HEAL_MS_MAX} ms: ${what}`)
      await clock.advance(5)
      await this.supervise()
      await this.cast.primaryStarts()
      await this.cast.restoreLost()
    }
  }

  /** Hears of every event and every answer. */
  #listen(): void {
    const { world, trace } = this
    const answered = world.primary.onAnswer
    world.primary.onAnswer = (ticket: Ticket) => {
      trace.note(`${this.nowMs} ${ticket.kind} ${ticket.lsn} ${ticket.errno}\n`)
      try {
        answered?.(ticket)
      } catch (error) {
        // The world holds every agent to what the answer promises of it.
        throw error instanceof AssertionError ? new Violation('kept', error.message) : error
      }
      for (const checker of this.#checkers) checker.answered?.(ticket)
    }
    world.primary.onEvent = ({ kind, message }) => trace.say(this.nowMs, `    ${PRIMARY}: ${kind}: ${message}`)
    world.primary.onOpen = () => this.primaryOpened()
    for (const agent of world.agents)
      agent.onEvent = ({ kind, message }) => trace.say(this.nowMs, `    ${agent.name}: ${kind}: ${message}`)
  }

  #standing(): string {
    const { primary } = this.world
    if (!primary.running) return ' (the primary is down)'
    const words = [...primary.group.slinks.keys()].map((number) => `${number} ${primary.word(number)}`)
    return ` (LSN ${primary.history.lastLsn}; ${words.join(', ')})`
  }

  /** The digest takes in what all disks hold, if that is wanted: it costs as much as the life. */
  async #end(): Promise<void> {
    const { world, trace } = this
    for (const host of this.digest ? [world.primary, ...world.agents] : [])
      for (const path of host.disks.paths())
        for (const { offset, bytes } of host.disks.medium(path).visible().present()) {
          trace.note(`${path} ${offset}`)
          trace.note(bytes)
        }
    this.say(`the end after ${this.#steps} steps`)
  }
}

/** What a failed life tells: the sentence, and how everybody stood. */
export function report(simulation: Simulation, error: unknown): string {
  const name = error instanceof Violation ? '' : 'a fault: '
  const text =
    error instanceof Error
      ? error instanceof Violation
        ? error.message
        : (error.stack ?? error.message)
      : String(error)
  return [
    `life ${simulation.seed} failed: ${name}${text}`,
    ...simulation.trace.last(60),
    simulation.world.describe(),
  ].join('\n')
}
