/**
 * Every parser that meets a stranger, fed with what is kept in the corpus and with mutations, a bounded number of them.
 *
 * FUZZ_SEED: where they come from; the same every time by default, so that a change is judged by what it changed, while
 * `pnpm fuzz` draws fresh ones. A failing input is saved in the corpus folder of its target, and the test says how to replay it;
 * `pnpm fuzz` runs longer as well, guided by coverage.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Prng } from '@sitelink/storage/testing'
import { corpusTargets, keepInput, readCorpus } from './engine/corpus.js'
import { fuzz, replay } from './engine/fuzzer.js'
import { targets } from './targets.js'

const seed = process.env['FUZZ_SEED'] ?? 'fuzz'
console.log(`fuzz: FUZZ_SEED=${seed}`)

for (const [name, make] of Object.entries(targets)) {
  test(`${name}: bad bytes get a clear answer, never a crash, a hang or memory without bound`, async (t) => {
    const target = await make()
    try {
      await replay(
        target,
        readCorpus(name).map(({ input }) => input),
      )
      const result = await fuzz({
        target,
        prng: new Prng(`${seed}/${name}`),
        more: (executions) => executions < target.iterations,
      })
      t.diagnostic(`${result.executions} inputs, ${result.words.size} different answers, FUZZ_SEED=${seed}`)
      if (result.failure === null) return
      const { input, error } = result.failure
      const file = keepInput(name, 'failed', input)
      t.diagnostic(`the input, in hex: ${input.subarray(0, 2048).toString('hex')}`)
      throw new Error(`input ${result.executions} fails; pnpm fuzz --replay ${file.slice(file.indexOf('test/'))}`, {
        cause: error,
      })
    } finally {
      await target.close?.()
    }
  })
}

test('every folder of the corpus belongs to a target', () => {
  assert.deepEqual(
    corpusTargets().filter((name) => targets[name] === undefined),
    [],
  )
})
