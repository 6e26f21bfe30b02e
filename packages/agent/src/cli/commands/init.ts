/**
 * `sitelink-agent init`: makes a state directory and the journal. What is there already is refused, never replaced.
 */
import { join, resolve } from 'node:path'
import {
  action,
  ConfigFile,
  examples,
  formatBytes,
  IdentityFile,
  parseSize,
  Progress,
  RealClock,
  StateDirectory,
  type SitelinkCommand,
} from '@sitelink/daemon'
import { Agent } from '../../agent.js'
import { configFormat, type AgentConfig } from '../../config.js'
import { JOURNAL_BYTES_DEFAULT, JOURNAL_BYTES_MIN } from '../../limits.js'
import { openTrust } from '../links.js'
import { agentOptions } from '../agent-options.js'
import { coded, listenAddress, PROGRAM, quicMode } from '../surroundings.js'

interface Options {
  readonly journal?: string
  readonly journalSize?: string
  readonly listen?: string
  readonly quic?: string
  readonly insecurePlain?: boolean
  readonly sparse?: boolean
}

export function initCommand(program: SitelinkCommand): void {
  program
    .command('init')
    .description('make an agent: a state directory, and a journal on a file or block device')
    .option('--journal <path>', 'file (made if it is missing) or block device for the journal (default: DIR/journal)')
    .option('--journal-size <size>', `size of the journal (default: ${formatBytes(JOURNAL_BYTES_DEFAULT)})`)
    .option('--listen <address>', 'address that `run` listens on unless it is told another, as tls://0.0.0.0:7373')
    .option('--quic <mode>', 'whether `run` takes HTTP/3 on an https:// address: auto, require or never (auto)')
    .option('--insecure-plain', 'yes, listen on tcp://: neither encrypted nor authenticated')
    .option('--sparse', 'do not write the journal once: a full file system can then fail the agent at any write')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} init --state /var/lib/sitelink-agent`,
        `${PROGRAM} init --state ./state --journal /dev/vg/journal --journal-size 1g`,
      ]),
    )
    .action(
      action<Options>(async (context) => {
        const { options, output, io } = context
        const sizeBytes = parseSize(options.journalSize ?? String(JOURNAL_BYTES_DEFAULT), { min: JOURNAL_BYTES_MIN })
        await coded(async () => {
          if (options.listen !== undefined) listenAddress(options.listen, options.insecurePlain === true)
          const quic = quicMode(options.quic, options.listen ?? null) ?? 'auto'
          const made = await StateDirectory.initialise(
            context.statePath(),
            { program: PROGRAM },
            async (state, lock) => {
              const path = resolve(options.journal ?? join(state.path, 'journal'))
              const listen = options.listen ?? null
              const config: AgentConfig = { journal: { path, sizeBytes }, listen, quic, devices: [] }
              const progress = new Progress({
                label: 'writing the journal once',
                clock: new RealClock(),
                stream: io.stderr,
                silent: output.json,
              })
              try {
                await Agent.create({
                  ...agentOptions(state.path, config, null),
                  sparse: options.sparse === true,
                  progress: (done, total) => progress.update(done, total),
                })
              } finally {
                progress.finish()
              }
              await ConfigFile.create(state, lock, configFormat, config)
              await openTrust(state, lock)
              const { fingerprint } = (await IdentityFile.create(state, lock)).current
              return { state: state.path, journal: path, journalBytes: sizeBytes, listen: config.listen, fingerprint }
            },
          )
          output.result(
            made,
            () =>
              `made an agent in ${made.state}, journal ${made.journal} (${formatBytes(made.journalBytes)})\n` +
              `its identity is ${made.fingerprint}\n` +
              `next: ${PROGRAM} device add NAME PATH --state ${made.state}, then ${PROGRAM} run --state ${made.state} --listen tls://0.0.0.0:7373`,
          )
        })
      }),
    )
}
