/**
 * `sitelink run`: the primary daemon of one group, in the foreground until a signal. Here its words; what it does: serve.ts.
 */
import { action, examples, parseDurationMs, type LogLevel, type SitelinkCommand } from '@sitelink/daemon/light'
import { parseHostAddress } from '@sitelink/protocol/light'
import { mapped } from '../../error-map.js'
import { primaryErrors } from '../../errors.js'
import { PROBE_MS_DEFAULT, PROBE_MS_MIN } from '../../limits.js'
import { PROGRAM } from '../ask-daemon.js'

interface Options {
  readonly logLevel?: LogLevel
  readonly nbdListen?: string
  readonly nbdPlain?: boolean
  readonly probe?: string
  readonly listenAgents?: string
}

export function runCommand(program: SitelinkCommand): void {
  program
    .command('run')
    .description('run the primary daemon of the group in the foreground; devices are exported over NBD on DIR/nbd.sock')
    .option('--nbd-listen <host:port>', 'export over TCP as well, without encryption: needs --nbd-plain')
    .option('--probe <time>', 'how often a device of a blockdev site that failed is tried (15s)')
    .option(
      '--listen-agents <address>',
      'take agents that dial, at tls://host:port: for sites behind address translation',
    )
    .option('--nbd-plain', 'yes, anybody who reaches that port may read and write the devices')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} run --state /var/lib/sitelink`,
        `${PROGRAM} run --listen-agents tls://0.0.0.0:7374 --state /var/lib/sitelink`,
        'nbdinfo --list "nbd+unix://?socket=/var/lib/sitelink/nbd.sock"',
      ]),
    )
    .action(
      action<Options>(async (context) => {
        const { nbdListen, nbdPlain, probe, listenAgents = null } = context.options
        const probeMs = probe === undefined ? PROBE_MS_DEFAULT : parseDurationMs(probe, { min: PROBE_MS_MIN })
        if (listenAgents !== null && parseHostAddress(listenAgents).scheme !== 'tls')
          throw primaryErrors.create('ADDRESS', {
            why: `agents that dial are taken at tls:// only, not at ${listenAgents}`,
          })
        const listen = nbdListen === undefined ? null : tcpAddress(nbdListen, nbdPlain === true)
        const [{ inDaemonPlace }, { serve }] = await Promise.all([import('@sitelink/daemon'), import('../serve.js')])
        return inDaemonPlace(context, (place) => mapped(() => serve(place, { listen, listenAgents, probeMs })))
      }),
    )
}

function tcpAddress(word: string, plain: boolean): { host: string; port: number } {
  const at = word.lastIndexOf(':')
  const port = Number(word.slice(at + 1))
  if (at < 1 || !Number.isInteger(port) || port < 0 || port > 65_535)
    throw primaryErrors.create('ADDRESS', { why: `"${word}" is not host:port` })
  if (!plain)
    throw primaryErrors.create('ADDRESS', {
      why: 'NBD over TCP is neither encrypted nor authenticated here: say --nbd-plain if that is what you want',
    })
  return { host: word.slice(0, at), port }
}
