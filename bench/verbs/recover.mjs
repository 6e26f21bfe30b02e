/**
 * `pnpm bench recover`: how long a primary takes to start over a full log, beside reading as much from the same disk.
 *
 * Owns a pair whose site is paused, with the policy `stall`, so that the site holds every entry in the log. In each round
 * a little more is written, which the local devices do not have yet, and the primary is killed at once: the start that
 * is measured recovers from a crash. The log is then read from end to end; and a primary without entries, devices and
 * sites to speak of is started, which shows what a start costs in any case. Caches are dropped before each where that is
 * permitted, and the report says whether they were.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { dropCaches, sizeThatFits } from '../lib/disk.mjs'
import { bytesText, ratiosByRound } from '../lib/figures.mjs'
import { firstAnswer } from '../lib/first-answer.mjs'
import { connectTo, scattered, writeBlocks } from '../lib/load.mjs'
import { commonUsage, figure, needsNoBuild, readOptions, tellOutcome } from '../lib/outcome.mjs'
import { Pair } from '../lib/pair.mjs'
import { makePlace } from '../lib/place.mjs'
import { mustRun } from '../lib/processes.mjs'
import { during, say } from '../lib/screen.mjs'
import { size } from '../lib/words.mjs'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const GOAL = 0.1

export { needsNoBuild }

export const usage = [
  'pnpm bench recover [--size SIZE] [--block SIZE] [--rounds N] [--json FILE] [--dir DIR] [--smoke]',
  '  time from the start of a primary with a full log to its first answer, beside reading the log from the disk',
  '  --size SIZE   size of the log (default: 10g, or what the disk has room for)',
  '  --block SIZE  size of the writes that fill it (default: 64k); small ones make many entries',
  ...commonUsage,
].join('\n')

export function parse(words) {
  const table = { size: { read: size }, block: { read: size, or: 64 * 1024 } }
  return readOptions(words, { verb: 'recover', table, rounds: 5, smoke: { size: 64 * MIB } })
}

const deviceBytesFor = (logBytes) => Math.min(GIB, logBytes)
const roomFor = (logBytes) => logBytes + 2 * deviceBytesFor(logBytes) + 256 * MIB

export async function run(options) {
  const { rounds, smoke, block } = options
  const logBytes = options.size ?? sizeThatFits(options.dir, 10 * GIB, roomFor)
  const deviceBytes = deviceBytesFor(logBytes)
  const burstBytes = Math.min(64 * MIB, Math.floor(logBytes / 8 / rounds))
  const folder = makePlace(options.dir, roomFor(logBytes))
  const pair = await during('making files and a pair', () => makePair(folder, logBytes, deviceBytes))
  const bare = await makeBare(join(folder, 'bare'))
  const nextOffset = scattered(deviceBytes, block)
  let client = await connectTo(pair, 'data')
  await during(`filling a log of ${bytesText(logBytes)}`, () =>
    fill(pair, client, { block, nextOffset, burstBytes, rounds }),
  )
  const starts = figure('start to first answer', 's')
  const reads = figure('reading the log', 's')
  const bareStarts = figure('start to first answer, empty log', 's')
  const entries = figure('entries in the log', 'entries')
  // A smoke run judges nothing, and others on the machine keep their caches.
  const drop = () => !smoke && dropCaches()
  let dropped = true
  for (let round = 1; round <= rounds; round++) {
    const turns = {
      start: async () => {
        await writeBlocks(client, { bytes: burstBytes, blockBytes: block, nextOffset })
        await pair.killPrimary()
        await client.closed
        dropped = drop() && dropped
        const answer = await during(`round ${round} of ${rounds}, starting`, () =>
          firstAnswer(pair, 'data', () => pair.startPrimary()),
        )
        client = answer.client
        starts.values.push(answer.ms / 1000)
        entries.values.push((await pair.status()).log.entriesFound)
        // Nothing of the start goes on while the log is read.
        await during('bringing everything to the local device', () => pair.drain())
      },
      bare: async () => {
        dropped = drop() && dropped
        const answer = await firstAnswer(bare, 'data', () => bare.startPrimary())
        bareStarts.values.push(answer.ms / 1000)
        await answer.client.disconnect()
        await bare.killPrimary()
      },
      read: async () => {
        dropped = drop() && dropped
        const ms = await during(`round ${round} of ${rounds}, reading the log`, () => readMs(pair.log))
        reads.values.push(ms / 1000)
      },
    }
    for (const turn of round % 2 === 1 ? ['start', 'read', 'bare'] : ['bare', 'read', 'start']) await turns[turn]()
    if (!smoke) say(`round ${round}: ${starts.values.at(-1).toFixed(2)} s, read in ${reads.values.at(-1).toFixed(2)} s`)
  }
  const { usedBytes, ringBytes } = (await pair.status()).log
  await client.disconnect()
  await pair.kill()
  const goal = { atMost: GOAL }
  const ratio = { ...figure('start / reading', 'ratio', goal), values: ratiosByRound(starts.values, reads.values) }
  const filled = `${Math.round((100 * usedBytes) / ringBytes)} %`
  const notes = [
    `A log of ${bytesText(logBytes)}, ${filled} full of ${bytesText(block)} writes; the primary was killed behind a burst of ${bytesText(burstBytes)}.`,
    dropped
      ? 'The caches of the system were dropped before each start and each reading.'
      : `The caches of the system were not dropped (${smoke ? 'a smoke run' : 'not permitted here'}): both read from memory what is there.`,
  ]
  const about = { logBytes, deviceBytes, blockBytes: block, burstBytes, usedBytes, cachesDropped: dropped }
  return tellOutcome({ verb: 'recover', options, figures: [starts, reads, ratio, bareStarts, entries], notes, about })
}

async function makePair(folder, logBytes, bytes) {
  const pair = await Pair.start({
    folder,
    devices: [{ name: 'data', bytes }],
    agents: [
      {
        words: ['--policy', 'async', '--overflow', 'stall'],
        mapWords: ['--dirty-log', 'disk', '--region-size', '1m', '--nosync'],
      },
    ],
    logBytes,
    journalBytes: 16 * MIB,
    // It is filled from end to end anyway.
    initWords: ['--sparse'],
  })
  await pair.cli('slink', 'pause', '1')
  await pair.agents[0].stop()
  return pair
}

/** A primary with nothing to recover, which does not run yet. */
async function makeBare(folder) {
  mkdirSync(folder)
  const pair = await Pair.start({ folder, devices: [{ name: 'data', bytes: MIB }], agents: [], logBytes: 8 * MIB })
  await pair.stopPrimary()
  return pair
}

/** Writes until the log has room for the bursts of the rounds and little more. */
async function fill(pair, client, { block, nextOffset, burstBytes, rounds }) {
  const entryBytes = block + 96
  for (;;) {
    const { freeBytes, ringBytes } = (await pair.status()).log
    // Small writes that come one by one take a whole block of 4 KiB more each.
    const spare = Math.ceil(burstBytes / block) * rounds * (entryBytes + 4096) + ringBytes / 32
    const bytes = Math.floor((freeBytes - spare) / 2 / (entryBytes + 4096)) * block
    if (bytes < 16 * block || freeBytes < ringBytes / 32) break
    await writeBlocks(client, { bytes, blockBytes: block, nextOffset, depth: 32 })
  }
  await pair.drain()
}

async function readMs(path) {
  const beganMs = performance.now()
  await mustRun('dd', [`if=${path}`, 'of=/dev/null', 'bs=4M', 'status=none'])
  return performance.now() - beganMs
}
