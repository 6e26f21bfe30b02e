/**
 * One agent on simulated disks, a simulated network and a simulated clock, and a fake primary at the other end.
 *
 * Owns the life of the agent's process: it can be killed or lose power at any moment, and be opened again on what is left
 * of its disks. Everything follows from one seed.
 */
import assert from 'node:assert/strict'
import { MemoryNetwork } from '@sitelink/protocol'
import { FaultDiskProvider, Prng, SimClock, type PowerCutPolicy, type SimProcessClock } from '@sitelink/storage/testing'
import { Agent, type AgentEvent, type AgentLimits, type AgentOptions } from '@sitelink/agent'
import { FakePrimary, REGION_BYTES, type FakeDevice } from './fake-primary.js'

export const STATE = '/state'
export const JOURNAL = '/state/journal'
export const ADDRESS = 'memory:agent'
const MIB = 1 << 20

export interface WorldOptions {
  readonly seed: number | string
  readonly journalBytes?: number
  readonly limits?: Partial<AgentLimits>
  readonly deviceBytes?: readonly number[]
  /** Every operation of a disk takes this long, in milliseconds: crashes can then come between any two. */
  readonly diskMs?: number
}

export class World {
  readonly clock = new SimClock()
  readonly prng: Prng
  readonly network: MemoryNetwork
  readonly primary: FakePrimary
  readonly journalBytes: number
  readonly limits: Partial<AgentLimits>
  disks: FaultDiskProvider
  devices: { name: string; path: string }[] = []
  events: AgentEvent[] = []
  #process: SimProcessClock | null = null
  #agent: Agent | null = null

  constructor(options: WorldOptions) {
    this.prng = new Prng(options.seed)
    const { diskMs } = options
    const span = [diskMs ?? 0, diskMs ?? 0] as const
    const timed = { clock: this.clock, latency: { readMs: span, writeMs: span, syncMs: span } }
    this.disks = new FaultDiskProvider({ prng: this.prng.fork('disks'), ...(diskMs === undefined ? {} : timed) })
    this.network = new MemoryNetwork({ clock: this.clock, random: this.prng.fork('network') })
    this.journalBytes = options.journalBytes ?? 16 * MIB
    this.limits = options.limits ?? {}
    const fakes: FakeDevice[] = []
    for (const [at, sizeBytes] of (options.deviceBytes ?? [2 * MIB, 3 * MIB]).entries()) {
      const name = `dev${at}`
      this.disks.addDevice(`/dev/${name}`, sizeBytes)
      this.devices.push({ name, path: `/dev/${name}` })
      const mappingId = `aaaaaaaaaaaa${String(at).padStart(4, '0')}`
      fakes.push({ deviceId: at + 1, mappingId, number: at, name, remote: name, sizeBytes, regionBytes: REGION_BYTES })
    }
    this.primary = new FakePrimary({
      clock: this.clock,
      random: this.prng.fork('primary'),
      transport: this.network.host('primary'),
      address: ADDRESS,
      devices: fakes,
    })
  }

  get agent(): Agent {
    assert(this.#agent !== null, 'the agent runs')
    return this.#agent
  }

  get running(): boolean {
    return this.#agent !== null
  }

  /** Makes the files of the agent. */
  async init(): Promise<void> {
    await this.clock.runUntil(Agent.create({ ...this.#place(), sparse: true }), 10_000)
  }

  /** Opens the agent and lets it listen. */
  async start(options: Partial<AgentOptions> = {}): Promise<Agent> {
    const agent = await this.clock.runUntil(Agent.open({ ...this.options(), ...options }), 60_000)
    this.#agent = agent
    await this.clock.runUntil(agent.listen(ADDRESS), 1000)
    return agent
  }

  options(): AgentOptions {
    return {
      ...this.#place(),
      transports: [this.network.host('agent')],
      devices: this.devices,
      event: (event) => this.events.push(event),
    }
  }

  #place(): Pick<AgentOptions, 'disks' | 'clock' | 'random' | 'stateDir' | 'journalPath' | 'journalBytes' | 'limits'> {
    this.#process = this.clock.process()
    return {
      disks: this.disks,
      clock: this.#process,
      random: this.prng.fork(`agent ${this.prng.u32()}`),
      stateDir: STATE,
      journalPath: JOURNAL,
      journalBytes: this.journalBytes,
      limits: this.limits,
    }
  }

  async stop(): Promise<void> {
    await this.clock.runUntil(this.agent.close(), 60_000)
    this.#agent = null
  }

  /** kill -9. */
  async crash(): Promise<void> {
    this.#die()
    this.disks = this.disks.crashProcess('random')
    await this.clock.settle()
  }

  async powerCut(policy: PowerCutPolicy = { kind: 'random' } as PowerCutPolicy): Promise<void> {
    this.#die()
    this.disks = this.disks.powerCut(policy)
    await this.clock.settle()
  }

  #die(): void {
    this.#process?.kill()
    this.#process = null
    this.#agent = null
    this.network.crash('agent')
  }

  /** Connects the primary and runs until the session is ready or over. */
  async connect(): Promise<ReturnType<FakePrimary['connect']>> {
    const session = await this.clock.runUntil(this.primary.connect(), 5000)
    await this.until(() => session.ready || session.end !== null)
    return session
  }

  /** Lets time pass until `condition` holds; fails after `limitMs` of simulated time. */
  async until(condition: () => boolean, limitMs = 60_000): Promise<void> {
    const endMs = this.clock.nowMs() + limitMs
    await this.clock.settle()
    while (!condition()) {
      assert(this.clock.nowMs() < endMs, `the condition holds within ${limitMs} ms: ${condition.toString()}`)
      await this.clock.advance(5)
    }
  }

  /** What is on a device now, as a read would see it. */
  content(name: string): Buffer {
    const medium = this.disks.medium(`/dev/${name}`)
    const bytes = Buffer.alloc(medium.sizeBytes)
    medium.read(bytes, 0)
    return bytes
  }

  /** Every device holds the primary's history up to exactly this LSN. */
  assertContent(lsn: number, why = ''): void {
    for (const { deviceId, name } of this.primary.devices) {
      const found = this.content(name)
      const wanted = this.primary.contentAt(deviceId, lsn)
      if (found.equals(wanted)) continue
      const at = found.findIndex((byte, index) => byte !== wanted[index])
      assert.fail(`${name} differs from the history at LSN ${lsn} from byte ${at} on ${why}`)
    }
  }

  randomBytes(count: number): Buffer {
    return this.prng.bytes(count)
  }
}
