/**
 * `sitelink verify`: compares a site with the local devices while everything goes on. Exit status 0 only if all was compared
 * and nothing differs.
 */
import {
  action,
  examples,
  formatBytes,
  formatDuration,
  formatTable,
  parseCount,
  parseDurationMs,
  printable,
  Progress,
  RealClock,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import { primaryErrors } from '../../errors.js'
import { DEVICE_NUMBER_MAX, SLINK_NUMBER_MAX } from '../../limits.js'
import type { VerifyProgress, VerifyReport } from '../../verify/verify-site.js'
import { askDaemon, PROGRAM } from '../ask-daemon.js'

/** A verify that is over sooner shows no progress. */
const QUIET_MS = 2000

export function verifyCommand(program: SitelinkCommand): void {
  program
    .command('verify <slink> [device]')
    .description(
      'compare the devices of a site with the local ones, range by range, while writes go on; Ctrl-C stops it; exit status 65 if anything differs, 75 if not all could be compared',
    )
    .option('--mark', 'make the regions dirty in which something differs: they are copied from here to the site')
    .option('--wait <time>', 'how long to wait for a site that is not connected', '10s')
    .addHelpText('after', examples([`${PROGRAM} verify 1 --state DIR`, `${PROGRAM} verify 1 0 --mark --state DIR`]))
    .action(
      action<{ mark?: boolean; wait: string }>(async (context, slinkWord, deviceWord) => {
        const { output, options, io } = context
        const slink = parseCount(slinkWord as string, 'slink number', { min: 0, max: SLINK_NUMBER_MAX })
        const device =
          deviceWord === undefined ? null : parseCount(deviceWord, 'device number', { min: 0, max: DEVICE_NUMBER_MAX })
        const clock = new RealClock()
        const beganMs = clock.nowMs()
        const body = { slink, device, mark: options.mark === true, waitMs: parseDurationMs(options.wait) }
        const progress = new Progress({
          label: `verify of slink ${slink}`,
          clock,
          stream: io.stderr,
          silent: output.json,
        })
        const report = await askDaemon(context, async (client) => {
          try {
            const steps = client.stream<VerifyProgress, VerifyReport>('verify', body)
            for (;;) {
              const step = await steps.next()
              if (step.done === true) return step.value
              if (clock.nowMs() - beganMs > QUIET_MS) progress.update(step.value.doneBytes, step.value.totalBytes)
            }
          } finally {
            progress.finish()
          }
        })
        const tookMs = Math.round(clock.nowMs() - beganMs)
        output.result({ ...report, tookMs }, (shown) => verifyText(shown, tookMs, output.columns))
        refuseVerify(report)
      }),
    )
}

/** What was found, for a person. */
export function verifyText(report: VerifyReport, tookMs: number, columns: number): string {
  const { different, unreadable, unreadableBytes, notNamedBytes, equalBytes, totalBytes, complete, why } = report
  const lines: string[] = []
  if (different.length > 0)
    lines.push(
      formatTable(
        different,
        [
          { title: 'DEVICE', cell: ({ device }) => String(device), align: 'right' },
          { title: 'OFFSET', cell: ({ offsetBytes }) => String(offsetBytes), align: 'right' },
          { title: 'LENGTH', cell: ({ lengthBytes }) => String(lengthBytes), align: 'right' },
        ],
        columns,
        '',
      ).trimEnd(),
    )
  if (notNamedBytes > 0) lines.push(`and ${formatBytes(notNamedBytes)} in further ranges`)
  for (const { device, offsetBytes, lengthBytes, side, why: problem } of unreadable)
    lines.push(
      `device ${device}: ${lengthBytes} bytes at ${offsetBytes} cannot be read at the ${side}: ${printable(problem)}`,
    )
  const notNamedUnreadable = unreadable.reduce((left, { lengthBytes }) => left - lengthBytes, unreadableBytes)
  if (notNamedUnreadable > 0) lines.push(`and ${formatBytes(notNamedUnreadable)} in further ranges cannot be read`)
  if (!complete)
    lines.push(
      `stopped before all of ${formatBytes(totalBytes)} was compared${why === null ? '' : `: ${printable(why)}`}`,
    )
  lines.push(`${formatBytes(equalBytes)} are equal, ${formatDuration(tookMs)}`)
  return lines.join('\n')
}

/** Throws unless all was compared and nothing differs. What differs comes first: nothing that follows changes it. */
export function refuseVerify(report: VerifyReport): void {
  const { slink, differentBytes, leftOutBytes, unreadableBytes, markedRegions, markProblem } = report
  if (markedRegions > 0)
    throw primaryErrors.create('VERIFY_MARKED', { slink, bytes: differentBytes, regions: markedRegions })
  if (markProblem !== null)
    throw primaryErrors.create('VERIFY_NOT_MARKED', { slink, bytes: differentBytes, why: markProblem })
  if (differentBytes > 0) throw primaryErrors.create('VERIFY_DIFFERENT', { slink, bytes: differentBytes })
  if (!report.complete)
    throw primaryErrors.create('VERIFY_STOPPED', {
      slink,
      done: report.equalBytes,
      total: report.totalBytes,
      why: report.why ?? 'it was stopped',
    })
  if (leftOutBytes + unreadableBytes > 0)
    throw primaryErrors.create('VERIFY_INCOMPLETE', { slink, leftOut: leftOutBytes, unreadable: unreadableBytes })
}
