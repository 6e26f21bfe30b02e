/**
 * `pnpm bench [table] [options]`: every contender on the same files, and one table of ratios.
 *
 * Owns the options of a run and what is done with its result: the report on stdout, JSON and SVG files where asked for. A
 * peer that is not installed is named as skipped. The exit status is 0 whatever the goals say: figures of one machine are
 * judged by people. It is 1 if Sitelink failed, or left its sides different, or if a smoke run lacks a figure.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname } from 'node:path'
import { makePlace } from '../lib/place.mjs'
import { findProgram } from '../lib/processes.mjs'
import { loadAverage, machineFacts, writeJson } from '../lib/report.mjs'
import { say, secondsText } from '../lib/screen.mjs'
import { list, positive, readWords, size, text, UsageError, wholeNumber } from '../lib/words.mjs'
import { goalsChart } from './chart.mjs'
import { contenders as allContenders } from './contenders.mjs'
import { judgeGoals } from './goals.mjs'
import { listLines } from './list.mjs'
import { reportLines } from './print.mjs'
import { runRounds } from './rounds.mjs'
import { chooseRows } from './rows.mjs'
import { summarize } from './summary.mjs'

const MIB = 1024 * 1024

export const usage = `usage: pnpm bench [table] [options]

Starts each contender in turn on the same files, and prints one table of ratios.

  --only WORDS        rows whose names contain all of the words; commas between alternatives
  --contenders A,B    only these: ${allContenders.map(({ name }) => name).join(', ')}
  --rounds N          rounds, each in an order of its own (5)
  --seconds S         longest load of the rows that goals are judged by; others take half (1.5)
  --warm-up S         work of each contender before its first row, the same for all (8)
  --all               every size of writes at every depth
  --pieces SIZE       in what pieces the device files lie in the page cache: 1m, as copying an image
                      leaves them; 4k, as small writes do; read, as reading in order does (1m)
  --seed S            decides the order and the random numbers (fresh, and printed)
  --dir DIR           where the temporary folder is made (the system's)
  --device-size SIZE  of the device, here and there (1g)
  --log-size SIZE     of the log in burst rows (1g)
  --sustained-log SIZE  of the log in the sustained row (256m)
  --journal-size SIZE of the agent's journal (256m)
  --json FILE         writes all figures
  --svg FILE          writes the goals as a picture
  --smoke             one short round of every contender and kind of row; judges no figure
  --list              names rows, contenders and goals, and runs nothing`

const defaults = {
  pieces: '1m',
  rounds: 5,
  seconds: 1.5,
  warmUp: 8,
  deviceSize: 1024 * MIB,
  logSize: 1024 * MIB,
  sustainedLog: 256 * MIB,
  journalSize: 256 * MIB,
}
/** Small, and one log for all rows, so that Sitelink is started once for each policy. */
const smokeDefaults = {
  pieces: '1m',
  rounds: 1,
  seconds: 0.2,
  warmUp: 0.4,
  deviceSize: 32 * MIB,
  logSize: 8 * MIB,
  sustainedLog: 8 * MIB,
  journalSize: 8 * MIB,
}

export function parse(words) {
  const given = readWords(words, {
    only: { read: alternatives, or: null },
    contenders: { read: list, or: null },
    rounds: { read: wholeNumber },
    seconds: { read: positive },
    warmUp: { read: positive },
    all: { flag: true },
    pieces: { read: piecesOf },
    seed: { read: text, or: process.env.SEED || randomBytes(4).toString('hex') },
    dir: { read: folder, or: tmpdir() },
    deviceSize: { read: size },
    logSize: { read: size },
    sustainedLog: { read: size },
    journalSize: { read: size },
    json: { read: fileToWrite, or: null },
    svg: { read: fileToWrite, or: null },
    smoke: { flag: true },
    list: { flag: true },
  })
  const base = given.smoke ? smokeDefaults : defaults
  const options = Object.fromEntries(Object.entries(given).map(([key, value]) => [key, value ?? base[key] ?? null]))
  options.rows = chooseRows(options)
  if (options.rows.length === 0) throw new UsageError('--only matches no row: pnpm bench --list names them')
  const names = allContenders.map(({ name }) => name)
  for (const name of options.contenders ?? []) {
    if (!names.includes(name)) throw new UsageError(`there is no contender ${name}: there are ${names.join(', ')}`)
  }
  return options
}

function alternatives(value) {
  const found = value.split(',').map((words) => words.split(/\s+/).filter((word) => word !== ''))
  return found.filter((words) => words.length > 0)
}

function piecesOf(value, option) {
  if (['1m', '4k', 'read'].includes(value)) return value
  throw new UsageError(`${option} ${value}: 1m, 4k or read`)
}

function folder(path, option) {
  if (!existsSync(path) || !statSync(path).isDirectory())
    throw new UsageError(`${option} ${path} is no folder: make it first`)
  return path
}

/** A run of many minutes shall not end with a file that cannot be written. */
function fileToWrite(path, option) {
  if (existsSync(dirname(path))) return path
  throw new UsageError(`${option} ${path}: there is no folder ${dirname(path)}: make it first`)
}

export function needsNoBuild(options) {
  return options.list
}

export async function run(options) {
  const chosen = allContenders.filter(({ name }) => options.contenders?.includes(name) ?? true)
  if (options.list) {
    console.log(listLines({ ...options, contenders: chosen }).join('\n'))
    return 0
  }
  const { contenders, rows, skipped } = available(chosen, options.rows)
  for (const { name, why } of skipped) say(`skipped ${name}: ${why}`)
  const { only: _, rows: __, json, svg, dir, deviceSize, logSize, sustainedLog, journalSize, ...rest } = options
  const settings = {
    ...rest,
    deviceBytes: deviceSize,
    logBytes: logSize,
    sustainedLogBytes: sustainedLog,
    journalBytes: journalSize,
  }
  say(`seed ${options.seed}: order and random numbers follow from it, the figures do not`)
  const startedMs = performance.now()
  const facts = { machine: machineFacts(), load: loadAverage(), options: settings, skipped, contenders, rows }
  const place = makePlace(dir, 2 * deviceSize + Math.max(logSize, sustainedLog) + journalSize + 64 * MIB)
  const reportOf = ({ figures, peakBytes, problems, differences, orders }, rounds) => ({
    ...facts,
    rounds,
    seconds: Math.round((performance.now() - startedMs) / 1000),
    orders,
    goals: judgeGoals(figures),
    summary: summarize(figures),
    peakBytes,
    problems,
    differences,
    figures,
  })
  const keep = (result, rounds) => {
    const report = reportOf(result, rounds)
    if (json !== null) writeJson(json, forPrograms(report))
    if (svg !== null) writeFileSync(svg, goalsChart(report.goals, subtitle(report)))
    return report
  }
  const result = await runRounds({ folder: place, contenders, rows, options: settings, roundDone: keep })
  const report = keep(result, options.rounds)
  console.log(reportLines(report).join('\n'))
  say(`\n${options.rounds} rounds in ${secondsText(performance.now() - startedMs)}`)
  const missing = options.smoke ? missingFigures(report) : []
  for (const what of missing) say(`no figure: ${what}`)
  return missing.length > 0 || report.problems.some(({ ours }) => ours) ? 1 : 0
}

/** Contenders and rows whose programs are installed, and what is left out because they are not. */
function available(chosen, rows) {
  const missing = (names) => names.filter((name) => findProgram(name) === null)
  const skipped = []
  const keep = (name, needs) => {
    const absent = missing(needs)
    if (absent.length > 0) skipped.push({ name, why: `${absent.join(' and ')} not installed` })
    return absent.length === 0
  }
  const contenders = chosen.filter(({ name, needs }) => keep(name, needs))
  const client = ({ kind }) => (kind === 'fua' ? ['qemu-img'] : ['fio'])
  const kept = rows.filter((row) => keep(row.id, client(row)))
  if (kept.length > 0 && contenders.length > 0) return { contenders, rows: kept, skipped }
  const error = new Error(
    `nothing is left to measure: ${skipped.map(({ name, why }) => `${name} (${why})`).join(', ')}; install them and run this again`,
  )
  throw Object.assign(error, { exitStatus: 69 })
}

/** What a smoke run has to have: a figure of each row for each contender, and its memory. */
function missingFigures({ rows, contenders, summary, peakBytes }) {
  const found = []
  for (const { name } of contenders) {
    if (!(peakBytes[name][0] > 0)) found.push(`peak memory of ${name}`)
    for (const row of rows) {
      const wanted = [row.metric, ...(row.kind === 'fua' ? [] : ['p50Us', 'p99Us', 'p999Us'])]
      if (row.kind !== 'overlay') wanted.push('cpuUsPerRequest')
      for (const metric of wanted) {
        const figure = summary[row.id][name][metric].figure
        if (figure === null || !(figure.median >= 0)) found.push(`${metric} of ${row.id} of ${name}`)
      }
    }
  }
  return found
}

function subtitle({ machine, rounds, options }) {
  return `${machine.processor}, ${machine.cores} cores, Linux ${machine.kernel}, Node ${machine.node}; ${rounds} rounds, seed ${options.seed}`
}

/** The report without what only this program can use. */
function forPrograms({ contenders, ...report }) {
  return { ...report, contenders: contenders.map(({ name, title, ours }) => ({ name, title, ours })) }
}
