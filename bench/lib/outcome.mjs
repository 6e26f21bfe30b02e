/**
 * What the verbs beside the main table have in common: their options, their one table, their goals, their JSON.
 *
 * A figure is a name, a unit and one value a round. A goal is a bound for the middle of a figure's rounds; a smoke run
 * asserts that every figure is there and judges none. Ratios are figures like others, taken round by round before they
 * come here.
 */
import { figureText, spread } from './figures.mjs'
import { loadAverage, machineFacts, machineLines, textTable, writeJson } from './report.mjs'
import { say } from './screen.mjs'
import { readWords, text, UsageError, wholeNumber } from './words.mjs'

/** Options that each of these verbs takes; `usage` lines name them alike. */
const commonWords = {
  rounds: { read: wholeNumber },
  json: { read: text },
  dir: { read: text },
  smoke: { flag: true },
  built: { flag: true },
}

export const commonUsage = [
  '  --rounds N    how often everything is measured',
  '  --json FILE   writes every figure of every round, for programs',
  '  --dir DIR     folder for the files, on the disk to be measured (default: the temporary folder)',
  '  --smoke       tiny: only shows that it works, in seconds; judges nothing',
  '  --built       uses what is compiled as it is',
]

/** What each of these verbs exports under this name: whether the packages are used as they are. */
export const needsNoBuild = ({ built }) => built

/**
 * Reads the words of a verb. `table` holds its own options; `rounds` is the default, and `smoke` what a smoke run takes
 * in place of every default, unless the option is named. `files`: false for a verb that writes none.
 */
export function readOptions(words, { verb, table = {}, rounds, smoke = {}, files = true }) {
  const { dir, ...others } = commonWords
  const options = read(words, verb, { ...others, ...(files ? { dir } : {}), ...table })
  const defaults = options.smoke ? { rounds: 1, ...smoke } : { rounds }
  for (const [key, value] of Object.entries(defaults)) options[key] ??= value
  for (const [key, { or }] of Object.entries(table)) options[key] ??= or
  return options
}

function read(words, verb, table) {
  // Defaults are filled in afterwards: a smoke run has others.
  const bare = Object.fromEntries(Object.entries(table).map(([key, { read, flag }]) => [key, { read, flag }]))
  try {
    return readWords(words, bare)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    throw new UsageError(`${verb}: ${error.message}; see: pnpm bench ${verb} --help`)
  }
}

/** A figure without values yet. `goal`: `{ atLeast }` or `{ atMost }`, in the figure's own unit. */
export function figure(name, unit, goal = null) {
  return { name, unit, goal, values: [] }
}

/** Whether the middle of the rounds keeps the goal; null where there is nothing to judge. */
export function reached({ goal, values }) {
  const middle = spread(values)?.median ?? null
  if (goal === null || middle === null) return null
  return goal.atLeast === undefined ? middle <= goal.atMost : middle >= goal.atLeast
}

/** One line a figure: unit, smallest, middle, largest, and what became of its goal. */
export function outcomeLines(figures, { smoke }) {
  const rows = figures.map((one) => {
    const of = spread(one.values)
    return [one.name, one.unit, ...['min', 'median', 'max'].map((key) => figureText(of?.[key])), goalText(one, smoke)]
  })
  return textTable(['figure', 'unit', 'min', 'median', 'max', 'goal'], rows, { left: [0, 1, 5] })
}

function goalText(one, smoke) {
  if (one.goal === null) return ''
  const [word, bound] = one.goal.atLeast === undefined ? ['<=', one.goal.atMost] : ['>=', one.goal.atLeast]
  const verdict = smoke
    ? 'not judged'
    : { true: 'reached', false: 'not reached', null: 'nothing to judge' }[reached(one)]
  return `${word} ${figureText(bound)}: ${verdict}`
}

/** Throws unless every figure has a number for every round. */
export function assertComplete(figures, rounds) {
  for (const { name, values } of figures) {
    const numbers = values.filter((value) => Number.isFinite(value))
    if (numbers.length !== rounds)
      throw new Error(`the figure "${name}" has ${numbers.length} numbers, not one for each of ${rounds} rounds`)
  }
}

/**
 * Prints the outcome, writes the JSON file if one is asked for, and answers the exit status. `notes` are sentences that a
 * reader of the figures has to know; `about` are the sizes and settings of the run.
 */
export function tellOutcome({ verb, options, figures, notes = [], about = {}, programs = [] }) {
  const { smoke, rounds, json } = options
  if (smoke) assertComplete(figures, rounds)
  const machine = machineFacts(programs)
  const load = loadAverage()
  const lines = [
    `bench ${verb}: ${rounds} ${rounds === 1 ? 'round' : 'rounds'}${smoke ? ', a smoke run: the figures mean nothing' : ''}`,
    ...machineLines(machine).map((line) => line.replace(/, $/, '')),
    '',
    ...outcomeLines(figures, options),
    ...(notes.length > 0 ? ['', ...notes] : []),
  ]
  console.log(lines.join('\n'))
  if (json !== undefined) {
    const told = figures.map((one) => ({ ...one, ...spread(one.values), reached: smoke ? null : reached(one) }))
    writeJson(json, { verb, rounds, smoke, about, notes, machine, loadAverage: load, figures: told })
    say(`every figure of every round: ${json}`)
  }
  return 0
}
