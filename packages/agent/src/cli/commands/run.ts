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
import { parseAddress, parseHostAddress } from '@sitelink/protocol/light'
import { ffiProblem } from '@sitelink/storage'
import { Agent } from '../../agent.js'
import { configFormat } from '../../config.js'
import { registerVerbs } from '../../control/handlers.js'
import { registerPeerVerbs } from '../../control/peer-verbs.js'
import { agentErrors } from '../../errors.js'
import type { AgentEvent } from '../../events.js'
import { INVITATION_MS_DEFAULT } from '../../limits.js'
import { invite, RIGHTS_DEFAULT } from '../../trust/invite.js'
import { openLinks } from '../links.js'
import { agentOptions } from '../agent-options.js'
import { coded, listenAddress, PROGRAM, quicMode } from '../surroundings.js'
import { sentenceOf } from './invite.js'

interface Options {
  readonly logLevel?: LogLevel
  readonly listen?: string
  readonly quic?: string
  readonly dial?: string[]
  readonly insecurePlain?: boolean
  readonly invite?: boolean
  readonly forgetJournal?: boolean
}

/** Recovery reads the whole journal at worst. */
const START_MS_MAX = 3_600_000
const STOP_MS_MAX = 60_000

export function runCommand(program: SitelinkCommand): void {
  program
    .command('run')
    .description('run the agent in the foreground: takes the writes of one primary and keeps its copies')
    .option(
      '--listen <address>',
      'address to take sessions on: tls://, quic:// or https://, as tls://0.0.0.0:7373 (default: as configured)',
    )
    .option(
      '--quic <mode>',
      'HTTP/3 on an https:// address: auto, where it can be had, beside HTTP/2; require it, alone; or never (as configured, auto)',
    )
    .option(
      '--dial <address...>',
      'dial the primary at tls://host:port, for a host that it cannot reach; tried in turn',
    )
    .option('--insecure-plain', 'yes, listen on tcp://: whoever reaches it can replace the replica')
    .option('--invite', 'print an invitation for one primary once it listens, as `invite` does')
    .option('--forget-journal', 'give up a journal that is lost, foreign or damaged: everything is copied again')
    .addHelpText(
      'after',
      examples([
        `${PROGRAM} run --state /var/lib/sitelink-agent --listen tls://0.0.0.0:7373`,
        `${PROGRAM} run --state /var/lib/sitelink-agent --dial tls://primary:7374`,
      ]),
    )
    .action(
      action<Options>((context) =>
        inDaemonPlace(context, (place) => coded(() => serve(place, context.options, context.output))),
      ),
    )
}

/** An agent dials nobody whose key it cannot judge. */
function checkDial(address: string): void {
  if (parseHostAddress(address).scheme !== 'tls') throw agentErrors.create('AGENT_DIAL_PLAIN', { address })
}

function plainLink(address: string): AgentEvent {
  const message = `${address} is neither encrypted nor authenticated`
  return { level: 'warn', kind: 'link-plain', message, facts: { address } }
}

function lackingLink(address: string, lacks: string): AgentEvent {
  return {
    level: 'info',
    kind: 'http3-missing',
    message: `${address} takes HTTP/2 alone: ${lacks}`,
    facts: { address },
  }
}

async function serve({ state, lock, log }: DaemonPlace, options: Options, output: Output): Promise<void> {
  const config = await ConfigFile.open(state, lock, configFormat)
  // An address in the configuration was judged by the command that put it there.
  const listen =
    options.listen === undefined ? config.current.listen : listenAddress(options.listen, options.insecurePlain === true)
  const quic = quicMode(options.quic, listen) ?? config.current.quic
  const dial = (options.dial ?? []).flatMap((word) => word.split(','))
  for (const address of dial) checkDial(address)
  if (listen === null && dial.length === 0) throw agentErrors.create('AGENT_LISTEN_UNNAMED', { state: state.path })
  const clock = new RealClock()
  const events = new EventLog(clock, log)
  const lifecycle = new Lifecycle(clock, log)
  const problem = ffiProblem()
  if (problem !== null) log.warn(problem)
  const control = new ControlServer({ program: PROGRAM, lock, onBug: (error) => lifecycle.fail('control', error) })
  const base = agentOptions(state.path, config.current, events)
  const { random } = base
  const event = base.event ?? (() => {})
  const links = await openLinks(state, lock, { clock, random, event, quic })
  let agent: Agent | null = null
  lifecycle.add({
    name: 'agent',
    startMsMax: START_MS_MAX,
    stopMsMax: STOP_MS_MAX,
    start: () =>
      coded(async () => {
        agent = await Agent.open({
          ...base,
          transports: links.transports,
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
        const listening = (): readonly string[] => agent?.addresses ?? []
        registerPeerVerbs(control, { ...links, clock, random, event, listening, state: state.path })
      }),
    stop: async () => agent?.close(),
  })
  lifecycle.add({ name: 'control', start: () => control.start(), stop: (_reason, signal) => control.stop(signal) })
  lifecycle.add({
    name: 'listener',
    start: () =>
      coded(async () => {
        if (dial.length > 0) {
          agent?.dialOut(dial)
          output.event({ dialing: dial }, () => `dialling ${dial.join(', ')}`)
        }
        if (listen === null) return
        const address = await agent?.listen(listen)
        log.info('listening', { address })
        if (parseAddress(listen).scheme === 'tcp') event(plainLink(listen))
        const lacks = agent?.lacks ?? null
        if (lacks !== null && address !== undefined) event(lackingLink(address, lacks))
        output.event({ listening: address ?? null }, () => `listening on ${address}`)
        if (options.invite !== true) return
        const wish = { addresses: [], name: null, rights: RIGHTS_DEFAULT, validMs: INVITATION_MS_DEFAULT }
        const own = (): string => links.identity.current.fingerprint
        const place = { trust: links.trust, clock, random, own, listening: [address ?? listen], state: state.path }
        const invited = await invite(place, wish)
        output.event({ invitation: invited }, () => `${invited.token}\n${sentenceOf(invited, wish.validMs)}`)
      }),
  })
  const release = guardMemory({ clock })
  await runDaemon(lifecycle, { log }).finally(release)
}
