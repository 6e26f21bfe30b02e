/**
 * Which counters `status --dm` shows, and from which moment on they count.
 *
 * Owns what the message `statistics on | off | reset` sets, for the core and for the log. The counters themselves only
 * rise, for everybody else; a reset remembers where they stood. Nothing of it outlives the daemon.
 */
import type { Group } from '../group/group.js'

export type StatisticsOf = 'core' | 'log'

type Counters = Readonly<Record<string, number>>

/** Counters of requests: `r w` taken, `rs ws` answered and brought to the log, `nc c` changes that could pass or had to wait. */
function coreCounters({ counters, writePath }: Group): Counters {
  const { reads, readsAnswered, changes, changesWaited } = counters
  return {
    r: reads,
    w: changes,
    rs: readsAnswered,
    ws: changes - writePath.waitingCount,
    nc: changes - changesWaited,
    c: changesWaited,
  }
}

/** Counters of the log; what is a position or a level stands in {@link logLevels}. */
function logCounters(group: Group): Counters {
  const { wraps, entriesWritten } = group.log.status()
  const { counters } = group
  return { wrap: wraps, r: counters.reads, w: entriesWritten, wp: counters.readsOfPending, stall: group.logStalls }
}

export class Statistics {
  readonly #shown: Record<StatisticsOf, boolean> = { core: false, log: false }
  readonly #base: Record<StatisticsOf, Counters> = { core: {}, log: {} }

  set(group: Group, of: StatisticsOf, what: 'on' | 'off' | 'reset'): void {
    if (what === 'reset') this.#base[of] = of === 'core' ? coreCounters(group) : logCounters(group)
    else this.#shown[of] = what === 'on'
  }

  /** The counters since the last reset; null while they are hidden. */
  read(group: Group, of: StatisticsOf): Counters | null {
    if (!this.#shown[of]) return null
    const base = this.#base[of]
    const now = of === 'core' ? coreCounters(group) : logCounters(group)
    return Object.fromEntries(Object.entries(now).map(([name, value]) => [name, value - (base[name] ?? 0)]))
  }
}
