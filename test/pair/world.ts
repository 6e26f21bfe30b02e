/**
 * A world of one primary and any number of agents: the real programs' cores on simulated disks, time and network.
 *
 * Owns the clock, the network, the hosts and the seed from which everything follows. Its checks say what must be true at
 * a moment, whatever happened before: they know nothing of how the programs work, only what they promise.
 *
 *   primary (Group) ── slink 1 ──> agent1 (Agent)        one SimClock, one MemoryNetwork,
 *           '───────── slink 2 ──> agent2                one FaultDiskProvider a host
 */
import assert from 'node:assert/strict'
import { MemoryNetwork, type LinkConditions } from '@sitelink/protocol'
import type { AgentLimits } from '@sitelink/agent'
import { BLOCKDEV_ADDRESS, type GroupLimits, type NewMapping, type NewSlink } from '@sitelink/primary'
import { Prng, SimClock, SparseBytes, type DiskLatency } from '@sitelink/storage/testing'
import { AgentHost, type AgentHostOptions } from './agent-host.js'
import { PRIMARY, PrimaryHost, type PrimaryHostOptions, type Ticket } from './primary-host.js'

export const MIB = 1024 * 1024

export interface WorldOptions {
  readonly seed: number | string
  /** Default two devices, of 2 and 3 MiB. */
  readonly deviceBytes?: readonly number[]
  readonly logBytes?: number
  readonly journalBytes?: number
  /** Default 1. */
  readonly agents?: number
  readonly agentLimits?: Partial<AgentLimits>
  readonly primaryLimits?: Partial<GroupLimits>
  /** What the files of the primary may hold together, in bytes. */
  readonly primaryCapacityBytes?: number
  readonly link?: Partial<LinkConditions>
  readonly diskLatency?: DiskLatency
  /** What other hosts left behind, one agent; see {@link World.revive}. */
  readonly left?: {
    readonly primary: NonNullable<PrimaryHostOptions['left']>
    readonly agent: NonNullable<AgentHostOptions['left']>
  }
}

/** A slink with its mappings, as a test wishes it. */
export interface SiteWish extends Partial<NewSlink> {
  readonly agent?: AgentHost
  readonly initial?: 'sync' | 'nosync'
  readonly dirtyLog?: NewMapping['dirtyLog']
  readonly regionBytes?: number
  /** Numbers of the devices; default all. */
  readonly devices?: readonly number[]
}

export class World {
  readonly clock = new SimClock()
  readonly prng: Prng
  readonly network: MemoryNetwork
  readonly primary: PrimaryHost
  readonly agents: readonly AgentHost[]
  readonly deviceBytes: readonly number[]
  /** Of each blockdev slink, the last LSN that writers were told its devices have: on stable storage, whatever they asked. */
  readonly siteOwed = new Map<number, number>()
  #mappingCount = 0

  constructor(options: WorldOptions) {
    this.prng = new Prng(options.seed)
    const { clock, prng } = this
    const {
      link = { latencyMs: 1 },
      agentLimits,
      primaryLimits,
      primaryCapacityBytes,
      diskLatency,
      journalBytes = 16 * MIB,
      logBytes = 8 * MIB,
    } = options
    this.network = new MemoryNetwork({ clock, random: prng.fork('network'), link })
    const { network } = this
    const latency = diskLatency === undefined ? {} : { diskLatency }
    const { left } = options
    const primaryOptions = {
      ...(primaryLimits === undefined ? {} : { limits: primaryLimits }),
      ...(left === undefined ? {} : { left: left.primary }),
      ...(primaryCapacityBytes === undefined ? {} : { capacityBytes: primaryCapacityBytes }),
    }
    const leftAgent = left === undefined ? {} : { left: left.agent }
    this.primary = new PrimaryHost({ clock, network, prng, logBytes, ...latency, ...primaryOptions })
    this.deviceBytes = options.deviceBytes ?? [2 * MIB, 3 * MIB]
    const limits = agentLimits === undefined ? {} : { limits: agentLimits }
    this.agents = Array.from(
      { length: options.agents ?? 1 },
      (_, at) =>
        new AgentHost({
          clock,
          network,
          prng,
          name: `agent${at + 1}`,
          journalBytes,
          ...limits,
          ...latency,
          ...leftAgent,
        }),
    )
    this.primary.onAnswer = (ticket) => this.#onAnswer(ticket)
  }

  get agent(): AgentHost {
    return this.agents[0] as AgentHost
  }

  /** Makes all hosts with their devices, and starts them. */
  async start(): Promise<void> {
    const { primary, agents, deviceBytes } = this
    await this.run(primary.create())
    for (const agent of agents) {
      deviceBytes.forEach((bytes, number) => agent.addDevice(`dev${number}`, bytes))
      await this.run(agent.create())
      await this.run(agent.start())
    }
    await this.run(primary.start())
    for (const [number, sizeBytes] of deviceBytes.entries()) {
      primary.disks.addDevice(`/dev/local${number}`, sizeBytes)
      primary.history.addDevice({ deviceId: number + 1, sizeBytes })
      await this.run(primary.admin.addDevice({ number, path: `/dev/local${number}`, name: `dev${number}`, sizeBytes }))
    }
  }

  /** Starts hosts whose disks are there already. */
  async revive(): Promise<void> {
    for (const agent of this.agents) await this.run(agent.start())
    await this.run(this.primary.start())
  }

  /** Adds a slink and maps devices to it. */
  async addSite(wish: SiteWish = {}): Promise<void> {
    const {
      agent = this.agent,
      initial = 'nosync',
      dirtyLog = { type: 'disk', path: null },
      regionBytes = MIB,
      devices = [...this.deviceBytes.keys()],
      ...slink
    } = wish
    const number = slink.number ?? this.agents.indexOf(agent) + 1
    await this.run(this.primary.admin.addSlink({ mode: 'async', addresses: [agent.address], ...slink, number }))
    for (const device of devices) await this.map(device, number, { initial, dirtyLog, regionBytes })
  }

  map(device: number, slink: number, wish: Partial<Omit<NewMapping, 'device' | 'slink'>> = {}): Promise<void> {
    return this.run(this.beginMap(device, slink, wish))
  }

  /** As {@link map}, with the clock in the hands of the caller. */
  beginMap(device: number, slink: number, wish: Partial<Omit<NewMapping, 'device' | 'slink'>> = {}): Promise<void> {
    const mappingId = (++this.#mappingCount).toString(16).padStart(16, '0')
    const defaults = {
      remote: `dev${device}`,
      dirtyLog: { type: 'disk', path: null },
      regionBytes: MIB,
      initial: 'nosync',
    } as const
    return this.primary.admin.map({ ...defaults, mappingId, ...wish, device, slink })
  }

  /** The agent behind a slink. */
  agentOf(slink: number): AgentHost {
    const address = this.primary.group.config.slinks.find(({ number }) => number === slink)?.addresses[0]
    const agent = this.agents.find((one) => one.address === address)
    assert(agent !== undefined, `slink ${slink} leads to an agent`)
    return agent
  }

  // --- time -----------------------------------------------------------------------------------------------------

  /** Runs simulated time until the promise is settled. */
  run<T>(promise: Promise<T>, limitMs = 120_000): Promise<T> {
    return this.clock.runUntil(promise, limitMs)
  }

  advance(byMs: number): Promise<void> {
    return this.clock.advance(byMs)
  }

  /** Lets time pass until `condition` holds; answers how long that took. `what` is the claim that fails otherwise. */
  async until(what: string, condition: () => boolean, limitMs = 60_000): Promise<number> {
    const startMs = this.clock.nowMs()
    await this.clock.settle()
    while (!condition()) {
      if (this.clock.nowMs() >= startMs + limitMs) assert.fail(`within ${limitMs} ms: ${what}\n${this.describe()}`)
      await this.clock.advance(5)
    }
    return this.clock.nowMs() - startMs
  }

  /** Waits for the answer of each request, and answers its error number. */
  async answered(ticket: Ticket, limitMs = 60_000): Promise<number> {
    await this.until(`LSN ${ticket.lsn} is answered`, () => ticket.errno !== null, limitMs)
    return ticket.errno as number
  }

  // --- the network ----------------------------------------------------------------------------------------------

  /** Nothing arrives any more between the primary and an agent, nor does the end of a connection. */
  silence(agent = this.agent, silent = true): void {
    this.network.partition(PRIMARY, agent.name, silent)
  }

  silenceOneWay(from: string, to: string, silent = true): void {
    this.network.setLink(from, to, { silent })
  }

  cut(agent = this.agent): void {
    this.network.cut(PRIMARY, agent.name)
  }

  // --- lives ----------------------------------------------------------------------------------------------------

  /** The primary dies and is started again. */
  async restartPrimary(how: 'crash' | 'power-cut' | 'stop' = 'crash', run = true): Promise<void> {
    if (how === 'stop') await this.run(this.primary.stop())
    else if (how === 'crash') this.primary.crash()
    else this.primary.powerCut()
    await this.startPrimary(run)
  }

  async startPrimary(run = true): Promise<void> {
    await this.run(this.primary.start(run))
    // What the primary lost in a power cut is not owed by anybody any more.
    for (const { owed } of this.agents) {
      owed.received = Math.min(owed.received, this.primary.history.lastLsn)
      owed.durable = Math.min(owed.durable, this.primary.history.lastLsn)
    }
  }

  async restartAgent(how: 'crash' | 'power-cut' | 'stop' = 'crash', agent = this.agent): Promise<void> {
    if (how === 'stop') await this.run(agent.stop())
    else if (how === 'crash') agent.crash()
    else agent.powerCut()
    await this.startAgent(agent)
  }

  /** Starts an agent and holds what it finds against what it owes. */
  async startAgent(agent = this.agent): Promise<void> {
    await this.run(agent.start())
    this.checkOwed(agent)
  }

  // --- promises -------------------------------------------------------------------------------------------------

  /** While a sync slink is protected, nothing is acknowledged that its agent does not have. */
  #onAnswer(ticket: Ticket): void {
    if (ticket.errno !== 0 || ticket.lsn === 0) return
    for (const slink of this.primary.group.slinks.values()) {
      if (!slink.sync || !slink.protection.protected) continue
      if (slink.config.addresses.includes(BLOCKDEV_ADDRESS)) {
        this.siteOwed.set(slink.number, Math.max(this.siteOwed.get(slink.number) ?? 0, ticket.lsn))
        continue
      }
      const agent = this.agentOf(slink.number)
      if (agent.rotten) continue
      // What a host had only received is gone with its power, also for answers that its last acknowledgements still bring.
      const stale = slink.stream === null || slink.stream.startedMs <= agent.lostPowerMs
      if (ticket.kind === 'write' && !stale) agent.owed.received = Math.max(agent.owed.received, ticket.lsn)
      if (ticket.kind === 'flush' || ticket.fua || slink.config.ack === 'durable') {
        agent.owed.received = Math.max(agent.owed.received, ticket.lsn)
        agent.owed.durable = Math.max(agent.owed.durable, ticket.lsn)
      }
      if (agent.running) this.checkOwed(agent)
    }
  }

  /** The agent, where its journal is open, has everything that writers were told it has. */
  checkOwed(agent: AgentHost): void {
    const { replica } = agent.status()
    const { owed } = agent
    if (owed.received === 0) return
    assert(replica !== null, `${agent.name} has a replica: it owes LSN ${owed.received}`)
    const { receivedLsn, durableLsn } = replica
    // Its journal cannot be opened for now: what it holds is judged when it is open again.
    if (receivedLsn === null) return
    assert(receivedLsn >= owed.received, `${agent.name} owes LSN ${owed.received} as received, it has ${receivedLsn}`)
    assert((durableLsn ?? 0) >= owed.durable, `${agent.name} owes LSN ${owed.durable} as durable, it has ${durableLsn}`)
  }

  /** What the agent has applied is an exact prefix of the primary's history, or it says that it is not. */
  checkApplied(agent = this.agent, slink = 1): void {
    const { replica, mappings } = agent.status()
    if (replica === null || !replica.consistent || replica.appliedLsn === null) return
    const { history } = this.primary
    assert(
      replica.appliedLsn <= history.lastLsn,
      `${agent.name} applied LSN ${replica.appliedLsn}, the primary has ${history.lastLsn}`,
    )
    const images = history.contentAt(replica.appliedLsn)
    for (const { deviceId, device } of mappings) {
      assertSame(
        agent.content(device),
        images.get(deviceId) as SparseBytes,
        `${device} of ${agent.name} (slink ${slink}) at LSN ${replica.appliedLsn}`,
      )
    }
  }

  /** Local devices, as reads see them, are the whole history. */
  async checkLocal(): Promise<void> {
    const { primary } = this
    const images = primary.history.contentAt(primary.history.lastLsn)
    for (const [number, bytes] of this.deviceBytes.entries()) {
      const found = new SparseBytes()
      found.write(await this.run(primary.read(number, 0, bytes)), 0)
      assertSame(found, images.get(number + 1) as SparseBytes, `device ${number} of the primary`)
    }
  }

  /** Both sides are equal and everything that was written is applied there. */
  checkEqual(slink = 1): void {
    const { primary } = this
    const agent = this.agentOf(slink)
    const images = primary.history.contentAt(primary.history.lastLsn)
    for (const mapping of primary.slink(slink).mappings) {
      assertSame(
        agent.content(mapping.config.remote),
        images.get(mapping.deviceId) as SparseBytes,
        `${mapping.config.remote} of ${agent.name}`,
      )
    }
  }

  /** True if a slink has nothing left to do: live, clean at both sides, everything applied there. */
  isSettled(slink = 1): boolean {
    const site = this.primary.slink(slink)
    const agent = this.agentOf(slink)
    return (
      this.primary.word(slink) === 'live' &&
      site.mappings.dirtyRegions === 0 &&
      site.stream?.appliedLsn === this.primary.group.writePath.lastLsn &&
      agent.running &&
      agent.status().replica?.consistent === true
    )
  }

  /** Waits until a slink has nothing left to do, and holds both sides to be equal then. */
  async settle(slink = 1, limitMs = 120_000): Promise<number> {
    const took = await this.until(`slink ${slink} is settled`, () => this.isSettled(slink), limitMs)
    this.checkEqual(slink)
    return took
  }

  /** For messages: how everybody stands. */
  describe(): string {
    const lines = [`at ${this.clock.nowMs()} ms`]
    if (this.primary.running) {
      const { group } = this.primary
      lines.push(
        `group ${group.state}, LSN ${group.writePath.lastLsn}, durable ${group.log.durableLsn}, waiting ${group.writePath.waitingCount}, held ${group.holds.size}`,
      )
      for (const slink of group.slinks.values()) {
        const { stream, protection, mappings } = slink
        const linkState = slink.link.state
        const reason = 'reason' in linkState ? ` (${linkState.reason})` : ''
        lines.push(
          `slink ${slink.number} ${this.primary.word(slink.number)}, guard ${protection.guard}, holding ${slink.holding}, link ${linkState.kind}${reason}, ` +
            `standing ${slink.standing.kind}, point ${slink.point.lsn}, received ${slink.receivedLsn}, applied ${stream?.appliedLsn}, ` +
            `dirty ${mappings.dirtyRegions} here, ${stream?.agentDirtyRegions} there, copying ${mappings.copying}`,
        )
      }
    } else lines.push('the primary is down')
    for (const agent of this.agents)
      lines.push(`${agent.name} ${agent.running ? JSON.stringify(agent.status().replica) : 'is down'}`)
    return lines.join('\n')
  }
}

function assertSame(found: SparseBytes, wanted: SparseBytes, what: string): void {
  const at = found.firstDifference(wanted)
  if (at >= 0) assert.fail(`${what} differs from the history from byte ${at} on`)
}
