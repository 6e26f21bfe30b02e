/**
 * `sitelink-agent status`: how far the replica is, for a person and for a script.
 */
import {
  action,
  delay,
  examples,
  formatBytes,
  formatDuration,
  formatPairs,
  formatPercent,
  formatTable,
  RealClock,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import type { AgentStatus } from '../../status.js'
import { askDaemon, PROGRAM } from '../surroundings.js'

const WATCH_MS = 1000
const CLEAR = '\u001b[H\u001b[2J'

export function statusCommand(program: SitelinkCommand): void {
  program
    .command('status')
    .description('replica, journal, devices and session as they are now')
    .option('--watch', 'again every second')
    .addHelpText('after', examples([`${PROGRAM} status --state DIR`, `${PROGRAM} status --json --state DIR`]))
    .action(
      action<{ watch?: boolean }>(async (context) => {
        const { output, options, io } = context
        const clock = new RealClock()
        for (;;) {
          const status = await askDaemon(context, (client) =>
            client.call<AgentStatus>('status', null, { timeoutMs: 30_000 }),
          )
          if (options.watch !== true) return output.result(status, (value) => formatStatus(value, output.columns))
          const clear = io.stdout.isTTY === true && !output.json ? CLEAR : ''
          output.event(status, (value) => clear + formatStatus(value, output.columns))
          await delay(clock, WATCH_MS)
        }
      }),
    )
}

/** The report for a person. */
export function formatStatus(status: AgentStatus, columns: number): string {
  const { replica, session, journal, mappings, devices, exports } = status
  const pairs: [string, string][] = [['agent', status.agent]]
  if (status.broken !== null) pairs.push(['broken', status.broken])
  if (replica === null) pairs.push(['replica', 'of no group yet: no primary has come'])
  else {
    pairs.push(['replica', `group ${replica.group}  slink ${replica.slink ?? '-'}  epoch ${replica.epoch}`])
    pairs.push(['state', replica.consistent ? 'consistent' : `NOT consistent: ${replica.inconsistency}`])
    pairs.push([
      'LSN',
      `received ${text(replica.receivedLsn)}  durable ${text(replica.durableLsn)}  applied ${text(replica.appliedLsn)}  primary durable ${text(replica.primaryDurableLsn)}`,
    ])
    if ((replica.lagEntries ?? 0) > 0) {
      pairs.push([
        'to apply',
        `${replica.lagEntries} entries, ${formatBytes(replica.lagBytes)}, oldest ${formatDuration(replica.lagAgeMs)}`,
      ])
    }
  }
  pairs.push([
    'session',
    session.connected
      ? `${session.peer} for ${formatDuration(session.connectedMs)}, round trip ${formatDuration(session.rttMs)}`
      : 'none',
  ])
  const fill =
    journal.usedBytes === null
      ? 'not open'
      : `${formatBytes(journal.usedBytes)} of ${formatBytes(journal.ringBytes)} used (${formatPercent(journal.usedBytes, journal.ringBytes ?? 0)})`
  pairs.push(['journal', `${journal.path}  ${fill}`])
  pairs.push(['listening', status.listening.join(', ') || 'no'])
  if (status.listeningLacks !== null) pairs.push(['', status.listeningLacks])
  for (const one of exports)
    pairs.push(['export', `${one.device} at LSN ${one.lsn}, ${one.clients} clients${one.hold ? ', held' : ''}`])
  const rows = devices.map((device) => ({
    ...device,
    mapping: mappings.findLast((mapping) => mapping.device === device.name) ?? null,
  }))
  return `${formatPairs(pairs)}\n${formatTable(
    rows,
    [
      { title: 'DEVICE', cell: (row) => row.name },
      { title: 'SIZE', cell: (row) => formatBytes(row.sizeBytes), align: 'right' },
      { title: 'COPY OF', cell: (row) => (row.mapping === null ? '-' : `${row.mapping.number} "${row.mapping.name}"`) },
      {
        title: 'DIRTY',
        cell: (row) => (row.mapping === null ? '-' : `${text(row.mapping.regionsDirty)}/${row.mapping.regionsTotal}`),
        align: 'right',
      },
      { title: 'STATE', cell: (row) => row.problem ?? 'ok', charsMin: 12 },
      { title: 'PATH', cell: (row) => row.path, charsMin: 12 },
    ],
    columns,
    'no devices yet',
  )}`
}

function text(value: number | null): string {
  return value === null ? '-' : String(value)
}
