/**
 * The primary daemon of one group, until a signal: what `sitelink run` does in its place.
 *
 * Composition root: lock, configuration, group, NBD server, control API, in this order, and back.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  ConfigFile,
  ControlServer,
  EventLog,
  guardMemory,
  Lifecycle,
  RealClock,
  RealRandom,
  runDaemon,
  type DaemonPlace,
} from '@sitelink/daemon'
import { NbdServer, type ExportDirectory } from '@sitelink/nbd'
import { TcpTransport, type Listener } from '@sitelink/protocol'
import { ffiProblem, NodeDiskProvider } from '@sitelink/storage'
import { groupStateFile } from '../admin/path-in-use.js'
import { registerVerbs } from '../control/handlers.js'
import { registerPeerVerbs } from '../control/peer-verbs.js'
import type { EventSink } from '../group/events.js'
import { GroupAdmin } from '../group/group-admin.js'
import type { Group } from '../group/group.js'
import { openGroup } from '../group/open-group.js'
import type { AgentLinks } from '../trust/agent-links.js'
import { DIALS_IN, DialIn } from '../trust/dial-in.js'
import { PROGRAM } from './ask-daemon.js'
import { openAgentLinks } from './open-links.js'
import { configFormat, peersFormat, peerStore } from './open-state.js'

/** By which ways the daemon is reached and reaches. */
export interface Ways {
  /** Where NBD is served over TCP; null: nowhere. */
  readonly listen: { readonly host: string; readonly port: number } | null
  /** Where agents that dial are taken; null: nowhere. */
  readonly listenAgents: string | null
  /** How often a failed device of a blockdev site is tried, in milliseconds. */
  readonly probeMs: number
}

/** How long a clean stop waits for the local devices. */
const APPLY_MS_MAX = 30_000

export async function serve({ state, lock, log }: DaemonPlace, { listen, listenAgents, probeMs }: Ways): Promise<void> {
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
