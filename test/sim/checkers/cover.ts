/**
 * Dirty logs always cover the difference: where a site differs from the head of the history, its region is dirty at the
 * primary or at the agent, or an entry that touches it will still be sent from the log.
 *
 * Looked at whenever an agent has been opened, against the primary as it is then, and whenever a primary has been opened,
 * against agents that are down: so both what is in memory and what came back from the disks is judged.
 */
import type { Slink } from '@sitelink/primary'
import type { SparseBytes } from '@sitelink/storage/testing'
import type { AgentHost } from '../../pair/agent-host.js'
import type { Site } from '../cast.js'
import { demand } from '../violation.js'
import type { MakeChecker } from './checker.js'

type Replay = Awaited<ReturnType<AgentHost['replayed']>>

export const coverChecker: MakeChecker = ({ world }) => {
  const { primary } = world

  /** `agentDirty`: whether the agent has a region of a mapping dirty. */
  const look = (site: Site, replay: Replay, agentDirty: (mappingId: string, region: number) => boolean): void => {
    const slink = primary.group.slinks.get(site.slink)
    if (slink === undefined || replay === null || replay.hole) return
    const { history } = primary
    // What an agent holds of a life that was cut is cut from its journal first.
    if (!history.isCurrent(replay.end.incarnation, replay.end.lsn)) return
    const head = history.lastLsn
    const images = history.contentAt(head)
    for (const mapping of slink.mappings) {
      const { deviceId, config } = mapping
      const found = replay.images.get(deviceId)
      const wanted = images.get(deviceId)
      if (found === undefined || wanted === undefined) continue
      const coming = stillComing(slink, deviceId, config.regionBytes)
      for (const region of differing(found, wanted, config.regionBytes, mapping.sizeBytes)) {
        const covered =
          mapping.dirty.bitmap.isDirty(region) || agentDirty(config.mappingId, region) || coming.has(region)
        demand(
          'cover',
          covered,
          () =>
            `region ${region} of device id ${deviceId} differs at ${site.agent.name} from the head ${head}, is dirty nowhere, and nothing behind ${slink.point.lsn} touches it`,
        )
      }
    }
  }

  /** Regions that entries touch which the site will still get: those behind its last durable acknowledgement. */
  const stillComing = (slink: Slink, deviceId: number, regionBytes: number): Set<number> => {
    const regions = new Set<number>()
    if (slink.standing.kind === 'behind') return regions
    for (const frame of primary.history.entries(slink.point.lsn + 1, primary.history.lastLsn)) {
      if (frame.deviceId !== deviceId) continue
      const last = Math.floor((frame.offset + frame.length - 1) / regionBytes)
      for (let region = Math.floor(frame.offset / regionBytes); region <= last; region++) regions.add(region)
    }
    return regions
  }

  return {
    agentOpened(site, replay) {
      if (!primary.running || !site.present) return
      const { mappings } = site.agent.status()
      const known = new Set(mappings.filter(({ unmapping }) => !unmapping).map(({ mappingId }) => mappingId))
      look(site, replay, (mappingId, region) => known.has(mappingId) && site.agent.isDirty(mappingId, region))
    },
  }
}

/** Regions in which two contents differ. */
function differing(a: SparseBytes, b: SparseBytes, regionBytes: number, sizeBytes: number): number[] {
  const regions: number[] = []
  for (let region = 0; region * regionBytes < sizeBytes; region++) {
    const at = a.firstDifference(b, Math.min(sizeBytes, (region + 1) * regionBytes), region * regionBytes)
    if (at >= 0) regions.push(region)
  }
  return regions
}
