/**
 * Everything that CI checks, in one command, cheapest first: `npx -y pnpm@10.34.9 verify`.
 *
 * Owns the order of the steps and stops at the first that fails. Each step is a verb of package.json that can be run
 * alone. The last line is the count of tests.
 */
import { ensureInstalled } from './lib/install.mjs'
import { environment, run } from './lib/workspace.mjs'
import { runTests } from './test.mjs'

const steps = [
  ['install', () => ensureInstalled()],
  ['tidy', () => run(process.execPath, ['scripts/tidy.mjs'], { quiet: true })],
  ['lint', () => run('oxlint', ['--deny-warnings'], { quiet: true })],
  ['format', () => run('oxfmt', ['--check', 'packages', 'test', 'scripts', 'bench'], { quiet: true })],
  ['spec-coverage', () => run(process.execPath, ['scripts/spec-coverage.mjs', '--check'], { quiet: true })],
  ['build', () => run('tsc', ['-b'], { quiet: true, env: environment })],
]

const MUTANTS_SEED = '00000001'

async function main() {
  for (const [name, step] of steps) {
    const startedMs = performance.now()
    const { status, output } = await step()
    console.log(`${status === 0 ? 'ok  ' : 'FAIL'} ${name.padEnd(14)} ${seconds(startedMs)}`)
    if (status !== 0) {
      console.log(output)
      return 1
    }
  }
  const startedMs = performance.now()
  const counts = await runTests([])
  console.log(`${counts.failed === 0 ? 'ok  ' : 'FAIL'} ${'test'.padEnd(14)} ${seconds(startedMs)}`)
  if (counts.failed > 0) {
    console.log(counts.line)
    return 1
  }
  // Who notices bugs is asked last: a third of the bugs, another one for every commit. The count of tests stays the last line.
  const mutantsMs = performance.now()
  const mutants = await run(process.execPath, ['scripts/mutants.mjs', '--share', '3'], {
    quiet: true,
    // Always the same seed: that a bug is noticed must not hang on the luck of a commit.
    env: { ...environment, SEED: MUTANTS_SEED },
  })
  console.log(`${mutants.status === 0 ? 'ok  ' : 'FAIL'} ${'mutants'.padEnd(14)} ${seconds(mutantsMs)}`)
  console.log(mutants.status === 0 ? mutants.output.trimEnd().split('\n').at(-1) : mutants.output)
  console.log(counts.line)
  return mutants.status === 0 ? 0 : 1
}

function seconds(startedMs) {
  return `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
}

process.exitCode = await main()
