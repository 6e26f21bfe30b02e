/**
 * What every daemon's `run` has around it: a logger at the level that was asked for, and the lock of its state directory.
 *
 * Owns the order: nothing is served without the lock, and the lock outlives everything that is served. It knows no
 * daemon.
 */
import type { CliContext } from './cli.js'
import { createLog, type Log } from './log.js'
import type { LogLevel } from './log-level.js'
import type { StateDirectory } from './state-directory.js'
import type { StateLock } from './state-lock.js'

/** Where a daemon runs. */
export interface DaemonPlace {
  readonly state: StateDirectory
  readonly lock: StateLock
  readonly log: Log
}

/** A daemon waits so long for another command to let the state directory go. */
const LOCK_WAIT_MS = 5000

/** Serves until the promise of `serve` is settled, and gives the lock back. Rejects as the lock and `serve` do. */
export async function inDaemonPlace(
  context: CliContext<{ readonly logLevel?: LogLevel }>,
  serve: (place: DaemonPlace) => Promise<void>,
): Promise<void> {
  const { program: name, options, io } = context
  const log = createLog({ name, level: options.logLevel ?? (io.env['SITELINK_LOG'] as LogLevel | undefined) ?? 'info' })
  const state = await context.state()
  const lock = await state.lock('daemon', LOCK_WAIT_MS)
  try {
    await serve({ state, lock, log })
  } finally {
    await lock.release()
  }
}
