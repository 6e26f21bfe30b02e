/**
 * What `sitelink log ls`, `show` and `check` find in a replog that no daemon has. Only reads.
 */
import type { CliContext, SitelinkError } from '@sitelink/daemon'
import { formatId64, FrameFlag, FrameType } from '@sitelink/protocol'
import { checkLog, inspectLog, listLog, NodeDiskProvider, type Disk, type LogInspection } from '@sitelink/storage'
import type { GroupConfig } from '../config.js'
import { cannotOpen, journalInstead, refuseForeignLog } from '../group/log-refusals.js'
import { decodeOwnerState, type OwnerState } from '../group/owner-state.js'
import { alone } from './open-state.js'

const TYPE_NAMES = new Map(Object.entries(FrameType).map(([name, type]) => [type as number, name]))

export interface EntryRow {
  readonly position: number
  readonly lsn: number
  readonly lastLsn: number
  readonly incarnation: number | null
  readonly type: string
  readonly device: number | null
  readonly deviceId: number | null
  readonly offsetBytes: number | null
  readonly lengthBytes: number | null
  readonly fua: boolean
  readonly flushBefore: boolean
}

/** The newest `count` entries of the log, oldest first. */
export function listedEntries(context: CliContext<unknown>, count: number): Promise<EntryRow[]> {
  return looking(context, (disk, config) => entriesOf(disk, config, count))
}

/** The newest `count` entries; of what was overwritten while they were collected nothing is kept. */
async function entriesOf(disk: Disk, config: GroupConfig, count: number): Promise<EntryRow[]> {
  const { superblock } = await superblockOf(disk, config)
  const numbers = new Map(config.devices.map(({ id, number }) => [id, number]))
  let rows: EntryRow[] = []
  for await (const step of listLog(disk, superblock)) {
    const items =
      step.kind === 'data' || step.kind === 'end'
        ? step.items
        : step.kind === 'hole' && step.hole !== null
          ? [step.hole]
          : []
    for (const item of items) {
      if ('frame' in item) {
        const { lsn, incarnation, type, deviceId, offset, length, flags } = item.frame
        rows.push({
          position: item.position,
          lsn,
          lastLsn: lsn,
          incarnation,
          type: TYPE_NAMES.get(type) ?? String(type),
          device: numbers.get(deviceId) ?? null,
          deviceId,
          offsetBytes: offset,
          lengthBytes: length,
          fua: (flags & FrameFlag.fua) !== 0,
          flushBefore: (flags & FrameFlag.flushBefore) !== 0,
        })
      } else {
        rows.push({
          position: item.position,
          lsn: item.firstLsn,
          lastLsn: item.lastLsn,
          incarnation: null,
          type: 'damaged',
          device: null,
          deviceId: null,
          offsetBytes: null,
          lengthBytes: null,
          fua: false,
          flushBefore: false,
        })
      }
    }
    if (rows.length > 2 * count + 1024) rows = rows.slice(-count)
  }
  return rows.slice(-count)
}

async function superblocksOf(disk: Disk, config: GroupConfig) {
  const { superblock, inspection } = await superblockOf(disk, config)
  const owner = ownerOf(superblock.owner)
  return {
    path: config.log.path,
    logId: formatId64(superblock.logId),
    group: owner?.groupUuid ?? null,
    epoch: owner?.epoch ?? null,
    ringBytes: superblock.ringBytes,
    startBytes: superblock.startOffset,
    cleanStop: superblock.cleanStop,
    incarnation: superblock.incarnations.at(-1)?.number ?? null,
    sequence: superblock.sequence,
    tailPosition: superblock.tail.position,
    tailLsn: superblock.tail.lsn,
    durableLsn: superblock.durableLsn,
    appliedLsn: owner?.appliedLsn ?? null,
    createdUs: superblock.createdUs,
    writtenUs: superblock.wallUs,
    superblocks: inspection.slots.map((slot) => slot.kind),
    slinks: (owner?.slinks ?? []).map(({ number, behind, dirty, wasProtected, point }) => ({
      number,
      behind,
      dirty,
      wasProtected,
      durableLsn: point.lsn,
      incarnation: point.incarnation,
    })),
    lostRanges: owner?.lost ?? [],
  }
}

/** What the superblocks of the log say: whose it is, how far it is durable and applied, where the sites are. */
export const shownLog = (context: CliContext<unknown>): ReturnType<typeof superblocksOf> =>
  looking(context, superblocksOf)

async function checkOf(disk: Disk, config: GroupConfig) {
  const { superblock, slots } = await inspectLog(disk, config.log.startBytes)
  // A whole log of somebody else is as useless here as a damaged one.
  if (superblock !== null) {
    if (superblock.rule !== 'dense') throw journalInstead(config)
    refuseForeignLog(config, ownerOf(superblock.owner))
  }
  const report = { path: config.log.path, ...(await checkLog(disk, config.log.startBytes)) }
  return { report, lost: superblock === null ? noSuperblock(config.log.path, slots) : null }
}

/** What is wrong with the log; `lost`: what to throw where nothing could be looked at. */
export const checkedLog = (context: CliContext<unknown>): ReturnType<typeof checkOf> => looking(context, checkOf)

/** Opens the log to look at it, under the lock of the state directory. */
function looking<T>(context: CliContext<unknown>, look: (disk: Disk, config: GroupConfig) => Promise<T>): Promise<T> {
  return alone(context, async (_state, _lock, config) => {
    const disk = await new NodeDiskProvider().open(config.log.path, { readOnly: true })
    try {
      return await look(disk, config)
    } finally {
      await disk.close()
    }
  })
}

async function superblockOf(
  disk: Disk,
  config: GroupConfig,
): Promise<{ inspection: LogInspection; superblock: NonNullable<LogInspection['superblock']> }> {
  const inspection = await inspectLog(disk, config.log.startBytes)
  const { superblock, slots } = inspection
  if (superblock === null) throw noSuperblock(config.log.path, slots)
  return { inspection, superblock }
}

function noSuperblock(path: string, slots: LogInspection['slots']): SitelinkError {
  const newer = slots.some((slot) => slot.kind === 'newer')
  const why = `its superblocks are ${slots.map((slot) => slot.kind).join(' and ')}`
  return cannotOpen(path, newer ? 'LOG_NEWER' : 'LOG_DAMAGED', why)
}

/** Null where it is not what a primary writes. */
function ownerOf(bytes: Buffer): OwnerState | null {
  try {
    return decodeOwnerState(bytes)
  } catch {
    return null
  }
}
