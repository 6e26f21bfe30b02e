/**
 * Promises 1 and 3: an agent that calls itself consistent is an exact prefix of the primary's history, over all devices,
 * with its journal laid over. Nothing that no primary ever wrote is in it.
 */
import type { SparseBytes } from '@sitelink/storage/testing'
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

export const orderChecker: MakeChecker = ({ world }) => ({
  agentOpened({ agent }, replay) {
    const { replica, mappings } = agent.status()
    if (replica === null || !replica.consistent || replica.incarnation === null || replica.receivedLsn === null) return
    const { incarnation, receivedLsn } = replica
    const who = `${agent.name} says it is consistent at ${incarnation}:${receivedLsn}`
    if (replay === null) return demand('order', mappings.length === 0, () => `${who}, and its journal is gone`)
    demand('order', !replay.hole, () => `${who}, and its journal has a hole`)
    const { history } = world.primary
    demand('order', history.has(incarnation, receivedLsn), () => `${who}, which was never written`)
    const wanted = history.contentAt(receivedLsn, incarnation)
    for (const { deviceId, device, unmapping } of mappings) {
      if (unmapping) continue
      const found = replay.images.get(deviceId) as SparseBytes
      const at = found.firstDifference(wanted.get(deviceId) as SparseBytes)
      demand(
        'order',
        at < 0,
        () => `${who}, but ${device} with the journal differs from the history from byte ${at} on`,
      )
    }
  },
})
