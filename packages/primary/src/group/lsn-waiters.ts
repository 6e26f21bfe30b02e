/**
 * Those who wait until a mark of the log reaches an LSN: few and rare, so each is a promise.
 *
 * Owns their queue. LSNs are given in order, so the queue is sorted; a failed log rejects all, and all that come later.
 */
import type { Lsn } from '@sitelink/protocol'

interface Waiter {
  readonly lsn: Lsn
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class LsnWaiters {
  #waiters: Waiter[] = []
  #failure: Error | null = null

  /** Resolves when the mark, which is at `now`, has reached `lsn`; rejects if {@link fail} comes first, or came already. */
  reach(lsn: Lsn, now: Lsn): Promise<void> {
    if (now >= lsn) return Promise.resolve()
    if (this.#failure !== null) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => this.#waiters.push({ lsn, resolve, reject }))
  }

  /** The mark is at `lsn` now. */
  reached(lsn: Lsn): void {
    while (this.#waiters.length > 0 && (this.#waiters[0] as Waiter).lsn <= lsn) this.#waiters.shift()?.resolve()
  }

  fail(error: Error): void {
    this.#failure = error
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
  }
}
