/**
 * The goals: ratios that Sitelink wants to reach on the same machine, in the same run, and whether it did.
 *
 * Pure. A goal is judged by the median of the ratios of all rounds. One whose row or contender was not measured is not
 * judged, and is never counted as reached.
 */
import { ratiosByRound, spread } from '../lib/figures.mjs'

const goal = (what, row, metric, contender, reference, bound, value) => ({
  what,
  row,
  metric,
  contender,
  reference,
  bound,
  value,
})

const AT_LEAST = '>='
const AT_MOST = '<='

export const goals = [
  goal('4 KiB random writes, depth 64, burst: IOPS', 'randwrite-4k-d64', 'iops', 'async', 'nbdkit', AT_LEAST, 1),
  goal(
    'the same, sustained, flushed and drained: MB/s',
    'sustained-4k-d64',
    'drainedBytesPerSecond',
    'async',
    'nbdkit',
    AT_LEAST,
    0.6,
  ),
  goal('4 KiB random writes, depth 64, burst: IOPS', 'randwrite-4k-d64', 'iops', 'sync', 'quorum', AT_LEAST, 2.5),
  goal('4 KiB random writes, depth 1: p50 latency', 'randwrite-4k-d1', 'p50Us', 'async', 'nbdkit', AT_MOST, 1.3),
  goal('4 KiB random writes, depth 1: p50 latency', 'randwrite-4k-d1', 'p50Us', 'sync', 'quorum', AT_MOST, 1.1),
  goal('4 KiB FUA writes, depth 16: IOPS', 'fua-4k-d16', 'iops', 'async', 'nbdkit', AT_LEAST, 1.5),
  goal('4 KiB FUA writes, depth 16: IOPS', 'fua-4k-d16', 'iops', 'durable', 'quorum', AT_LEAST, 2),
  goal(
    '256 KiB random writes, depth 16: MB/s',
    'randwrite-256k-d16',
    'bytesPerSecond',
    'sync',
    'quorum',
    AT_LEAST,
    1.2,
  ),
  goal('4 KiB random reads, depth 64: IOPS', 'randread-4k-d64', 'iops', 'async', 'nbdkit', AT_LEAST, 0.8),
  goal(
    'processor time of a replicated 4 KiB write, depth 64, all processes',
    'randwrite-4k-d64',
    'cpuUsPerRequest',
    'sync',
    'quorum',
    AT_MOST,
    0.8,
  ),
]

/** Judges all goals: each with its ratio (min, median, max over the rounds) and `reached`, null where it was not measured. */
export function judgeGoals(figures) {
  return goals.map((each) => {
    const row = figures[each.row] ?? {}
    const values = (name) => (row[name] ?? []).map((round) => round?.[each.metric] ?? null)
    const ratio = spread(ratiosByRound(values(each.contender), values(each.reference)))
    const reached =
      ratio === null ? null : each.bound === AT_LEAST ? ratio.median >= each.value : ratio.median <= each.value
    return { ...each, ratio, reached }
  })
}
