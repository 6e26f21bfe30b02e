/**
 * Those who wait for layers to be applied: drains, and detaches that apply first.
 *
 * Owns the list and answers each exactly once: when the one who drives it finds it done, or hopeless, or all at a stop.
 */
import type { DeviceLane } from './lane.js'
import { WriteBackLimitEnded, WriteBackStopped } from './stopped.js'

/** Somebody who waits until the layers up to `sequence` are applied: of one device (its lane) or of all (null). */
export interface Wait {
  readonly sequence: number
  readonly lane: DeviceLane | null
}

interface Waiter extends Wait {
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

export class Waiters {
  #list: Waiter[] = []
  #stopped = false

  get waits(): readonly Wait[] {
    return this.#list
  }

  /**
   * Resolves when {@link answer} finds it done; rejects with {@link WriteBackLimitEnded} when it finds it hopeless, and with
   * {@link WriteBackStopped} at or after a stop.
   */
  add(wait: Wait): Promise<void> {
    if (this.#stopped) return Promise.reject(new WriteBackStopped())
    return new Promise((resolve, reject) => this.#list.push({ ...wait, resolve, reject }))
  }

  /** Answers those of whom `isDone` is true, and refuses those of the others of whom `isHopeless` is. */
  answer(isDone: (wait: Wait) => boolean, isHopeless: (wait: Wait) => boolean): void {
    if (this.#list.length === 0) return
    const left: Waiter[] = []
    for (const waiter of this.#list) {
      if (isDone(waiter)) waiter.resolve()
      else if (isHopeless(waiter)) waiter.reject(new WriteBackLimitEnded())
      else left.push(waiter)
    }
    this.#list = left
  }

  stop(): void {
    this.#stopped = true
    const waiters = this.#list
    this.#list = []
    for (const waiter of waiters) waiter.reject(new WriteBackStopped())
  }
}
