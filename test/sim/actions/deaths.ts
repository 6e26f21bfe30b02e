/** Processes that die, hosts that lose their power, and whoever starts them again: at once, later, or in the middle of it. */
import type { Site } from '../cast.js'
import type { Simulation } from '../simulation.js'
import type { Action } from './action.js'

type How = 'crash' | 'power-cut' | 'stop'

const anyAgent = ({ cast }: Simulation): boolean => cast.sites.some(({ agent }) => agent.running)
const anyDead = ({ cast }: Simulation): boolean => cast.sites.some(({ agent }) => !agent.alive)

function dies(host: { crash(): void; powerCut(): void }, process: boolean): void {
  if (process) host.crash()
  else host.powerCut()
}

async function agentDies(sim: Simulation, how: How): Promise<string> {
  const site = sim.prng.pick(sim.cast.sites.filter(({ agent }) => agent.running))
  await sim.cast.agentDies(site, how)
  if (sim.prng.chance(0.7)) await agentStarts(sim, site)
  return site.agent.name
}

async function agentStarts(sim: Simulation, site: Site): Promise<void> {
  const { world, prng, cast, scenario } = sim
  if (scenario.slow && prng.chance(0.2)) {
    // Dies again while it opens.
    site.agent.start().catch(() => {})
    await world.advance(prng.between(0, 60))
    if (site.agent.alive) dies(site.agent, prng.chance(0.5))
    await world.advance(0)
  }
  await cast.agentStarts(site)
}

async function primaryDies(sim: Simulation, how: How): Promise<void> {
  const { world, prng, cast, scenario } = sim
  await cast.primaryDies(how)
  await world.advance(prng.pick([0, 0, 50, 4000]))
  if (scenario.slow && prng.chance(0.3)) {
    world.primary.start().catch(() => {})
    await world.advance(prng.between(0, 80))
    if (world.primary.alive) dies(world.primary, prng.chance(0.5))
    await world.advance(0)
  }
  await cast.primaryStarts()
}

const ofAgent = (how: How, name: string, weight: number): Action => ({
  name,
  weight,
  family: 'agents',
  possible: anyAgent,
  run: (sim) => agentDies(sim, how),
})

const ofPrimary = (how: How, name: string, weight: number): Action => ({
  name,
  weight,
  family: 'primary',
  possible: ({ world }) => world.primary.running,
  run: (sim) => primaryDies(sim, how),
})

export const DEATHS: readonly Action[] = [
  ofAgent('crash', 'an agent is killed', 7),
  ofAgent('power-cut', 'an agent loses its power', 6),
  ofAgent('stop', 'an agent is stopped', 2),
  ofPrimary('crash', 'the primary is killed', 5),
  ofPrimary('power-cut', 'the primary loses its power', 5),
  ofPrimary('stop', 'the primary is stopped', 2),
  {
    name: 'an agent is started',
    weight: 14,
    possible: anyDead,
    run: async (sim) => {
      const site = sim.prng.pick(sim.cast.sites.filter(({ agent }) => !agent.alive))
      await agentStarts(sim, site)
      return site.agent.name
    },
  },
  {
    name: 'the primary is started',
    weight: 30,
    possible: ({ world }) => !world.primary.alive,
    run: async ({ cast }) => void (await cast.primaryStarts()),
  },
]
