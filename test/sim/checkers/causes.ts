/**
 * Nothing is reported as damaged, lost beyond its place, or corrupt without a cause: a disk that failed or a bit that rotted.
 * What a program calls damage and survives by starting over would else never be noticed: everything is equal in the end.
 */
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

const NEEDS_ROT = new Set(['slink-corruption', 'log-hole', 'journal-damaged'])

export const causesChecker: MakeChecker = ({ world, scenario }) => {
  let primary = 0
  const agents = world.agents.map(() => 0)
  const judge = (who: string, kind: string, message: string): void =>
    demand(
      'causes',
      !NEEDS_ROT.has(kind) || scenario.families.has('rot') || scenario.families.has('disks'),
      () => `${who} reports ${kind} and nothing was damaged: ${message}`,
    )
  return {
    stepped() {
      for (; primary < world.primary.events.length; primary++) {
        const event = world.primary.events[primary]
        if (event !== undefined) judge('the primary', event.kind, event.message)
      }
      for (const [at, agent] of world.agents.entries()) {
        for (const { kind, message } of agent.events.slice(agents[at])) judge(agent.name, kind, message)
        agents[at] = agent.events.length
      }
    },
  }
}
