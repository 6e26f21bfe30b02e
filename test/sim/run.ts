/**
 * Runs many lives in several processes and adds up what came of them.
 *
 * Owns the workers: each gets the next seed when it is done with one, one that dies is replaced, one that does not answer
 * in time is ended and its life counts as failed. Seeds are `<seed>/<number>`, so that any of them can be lived again.
 */
import { fork, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Outcome } from './worker.js'

export interface RunOptions {
  readonly seed: string
  readonly count: number
  /** Number of the first. Default 0. */
  readonly from?: number
  readonly jobs: number
  /** Stop after so many failures. Default 1. */
  readonly failuresMax?: number
  /** Digests take in what the disks hold at the end. Default false. */
  readonly digest?: boolean
  /** No further life begins once this says so. */
  readonly enough?: (outcome: Outcome) => boolean
  /** For the processes: more environment. */
  readonly env?: Readonly<Record<string, string>>
  readonly onOutcome?: (outcome: Outcome, done: number) => void
}

export interface RunResult {
  readonly lives: number
  readonly steps: number
  readonly simulatedMs: number
  readonly entries: number
  readonly events: Readonly<Record<string, number>>
  readonly failures: readonly Outcome[]
}

/** A life takes less than a second; one that takes this long of real time stands still without passing simulated time. */
const LIFE_MS_MAX = 120_000

/**
 * Lives move many large buffers: what is freed stays with the process (glibc), and the heap neither starts small nor is
 * collected by more threads than there are cores for. Half as much time for a life; nothing else depends on it.
 */
const KEEP_MEMORY = {
  MALLOC_MMAP_THRESHOLD_: '1073741824',
  MALLOC_TRIM_THRESHOLD_: '4294967296',
  MALLOC_TOP_PAD_: '67108864',
}
const HEAP_FLAGS = ['--single-threaded-gc', '--min-semi-space-size=16', '--initial-old-space-size=2000']

const WORKER = fileURLToPath(new URL('worker.js', import.meta.url))

export async function runLives(options: RunOptions): Promise<RunResult> {
  const { seed, count, from = 0, jobs, failuresMax = 1, digest = false, enough, env = {}, onOutcome } = options
  const events: Record<string, number> = {}
  const failures: Outcome[] = []
  const total = { lives: 0, steps: 0, simulatedMs: 0, entries: 0 }
  let next = from
  let done = false
  const take = (): string | null =>
    !done && next < from + count && failures.length < failuresMax ? `${seed}/${next++}` : null
  const add = (outcome: Outcome): void => {
    total.lives++
    total.steps += outcome.steps
    total.simulatedMs += outcome.simulatedMs
    total.entries += outcome.entries
    for (const [kind, times] of Object.entries(outcome.events)) events[kind] = (events[kind] ?? 0) + times
    if (outcome.failure !== null) failures.push(outcome)
    if (enough?.(outcome) === true) done = true
    onOutcome?.(outcome, total.lives)
  }
  await Promise.all(Array.from({ length: Math.max(1, Math.min(jobs, count)) }, () => work(take, add, { digest, env })))
  return { ...total, events, failures }
}

interface How {
  readonly digest: boolean
  readonly env: Readonly<Record<string, string>>
}

async function work(take: () => string | null, add: (outcome: Outcome) => void, { digest, env }: How): Promise<void> {
  let worker: ChildProcess | null = null
  try {
    for (let seed = take(); seed !== null; seed = take()) {
      worker ??= fork(WORKER, [], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        execArgv: ['--enable-source-maps', ...HEAP_FLAGS],
        env: { ...process.env, ...KEEP_MEMORY, ...env },
      })
      const outcome: Outcome = await ask(worker, seed, digest)
      add(outcome)
      if (outcome.failure !== null) {
        // What a life that failed left behind must not reach into the next one.
        worker.kill('SIGKILL')
        worker = null
      }
    }
  } finally {
    worker?.disconnect()
  }
}

function ask(worker: ChildProcess, seed: string, digest: boolean): Promise<Outcome> {
  return new Promise((resolve) => {
    const lost = (why: string): Outcome => ({
      seed,
      ms: 0,
      steps: 0,
      simulatedMs: 0,
      entries: 0,
      digest: '',
      events: {},
      failure: { checker: 'fault', report: `life ${seed} failed: ${why}` },
    })
    const end = (outcome: Outcome): void => {
      clearTimeout(timer)
      worker.off('message', end)
      worker.off('exit', onExit)
      resolve(outcome)
    }
    const onExit = (code: number | null, signal: string | null): void =>
      end(lost(`its process ended (${signal ?? code})`))
    const timer = setTimeout(() => end(lost(`it did not end within ${LIFE_MS_MAX} ms`)), LIFE_MS_MAX)
    worker.on('message', end)
    worker.on('exit', onExit)
    worker.send({ seed, digest })
  })
}
