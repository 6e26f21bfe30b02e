/**
 * A primary and its agents in this process, on real time and real sockets, with every disk of every host recorded.
 *
 * Owns the real group, the real agents and the real NBD server on a Unix socket; only the disks are simulated, and they
 * take time. Nothing here may block: the kernel's filesystem waits for this very process. Marks in the trace are set in
 * the turn in which a promise was seen to be kept, so that a cut behind a mark must find what it promised.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { Agent, type AgentEvent } from '@sitelink/agent'
import { RealClock, RealRandom } from '@sitelink/daemon'
import { NbdServer } from '@sitelink/nbd'
import { GroupAdmin, openGroup, slinkStateWord, type Group, type GroupEvent } from '@sitelink/primary'
import { TcpTransport, type Frame, type Transport } from '@sitelink/protocol'
import { FaultDiskProvider, type DiskLatency, type Prng } from '@sitelink/storage/testing'
import { createGroup, StoredConfig, StoredPeers } from '../pair/primary-host.js'
import { removeFolder, temporaryFolder } from '../support/places.js'
import { waitFor } from '../support/wait-for.js'
import { AGENT_JOURNAL, AGENT_STATE } from './recovered.js'
import { RecordedDisks, Trace } from './trace.js'
import { WriteHistory } from './write-history.js'

export const PRIMARY = 'primary'

/** Label of what flushes promised: LSNs. */
export const FLUSHED = 'flushed'
export const atSite = (label: string, site: string): string => `${label} at ${site}`

export interface DeviceAt {
  readonly name: string
  readonly path: string
  readonly sizeBytes: number
}

export interface SiteWish {
  readonly name: string
  readonly mode: 'sync' | 'async'
}

export interface LivePairOptions {
  readonly prng: Prng
  readonly devices: readonly { readonly name: string; readonly sizeBytes: number }[]
  readonly sites: readonly SiteWish[]
  readonly logBytes: number
  readonly journalBytes: number
  /** What carries the links, at each side. Default: TCP. */
  readonly links?: { readonly primary: Transport; readonly agent: Transport }
}

/**
 * A write returns in a millisecond or two. Syncs take anything up to a dozen, so that now the one host is first and now
 * the other, and whoever does not wait for one is seen to have promised too much.
 */
const LATENCY: DiskLatency = { writeMs: [0, 1], syncMs: [0, 12] }
const REGION_BYTES = 1024 * 1024
const SETTLE_MS_MAX = 120_000

class Host {
  readonly disks: RecordedDisks
  readonly #media: FaultDiskProvider
  /** As it was when the trace began. */
  base: FaultDiskProvider | null = null

  constructor(
    readonly name: string,
    prng: Prng,
    trace: Trace,
  ) {
    this.#media = new FaultDiskProvider({ prng: prng.fork(name), clock: new RealClock(), latency: LATENCY })
    this.disks = new RecordedDisks(this.#media, name, trace)
  }

  addDevice(path: string, sizeBytes: number): void {
    this.#media.addDevice(path, sizeBytes)
  }

  keepBase(prng: Prng): void {
    this.base = this.#media.fork(prng.fork(`base of ${this.name}`))
  }
}

interface Site extends SiteWish {
  readonly slink: number
  readonly host: Host
  readonly agent: Agent
  readonly address: string
}

export class LivePair {
  readonly trace = new Trace()
  readonly history: WriteHistory
  readonly folder: string
  readonly #events: (AgentEvent | GroupEvent)[] = []
  readonly #options: LivePairOptions
  readonly #clock = new RealClock()
  readonly #primary: Host
  readonly #links: { readonly primary: Transport; readonly agent: Transport }
  readonly #sites: Site[] = []
  #group: Group | null = null
  #server: NbdServer | null = null

  private constructor(options: LivePairOptions) {
    this.#options = options
    const tcp = new TcpTransport({ clock: this.#clock })
    this.#links = options.links ?? { primary: tcp, agent: tcp }
    this.folder = temporaryFolder('power-cut')
    this.#primary = new Host(PRIMARY, options.prng, this.trace)
    this.history = new WriteHistory(new Map(options.devices.map(({ sizeBytes }, at) => [at + 1, sizeBytes])))
  }

  /** Makes and starts everything: devices of zeros, agents, the group, its exports. No slinks yet: {@link LivePair.join}. */
  static async start(options: LivePairOptions): Promise<LivePair> {
    const pair = new LivePair(options)
    try {
      for (const [at, site] of options.sites.entries()) await pair.#startAgent(at + 1, site)
      await pair.#startPrimary()
    } catch (error) {
      await pair.close()
      throw error
    }
    return pair
  }

  get devicesOfAgents(): readonly DeviceAt[] {
    return this.#options.devices.map(({ name, sizeBytes }) => ({ name, path: `/dev/${name}`, sizeBytes }))
  }

  /** Where the agents listen, in the order of the sites. */
  get addresses(): string[] {
    return this.#sites.map(({ address }) => address)
  }

  get journalBytes(): number {
    return this.#options.journalBytes
  }

  /** How often the log has gone round. */
  get logLaps(): number {
    return this.group.log.writtenEnd / this.group.log.ringBytes
  }

  get group(): Group {
    assert(this.#group !== null, 'the primary runs')
    return this.#group
  }

  async #startAgent(slink: number, wish: SiteWish): Promise<void> {
    const { prng, journalBytes } = this.#options
    const host = new Host(wish.name, prng, this.trace)
    for (const { path, sizeBytes } of this.devicesOfAgents) host.addDevice(path, sizeBytes)
    const place = {
      disks: host.disks,
      clock: this.#clock,
      random: new RealRandom(),
      stateDir: AGENT_STATE,
      journalPath: AGENT_JOURNAL,
      journalBytes,
    }
    await Agent.create({ ...place, sparse: true })
    const agent = await Agent.open({
      ...place,
      transports: [this.#links.agent],
      devices: this.devicesOfAgents.map(({ name, path }) => ({ name, path })),
      event: (event) => this.#events.push(event),
    })
    const address = await agent.listen(`${this.#links.agent.scheme}://127.0.0.1:0`)
    this.#sites.push({ ...wish, slink, host, agent, address })
  }

  async #startPrimary(): Promise<void> {
    const { devices, logBytes } = this.#options
    const { disks } = this.#primary
    await createGroup({ disks, clock: this.#clock, random: new RealRandom(), logBytes })
    const transport = this.#links.primary
    const group = await openGroup({
      clock: this.#clock,
      random: new RealRandom(),
      disks,
      config: await StoredConfig.open(disks),
      peers: await StoredPeers.open(disks),
      event: (event) => this.#events.push(event),
      transport: (scheme) => (scheme === transport.scheme ? transport : null),
      dirtyLogPath: (slink, mappingId) => `/state/dirty-${slink}-${mappingId}`,
      sitePath: (slink) => `/state/site-${slink}`,
      stateFile: () => Promise.resolve(null),
    })
    this.#group = group
    const append = group.log.append.bind(group.log)
    group.log.append = (frame: Frame) => {
      this.history.appended(frame)
      return append(frame)
    }
    this.#watchFlushes(group)
    group.run()
    for (const [number, { name, sizeBytes }] of devices.entries()) {
      const path = `/dev/local-${name}`
      this.#primary.addDevice(path, sizeBytes)
      await new GroupAdmin(group).addDevice({ number, path, name, sizeBytes })
    }
    this.#server = new NbdServer(
      {
        list: () => [...group.exports.values()],
        find: (name) => [...group.exports.values()].find((one) => one.name === name) ?? null,
      },
      { after: (ms, run) => this.#clock.after(ms, run) },
    )
    await this.#server.listen({ path: this.#socket })
  }

  /** Marks what each flush promises, in the turn of its answer: everything up to the last entry when it was asked for. */
  #watchFlushes({ holds }: Group): void {
    const flush = holds.flush.bind(holds)
    holds.flush = (lsn, item) => {
      const guards = this.guards
      const complete = item.complete.bind(item)
      item.complete = (errno) => {
        if (errno === 0) this.promised(FLUSHED, lsn, guards)
        complete(errno)
      }
      flush(lsn, item)
    }
  }

  /** Something is promised from now on: at the primary, and at these sites. */
  promised(label: string, value: number, guards: readonly string[]): void {
    const lsn = this.history.lastLsn
    this.trace.mark({ label, value, lsn })
    for (const name of guards) this.trace.mark({ label: atSite(label, name), value, lsn })
  }

  get #socket(): string {
    return join(this.folder, 'nbd.sock')
  }

  nbdUri(name: string): string {
    return `nbd+unix:///${name}?socket=${this.#socket}`
  }

  /** Adds the slink of a site with all devices; writers wait rather than that it falls behind. `initial`: whether its devices have to be copied first. */
  async join(name: string, initial: 'sync' | 'nosync'): Promise<void> {
    const site = this.#site(name)
    const admin = new GroupAdmin(this.group)
    await admin.addSlink({ number: site.slink, addresses: [site.address], mode: site.mode, overflow: 'stall' })
    for (const [device, { name: remote }] of this.#options.devices.entries()) {
      await admin.map({
        device,
        slink: site.slink,
        remote,
        dirtyLog: { type: 'disk', path: null },
        regionBytes: REGION_BYTES,
        initial,
        mappingId: new RealRandom().bytes(8).toString('hex'),
      })
    }
  }

  /** Resolves when nothing is dirty for a site any more, its copy is consistent, and a sync one is protected. */
  async resynced(name: string): Promise<void> {
    await waitFor(`${name} to be resynced`, () => this.#isResynced(name), { timeoutMs: SETTLE_MS_MAX })
  }

  /** Resolves when a site has applied everything, besides. Only meaningful while nothing is written. */
  async settled(name: string): Promise<void> {
    const hasAll = (): boolean => this.#site(name).agent.status().replica?.appliedLsn === this.group.writePath.lastLsn
    await waitFor(`${name} to be in step`, () => this.#isResynced(name) && hasAll(), { timeoutMs: SETTLE_MS_MAX })
  }

  #isResynced(name: string): boolean {
    const { slink: number, agent } = this.#site(name)
    const slink = this.group.slinks.get(number)
    assert(slink !== undefined, `${name} has joined`)
    const guards = !slink.sync || slink.protection.protected
    return slinkStateWord(slink) === 'live' && agent.status().replica?.consistent === true && guards
  }

  /** Sites at which a flush that begins now is promised as well. */
  get guards(): string[] {
    const guards = (slink: number): boolean => {
      const found = this.#group?.slinks.get(slink)
      return found !== undefined && found.sync && found.protection.protected
    }
    return this.#sites.filter(({ slink }) => guards(slink)).map(({ name }) => name)
  }

  /** Records from now on. */
  record(): Promise<void> {
    return this.trace.start(() => {
      for (const host of this.#hosts) host.keepBase(this.#options.prng)
    })
  }

  /** The disks of a host as they were when the trace began: each time a copy of their own. */
  base(name: string): FaultDiskProvider {
    const host = this.#hosts.find((one) => one.name === name)
    assert(host !== undefined && host.base !== null, `${name} was recorded`)
    return host.base.fork(this.#options.prng.fork(`walk of ${name}`))
  }

  get #hosts(): Host[] {
    return [this.#primary, ...this.#sites.map(({ host }) => host)]
  }

  #site(name: string): Site {
    const site = this.#sites.find((one) => one.name === name)
    assert(site !== undefined, `there is a site ${name}`)
    return site
  }

  /** What the hosts said last, for the report of a failure. */
  said(): string {
    return this.#events
      .slice(-20)
      .map(({ message }) => message)
      .join('\n')
  }

  /** Stops everything cleanly, as far as it was started. */
  async close(): Promise<void> {
    await this.#server?.close()
    await this.#group?.stop(30_000)
    for (const { agent } of this.#sites) await agent.close()
    removeFolder(this.folder)
  }
}
