/** Every action, and the draw of the next one. */
import type { Simulation } from '../simulation.js'
import type { Action } from './action.js'
import { CLIENTS } from './clients.js'
import { DEATHS } from './deaths.js'
import { DISKS } from './disks.js'
import { NETWORK } from './network.js'
import { OPERATOR } from './operator.js'

const ACTIONS: readonly Action[] = [...CLIENTS, ...NETWORK, ...DEATHS, ...OPERATOR, ...DISKS]

export function drawAction(sim: Simulation): Action {
  const possible = ACTIONS.filter(
    ({ family, possible: can }) => (family === undefined || sim.scenario.families.has(family)) && can?.(sim) !== false,
  )
  let at = sim.prng.below(possible.reduce((sum, { weight }) => sum + weight, 0))
  return possible.find(({ weight }) => (at -= weight) < 0) as Action
}
