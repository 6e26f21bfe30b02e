/**
 * `sitelink log ...`: looks into the replog while no daemon has it, and applies it without one. To resize it: log-resize.ts.
 *
 * `ls`, `show` and `check` only read, so they work on a log that does not open; `apply` is a start without sites.
 */
import {
  action,
  examples,
  formatBytes,
  formatPairs,
  formatTable,
  formatTime,
  parseCount,
  type CliContext,
  type SitelinkCommand,
  type SitelinkError,
} from '@sitelink/daemon'
import { formatId64, FrameFlag, FrameType } from '@sitelink/protocol'
import { checkLog, inspectLog, listLog, NodeDiskProvider, type Disk, type LogInspection } from '@sitelink/storage'
import type { GroupConfig } from '../../config.js'
import { primaryErrors } from '../../errors.js'
import { cannotOpen, journalInstead, refuseForeignLog } from '../../group/log-refusals.js'
import { decodeOwnerState, type OwnerState } from '../../group/owner-state.js'
import { APPLY_MS_MAX, applyLog } from '../apply-log.js'
import { alone, PROGRAM } from '../open-state.js'
import { resizeLogCommand } from './log-resize.js'

const LIST_DEFAULT = 1000
const LIST_MAX = 1_000_000

const TYPE_NAMES = new Map(Object.entries(FrameType).map(([name, type]) => [type as number, name]))

export function logCommand(program: SitelinkCommand): void {
  const log = program
    .command('log')
    .description('the replog: looked into and applied while no daemon runs, resized at any time')
  listCommand(log)
  showCommand(log)
  checkCommand(log)
  resizeLogCommand(log)
  log
    .command('apply')
    .description('apply everything in the log to the local devices, so that they are whole without the daemon')
    .addHelpText('after', examples([`${PROGRAM} log apply --state DIR`]))
    .action(
      action(async (context) => {
        const lsn = await alone(context, async (state, lock) => {
          const { lastLsn, appliedLsn, problems } = await applyLog(state, lock)
          if (appliedLsn < lastLsn)
            throw primaryErrors.create('DRAIN_TIMEOUT', {
              ms: APPLY_MS_MAX,
              why: problems.join('; ') || 'the devices do not work',
            })
          return lastLsn
        })
        context.output.result({ appliedLsn: lsn }, () => `the local devices have everything up to LSN ${lsn}`)
      }),
    )
}

interface EntryRow {
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

function listCommand(log: SitelinkCommand): void {
  log
    .command('ls')
    .description('list the entries of the log, oldest first')
    .option('--last <count>', 'only the newest ones', String(LIST_DEFAULT))
    .addHelpText('after', examples([`${PROGRAM} log ls --last 20 --state DIR`, `${PROGRAM} log ls --json --state DIR`]))
    .action(
      action<{ last: string }>(async (context) => {
        const count = parseCount(context.options.last, 'count of entries', { min: 1, max: LIST_MAX })
        const rows = await looking(context, (disk, config) => entriesOf(disk, config, count))
        context.output.result(rows, () =>
          formatTable(
            rows,
            [
              { title: 'POSITION', cell: (row) => String(row.position), align: 'right' },
              {
                title: 'LSN',
                cell: (row) => (row.lastLsn > row.lsn ? `${row.lsn}-${row.lastLsn}` : String(row.lsn)),
                align: 'right',
              },
              { title: 'TYPE', cell: (row) => row.type },
              {
                title: 'DEVICE',
                cell: (row) =>
                  row.device === null ? (row.deviceId === null ? '-' : `id ${row.deviceId}`) : String(row.device),
                align: 'right',
              },
              { title: 'OFFSET', cell: (row) => String(row.offsetBytes ?? '-'), align: 'right' },
              { title: 'LENGTH', cell: (row) => String(row.lengthBytes ?? '-'), align: 'right' },
              {
                title: 'FLAGS',
                cell: (row) =>
                  [row.fua ? 'fua' : '', row.flushBefore ? 'flush-before' : ''].filter(Boolean).join(' ') || '-',
              },
            ],
            context.output.columns,
            'the log holds no entries',
          ),
        )
      }),
    )
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

function showCommand(log: SitelinkCommand): void {
  log
    .command('show')
    .description(
      'what the superblocks of the log say: whose it is, how far it is durable and applied, where the sites are',
    )
    .addHelpText('after', examples([`${PROGRAM} log show --state DIR`]))
    .action(
      action(async (context) => {
        const report = await looking(context, async (disk, config) => {
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
        })
        context.output.result(report, (shown) =>
          formatPairs([
            ['log', shown.path],
            ['identity', shown.logId],
            ['group', shown.group ?? '-'],
            ['ring', `${formatBytes(shown.ringBytes)}, from byte ${shown.startBytes}`],
            ['made', formatTime(shown.createdUs)],
            ['written', `${formatTime(shown.writtenUs)}, superblocks ${shown.superblocks.join(' and ')}`],
            ['closed', shown.cleanStop ? 'cleanly' : 'not cleanly'],
            ['tail', `LSN ${shown.tailLsn}, position ${shown.tailPosition}`],
            ['durable', `LSN ${shown.durableLsn} at least`],
            ['applied', shown.appliedLsn === null ? '-' : `LSN ${shown.appliedLsn}`],
            ...shown.slinks.map(({ number, behind, durableLsn, dirty }): [string, string] => [
              `slink ${number}`,
              `${behind ? 'behind, ' : ''}durable to LSN ${durableLsn}${dirty ? ', some regions dirty' : ''}`,
            ]),
            ...shown.lostRanges.map(({ deviceId, offset, length }): [string, string] => [
              'lost',
              `device id ${deviceId}, ${length} bytes at ${offset}`,
            ]),
          ]),
        )
      }),
    )
}

function checkCommand(log: SitelinkCommand): void {
  log
    .command('check')
    .description('verify everything in the log; exit status 65 if something is wrong')
    .addHelpText('after', examples([`${PROGRAM} log check --state DIR`]))
    .action(
      action(async (context) => {
        const { report, lost } = await looking(context, async (disk, config) => {
          const { superblock, slots } = await inspectLog(disk, config.log.startBytes)
          // A whole log of somebody else is as useless here as a damaged one.
          if (superblock !== null) {
            if (superblock.rule !== 'dense') throw journalInstead(config)
            refuseForeignLog(config, ownerOf(superblock.owner))
          }
          const report = { path: config.log.path, ...(await checkLog(disk, config.log.startBytes)) }
          return { report, lost: superblock === null ? noSuperblock(config.log.path, slots) : null }
        })
        context.output.result(report, ({ path, entryCount, groupCount, bytes, lastLsn, end, problems }) =>
          formatPairs([
            ['log', path],
            ['holds', `${entryCount} entries in ${groupCount} groups, ${formatBytes(bytes)}, up to LSN ${lastLsn}`],
            ['ends', lost === null ? `at position ${end}, LSN ${lastLsn}` : '-'],
            ...problems.map(({ position, what }): [string, string] => [
              'problem',
              position === null ? what : `position ${position}: ${what}`,
            ]),
          ]),
        )
        if (lost !== null) throw lost
        if (report.problems.length > 0)
          throw primaryErrors.create('LOG_PROBLEMS', {
            path: report.path,
            count: report.problems.length,
            first: report.problems[0]?.what ?? '',
          })
      }),
    )
}

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
