/**
 * An agent's host in a simulated world: its disks, its network name, and the process that can die at any moment.
 *
 * Owns the real agent over simulated disks, and what the primary was let to believe that it has. Each opening is held to
 * that. It looks at devices and journal only from outside: at what their media hold.
 */
import assert from 'node:assert/strict'
import type { MemoryNetwork } from '@sitelink/protocol'
import {
  Agent,
  type AgentEvent,
  type AgentLimits,
  type AgentOptions,
  type AgentPlace,
  type AgentStatus,
} from '@sitelink/agent'
import { LogError, openRingLog } from '@sitelink/storage'
import {
  FaultDiskProvider,
  Prng,
  SimClock,
  SparseBytes,
  type DiskLatency,
  type PowerCutPolicy,
  type SimProcessClock,
} from '@sitelink/storage/testing'
import { layOver } from './log-history.js'

export interface AgentHostOptions {
  readonly clock: SimClock
  readonly network: MemoryNetwork
  readonly prng: Prng
  readonly name: string
  readonly journalBytes: number
  readonly limits?: Partial<AgentLimits>
  readonly diskLatency?: DiskLatency
}

const STATE = '/state'
const JOURNAL = '/state/journal'

/** What the primary told writers that this agent has. LSNs of the primary's present history. */
export interface Owed {
  /** Survives the death of the agent's process. */
  received: number
  /** Survives a power cut of its host. */
  durable: number
}

export class AgentHost {
  readonly name: string
  readonly address: string
  readonly events: AgentEvent[] = []
  readonly devices: { name: string; path: string }[] = []
  readonly owed: Owed = { received: 0, durable: 0 }
  /** When its power failed last. */
  lostPowerMs = Number.NEGATIVE_INFINITY
  readonly #options: AgentHostOptions
  readonly #prng: Prng
  disks: FaultDiskProvider
  #process: SimProcessClock | null = null
  #agent: Agent | null = null
  #lives = 0

  constructor(options: AgentHostOptions) {
    this.#options = options
    this.name = options.name
    this.address = `memory:${options.name}`
    this.#prng = options.prng.fork(options.name)
    const { clock, diskLatency } = options
    this.disks = new FaultDiskProvider({
      prng: this.#prng.fork('disks'),
      ...(diskLatency === undefined ? {} : { clock, latency: diskLatency }),
    })
  }

  get running(): boolean {
    return this.#agent !== null
  }

  get agent(): Agent {
    assert(this.#agent !== null, `agent ${this.name} runs`)
    return this.#agent
  }

  status(): AgentStatus {
    return this.agent.status()
  }

  addDevice(name: string, sizeBytes: number): void {
    const path = `/dev/${name}`
    this.disks.addDevice(path, sizeBytes)
    this.devices.push({ name, path })
  }

  create(): Promise<void> {
    return Agent.create({ ...this.#place(this.#options.clock), sparse: true })
  }

  /** Opens the agent and lets it listen. Rejects as the agent does. */
  async start(options: Partial<AgentOptions> = {}): Promise<Agent> {
    assert(this.#agent === null && this.#process === null, `agent ${this.name} does not run`)
    const process = this.#options.clock.process()
    this.#process = process
    this.#lives++
    const agent = await Agent.open({
      ...this.#place(process),
      transports: [this.#options.network.host(this.name)],
      devices: this.devices,
      event: (event) => this.events.push(event),
      ...options,
    })
    if (this.#process !== process) return agent
    await agent.listen(this.address)
    if (this.#process === process) this.#agent = agent
    return agent
  }

  #place(clock: AgentPlace['clock']): AgentPlace {
    const { journalBytes, limits } = this.#options
    return {
      disks: this.disks,
      clock,
      random: this.#prng.fork(`life ${this.#lives}`),
      stateDir: STATE,
      journalPath: JOURNAL,
      journalBytes,
      ...(limits === undefined ? {} : { limits }),
    }
  }

  async stop(): Promise<void> {
    const { agent } = this
    // From here on it answers nobody; what it owes is looked at when it is open again.
    this.#agent = null
    await agent.close()
    this.#process = null
  }

  /** kill -9. */
  crash(underWay: 'all' | 'none' | 'random' = 'random'): void {
    this.#die()
    this.disks = this.disks.crashProcess(underWay)
  }

  powerCut(policy: PowerCutPolicy = { kind: 'random' }): void {
    this.#die()
    this.disks = this.disks.powerCut(policy)
    this.owed.received = Math.min(this.owed.received, this.owed.durable)
    this.lostPowerMs = this.#options.clock.nowMs()
  }

  #die(): void {
    this.#process?.kill()
    this.#process = null
    this.#agent = null
    this.#options.network.crash(this.name)
  }

  /** What is on a device, as a read would see it. */
  content(device: string): SparseBytes {
    return this.disks.medium(`/dev/${device}`).visible()
  }

  /**
   * The devices with the whole journal laid over, as a promotion would make them, by device id. `names`: the agent's
   * device of each id. The host is not touched: it works on copies. Only while no process runs. Null where it died while
   * it made its journal anew.
   */
  async replayed(names: ReadonlyMap<number, string>): Promise<Map<number, SparseBytes> | null> {
    const images = new Map([...names].map(([deviceId, name]) => [deviceId, this.content(name)]))
    const copy = this.disks.fork(new Prng('copy'))
    const silent = { written() {}, durable() {}, spaceFreed() {}, failed() {}, ownerState: () => Buffer.alloc(0) }
    const clock = new SimClock()
    const opened = await openRingLog({
      disk: await copy.open(JOURNAL),
      mode: 'open',
      rule: 'monotone',
      listener: silent,
      clock,
      random: new Prng(1),
    }).catch((error: unknown) => {
      if (error instanceof LogError && error.code === 'LOG_MISSING') return null
      throw error
    })
    if (opened === null) return null
    const { log } = opened
    const cursor = log.cursor(log.tail)
    for (let read = await cursor.next(1 << 20); read !== null; read = await cursor.next(1 << 20)) {
      for (const item of read) {
        assert('frame' in item, 'the journal has no hole')
        layOver(images, item.frame)
      }
    }
    cursor.close()
    return images
  }
}
