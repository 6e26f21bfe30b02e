/**
 * `sitelink-agent run`: the agent in the foreground until a signal.
 *
 * Composition root: lock, configuration, agent, control API, listening socket, in this order, and back. A journal that
 * fails ends the process, so that whoever supervises it starts it again: that recovers the journal.
 */
import {
  action,
  ConfigFile,
  ControlServer,
  EventLog,
  examples,
  guardMemory,
  inDaemonPlace,
  Lifecycle,
  RealClock,
  runDaemon,
  type DaemonPlace,
  type LogLevel,
  type Output,
  type SitelinkCommand,
} from '@sitelink/daemon'
import { parseAddress } from '@sitelink/protocol'
import { ffiProblem } from '@sitelink/storage'
import { Agent } from '../../agent.js'
import { configFormat } from '../../config.js'
import { registerVerbs } from '../../control/handlers.js'
import { agentErrors } from '../../errors.js'
import { agentOptions, coded, PROGRAM } from '../surroundings.js'

interface Options {
  readonly logLevel?: LogLevel
  readonly listen?: string
  readonly forgetJournal?: boolean
}

/** Recovery reads the whole journal at worst. */
const START_MS_MAX = 3_600_000
const STOP_MS_MAX = 60_000

export function runCommand(program: SitelinkCommand): void {
  program
    .command('run')
    .description('run the agent in the foreground: takes the writes of one primary and keeps its copies')
    .option('--listen <address>', 'address to take sessions on, as tcp://0.0.0.0:7373 (default: as configured)')
    .option('--forget-journal', 'give up a journal that is lost, foreign or damaged: everything is copied again')
    .addHelpText('after', examples([`${PROGRAM} run --state /var/lib/sitelink-agent --listen tcp://0.0.0.0:7373`]))
    .action(
      action<Options>((context) =>
        inDaemonPlace(context, (place) => coded(() => serve(place, context.options, context.output))),
      ),
    )
}

async function serve({ state, lock, log }: DaemonPlace, options: Options, output: Output): Promise<void> {
  const config = await ConfigFile.open(state, lock, configFormat)
  const listen = options.listen ?? config.current.listen
  if (listen === null) throw agentErrors.create('AGENT_LISTEN_UNNAMED', { state: state.path })
  parseAddress(listen)
  const clock = new RealClock()
  const events = new EventLog(clock, log)
  const lifecycle = new Lifecycle(clock, log)
  const problem = ffiProblem()
  if (problem !== null) log.warn(problem)
  const control = new ControlServer({ program: PROGRAM, lock, onBug: (error) => lifecycle.fail('control', error) })
  const base = agentOptions(state.path, config.current, events)
  let agent: Agent | null = null
  lifecycle.add({
    name: 'agent',
    startMsMax: START_MS_MAX,
    stopMsMax: STOP_MS_MAX,
    start: () =>
      coded(async () => {
        agent = await Agent.open({
          ...base,
          forgetJournal: options.forgetJournal === true,
          event: (event) => {
            base.event?.(event)
            if (event.kind === 'journal-failed') {
              lifecycle.fail(
                'journal',
                agentErrors.create('AGENT_JOURNAL_FAILED', {
                  path: base.journalPath,
                  why: event.message,
                  state: state.path,
                }),
              )
            }
          },
        })
        registerVerbs(control, { agent, config, disks: base.disks, clock, events, stateDir: state.path })
      }),
    stop: async () => agent?.close(),
  })
  lifecycle.add({ name: 'control', start: () => control.start(), stop: (_reason, signal) => control.stop(signal) })
  lifecycle.add({
    name: 'listener',
    start: () =>
      coded(async () => {
        const address = await agent?.listen(listen)
        log.info('listening', { address })
        output.event({ listening: address ?? null }, () => `listening on ${address}`)
      }),
  })
  const release = guardMemory({ clock })
  await runDaemon(lifecycle, { log }).finally(release)
}
