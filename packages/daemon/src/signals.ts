/**
 * What signals and crashes do to a daemon.
 *
 * The first SIGTERM or SIGINT drains and stops, the second ends the process at once with 128 + its number. A bug that
 * nobody caught is logged and ends it with 70: the logs are made for that, and a process that goes on after it is not.
 */
import { constants } from 'node:os'
import { daemonErrors } from './daemon-errors.js'
import { EXIT } from './errors.js'
import type { Lifecycle } from './lifecycle.js'
import type { Log } from './log.js'

/** The part of `process` that is needed, so that a test can stand in. */
export interface SignalSource {
  on(event: string, listener: (value: unknown) => void): unknown
  off(event: string, listener: (value: unknown) => void): unknown
}

export interface SignalOptions {
  readonly log: Log
  /** The first SIGTERM or SIGINT, or a SIGHUP where there is nothing to reload. Called once. */
  readonly onStop: (signal: NodeJS.Signals) => void
  /** SIGHUP. An error is logged and changes nothing. */
  readonly onReload?: () => Promise<void>
  /** Ends the process at once. */
  readonly exit?: (status: number) => void
  readonly source?: SignalSource
}

/** Listens to SIGTERM, SIGINT and SIGHUP. Returns the function that ends it. */
export function watchSignals({
  log,
  onStop,
  onReload,
  exit = process.exit,
  source = process,
}: SignalOptions): () => void {
  let stopping = false
  const stop = (signal: NodeJS.Signals) => (): void => {
    if (stopping) {
      log.fatal('ended at once by a second signal', { signal })
      return exit(128 + constants.signals[signal])
    }
    stopping = true
    log.info('stopping; a second signal ends the process at once', { signal })
    onStop(signal)
  }
  const reload = (): void => {
    log.info('reloading', { signal: 'SIGHUP' })
    onReload?.().catch((error: unknown) => log.error('could not reload', { error }))
  }
  const listeners: (readonly [string, (value: unknown) => void])[] = [
    ['SIGTERM', stop('SIGTERM')],
    ['SIGINT', stop('SIGINT')],
    ['SIGHUP', onReload === undefined ? stop('SIGHUP') : reload],
  ]
  return listen(source, listeners)
}

/** Logs what nobody caught as fatal and ends the process with 70. Returns the function that ends it. */
export function watchCrashes({
  log,
  exit = process.exit,
  source = process,
}: Pick<SignalOptions, 'log' | 'exit' | 'source'>): () => void {
  const crash =
    (what: string) =>
    (error: unknown): void => {
      log.fatal(what, { error })
      exit(EXIT.software)
    }
  return listen(source, [
    ['uncaughtException', crash('a bug that nobody caught')],
    ['unhandledRejection', crash('a rejection that nobody handled')],
  ])
}

/**
 * Runs a daemon to its end: starts the lifecycle, waits for a signal, a service that fails, or a stop from elsewhere (a
 * verb). Resolves after a clean stop; throws what failed: a start, a running service, or a service that did not stop.
 */
export async function runDaemon(lifecycle: Lifecycle, options: Omit<SignalOptions, 'onStop'>): Promise<void> {
  const { log } = options
  const unwatchCrashes = watchCrashes(options)
  const unwatchSignals = watchSignals({ ...options, onStop: (signal) => void lifecycle.stop(signal) })
  let failure: { readonly error: unknown } | null = null
  void lifecycle.failed.then((error) => {
    failure = { error }
    return lifecycle.stop('a service failed')
  })
  try {
    try {
      await lifecycle.start()
    } catch (error) {
      if (daemonErrors.is(error, 'LIFECYCLE_STOPPED')) return // a signal came before it was up, and all is stopped
      throw error
    }
    log.info('ready')
    const failures = await lifecycle.stopped
    log.info('stopped', { failures: failures.length })
    for (const { error } of [...(failure === null ? [] : [failure as { error: unknown }]), ...failures]) throw error
  } finally {
    unwatchSignals()
    unwatchCrashes()
    log.flush()
  }
}

function listen(source: SignalSource, listeners: readonly (readonly [string, (value: unknown) => void])[]): () => void {
  for (const [event, listener] of listeners) source.on(event, listener)
  return () => {
    for (const [event, listener] of listeners) source.off(event, listener)
  }
}
