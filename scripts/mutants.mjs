/**
 * The mutation run: `pnpm mutants`, `pnpm mutants --only 'dirty log' --jobs 1`, `pnpm mutants --share 1/3`; `--share 3`
 * takes one of three shares, another one for every commit.
 *
 * Owns the words of the command line. Each mutant of test/mutants is one bug on purpose; this says which test kills it,
 * and fails unless all are killed. It builds what is stale, and changes what was compiled in memory, never on the disk.
 */
import { defaultSeed } from './lib/workspace.mjs'
import { ensureBuilt } from './lib/built.mjs'

const words = process.argv.slice(2)
const options = { only: [], jobs: 2, share: [1, 1], seed: process.env.SEED ?? '00000001' }
for (let word = words.shift(); word !== undefined; word = words.shift()) {
  if (word === '--only') options.only.push(words.shift() ?? '')
  else if (word === '--jobs') options.jobs = Number(words.shift())
  else if (word === '--share') options.share = (words.shift() ?? '').split('/').map(Number)
  else if (word !== '--') throw new Error(`unknown word: ${word}`)
}

await ensureBuilt()
const { checkKillers, runMutants } = await import('./lib/mutation-run.mjs')
const { MUTANTS } = await import('../test/dist/mutants/table.js')
const [part, parts] = options.share.length === 2 ? options.share : shareOfCommit(options.share[0])
const chosen = MUTANTS.filter(
  ({ bug, file }, at) =>
    at % parts === part - 1 &&
    (options.only.length === 0 || options.only.some((word) => bug.includes(word) || file.includes(word))),
)
const steps = chosen.filter(({ step }) => step).length
console.log(
  `${chosen.length} of ${MUTANTS.length} mutants, ${steps} of them without one durability step; seed ${options.seed}, commit ${defaultSeed()}`,
)

const startedMs = performance.now()
const costs = await checkKillers(chosen, options)
const counts = costs === null ? { killed: 0, all: chosen.length } : await runMutants(chosen, { ...options, costs })
const percent = counts.all === 0 ? 0 : Math.floor((100 * counts.killed) / counts.all)
const seconds = ((performance.now() - startedMs) / 1000).toFixed(0)
console.log(`kill rate ${counts.killed} of ${counts.all} (${percent} %), ${seconds} s`)
process.exitCode = counts.all > 0 && counts.killed === counts.all ? 0 : 1

function shareOfCommit(parts) {
  return [(Number.parseInt(defaultSeed(), 16) % parts) + 1, parts]
}
