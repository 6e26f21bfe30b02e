/**
 * The most resident memory that a process had in a stretch of its life.
 *
 * The kernel keeps the peak since the start, and forgets it on request; where that is refused, samples stand in for it,
 * and `exact` says so. It needs /proc.
 */
import { writeFileSync } from 'node:fs'
import { memoryBytes } from './processes.mjs'

const SAMPLE_MS = 100

/** Begins a stretch for these pids: `{ stop() }` ends it and answers `{ exact, bytes: [...] }` in their order. */
export function watchPeaks(pids) {
  const exact = pids.map(forgetPeak).every(Boolean)
  const seen = pids.map(() => 0)
  const sample = () => {
    for (const [at, pid] of pids.entries()) seen[at] = Math.max(seen[at], memoryBytes(pid, 'VmRSS'))
  }
  sample()
  const timer = setInterval(sample, SAMPLE_MS)
  return {
    stop() {
      clearInterval(timer)
      sample()
      return { exact, bytes: exact ? pids.map((pid) => memoryBytes(pid, 'VmHWM')) : seen }
    },
  }
}

function forgetPeak(pid) {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5')
    return true
  } catch {
    return false
  }
}
