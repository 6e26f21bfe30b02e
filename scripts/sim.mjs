/**
 * `pnpm sim`: simulated lives of a primary and its sites, each from a seed.
 *
 *   pnpm sim --seeds 1000                  so many lives, from a fresh seed
 *   pnpm sim --seeds 1000 --seed abc       the same lives again
 *   pnpm sim --replay abc/17               one life, with its whole trace
 *   --from N   number of the first life    --jobs N   processes (default: one a core)
 *   --failures N   stop after so many      --json     the result as JSON on the last line
 *
 * Exit code 0 if every promise was kept in every life, 1 if not, 64 for a command that is not understood. Owns the
 * words and the lines; the lives are `test/sim`.
 */
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import { ensureBuilt } from './lib/built.mjs'

const PROGRESS_MS = 5000

const HELP = `pnpm sim [--seeds N] [--seed S] [--from N] [--jobs N] [--failures N] [--json]
pnpm sim --replay SEED/NUMBER

Lives of a primary and its sites over simulated disks, time and network.

  --seeds N      how many lives (default 200)
  --seed S       where they come from (default: drawn, and printed)
  --from N       number of the first life (default 0)
  --jobs N       processes (default: one a core)
  --failures N   stop after so many failed lives (default 1)
  --json         print the result as JSON on the last line
  --replay LIFE  live one life again and print its trace

Examples:
  pnpm sim --seeds 1000 --seed night
  pnpm sim --replay night/17`

async function main() {
  let words
  try {
    words = parseArgs({
      args: process.argv.slice(2).filter((word) => word !== '--'),
      options: {
        seeds: { type: 'string', default: '200' },
        seed: { type: 'string', default: process.env.SEED ?? randomBytes(4).toString('hex') },
        from: { type: 'string', default: '0' },
        jobs: { type: 'string', default: String(availableParallelism()) },
        failures: { type: 'string', default: '1' },
        replay: { type: 'string' },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    }).values
    for (const name of ['seeds', 'from', 'jobs', 'failures'])
      if (!/^\d{1,9}$/.test(words[name])) throw new Error(`--${name} takes a number, not "${words[name]}"`)
  } catch (error) {
    console.error(`${error.message}\nSee: pnpm sim --help`)
    return 64
  }
  if (words.help) {
    console.log(HELP)
    return 0
  }
  await ensureBuilt()
  return words.replay === undefined ? many(words) : one(words.replay)
}

async function one(life) {
  const { Simulation, report } = await import(built('simulation.js'))
  const simulation = new Simulation(life, true)
  const failed = (error) => {
    console.log(report(simulation, error))
    process.exit(1)
  }
  process.on('uncaughtException', failed)
  process.on('unhandledRejection', failed)
  try {
    await simulation.run()
  } catch (error) {
    console.log(simulation.trace.last(2000).join('\n'))
    failed(error)
  }
  console.log(simulation.trace.last(2000).join('\n'))
  console.log(`life ${life}: every promise was kept; digest ${simulation.trace.digest()}`)
  return 0
}

async function many(words) {
  const { runLives } = await import(built('run.js'))
  const { seed } = words
  console.log(`sim: SEED=${seed}, ${words.seeds} lives from ${words.from}, ${words.jobs} processes`)
  const startedMs = performance.now()
  let shownMs = startedMs
  const result = await runLives({
    seed,
    count: Number(words.seeds),
    from: Number(words.from),
    jobs: Number(words.jobs),
    failuresMax: Math.max(1, Number(words.failures)),
    onOutcome: (outcome, done) => {
      if (outcome.failure !== null) {
        console.log(`\n${outcome.failure.report}\n\nreplay it with: pnpm sim --replay ${outcome.seed}\n`)
      }
      const nowMs = performance.now()
      if (nowMs - shownMs < PROGRESS_MS) return
      shownMs = nowMs
      const perSecond = done / ((nowMs - startedMs) / 1000)
      console.log(`${done} of ${words.seeds} lives, ${perSecond.toFixed(1)} a second`)
    },
  })
  const seconds = (performance.now() - startedMs) / 1000
  const kinds = Object.entries(result.events).sort((a, b) => b[1] - a[1])
  console.log(kinds.map(([kind, times]) => `${kind} ${times}`).join(', '))
  console.log(
    `${result.lives} lives, ${result.steps} steps, ${result.entries} entries, ` +
      `${(result.simulatedMs / 3_600_000).toFixed(1)} simulated hours in ${seconds.toFixed(0)} s: ` +
      `${result.failures.length === 0 ? 'every promise was kept' : `${result.failures.length} failed: ${result.failures.map(({ seed: life }) => life).join(', ')}`}`,
  )
  if (words.json) console.log(JSON.stringify({ seed, seconds, ...result }))
  return result.failures.length === 0 ? 0 : 1
}

const built = (name) => fileURLToPath(new URL(`../test/dist/sim/${name}`, import.meta.url))

process.exitCode = await main()
