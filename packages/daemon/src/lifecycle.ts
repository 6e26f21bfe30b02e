/**
 * The services of a daemon: started in the order in which they were added, stopped in the reverse.
 *
 *   idle -> starting -> running -> stopping -> stopped
 *              |                      ^
 *              +--- a start fails ----+
 *
 * Every step has a time limit. Whatever happens, each service whose start was begun is asked to stop exactly once, and
 * no failure of one keeps the others from being stopped.
 */
import assert from 'node:assert/strict'
import type { Clock } from '@sitelink/protocol/entry'
import { daemonErrors } from './daemon-errors.js'
import { SERVICE_START_MS_MAX, SERVICE_STOP_MS_MAX } from './limits.js'
import type { Log } from './log.js'

/** Something that runs as long as the daemon does. */
export interface Service {
  readonly name: string
  /** Resolves once the service does its work. `signal` aborts when the start is given up: by a stop, or by its limit. */
  start?(signal: AbortSignal): Promise<void>
  /** Takes no more work and ends what is under way, while all other services still run. */
  drain?(reason: string, signal: AbortSignal): Promise<void>
  /** Gives everything back. Is called after a failed start too. When `signal` aborts, nobody waits much longer. */
  stop?(reason: string, signal: AbortSignal): Promise<void>
  readonly startMsMax?: number
  /** For `drain` and for `stop`, each. */
  readonly stopMsMax?: number
}

export type LifecycleState =
  | { readonly kind: 'idle' }
  | { readonly kind: 'starting'; readonly service: string }
  | { readonly kind: 'running' }
  | { readonly kind: 'stopping'; readonly reason: string }
  | { readonly kind: 'stopped'; readonly reason: string }

/** A service that did not drain or stop as it should. */
export interface StopFailure {
  readonly service: string
  readonly error: unknown
}

/** What a step still gets after its signal has aborted, to end on its own. */
const GRACE_MS = 1_000

/** See the head of this file. */
export class Lifecycle {
  readonly #clock: Clock
  readonly #log: Log
  readonly #services: Service[] = []
  readonly #begun: Service[] = []
  readonly #giveUp = new AbortController()
  #state: LifecycleState = { kind: 'idle' }
  #started: Promise<void> = Promise.resolve()
  #stopping: Promise<readonly StopFailure[]> | null = null
  #reportFailure: (error: unknown) => void = () => {}
  #reportStopped: (failures: readonly StopFailure[]) => void = () => {}

  /** Resolves with the error that a running service gave to {@link Lifecycle.fail}; else never. */
  readonly failed: Promise<unknown>

  /** Resolves when all is stopped, whoever asked for it, as {@link Lifecycle.stop} does. */
  readonly stopped: Promise<readonly StopFailure[]>

  constructor(clock: Clock, log: Log) {
    this.#clock = clock
    this.#log = log
    this.stopped = new Promise((resolve) => (this.#reportStopped = resolve))
    this.failed = new Promise((resolve) => (this.#reportFailure = resolve))
  }

  get state(): LifecycleState {
    return this.#state
  }

  /** Adds a service behind those that are there. Before the start only. */
  add(service: Service): this {
    assert(this.#state.kind === 'idle', 'services are added before the start')
    this.#services.push(service)
    return this
  }

  /** Starts all. Where one fails, those begun are stopped, and its error is thrown: as it is, or `SERVICE_TIMEOUT`. */
  async start(): Promise<void> {
    assert(this.#state.kind === 'idle', 'a lifecycle starts once')
    this.#started = this.#startAll()
    try {
      await this.#started
    } catch (error) {
      await this.stop('the start failed')
      throw error
    }
  }

  /** Drains all, then stops all, both in reverse order. Resolves with what went wrong. Repeating it waits for the first. */
  stop(reason: string): Promise<readonly StopFailure[]> {
    this.#stopping ??= this.#stopAll(reason)
    return this.#stopping
  }

  /** A service says that it cannot go on; who runs the daemon decides what follows. */
  fail(service: string, error: unknown): void {
    this.#log.error('a service failed', { service, error })
    this.#reportFailure(error)
  }

  async #startAll(): Promise<void> {
    for (const service of this.#services) {
      if (this.#giveUp.signal.aborted) throw this.#giveUp.signal.reason
      this.#state = { kind: 'starting', service: service.name }
      this.#begun.push(service)
      const beganMs = this.#clock.nowMs()
      await this.#step(service, 'start', service.startMsMax ?? SERVICE_START_MS_MAX, async (signal) =>
        service.start?.(signal),
      )
      this.#log.debug('service started', { service: service.name, tookMs: Math.round(this.#clock.nowMs() - beganMs) })
    }
    if (this.#giveUp.signal.aborted) throw this.#giveUp.signal.reason
    this.#state = { kind: 'running' }
  }

  async #stopAll(reason: string): Promise<readonly StopFailure[]> {
    this.#state = { kind: 'stopping', reason }
    this.#giveUp.abort(daemonErrors.create('LIFECYCLE_STOPPED', { reason }))
    await this.#started.catch(() => {}) // the caller of start gets it
    this.#state = { kind: 'stopping', reason }
    const failures: StopFailure[] = []
    const reversed = this.#begun.toReversed()
    for (const verb of ['drain', 'stop'] as const) {
      for (const service of reversed) {
        if (service[verb] === undefined) continue
        const limitMs = service.stopMsMax ?? SERVICE_STOP_MS_MAX
        await this.#step(service, verb, limitMs, async (signal) => service[verb]?.(reason, signal)).catch(
          (error: unknown) => {
            this.#log.error(`service did not ${verb}`, { service: service.name, error })
            failures.push({ service: service.name, error })
          },
        )
      }
    }
    this.#state = { kind: 'stopped', reason }
    this.#reportStopped(failures)
    return failures
  }

  /** One step under its limit: its signal aborts at the limit, and a little later it is left alone. */
  #step(
    service: Service,
    verb: 'start' | 'drain' | 'stop',
    limitMs: number,
    run: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const control = new AbortController()
    const onGiveUp = (): void => control.abort(this.#giveUp.signal.reason)
    if (verb === 'start') this.#giveUp.signal.addEventListener('abort', onGiveUp, { once: true })
    return new Promise<void>((resolve, reject) => {
      const late = daemonErrors.create('SERVICE_TIMEOUT', { service: service.name, verb, timeoutMs: limitMs })
      let timer = this.#clock.after(limitMs, () => {
        timer = this.#clock.after(GRACE_MS, () => reject(late))
        control.abort(late)
      })
      const settle = (finish: () => void): void => {
        timer.cancel()
        this.#giveUp.signal.removeEventListener('abort', onGiveUp)
        finish()
      }
      run(control.signal).then(
        () => settle(() => (verb === 'start' && control.signal.aborted ? reject(control.signal.reason) : resolve())),
        (error: unknown) => settle(() => reject(control.signal.reason === late ? late : error)),
      )
    })
  }
}
