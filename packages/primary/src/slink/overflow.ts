/**
 * Overflow: how a site loses its place in the log, and what must be durable before it does.
 *
 * Owns the order of a drop: appends are marked from the turn in which it begins, then everything that the log holds for
 * the site is marked, the marks are stored, and only then the log may let go. A store that fails keeps the entries.
 */
import type { Clock, Lsn } from '@sitelink/protocol'
import type { LogHole } from '@sitelink/storage'
import type { SlinkConfig } from '../config.js'
import type { EventFacts, EventLevel } from '../group/events.js'
import type { Place } from './place.js'
import type { Protection } from './protection.js'
import type { Standing } from './standing.js'

export interface OverflowOwner {
  readonly config: SlinkConfig
  readonly standing: Standing
  readonly protection: Protection
  readonly removed: boolean
  setStanding(standing: Standing): void
  /** The last LSN given out. */
  appendedLsn(): Lsn
  /** Marks what the log holds from the place on and stores it. */
  storeMarks(place: Place): Promise<void>
  /** Stores the marks once more, up to the last entry. */
  flushMarks(): Promise<void>
  dirtyLogFailed(error: Error): void
  hangUp(reason: string): void
  /** Fails the writers that wait for the site. */
  failWriters(): void
  /** The log may let go of what the site pinned; a session may begin. */
  dropped(): void
  event(kind: string, level: EventLevel, message: string, facts: EventFacts): void
}

/** How often a drop that could not store its marks is tried again. */
const DROP_RETRY_MS = 1000

export class Overflow {
  readonly #owner: OverflowOwner
  readonly #clock: Clock
  count = 0

  constructor(owner: OverflowOwner, clock: Clock) {
    this.#owner = owner
    this.#clock = clock
  }

  /**
   * Gives up the site's place. Resolves when it is behind. The session ends; a new one resyncs. Does nothing if the site
   * is behind already, or is being dropped.
   */
  async drop(reason: string): Promise<void> {
    const owner = this.#owner
    if (owner.standing.kind !== 'log') return
    const { place } = owner.standing
    const { number, mode, overflow } = owner.config
    this.count += 1
    const facts = { durableLsn: place.acked.lsn, lastLsn: owner.appendedLsn() }
    owner.event('slink-overflow', 'warning', `slink ${number} falls back to its dirty logs: ${reason}`, facts)
    owner.setStanding({ kind: 'dropping', place })
    owner.hangUp(reason)
    owner.protection.happened('dirtied')
    if (mode === 'sync' && overflow === 'drop') owner.protection.happened('hold-over')
    while (!(await this.#stored(place))) {
      await new Promise<void>((resolve) => this.#clock.after(DROP_RETRY_MS, resolve))
      if (owner.removed) return
    }
    owner.setStanding({ kind: 'behind', since: place.acked, answered: place.answered })
    // The tail waits for a flush of its own; this one only makes that short.
    await owner.flushMarks().catch(() => {})
    owner.dropped()
  }

  /** Entries cannot be read: the site gets what they wrote as copies. */
  hole(hole: LogHole): void {
    const { firstLsn, lastLsn } = hole
    const { number } = this.#owner.config
    const message = `entries ${firstLsn} to ${lastLsn} cannot be read: slink ${number} is resynced instead`
    this.#owner.event('log-hole', 'error', message, { firstLsn, lastLsn })
    void this.drop('the log is damaged')
  }

  /** Policy `fail`: the ring is full because of it, writes fail until it has caught up. */
  filled(): void {
    if (!this.#owner.protection.overflowed()) return
    this.count += 1
    const { number } = this.#owner.config
    this.#owner.event('slink-overflow', 'error', `slink ${number} has filled the log: writes fail until it is back`, {})
    this.#owner.failWriters()
  }

  async #stored(place: Place): Promise<boolean> {
    try {
      await this.#owner.storeMarks(place)
      return true
    } catch (error) {
      this.#owner.dirtyLogFailed(error as Error)
      return false
    }
  }
}
