/**
 * The process in which a long run feeds its target: started by scripts/fuzz.mjs, which watches it from outside.
 *
 * Owns the coverage, and a file that always holds the input that is being fed, so that one that hangs can be saved by
 * somebody else. Says how far it is once a second; says the failing input and ends at the first failure.
 */
import { openSync, writeSync } from 'node:fs'
import { Prng } from '@sitelink/storage/testing'
import { keepInput } from './engine/corpus.js'
import { Coverage } from './engine/coverage.js'
import { fuzz, shrink } from './engine/fuzzer.js'
import { targets } from './targets.js'

const [name = '', seed = '', seconds = '60', inputFile = '', keep = ''] = process.argv.slice(2)
const REPORT_MS = 1000
/** Failing inputs up to this size are made smaller. */
const SHRINK_BYTES_MAX = 4096

const make = targets[name]
if (make === undefined) throw new Error(`there is no target ${name}`)
const target = await make()
const coverage = new Coverage()
const file = openSync(inputFile, 'w')
const length = Buffer.alloc(4)
const endMs = performance.now() + Number(seconds) * 1000
let reportMs = 0
let found = 0

function tell(executions: number): void {
  process.send?.({ kind: 'progress', executions, found, blocks: coverage.blocks })
}

const result = await fuzz({
  target,
  prng: new Prng(`${seed}/${name}`),
  coverage,
  more: (executions) => {
    const nowMs = performance.now()
    if (nowMs >= reportMs) {
      reportMs = nowMs + REPORT_MS
      tell(executions)
    }
    return nowMs < endMs
  },
  before: (input) => {
    length.writeUInt32LE(input.length)
    writeSync(file, length, 0, 4, 0)
    writeSync(file, input, 0, input.length, 4)
  },
  found: (input) => {
    found++
    if (keep === 'keep') keepInput(name, 'found', input)
  },
})
tell(result.executions)
coverage.close()
const words = [...result.words].sort((a, b) => b[1] - a[1])
if (result.failure === null) process.send?.({ kind: 'done', executions: result.executions, words })
else {
  const { input, error } = result.failure
  const sentence = (thrown: unknown): string =>
    (thrown instanceof Error ? thrown.message : String(thrown)).replace(/\d+/g, '#')
  const same = async (one: Buffer): Promise<boolean> => {
    try {
      await target.feed(one)
      return false
    } catch (thrown) {
      return sentence(thrown) === sentence(error)
    }
  }
  const small = input.length <= SHRINK_BYTES_MAX && (await same(input)) ? await shrink(input, same) : input
  const kept = keepInput(name, 'failed', small)
  const text =
    error instanceof Error ? `${error.stack}\n${error.cause instanceof Error ? error.cause.stack : ''}` : String(error)
  process.send?.({ kind: 'failed', executions: result.executions, file: kept, error: text })
}
await target.close?.()
process.disconnect?.()
