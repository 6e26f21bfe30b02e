/**
 * Time and randomness as they are passed in: the only doors to them. Rooms below the programs never call `Date.now`,
 * `setTimeout` or `Math.random`; the daemon passes real ones, the simulator seeded ones.
 */

/** A pending timer. Cancelling twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void
}

/** Time as seen by one process. */
export interface Clock {
  /** Wall-clock time in microseconds since 1970. May jump; used for reports and stamps only, never for deciding. */
  wallUs(): number
  /** Monotonic time in milliseconds, fractional, from an arbitrary start. */
  nowMs(): number
  /** Calls `action` once after at least `delayMs`. The timer keeps the process alive. */
  after(delayMs: number, action: () => void): Timer
  /** Calls `action` soon, after the input that is already waiting has been handled (as `setImmediate`). */
  soon(action: () => void): void
}

/** Unpredictable bytes for identities. */
export interface Random {
  /** Fills and returns a buffer of `count` random bytes. */
  bytes(count: number): Buffer
}
