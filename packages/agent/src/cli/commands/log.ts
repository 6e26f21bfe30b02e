/**
 * `sitelink-agent log ...`: looks into the journal while no daemon has it. Reads only.
 */
import {
  action,
  examples,
  ConfigFile,
  formatBytes,
  formatPairs,
  formatTable,
  type CliContext,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import { formatId64, FrameType } from '@sitelink/protocol'
import { checkLog, inspectLog, listLog, NodeDiskProvider, type Disk } from '@sitelink/storage'
import { configFormat } from '../../config.js'
import { agentErrors } from '../../errors.js'
import { decodeOwnerState } from '../../journal/owner-state.js'
import { coded, PROGRAM } from '../surroundings.js'

const TYPE_NAMES = new Map(Object.entries(FrameType).map(([name, type]) => [type as number, name]))

interface FrameRow {
  readonly position: number
  readonly type: string
  readonly incarnation: number
  readonly lsn: number
  readonly deviceId: number
  readonly offsetBytes: number
  readonly lengthBytes: number
}

export function logCommand(program: SitelinkCommand): void {
  const log = program.command('log').description('the journal, off line: no daemon may run')
  log
    .command('ls')
    .description('list the frames of the journal, oldest first')
    .option('--last <count>', 'the newest ones only', '1000')
    .addHelpText('after', examples([`${PROGRAM} log ls --state DIR`]))
    .action(
      action<{ last: string }>(async (context) => {
        const count = Number(context.options.last)
        const rows = await withJournal(context, (disk, path) =>
          framesOf(disk, path, Number.isSafeInteger(count) && count > 0 ? count : 1000),
        )
        context.output.result(rows, () =>
          formatTable(
            rows,
            [
              { title: 'POSITION', cell: (row) => String(row.position), align: 'right' },
              { title: 'TYPE', cell: (row) => row.type },
              { title: 'LSN', cell: (row) => `${row.incarnation}:${row.lsn}`, align: 'right' },
              { title: 'DEVICE', cell: (row) => String(row.deviceId), align: 'right' },
              { title: 'OFFSET', cell: (row) => String(row.offsetBytes), align: 'right' },
              { title: 'LENGTH', cell: (row) => String(row.lengthBytes), align: 'right' },
            ],
            context.output.columns,
            'the journal holds no frames',
          ),
        )
      }),
    )
  log
    .command('check')
    .description('verify everything in the journal; exit status 65 if something is wrong')
    .addHelpText('after', examples([`${PROGRAM} log check --state DIR`]))
    .action(
      action(async (context) => {
        const report = await withJournal(context, async (disk, path) => {
          const { superblock } = await inspectLog(disk)
          const check = await checkLog(disk)
          const owner = superblock === null ? null : decodeOwnerState(superblock.owner)
          return { journal: path, ring: superblock === null ? null : formatId64(superblock.logId), owner, ...check }
        })
        context.output.result(report, ({ journal, ring, entryCount, bytes, lastLsn, end, problems, owner }) =>
          formatPairs([
            ['journal', journal],
            ['holds', `${entryCount} frames, ${formatBytes(bytes)}, up to LSN ${lastLsn}`],
            ['applied', owner === null ? '-' : `LSN ${owner.applied.lsn}`],
            ['ends', ring === null ? '-' : `at position ${end}, LSN ${lastLsn}`],
            ...problems.map(({ position, what }): [string, string] => [
              'problem',
              position === null ? what : `position ${position}: ${what}`,
            ]),
          ]),
        )
        if (report.problems.length > 0) {
          throw agentErrors.create('AGENT_LOG', {
            what: `the journal ${report.journal} has ${report.problems.length} problems; the first: ${report.problems[0]?.what}`,
          })
        }
      }),
    )
}

async function framesOf(disk: Disk, path: string, countMax: number): Promise<FrameRow[]> {
  const { superblock } = await inspectLog(disk)
  if (superblock === null) throw agentErrors.create('AGENT_LOG', { what: `${path} holds no journal` })
  const rows: FrameRow[] = []
  for await (const step of listLog(disk, superblock)) {
    if (step.kind !== 'data' && step.kind !== 'end') continue
    for (const item of step.items) {
      if (!('frame' in item)) continue
      const { type, incarnation, lsn, deviceId, offset, length } = item.frame
      rows.push({
        position: item.position,
        type: TYPE_NAMES.get(type) ?? String(type),
        incarnation,
        lsn,
        deviceId,
        offsetBytes: offset,
        lengthBytes: length,
      })
      if (rows.length >= 2 * countMax) rows.splice(0, rows.length - countMax)
    }
  }
  return rows.slice(-countMax)
}

async function withJournal<T>(context: CliContext<unknown>, run: (disk: Disk, path: string) => Promise<T>): Promise<T> {
  const state = await context.state()
  const lock = await state.lock('command')
  try {
    const config = await ConfigFile.open(state, lock, configFormat)
    const { path } = config.current.journal
    return await coded(async () => {
      const disk = await new NodeDiskProvider().open(path, { readOnly: true })
      try {
        return await run(disk, path)
      } finally {
        await disk.close()
      }
    })
  } finally {
    await lock.release()
  }
}
