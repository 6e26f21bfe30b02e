/**
 * Those who have connected to an encrypted listener and are not known yet: how many, for how long, and what is told of them.
 *
 * Owns their connections until they are through or turned away, so that strangers hold at most {@link GATES_MAX} descriptors
 * for at most {@link GATE_MS}. One more comes in, and the one who has waited longest is cut off. Whoever is turned away is
 * reported once. It judges nobody.
 */
import type { Clock, Timer } from '../entry/clock.js'

/** A stranger has so long for the whole way through the gate, in milliseconds. */
export const GATE_MS = 10_000
/** So many may wait at once. */
export const GATES_MAX = 64

/** Somebody who was turned away. */
export interface TlsRefusal {
  readonly remote: string
  /** The key that it showed; null where it got not as far. */
  readonly key: string | null
  /** What is wrong with it, as the end of a sentence about it. */
  readonly why: string
}

interface Waiting {
  readonly remote: string
  readonly cutOff: () => void
  readonly timer: Timer
  told: boolean
}

/** See the file's head. Who waits has a name that no two connections share: `host:port` where it is one. */
export class TlsWaitingRoom {
  readonly #clock: Clock
  readonly #refused: (refusal: TlsRefusal) => void
  /** Longest first. */
  readonly #waiting = new Map<string, Waiting>()

  constructor(clock: Clock, refused: (refusal: TlsRefusal) => void) {
    this.#clock = clock
    this.#refused = refused
  }

  /** `remote`: `host:port`, for reports. */
  enter(name: string, remote: string, cutOff: () => void): void {
    const longest = this.#waiting.keys().next()
    if (this.#waiting.size >= GATES_MAX && longest.done !== true) {
      this.refuse(longest.value, null, `more than ${GATES_MAX} connections wait to be known, and it came first`)
    }
    const timer = this.#clock.after(GATE_MS, () => {
      this.refuse(name, null, `it had not shown within ${GATE_MS} ms who it is`)
    })
    this.#waiting.set(name, { remote, cutOff, timer, told: false })
  }

  has(name: string): boolean {
    return this.#waiting.has(name)
  }

  /** It waits no more: it is through, or gone. */
  leave(name: string): void {
    this.#waiting.get(name)?.timer.cancel()
    this.#waiting.delete(name)
  }

  /** Turns it away at once. */
  refuse(name: string, key: string | null, why: string): void {
    const waiting = this.#waiting.get(name)
    this.tell(name, key, why)
    waiting?.cutOff()
    this.leave(name)
  }

  /** Reports that it was turned away; it has until its time is up to take its leave. */
  tell(name: string, key: string | null, why: string): void {
    const waiting = this.#waiting.get(name)
    if (waiting?.told === true) return
    if (waiting !== undefined) waiting.told = true
    this.#refused({ remote: waiting?.remote ?? name, key, why })
  }
}
