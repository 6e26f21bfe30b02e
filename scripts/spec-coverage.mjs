/**
 * `pnpm spec-coverage`: writes docs/spec-coverage.md, which names the tests of each row of the functional specification.
 *
 * A row counts as covered only if the name of some test starts with its id in brackets, several ids allowed:
 * `test('[WR-06] [WR-07] ...')`. Names are read from the sources of the tests. With `--check` nothing is written; it
 * fails if the committed page is not what would be written.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { coverage, coveragePage } from './lib/spec-coverage-page.mjs'
import { readText, repositoryFiles, root } from './lib/workspace.mjs'

const page = 'docs/spec-coverage.md'
const rows = JSON.parse(readText('docs/spec-rows.json'))
const tests = repositoryFiles().filter((path) => /^(packages\/[^/]+\/test|test)\/.*\.ts$/.test(path))
const covered = coverage(
  rows,
  tests.map((path) => ({ path, text: readText(path) })),
)
const wanted = coveragePage(covered)

if (process.argv.includes('--check')) {
  const stale = readText(page) !== wanted
  console.log(stale ? `${page} is stale: run pnpm spec-coverage and commit the result` : `${page} is up to date`)
  process.exitCode = stale ? 1 : 0
} else {
  writeFileSync(join(root, page), wanted)
  console.log(`${page}: ${covered.filter((row) => row.tests.length > 0).length} of ${rows.length} rows have tests`)
}
