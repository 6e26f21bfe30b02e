/**
 * Changes of the tables that applied frames ask for, written down one after the other, each until it is.
 *
 * Owns their queue. Nobody waits for them in the stream, so nobody else would try again: one that fails (a full file
 * system) is reported once and repeated until it works or the line stops; a restart finds its frame again in the journal.
 * Work is safe to be repeated.
 */
import type { Clock } from '@sitelink/protocol'

const RETRY_MS = 1000

export class TableUpdates {
  readonly #clock: Clock
  readonly #failed: (error: unknown) => void
  #queue: Promise<void> = Promise.resolve()
  #stopped = false
  #wake = (): void => {}

  constructor(clock: Clock, failed: (error: unknown) => void) {
    this.#clock = clock
    this.#failed = failed
  }

  /** `work` is done after all that was added before it. Its promise must not be resolved before it is durable. */
  add(work: () => Promise<void>): void {
    this.#queue = this.#queue.then(() => this.#untilDone(work))
  }

  /** Nothing is repeated any more; what is under way is waited for. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#wake()
    await this.#queue
  }

  async #untilDone(work: () => Promise<void>): Promise<void> {
    for (let attempt = 1; !this.#stopped; attempt++) {
      try {
        return await work()
      } catch (error) {
        if (attempt === 1) this.#failed(error)
      }
      await this.#pause()
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(RETRY_MS, resolve)
      this.#wake = () => {
        timer.cancel()
        resolve()
      }
      if (this.#stopped) this.#wake()
    })
  }
}
