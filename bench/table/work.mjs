/**
 * The load: fio and `qemu-img bench` as clients of an NBD export, and what they report, in our words and units.
 *
 * Owns the words that they are called with. It knows no contender: an export is a URI.
 */
import { mustRun } from '../lib/processes.mjs'
import { OVERLAY_WRITER_DEPTH } from './rows.mjs'

/** FUA writes that find out how fast a contender is, for each request that may be under way. */
const FUA_TRIAL_WRITES = 8
const FUA_WRITES_MAX = 100_000

/**
 * Runs fio and answers what its first job did. `bytes` bounds the run as well as `seconds`, whichever is reached first.
 * `endedAtMs` is when fio had its figures, on the clock of the machine.
 */
export async function fio(uri, { pattern, blockBytes, depth, seconds, bytes, seed, beside = null }) {
  const jobs = [job('load', uri, { pattern, blockBytes, depth, seconds, bytes, seed })]
  if (beside !== null) jobs.push(job('beside', uri, { ...beside, seconds, bytes: null, seed: seed + 1 }))
  const { stdout, stderr } = await mustRun('fio', ['--output-format=json', ...jobs.flat()])
  const begin = stdout.indexOf('{')
  if (begin < 0) throw new Error(`fio reported nothing\n${stderr}`)
  const report = JSON.parse(stdout.slice(begin))
  const [first, second] = report.jobs
  for (const { error } of report.jobs) if (error !== 0) throw new Error(`fio failed with error ${error}\n${stderr}`)
  const way = pattern.includes('read') ? first.read : first.write
  const percentile = (at) => (way.lat_ns.percentile?.[at] ?? null) && way.lat_ns.percentile[at] / 1000
  return {
    requests: way.total_ios,
    bytes: way.io_bytes,
    iops: way.iops,
    bytesPerSecond: way.bw_bytes,
    runSeconds: way.runtime / 1000,
    p50Us: percentile('50.000000'),
    p99Us: percentile('99.000000'),
    p999Us: percentile('99.900000'),
    besideIops: second?.write.iops ?? null,
    endedAtMs: report.timestamp_ms,
  }
}

function job(name, uri, { pattern, blockBytes, depth, seconds, bytes, seed }) {
  const bound = bytes === null ? ['--time_based'] : [`--io_size=${bytes}`]
  return [
    `--name=${name}`,
    '--ioengine=nbd',
    `--uri=${uri}`,
    `--rw=${pattern}`,
    `--bs=${blockBytes}`,
    `--iodepth=${depth}`,
    `--runtime=${Math.round(seconds * 1000)}ms`,
    `--randseed=${seed}`,
    '--norandommap',
    '--clat_percentiles=0',
    '--lat_percentiles=1',
    ...bound,
  ]
}

/** The writer beside the reads of the overlay row. */
export const overlayWriter = { pattern: 'randwrite', blockBytes: 4096, depth: OVERLAY_WRITER_DEPTH }

/**
 * Durable writes with `qemu-img bench`, which can be given a count but no time: how fast the contender is is found out
 * first, by `before` measuring anything. Answers as {@link fio} does; latencies are not known.
 */
export async function fuaWrites(uri, { blockBytes, depth, seconds }, before) {
  const trial = FUA_TRIAL_WRITES * depth
  const perSecond = trial / (await fuaSeconds(uri, { blockBytes, depth, count: trial }))
  const count = Math.min(FUA_WRITES_MAX, Math.max(trial, Math.round(perSecond * seconds)))
  before()
  const runSeconds = await fuaSeconds(uri, { blockBytes, depth, count })
  return {
    requests: count,
    bytes: count * blockBytes,
    iops: count / runSeconds,
    bytesPerSecond: (count * blockBytes) / runSeconds,
    runSeconds,
    p50Us: null,
    p99Us: null,
    p999Us: null,
    besideIops: null,
    endedAtMs: Date.now(),
  }
}

async function fuaSeconds(uri, { blockBytes, depth, count }) {
  const load = [
    '-w',
    '-t',
    'writethrough',
    '-f',
    'raw',
    '-s',
    String(blockBytes),
    '-d',
    String(depth),
    '-c',
    String(count),
  ]
  const { stdout } = await mustRun('qemu-img', ['bench', ...load, uri])
  const seconds = Number(/Run completed in ([\d.]+) seconds/.exec(stdout)?.[1])
  if (!(seconds >= 0)) throw new Error(`qemu-img bench reported no time\n${stdout}`)
  return Math.max(seconds, 0.001)
}
