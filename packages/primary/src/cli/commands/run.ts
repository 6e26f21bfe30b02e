/**
 * `sitelink run`: the primary daemon of one group, in the foreground until a signal.
 *
 * Composition root: lock, configuration, group, NBD server, control API, in this order, and back.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  action,
  ConfigFile,
  ControlServer,
  EventLog,
  examples,
  guardMemory,
  inDaemonPlace,
  parseDurationMs,
  Lifecycle,
  RealClock,
  RealRandom,
  runDaemon,
  type DaemonPlace,
  type LogLevel,
  type SitelinkCommand,
} from '@sitelink/daemon'
import { NbdServer, type ExportDirectory } from '@sitelink/nbd'
import { parseHostAddress, TcpTransport, type Listener } from '@sitelink/protocol'
import { ffiProblem, NodeDiskProvider } from '@sitelink/storage'
import { groupStateFile } from '../../admin/path-in-use.js'
import { registerVerbs } from '../../control/handlers.js'
import { registerPeerVerbs } from '../../control/peer-verbs.js'
import { mapped } from '../../error-map.js'
import { primaryErrors } from '../../errors.js'
import type { EventSink } from '../../group/events.js'
import { GroupAdmin } from '../../group/group-admin.js'
import type { Group } from '../../group/group.js'
import { openGroup } from '../../group/open-group.js'
import { PROBE_MS_DEFAULT, PROBE_MS_MIN } from '../../limits.js'
import type { AgentLinks } from '../../trust/agent-links.js'
import { DIALS_IN, DialIn } from '../../trust/dial-in.js'
import { openAgentLinks } from '../open-links.js'
import { configFormat, peersFormat, peerStore, PROGRAM } from '../open-state.js'

interface Options {
  readonly logLevel?: LogLevel
  readonly nbdListen?: string
  readonly nbdPlain?: boolean
  readonly probe?: string
  readonly listenAgents?: string
}

/** By which ways the daemon is reached and reaches. */
interface Ways {
  /** Where NBD is served over TCP; null: nowhere. */
  readonly listen: { readonly host: string; readonly port: number } | null
  /** Where agents that dial are taken; null: nowhere. */
  readonly listenAgents: string | null
  /** How often a failed device of a blockdev site is tried, in milliseconds. */
  readonly probeMs: number
}

/** How long a clean stop waits for the local devices. */
const APPLY_MS_MAX = 30_000

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
      action<Options>((context) => {
        const { nbdListen, nbdPlain, probe, listenAgents = null } = context.options
        const probeMs = probe === undefined ? PROBE_MS_DEFAULT : parseDurationMs(probe, { min: PROBE_MS_MIN })
        if (listenAgents !== null && parseHostAddress(listenAgents).scheme !== 'tls')
          throw primaryErrors.create('ADDRESS', {
            why: `agents that dial are taken at tls:// only, not at ${listenAgents}`,
          })
        const listen = nbdListen === undefined ? null : tcpAddress(nbdListen, nbdPlain === true)
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

async function serve({ state, lock, log }: DaemonPlace, { listen, listenAgents, probeMs }: Ways): Promise<void> {
  const clock = new RealClock()
  const events = new EventLog(clock, log)
  const lifecycle = new Lifecycle(clock, log)
  const tcp = new TcpTransport({ clock })
  const problem = ffiProblem()
  if (problem !== null) log.warn(problem)
  let group: Group | null = null
  let links: AgentLinks | null = null
  let agents: Listener | null = null
  const dialIn = new DialIn((slink) => group?.slinks.get(slink)?.link.redial('the agent has dialled anew'))
  const server = new NbdServer(
    exportsOf(() => group),
    {
      after: (ms, run) => clock.after(ms, run),
      log: (event) => log.debug('nbd', { event }),
    },
  )
  const control = new ControlServer({ program: PROGRAM, lock, onBug: (error) => lifecycle.fail('control', error) })

  lifecycle.add({
    name: 'group',
    startMsMax: 3_600_000,
    stopMsMax: APPLY_MS_MAX + 30_000,
    start: async () => {
      for (const name of ['dirty', 'sites']) await mkdir(state.file(name), { recursive: true, mode: 0o700 })
      const peers = peerStore(await ConfigFile.open(state, lock, peersFormat))
      const event: EventSink = ({ kind, level, message, facts }) =>
        void events.add(level === 'warning' ? 'warn' : level, kind, message, facts)
      const opening = await openAgentLinks(state, lock, clock, event)
      links = opening
      const opened = await openGroup({
        clock,
        random: new RealRandom(),
        disks: new NodeDiskProvider({ clock }),
        config: await ConfigFile.open(state, lock, configFormat),
        peers,
        event,
        transport: (scheme, slink) => {
          if (scheme === DIALS_IN) return dialIn.transport(slink)
          return scheme === 'tcp' ? tcp : opening.transports(slink).of(scheme)
        },
        dirtyLogPath: (slink, mappingId) => join(state.file('dirty'), `slink-${slink}-${mappingId}.dirty`),
        sitePath: (slink) => join(state.file('sites'), `slink-${slink}.site`),
        stateFile: groupStateFile(state.path),
        limits: { probeMs },
      })
      group = opened
      registerVerbs(control, { group: opened, admin: new GroupAdmin(opened), links: opening, events })
      registerPeerVerbs(control, opening, () => opened.config)
      opened.run()
    },
    stop: async () => {
      await group?.stop(APPLY_MS_MAX)
    },
  })
  lifecycle.add({
    name: 'agents',
    start: async () => {
      if (listenAgents === null || links === null) return
      agents = await links.listen(listenAgents, () => dialledIn(group), dialIn)
      log.info('listening for agents', { address: agents.address })
    },
    stop: async () => {
      await agents?.close()
      dialIn.close()
    },
  })
  lifecycle.add({
    name: 'nbd',
    stopMsMax: 30_000,
    start: async () => {
      await server.listen({ path: state.file('nbd.sock') })
      if (listen !== null) await server.listen(listen)
    },
    stop: async () => {
      await server.close()
    },
  })
  lifecycle.add({ name: 'control', start: () => control.start(), stop: (_reason, signal) => control.stop(signal) })
  const release = guardMemory({ clock })
  await runDaemon(lifecycle, { log }).finally(release)
}

/** Slinks whose agents dial. */
function dialledIn(group: Group | null): readonly number[] {
  return (group?.config.slinks ?? [])
    .filter(({ addresses }) => addresses.includes(DIALS_IN))
    .map(({ number }) => number)
}

function exportsOf(group: () => Group | null): ExportDirectory {
  const all = (): Group['exports'] extends Map<number, infer E> ? E[] : never => {
    const running = group()
    return running === null ? [] : [...running.exports.values()]
  }
  return {
    list: () => all(),
    find: (name) => {
      const exports = all()
      const found = name === '' && exports.length === 1 ? exports[0] : exports.find((one) => one.name === name)
      if (found !== undefined) return found
      const local = [...(group()?.devices.values() ?? [])].find((one) => one.config.name === name)
      return local === undefined ? null : { unavailable: local.problem ?? 'the device is not open' }
    },
  }
}
