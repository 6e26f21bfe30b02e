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
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import { primaryErrors } from '../../errors.js'
import { PROGRAM } from '../ask-daemon.js'
import { alone } from '../open-state.js'
import { resizeLogCommand } from './log-resize.js'

const LIST_DEFAULT = 1000
const LIST_MAX = 1_000_000

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
        const { APPLY_MS_MAX, applyLog } = await import('../apply-log.js')
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

function listCommand(log: SitelinkCommand): void {
  log
    .command('ls')
    .description('list the entries of the log, oldest first')
    .option('--last <count>', 'only the newest ones', String(LIST_DEFAULT))
    .addHelpText('after', examples([`${PROGRAM} log ls --last 20 --state DIR`, `${PROGRAM} log ls --json --state DIR`]))
    .action(
      action<{ last: string }>(async (context) => {
        const count = parseCount(context.options.last, 'count of entries', { min: 1, max: LIST_MAX })
        const { listedEntries } = await import('../look-at-log.js')
        const rows = await listedEntries(context, count)
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

function showCommand(log: SitelinkCommand): void {
  log
    .command('show')
    .description(
      'what the superblocks of the log say: whose it is, how far it is durable and applied, where the sites are',
    )
    .addHelpText('after', examples([`${PROGRAM} log show --state DIR`]))
    .action(
      action(async (context) => {
        const { shownLog } = await import('../look-at-log.js')
        const report = await shownLog(context)
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
        const { checkedLog } = await import('../look-at-log.js')
        const { report, lost } = await checkedLog(context)
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
