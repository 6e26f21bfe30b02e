/**
 * The syncs of one open descriptor, one at a time.
 *
 * The kernel reports a write that failed once to each descriptor. Of two syncs of one descriptor at the same time either may
 * get that report, and the other succeeds although bytes that it was asked about are lost. So one that is asked for while
 * another is under way waits, shares its turn with all that wait, and fails without a turn where the one before it failed.
 * It knows nothing of what is synced and repeats nothing.
 */
interface Waiter {
  readonly whole: boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class SyncTurns {
  readonly #work: (whole: boolean) => Promise<void>
  #isRunning = false
  #waiting: Waiter[] = []

  /** `work`: one sync, of the bytes or of the whole file, what is known of it included. */
  constructor(work: (whole: boolean) => Promise<void>) {
    this.#work = work
  }

  /** Resolves behind a sync that began after this was called. */
  sync(whole = false): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ whole, resolve, reject })
      if (!this.#isRunning) this.#run()
    })
  }

  #run(): void {
    const covered = this.#waiting
    this.#waiting = []
    this.#isRunning = true
    this.#work(covered.some(({ whole }) => whole)).then(
      () => {
        this.#isRunning = false
        for (const { resolve } of covered) resolve()
        if (this.#waiting.length > 0) this.#run()
      },
      (error: unknown) => {
        this.#isRunning = false
        // What is said of a failure now is said once: it may be about the bytes of those who wait.
        for (const { reject } of [...covered, ...this.#waiting.splice(0)]) reject(error)
      },
    )
  }
}
