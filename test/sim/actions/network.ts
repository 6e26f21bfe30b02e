/** What links do: they break, fall silent in both directions or in one, become narrow, and flip bits. */
import { PRIMARY } from '../../pair/primary-host.js'
import type { Simulation } from '../simulation.js'
import type { Action } from './action.js'

/** Both ends of a link in a random order. */
function direction({ prng, cast }: Simulation): [string, string] {
  const { name } = prng.pick(cast.sites).agent
  return prng.chance(0.5) ? [PRIMARY, name] : [name, PRIMARY]
}

export const NETWORK: readonly Action[] = [
  {
    name: 'cut a link',
    weight: 5,
    family: 'network',
    run: ({ world, prng, cast }) => world.cut(prng.pick(cast.sites).agent),
  },
  {
    name: 'silence',
    weight: 4,
    family: 'network',
    run: ({ world, prng, cast }) => world.silence(prng.pick(cast.sites).agent),
  },
  {
    name: 'silence one way',
    weight: 3,
    family: 'network',
    run: (sim) => {
      const [from, to] = direction(sim)
      sim.world.silenceOneWay(from, to)
      return `${from} to ${to}`
    },
  },
  {
    name: 'speak',
    weight: 8,
    family: 'network',
    run: ({ world, cast }) => cast.sites.forEach(({ agent }) => world.silence(agent, false)),
  },
  {
    name: 'narrow a link',
    weight: 3,
    family: 'network',
    run: (sim) => {
      const [from, to] = direction(sim)
      const bandwidthBytes = sim.prng.pick([100_000, 1_000_000, Number.POSITIVE_INFINITY])
      sim.world.network.setLink(from, to, { bandwidthBytes })
      return `${from} to ${to}: ${bandwidthBytes} bytes a second`
    },
  },
  {
    name: 'flip a bit on a link',
    weight: 8,
    family: 'flips',
    run: (sim) => {
      const [from, to] = direction(sim)
      sim.world.network.flipNext(from, to, sim.prng.between(1, 3))
      return `${from} to ${to}`
    },
  },
  {
    name: 'a link that flips bits',
    weight: 4,
    family: 'flips',
    run: (sim) => {
      const [from, to] = direction(sim)
      sim.world.network.setLink(from, to, { flipEveryBytes: sim.prng.pick([0, 0, 20_000, 1_000_000]) })
      return `${from} to ${to}`
    },
  },
]
