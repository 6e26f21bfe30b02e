/**
 * `sitelink table`: the configuration in dm-replicator's words, printed and loaded.
 *
 * A table goes to the running daemon, or to the state directory without one, or, where there is no state directory yet, a
 * group is made of it. In each case all of it is done or nothing.
 */
import { readFile } from 'node:fs/promises'
import { action, examples, systemError, type SitelinkCommand } from '@sitelink/daemon/light'
import { printTable } from '../../dm/table.js'
import { PROGRAM } from '../ask-daemon.js'
import type { TableOptions } from '../load-table.js'
import { readConfig } from '../read-config.js'

export function tableCommand(program: SitelinkCommand): void {
  program
    .command('table')
    .description("print the configuration in dm-replicator's words, or load it")
    .option('--load <file>', 'bring the group to what the file says, all of it or nothing; - is standard input')
    .option('--dry-run', 'with --load: only say what would be done')
    .option('--insecure-plain', 'with --load: yes, use the tcp:// addresses of new slinks')
    .option('--discard-entries', 'with --load and a new group: use the path of the log although it holds something')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} table --state DIR`,
        `${PROGRAM} table --load FILE --state DIR`,
        `${PROGRAM} table --state OLD | ${PROGRAM} table --load - --dry-run --state DIR`,
        `echo "0 1 replicator ringbuffer 4 /dev/vg/replog 0 auto 262144 blockdev 2 0 asynchronous agent 5 1 tcp://remote:7373 asynchronous ios 10000" | ${PROGRAM} table --load - --insecure-plain --state DIR`,
        `echo "data: 0 2097152 replicator-dev group 0 0 1 /dev/vg/data nolog 0 1 1 data disk 3 - 4096 sync" | ${PROGRAM} table --load - --state DIR`,
      ]),
    )
    .action(
      action<TableOptions>(async (context) => {
        const { output, options } = context
        if (options.load === undefined) {
          const lines = printTable(await readConfig(context))
          return output.result({ lines }, (value) => value.lines.join('\n'))
        }
        const text = await textOf(options.load)
        const { loadTable } = await import('../load-table.js')
        const done = await loadTable(context, text)
        const none = options.dryRun === true ? 'nothing to do' : 'nothing was to be done'
        output.result({ done }, (value) => value.done.join('\n') || none)
      }),
    )
}

async function textOf(file: string): Promise<string> {
  if (file === '-') {
    const chunks: Buffer[] = []
    for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
    return Buffer.concat(chunks).toString('utf8')
  }
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    throw systemError(error) ?? error
  }
}
