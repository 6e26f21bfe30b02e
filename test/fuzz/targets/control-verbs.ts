/**
 * The verbs of both daemons' control sockets, with bodies of a stranger: real handlers over a real group and a real agent.
 *
 * The input is JSON: which daemon, the name of a verb, and its body. Held to: a verb answers something that JSON can carry, or
 * a coded error that is no bug and whose message is one line; a stream answers likewise, until it is told to end. Both
 * daemons live in one simulated world, which is made anew after so many verbs.
 */
import {
  Gatekeeper,
  NOBODY,
  registerPeerVerbs as registerAgentPeers,
  registerVerbs as registerAgent,
} from '@sitelink/agent/testing'
import {
  asSitelinkError,
  EventLog,
  type ConfigFile,
  type ControlHandler,
  type ControlServer,
  type ControlStream,
  type IdentityFile,
  type Log,
} from '@sitelink/daemon'
import {
  AgentLinks,
  NO_PINS,
  registerPeerVerbs as registerPrimaryPeers,
  registerVerbs as registerPrimary,
} from '@sitelink/primary/testing'
import { KeyedTransports } from '@sitelink/protocol'
import { World } from '../../pair/world.js'
import { Finding, hold, type Target } from '../engine/target.js'
import { mutateJson } from './state-files.js'

/** Verbs that one world answers before it is made anew. */
const VERBS_PER_WORLD = 300
/** Simulated time that a verb may take before it counts as one that waits for something. */
const VERB_MS = 2000

type Verbs = Map<
  string,
  { readonly kind: 'once'; readonly run: ControlHandler } | { readonly kind: 'stream'; readonly run: ControlStream }
>

/** Takes the registrations of a control server, and serves nobody. */
function collect(register: (server: ControlServer) => void): Verbs {
  const verbs: Verbs = new Map()
  const server = {
    verb: (name: string, run: ControlHandler) => void verbs.set(name, { kind: 'once', run }),
    page: () => server,
    stream: (name: string, run: ControlStream) => void verbs.set(name, { kind: 'stream', run }),
  }
  register(server as unknown as ControlServer)
  return verbs
}

const silent = { write() {} } as unknown as Log

/** A file of whom to trust, without a file. */
function stored<T>(first: T): { current: T; update(change: (current: T) => T): Promise<T> } {
  return {
    current: first,
    async update(change) {
      this.current = change(this.current)
      return this.current
    },
  }
}

/** An identity that is no key: nothing dials here. */
function silentIdentity(): IdentityFile {
  const current = { key: '', certificates: '', fingerprint: '0'.repeat(64) }
  return { current, rotate: async () => current } as unknown as IdentityFile
}

interface Rig {
  readonly world: World
  readonly verbs: Readonly<Record<string, Verbs>>
  left: number
}

async function makeRig(number: number): Promise<Rig> {
  const world = new World({ seed: `control ${number}` })
  await world.start()
  await world.addSite()
  world.primary.write({ offset: 0, bytes: Buffer.alloc(4096, 1) })
  const { clock } = world
  const events = new EventLog(clock, silent)
  for (let index = 0; index < 5; index++) events.add('info', 'something', 'it happened')
  const { group, admin } = world.primary
  let agentConfig = { journal: { path: '/j', sizeBytes: 2 ** 24 }, listen: null, devices: world.agent.devices }
  const config = {
    get current() {
      return agentConfig
    },
    update: async (change: (current: typeof agentConfig) => typeof agentConfig) => (agentConfig = change(agentConfig)),
  } as unknown as ConfigFile<never>
  const { identity, event } = { identity: silentIdentity(), event: () => {} }
  const { random } = group.parts
  const links = new AgentLinks({ clock, random, event, identity, pins: stored(NO_PINS) })
  const trust = stored(NOBODY)
  const own = (): string => identity.current.fingerprint
  const gatekeeper = new Gatekeeper({ clock, random, trust, own, event, endPeer: () => 0 })
  const keyed = new KeyedTransports({ clock, random, identity: () => identity.current, judge: gatekeeper.judge })
  return {
    world,
    left: VERBS_PER_WORLD,
    verbs: {
      primary: collect((server) => {
        registerPrimary(server, { group, admin, links, events })
        registerPrimaryPeers(server, links, () => group.config)
      }),
      agent: collect((server) => {
        const listening = (): readonly string[] => ['tls://0.0.0.0:7373']
        registerAgentPeers(server, {
          trust,
          clock,
          random,
          identity,
          gatekeeper,
          keyed,
          event,
          listening,
          state: '/state',
        })
        registerAgent(server, {
          agent: world.agent.agent,
          config,
          disks: world.agent.disks,
          clock,
          events,
          stateDir: '/state',
        })
      }),
    },
  }
}

function wordOf(thrown: unknown): string {
  const error = asSitelinkError(thrown)
  if (error.kind === 'internal') throw new Finding('a verb ends with a bug', { cause: thrown })
  hold(!error.message.includes('\n') && error.message !== '', 'a refusal is one line')
  hold(JSON.stringify(error.toJson()).length < 64 * 1024, 'a refusal is short')
  return error.code
}

async function runStream(rig: Rig, run: ControlStream, body: unknown): Promise<string> {
  const ending = new AbortController()
  const events = run(body, { signal: ending.signal })
  try {
    for (let count = 0; count < 3; count++) {
      const step = await within(rig, events.next())
      if (step === null) break
      JSON.stringify(step.value)
      if (step.done === true) return 'streamed to its end'
    }
    return 'streams'
  } finally {
    ending.abort()
    void events.return(undefined).catch(() => undefined)
    await rig.world.clock.settle()
  }
}

/** What a promise answers within the time of a verb; null if it goes on waiting. */
async function within<T>(rig: Rig, promise: Promise<T>): Promise<T | null> {
  let waits = true
  const settle = (): void => {
    waits = false
  }
  promise.then(settle, settle)
  const { clock } = rig.world
  const endMs = clock.nowMs() + VERB_MS
  await clock.settle()
  while (waits && clock.nowMs() < endMs) await clock.advance(100)
  return waits ? null : promise
}

async function feed(rig: Rig, input: Buffer): Promise<string> {
  let request: { readonly on?: unknown; readonly verb?: unknown; readonly body?: unknown } | null
  try {
    request = JSON.parse(input.toString()) as typeof request
  } catch {
    return 'no JSON'
  }
  const verbs = rig.verbs[request?.on === 'agent' ? 'agent' : 'primary'] as Verbs
  const name = String(typeof request?.verb === 'string' ? request.verb : '')
  const entry = verbs.get(name)
  if (entry === undefined) return 'no such verb'
  // An export serves on a real socket: never anywhere but in a folder that is not there.
  const { socket } = (request?.body ?? {}) as { readonly socket?: unknown }
  if (name === 'export' && typeof socket === 'string' && !/^\/nowhere\/there/.test(socket)) return 'an export elsewhere'
  rig.left--
  try {
    if (entry.kind === 'stream') return `${name}: ${await runStream(rig, entry.run, request?.body ?? null)}`
    const answering = (async () => entry.run(request?.body ?? null, { signal: new AbortController().signal }))()
    const answer = await within(rig, answering)
    JSON.stringify(answer)
    return `${name}: ${answer === null ? 'waits' : 'answered'}`
  } catch (error) {
    return `${name}: ${wordOf(error)}`
  }
}

const BODIES: readonly (readonly [on: string, verb: string, body: unknown])[] = [
  ['primary', 'status', null],
  ['primary', 'device-add', { number: 3, path: '/dev/local3', name: 'three' }],
  ['primary', 'device-del', { device: 1, unmap: true }],
  [
    'primary',
    'device-map',
    {
      device: 0,
      slink: 2,
      remote: 'dev0',
      dirtyLog: 'disk',
      dirtyLogPath: '/dirty',
      regionBytes: 2 ** 20,
      initial: 'sync',
    },
  ],
  [
    'primary',
    'device-map',
    {
      device: 1,
      slink: 1,
      remote: 'dev1',
      dirtyLog: 'core',
      dirtyLogPath: null,
      regionBytes: 2 ** 21,
      initial: 'nosync',
    },
  ],
  ['primary', 'device-unmap', { device: 1, slink: 1 }],
  [
    'primary',
    'slink-add',
    {
      slink: 2,
      addresses: ['tcp://there:1'],
      mode: 'sync',
      ack: 'durable',
      overflow: 'stall',
      holdMs: 5,
      paused: true,
      insecurePlain: true,
    },
  ],
  [
    'primary',
    'slink-add',
    {
      slink: 4,
      addresses: ['tcp://[::1]:1', 'tcp://b:2'],
      mode: 'async',
      fallBehind: { ios: 5, bytes: 9, timeoutMs: 1, resumePercent: 80 },
      insecurePlain: true,
    },
  ],
  [
    'primary',
    'slink-set',
    {
      slink: 1,
      resyncBytesPerSecond: 1000,
      limit: { bytesPerSecond: 4096, windows: [] },
      compression: 'on',
      fallBehind: { ios: 3 },
      ack: 'received',
    },
  ],
  ['primary', 'slink-set', { slink: 1, addresses: ['tls://there:1'], invitation: 'SLINK1-AQ' }],
  ['primary', 'peer-ls', {}],
  ['primary', 'peer-revoke', { slink: 1 }],
  ['primary', 'identity-rotate', {}],
  ['primary', 'slink-del', { slink: 2, unmap: true }],
  ['primary', 'suspend', { device: 0 }],
  ['primary', 'resume', {}],
  ['primary', 'resync', { slink: 1, full: true }],
  ['primary', 'slink-drop', { slink: 1 }],
  ['primary', 'verify', { slink: 1, device: 0, mark: true, waitMs: 10 }],
  ['primary', 'drain', { slinks: [1], timeoutMs: 10 }],
  ['primary', 'events', { afterSeq: 1, follow: true }],
  ['agent', 'status', null],
  ['agent', 'device-ls', null],
  ['agent', 'invite', { addresses: ['tls://here:7373'], name: 'one', rights: ['replicate'], validMs: 1000 }],
  ['agent', 'peer-ls', {}],
  ['agent', 'peer-revoke', { name: 'one' }],
  ['agent', 'identity-rotate', {}],
  ['agent', 'device-add', { name: 'new', path: '/dev/new' }],
  ['agent', 'device-del', { name: 'dev0', force: true }],
  ['agent', 'export', { name: 'dev0', socket: '/nowhere/there/is/no/such/folder', hold: false, force: true }],
  ['agent', 'events', { afterSeq: 0, follow: false }],
]

export async function controlVerbsTarget(): Promise<Target> {
  let made = 0
  let rig = await makeRig(made)
  return {
    name: 'control-verbs',
    seeds: BODIES.map(([on, verb, body]) => Buffer.from(JSON.stringify({ on, verb, body }))),
    iterations: 900,
    bytesMax: 16 * 1024,
    tokens: ['"slink"', '"device"', '0.5', '-1', 'null', '1e999'].map((word) => Buffer.from(word)),
    // The world goes on while a verb is served: sessions, write-back, the log.
    allocationBytesMax: () => 512 * 1024 * 1024,
    mutate: mutateJson,
    async feed(input) {
      if (rig.left <= 0) rig = await makeRig(++made)
      return feed(rig, input)
    },
  }
}
