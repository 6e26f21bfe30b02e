/**
 * One row on one contender: the load, what it reports, and what the kernel says that the contender used for it.
 *
 * The contender is settled before and after. Processor time runs from the first request until everything is flushed and
 * drained, so that nobody gains by doing the work later. The figures of a burst are those of the load alone.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { usageOf } from '../lib/processes.mjs'
import { bytesOf, secondsOf, warmUp } from './rows.mjs'
import { fio, fuaWrites, overlayWriter } from './work.mjs'

/** What the harness asks a contender while reads run beside writes: often enough to see a typical state. */
const SAMPLES = 3

/** Warms a contender up: the same work for each, which is not reported. */
export async function warm(contender, { warmUp: seconds, seed }) {
  for (const load of warmUp(seconds)) {
    if (load.kind === 'fua') await fuaWrites(contender.uri, load, () => {})
    else await fio(contender.uri, { ...load, seed })
  }
  await contender.settle()
}

/** Answers the figures of `row` on `contender`, which runs. Times are seconds, latencies and processor time microseconds. */
export async function measure(contender, row, { seconds, seed, logBytes }) {
  const bounds = { seconds: secondsOf(row, seconds), bytes: bytesOf(row, { logBytes }) }
  const load = { ...row, ...bounds, seed }
  await contender.settle()
  let before = usageOf(contender.pids())
  const samples = []
  const done = await (row.kind === 'fua'
    ? fuaWrites(contender.uri, load, () => (before = usageOf(contender.pids())))
    : row.kind === 'overlay'
      ? beside(contender, samples, bounds.seconds, fio(contender.uri, { ...load, beside: overlayWriter }))
      : fio(contender.uri, load))
  const after = await contender.sample()
  await contender.settle()
  const settledAtMs = Date.now()
  const settleSeconds = Math.max(0, settledAtMs - done.endedAtMs) / 1000
  const used = usageOf(contender.pids()).cpuUs - before.cpuUs
  const { endedAtMs: _, ...figures } = done
  return {
    ...figures,
    logBytes,
    settleSeconds,
    drainedBytesPerSecond: row.kind === 'read' ? null : done.bytes / (done.runSeconds + settleSeconds),
    cpuUsPerRequest: row.kind === 'overlay' || done.requests === 0 ? null : used / done.requests,
    after,
    samples,
  }
}

/** Asks a contender how it stands while its load runs; answers what the load answers. */
async function beside(contender, samples, seconds, load) {
  let over = false
  const ended = load.finally(() => (over = true))
  const asking = (async () => {
    for (let n = 0; n < SAMPLES && !over; n++) {
      await delay((seconds * 1000) / SAMPLES)
      samples.push(await contender.sample())
    }
  })()
  const [answer] = await Promise.all([ended, asking])
  return answer
}
