/**
 * One administrative verb, through the daemon if there is one, else directly on the state directory.
 *
 * The attempt at the lock decides, so that no two processes ever change a state directory, and a daemon that starts or
 * stops meanwhile is not missed:
 *
 *   lock had        -> offline, under the lock
 *   lock held, the control socket answers  -> online
 *   lock held, no answer (starting, stopping, another command)  -> look again until the time is over
 *
 * The online part is begun anew only where its first request never reached a daemon.
 */
import type { Clock } from '@sitelink/protocol/entry'
import { delay, RealClock } from './clock.js'
import { ControlClient } from './control-client.js'
import { daemonErrors } from './daemon-errors.js'
import type { SitelinkError } from './errors.js'
import { DAEMON_POLL_MS, DAEMON_WAIT_MS } from './limits.js'
import type { StateDirectory } from './state-directory.js'
import { lockedError, type LockHolder, type StateLock } from './state-lock.js'

export interface TwoWays<T> {
  readonly online: (client: ControlClient) => Promise<T>
  readonly offline: (lock: StateLock) => Promise<T>
}

export interface TwoWaysOptions {
  /** Told once, with one line for stderr, when it has to wait. */
  readonly onWaiting?: (message: string) => void
  readonly waitMs?: number
  readonly clock?: Clock
}

/**
 * Runs `ways.offline` under the lock, which is released after it, or `ways.online`. Throws what they throw; or
 * `STATE_LOCKED` where another command holds the directory for longer than the wait, `DAEMON_NOT_ANSWERING` where a
 * daemon does.
 */
export async function withDaemonOrLock<T>(
  state: StateDirectory,
  ways: TwoWays<T>,
  options: TwoWaysOptions = {},
): Promise<T> {
  const { clock = new RealClock(), waitMs = DAEMON_WAIT_MS, onWaiting = () => {} } = options
  const endMs = clock.nowMs() + waitMs
  let announced = false
  for (;;) {
    const attempt = await state.tryLock('command')
    if (attempt.kind === 'locked') {
      try {
        return await ways.offline(attempt.lock)
      } finally {
        await attempt.lock.release()
      }
    }
    const answer = await tryOnline(state, ways.online, Math.max(1, endMs - clock.nowMs()))
    if (answer !== null) return answer.result
    if (clock.nowMs() >= endMs) throw notAnswering(state, attempt.holder)
    if (!announced) onWaiting(waitingFor(state, attempt.holder))
    announced = true
    await delay(clock, DAEMON_POLL_MS)
  }
}

/** As {@link withDaemonOrLock} for a verb that only a running daemon can serve: `CONTROL_UNREACHABLE` without one. */
export function withDaemon<T>(
  state: StateDirectory,
  online: TwoWays<T>['online'],
  options: TwoWaysOptions = {},
): Promise<T> {
  const path = new ControlClient(state.path).path
  const offline = async (): Promise<T> => {
    throw daemonErrors.create('CONTROL_UNREACHABLE', {
      path,
      state: state.path,
      why: 'no daemon holds the state directory',
    })
  }
  return withDaemonOrLock(state, { online, offline }, options)
}

/** Null where no daemon was reached, so that nothing has happened. */
async function tryOnline<T>(
  state: StateDirectory,
  online: TwoWays<T>['online'],
  helloMs: number,
): Promise<{ result: T } | null> {
  try {
    await new ControlClient(state.path).hello({ timeoutMs: Math.ceil(helloMs) })
  } catch (error) {
    if (isAbsence(error)) return null
    throw error
  }
  const client = new ControlClient(state.path)
  try {
    return { result: await online(client) }
  } catch (error) {
    if (daemonErrors.is(error, 'CONTROL_UNREACHABLE') && client.requestsSent === 0) return null
    throw error
  }
}

/** The ways in which a greeting shows a daemon that is not there yet, or not any more. */
function isAbsence(error: unknown): boolean {
  return (['CONTROL_UNREACHABLE', 'CONTROL_CUT', 'CONTROL_TIMEOUT', 'CONTROL_STOPPING'] as const).some((code) =>
    daemonErrors.is(error, code),
  )
}

function notAnswering(state: StateDirectory, holder: LockHolder | null): SitelinkError {
  if (holder?.role === 'command') return lockedError(state.path, state.program, holder)
  return daemonErrors.create('DAEMON_NOT_ANSWERING', {
    path: state.path,
    program: holder?.program ?? state.program,
    pid: holder?.pid ?? null,
  })
}

function waitingFor(state: StateDirectory, holder: LockHolder | null): string {
  const who = `${holder?.program ?? state.program}${holder === null ? '' : ` (pid ${holder.pid})`}`
  return holder?.role === 'command'
    ? `waiting for another command, ${who}, to end`
    : `waiting for ${who} to answer on its control socket`
}
