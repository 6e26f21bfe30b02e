/**
 * Syncs the devices early when a resync has brought what there was to bring.
 *
 * Owns one timer. Regions count as clean once they are on stable storage, which write-back sees to once a second; who waits
 * for the end of a short resync should not wait for that. While more is coming, the usual pace is the better one: one sync
 * for many regions. Invariant: at most one early sync per delay.
 */
import type { Clock, Timer } from '@sitelink/protocol'

export class CatchUp {
  readonly #clock: Clock
  readonly #delayMs: number
  readonly #sync: () => void
  #timer: Timer | null = null
  #stopped = false

  /** `sync` is called `delayMs` after the applier was told to have caught up, once for all that is told meanwhile. */
  constructor(clock: Clock, delayMs: number, sync: () => void) {
    this.#clock = clock
    this.#delayMs = delayMs
    this.#sync = sync
  }

  /** The applier stands at the end of the journal, and regions are dirty. */
  reached(): void {
    if (this.#stopped) return
    this.#timer ??= this.#clock.after(this.#delayMs, () => {
      this.#timer = null
      this.#sync()
    })
  }

  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
    this.#timer = null
  }
}
