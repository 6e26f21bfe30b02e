/**
 * Stores that regions became clean: lazily, because forgetting it only costs a copy more.
 *
 * Owns one pending flush at a time. A failure is told and the marks stay for the next one.
 */
import type { Clock } from '@sitelink/protocol'
import { CLEAN_FLUSH_MS } from '../limits.js'

export class CleanFlush {
  readonly #clock: Clock
  readonly #flush: () => Promise<void>
  readonly #failed: (error: Error) => void
  #pending = false

  constructor(clock: Clock, flush: () => Promise<void>, failed: (error: Error) => void) {
    this.#clock = clock
    this.#flush = flush
    this.#failed = failed
  }

  /** Within {@link CLEAN_FLUSH_MS}. */
  soon(): void {
    if (this.#pending) return
    this.#pending = true
    this.#clock.after(CLEAN_FLUSH_MS, () => this.now())
  }

  now(): void {
    this.#pending = false
    this.#flush().catch(this.#failed)
  }
}
