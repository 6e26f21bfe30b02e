/**
 * A dial under way, whatever carries it: it ends by its time, by its signal, or by what the transport finds.
 *
 * Owns that at most one of these ends happens, and none after `done`. It opens nothing and closes nothing itself: what
 * is to be torn down is passed in.
 */
import type { Clock } from '../entry/clock.js'
import { ProtocolError } from '../errors.js'
import type { DialOptions } from './transport.js'

/** A dial under way: at most one of its ends happens, and none after `done`. */
export interface Attempt {
  /** Rejects when the time is up, the dial is given up, or {@link Attempt.fail} is called; never resolves. */
  readonly failed: Promise<never>
  /** Ends the dial; what it has opened is torn down. */
  fail(error: ProtocolError): void
  /** The connection stands: neither time nor signal can end it any more. Throws where one of them was quicker. */
  done(): void
}

/** Watches over a dial, from its first step to its last, whatever the steps are. `tearDown` is called at most once. */
export function attemptTo(address: string, options: DialOptions, clock: Clock, tearDown: () => void): Attempt {
  const { timeoutMs, signal } = options
  let reject!: (error: ProtocolError) => void
  const failed = new Promise<never>((_resolve, no) => (reject = no))
  failed.catch(() => {}) // whoever awaits a step sees it; nobody may be awaiting one
  let over = false
  let failure: ProtocolError | null = null
  const settle = (): void => {
    over = true
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
  }
  const done = (): void => {
    if (failure !== null) throw failure
    settle()
  }
  const fail = (error: ProtocolError): void => {
    if (over) return
    settle()
    failure = error
    tearDown()
    reject(error)
  }
  const onAbort = (): void => fail(new ProtocolError('DIAL_ABORTED', { address }))
  const timer = clock.after(timeoutMs, () => fail(new ProtocolError('DIAL_TIMEOUT', { address, timeoutMs })))
  signal?.addEventListener('abort', onAbort, { once: true })
  if (signal?.aborted === true) onAbort()
  return { failed, fail, done }
}
