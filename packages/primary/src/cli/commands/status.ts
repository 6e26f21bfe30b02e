/**
 * `sitelink status`, `events`: what the group does, for a person and for a script.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  action,
  examples,
  formatBytes,
  formatDuration,
  formatPercent,
  formatRate,
  formatTable,
  formatTime,
  type CliContext,
  type EventPage,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import type { GroupStatus } from '../../group/status.js'
import { askDaemon, PROGRAM } from '../ask-daemon.js'

type Status = GroupStatus & { readonly events: EventPage['events'] }
interface DmStatus {
  readonly lines: readonly string[]
}
type SlinkRow = Status['slinks'][number]

const WATCH_MS = 1000
const CLEAR = '\u001b[H\u001b[2J'

export function statusCommand(program: SitelinkCommand): void {
  program
    .command('status')
    .description('group, log, devices and sites as they are now')
    .option('--watch', 'again every second')
    .option('--dm', "in dm-replicator's words")
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} status --state DIR`,
        `${PROGRAM} status --json --state DIR`,
        `${PROGRAM} status --watch --state DIR`,
        `${PROGRAM} status --dm --state DIR`,
      ]),
    )
    .action(
      action<{ watch?: boolean; dm?: boolean }>(async (context) => {
        const { output, options } = context
        if (options.dm === true)
          return report<DmStatus>(context, 'status-dm', options.watch === true, ({ lines }) => lines.join('\n'))
        const human = (value: Status): string => formatStatus(value, output.columns)
        await report<Status>(context, 'status', options.watch === true, human)
      }),
    )
  program
    .command('events')
    .description('what happened since the daemon was started')
    .option('--follow', 'go on with what happens')
    .addHelpText('after', examples([`${PROGRAM} events --follow --state DIR`]))
    .action(
      action<{ follow?: boolean }>(async (context) => {
        await askDaemon(context, (client) =>
          printEvents(context, client.stream<EventPage>('events', { follow: context.options.follow === true })),
        )
      }),
    )
}

async function report<T>(
  context: CliContext<unknown>,
  verb: string,
  watch: boolean,
  human: (value: T) => string,
): Promise<void> {
  const { output, io } = context
  for (;;) {
    const status = await askDaemon(context, (client) => client.call<T>(verb))
    if (!watch) return output.result(status, human)
    const clear = io.stdout.isTTY === true && !output.json ? CLEAR : ''
    output.event(status, (value) => clear + human(value))
    await sleep(WATCH_MS)
  }
}

async function printEvents(
  context: CliContext<unknown>,
  pages: AsyncGenerator<EventPage, unknown, void>,
): Promise<void> {
  for await (const page of pages) {
    for (const event of page.events) {
      context.output.event(
        event,
        ({ timeUs, level, kind, message }) => `${formatTime(timeUs)}  ${level.padEnd(5)}  ${kind}: ${message}`,
      )
    }
  }
}

function describeResize({ toBytes, step, bytesDone, bytesTotal }: NonNullable<Status['log']['resize']>): string {
  const far = bytesTotal === 0 ? '' : `, ${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)}`
  return `is being resized to ${formatBytes(toBytes)}: ${step}${far}`
}

/** The report for a person. */
export function formatStatus(status: Status, columns: number): string {
  const { group, log, local, devices, slinks } = status
  const failed = group.failure === null ? '' : `: ${group.failure}`
  const lines = [
    `group ${group.uuid}  epoch ${group.epoch}  ${group.state}${failed}`,
    `log   ${formatBytes(log.usedBytes)} of ${formatBytes(log.ringBytes)} used (${formatPercent(log.usedBytes, log.ringBytes)})  LSN ${log.lastLsn}, durable ${log.durableLsn}, applied here ${local.appliedLsn}`,
  ]
  if (log.resize !== null) lines.push(`      ${describeResize(log.resize)}`)
  if (group.waitingRequests > 0 || group.heldRequests > 0)
    lines.push(`wait  ${group.waitingRequests} requests wait for room, ${group.heldRequests} for their answer`)
  lines.push('')
  lines.push(
    formatTable(
      devices,
      [
        { title: 'DEVICE', cell: (row) => String(row.number), align: 'right' },
        { title: 'NAME', cell: (row) => row.name },
        { title: 'SIZE', cell: (row) => formatBytes(row.sizeBytes), align: 'right' },
        { title: 'CLIENTS', cell: (row) => String(row.clients.length), align: 'right' },
        { title: 'STATE', cell: (row) => deviceStateOf(row), charsMin: 12 },
        { title: 'PATH', cell: (row) => row.path, charsMin: 12 },
      ],
      columns,
      'no devices yet',
    ),
  )
  lines.push(
    formatTable(
      slinks,
      [
        { title: 'SLINK', cell: (row) => String(row.number), align: 'right' },
        { title: 'POLICY', cell: (row) => policyOf(row) },
        { title: 'STATE', cell: (row) => stateOf(row) },
        { title: 'LAG', cell: (row) => lagOf(row), align: 'right' },
        { title: 'LINK', cell: (row) => linkOf(row) },
        { title: 'DIRTY', cell: (row) => `${row.dirtyRegions}/${row.totalRegions}`, align: 'right' },
        { title: 'RESYNC', cell: (row) => resyncOf(row) },
        { title: 'ADDRESS', cell: (row) => row.address ?? row.addresses.join(' '), charsMin: 12 },
        { title: 'PROBLEM', cell: (row) => row.problem ?? noHttp3(row), charsMin: 12 },
      ],
      columns,
      'no slinks yet',
    ),
  )
  return lines.join('\n')
}

function deviceStateOf({ problem, available, lostBytes }: Status['devices'][number]): string {
  const words = problem ?? (available ? null : 'not available')
  const lost = lostBytes === 0 ? null : `${formatBytes(lostBytes)} unreadable`
  return [lost, words].filter((one) => one !== null).join('; ') || 'ok'
}

function policyOf(row: SlinkRow): string {
  return row.mode === 'sync' ? `sync/${row.ack}+${row.overflow}` : `async+${row.overflow}`
}

function stateOf(row: SlinkRow): string {
  const words: string[] = [row.state]
  if (row.protected === true) words.push('protected')
  if (row.forced !== null) words.push(`forced by ${row.forced}`)
  if (row.failing) words.push('failing')
  return words.join(', ')
}

function lagOf(row: SlinkRow): string {
  if (row.lagWrites === 0) return '0'
  return `${row.lagWrites} writes, ${formatBytes(row.lagBytes)}, ${formatDuration(row.lagSeconds * 1000)}`
}

function linkOf({ limit, compression, carrier, rttMs, clockOffsetUs }: SlinkRow): string {
  const words: string[] = []
  if (carrier !== null) words.push(carrier.protocol)
  if (limit.bytesPerSecond > 0 || limit.windows.length > 0) {
    const now = limit.nowBytesPerSecond ?? limit.bytesPerSecond
    words.push(now === 0 ? 'no limit now' : `at most ${formatRate(now)}`)
  }
  if (compression.mode !== 'off') words.push(compressionOf(compression))
  if (rttMs !== null) words.push(`rtt ${formatMs(rttMs)}`)
  if (clockOffsetUs !== null)
    words.push(`clock ${clockOffsetUs < 0 ? '-' : '+'}${formatMs(Math.abs(clockOffsetUs) / 1000)}`)
  return words.join(', ') || '-'
}

/** Why a link does not go over HTTP/3 that would: no problem, but something that an operator can change. */
function noHttp3({ quic, carrier }: SlinkRow): string {
  return quic === 'never' || carrier === null || carrier.why === null ? '' : `no HTTP/3: ${carrier.why}`
}

function compressionOf({ active, why, codec, ratio }: SlinkRow['compression']): string {
  // What was not judged yet may gain nothing.
  if (active && why === 'trying') return `trying ${codec}`
  if (active) return ratio === null ? `${codec}` : `${codec} ${ratio.toFixed(1)}x`
  return why === null ? 'not compressed' : `not compressed: ${COMPRESSION_WORDS[why]}`
}

const COMPRESSION_WORDS = {
  operator: 'off',
  'worth-it': 'on',
  trying: 'comparing',
  incompressible: 'it does not become smaller',
  cpu: 'the processor is slower than the link',
  peer: 'the agent reads none',
} as const

function formatMs(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)}ms` : formatDuration(ms)
}

function resyncOf({ resync }: SlinkRow): string {
  if (resync === null) return '-'
  if (!resync.running) return `${formatBytes(resync.leftBytes)} to do`
  const eta = resync.etaSeconds === null ? '' : `, ${formatDuration(resync.etaSeconds * 1000)} left`
  return `${formatPercent(resync.copiedBytes, resync.totalBytes)} at ${formatRate(resync.bytesPerSecond)}${eta}`
}
