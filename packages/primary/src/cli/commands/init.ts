/**
 * `sitelink init`: makes a state directory and the group's replog. What is there already is refused, never replaced.
 */
import { resolve } from 'node:path'
import { action, examples, parseSize, type SitelinkCommand } from '@sitelink/daemon/light'
import { LOG_BYTES_MIN } from '../../limits.js'
import { PROGRAM } from '../ask-daemon.js'

interface Options {
  readonly log: string
  readonly logSize?: string
  readonly logStart?: string
  readonly sparse?: boolean
  readonly discardEntries?: boolean
}

export function initCommand(program: SitelinkCommand): void {
  program
    .command('init')
    .description('make a group: a state directory, and a replog on a file or block device')
    .requiredOption('--log <path>', 'file (made if it is missing) or block device for the replog')
    .option('--log-size <size>', 'size of the replog (default: 1g for a new file, else what is there)')
    .option('--log-start <offset>', 'where the replog begins on the device (default: 0)')
    .option('--sparse', 'do not write the log once: a full file system can then fail the group at any write')
    .option('--discard-entries', 'use the path although it holds a log with entries, or something else: they are lost')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} init --state /var/lib/sitelink --log /dev/vg/replog`,
        `${PROGRAM} init --state ./state --log ./replog --log-size 1g`,
      ]),
    )
    .action(
      action<Options>(async (context) => {
        const { options, output } = context
        const path = resolve(options.log)
        const startBytes = options.logStart === undefined ? 0 : parseSize(options.logStart)
        const sizeBytes = options.logSize === undefined ? null : parseSize(options.logSize, { min: LOG_BYTES_MIN })
        const sparse = options.sparse === true
        const discardEntries = options.discardEntries === true
        const log = { path, startBytes, sizeBytes, sparse, discardEntries }
        const { makeGroup } = await import('../make-group.js')
        const { uuid, state } = await makeGroup(context, { log, fill: (empty) => empty })
        output.result(
          { uuid, state, log: path },
          () =>
            `made group ${uuid} in ${state}, replog ${path}\nnext: ${PROGRAM} device add 0 PATH --name NAME --state ${state}, then ${PROGRAM} run --state ${state}`,
        )
      }),
    )
}
