/**
 * `pnpm bench compression`: what `--compression auto` brings on a link with a bandwidth limit, and what it costs where
 * nothing can be made smaller.
 *
 * Owns one pair over TCP whose slink has `--limit`, and a writer of 4 KiB blocks that is always ahead of it. In each round
 * text-like data (lib/text-like.mjs) and random data are written with `off` and with `auto`, side by side, each of them
 * first by turns; counted are the entries that the site says it has received.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { compiled } from '../lib/compiled.mjs'
import { ratiosByRound } from '../lib/figures.mjs'
import { commonUsage, figure, needsNoBuild, readOptions, tellOutcome } from '../lib/outcome.mjs'
import { Pair } from '../lib/pair.mjs'
import { makePlace } from '../lib/place.mjs'
import { during, say } from '../lib/screen.mjs'
import { textLike } from '../lib/text-like.mjs'
import { positive, size } from '../lib/words.mjs'

const MIB = 1024 * 1024
const BLOCK = 4096
const FRAME_HEADER = 96
const DEPTH = 64
/** A writer waits for the site beyond this lag: enough that the link is never without work. */
const LAG_BYTES_MAX = 16 * MIB
const TEXT_GOAL = 2
/** Three per cent. */
const RANDOM_GOAL = 0.97

const KINDS = [
  { kind: 'text', data: (bytes) => textLike(bytes), goal: TEXT_GOAL },
  { kind: 'random', data: (bytes) => randomBytes(bytes), goal: RANDOM_GOAL },
]
const MODES = ['off', 'auto']

export { needsNoBuild }

export const usage = [
  'pnpm bench compression [--rate BYTES] [--seconds S] [--warm S] [--rounds N] [--json FILE] [--dir DIR] [--smoke]',
  '  entries a second that reach a site over a limited link with --compression off and auto, of text and of random data',
  '  --rate BYTES  limit of the link in bytes a second (default: 10000000)',
  '  --seconds S   how long each is measured (default: 8), behind --warm S (default: 2) to get under way',
  ...commonUsage,
].join('\n')

export function parse(words) {
  const table = {
    rate: { read: size, or: 10e6 },
    seconds: { read: positive, or: 8 },
    warm: { read: positive, or: 2 },
  }
  return readOptions(words, { verb: 'compression', table, rounds: 5, smoke: { seconds: 0.5, warm: 0.3 } })
}

export async function run(options) {
  const { smoke, rate, seconds, warm, rounds } = options
  const [deviceBytes, poolBytes] = smoke ? [16 * MIB, 4 * MIB] : [256 * MIB, 64 * MIB]
  const folder = makePlace(options.dir, 2 * deviceBytes + 1024 * MIB)
  const pair = await during('making files and a pair', () => start({ folder, deviceBytes, rate, smoke }))
  const kinds = KINDS.map(({ kind, data, goal }) => ({
    kind,
    goal,
    pool: data(poolBytes),
    figures: MODES.map((mode) => figure(`${kind}, ${mode}: received`, 'entries/s')),
    judged: '',
  }))
  let starved = 0
  try {
    for (let round = 1; round <= rounds; round++) {
      const modes = round % 2 === 1 ? MODES : MODES.toReversed()
      for (const one of kinds) {
        for (const mode of modes) {
          const name = `round ${round} of ${rounds}, ${one.kind}, ${mode}`
          const found = await during(name, () => received({ pair, mode, pool: one.pool, deviceBytes, seconds, warm }))
          one.figures[MODES.indexOf(mode)].values.push(found.entriesPerSecond)
          if (mode === 'auto') one.judged = found.judged
          if (found.lagBytes < rate / 10) starved += 1
          if (!smoke) say(`${name}: ${found.entriesPerSecond.toFixed(0)} entries/s, ${found.judged}`)
        }
      }
    }
    await during('catching up', () => pair.inStep())
    await pair.stop()
  } finally {
    await pair.kill()
  }
  const figures = kinds.flatMap(({ kind, goal, figures: [off, auto] }) => [
    off,
    auto,
    { ...figure(`${kind}: auto / off`, 'ratio', { atLeast: goal }), values: ratiosByRound(auto.values, off.values) },
  ])
  const ceiling = rate / (BLOCK + FRAME_HEADER)
  const notes = [
    `A limit of ${(rate / 1e6).toFixed(1)} MB/s lets ${ceiling.toFixed(0)} entries of 4 KiB a second through as they are. At the end auto said: ${kinds.map(({ kind, judged }) => `${kind}, ${judged}`).join('; ')}.`,
  ]
  if (!smoke && starved > 0)
    notes.push(
      `In ${starved} of ${rounds * 4} measurements the writer was the limit, not the link: this machine is too busy.`,
    )
  const about = { bytesPerSecond: rate, seconds, warmSeconds: warm, blockBytes: BLOCK, deviceBytes, poolBytes }
  return tellOutcome({ verb: 'compression', options, figures, notes, about })
}

function start({ folder, deviceBytes, rate, smoke }) {
  const words = ['--policy', 'async', '--overflow', 'stall', '--fall-behind', `size=${LAG_BYTES_MAX}`]
  return Pair.start({
    folder,
    devices: [{ name: 'data', bytes: deviceBytes }],
    agents: [
      {
        words: [...words, '--limit', String(rate)],
        mapWords: ['--dirty-log', 'disk', '--region-size', '1m', '--nosync'],
      },
    ],
    logBytes: (smoke ? 64 : 256) * MIB,
    initWords: ['--sparse'],
  })
}

/** Entries a second that the site receives while blocks of `pool` are written as fast as it lets them. */
async function received({ pair, mode, pool, deviceBytes, seconds, warm }) {
  // What is compressed is what is written now: nothing of the data before is under way.
  await pair.inStep()
  // Off and on again: it judges anew.
  await pair.cli('slink', 'set', '1', '--compression', 'off')
  if (mode !== 'off') await pair.cli('slink', 'set', '1', '--compression', mode)
  const { NbdClient } = await compiled()
  const client = await NbdClient.connect({ path: pair.nbdSocket }, { export: 'data' })
  let writes = true
  let block = 0
  const writer = async () => {
    while (writes) {
      const at = block++
      const from = (at * BLOCK) % pool.length
      await client.write((at * BLOCK) % deviceBytes, pool.subarray(from, from + BLOCK))
    }
  }
  const writers = Promise.all(Array.from({ length: DEPTH }, writer))
  // Whoever fails is heard below.
  writers.catch(() => (writes = false))
  try {
    await delay(warm * 1000)
    const before = await point(pair)
    await delay(seconds * 1000)
    const after = await point(pair)
    const { lagBytes, compression } = (await pair.status()).slinks[0]
    const entriesPerSecond = ((after.lsn - before.lsn) * 1000) / (after.ms - before.ms)
    return { entriesPerSecond, lagBytes, judged: judgedText(compression) }
  } finally {
    writes = false
    await writers
    await client.disconnect()
  }
}

/** How far the site is, with the time of its answer. */
async function point(pair) {
  return { lsn: Number((await pair.agents[0].status()).replica.receivedLsn), ms: performance.now() }
}

function judgedText({ active, why, codec, ratio }) {
  return active ? `${codec} (${why}), ${ratio?.toFixed(2) ?? '-'} over the session` : `not compressed (${why})`
}
