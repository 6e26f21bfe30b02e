/**
 * A storm from its first to its last round: who is on, what is said meanwhile, and what is kept when a promise breaks.
 *
 * Owns the cast for as long as it lasts, and takes it down whatever happened. Bounded by rounds or by time, whichever
 * comes first.
 */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Prng } from '@sitelink/storage/testing'
import { carriersHere, type LinkScheme, SCHEMES } from '../support/carriers.js'
import { removeFolder, temporaryFolder } from '../support/places.js'
import { Cast, problems } from './cast.js'
import { Storm } from './storm.js'
import { Trace } from './trace.js'

export interface RunOptions {
  readonly seed: string
  readonly roundsMax: number
  readonly secondsMax: number
  /** What the links go over, by turns. What is not to be had here is left out, and said. Default: whatever there is. */
  readonly over?: readonly LinkScheme[]
  /** Takes lines for people. */
  readonly say: (line: string) => void
  /** Lets the storm end before its time, in between of anything. */
  readonly signal?: AbortSignal
}

export interface RunSummary {
  readonly seed: string
  readonly seconds: number
  readonly rounds: number
  readonly faults: Readonly<Record<string, number>>
  readonly counts: Readonly<Record<string, number>>
  readonly residentMiBMax: Readonly<Record<string, number>>
  readonly without: readonly string[]
  readonly violations: number
  /** The first violation and what led to it. */
  readonly violation: string | null
  readonly trace: readonly string[]
  /** Where logs, states and devices of a storm with a violation are. */
  readonly kept: string | null
  readonly interrupted: boolean
}

const LINE_EVERY_MS = 10_000
const MIB = 1024 * 1024

export async function runStorm(options: RunOptions): Promise<RunSummary> {
  const { seed, say, signal } = options
  const folder = temporaryFolder('storm-trace')
  const trace = new Trace(join(folder, 'trace.log'))
  const able = problems()
  const without = Object.entries(able).flatMap(([what, why]) => (why === null ? [] : [`${what}: ${why}`]))
  for (const each of without) say(`without ${each}`)
  const over = carriersHere(options.over ?? SCHEMES, (line) => {
    say(line)
    without.push(line.slice('without '.length))
  })
  const order = new Prng(`${seed}/carriers`).shuffle(over)
  const interrupted = new Promise<'interrupted'>((resolve) => {
    if (signal?.aborted === true) resolve('interrupted')
    signal?.addEventListener('abort', () => resolve('interrupted'))
  })
  const cast = await Cast.start(trace, able)
  const storm = new Storm(cast, trace, new Prng(`${seed}/storm`), order)
  const lines = setInterval(() => say(lineOf(storm, trace)), LINE_EVERY_MS)
  let kept: string | null = null
  let wasInterrupted = false
  try {
    await storm.begin()
    while (trace.round < options.roundsMax && trace.seconds < options.secondsMax && !wasInterrupted) {
      wasInterrupted = (await Promise.race([storm.round(), interrupted])) === 'interrupted'
      if (!wasInterrupted) say(lineOf(storm, trace))
    }
  } catch (error) {
    if (signal?.aborted === true) wasInterrupted = true
    else if (trace.violation === null) trace.violate(error instanceof Error ? String(error.stack) : String(error))
  } finally {
    clearInterval(lines)
    if (trace.violation !== null && !wasInterrupted) kept = await keep(cast, trace, say)
    // What is under way meets closed doors from here on.
    for (const daemon of cast.daemons.values()) daemon.leave()
    await Promise.race([storm.end(), delay(5000)])
    await cast.close()
    removeFolder(folder)
  }
  return {
    ...summary(seed, storm, trace),
    without,
    kept,
    interrupted: wasInterrupted,
    ...(wasInterrupted ? { violations: 0, violation: null } : {}),
  }
}

async function keep(cast: Cast, trace: Trace, say: (line: string) => void): Promise<string | null> {
  try {
    return await cast.keep(trace)
  } catch (error) {
    say(`nothing could be kept: ${String(error)}`)
    return null
  }
}

function summary(seed: string, storm: Storm, trace: Trace): Omit<RunSummary, 'without' | 'kept' | 'interrupted'> {
  const all = Object.entries(trace.counts)
  const faults = all.flatMap(([name, count]) => (name.startsWith('fault: ') ? [[name.slice(7), count] as const] : []))
  return {
    seed,
    seconds: Math.round(trace.seconds * 10) / 10,
    rounds: trace.counted('rounds'),
    faults: Object.fromEntries(faults),
    counts: Object.fromEntries(all.filter(([name]) => !name.startsWith('fault: '))),
    residentMiBMax: Object.fromEntries(
      [...storm.sampler.residentBytes].map(([name, bytes]) => [name, Math.round(bytes / MIB)]),
    ),
    violations: trace.violation === null ? 0 : 1,
    violation: trace.violation?.message ?? null,
    trace: trace.violation === null ? [] : trace.recent(),
  }
}

/** Where the storm is, in one line. */
function lineOf({ sampler }: Storm, trace: Trace): string {
  const slinks = (sampler.primary?.slinks ?? []).map(
    ({ number, state, lagWrites, dirtyRegions }) =>
      `slink ${number} ${state}, lag ${lagWrites}${dirtyRegions > 0 ? `, ${dirtyRegions} dirty` : ''}`,
  )
  const faults = Object.entries(trace.counts).reduce(
    (sum, [name, count]) => sum + (name.startsWith('fault: ') ? count : 0),
    0,
  )
  return [
    `${trace.seconds.toFixed(0).padStart(5)} s`,
    `round ${trace.round}`,
    `${faults} faults`,
    `${trace.counted('writes')} writes`,
    `${trace.counted('entries')} entries`,
    `${trace.counted('resyncs')} resyncs`,
    ...slinks,
  ].join('  ')
}
