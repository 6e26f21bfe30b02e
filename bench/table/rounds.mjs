/**
 * The rounds of a run: each contender in turn on the same two device files, in an order that the seed decides.
 *
 * Owns the device files and what lies beside them. Both files are equal when a contender that replicates starts, synced and
 * cached when any starts, and compared byte for byte when one that replicates has stopped. A contender that fails loses
 * the rest of that turn and is named; the run goes on.
 */
import { copyFileSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { compareFiles, makeDevice, settleFile } from '../lib/place.mjs'
import { endAll, isClosed, usageOf } from '../lib/processes.mjs'
import { during, say, secondsText } from '../lib/screen.mjs'
import { figureText } from '../lib/figures.mjs'
import { measure, warm } from './measure.mjs'
import { numberOf, shuffled } from './seeded.mjs'

/**
 * Runs all rounds. Answers `figures[row][contender][round]` (null where there is none), the order of each round, the peak
 * memory of each contender by round, and what went wrong. `roundDone` is told after each round.
 */
export async function runRounds({ folder, contenders, rows, options, roundDone = () => {} }) {
  const files = { local: join(folder, 'local.img'), remote: join(folder, 'remote.img') }
  await during('writing the device files', async () => makeDevice(files.local, options.deviceBytes))
  copyFileSync(files.local, files.remote)
  const blank = () => Array.from({ length: options.rounds }, () => null)
  const byContender = (make) => Object.fromEntries(contenders.map(({ name }) => [name, make()]))
  const result = {
    orders: [],
    figures: Object.fromEntries(rows.map(({ id }) => [id, byContender(blank)])),
    peakBytes: byContender(blank),
    problems: [],
    differences: [],
  }
  const state = { folder, files, equal: true, options, rows, result }
  for (let round = 0; round < options.rounds; round++) {
    const order = shuffled(contenders, `${options.seed}/${round}`)
    result.orders.push(order.map(({ name }) => name))
    for (const contender of order) {
      const startedMs = performance.now()
      say(`round ${round + 1} of ${options.rounds}: ${contender.name}`)
      try {
        await turn(state, contender, round)
      } catch (error) {
        if (isClosed()) throw error
        // What a start that failed half-way has left would disturb the others.
        await endAll()
        const why = error instanceof Error ? error.message : String(error)
        result.problems.push({ contender: contender.name, round: round + 1, ours: contender.ours, why })
        say(`     FAILED: ${why}`)
        state.equal = false
      }
      say(`     ${contender.name} took ${secondsText(performance.now() - startedMs)}`)
    }
    roundDone(result, round + 1)
  }
  return result
}

/** A contender's turn: one start for each size of the log that its rows need. */
async function turn(state, contender, round) {
  const { options, rows } = state
  const logs = [
    [options.logBytes, (row) => row.log === 'burst' || options.logBytes === options.sustainedLogBytes],
    [options.sustainedLogBytes, (row) => row.log === 'sustained' && options.logBytes !== options.sustainedLogBytes],
  ]
  // Only Sitelink has a log: everybody else does all rows in one go, with the same bounds.
  const parts = logs
    .map(([logBytes, has]) => ({ logBytes, rows: rows.filter(has) }))
    .filter(({ rows }) => rows.length > 0)
  const starts = contender.ours ? parts.map((part) => [part]) : [parts]
  for (const start of starts) await runOnce(state, contender, round, start)
}

async function runOnce(state, contender, round, parts) {
  const { folder, files, options, result } = state
  if (contender.replicates && !state.equal) copyFileSync(files.local, files.remote)
  await during('syncing the device files', async () => {
    settleFile(files.local, options)
    settleFile(files.remote, options)
  })
  state.equal = contender.replicates
  const place = join(folder, 'contender')
  mkdirSync(place)
  let running = null
  try {
    const room = { folder: place, ...files, logBytes: parts[0].logBytes, journalBytes: options.journalBytes }
    running = await during(`starting ${contender.name}`, () => contender.start(room))
    // A smoke run judges no figure.
    if (!options.smoke) {
      const seed = numberOf(`${options.seed}/${round}/warm`)
      await during(`warming ${contender.name} up`, () => warm(running, { warmUp: options.warmUp, seed }))
    }
    for (const { logBytes, rows } of parts) {
      for (const row of rows) {
        const seed = numberOf(`${options.seed}/${round}/${row.id}`)
        const work = { seconds: options.seconds, seed, logBytes }
        const figures = await during(`${contender.name}: ${row.id}`, () => measure(running, row, work))
        result.figures[row.id][contender.name][round] = figures
        say(`     ${row.id.padEnd(24)} ${lineOf(row, figures)}`)
      }
    }
    const { peakBytes } = usageOf(running.pids())
    result.peakBytes[contender.name][round] = Math.max(result.peakBytes[contender.name][round] ?? 0, peakBytes)
  } finally {
    await running?.stop()
    rmSync(place, { recursive: true, force: true })
  }
  if (!contender.replicates) return
  const { equal, blocks, at } = compareFiles(files.local, files.remote)
  if (equal) return
  const where = `${blocks} blocks of 4 KiB differ between its two sides after everything was drained, the first at byte ${at}`
  // Who does not order requests that overlap while they are under way may end like that; a Sitelink never may.
  if (contender.ours) throw new Error(where)
  state.equal = false
  result.differences.push({ contender: contender.name, round: round + 1, blocks, at })
  say(`     ${where}`)
}

function lineOf(row, figures) {
  const pace =
    row.metric === 'iops' ? `${figureText(figures.iops)} IOPS` : `${figureText(figures[row.metric] / 1e6)} MB/s`
  const latency = figures.p50Us === null ? '' : `, p50 ${figureText(figures.p50Us)} us`
  return `${pace}${latency}, settled in ${figureText(figures.settleSeconds)} s`
}
