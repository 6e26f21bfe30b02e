/**
 * `pnpm bench backlog`: how fast a site that was away gets what the log kept for it, and what memory that takes.
 *
 * Owns a pair whose site is paused while the log is filled, with the policy `stall`, so that nothing becomes a resync. The
 * clock runs from `sitelink slink resume 1` until the site has everything durably, and once more until its devices have
 * it; the peaks of memory are those of this stretch.
 */
import { sizeThatFits } from '../lib/disk.mjs'
import { bytesText } from '../lib/figures.mjs'
import { connectTo, scattered, writeBlocks } from '../lib/load.mjs'
import { commonUsage, figure, needsNoBuild, readOptions, tellOutcome } from '../lib/outcome.mjs'
import { Pair } from '../lib/pair.mjs'
import { watchPeaks } from '../lib/peak-memory.mjs'
import { makePlace } from '../lib/place.mjs'
import { until } from '../lib/processes.mjs'
import { during, say } from '../lib/screen.mjs'
import { size } from '../lib/words.mjs'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const RSS_GOAL_MIB = 256

export { needsNoBuild }

export const usage = [
  'pnpm bench backlog [--size SIZE] [--block SIZE] [--rounds N] [--json FILE] [--dir DIR] [--smoke]',
  '  drain rate of a backlog in the log, and the most memory of primary and agent meanwhile',
  '  --size SIZE   bytes written while the site is away (default: 10g, or what the disk has room for)',
  '  --block SIZE  size of the writes (default: 64k)',
  ...commonUsage,
].join('\n')

export function parse(words) {
  const table = { size: { read: size }, block: { read: size, or: 64 * 1024 } }
  return readOptions(words, { verb: 'backlog', table, rounds: 3, smoke: { size: 32 * MIB } })
}

const deviceBytesFor = (backlogBytes) => Math.min(GIB, backlogBytes)
/** An entry has a header, and a write that comes alone fills up its block of 4 KiB; the log keeps a reserve. */
const logBytesFor = (backlogBytes, block) =>
  Math.ceil(((backlogBytes / block) * (block + 96 + 4096) * 1.08 + 8 * MIB) / MIB) * MIB

export async function run(options) {
  const { rounds, smoke, block } = options
  const roomFor = (bytes) => logBytesFor(bytes, block) + 2 * deviceBytesFor(bytes) + 256 * MIB
  const backlogBytes = options.size ?? sizeThatFits(options.dir, 10 * GIB, roomFor)
  const deviceBytes = deviceBytesFor(backlogBytes)
  const folder = makePlace(options.dir, roomFor(backlogBytes))
  const logBytes = logBytesFor(backlogBytes, block)
  const pair = await during('making files and a pair', () =>
    Pair.start({
      folder,
      devices: [{ name: 'data', bytes: deviceBytes }],
      agents: [
        {
          words: ['--policy', 'async', '--overflow', 'stall'],
          mapWords: ['--dirty-log', 'disk', '--region-size', '1m', '--nosync'],
        },
      ],
      logBytes,
      journalBytes: smoke ? 16 * MIB : 256 * MIB,
      // What is measured reads the log; it is filled from end to end before.
      initWords: ['--sparse'],
    }),
  )
  const rate = figure('drain rate, until durable at the site', 'MB/s')
  const appliedRate = figure('drain rate, until on its devices', 'MB/s')
  const seconds = figure('drain', 's')
  const goal = { atMost: RSS_GOAL_MIB }
  const peaks = [
    figure('primary: most resident memory', 'MiB', goal),
    figure('agent: most resident memory', 'MiB', goal),
  ]
  const nextOffset = scattered(deviceBytes, block)
  let exact = true
  for (let round = 1; round <= rounds; round++) {
    await pair.cli('slink', 'pause', '1')
    const client = await connectTo(pair, 'data')
    const written = await during(`round ${round} of ${rounds}, writing ${bytesText(backlogBytes)}`, () =>
      writeBlocks(client, { bytes: backlogBytes, blockBytes: block, nextOffset, depth: 32 }),
    )
    await client.disconnect()
    await during('bringing everything to the local device', () => pair.drain())
    const drained = await during(`round ${round} of ${rounds}, draining`, () => drain(pair))
    exact &&= drained.peaks.exact
    rate.values.push(written / 1000 / drained.durableMs)
    appliedRate.values.push(written / 1000 / drained.appliedMs)
    seconds.values.push(drained.durableMs / 1000)
    for (const [at, bytes] of drained.peaks.bytes.entries()) peaks[at].values.push(bytes / MIB)
    if (!smoke) {
      const memory = drained.peaks.bytes.map((bytes) => bytesText(bytes)).join(' and ')
      say(`round ${round}: ${rate.values.at(-1).toFixed(0)} MB/s, at most ${memory} resident`)
    }
  }
  const { overflows, resyncs } = (await pair.status()).slinks[0]
  await pair.stop()
  if (overflows > 0 || resyncs > 0)
    throw new Error('the site fell behind: what was measured is not the drain of a log. Use a smaller --size')
  const notes = [
    `A backlog of ${bytesText(backlogBytes)} in ${bytesText(block)} writes scattered over ${bytesText(deviceBytes)}, a log of ${bytesText(logBytes)}.`,
    exact
      ? 'Peaks of memory are those that the kernel saw while the backlog was drained.'
      : `Peaks of memory are samples, ten a second: the kernel's own account could not be reset.`,
  ]
  const about = { backlogBytes, blockBytes: block, deviceBytes, logBytes, peaksExact: exact }
  return tellOutcome({ verb: 'backlog', options, figures: [rate, appliedRate, seconds, ...peaks], notes, about })
}

/** Lets the site come back and waits until it has everything. */
async function drain(pair) {
  const peaks = watchPeaks([pair.program.pid, pair.agents[0].program.pid])
  const { lastLsn } = (await pair.status()).log
  const beganMs = performance.now()
  await pair.cli('slink', 'resume', '1')
  const reached = (key) => async () => Number((await pair.status()).slinks[0][key] ?? 0) >= Number(lastLsn)
  await until('the site to have everything', reached('durableLsn'), { timeoutMs: 3_600_000 })
  const durableMs = performance.now() - beganMs
  await until('its devices to have everything', reached('appliedLsn'), { timeoutMs: 3_600_000 })
  const appliedMs = performance.now() - beganMs
  return { durableMs, appliedMs, peaks: peaks.stop() }
}
