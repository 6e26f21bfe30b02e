/**
 * The wish for a superblock soon: many of one turn become one write.
 *
 * Owns the pending wish. A failed write is the log's business, which tells its listener.
 */
import type { Clock } from '@sitelink/protocol'
import type { RingLog } from '@sitelink/storage'

export class SuperblockWish {
  readonly #clock: Clock
  #pending = false

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** `log` null: nothing may be written any more, then or now. */
  make(log: () => RingLog | null): void {
    if (this.#pending || log() === null) return
    this.#pending = true
    this.#clock.soon(() => {
      this.#pending = false
      log()
        ?.writeSuperblock()
        .catch(() => {})
    })
  }
}
