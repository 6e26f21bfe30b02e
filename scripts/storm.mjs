/**
 * A storm over real processes: `pnpm storm --minutes 15 --seed S [--rounds N] [--over tcp,tls,https,quic] [--json]`.
 *
 * Installs and builds if needed, then runs a primary, two agents and their clients through rounds of kills, freezes, cut
 * and silent links, changes of what they go over, full disks and operator's verbs, and judges what they show. Exit status 0 only with zero violations.
 * What is done when follows from the seed; what real processes make of it is never quite the same twice. Whatever it
 * started, mounted or made is gone at the end, also after Ctrl-C.
 */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { ensureBuilt } from './lib/built.mjs'
import { root } from './lib/workspace.mjs'

const CARRIERS = ['tcp', 'tls', 'https', 'quic']
const USAGE = 'usage: pnpm storm [--minutes M] [--seed S] [--rounds N] [--over tcp,tls,https,quic] [--json]'

function parse(words) {
  const options = {
    minutes: 15,
    seed: process.env.SEED || randomBytes(4).toString('hex'),
    rounds: Infinity,
    over: CARRIERS,
    json: false,
  }
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '--') continue
    else if (word === '--json') options.json = true
    else if (word === '--seed') options.seed = words.shift() ?? ''
    else if (word === '--minutes') options.minutes = Number(words.shift())
    else if (word === '--rounds') options.rounds = Number(words.shift())
    else if (word === '--over') options.over = (words.shift() ?? '').split(',')
    else return null
  }
  if (!options.over.every((one, at) => CARRIERS.includes(one) && options.over.indexOf(one) === at)) return null
  return options.minutes > 0 && options.rounds > 0 && options.seed !== '' ? options : null
}

function tell(summary, say) {
  const list = (of) =>
    Object.entries(of)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || 'none'
  if (summary.violation !== null) {
    say('')
    for (const line of summary.trace) say(line)
    say('')
    say(`VIOLATION, seed ${summary.seed}, ${summary.violation}`)
    say(`kept: ${summary.kept ?? 'nothing'}`)
  }
  say('')
  say(`seed        ${summary.seed}`)
  say(`rounds      ${summary.rounds} in ${summary.seconds} s`)
  say(`faults      ${list(summary.faults)}`)
  say(`counts      ${list(summary.counts)}`)
  say(`memory      ${list(summary.residentMiBMax)} (MiB resident at most)`)
  if (summary.without.length > 0) say(`without     ${summary.without.join('; ')}`)
  if (summary.interrupted) say('interrupted')
  say(`violations  ${summary.violations}`)
}

const options = parse(process.argv.slice(2))
if (options === null) {
  console.error(USAGE)
  process.exit(64)
}
const stop = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    // Once more: whoever does not want to wait goes at once; the end of the process takes everything down too.
    if (stop.signal.aborted) process.exit(130)
    stop.abort()
  })
}
const say = (line) => (options.json ? console.error(line) : console.log(line))
try {
  say(`seed ${options.seed}: the schedule of faults follows from it, the timing of real processes does not`)
  await ensureBuilt()
  const { runStorm } = await import(join(root, 'test/dist/storm/run.js'))
  const summary = await runStorm({
    seed: options.seed,
    roundsMax: options.rounds,
    secondsMax: options.minutes * 60,
    over: options.over,
    say,
    signal: stop.signal,
  })
  if (options.json) console.log(JSON.stringify(summary))
  else tell(summary, say)
  process.exitCode = summary.interrupted ? 130 : summary.violations === 0 ? 0 : 1
} catch (error) {
  // Who is interrupted while the cast comes on meets programs that were interrupted too.
  if (stop.signal.aborted) say('interrupted')
  else console.error(error instanceof Error ? error.stack : String(error))
  process.exitCode = stop.signal.aborted ? 130 : 1
}
// A lane that was left in the middle of a step may still wait for something that will not come.
process.exit()
