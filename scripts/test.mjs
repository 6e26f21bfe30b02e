/**
 * Runs the compiled tests: `pnpm test`, `pnpm test storage`, `pnpm test ring-log --name 'torn tail'`.
 *
 * Owns which files are tests, how many run at once and how long each may take. Every file runs in a process group of its
 * own, which is ended as a whole when its time is up, so that a hung test leaves nothing behind. A compiled file whose
 * source is gone is passed over; a file that runs no test fails; and where SITELINK_REQUIRE_CLIENTS=1, as in CI, so does
 * a skipped test. The last line counts: `N passed, N failed, N skipped`.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { defaultSeed, environment, root } from './lib/workspace.mjs'

/** Test processes at once; each may start programs of its own. */
const CONCURRENCY = 2
/** Longest time for one file: unit and property tests, and those that start the real programs. */
const FILE_SECONDS_MAX = 180
const PROCESS_FILE_SECONDS_MAX = 900
/** Files under these folders start real programs and run after all others. */
const processFolders = ['test/e2e/', 'test/interop/', 'test/power-cut/', 'test/storm/', 'test/sim/']

const programs = ['packages/primary/bin/sitelink.js', 'packages/agent/bin/sitelink-agent.js']

const reporter = pathToFileURL(join(root, 'scripts', 'lib', 'test-events.mjs')).href
const groups = new Set()

/** Test files as [what is run, its source], both relative to the root. */
export function findTests() {
  const found = []
  for (const dist of [
    'test/dist',
    ...readdirSync(join(root, 'packages')).map((name) => `packages/${name}/dist/test`),
  ]) {
    for (const path of filesBelow(dist)) {
      if (!path.endsWith('.test.js')) continue
      const source = path.replace(/(^|\/)dist\//, '$1').replace(/\.js$/, '.ts')
      if (existsSync(join(root, source))) found.push([path, source])
    }
  }
  for (const path of filesBelow('scripts')) if (path.endsWith('.test.mjs')) found.push([path, path])
  if (!programs.every((path) => existsSync(join(root, path)))) {
    for (let at = found.length; at-- > 0;) if (startsPrograms(found[at][1])) found.splice(at, 1)
  }
  const late = ([, source]) => (startsPrograms(source) ? 1 : 0)
  return found.sort((a, b) => late(a) - late(b) || (a[1] < b[1] ? -1 : 1))
}

function startsPrograms(source) {
  return processFolders.some((folder) => source.startsWith(folder))
}

/** Longest time for a file; SITELINK_TEST_SECONDS overrides it, for long runs. */
function secondsFor(source) {
  return Number(
    process.env.SITELINK_TEST_SECONDS ?? (startsPrograms(source) ? PROCESS_FILE_SECONDS_MAX : FILE_SECONDS_MAX),
  )
}

function filesBelow(folder) {
  const top = join(root, folder)
  if (!existsSync(top)) return []
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath ?? entry.path, entry.name)))
}

/** Runs all files whose source path contains one of `filters` (all, if there is none). */
export function runTests(filters, options = {}) {
  return runFiles(
    findTests().filter(([, source]) => filters.length === 0 || filters.some((word) => source.includes(word))),
    options,
  )
}

/**
 * Runs files, given as [what is run, its source]. `names` are patterns of test names, `print` takes each line of the
 * report. Answers the counts, and the line that states them.
 */
export async function runFiles(
  files,
  { names = [], verbose = false, secondsMax = undefined, print = console.log } = {},
) {
  const seed = defaultSeed()
  print(`seed ${seed}, ${files.length} test files`)
  const counts = { passed: 0, failed: 0, skipped: 0, line: '' }
  const scratch = mkdtempSync(join(tmpdir(), 'sitelink-test-'))
  try {
    const queue = files.map((file, index) => ({ file, events: join(scratch, `${index}.jsonl`) }))
    const take = async () => {
      for (let job = queue.shift(); job; job = queue.shift()) {
        const result = await runFile(job, { seed, names, secondsMax })
        report(result, counts, { verbose: verbose || files.length === 1, filtered: names.length > 0, print })
      }
    }
    await Promise.all(Array.from({ length: CONCURRENCY }, take))
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
  if (counts.passed + counts.failed === 0) {
    counts.failed++
    print('no test ran')
  }
  counts.line = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`
  return counts
}

function runFile({ file: [path, source], events }, { seed, names, secondsMax = secondsFor(source) }) {
  const args = ['--enable-source-maps', `--test-reporter=${reporter}`, `--test-reporter-destination=${events}`]
  for (const name of names) args.push(`--test-name-pattern=${name}`)
  const startedMs = performance.now()
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [...args, path], {
      cwd: root,
      detached: true,
      env: { ...environment, SEED: seed },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    groups.add(child.pid)
    const output = []
    child.stdout.on('data', (chunk) => output.push(chunk))
    child.stderr.on('data', (chunk) => output.push(chunk))
    let late = false
    const timer = setTimeout(() => {
      late = true
      endGroup(child.pid)
    }, secondsMax * 1000)
    // What the file started and left behind goes with it, and with that the last holder of its pipes.
    child.on('exit', () => endGroup(child.pid))
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      groups.delete(child.pid)
      const lines = existsSync(events) ? readFileSync(events, 'utf8').split('\n').filter(Boolean) : []
      const problem = late
        ? `took longer than ${secondsMax} s and was ended`
        : signal !== null
          ? `was ended by ${signal}`
          : status !== 0
            ? `exited with status ${status}`
            : null
      resolve({
        source,
        events: lines.map((line) => JSON.parse(line)),
        problem,
        seconds: (performance.now() - startedMs) / 1000,
        output: Buffer.concat(output).toString('utf8'),
      })
    })
  })
}

function endGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody of the group is left.
  }
}

function report({ source, events, problem, seconds, output }, counts, { verbose, filtered, print }) {
  const chosen = (event) => !/^test name does not match/.test(String(event.skip))
  const tests = events.filter((event) => event.kind !== 'note' && !event.suite && chosen(event))
  const failures = events.filter((event) => event.kind === 'fail')
  const skipped = tests.filter((event) => event.skip !== null && event.kind === 'pass')
  const failed = tests.filter((event) => event.kind === 'fail').length
  const silent = tests.length === 0 && !filtered
  const mayNotSkip = process.env.SITELINK_REQUIRE_CLIENTS === '1' && skipped.length > 0
  const broken = silent || failures.length > 0 || problem !== null || mayNotSkip
  const bad = failed + (mayNotSkip ? skipped.length : 0)
  counts.skipped += mayNotSkip ? 0 : skipped.length
  counts.passed += tests.length - failed - skipped.length
  counts.failed += broken ? Math.max(1, bad) : 0
  if (tests.length === 0 && !broken) return
  print(`${broken ? 'FAIL' : 'ok  '} ${source}  ${tests.length} tests, ${seconds.toFixed(1)} s`)
  for (const event of events) if (event.kind === 'note') print(`       ${event.message}`)
  for (const event of skipped)
    print(`${mayNotSkip ? '     x' : '      '} skipped: ${event.name}${event.skip === true ? '' : ` (${event.skip})`}`)
  for (const event of failures) {
    print(`     x ${event.name}`)
    if (!/^\d+ subtests? failed$/.test(event.error ?? '')) print(indent(event.error ?? ''))
  }
  if (problem !== null && (failures.length === 0 || !problem.startsWith('exited'))) print(`     x the file ${problem}`)
  if (silent) print('     x the file ran no test')
  if ((broken || verbose) && output.trim() !== '') print(indent(output.trimEnd()))
}

function indent(text) {
  return text
    .split('\n')
    .map((line) => `       ${line}`)
    .join('\n')
}

function endAll() {
  for (const pid of groups) endGroup(pid)
}
process.on('exit', endAll)
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130))

if (process.argv[1] && pathToFileURL(process.argv[1]).href === import.meta.url) {
  const names = []
  const filters = []
  let verbose = false
  const words = process.argv.slice(2)
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--name') names.push(words.shift() ?? '')
    else if (word === '--verbose') verbose = true
    else if (word !== '--') filters.push(word)
  }
  const counts = await runTests(filters, { names, verbose })
  console.log(counts.line)
  process.exitCode = counts.failed === 0 ? 0 : 1
}
