/**
 * Brings a mapping to life: makes its dirty log the first time, opens it every other time, and says what it found.
 *
 * Owns the rules of what a dirty log is worth at a start. A disk log is believed as far as it checks; a core log has
 * lost its memory, which only matters if something may have been dirty.
 */
import type { LogPoint } from '@sitelink/protocol'
import { DirtyLog, type DirtyLogIdentity, type DirtyLogPlace } from '@sitelink/storage'
import { mappingMade } from '../admin/changes.js'
import type { MappingConfig, SlinkConfig } from '../config.js'
import { Mapping } from '../slink/mapping.js'
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
  const identity = identityOf(group, config, local)
  const place = placeOf(group, slink.number, config)
  if (config.since === null) return makeMapping(group, slink, config, local, identity, place)
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

/** The first time: `sync` and `nosync` act here and nowhere else. */
async function makeMapping(
  group: Group,
  slink: SlinkConfig,
  config: MappingConfig,
  local: LocalDevice,
  identity: DirtyLogIdentity,
  place: DirtyLogPlace | null,
): Promise<Mapping> {
  const point: LogPoint = group.appendedPoint()
  const initial = config.initial === 'sync' ? 'all-dirty' : 'all-clean'
  const log = await DirtyLog.create(place, identity, { initial, basePoint: point })
  const since: [number, number] = [point.incarnation, point.lsn]
  await group.parts.config.update((current) => mappingMade(current, slink.number, config.deviceId, since))
  return new Mapping({ ...config, since }, describe(local), log)
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
  const path = config.dirtyLog.path ?? group.parts.dirtyLogPath(slink, config.mappingId)
  return { provider: group.parts.disks, path }
}
