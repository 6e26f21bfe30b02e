/** Something that may happen in a simulated life, how likely it is, and when it can. */
import type { Family } from '../scenario.js'
import type { Simulation } from '../simulation.js'

export interface Action {
  readonly name: string
  /** Part of the sum of all that are possible. */
  readonly weight: number
  /** Only in lives that know this family; absent: in every life. */
  readonly family?: Family
  readonly possible?: (sim: Simulation) => boolean
  /** May tell what it drew, as one line. */
  readonly run: (sim: Simulation) => Promise<string | void> | string | void
}
