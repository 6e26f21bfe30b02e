/**
 * Opens a group: log, recovery, devices, redo, slinks; requests are taken only when all of it is done.
 *
 * Owns the order. The log is recovered and its new life durable before anything is read from it; every entry that is
 * not on the local devices is in the overlay before the first read; every slink that is behind has its marks completed
 * from the log before it may be resynced. Whatever is missing (a device, a site) is reported and does not stop the rest.
 */
import type { LogPosition } from '@sitelink/protocol'
import {
  LayeredWriteBack,
  LogError,
  openBlockDevice,
  openRingLog,
  ringLimits,
  type BlockDevice,
  type Disk,
  type LogEntry,
  type LogHole,
  type RingLog,
} from '@sitelink/storage'
import { mappingMade } from '../admin/changes.js'
import type { DeviceConfig, SlinkConfig } from '../config.js'
import { groupLimits } from '../limits.js'
import { Slink } from '../slink/slink.js'
import { Group, type GroupParts } from './group.js'
import { attachDevice } from './attach-device.js'
import { LocalDevice } from './local-device.js'
import { slinkSurroundings } from './slink-surroundings.js'
import { clampPoint } from './log-points.js'
import { cannotOpen, journalInstead, refuseForeignLog } from './log-refusals.js'
import { openMapping } from './open-mapping.js'
import {
  clampOwnerState,
  decodeOwnerState,
  encodeOwnerState,
  type OwnerState,
  type SlinkRecord,
} from './owner-state.js'

const REDO_BYTES = 4 * 1024 * 1024

export async function openGroup(parts: GroupParts): Promise<Group> {
  const group = new Group(parts)
  const disk = await parts.disks.open(parts.config.current.log.path, { exclusive: true })
  const opened = await openLog(group, disk).catch(async (error: unknown) => {
    await disk.close().catch(() => {})
    throw error
  })
  const { log, report } = opened
  try {
    const state = stateOf(group, log)
    const position = await startOfRedo(log, state)
    const writeBack = new LayeredWriteBack({
      log,
      clock: parts.clock,
      listener: group,
      limits: { memoryBytesMax: groupLimits(parts.limits).overlayBytesMax, ...ringLimits(log.ringBytes) },
      position,
      lsn: state?.appliedLsn ?? log.lastLsn,
    })
    group.assemble(log, report, writeBack)
    for (const range of state?.lost ?? []) writeBack.noteLost(range.deviceId, range.offset, range.length)
    await openDevices(group)
    await redo(group, log, position)
    await openSlinks(group, state)
    // Only now: what is applied is released as far as the slinks let it, and they have to be there to pin it.
    writeBack.allow(log.durableEnd)
    await log.writeSuperblock()
    await recordMade(group)
    reportRecovery(group)
    return group
  } catch (error) {
    await log.close().catch(() => {})
    for (const local of group.devices.values()) await local.device?.close().catch(() => {})
    throw error
  }
}

async function openLog(group: Group, disk: Disk): ReturnType<typeof openRingLog> {
  const { clock, random, config, limits } = group.parts
  const { path, startBytes } = config.current.log
  try {
    return await openRingLog({
      disk,
      mode: 'open',
      rule: 'dense',
      listener: group,
      clock,
      random,
      startOffset: startBytes,
      recentBytesMax: groupLimits(limits).recentBytesMax,
      reviseOwnerState: (found, incarnations) => {
        const state = decodeOwnerState(found)
        if (state === null) return found
        refuseForeignLog(group.parts.config.current, state)
        return encodeOwnerState(clampOwnerState(state, incarnations))
      },
    })
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    if (error.code === 'LOG_OTHER_KIND') throw journalInstead(config.current)
    throw cannotOpen(path, error.code, error.message, { cause: error })
  }
}

function stateOf(group: Group, log: RingLog): OwnerState | null {
  const state = decodeOwnerState(log.ownerStateFound)
  if (state === null) return null
  refuseForeignLog(group.parts.config.current, state)
  return clampOwnerState(state, log.incarnations)
}

async function startOfRedo(log: RingLog, state: OwnerState | null): Promise<LogPosition> {
  if (state === null) return log.tail
  return (await log.locate(state.appliedLsn)) ?? log.tail
}

async function openDevices(group: Group): Promise<void> {
  for (const config of group.config.devices) {
    const local = new LocalDevice(config)
    group.devices.set(config.id, local)
    try {
      attachDevice(group, local, await openLocal(group, config))
    } catch (error) {
      local.problem = (error as Error).message
      group.parts.event({
        kind: 'device-missing',
        level: 'error',
        message: `device ${config.number} is not available, its entries are kept in the log: ${local.problem}`,
        facts: { device: config.number, path: config.path },
      })
    }
  }
}

/** Opens the block device of `config`; rejects with a sentence if it cannot be had or has shrunk. */
export async function openLocal(group: Group, config: DeviceConfig): Promise<BlockDevice> {
  const device = await openBlockDevice(group.parts.disks, config.path, { exclusive: true, scattered: true })
  if (device.sizeBytes >= config.sizeBytes) return device
  await device.close()
  throw new Error(`${config.path} has ${device.sizeBytes} bytes, ${config.sizeBytes} when it was added`)
}

/** Puts everything that is not on the devices yet into the overlay; its bytes stay in the log. */
async function redo(group: Group, log: RingLog, position: LogPosition): Promise<void> {
  const known = new Set(group.devices.keys())
  const dropped = new Set<number>()
  // What is noted are places; payloads are looked at only to see that they check.
  const cursor = log.cursor(position, 'lent')
  try {
    for (;;) {
      const items = await cursor.next(REDO_BYTES)
      if (items === null) break
      for (const item of items) {
        if ('frame' in item) redoEntry(group, item, known, dropped)
        else redoHole(group, item)
      }
    }
  } finally {
    cursor.close()
  }
}

function redoEntry(group: Group, entry: LogEntry, known: ReadonlySet<number>, dropped: Set<number>): void {
  const { deviceId } = entry.frame
  group.writeBack.note(entry, true)
  // A deleted device's entries were applied before it went; what is left of it can only be dropped.
  if (deviceId === 0 || known.has(deviceId) || dropped.has(deviceId) || deviceId >= group.config.nextDeviceId) return
  dropped.add(deviceId)
  void group.writeBack.detach(deviceId, 'drop').catch(() => {})
  group.parts.event({
    kind: 'entries-dropped',
    level: 'info',
    message: `entries of the deleted device id ${deviceId} are dropped`,
    facts: { deviceId },
  })
}

function redoHole(group: Group, hole: LogHole): void {
  const ranges =
    hole.ranges ??
    [...group.devices.values()].map((local) => ({ deviceId: local.id, offset: 0, length: local.sizeBytes }))
  for (const { deviceId, offset, length } of ranges) if (length > 0) group.writeBack.noteLost(deviceId, offset, length)
  group.parts.event({
    kind: 'log-hole',
    level: 'error',
    message: `entries ${hole.firstLsn} to ${hole.lastLsn} of the log are damaged: reads of what they wrote fail until it is overwritten`,
    facts: { firstLsn: hole.firstLsn, lastLsn: hole.lastLsn, known: hole.ranges !== null },
  })
}

async function openSlinks(group: Group, state: OwnerState | null): Promise<void> {
  for (const config of group.config.slinks) {
    const record = state?.slinks.find((one) => one.number === config.number) ?? null
    await openSlink(group, config, record)
  }
  const present = new Set(group.config.slinks.map(({ number }) => number))
  for (const { number, behind, point } of state?.slinks ?? [])
    if (!present.has(number)) reportGone(group, number, behind, point.lsn)
  group.standingChanged()
}

/** A slink that was deleted while no daemon ran: nothing pins the log for it any more. */
function reportGone(group: Group, slink: number, behind: boolean, lsn: number): void {
  const { lastLsn } = group.log
  const kept = behind || lsn >= lastLsn ? 'no entries' : `entries ${lsn + 1} to ${lastLsn}`
  group.parts.event({
    kind: 'slink-gone',
    level: 'info',
    message: `slink ${slink} is gone: ${kept} were kept for it`,
    facts: { slink, behind, durableLsn: lsn, lastLsn },
  })
}

/** Makes the slink of `config`; `record` is what the log's superblock says of it, null for a new one. */
export async function openSlink(group: Group, config: SlinkConfig, record: SlinkRecord | null): Promise<Slink> {
  const slink = new Slink(config, record, slinkSurroundings(group))
  for (const mapping of config.mappings) {
    const local = group.devices.get(mapping.deviceId)
    if (local === undefined) continue
    slink.mappings.add(await openMapping(group, config, mapping, local, record))
  }
  group.slinks.set(config.number, slink)
  if (slink.standing.kind === 'behind') await completeMarks(group, slink)
  return slink
}

/**
 * Mappings that were made just now are made from here on. The superblock that calls them dirty comes first: a dirty log
 * in memory would count as clean at a restart between the two.
 */
async function recordMade(group: Group): Promise<void> {
  for (const { number, mappings } of group.config.slinks) {
    for (const { deviceId } of mappings.filter((one) => one.since === null)) {
      const made = group.slinks.get(number)?.mappings.get(deviceId)?.config.since ?? null
      if (made !== null) await group.parts.config.update((current) => mappingMade(current, number, deviceId, made))
    }
  }
}

/** Marks again what the log holds above the base of each stored bitmap. */
async function completeMarks(group: Group, slink: Slink): Promise<void> {
  const { log } = group
  for (const mapping of slink.mappings) {
    const base = clampPoint(mapping.dirty.basePoint, log.incarnations)
    const position = base === null ? null : await log.locate(base.lsn)
    if (position === null) {
      mapping.dirty.markAll()
      continue
    }
    for await (const segment of log.regionsBetween(position, log.writtenEnd)) {
      if (segment.runs === null) mapping.dirty.markAll()
      else
        for (const run of segment.runs)
          if (run.deviceId === mapping.deviceId) mapping.markUnits(run.firstUnit, run.unitCount)
    }
  }
  // A dirty log that cannot be stored concerns this slink alone: its entries stay in the log until it can.
  await slink.flushMarks().catch((error: Error) => slink.dirtyLogFailed(error))
}

function reportRecovery(group: Group): void {
  const { entriesFound, cutBytes, cleanStop, holes } = group.recovery
  const slink0 = group.writeBack.status()
  group.parts.event({
    kind: 'log-opened',
    level: holes.length > 0 ? 'error' : 'info',
    message: `the log holds ${entriesFound} entries${cleanStop ? '' : ', it was not closed cleanly'}; ${slink0.notedEntryCount} are not on the local devices yet`,
    facts: { entriesFound, cutBytes, cleanStop, holes: holes.length, pending: slink0.notedEntryCount },
  })
}
