/**
 * How long one operation takes, on a machine that does other things too.
 *
 * Owns the loop: batches of a few milliseconds, each timed by itself; the figure of a round is the median of its batches,
 * so that a batch during which the process did not run counts for nothing. Knows nothing of what it measures.
 */

/** Long against the clock's step, short against the time that a process is left alone for. */
const BATCH_MS = 2
const WARM_MS = 60

/** Runs the case until the compiler is done with it; answers how many operations make a batch. */
export function batchOf({ run }, { warmMs = WARM_MS, batchMs = BATCH_MS } = {}) {
  let count = 1
  const best = () => {
    let leastMs = Infinity
    for (let i = 0; i < 3; i++) leastMs = Math.min(leastMs, timed(run, count))
    return leastMs
  }
  const endMs = performance.now() + warmMs
  let leastMs = best()
  while (performance.now() < endMs || (leastMs < batchMs / 4 && count < 1e9)) {
    if (leastMs < batchMs) count *= 2
    leastMs = best()
  }
  return Math.max(1, Math.round((count * batchMs) / Math.max(leastMs, 1e-3)))
}

/** Nanoseconds of one operation: the median of so many batches. */
export function nanosecondsEach({ run }, count, batches) {
  const times = Array.from({ length: batches }, () => timed(run, count)).sort((a, b) => a - b)
  return (times[Math.floor(batches / 2)] * 1e6) / count
}

let kept = 0

function timed(run, count) {
  const beganMs = performance.now()
  // What it answers is kept, so that the work cannot be left out.
  kept = (kept ^ run(count)) | 0
  return performance.now() - beganMs
}
