/**
 * `pnpm bench wan`: what share of a long link's bandwidth replication reaches with small writes.
 *
 * Owns, for each round trip, a pair with such a link between primary and site (lib/wan-link.mjs). In each round plain
 * sockets carry what they can over a link of the same kind: that is the reference, and shows that the link itself is not
 * what limits. Then fio writes while the bytes are counted that the site has received, by the LSNs that the agent tells:
 * headers and whatever else travels do not count. A site that follows its writer cannot receive more than is written, so
 * the same is measured once more while the log feeds it.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { requirePrograms } from '../lib/disk.mjs'
import { bytesText, ratiosByRound } from '../lib/figures.mjs'
import { commonUsage, figure, needsNoBuild, readOptions, tellOutcome } from '../lib/outcome.mjs'
import { Pair } from '../lib/pair.mjs'
import { makePlace } from '../lib/place.mjs'
import { Program, until } from '../lib/processes.mjs'
import { during, say } from '../lib/screen.mjs'
import { list, positive, size, UsageError } from '../lib/words.mjs'
import { pump, WanLink } from '../lib/wan-link.mjs'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const BLOCK = 4096
const GOAL = 0.9
/** The goal is one for this round trip; the others show how it comes about. */
const GOAL_RTT_MS = 100
/** A writer waits for the site beyond this lag: several times what is on the way, far less than the log. */
const LAG_BYTES_MAX = 256 * MIB
/** Plain sockets that reach less than this of the link's rate show that the link or the machine is the limit. */
const SOUND_SHARE = 0.95

export { needsNoBuild }

export const usage = [
  'pnpm bench wan [--rtt MS,MS] [--rate BYTES] [--seconds S] [--warm S] [--rounds N] [--json FILE] [--dir DIR] [--smoke]',
  '  share of a long link that replication of 4 KiB writes reaches, beside plain sockets on the same link',
  '  --rtt MS,MS   round trips in milliseconds (default: 50,100)',
  '  --rate BYTES  bandwidth of the link in bytes a second (default: 100000000)',
  '  --seconds S   how long each is measured (default: 8), behind --warm S (default: 3) to get under way',
  ...commonUsage,
].join('\n')

export function parse(words) {
  const table = {
    rtt: { read: roundTrips, or: [50, GOAL_RTT_MS] },
    rate: { read: size, or: 100e6 },
    seconds: { read: positive, or: 8 },
    warm: { read: positive, or: 3 },
  }
  const smoke = { rtt: [50], seconds: 0.5, warm: 0.5, rate: 20e6 }
  return readOptions(words, { verb: 'wan', table, rounds: 5, smoke })
}

function roundTrips(value, option) {
  const all = list(value).map(Number)
  if (all.length === 0 || !all.every((one) => one >= 0 && one <= 2000))
    throw new UsageError(`${option} needs milliseconds from 0 to 2000 between commas, as 50,100, not ${value}`)
  return all
}

export async function run(options) {
  requirePrograms({ fio: 'fio' })
  const { smoke, rtt, rate, seconds, warm } = options
  const deviceBytes = smoke ? 16 * MIB : GIB
  // What is written ahead of the link has to stay in the log, where a write that comes alone takes two blocks of 4 KiB.
  const logBytes = smoke ? 64 * MIB : Math.max(GIB, Math.ceil((2.4 * rate * (warm + seconds)) / MIB) * MIB)
  const about = { roundTripsMs: rtt, bytesPerSecond: rate, seconds, warmSeconds: warm, deviceBytes, logBytes }
  const notes = [
    `A link of ${(rate / 1e6).toFixed(0)} MB/s each way; shares are of what plain sockets reach on it in the same round. Headers take ${(100 * (96 / (BLOCK + 96))).toFixed(1)} % of what is sent.`,
  ]
  const figures = []
  for (const rttMs of rtt) {
    const folder = makePlace(options.dir, 2 * deviceBytes + logBytes + 256 * MIB)
    const one = await oneRoundTrip({ options, folder, rttMs, deviceBytes, logBytes })
    figures.push(...one.figures)
    notes.push(...one.notes)
  }
  return tellOutcome({ verb: 'wan', options, figures, notes, about, programs: ['fio'] })
}

async function oneRoundTrip({ options, folder, rttMs, deviceBytes, logBytes }) {
  const { rate, seconds, warm, rounds, smoke } = options
  let link = null
  const at = `${rttMs} ms`
  const pair = await during(`${at}: making files and a pair`, () =>
    Pair.start({
      folder,
      devices: [{ name: 'data', bytes: deviceBytes }],
      agents: [
        {
          words: ['--policy', 'async', '--overflow', 'stall', '--fall-behind', `size=${LAG_BYTES_MAX}`],
          mapWords: ['--dirty-log', 'disk', '--region-size', '1m', '--nosync'],
          address: async (port) => {
            link = await WanLink.start({ targetPort: port, rttMs, bytesPerSecond: rate })
            return link.address
          },
        },
      ],
      logBytes,
      initWords: ['--sparse'],
    }),
  )
  const sockets = figure(`${at}: plain sockets`, 'MB/s')
  const live = figure(`${at}: received while written`, 'MB/s')
  const written = figure(`${at}: written meanwhile`, 'MB/s')
  const fed = figure(`${at}: received from the log`, 'MB/s')
  let writerBound = 0
  try {
    for (let round = 1; round <= rounds; round++) {
      const name = `${at}, round ${round} of ${rounds}`
      const reference = await during(`${name}, plain sockets`, () =>
        pump({ rttMs, bytesPerSecond: rate, warmSeconds: warm, seconds }),
      )
      const whileWritten = await during(`${name}, received while written`, () => received({ pair, options }))
      await during(`${name}, catching up`, () => pair.inStep())
      // With no limit to the lag: nobody waits for a site that is away on purpose.
      await pair.cli('slink', 'set', '1', '--fall-behind', 'none')
      await pair.cli('slink', 'pause', '1')
      const fromLog = await during(`${name}, received from the log`, () => received({ pair, options, rate }))
      await during(`${name}, catching up`, () => pair.inStep())
      await pair.cli('slink', 'set', '1', '--fall-behind', `size=${LAG_BYTES_MAX}`)
      sockets.values.push(reference / 1e6)
      live.values.push(whileWritten.received / 1e6)
      written.values.push(whileWritten.written / 1e6)
      // A site that is no further behind than its answers are on the way would have taken more.
      if (whileWritten.lagBytes < (rate * (2 * rttMs + 100)) / 1000) writerBound += 1
      fed.values.push(fromLog.received / 1e6)
      if (!smoke) {
        const [a, b, c] = [sockets, live, fed].map(({ values }) => values.at(-1).toFixed(1))
        say(`${name}: sockets ${a} MB/s, while written ${b} MB/s, from the log ${c} MB/s`)
      }
    }
    const { overflows, resyncs } = (await pair.status()).slinks[0]
    if (overflows > 0 || resyncs > 0)
      throw new Error('the site fell behind: a resync was measured, not the stream of writes')
    await pair.stop()
  } finally {
    await link?.close()
  }
  const goal = rttMs === GOAL_RTT_MS ? { atLeast: GOAL } : null
  const share = (name, { values }) => ({
    ...figure(name, 'ratio', goal),
    values: ratiosByRound(values, sockets.values),
  })
  return {
    figures: [
      sockets,
      written,
      live,
      share(`${at}: share while written`, live),
      fed,
      share(`${at}: share from the log`, fed),
    ],
    notes: smoke ? [] : judgements({ at, rate, sockets, rounds, writerBound }),
  }
}

/** What limited, where it was not the link or the product. */
function judgements({ at, rate, sockets, rounds, writerBound }) {
  const notes = []
  if (!sockets.values.every((value) => value * 1e6 >= rate * SOUND_SHARE))
    notes.push(
      `${at}: plain sockets did not reach ${100 * SOUND_SHARE} % of the link in every round: this machine is too busy for it.`,
    )
  if (writerBound > 0)
    notes.push(
      `${at}: in ${writerBound} of ${rounds} rounds the site was as far as fio while it wrote: the writer was the limit, not the link.`,
    )
  return notes
}

/**
 * Bytes a second that the site receives, and that are written, while fio writes; with `rate`, behind so much of a backlog
 * in the log that fio cannot be the limit: the site comes back only when it is there.
 */
async function received({ pair, options, rate = 0 }) {
  const { seconds, warm } = options
  const leadBytes = Math.ceil(rate * (warm + seconds))
  const words = [
    ['name', 'wan'],
    ['ioengine', 'nbd'],
    ['uri', pair.uri('data')],
    ['rw', 'randwrite'],
    ['bs', String(BLOCK)],
    ['iodepth', '64'],
    ['time_based', '1'],
    ['runtime', '3600'],
    ['randrepeat', '0'],
  ]
  const begin = Number((await pair.status()).log.lastLsn)
  const fio = new Program('fio', 'fio', ['--thread', ...words.map(([key, value]) => `--${key}=${value}`)])
  try {
    if (leadBytes > 0) {
      const lead = () =>
        fio.exit !== null || pair.status().then(({ log }) => (log.lastLsn - begin) * BLOCK >= leadBytes)
      await until(`fio to write ${bytesText(leadBytes)}`, lead, { timeoutMs: 600_000, intervalMs: 50 })
      await fio.stop()
      await pair.cli('slink', 'resume', '1')
      await until('the site to be connected', async () => (await pair.status()).slinks[0].connected)
    } else {
      await until('fio to write', async () => fio.exit !== null || (await pair.status()).log.lastLsn > begin)
      if (fio.exit !== null) throw new Error(`fio ended with ${fio.exit}\n${fio.output.trim()}`)
    }
    await delay(warm * 1000)
    const before = await points(pair)
    await delay(seconds * 1000)
    const after = await points(pair)
    const rateOf = (key) => ((after[key].lsn - before[key].lsn) * BLOCK * 1000) / (after[key].ms - before[key].ms)
    const { lagBytes } = (await pair.status()).slinks[0]
    return { received: rateOf('site'), written: rateOf('here'), lagBytes }
  } finally {
    await fio.stop()
  }
}

/** How far the site and the primary are, each with the time of its own answer. */
async function points(pair) {
  const site = async () => ({ lsn: Number((await pair.agents[0].status()).replica.receivedLsn), ms: performance.now() })
  const here = async () => ({ lsn: Number((await pair.status()).log.lastLsn), ms: performance.now() })
  const [there, mine] = await Promise.all([site(), here()])
  return { site: there, here: mine }
}
