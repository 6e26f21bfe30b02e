/** What a run would do, in text: its rows, contenders and goals, and about how long it takes. Pure. */
import { ratioText } from '../lib/figures.mjs'
import { textTable } from '../lib/report.mjs'
import { goals } from './goals.mjs'
import { secondsOf } from './rows.mjs'

/** What start, comparison of the files and stop take, and a row beside its load: on two cores, with 1 GiB files. */
const START_SECONDS = { ours: 5.5, peer: 3.5 }
const ROW_SECONDS = { ours: 1.3, peer: 0.5 }

export function listLines({ rows, contenders, ...options }) {
  return [
    'rows',
    ...textTable(
      ['', ''],
      rows.map(({ id, title }) => [`  ${id}`, title]),
      { left: [0, 1] },
    ).slice(1),
    '',
    'contenders, and where a write is when they answer',
    ...textTable(
      ['', ''],
      contenders.map(({ name, title }) => [`  ${name}`, title]),
      { left: [0, 1] },
    ).slice(1),
    '',
    'goals: medians of ratios',
    ...textTable(
      ['', '', '', ''],
      goals.map((goal) => [
        `  ${goal.what}`,
        `${goal.contender} / ${goal.reference}`,
        `${goal.bound} ${ratioText(goal.value)}`,
        goal.row,
      ]),
      { left: [0, 1, 3] },
    ).slice(1),
    '',
    `about ${Math.ceil(estimate({ rows, contenders, ...options }) / 60)} minutes on two cores`,
  ]
}

function estimate({ rows, contenders, rounds, seconds, warmUp, logSize, sustainedLog }) {
  // What has a bound in bytes ends before its time on a machine that is not slow.
  const part = ({ kind }) => (kind === 'sustained' ? 0.6 : 0.9)
  const load = rows.reduce((total, row) => total + part(row) * secondsOf(row, seconds), 0)
  const twice = logSize !== sustainedLog && new Set(rows.map(({ log }) => log)).size > 1
  const turn = ({ ours }) =>
    ours
      ? (START_SECONDS.ours + warmUp) * (twice ? 2 : 1) + ROW_SECONDS.ours * rows.length
      : START_SECONDS.peer + warmUp + ROW_SECONDS.peer * rows.length
  return rounds * contenders.reduce((total, each) => total + turn(each) + load, 0)
}
