/**
 * Feeds a target: first all that is kept, then mutations, until an oracle breaks or the run is over.
 *
 * Owns what every target is held to besides its own oracles: nothing is thrown that the target does not expect, nothing
 * is rejected unheard, buffers stay within what the target allows, and the heap of the process does not grow with the
 * number of inputs. Everything follows from one generator. Inputs are kept in memory if they brought an answer, or with
 * {@link Coverage} a block of code, that none had brought before; they are mutated like the rest.
 */
import type { Prng } from '@sitelink/storage/testing'
import { AllocationMeter } from './allocation-meter.js'
import { readCorpus } from './corpus.js'
import type { Coverage } from './coverage.js'
import { mutateBytes } from './mutator.js'
import { Finding, type Target } from './target.js'

/** Inputs between two looks at the coverage. */
const BATCH = 32
/** Inputs that are kept in memory. */
const POOL_MAX = 4000
/** How far the memory of the process may rise over a run, in bytes: pools and caches fill, leaks go on. */
const GROWTH_BYTES_MAX = 400 * 1024 * 1024

export interface RunOptions {
  readonly target: Target
  readonly prng: Prng
  /** Asked after each input: false ends the run. */
  readonly more: (executions: number) => boolean
  readonly coverage?: Coverage
  /** Told of each input before it is fed. */
  readonly before?: (input: Buffer) => void
  /** Told of an input that reached new code. */
  readonly found?: (input: Buffer) => void
}

export interface RunResult {
  readonly executions: number
  /** How often each answer came. */
  readonly words: ReadonlyMap<string, number>
  readonly largestAllocation: number
  readonly failure: { readonly input: Buffer; readonly error: unknown } | null
}

/** Collects what is rejected or thrown where nobody listens. */
class Strays {
  readonly errors: unknown[] = []
  readonly #note = (error: unknown): void => void this.errors.push(error)

  constructor() {
    process.on('unhandledRejection', this.#note)
    process.on('uncaughtException', this.#note)
  }

  check(): void {
    const error = this.errors.shift()
    if (error === undefined) return
    this.errors.length = 0
    throw new Finding('something was thrown or rejected that nobody caught', { cause: error })
  }

  close(): void {
    process.off('unhandledRejection', this.#note)
    process.off('uncaughtException', this.#note)
  }
}

export function endOfTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Feeds one input and holds it to all that is said above; answers the target's word. */
async function feed(target: Target, input: Buffer, meter: AllocationMeter, strays: Strays): Promise<string> {
  const limit = target.allocationBytesMax(input)
  let answer: string | Promise<string>
  meter.start()
  try {
    answer = target.feed(input)
    if (typeof answer !== 'string') {
      answer = await answer
      await endOfTurn()
    }
  } finally {
    meter.stop()
  }
  strays.check()
  if (meter.bytes > limit)
    throw new Finding(`${meter.bytes} bytes of buffers were made for ${input.length} of input, at most ${limit} may be`)
  return answer
}

/** Feeds everything that is kept for a target; answers how many inputs that were. Throws at the first that fails. */
export async function replay(target: Target, inputs: readonly Buffer[]): Promise<number> {
  const meter = new AllocationMeter()
  const strays = new Strays()
  try {
    for (const input of inputs) await feed(target, input, meter, strays)
    await endOfTurn()
    strays.check()
  } finally {
    strays.close()
  }
  return inputs.length
}

/** One more input, out of those that there are. */
function nextInput(target: Target, pool: readonly Buffer[], prng: Prng): Buffer {
  const { bytesMax, tokens = [], mutate, repair } = target
  // What was kept last is tried more often: it is where the way goes on.
  const newest = Math.max(1, Math.floor(pool.length / 4))
  const from = prng.chance(0.3) ? (pool[pool.length - 1 - prng.below(newest)] as Buffer) : prng.pick(pool)
  let input = mutate !== undefined && prng.chance(0.8) ? mutate(from, prng) : from
  if (input === from || prng.chance(0.2)) input = mutateBytes(input, prng, { other: prng.pick(pool), tokens, bytesMax })
  if (repair !== undefined && prng.chance(0.7)) input = repair(input, prng)
  return input.length > bytesMax ? input.subarray(0, bytesMax) : input
}

/** Runs until `more` says no, or something fails. */
export async function fuzz(options: RunOptions): Promise<RunResult> {
  const { target, prng, more, coverage, before, found } = options
  const meter = new AllocationMeter()
  const strays = new Strays()
  const words = new Map<string, number>()
  const pool = [...target.seeds, ...readCorpus(target.name).map(({ input }) => input)]
  const firstBytes = memoryBytes()
  let executions = 0
  let largestAllocation = 0
  let input: Buffer = Buffer.alloc(0)
  const keep = (one: Buffer): void => {
    if (pool.length < POOL_MAX) pool.push(one)
    else pool[target.seeds.length + prng.below(POOL_MAX - target.seeds.length)] = one
  }
  const run = async (one: Buffer): Promise<boolean> => {
    input = one
    before?.(one)
    const word = await feed(target, one, meter, strays)
    largestAllocation = Math.max(largestAllocation, meter.largest)
    executions++
    const count = words.get(word) ?? 0
    words.set(word, count + 1)
    return count === 0
  }
  try {
    for (const one of [...pool]) await run(one)
    coverage?.fresh()
    for (let batch: Buffer[] = []; more(executions);) {
      const one = nextInput(target, pool, prng)
      if (await run(one)) keep(one)
      if (executions % 2048 === 0) await endOfTurn()
      if (executions % 4096 === 0) checkMemory(firstBytes)
      if (coverage === undefined) continue
      batch.push(one)
      if (batch.length < BATCH) continue
      const fresh = coverage.fresh()
      // Fed again one by one: who reached what is new?
      for (const each of fresh.size === 0 ? [] : batch) {
        await run(each)
        const reached = [...coverage.ran()].filter((block) => fresh.delete(block))
        if (reached.length === 0) continue
        keep(each)
        found?.(each)
      }
      batch = []
    }
    await endOfTurn()
    strays.check()
    checkMemory(firstBytes)
    return { executions, words, largestAllocation, failure: null }
  } catch (error) {
    return { executions, words, largestAllocation, failure: { input, error } }
  } finally {
    strays.close()
  }
}

function memoryBytes(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

function checkMemory(firstBytes: number): void {
  const grown = memoryBytes() - firstBytes
  if (grown > GROWTH_BYTES_MAX) throw new Finding(`the memory of the process grew by ${grown} bytes`)
}

/** What is tried, from large steps to small, to make a failing input smaller; `fails` is asked of each try. */
export async function shrink(
  input: Buffer,
  fails: (input: Buffer) => Promise<boolean>,
  triesMax = 400,
): Promise<Buffer> {
  let best = input
  let tries = 0
  for (let step = Math.max(1, best.length >> 1); step >= 1; step >>= 1) {
    for (let at = 0; at < best.length && tries < triesMax;) {
      const shorter = Buffer.concat([best.subarray(0, at), best.subarray(at + step)])
      tries++
      if (await fails(shorter)) best = shorter
      else at += step
    }
    if (step === 1) break
  }
  return best
}
