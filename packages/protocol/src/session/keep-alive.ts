/**
 * Keep-alive: when to send a heartbeat, and when to give a peer up.
 *
 * Owns the decisions of one side as plain arithmetic over times that the session passes in; no timer, no message. Each
 * side judges for itself by what it hears: a cut that silences one direction only is seen by the side that hears
 * nothing, which ends the connection for both. Any byte received counts as life, whatever it means. A side that does
 * not listen (its input is full, `deaf`) never judges, and starts anew when it listens again.
 */
import { DETECT_MS_DEFAULT, HEARTBEAT_MS_DEFAULT } from '../limits.js'

/** Times of a keep-alive, in milliseconds. */
export interface KeepAliveTimes {
  /** A heartbeat is sent this often. */
  readonly heartbeatMs: number
  /** A peer that was silent for so long is given up. At least twice `heartbeatMs`. */
  readonly detectMs: number
}

/** What to do now. `again` is when to ask next, in milliseconds from now. */
export type KeepAliveStep =
  | { readonly kind: 'silent'; readonly forMs: number }
  | { readonly kind: 'send'; readonly again: number }
  | { readonly kind: 'wait'; readonly again: number }

export const KEEP_ALIVE_DEFAULT: KeepAliveTimes = { heartbeatMs: HEARTBEAT_MS_DEFAULT, detectMs: DETECT_MS_DEFAULT }

/** One side's keep-alive. Times passed in are of one monotonic clock, in milliseconds, and never fall. */
export class KeepAlive {
  #times: KeepAliveTimes
  #heardMs: number
  /** When the next heartbeat is due. */
  #dueMs: number
  #deaf = false

  constructor(times: KeepAliveTimes, nowMs: number) {
    this.#times = times
    this.#heardMs = nowMs
    this.#dueMs = nowMs
  }

  get times(): KeepAliveTimes {
    return this.#times
  }

  /** New times, as agreed. The silence so far was measured by the old ones and does not count. */
  retime(times: KeepAliveTimes, nowMs: number): void {
    this.#times = times
    this.#heardMs = nowMs
    this.#dueMs = Math.min(this.#dueMs, nowMs + times.heartbeatMs)
  }

  /** Bytes came, whatever they were. */
  heard(nowMs: number): void {
    this.#heardMs = nowMs
  }

  /** True: we stopped listening, and silence means nothing. False: we listen again, and silence counts from now. */
  setDeaf(deaf: boolean, nowMs: number): void {
    if (this.#deaf && !deaf) this.#heardMs = nowMs
    this.#deaf = deaf
  }

  /** Judges the peer and the time; after `send` the caller has sent, or left it because older bytes wait to be sent. */
  step(nowMs: number): KeepAliveStep {
    const silentMs = nowMs - this.#heardMs
    if (!this.#deaf && silentMs >= this.#times.detectMs) return { kind: 'silent', forMs: silentMs }
    const send = nowMs >= this.#dueMs
    if (send) this.#dueMs = nowMs + this.#times.heartbeatMs
    const giveUpMs = this.#deaf ? Number.POSITIVE_INFINITY : this.#heardMs + this.#times.detectMs
    return { kind: send ? 'send' : 'wait', again: Math.max(0, Math.min(this.#dueMs, giveUpMs) - nowMs) }
  }
}
