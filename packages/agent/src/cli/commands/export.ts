/**
 * `sitelink-agent export`: a read-only NBD view of one device of the replica, which stands still meanwhile.
 *
 * Goes through the daemon if one runs. Without one it opens the replica itself, applies what may be applied, and serves;
 * so a copy can be read when everything else is lost. Ends with Ctrl-C, or when the agent ends it.
 */
import { join, resolve } from 'node:path'
import { action, examples, formatBytes, RealClock, type CliContext, type SitelinkCommand } from '@sitelink/daemon/light'
import { NbdServer } from '@sitelink/nbd'
import { Agent } from '../../agent.js'
import { agentErrors } from '../../errors.js'
import { serveExport, type ExportOpened } from '../../export/serve-export.js'
import { agentOptions } from '../agent-options.js'
import { eitherWay, PROGRAM } from '../surroundings.js'

interface Options {
  readonly socket?: string
  readonly hold?: boolean
  readonly force?: boolean
}

const ENDED_BY_USER = 'it was given back'

export function exportCommand(program: SitelinkCommand): void {
  program
    .command('export <name>')
    .description('serve one device of the replica read-only over NBD, at its present consistent point')
    .option('--socket <path>', 'Unix socket to serve on (default: DIR/export-NAME.sock)')
    .option('--hold', 'keep it although the journal fills up: the primary then has to wait or to drop this site')
    .option('--force', 'although the replica is not consistent')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} export data --state DIR`,
        'nbdcopy "nbd+unix:///data?socket=DIR/export-data.sock" data.img',
      ]),
    )
    .action(
      action<Options>(async (context, name) => {
        await run(context, name as string)
      }),
    )
}

async function run(context: CliContext<Options>, name: string): Promise<void> {
  const { options } = context
  const state = await context.state()
  const socket = resolve(options.socket ?? join(state.path, `export-${name}.sock`))
  const request = { name, socket, hold: options.hold === true, force: options.force === true }
  const user = new AbortController()
  const stop = (): void => user.abort(agentErrors.create('AGENT_EXPORT_ENDED', { name, why: ENDED_BY_USER }))
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  try {
    const why = await eitherWay<string>(context, {
      online: async (client) =>
        (
          await follow(
            context,
            client.stream<ExportOpened, { why: string }>('export', request, { signal: user.signal }),
          )
        ).why,
      offline: async ({ config }) => {
        const clock = new RealClock()
        const agent = await Agent.open({ ...agentOptions(state.path, config.current, null), transports: [] })
        try {
          const newServer = (directory: ConstructorParameters<typeof NbdServer>[0]): NbdServer =>
            new NbdServer(directory, { after: (ms, action_) => clock.after(ms, action_) })
          return (await follow(context, serveExport({ agent, request, signal: user.signal, newServer }))).why
        } finally {
          await agent.close()
        }
      },
    })
    if (!user.signal.aborted) throw agentErrors.create('AGENT_EXPORT_ENDED', { name, why })
  } catch (error) {
    if (!user.signal.aborted) throw error
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}

async function follow(
  context: CliContext<Options>,
  events: AsyncGenerator<ExportOpened, { why: string }, void>,
): Promise<{ why: string }> {
  for (;;) {
    const step = await events.next()
    if (step.done === true) return step.value
    context.output.event(
      step.value,
      ({ device, uri, lsn, sizeBytes, consistent }) =>
        `${device} (${formatBytes(sizeBytes)}) at LSN ${lsn}${consistent ? '' : ', NOT consistent'}: ${uri}\nCtrl-C ends it`,
    )
  }
}
