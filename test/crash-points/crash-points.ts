/**
 * Tries every crash point of a recorded scenario: every prefix of its events, and there every state that may be left.
 *
 * Owns the walk, the counting and the account of the steps that made something durable: for each of them the walk is
 * repeated as if it had not happened, and it is said whether a promise is broken then. Recovery and judgement are the
 * scenario's; recovery of the same bytes is done once.
 */
import assert from 'node:assert/strict'
import { FAULT_SECTOR_BYTES, type FaultDiskProvider, type HostEvent, type HostTrace } from '@sitelink/storage/testing'
import { BOUND, choicesOf, type Bound } from './choices.js'
import { HostStates, type Choice, type Slot } from './host-states.js'

export type Death = 'kill' | 'power-cut'

/** What was recorded, and what lies where. */
export interface Traced {
  readonly trace: HostTrace
  /** What stands before the paths of each host; default: one, and nothing. */
  readonly hosts?: readonly string[]
  /** What lies at a place of a file, in words, for the account of steps. */
  area?(path: string, offset: number): string
  /** False for files that have no part in the promises: nothing of them is lost, and their syncs do not count. */
  isVaried?(path: string): boolean
  /** Beginnings of call sites whose steps are told apart by their number: first, second ... of the trace. */
  readonly numbered?: readonly string[]
}

/** `Facts`: what is found after a recovery. `Promises`: what was promised up to a moment. */
export interface Scenario<Facts, Promises> extends Traced {
  readonly before: Promises
  /** The promises after a mark of the trace. */
  promise(before: Promises, mark: unknown): Promises
  /** Starts the real programs on these disks, one provider for each of `hosts`; must be gone when it returns. A rejection is a broken promise. */
  recover(...disks: FaultDiskProvider[]): Promise<Facts>
  /** The promise that these facts break, or null. */
  judge(facts: Facts, promises: Promises, death: Death): string | null
}

export interface Broken {
  readonly eventCount: number
  readonly death: Death
  readonly choice: Choice
  readonly problem: string
}

/** What was tried. */
export interface Tally {
  /** Pairs of a moment and a state. */
  cases: number
  /** Different states, each recovered once. */
  states: number
  readonly broken: Broken[]
}

/** A step that made something durable. */
export interface Step {
  readonly event: number
  readonly what: string
  readonly askedBy: string
  /** What is broken without it; null if nothing was noticed. */
  readonly noticed: Broken | null
}

type Found<Facts> = { readonly facts: Facts } | { readonly refused: string }

export class CrashPoints<Facts, Promises> {
  readonly #scenario: Scenario<Facts, Promises>
  readonly #bound: Bound
  readonly #found = new Map<string, Found<Facts>>()
  readonly #paths: ReadonlyMap<string, string>
  /** Promises after so many events. */
  readonly #promises: Promises[] = []

  constructor(scenario: Scenario<Facts, Promises>, bound = BOUND) {
    this.#scenario = scenario
    this.#bound = bound
    this.#paths = pathsOf(scenario.trace)
    this.#promises.push(scenario.before)
    for (const event of scenario.trace.events) {
      const before = this.#promises.at(-1) as Promises
      this.#promises.push(event.kind === 'mark' ? scenario.promise(before, event.mark) : before)
    }
  }

  /** What had been promised after so many events. */
  promisesAt(count: number): Promises {
    return this.#promises[count] as Promises
  }

  /** Every prefix, every state; stops after so many broken promises. */
  async all(brokenMax = 1): Promise<Tally> {
    const tally: Tally = { cases: 0, states: 0, broken: [] }
    const states = this.#states()
    for (;;) {
      await this.#here(states, tally, brokenMax)
      if (states.isOver || tally.broken.length >= brokenMax) break
      states.step()
    }
    tally.states = this.#found.size
    return tally
  }

  /** For each step that made something durable: whether a promise is broken without it. */
  async steps(): Promise<Step[]> {
    const steps: Step[] = []
    for (const step of stepsOf(this.#scenario)) steps.push({ ...step, noticed: await this.#without(step.event) })
    return steps
  }

  #areaOf({ file, sector }: Slot): string {
    return `${file} ${this.#scenario.area?.(this.#paths.get(file) ?? '', sector * FAULT_SECTOR_BYTES) ?? ''}`
  }

  #states(without = -1): HostStates {
    const scenario = this.#scenario
    return new HostStates(scenario.trace, without, (path) => scenario.isVaried?.(path) ?? true)
  }

  async #without(event: number): Promise<Broken | null> {
    const { trace } = this.#scenario
    const states = this.#states(event)
    while (states.count <= event) states.step()
    const tally: Tally = { cases: 0, states: 0, broken: [] }
    const end = coveredAgain(trace.events, event)
    for (;;) {
      await this.#here(states, tally, 1)
      const [broken] = tally.broken
      if (broken !== undefined) return broken
      if (states.count >= end) return null
      states.step()
    }
  }

  async #here(states: HostStates, tally: Tally, brokenMax: number): Promise<void> {
    const slots = states.slots()
    const promises = this.#promises[states.count] as Promises
    const tried = new Set<string>()
    const newest = slots.map(({ versions }) => versions.length - 1)
    for (const choice of choicesOf(slots, this.#bound, (slot) => this.#areaOf(slot))) {
      const print = states.print(slots, choice)
      if (tried.has(print)) continue
      tried.add(print)
      tally.cases++
      const found = await this.#recovered(print, states, slots, choice)
      const isNewest = choice.every((version, at) => version === newest[at])
      for (const death of isNewest ? (['power-cut', 'kill'] as const) : (['power-cut'] as const)) {
        const problem =
          'refused' in found ? `it does not open: ${found.refused}` : this.#scenario.judge(found.facts, promises, death)
        if (problem === null) continue
        tally.broken.push({ eventCount: states.count, death, choice, problem })
        if (tally.broken.length >= brokenMax) return
      }
    }
  }

  async #recovered(print: string, states: HostStates, slots: readonly Slot[], choice: Choice): Promise<Found<Facts>> {
    const known = this.#found.get(print)
    if (known !== undefined) return known
    const { hosts = [''] } = this.#scenario
    const disks = hosts.map((host) => states.afterPowerCut(slots, choice, host))
    const found = await this.#scenario.recover(...disks).then(
      (facts): Found<Facts> => ({ facts }),
      (error: Error): Found<Facts> => ({ refused: error.stack ?? error.message }),
    )
    this.#found.set(print, found)
    return found
  }
}

/** Where each file of a trace lay when it was named first. */
function pathsOf({ start, events }: HostTrace): Map<string, string> {
  const paths = new Map([...start].map(([path, { id }]) => [id, path]))
  for (const event of events) if (event.kind === 'named') paths.set(event.file.id, event.path)
  return paths
}

/** The steps of a trace that made something durable which was not. */
function stepsOf({ trace, area, isVaried, numbered = [] }: Traced): Omit<Step, 'noticed'>[] {
  const { events } = trace
  const paths = pathsOf(trace)
  /** Changes of each file that are not durable yet. */
  const open = new Map<string, { sequence: number; area: string }[]>()
  const steps: Omit<Step, 'noticed'>[] = []
  const counts = new Map<string, number>()
  const add = (event: number, what: string, askedBy: string): void => {
    const site = numbered.find((beginning) => askedBy.startsWith(beginning))
    const count = (counts.get(site ?? '') ?? 0) + 1
    counts.set(site ?? '', count)
    steps.push({ event, what, askedBy: site === undefined ? askedBy : `${site} (${count})` })
  }
  events.forEach((event, at) => {
    if (event.kind === 'change') {
      const path = paths.get(event.file) ?? ''
      const { sequence, offset } = event.change
      open.set(event.file, [...(open.get(event.file) ?? []), { sequence, area: area?.(path, offset) ?? 'data' }])
    } else if (event.kind === 'synced') {
      const changes = open.get(event.file) ?? []
      const left = changes.filter(({ sequence }) => sequence > event.sequence)
      open.set(event.file, left)
      if (left.length === changes.length) return
      if (isVaried?.(paths.get(event.file) ?? '') === false) return
      const covered = new Set(changes.filter((change) => !left.includes(change)).map((change) => change.area))
      const what = `${paths.get(event.file)}: ${[...covered].sort().join(' + ')}`
      add(at, what, event.askedBy)
    } else if (event.kind === 'named') {
      add(at, `name ${event.path}`, event.askedBy)
    } else if (event.kind === 'removed') {
      add(at, `removal of ${event.path}`, event.askedBy)
    }
  })
  return steps
}

/** How many events it takes until a later step has made durable what this one should have. */
function coveredAgain(events: readonly HostEvent[], at: number): number {
  const step = events[at]
  const later = events.findIndex((event, index) => {
    if (index <= at) return false
    if (step?.kind === 'synced')
      return event.kind === 'synced' && event.file === step.file && event.sequence >= step.sequence
    return event.kind === 'named' || event.kind === 'removed'
  })
  return later === -1 ? events.length : later
}

/** Steps by where they stand in the program: how often each was taken, and how often its loss was noticed. */
export interface Account {
  readonly site: string
  taken: number
  noticed: number
}

export function accountOf(steps: readonly Step[]): Account[] {
  const accounts = new Map<string, Account>()
  for (const { what, askedBy, noticed } of steps) {
    const site = `${what} | ${askedBy}`
    const account = accounts.get(site) ?? { site, taken: 0, noticed: 0 }
    account.taken++
    if (noticed !== null) account.noticed++
    accounts.set(site, account)
  }
  return [...accounts.values()].sort((a, b) => (a.site < b.site ? -1 : 1))
}

/**
 * Holds the account against what is known to be redundant. `explained`: a site, or its inner functions, and why the loss of all
 * that was done there is noticed by nothing. What is neither noticed nor explained fails, and so does an explanation
 * that no site needs.
 */
export function checkAccount(
  accounts: readonly Account[],
  explained: Readonly<Record<string, string>>,
  say: (line: string) => void,
): void {
  const used = new Set<string>()
  const unexplained: string[] = []
  const reasons = Object.keys(explained)
  for (const { site, taken, noticed } of accounts) {
    const place = plain(site)
    const reason =
      reasons.find((one) => place === plain(one)) ?? reasons.find((one) => place.startsWith(`${plain(one)} <`))
    say(
      `${noticed} of ${taken} noticed: ${site}${noticed > 0 || reason === undefined ? '' : ` (${explained[reason]})`}`,
    )
    if (noticed > 0) continue
    if (reason === undefined) unexplained.push(site)
    else used.add(reason)
  }
  assert.deepEqual(unexplained, [], 'steps whose loss nothing notices')
  assert.deepEqual(
    Object.keys(explained).filter((beginning) => !used.has(beginning)),
    [],
    'explanations without a use',
  )
}

/** Whether a stack names the class of a method depends on how Node was started. */
function plain(site: string): string {
  return site.replaceAll(/(?<=[ <])[A-Z]\w*\./g, '')
}

/** Says how much was tried, and fails with the first broken promise. */
export function checkTally(tally: Tally, say: (line: string) => void): void {
  say(`${tally.cases} cases, ${tally.states} different states recovered`)
  const [broken] = tally.broken
  if (broken === undefined) return
  const { eventCount, death, choice, problem } = broken
  assert.fail(`a ${death} after ${eventCount} events that leaves the versions ${choice.join('')}: ${problem}`)
}
