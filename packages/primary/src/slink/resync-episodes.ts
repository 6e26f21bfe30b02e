/**
 * The resyncs of one slink: when one began, when it was finished, and how many there were.
 *
 * An episode goes on over lost sessions until both sites are equal again; it is counted and told once. It never decides
 * whether anything is copied.
 */
import type { EventFacts, EventLevel } from '../group/events.js'

export class ResyncEpisodes {
  readonly #number: number
  readonly #tell: (kind: string, level: EventLevel, message: string, facts: EventFacts) => void
  #underWay = false
  /** Episodes that have begun since the daemon started. */
  count = 0

  constructor(number: number, tell: (kind: string, level: EventLevel, message: string, facts: EventFacts) => void) {
    this.#number = number
    this.#tell = tell
  }

  /** A session begins with so many regions to copy. */
  begins(dirtyRegions: number): void {
    if (dirtyRegions === 0) return
    if (!this.#underWay) this.count += 1
    this.#underWay = true
    this.#tell('resync-start', 'info', `slink ${this.#number} is being resynced`, { dirtyRegions })
  }

  /** Nothing is left to copy. True if that ends an episode. */
  finishes(): boolean {
    if (!this.#underWay) return false
    this.#underWay = false
    this.#tell('resync-finished', 'info', `slink ${this.#number} is in sync`, {})
    return true
  }
}
