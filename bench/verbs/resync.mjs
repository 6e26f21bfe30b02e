/**
 * `pnpm bench resync`: how fast a site is resynced, beside nbdcopy of the same ranges between the same files.
 *
 * Owns a pair over loopback on warm files. Full: `sitelink resync 1 --full`. Scattered: the site is paused, some regions
 * are written until the log overflows and only the dirty log knows them, and the site is resumed. The time is the
 * daemon's own, from the event that a resync starts to the event that both sides are equal; that of nbdcopy is its
 * process, flush included. The files are compared at the end: a copy that is wrong measures nothing.
 */
import { join } from 'node:path'
import { requirePrograms } from '../lib/disk.mjs'
import { bytesText, ratiosByRound } from '../lib/figures.mjs'
import { connectTo, writeBlocks } from '../lib/load.mjs'
import { copyOfRanges, nbdcopyMs } from '../lib/nbdcopy.mjs'
import { commonUsage, figure, needsNoBuild, readOptions, tellOutcome } from '../lib/outcome.mjs'
import { Pair } from '../lib/pair.mjs'
import { compareFiles, makePlace, settleFile } from '../lib/place.mjs'
import { until } from '../lib/processes.mjs'
import { during, say } from '../lib/screen.mjs'
import { size } from '../lib/words.mjs'

const MIB = 1024 * 1024
const GOAL = 0.9

export { needsNoBuild }

export const usage = [
  'pnpm bench resync [--size SIZE] [--rounds N] [--json FILE] [--dir DIR] [--smoke]',
  '  full resync, and resync of 1 % scattered dirty regions, beside nbdcopy of the same ranges',
  '  --size SIZE   size of the device (default: 2g)',
  ...commonUsage,
].join('\n')

export function parse(words) {
  const table = { size: { read: size, or: 2048 * MIB } }
  return readOptions(words, { verb: 'resync', table, rounds: 5, smoke: { size: 16 * MIB } })
}

export async function run(options) {
  requirePrograms({ nbdcopy: 'libnbd-bin', nbdkit: 'nbdkit' })
  const logBytes = options.smoke ? 4 * MIB : 64 * MIB
  const folder = makePlace(options.dir, 2.1 * options.size + logBytes + 256 * MIB)
  const bench = await during('making files and a pair', () => makeBench(folder, options, logBytes))
  const names = ['full', '1 % scattered']
  const figures = names.map((name) => ({
    mine: figure(`${name}: resync`, 'MB/s'),
    reference: figure(`${name}: nbdcopy`, 'MB/s'),
    seconds: figure(`${name}: resync`, 's'),
  }))
  for (let round = 1; round <= options.rounds; round++) {
    for (const [at, name] of names.entries()) {
      const ranges = at === 0 ? [{ offset: 0, length: options.size }] : scatteredRanges(options.size, round)
      const ms = await during(`round ${round} of ${options.rounds}, ${name}`, () => both(bench, ranges, round))
      const megabytes = ranges.reduce((sum, { length }) => sum + length, 0) / 1e6
      figures[at].mine.values.push((megabytes * 1000) / ms.resync)
      figures[at].reference.values.push((megabytes * 1000) / ms.nbdcopy)
      figures[at].seconds.values.push(ms.resync / 1000)
      if (!options.smoke) say(`round ${round}, ${name}: ${rates(figures[at])}`)
    }
  }
  await bench.client.disconnect()
  await bench.pair.drain()
  await bench.pair.stop()
  const equal = compareFiles(bench.here, bench.there)
  if (!equal.equal) throw new Error(`the copy differs from the device at byte ${equal.at}: its figures are worthless`)
  const all = figures.flatMap(({ mine, reference, seconds }, at) => {
    const ratio = figure(`${names[at]}: resync / nbdcopy`, 'ratio', at === 0 ? { atLeast: GOAL } : null)
    return [mine, reference, seconds, { ...ratio, values: ratiosByRound(mine.values, reference.values) }]
  })
  const about = { deviceBytes: options.size, regionBytes: MIB, logBytes }
  const notes = [
    `A device of ${bytesText(options.size)} in regions of 1 MiB, files warm in the cache, both sides on one disk; the two are equal at the end.`,
    'The site has what it calls clean durably in its journal and brings it to its device afterwards; nbdcopy writes the device itself.',
  ]
  return tellOutcome({ verb: 'resync', options, figures: all, notes, about, programs: ['nbdcopy', 'nbdkit'] })
}

function rates({ mine, reference }) {
  return `${mine.values.at(-1).toFixed(0)} MB/s, nbdcopy ${reference.values.at(-1).toFixed(0)} MB/s`
}

async function makeBench(folder, { size: bytes }, logBytes) {
  const pair = await Pair.start({
    folder,
    devices: [{ name: 'data', bytes }],
    // Both sides are made with the same content.
    agents: [{ mapWords: ['--dirty-log', 'disk', '--region-size', '1m', '--nosync'] }],
    logBytes,
  })
  const there = pair.agents[0].devices[0].path
  return { folder, bytes, pair, client: await connectTo(pair, 'data'), here: join(folder, 'data.img'), there }
}

/** One region in a hundred, scattered, others in each round. */
function scatteredRanges(deviceBytes, round) {
  const ranges = []
  for (let at = (round * 37) % 100; at < deviceBytes / MIB; at += 100) ranges.push({ offset: at * MIB, length: MIB })
  return ranges.length > 0 ? ranges : [{ offset: 0, length: MIB }]
}

/** Milliseconds of both, the first in turns. */
async function both(bench, ranges, round) {
  const { folder, pair, here, there, bytes } = bench
  const full = ranges[0].length === bytes
  const ms = {}
  const resync = async () => {
    const seen = (await pair.status()).events.at(-1)?.seq ?? 0
    if (full) await pair.cli('resync', '1', '--full', '--json')
    else {
      await makeDirty(bench, ranges)
      await pair.cli('slink', 'resume', '1')
    }
    await pair.inStep()
    ms.resync = await tookMs(pair, seen)
  }
  const nbdcopy = async () => {
    await pair.drain()
    const from = full ? here : join(folder, 'ranges.img')
    if (!full) copyOfRanges(here, from, bytes, ranges)
    ms.nbdcopy = await nbdcopyMs({ folder, from, to: there, holes: !full })
  }
  for (const one of round % 2 === 1 ? [resync, nbdcopy] : [nbdcopy, resync]) {
    settleFile(here)
    settleFile(there)
    await one()
  }
  return ms
}

/** Writes these ranges again and again until the log has let go of the site, and only its dirty log knows them. */
async function makeDirty({ pair, client }, ranges) {
  await pair.cli('slink', 'pause', '1')
  let behind = false
  const watch = setInterval(() => {
    void pair.status().then(
      ({ slinks }) => (behind ||= slinks[0].behind),
      () => {},
    )
  }, 50)
  try {
    let next = 0
    const blockBytes = MIB
    const nextOffset = () => ranges[next++ % ranges.length].offset
    const enough = () => behind && next >= ranges.length
    await writeBlocks(client, { bytes: Infinity, blockBytes, nextOffset, depth: 4, enough })
  } finally {
    clearInterval(watch)
  }
  // It is behind from the moment that it loses its place; what its part of the log touched is marked a little later.
  let dirtyRegions = 0
  await until('the dirty log to be complete', async () => {
    ;({ dirtyRegions } = (await pair.status()).slinks[0])
    return dirtyRegions >= ranges.length
  })
  if (dirtyRegions !== ranges.length)
    throw new Error(`${dirtyRegions} regions are dirty instead of ${ranges.length}: something else was written`)
}

/** From the start of the resync to its end, as the daemon's events have it. */
async function tookMs(pair, afterSeq) {
  const events = (await pair.status()).events.filter(({ seq }) => seq > afterSeq)
  const began = events.find(({ kind }) => kind === 'resync-start')
  const ended = events.findLast(({ kind }) => kind === 'resync-finished')
  if (began === undefined || ended === undefined)
    throw new Error(`no resync was seen: ${events.map(({ kind }) => kind).join(', ')}`)
  return (ended.timeUs - began.timeUs) / 1000
}
