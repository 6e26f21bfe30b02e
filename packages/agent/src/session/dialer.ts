/**
 * The dialer: an agent that no primary can reach dials the primary itself, and again whenever the connection is over.
 *
 * Owns the attempts, one at a time, over the addresses in turn. A connection is a session's from its first byte, as if the
 * primary had dialled: who says hello does not change. It judges nobody; the transport has done that before.
 */
import { backoffMs, type Clock, type Connection, type Random, type Timer } from '@sitelink/protocol'
import { reason } from '../errors.js'
import type { AgentEventSink } from '../events.js'
import { DIAL_BACKOFF_MS_MAX, DIAL_BACKOFF_MS_MIN, DIAL_MS_MAX } from '../limits.js'

export interface DialerOptions {
  readonly clock: Clock
  readonly random: Random
  /** At least one, tried in turn. */
  readonly addresses: readonly string[]
  readonly dial: (
    address: string,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ) => Promise<Connection>
  /** Takes a connection; `ended` is called once, when its session is over. `established`: it got as far as that. */
  readonly accept: (connection: Connection, ended: (established: boolean) => void) => void
  readonly event: AgentEventSink
}

const TIMES = { minMs: DIAL_BACKOFF_MS_MIN, maxMs: DIAL_BACKOFF_MS_MAX }

export class Dialer {
  readonly #options: DialerOptions
  /** Attempts since a session was established. */
  #attempt = 0
  /** Which address is next: another one only after an attempt that led to no session. */
  #next = 0
  #problem: string | null = null
  #abort: AbortController | null = null
  #timer: Timer | null = null
  #stopped = false

  constructor(options: DialerOptions) {
    this.#options = options
  }

  /** Why the last attempt failed, or null. */
  get problem(): string | null {
    return this.#problem
  }

  start(): void {
    const { addresses, dial, accept } = this.#options
    if (this.#stopped) return
    const address = addresses[this.#next % addresses.length] as string
    this.#abort = new AbortController()
    dial(address, { timeoutMs: DIAL_MS_MAX, signal: this.#abort.signal }).then(
      (connection) => {
        if (this.#stopped) return connection.destroy()
        this.#problem = null
        accept(connection, (established) => {
          this.#again(established)
        })
      },
      (error: unknown) => {
        if (this.#stopped) return
        this.#failed(address, reason(error))
        this.#again(false)
      },
    )
  }

  stop(): void {
    this.#stopped = true
    this.#abort?.abort()
    this.#timer?.cancel()
  }

  #again(established: boolean): void {
    if (this.#stopped) return
    if (established) this.#attempt = 0
    else this.#next += 1
    const { clock, random, addresses } = this.#options
    const waitMs = backoffMs(this.#attempt, addresses.length, TIMES, random)
    this.#attempt += 1
    this.#timer = clock.after(waitMs, () => this.start())
  }

  /** Told once, until another reason comes. */
  #failed(address: string, why: string): void {
    const said = this.#problem
    this.#problem = why
    if (said === why) return
    this.#options.event({
      level: 'warn',
      kind: 'dial-failed',
      message: `dialling the primary: ${why}`,
      facts: { address },
    })
  }
}
