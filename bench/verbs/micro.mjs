/**
 * `pnpm bench micro`: what the operations of the hot path cost, in nanoseconds each.
 *
 * Owns the order: in each round every case comes once, so that a busy spell of the machine spoils a round and not a case.
 * It starts no process and writes no file. The ratios say what a frame costs beside its checksum.
 */
import { ratiosByRound } from '../lib/figures.mjs'
import { microCases } from '../lib/micro-cases.mjs'
import { batchOf, nanosecondsEach } from '../lib/micro-clock.mjs'
import { commonUsage, figure, needsNoBuild, readOptions, tellOutcome } from '../lib/outcome.mjs'
import { during, say } from '../lib/screen.mjs'

export { needsNoBuild }

export const usage = [
  'pnpm bench micro [--rounds N] [--json FILE] [--smoke]',
  '  nanoseconds of frame encode and decode, CRC-32, overlay note and lookup, dirty bitmap, group assembly',
  ...commonUsage.filter((line) => !line.includes('--dir')),
].join('\n')

const BATCHES = 41
const SMOKE_BATCHES = 3
/** Figures whose ratio says something: what is left of the second when the first is taken away. */
const compared = [
  ['frame encode, 4 KiB', 'CRC-32, 4 KiB'],
  ['frame decode, 4 KiB', 'CRC-32, 4 KiB'],
  ['CRC-32 without zlib, 4 KiB', 'CRC-32, 4 KiB'],
]

export function parse(words) {
  return readOptions(words, { verb: 'micro', rounds: 5, files: false })
}

export async function run(options) {
  const cases = await microCases()
  const figures = cases.map(({ name, unit }) => figure(name, `ns / ${unit}`))
  const pace = options.smoke ? { warmMs: 1, batchMs: 0.2 } : {}
  const counts = await during('warming up', () => eachInTurn(cases, (one) => batchOf(one, pace)))
  for (let round = 1; round <= options.rounds; round++) {
    if (!options.smoke) say(`round ${round} of ${options.rounds}`)
    const batches = options.smoke ? SMOKE_BATCHES : BATCHES
    const times = await eachInTurn(cases, (one, at) => nanosecondsEach(one, counts[at], batches))
    for (const [at, time] of times.entries()) figures[at].values.push(time)
  }
  const ratios = compared.map(([name, base]) => {
    const [mine, reference] = [name, base].map((wanted) => figures.find((one) => one.name === wanted).values)
    return { ...figure(`${name} / ${base}`, 'ratio'), values: ratiosByRound(mine, reference) }
  })
  const bulk = cases.findIndex(({ bytes }) => bytes >= 1024 * 1024)
  const rate = {
    ...figure(`${cases[bulk].name}: rate`, 'GB/s'),
    values: figures[bulk].values.map((ns) => cases[bulk].bytes / ns),
  }
  return tellOutcome({ verb: 'micro', options, figures: [...figures, rate, ...ratios] })
}

/** Does `work` for each, with a turn of the event loop in between, so that Ctrl-C is heard. */
async function eachInTurn(all, work) {
  const answers = []
  for (const [at, one] of all.entries()) {
    await new Promise((resolve) => setImmediate(resolve))
    answers.push(work(one, at))
  }
  return answers
}
