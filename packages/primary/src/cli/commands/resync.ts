/**
 * `sitelink resync`, `drain`, `suspend`, `resume`: things that take a while, and things that stop and go on.
 */
import {
  action,
  examples,
  formatBytes,
  formatDuration,
  parseCount,
  parseDurationMs,
  Progress,
  RealClock,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import { DEVICE_NUMBER_MAX, SLINK_NUMBER_MAX } from '../../limits.js'
import { askDaemon, PROGRAM } from '../ask-daemon.js'

interface ResyncProgress {
  readonly copiedBytes: number
  readonly totalBytes: number
}

export function resyncCommand(program: SitelinkCommand): void {
  program
    .command('resync <slink>')
    .description(
      'attach to a running resync, else start one if anything is dirty, else say so; Ctrl-C detaches, the resync goes on',
    )
    .option('--full', 'make every region dirty first: everything is copied')
    .option('--wait <time>', 'how long to wait for a site that is not connected', '10s')
    .addHelpText('after', examples([`${PROGRAM} resync 1 --state DIR`, `${PROGRAM} resync 1 --full --state DIR`]))
    .action(
      action<{ full?: boolean; wait: string }>(async (context, word) => {
        const { output, options, io } = context
        const slink = parseCount(word as string, 'slink number', { min: 0, max: SLINK_NUMBER_MAX })
        const clock = new RealClock()
        const beganMs = clock.nowMs()
        const body = { slink, full: options.full === true, waitMs: parseDurationMs(options.wait) }
        const progress = new Progress({
          label: `resync of slink ${slink}`,
          clock,
          stream: io.stderr,
          silent: output.json,
        })
        const result = await askDaemon(context, async (client) => {
          try {
            const steps = client.stream<ResyncProgress, { ran: boolean; copiedBytes: number }>('resync', body)
            for (;;) {
              const step = await steps.next()
              if (step.done === true) {
                if (step.value.ran && step.value.copiedBytes > 0)
                  progress.update(step.value.copiedBytes, step.value.copiedBytes)
                return step.value
              }
              progress.update(step.value.copiedBytes, step.value.totalBytes)
            }
          } finally {
            progress.finish()
          }
        })
        const tookMs = clock.nowMs() - beganMs
        output.result({ slink, ...result, tookMs: Math.round(tookMs) }, ({ ran, copiedBytes }) =>
          ran
            ? `slink ${slink} is in sync: ${formatBytes(copiedBytes)} were dirty, ${formatDuration(tookMs)}`
            : `slink ${slink} is in sync, nothing is dirty`,
        )
      }),
    )
  program
    .command('drain')
    .description('wait until everything written so far is applied here and at every site that is not paused')
    .option('--timeout <time>', 'give up after so long')
    .addHelpText('after', examples([`${PROGRAM} drain --timeout 30s --state DIR`]))
    .action(
      action<{ timeout?: string }>(async (context) => {
        const { timeout } = context.options
        const body = timeout === undefined ? {} : { timeoutMs: parseDurationMs(timeout) }
        const result = await askDaemon(context, async (client) => {
          const steps = client.stream<{ waitsFor: string }, { lsn: number; skipped: number[] }>('drain', body)
          let said = ''
          for (;;) {
            const step = await steps.next()
            if (step.done === true) return step.value
            if (step.value.waitsFor !== said) context.output.note(`waiting for ${step.value.waitsFor}`)
            said = step.value.waitsFor
          }
        })
        context.output.result(result, ({ lsn, skipped }) => {
          const but = skipped.length === 0 ? '' : ` that is not paused; skipped: slink ${skipped.join(', ')}`
          return `drained: everything up to LSN ${lsn} is applied at every site${but}`
        })
      }),
    )
  for (const verb of ['suspend', 'resume'] as const) {
    program
      .command(`${verb} [device]`)
      .description(
        verb === 'suspend'
          ? 'let writes wait, of one device or of all ("all"); reads go on'
          : 'let writes go on, of one device or of all ("all")',
      )
      .addHelpText('after', examples([`${PROGRAM} ${verb} 0 --state DIR`, `${PROGRAM} ${verb} all --state DIR`]))
      .action(
        action(async (context, word) => {
          const device =
            word === undefined || word === 'all'
              ? null
              : parseCount(word as string, 'device number', { min: 0, max: DEVICE_NUMBER_MAX })
          await askDaemon(context, (client) => client.call(verb, { device }))
          context.output.result(
            { device, [verb === 'suspend' ? 'suspended' : 'resumed']: true },
            () =>
              `${verb === 'suspend' ? 'suspended' : 'resumed'} ${device === null ? 'the group' : `device ${device}`}`,
          )
        }),
      )
  }
}
