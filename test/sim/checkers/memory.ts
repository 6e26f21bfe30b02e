/**
 * Promise 6: what is kept in memory stays within its limits, whatever is down and whatever the backlog is. A write-back also
 * counts what it knows of frames that carry no bytes of a device; there are few of them, and they have a limit of their own.
 */
import { groupStatus, primaryLimits } from '@sitelink/primary'
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

export const memoryChecker: MakeChecker = ({ world, cast, scenario }) => {
  const within = (what: string, bytes: number, limit: number): void =>
    demand('memory', bytes <= limit, () => `${what} takes ${bytes} bytes, its limit is ${limit}`)
  const NOTES_BYTES = 64 * 1024
  const { overlayBytesMax } = scenario.world.primaryLimits ?? {}
  return {
    stepped() {
      if (world.primary.running) {
        const { group } = world.primary
        const { local, log } = groupStatus(group)
        within(
          'the overlay',
          local.memoryBytes,
          (overlayBytesMax ?? primaryLimits.GROUP_LIMITS.overlayBytesMax) + NOTES_BYTES,
        )
        within('the log', log.usedBytes, log.ringBytes)
        for (const slink of group.slinks.values())
          within(
            `slink ${slink.number}'s copies`,
            slink.stream?.copyBytesInMemory ?? 0,
            primaryLimits.COPY_BYTES_IN_MEMORY_MAX,
          )
      }
      for (const { agent } of cast.sites) {
        if (!agent.running) continue
        const { apply, session, journal } = agent.status()
        const { limits } = agent.agent
        within(`${agent.name}'s write-back`, apply?.memoryBytes ?? 0, limits.writeBackBytesMax + NOTES_BYTES)
        within(`${agent.name}'s queue`, session.queuedBytes ?? 0, limits.windowBytesMax)
        within(`${agent.name}'s journal`, journal.usedBytes ?? 0, journal.ringBytes ?? 0)
      }
    },
  }
}
