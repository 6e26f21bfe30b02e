/**
 * The real clock of a running process.
 *
 * Owns nothing but the pending timers it handed out. It is the only file of the programs that reads the time or starts
 * a timer; everything else takes a `Clock`, so that a simulator can replace it. Invariant: `nowMs` never runs backwards.
 */
import type { Clock, Timer } from '@sitelink/protocol/entry'

/** Longest delay that Node's timers keep; a longer one would fire at once. About 24.8 days. */
const TIMER_DELAY_MS_MAX = 0x7fff_ffff

/** {@link Clock} over the operating system's clocks. Stateless; one per process is enough. */
export class RealClock implements Clock {
  /** Microseconds since 1970 by the wall clock, resolution about 1 ms or better. */
  wallUs(): number {
    return Math.round((performance.timeOrigin + performance.now()) * 1000) + this.#wallDriftUs()
  }

  /** Milliseconds, monotonic, since the process started. */
  nowMs(): number {
    return performance.now()
  }

  /**
   * Never fires before its time by {@link nowMs}: Node counts whole milliseconds and may be one too early, the rest is
   * waited for then. Delays above 24.8 days are carried over in steps; negative ones count as 0.
   */
  after(delayMs: number, action: () => void): Timer {
    const dueMs = this.nowMs() + delayMs
    let handle: NodeJS.Timeout
    const arm = (leftMs: number): void => {
      const stepMs = Math.ceil(Math.min(Math.max(leftMs, 0), TIMER_DELAY_MS_MAX))
      handle = setTimeout(() => {
        const stillMs = dueMs - this.nowMs()
        if (stillMs > 0) arm(stillMs)
        else action()
      }, stepMs)
    }
    arm(delayMs)
    return { cancel: () => clearTimeout(handle) }
  }

  soon(action: () => void): void {
    setImmediate(action)
  }

  /** `performance` never follows a wall clock that was set after the start, so `Date` has the last word beyond 1 ms. */
  #wallDriftUs(): number {
    const preciseMs = performance.timeOrigin + performance.now()
    const driftMs = Date.now() - preciseMs
    return Math.abs(driftMs) <= 2 ? 0 : Math.round(driftMs * 1000)
  }
}

/** Resolves after at least `delayMs`, or at once when `signal` aborts. Never rejects: look at `signal.aborted`. */
export function delay(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve()
    const done = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    const timer = clock.after(delayMs, done)
    signal?.addEventListener('abort', done, { once: true })
  })
}

/** Resolves when `work` has ended, however, or after `ms` milliseconds. Never rejects. */
export async function within(clock: Clock, ms: number, work: Promise<unknown>): Promise<void> {
  const late = new AbortController()
  await Promise.race([work.catch(() => {}), delay(clock, ms, late.signal)])
  late.abort()
}
