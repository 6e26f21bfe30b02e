/**
 * Waiting for a condition of another process: by asking until it holds, with a deadline, never by sleeping "long enough".
 *
 * The interval only bounds how often is asked; the deadline is far beyond what a slow machine needs and means failure.
 */
import { setTimeout as delay } from 'node:timers/promises'

export interface WaitOptions {
  /** Failure after so long. Default 60 s. */
  readonly timeoutMs?: number
  /** Pause between two questions. Default 20 ms. */
  readonly intervalMs?: number
}

/**
 * Asks `probe` until it answers something other than false, null or undefined, and answers that. A probe that throws
 * counts as "not yet". At the deadline it throws with `what`, and with the last answer or error.
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | false | null | undefined> | T | false | null | undefined,
  { timeoutMs = 60_000, intervalMs = 20 }: WaitOptions = {},
): Promise<T> {
  const endMs = performance.now() + timeoutMs
  let last = 'no answer'
  for (;;) {
    try {
      const answer = await probe()
      if (answer !== false && answer !== null && answer !== undefined) return answer
      last = `answer: ${String(answer)}`
    } catch (error) {
      last = `error: ${error instanceof Error ? error.message : String(error)}`
    }
    if (performance.now() >= endMs) throw new Error(`waited ${timeoutMs} ms for ${what}; last ${last}`)
    await delay(intervalMs)
  }
}
