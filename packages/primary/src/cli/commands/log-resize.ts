/**
 * `sitelink log resize`: another size for the replog, through the daemon while writers write, or without one.
 */
import {
  action,
  examples,
  formatBytes,
  parseSize,
  Progress,
  RealClock,
  withDaemonOrLock,
  type SitelinkCommand,
} from '@sitelink/daemon/light'
import type { ResizeOutcome, ResizeStatus } from '@sitelink/storage'
import { mapped } from '../../error-map.js'
import { PROGRAM } from '../ask-daemon.js'

export function resizeLogCommand(log: SitelinkCommand): void {
  log
    .command('resize <size>')
    .description('make the log larger or smaller, with a daemon (writers go on) or without; nothing in it is lost')
    .option('--sparse', 'larger: do not write the new space once; a full disk then fails the group')
    .option('--overwrite', 'larger: also over bytes behind the log that are not zero')
    .addHelpText(
      'after',
      examples([`${PROGRAM} log resize 4g --state DIR`, `${PROGRAM} log resize 512m --json --state DIR`]),
    )
    .action(
      action<{ sparse?: boolean; overwrite?: boolean }>(async (context, word) => {
        const { options, output, io } = context
        const sizeBytes = parseSize(word as string)
        const wish = { sizeBytes, sparse: options.sparse === true, overwrite: options.overwrite === true }
        const clock = new RealClock()
        const progress = new Progress({ label: 'resizing the log', clock, stream: io.stderr, silent: output.json })
        const follow = async (
          steps: AsyncGenerator<ResizeStatus, ResizeOutcome | null, void>,
        ): Promise<ResizeOutcome | null> => {
          for (;;) {
            const step = await steps.next()
            if (step.done === true) return step.value
            if (step.value.bytesTotal > 0) progress.update(step.value.bytesDone, step.value.bytesTotal)
          }
        }
        const state = await context.state()
        try {
          const outcome = await withDaemonOrLock(
            state,
            {
              online: (client) => follow(client.stream<ResizeStatus, ResizeOutcome>('log-resize', wish)),
              offline: (lock) =>
                mapped(async () => {
                  const { followResize } = await import('../../control/log-verbs.js')
                  const { resizeOffline } = await import('../offline-group.js')
                  return resizeOffline(state, lock, wish, (ringLog, ended) =>
                    follow(followResize(ringLog, clock, ended)),
                  )
                }),
            },
            { onWaiting: (message) => output.note(message) },
          )
          progress.finish()
          output.result(outcome, (done) => describe(done))
        } finally {
          progress.finish()
        }
      }),
    )
}

function describe(outcome: ResizeOutcome | null): string {
  if (outcome === null) return 'the resize goes on'
  const { fromBytes, toBytes, left } = outcome
  if (fromBytes === toBytes) return `the log has ${formatBytes(toBytes)} already`
  const but = left === null ? '' : `; the space behind it could not be given back: ${left}`
  return `the log was resized from ${formatBytes(fromBytes)} to ${formatBytes(toBytes)}${but}`
}
