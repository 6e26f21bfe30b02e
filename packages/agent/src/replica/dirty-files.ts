/**
 * The files of the dirty logs: one a mapping, in the state directory.
 *
 * Owns their names and their identity: group, log, mapping and device. A log of anything else is of no use, and then every
 * region is dirty. Nothing of a file is believed that does not check.
 */
import { must, ORIGIN, parseId64 } from '@sitelink/protocol'
import { DirtyLog, type DirtyLogIdentity, type DiskProvider } from '@sitelink/storage'
import type { DirtyLogs } from './dirty-book.js'
import type { ReplicaMapping, ReplicaState } from './replica-state.js'

/** Path of the dirty log of a mapping. */
export function dirtyLogPath(stateDir: string, { mappingId }: ReplicaMapping): string {
  return `${stateDir}/dirty-${mappingId}.log`
}

/** Dirty logs of the group and log that `replica` names at the moment of the call. */
export function dirtyFiles(stateDir: string, disks: DiskProvider, replica: () => ReplicaState): DirtyLogs {
  const place = (mapping: ReplicaMapping): { provider: DiskProvider; path: string } => ({
    provider: disks,
    path: dirtyLogPath(stateDir, mapping),
  })
  return {
    async open(mapping) {
      const { log, reason } = await DirtyLog.open(place(mapping), identityOf(mapping, replica()))
      try {
        // The name is this mapping's alone: what somebody else may have put there is not worth more than the truth.
        log.rebind()
        await log.flush(ORIGIN)
      } catch (error) {
        // Held open it could not be opened again.
        await log.close().catch(() => {})
        throw error
      }
      return { log, problem: reason }
    },
    create: (mapping, initial) =>
      DirtyLog.create(place(mapping), identityOf(mapping, replica()), { initial, discardContents: true }),
  }
}

function identityOf(mapping: ReplicaMapping, { group, logId }: ReplicaState): DirtyLogIdentity {
  return {
    groupId: must(group, 'a mapping belongs to a group'),
    mappingId: mapping.mappingId,
    logId: must(parseId64(logId ?? NO_LOG), 'a log id is 16 hex digits'),
    deviceId: mapping.deviceId,
    regionBytes: mapping.regionBytes,
    deviceBytes: mapping.sizeBytes,
  }
}

/** Between a journal that was given up and the next resume no log is known: what was recorded is outdated, so all dirty. */
const NO_LOG = '0000000000000000'
