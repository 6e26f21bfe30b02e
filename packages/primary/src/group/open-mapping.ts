/**
 * Brings a mapping to life: makes its dirty log the first time, opens it every other time, and says what it found.
 *
 * Owns the rules of what a dirty log is worth at a start. A disk log is believed as far as it checks; a core log has
 * lost its memory, which only matters if something may have been dirty.
 */
import { wirePoint, type LogPosition } from '@sitelink/protocol'
import { DirtyLog, type DirtyLogIdentity, type DirtyLogPlace } from '@sitelink/storage'
import type { MappingConfig, SlinkConfig } from '../config.js'
import { MappingSet } from '../slink/mapping-set.js'
import { Mapping } from '../slink/mapping.js'
import { markDropped } from './drop-marks.js'
import type { Group } from './group.js'
import type { LocalDevice } from './local-device.js'
import type { SlinkRecord } from './owner-state.js'

/** Why a dirty log could not be had; its slink cannot run. */
export async function openMapping(
  group: Group,
  slink: SlinkConfig,
  config: MappingConfig,
  local: LocalDevice,
  record: SlinkRecord | null,
): Promise<Mapping> {
  // Mapped while no daemon ran: made now, before anything runs. Whoever opens the group writes down that it is made.
  if (config.since === null)
    return newMapping(group, config, local, await createDirtyLog(group, slink.number, config, local))
  const identity = identityOf(group, config, local)
  const place = placeOf(group, slink.number, config)
  const clean = record !== null && !record.dirty && !record.behind
  if (place === null && clean) {
    return new Mapping(
      config,
      describe(local),
      await DirtyLog.create(null, identity, { initial: 'all-clean', basePoint: record.point }),
    )
  }
  const { log, found, reason } = await DirtyLog.open(place, identity)
  if (found !== 'ok') {
    group.parts.event({
      kind: 'dirty-log-lost',
      level: 'warning',
      message: `device ${local.config.number} is copied to slink ${slink.number} in full: its dirty log is ${found}${reason === null ? '' : `: ${reason}`}`,
      facts: { slink: slink.number, device: local.config.number, found },
    })
  }
  return new Mapping(config, describe(local), log)
}

/** Makes the dirty log of a new mapping, durably: `sync` and `nosync` act here and nowhere else. */
export function createDirtyLog(
  group: Group,
  slink: number,
  config: MappingConfig,
  local: LocalDevice,
): Promise<DirtyLog> {
  const initial = config.initial === 'sync' ? 'all-dirty' : 'all-clean'
  const basePoint = group.appendedPoint()
  return DirtyLog.create(placeOf(group, slink, config), identityOf(group, config, local), { initial, basePoint })
}

/** A new mapping, which counts from the entry after the last one that was given out. */
export function newMapping(group: Group, config: MappingConfig, local: LocalDevice, dirty: DirtyLog): Mapping {
  return new Mapping({ ...config, since: wirePoint(group.appendedPoint()) }, describe(local), dirty)
}

/** Marks, durably, what was written from `position` on to the moment from which a new mapping counts. */
export async function markMade(group: Group, mapping: Mapping, position: LogPosition): Promise<void> {
  const only = new MappingSet()
  only.add(mapping)
  await markDropped(group, only, position)
  await mapping.dirty.flush(mapping.since)
}

function describe(local: LocalDevice): { number: number; name: string; sizeBytes: number } {
  return { number: local.config.number, name: local.config.name, sizeBytes: local.sizeBytes }
}

function identityOf(group: Group, config: MappingConfig, local: LocalDevice): DirtyLogIdentity {
  return {
    groupId: group.config.uuid,
    mappingId: config.mappingId,
    logId: group.log.identity,
    deviceId: config.deviceId,
    regionBytes: config.regionBytes,
    deviceBytes: local.sizeBytes,
  }
}

function placeOf(group: Group, slink: number, config: MappingConfig): DirtyLogPlace | null {
  if (config.dirtyLog.type === 'core') return null
  const { path } = config.dirtyLog
  const provider = group.parts.disks
  // What the operator named is the operator's: it outlives the mapping.
  if (path !== null) return { provider, path, keepFile: true }
  return { provider, path: group.parts.dirtyLogPath(slink, config.mappingId) }
}
