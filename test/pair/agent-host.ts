/**
 * An agent's host in a simulated world: its disks, its network name, and the process that can die at any moment.
 *
 * Owns the real agent over simulated disks, and what the primary was let to believe that it has. Each opening is held to
 * that. It looks at devices and journal only from outside: at what their media hold.
 */
import assert from 'node:assert/strict'
import type { LogPoint, MemoryNetwork } from '@sitelink/protocol'
import {
  Agent,
  REPLICA_FILE,
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
  /** What another host left behind: its disks and devices. Default: a new host. */
  readonly left?: { readonly disks: FaultDiskProvider; readonly devices: AgentHost['devices'] }
}

const STATE = '/state'
export const JOURNAL_FILE = '/state/journal'
export const REPLICA_STATE_FILE = `${STATE}/${REPLICA_FILE}`

/** What the primary told writers that this agent has. LSNs of the primary's present history. */
export interface Owed {
  /** Survives the death of the agent's process. */
  received: number
  /** Survives a power cut of its host. */
  durable: number
}

/** Devices with a journal laid over: up to its end, or up to its first `hole`. */
export interface Replay {
  readonly images: ReadonlyMap<number, SparseBytes>
  /** The last entry that the stream had passed; 0:0 if the journal is empty. */
  readonly end: LogPoint
  readonly hole: boolean
}

export class AgentHost {
  readonly name: string
  readonly address: string
  readonly events: AgentEvent[] = []
  readonly devices: { name: string; path: string }[] = []
  readonly owed: Owed = { received: 0, durable: 0 }
  /** In this life: the program would end now. */
  journalFailed = false
  onEvent: ((event: AgentEvent) => void) | null = null
  /** Bits of its disks rotted: what it owed may be gone, whenever that is found. */
  rotten = false
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
    const { clock, diskLatency, left } = options
    this.disks =
      left?.disks ??
      new FaultDiskProvider({
        prng: this.#prng.fork('disks'),
        ...(diskLatency === undefined ? {} : { clock, latency: diskLatency }),
      })
    this.devices.push(...(left?.devices ?? []))
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

  /** Whether a region of a mapping is dirty there. Anything but a mapping that is open counts as dirty. */
  isDirty(mappingId: string, region: number): boolean {
    return this.agent.isDirty(mappingId, region)
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
    this.journalFailed = false
    this.#lives++
    const opening = Agent.open({
      ...this.#place(process),
      transports: [this.#options.network.host(this.name)],
      devices: this.devices,
      event: (event) => {
        this.events.push(event)
        if (event.kind === 'journal-failed' && this.#process === process) this.journalFailed = true
        this.onEvent?.(event)
      },
      ...options,
    })
    const agent = await opening.catch((error: unknown) => {
      // A process that cannot open its agent ends.
      if (this.#process === process) this.crash('all')
      throw error
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
      journalPath: JOURNAL_FILE,
      journalBytes,
      ...(limits === undefined ? {} : { limits }),
    }
  }

  /** True from the beginning of a start until the process is gone. */
  get alive(): boolean {
    return this.#process !== null
  }

  async stop(): Promise<void> {
    const { agent } = this
    const process = this.#process
    // From here on it answers nobody; what it owes is looked at when it is open again.
    this.#agent = null
    await agent.close()
    if (this.#process === process) this.#process = null
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
   * device of each id. The host is not touched: it works on copies. Only while no process runs. Null where the journal
   * cannot be opened, as after a death while it was made anew.
   */
  async replayed(names: ReadonlyMap<number, string>): Promise<Replay | null> {
    const images = new Map([...names].map(([deviceId, name]) => [deviceId, this.content(name)]))
    const copy = this.disks.fork(new Prng('copy'))
    const silent = { written() {}, durable() {}, spaceFreed() {}, failed() {}, ownerState: () => Buffer.alloc(0) }
    const clock = new SimClock()
    const opened = await openRingLog({
      disk: await copy.open(JOURNAL_FILE),
      mode: 'open',
      rule: 'monotone',
      listener: silent,
      clock,
      random: new Prng(1),
    }).catch((error: unknown) => {
      if (error instanceof LogError) return null
      throw error
    })
    if (opened === null) return null
    const { log } = opened
    const cursor = log.cursor(log.tail)
    let end: LogPoint = { incarnation: 0, lsn: 0 }
    for (let read = await cursor.next(1 << 20); read !== null; read = await cursor.next(1 << 20)) {
      for (const item of read) {
        if (!('frame' in item)) {
          cursor.close()
          return { images, end, hole: true }
        }
        layOver(images, item.frame)
        end = { incarnation: item.frame.incarnation, lsn: item.frame.lsn }
      }
    }
    cursor.close()
    return { images, end, hole: false }
  }
}
