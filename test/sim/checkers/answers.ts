/**
 * Promise 4: clients are answered, and with success, unless a policy, the operator or a failing disk of the primary says
 * otherwise. Waiting has an end: somebody is answered at least every so often while anybody waits.
 */
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

/** The longest legal wait: detection, hold and grace one after the other, and a slow link for one large entry. */
const WAIT_MS_MAX = 20_000
/** How long a cause may work on after it is over. */
const AFTER_MS = 60_000

export const answersChecker: MakeChecker = (simulation) => {
  const { world, cast } = simulation
  let waitingSinceMs = 0
  return {
    answered({ errno, kind, lsn }) {
      waitingSinceMs = simulation.nowMs
      if (errno === 0 || cast.present.some(({ overflow }) => overflow === 'fail')) return
      // What the log lost cannot be read before it is written again.
      if (kind === 'read' && simulation.logRots > 0) return
      const causeMs = Math.max(simulation.primaryFaultMs, simulation.mayFailMs)
      demand(
        'answers',
        simulation.nowMs - causeMs < AFTER_MS,
        () => `a ${kind} (LSN ${lsn}) failed with ${errno}, and nothing entitles the primary to that`,
      )
    },
    primaryOpened() {
      waitingSinceMs = simulation.nowMs
    },
    stepped() {
      const { primary } = world
      if (!primary.running || primary.open.size === 0) {
        waitingSinceMs = simulation.nowMs
        return
      }
      const sinceMs = Math.max(waitingSinceMs, simulation.mayHoldMs, simulation.mayFailMs, simulation.primaryFaultMs)
      demand(
        'answers',
        simulation.nowMs - sinceMs < WAIT_MS_MAX,
        () => `${primary.open.size} clients wait, and nobody was answered for ${simulation.nowMs - sinceMs} ms`,
      )
    },
  }
}
