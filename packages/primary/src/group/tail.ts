/**
 * The tail of the replog: what nobody needs any more is let go, in the right order.
 *
 * Owns the rule that the dirty logs of every slink that a superblock calls behind are durable up to the new tail before
 * the log may reuse anything below it. One advance at a time; a failed flush keeps the entries and is tried again.
 */
import type { Clock, LogPosition } from '@sitelink/protocol'
import type { RingLog } from '@sitelink/storage'
import type { Slink } from '../slink/slink.js'

/** Flushes for the sake of space happen in steps of the ring of at least this share, unless a writer waits. */
const STEP_SHARE = 1 / 32

const RETRY_MS = 1000

export interface TailOptions {
  readonly log: RingLog
  readonly clock: Clock
  readonly slinks: () => Iterable<Slink>
  readonly localPin: () => LogPosition
  readonly starving: () => boolean
  readonly failed: (slink: Slink, error: Error) => void
}

export class Tail {
  readonly #options: TailOptions
  #released: LogPosition
  #running = false
  #again = false
  #closed = false

  constructor(options: TailOptions) {
    this.#options = options
    this.#released = options.log.tail
  }

  /** Lowest position that somebody needs. */
  get target(): LogPosition {
    let target = this.#options.localPin()
    for (const slink of this.#options.slinks()) {
      const { pin } = slink
      if (pin !== null && slink.mappings.size > 0 && pin < target) target = pin
    }
    return target
  }

  /** Lets go what may be let go. Cheap when nothing moved. */
  advance(): void {
    if (this.#running) {
      this.#again = true
      return
    }
    const { target } = this
    if (this.#closed || target <= this.#released) return
    const flushes = [...this.#options.slinks()].filter((slink) => slink.needsFlushBeforeRelease)
    if (flushes.length === 0) {
      this.#release(target)
      return
    }
    const step = this.#options.log.ringBytes * STEP_SHARE
    if (target - this.#released < step && !this.#options.starving()) return
    this.#running = true
    void this.#flushAndRelease(flushes, target)
  }

  close(): void {
    this.#closed = true
  }

  async #flushAndRelease(flushes: readonly Slink[], target: LogPosition): Promise<void> {
    const results = await Promise.all(
      flushes.map((slink) =>
        slink.flushMarks().then(
          () => true,
          (error: Error) => {
            this.#options.failed(slink, error)
            return false
          },
        ),
      ),
    )
    this.#running = false
    if (this.#closed) return
    if (results.every(Boolean)) {
      // Only what was no pin's business before the flush: everything below was marked when the flush began.
      this.#release(Math.min(target, this.target))
      if (this.#again) {
        this.#again = false
        this.advance()
      }
      return
    }
    this.#again = false
    this.#options.clock.after(RETRY_MS, () => this.advance())
  }

  #release(target: LogPosition): void {
    if (target <= this.#released) return
    this.#released = target
    this.#options.log.releaseBelow(target)
  }
}
