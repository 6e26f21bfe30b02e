/**
 * The guard: whether writers wait for a site, and what happens to them if it does not answer.
 *
 * Pure. A site that is waited for is *holding*; a site that holds and has everything that was acknowledged is
 * *protected*. The states and their transitions are this table; the shell (`slink.ts`) reports events and obeys.
 *
 *                   caught up            hold time over without progress
 *   catching-up ---------------> live ------------------------------------> lost
 *        ^                        |  ^                                       |
 *        |      region dirty      |  '---- progress resets the hold time     |
 *        '------------------------'                                          |
 *        ^                       session again                               |
 *        '-------------------------------------------------------------------'
 */
import { unreachable } from '@sitelink/protocol/light'

export type SlinkMode = 'sync' | 'async'
export type OverflowPolicy = 'drop' | 'stall' | 'fail'
export type AckLevel = 'received' | 'durable'

/**
 * `catching-up`: not caught up since the start, the last loss or the last drop.
 * `live`: caught up; a short interruption leaves it live, its hold time runs.
 * `lost`: made no progress for its hold time while it held a writer, or was dropped to its dirty logs.
 */
export type GuardState = 'catching-up' | 'live' | 'lost'

export type GuardEvent =
  /** Lag within the window, nothing dirty or in flight at either side, stamp received. */
  | 'caught-up'
  /** A region became dirty: a new mapping, an overflow. */
  | 'dirtied'
  /** No progress for the hold time while a writer waited. */
  | 'hold-over'
  /** A session is streaming. */
  | 'session'
  /** The operator paused it. */
  | 'paused'

/** The next state for every state and event. */
export const guardTable: Readonly<Record<GuardState, Readonly<Record<GuardEvent, GuardState>>>> = {
  'catching-up': {
    'caught-up': 'live',
    dirtied: 'catching-up',
    'hold-over': 'lost',
    session: 'catching-up',
    paused: 'lost',
  },
  live: { 'caught-up': 'live', dirtied: 'catching-up', 'hold-over': 'lost', session: 'live', paused: 'lost' },
  lost: { 'caught-up': 'live', dirtied: 'lost', 'hold-over': 'lost', session: 'catching-up', paused: 'lost' },
}

export interface GuardFacts {
  readonly state: GuardState
  readonly mode: SlinkMode
  readonly overflow: OverflowPolicy
  /** Async only: a fall-behind threshold is exceeded. */
  readonly forced: boolean
  /** It was protected when it was last live: at run time, or when the log was last open. */
  readonly latched: boolean
  /** It has a device at all. */
  readonly mapped: boolean
  /** The ring ran full because of it, and it has not caught up since. */
  readonly overflowed: boolean
}

/** What a write that is built now does about this site. */
export type Holding = 'none' | 'wait' | 'fail'

/**
 * Whether writers wait for the site. A `stall` site that was protected once holds in every state; a `fail` site that is
 * lost fails them; otherwise only a live site holds, and an async one only while it exceeds its limits.
 */
export function holdingOf(facts: GuardFacts): Holding {
  if (!facts.mapped) return 'none'
  if (facts.overflowed && facts.overflow === 'fail') return 'fail'
  const guards = facts.mode === 'sync' || facts.forced
  switch (facts.state) {
    case 'live':
      return guards ? 'wait' : 'none'
    case 'catching-up':
      return facts.mode === 'sync' && facts.latched && facts.overflow === 'stall' ? 'wait' : 'none'
    case 'lost':
      if (facts.mode === 'async')
        return facts.forced && facts.overflow === 'stall'
          ? 'wait'
          : facts.forced && facts.overflow === 'fail'
            ? 'fail'
            : 'none'
      if (!facts.latched) return 'none'
      return facts.overflow === 'stall' ? 'wait' : facts.overflow === 'fail' ? 'fail' : 'none'
    default:
      return unreachable(facts.state)
  }
}

/** Default policy when the ring runs short or a held writer waits too long. */
export function defaultOverflow(mode: SlinkMode): OverflowPolicy {
  return mode === 'sync' ? 'stall' : 'drop'
}
