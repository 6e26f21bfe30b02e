/**
 * Applies the whole log to the local devices without a daemon: the group is opened, redone and closed, no site is met.
 *
 * Owns what counts as done: every entry on its device, durably. A device that is missing keeps its entries in the log.
 */
import type { StateDirectory, StateLock } from '@sitelink/daemon'
import { openOffline } from './offline-group.js'

/** How long applying may take before it gives up on a device that does not work. */
export const APPLY_MS_MAX = 600_000

export interface Applied {
  /** The last entry in the log. */
  readonly lastLsn: number
  /** Everything up to here is on the local devices. */
  readonly appliedLsn: number
  /** Numbers of devices that could not be opened; their entries are kept. */
  readonly missing: readonly number[]
  /** What went wrong, a sentence each. */
  readonly problems: readonly string[]
}

export async function applyLog(state: StateDirectory, lock: StateLock): Promise<Applied> {
  const problems: string[] = []
  const group = await openOffline(state, lock, problems)
  const missing = [...group.devices.values()].filter((one) => one.device === null).map((one) => one.config.number)
  const { lastLsn } = group.log
  await group.stop(APPLY_MS_MAX)
  return { lastLsn, appliedLsn: group.writeBack.appliedLsn, missing, problems }
}
