/**
 * Runs killers with and without mutants, and judges what became of them.
 *
 * Owns the processes that it starts: each in a group of its own, ended as a whole when its time is up. A mutant counts
 * as killed only if the changed file was loaded with the change in it, and a test failed then that passes without it.
 * What merely took too long has killed only a mutant that is said to stop progress. Never changes a file of the build.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ORDER_VARIABLE, orderOf, testPath } from '../../test/dist/mutants/mutant.js'
import { environment, root } from './workspace.mjs'

/** Longest times in seconds: for one killer, which takes a few, and for one of a mutant that is said to stop progress. */
const LIMITS = { killer: 60, hang: 30 }
/** A killer that is known stands still when it takes so many times what it takes without the mutant, and as long as this. */
const HANG = { times: 20, secondsMin: 10 }
/** How often is looked whether a test has failed: then nothing else is waited for. */
const LOOK_MS = 200

const hook = new URL('../../test/dist/mutants/hook.js', import.meta.url).href
const reporter = pathToFileURL(join(root, 'scripts', 'lib', 'test-events.mjs')).href

/** What node runs for a killer: its arguments, and whether it reports tests. The one place that knows what a storm is. */
function processOf(killer, seed, eventsPath) {
  if (killer.kind === 'storm')
    return ['scripts/sim.mjs', '--seeds', String(killer.seeds), '--seed', seed, '--jobs', '1']
  const args = [`--test-reporter=${reporter}`, `--test-reporter-destination=${eventsPath}`]
  for (const name of killer.names ?? [killer.name])
    args.push(`--test-name-pattern=${name.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')}`)
  return [...args, testPath(killer)]
}

function sayKiller(killer) {
  return killer.kind === 'storm' ? `${killer.seeds} simulated lives` : `${killer.file}: ${killer.name}`
}

/**
 * Runs every killer of `mutants` once as the code is. Answers what each test took in milliseconds, by file and name; null
 * if one fails or is not there: then nothing can be said of a mutant.
 */
export async function checkKillers(mutants, { jobs, seed, print = console.log }) {
  const killers = mutants.flatMap((mutant) => mutant.killers)
  const byFile = new Map()
  for (const { kind, file, name } of killers) {
    if (kind === 'test') byFile.set(file, (byFile.get(file) ?? new Set()).add(name))
  }
  const seeds = Math.max(0, ...killers.filter(({ kind }) => kind === 'storm').map((killer) => killer.seeds))
  const all = [...byFile].map(([file, names]) => ({ kind: 'test', file, names: [...names] }))
  if (seeds > 0) all.unshift({ kind: 'storm', seeds })
  const costs = new Map()
  let good = true
  await inParallel(all, jobs, async (killer) => {
    const { tests, failed, problem } = await runKiller(killer, { seed, secondsMax: 300 })
    for (const { name, ms } of tests) costs.set(`${killer.file}: ${name}`, ms)
    const missing = (killer.names ?? []).filter((wanted) => !tests.some(({ name }) => name.includes(wanted)))
    const trouble = [...failed.map(({ name }) => `fails: ${name}`), ...missing.map((name) => `is not there: ${name}`)]
    if (trouble.length === 0 && problem !== null) trouble.push(problem)
    if (trouble.length > 0) good = false
    for (const line of trouble) print(`without any mutant ${killer.file ?? sayKiller(killer)} ${line}`)
  })
  print(good ? `${all.length} test files pass without a mutant` : 'the killers have to pass without a mutant first')
  return good ? costs : null
}

/** Runs the killers of each mutant until one kills it, the cheap ones first. Prints a line each; answers the counts. */
export async function runMutants(mutants, { jobs, seed, costs, limits = LIMITS, print = console.log }) {
  const costOf = ({ killers: [first] }) =>
    first.kind === 'storm' ? Infinity : (costs?.get(`${first.file}: ${first.name}`) ?? 0)
  const ordered = mutants.toSorted((a, b) => costOf(a) - costOf(b))
  let killed = 0
  const alive = []
  await inParallel(ordered, jobs, async (mutant) => {
    const startedMs = performance.now()
    const verdict = await judge(mutant, seed, { ...limits, hang: hangSeconds(mutant, limits.hang, costOf(mutant)) })
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1)
    const line = `${verdict.word.padEnd(10)} ${seconds.padStart(5)} s  ${mutant.bug}\n${' '.repeat(20)}${verdict.why}`
    print(line)
    if (verdict.word === 'killed') killed++
    else alive.push(line)
  })
  if (alive.length > 0) print(`\nnot killed:\n${alive.join('\n')}\n`)
  return { killed, all: mutants.length }
}

/** How long the killer of a mutant that stops progress is waited for; `costMs`: what its test takes without, 0: not known. */
function hangSeconds({ hangs }, secondsMax, costMs) {
  if (hangs !== true || !(costMs > 0)) return secondsMax
  return Math.min(secondsMax, Math.max(HANG.secondsMin, (HANG.times * costMs) / 1000))
}

async function judge(mutant, seed, limits) {
  const loaded = []
  for (const killer of mutant.killers) {
    const secondsMax = mutant.hangs === true ? limits.hang : limits.killer
    const { failed, late, problem, report } = await runKiller(killer, { seed, secondsMax, mutant })
    const other = report.filter((line) => line !== 'applied')
    if (other.length > 0) return { word: 'NOT TESTED', why: other[0] }
    if (report.length === 0) continue
    loaded.push(killer)
    if (failed.length > 0) return { word: 'killed', why: `by ${sayKiller({ ...killer, name: failed[0].name })}` }
    if (late && mutant.hangs === true)
      return { word: 'killed', why: `by ${sayKiller(killer)}: no end within ${secondsMax.toFixed(0)} s` }
    if (late) return { word: 'TOO SLOW', why: `${sayKiller(killer)}: no verdict within ${secondsMax} s` }
    if (problem !== null) return { word: 'killed', why: `by ${sayKiller(killer)}: it ${problem}` }
  }
  return loaded.length === 0
    ? { word: 'NOT TESTED', why: `none of its killers loads ${mutant.file}` }
    : { word: 'SURVIVED', why: loaded.map(sayKiller).join('; ') }
}

/** Runs one killer. `report`: what the hook said, a line for each time that the file was loaded. */
async function runKiller(killer, { seed, secondsMax, mutant }) {
  const scratch = mkdtempSync(join(tmpdir(), 'sitelink-mutant-'))
  try {
    const reportPath = join(scratch, 'report')
    writeFileSync(reportPath, '')
    const order =
      mutant === undefined
        ? {}
        : {
            [ORDER_VARIABLE]: JSON.stringify(orderOf(mutant, reportPath)),
            NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import=${hook}`.trim(),
          }
    const eventsPath = join(scratch, 'events')
    const variables = { ...environment, SEED: seed, ...order, NODE_TEST_CONTEXT: undefined }
    // What a bug left open may keep the process for ever after its test has failed.
    const decided = () => mutant !== undefined && testsOf(eventsPath).failed.length > 0
    const ended = await runNode(processOf(killer, seed, eventsPath), variables, secondsMax, decided)
    return { ...testsOf(eventsPath), ...ended, report: linesOf(reportPath) }
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** The tests that ran, and those of them that failed. */
function testsOf(eventsPath) {
  const events = linesOf(eventsPath).map((line) => JSON.parse(line))
  const tests = events.filter(
    (event) => event.kind !== 'note' && !event.suite && !/^test name does not match/.test(String(event.skip)),
  )
  const failed = tests.filter((event) => event.kind === 'fail' && !/^\d+ subtests? failed/.test(event.error ?? ''))
  return { tests, failed }
}

function linesOf(path) {
  if (!existsSync(path)) return []
  // While its process runs, the last line may be half written.
  const text = readFileSync(path, 'utf8')
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter(Boolean)
}

/** Ends what it starts when its time is up, or `decided` says that nothing that follows matters. */
function runNode(args, env, secondsMax, decided) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: root, detached: true, env, stdio: 'ignore' })
    let late = false
    const timer = setTimeout(() => {
      late = true
      endGroup(child.pid)
    }, secondsMax * 1000)
    const looking = setInterval(() => {
      if (decided()) endGroup(child.pid)
    }, LOOK_MS)
    groups.add(child.pid)
    child.on('close', (status, signal) => {
      clearTimeout(timer)
      clearInterval(looking)
      endGroup(child.pid)
      groups.delete(child.pid)
      const problem = signal !== null ? `was ended by ${signal}` : status === 0 ? null : `exited with status ${status}`
      resolve({ late, problem })
    })
  })
}

const groups = new Set()

function endGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody of the group is left.
  }
}

process.on('exit', () => {
  for (const pid of groups) endGroup(pid)
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130))

async function inParallel(items, jobs, run) {
  const queue = [...items]
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await run(item)
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}
