/** No number that a program reports is ever negative, and what counts what is under way is zero when nothing is. */
import { groupStatus } from '@sitelink/primary'
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

/** The clocks of two hosts may differ either way. */
const SIGNED = /\.clockOffsetUs$/

/** Long enough for every checkpoint and every delayed write of marks. */
const IDLE_MS = 10_000

export const countersChecker: MakeChecker = ({ world, cast }) => {
  const idle = (who: string, facts: Record<string, number | null | undefined>): void => {
    for (const [name, value] of Object.entries(facts))
      demand('counters', value === 0, () => `${who} is idle, and ${name} is ${value}`)
  }
  return {
    stepped() {
      if (world.primary.running) notNegative('primary', groupStatus(world.primary.group))
      for (const { agent } of cast.sites) if (agent.running) notNegative(agent.name, agent.status())
    },
    async healed() {
      await world.advance(IDLE_MS)
      const { group, local, slinks } = groupStatus(world.primary.group)
      idle('the primary', {
        waitingRequests: group.waitingRequests,
        heldRequests: group.heldRequests,
        lagBytes: local.lagBytes,
        memoryBytes: local.memoryBytes,
        intervals: local.intervals,
      })
      for (const slink of slinks) {
        const { lagWrites, lagBytes, lagSeconds, dirtyRegions, agentDirtyRegions } = slink
        if (slink.devices.length === 0) continue
        idle(`slink ${slink.number}`, { lagWrites, lagBytes, lagSeconds, dirtyRegions, agentDirtyRegions })
        demand('counters', slink.resync === null, () => `slink ${slink.number} is idle, and reports a resync`)
      }
      for (const { agent, slink } of cast.present) {
        if (world.primary.slink(slink).mappings.size === 0) continue
        const { replica, apply, session } = agent.status()
        idle(agent.name, {
          dirtyRegions: replica?.dirtyRegions,
          lagEntries: replica?.lagEntries,
          lagBytes: replica?.lagBytes,
          memoryBytes: apply?.memoryBytes,
          intervals: apply?.intervals,
          queuedBytes: session.queuedBytes,
        })
      }
    },
  }
}

function notNegative(path: string, value: unknown): void {
  if (typeof value === 'number') {
    demand('counters', value >= 0 || SIGNED.test(path), () => `${path} is ${value}`)
    demand('counters', !Number.isNaN(value), () => `${path} is not a number`)
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, inner] of Object.entries(value)) notNegative(`${path}.${key}`, inner)
  }
}
