/**
 * Runs lives one after the other in a process of its own, as its parent asks for them.
 *
 * A life that fails in a turn that nobody awaits (an uncaught exception, a rejection that nobody hears) ends this process:
 * the parent is told which life it was and starts another worker. Owns nothing else.
 */
import { report, Simulation } from './simulation.js'

/** What the parent asks for. */
export interface Request {
  readonly seed: string
  readonly digest: boolean
}

/** How a life ended. */
export interface Outcome {
  readonly seed: string
  readonly ms: number
  readonly steps: number
  /** Simulated milliseconds. */
  readonly simulatedMs: number
  readonly entries: number
  readonly digest: string
  /** Events of all hosts by kind. */
  readonly events: Readonly<Record<string, number>>
  /** Null if every promise was kept. */
  readonly failure: { readonly checker: string; readonly report: string } | null
}

export async function live(seed: string, digest = false): Promise<Outcome> {
  const startedMs = performance.now()
  const simulation = new Simulation(seed, digest)
  current = simulation
  let failure: Outcome['failure'] = null
  try {
    await simulation.run()
  } catch (error) {
    failure = failed(simulation, error)
  }
  return outcome(simulation, performance.now() - startedMs, failure)
}

let current: Simulation | null = null

function failed(simulation: Simulation, error: unknown): Outcome['failure'] {
  const checker = error instanceof Error && 'checker' in error ? String(error.checker) : 'fault'
  return { checker, report: report(simulation, error) }
}

function outcome(simulation: Simulation, ms: number, failure: Outcome['failure']): Outcome {
  const { world, trace, seed, steps, nowMs } = simulation
  const events: Record<string, number> = {}
  for (const { kind } of [...world.primary.events, ...world.agents.flatMap((agent) => agent.events)])
    events[kind] = (events[kind] ?? 0) + 1
  return {
    seed,
    ms,
    steps,
    simulatedMs: nowMs,
    entries: world.primary.history.lastLsn,
    digest: trace.digest(),
    events,
    failure,
  }
}

if (process.send !== undefined) {
  const send = (message: Outcome, sent = (): void => {}): void => void process.send?.(message, undefined, {}, sent)
  const uncaught = (error: unknown): void => {
    if (current === null) throw error
    send(outcome(current, 0, failed(current, error)), () => process.exit(1))
  }
  process.on('uncaughtException', uncaught)
  process.on('unhandledRejection', uncaught)
  process.on('message', ({ seed, digest }: Request) => {
    void live(seed, digest).then((done) => send(done))
  })
  process.on('disconnect', () => process.exit(0))
}
