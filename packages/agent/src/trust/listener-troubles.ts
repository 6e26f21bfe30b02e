/**
 * What goes wrong at a listener that goes on: a certificate that cannot be renewed, HTTP/3 that cannot begin anew, a
 * connection that the system cannot hand over.
 *
 * Owns how often it is told: the same once in a window, and no more than there is room for, because strangers can cause
 * some of it. It ends nothing.
 */
import type { Clock } from '@sitelink/protocol'
import { reason } from '../errors.js'
import type { AgentEventSink } from '../events.js'
import { REFUSAL_EVENTS_MAX, REFUSAL_EVENTS_MS } from '../limits.js'
import { Allowance } from './allowance.js'

/** Tells of each as an event, within the allowance. */
export function tellListenerTroubles(clock: Clock, event: AgentEventSink): (error: Error) => void {
  const allowance = new Allowance(clock, REFUSAL_EVENTS_MAX, REFUSAL_EVENTS_MS)
  return (error) => {
    const why = reason(error)
    const { unsaid } = allowance
    if (!allowance.take(why)) return
    const more = unsaid === 0 ? '' : ` (and ${unsaid} more times, before it)`
    event({
      level: 'warn',
      kind: 'listener-failed',
      message: `the listener goes on, but something failed there: ${why}${more}`,
      facts: { why, unsaid },
    })
  }
}
