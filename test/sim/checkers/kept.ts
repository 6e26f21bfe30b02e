/**
 * Promise 2: nothing acknowledged is lost. The log of the primary ends behind everything that it acknowledged (the host
 * holds each opening to that), and an agent whose journal is open has what writers were told it has.
 */
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

export const keptChecker: MakeChecker = ({ world, cast }) => {
  const owed = (slink: number): void => {
    const site = cast.sites[slink - 1]
    if (site === undefined || !site.present || !site.agent.running) return
    const { agent } = site
    const { received, durable } = agent.owed
    if (received === 0) return
    const { replica } = agent.status()
    // Its journal cannot be opened for now: what it holds is judged when it is open again.
    if (replica?.receivedLsn === null) return
    demand(
      'kept',
      (replica?.receivedLsn ?? 0) >= received,
      () => `${agent.name} owes LSN ${received} as received, it has ${replica?.receivedLsn}`,
    )
    demand(
      'kept',
      (replica?.durableLsn ?? 0) >= durable,
      () => `${agent.name} owes LSN ${durable} as durable, it has ${replica?.durableLsn}`,
    )
  }
  return {
    stepped() {
      if (world.primary.running) for (const { slink } of cast.present) owed(slink)
    },
    agentOpened({ slink }) {
      owed(slink)
    },
  }
}
