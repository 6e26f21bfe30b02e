/**
 * What all rounds say together: for each row and contender the spread of every figure, and of its ratio to each reference.
 *
 * Pure. The figures of single rounds are kept beside it, so that anybody can count again.
 */
import { ratioSpread, spread } from '../lib/figures.mjs'
import { references } from './contenders.mjs'

export const metrics = [
  'iops',
  'bytesPerSecond',
  'drainedBytesPerSecond',
  'p50Us',
  'p99Us',
  'p999Us',
  'cpuUsPerRequest',
  'settleSeconds',
  'runSeconds',
  'bytes',
]

/** Answers `[row][contender][metric]` as `{ figure, ratios: { reference: spread } }`. */
export function summarize(figures) {
  const of = (rounds, metric) => (rounds ?? []).map((round) => round?.[metric] ?? null)
  const about = (row, name) =>
    Object.fromEntries(
      metrics.map((metric) => {
        const mine = of(row[name], metric)
        const ratios = references.map((reference) => [reference, ratioSpread(mine, of(row[reference], metric))])
        return [metric, { figure: spread(mine), ratios: Object.fromEntries(ratios) }]
      }),
    )
  return mapValues(figures, (row) => mapValues(row, (_, name) => about(row, name)))
}

function mapValues(object, map) {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value, key)]))
}
