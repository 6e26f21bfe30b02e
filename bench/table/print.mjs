/**
 * The report of a run in text: the table of ratios, peak memory, the goals, and what went wrong or was left out.
 *
 * Pure: it answers lines. A figure is the median of the rounds; a ratio is min / median / max of the ratios of the rounds.
 */
import { bytesText, figureText, ratioText, spread, spreadText } from '../lib/figures.mjs'
import { machineLines, textTable } from '../lib/report.mjs'
import { references } from './contenders.mjs'
import { bytesOf, secondsOf } from './rows.mjs'

const head = [
  '',
  'median',
  ...references.map((name) => `x ${name}`),
  'p50 us',
  'p99 us',
  'p99.9 us',
  'cpu us',
  'settled s',
]

/** All of it. */
export function reportLines(report) {
  return [
    ...headLines(report),
    ...tableLines(report),
    ...memoryLines(report),
    ...goalLines(report),
    ...overflowLines(report),
    ...problemLines(report),
  ]
}

function headLines({ machine, options, load, skipped, rounds }) {
  return [
    '',
    ...machineLines(machine),
    `seed ${options.seed}, ${rounds} of ${options.rounds} rounds, devices of ${bytesText(options.deviceBytes)}, load of the machine before: ${load ?? 'unknown'}`,
    `log ${bytesText(options.logBytes)} (burst) and ${bytesText(options.sustainedLogBytes)} (sustained), journals of ${bytesText(options.journalBytes)}`,
    `device files cached ${{ '1m': 'in pieces of 1 MiB', '4k': 'in pages of 4 KiB', read: 'as reading in order leaves them' }[options.pieces]}`,
    'figures: median of the rounds; ratios: min / median / max of the ratios of the rounds; cpu: of all processes of a',
    'contender, a request, until all is flushed and drained; settled: time for that after the last request',
    ...skipped.map(({ name, why }) => `skipped ${name}: ${why}`),
  ]
}

function tableLines({ rows, contenders, summary, options }) {
  const cells = []
  for (const row of rows) {
    cells.push([])
    cells.push([`${row.id}: ${row.title}; ${boundText(row, options)}`])
    for (const { name } of contenders) {
      const of = summary[row.id][name]
      const figure = of[row.metric].figure
      if (figure === null) continue
      cells.push([
        `  ${name}`,
        row.metric === 'iops' ? `${figureText(figure.median)} IOPS` : `${figureText(figure.median / 1e6)} MB/s`,
        ...references.map((reference) => (name === reference ? '1' : spreadText(of[row.metric].ratios[reference]))),
        ...['p50Us', 'p99Us', 'p999Us', 'cpuUsPerRequest', 'settleSeconds'].map((metric) =>
          figureText(of[metric].figure?.median),
        ),
      ])
    }
  }
  // A row's title is a line of its own and makes no column wide.
  const isTitle = (row) => row.length <= 1
  const lines = textTable(
    head,
    cells.filter((row) => !isTitle(row)),
  )
  const body = lines.slice(1)
  return ['', lines[0], ...cells.map((row) => (isTitle(row) ? (row[0] ?? '') : body.shift()))]
}

function boundText(row, options) {
  const logBytes = row.log === 'sustained' ? options.sustainedLogBytes : options.logBytes
  const bytes = bytesOf(row, { logBytes })
  const seconds = `${secondsOf(row, options.seconds)} s`
  return bytes === null ? seconds : `at most ${seconds} or ${bytesText(bytes)}, log ${bytesText(logBytes)}`
}

function memoryLines({ contenders, peakBytes }) {
  const rows = contenders
    .map(({ name }) => [name, spread(peakBytes[name])])
    .filter(([, peak]) => peak !== null)
    .map(([name, peak]) => [`  ${name}`, spreadText(peak, bytesText)])
  return [
    '',
    'peak memory (VmHWM), the sum of all processes of a contender: min / median / max',
    ...textTable(['', ''], rows).slice(1),
  ]
}

function goalLines({ goals }) {
  const rows = goals.map(({ what, contender, reference, bound, value, ratio, reached }) => [
    what,
    `${contender} / ${reference}`,
    `${bound} ${ratioText(value)}`,
    spreadText(ratio),
    reached === null ? 'not measured' : reached ? 'reached' : 'NOT REACHED',
  ])
  return ['', ...textTable(['goal', 'ratio', 'wanted', 'min / median / max', ''], rows, { left: [0, 1, 4] })]
}

/** An overflow during a row is part of its figure, and has to be said: what was dropped was copied afterwards. */
function overflowLines({ figures }) {
  const lines = []
  for (const [row, names] of Object.entries(figures)) {
    for (const [name, rounds] of Object.entries(names)) {
      const count = rounds.filter((round) => round?.after.overflows > 0).length
      if (count > 0) lines.push(`note: ${name} had fallen back to its dirty logs when ${row} ended, in ${count} rounds`)
    }
  }
  return lines.length === 0 ? [] : ['', ...lines]
}

function problemLines({ problems, differences }) {
  const lines = [
    ...differences.map(
      ({ contender, round, blocks }) =>
        `note: the two sides of ${contender} differed in ${blocks} blocks of 4 KiB after round ${round}; it promises no order of requests that overlap`,
    ),
    ...problems.map(({ contender, round, why }) => `FAILED: ${contender} in round ${round}: ${why}`),
  ]
  return lines.length === 0 ? [] : ['', ...lines]
}
