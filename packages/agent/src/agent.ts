/**
 * The agent: composes replica, sessions and exports, and holds no logic of its own.
 *
 * Everything that is not deterministic is passed in: disks, transports, clock, randomness. So the simulator and the
 * program run this very class. Invariant: what `open` has returned is recovered, and `close` leaves nothing under way.
 */
import { TransportRegistry, type Clock, type Listener, type Random, type Transport } from '@sitelink/protocol'
import type { DiskProvider } from '@sitelink/storage'
import type { DeviceConfig } from './device/device-set.js'
import { agentErrors } from './errors.js'
import type { AgentEventSink } from './events.js'
import { ExportSet, type ExportRequest, type OpenExport } from './export/export-set.js'
import { createJournal } from './journal/journal-file.js'
import { Journal } from './journal/journal.js'
import { OWNER_STATE_FIRST } from './journal/owner-state.js'
import { JOURNAL_BYTES_DEFAULT, resolveAgentLimits, type AgentLimits } from './limits.js'
import { REPLICA_FILE, ReplicaFile } from './replica/replica-file.js'
import { freshReplica, randomId } from './replica/replica-state.js'
import { Replica } from './replica/replica.js'
import { Dialer } from './session/dialer.js'
import { SessionSet } from './session/session-set.js'
import { agentStatus, type AgentStatus } from './status.js'

export interface AgentPlace {
  readonly disks: DiskProvider
  readonly clock: Clock
  readonly random: Random
  /** Directory of replica.json and the dirty logs. */
  readonly stateDir: string
  /** File or block device of the journal. */
  readonly journalPath: string
  /** Bytes of a journal that is made; a block device is used up to that. Default 256 MiB. */
  readonly journalBytes?: number
  readonly limits?: Partial<AgentLimits>
}

export interface AgentOptions extends AgentPlace {
  readonly transports: readonly Transport[]
  readonly devices: readonly DeviceConfig[]
  /** Give up the journal that is there, whatever it is. Every region is dirty, durably, before it is made anew. */
  readonly forgetJournal?: boolean
  readonly event?: AgentEventSink
}

/** See the head of this file. */
export class Agent {
  readonly #options: AgentOptions
  readonly #limits: AgentLimits
  readonly #replica: Replica
  readonly #sessions: SessionSet
  readonly #exports: ExportSet
  readonly #transports: TransportRegistry
  readonly #listeners: Listener[] = []
  readonly #dialers: Dialer[] = []
  readonly #startedMs: number
  #closing: Promise<void> | null = null

  private constructor(options: AgentOptions, limits: AgentLimits, replica: Replica, wiring: Wiring) {
    this.#options = options
    this.#limits = limits
    this.#replica = replica
    this.#startedMs = options.clock.nowMs()
    this.#transports = new TransportRegistry(options.transports)
    const event = options.event ?? (() => {})
    const { clock } = options
    this.#exports = new ExportSet({ clock, limits, replica, event })
    this.#sessions = new SessionSet({
      clock,
      limits,
      replica,
      event,
      endExports: (why) => this.#exports.endAll(why),
    })
    wiring.sessions = this.#sessions
    wiring.exports = this.#exports
  }

  /**
   * Makes the files of a new agent: its journal, then replica.json. May be repeated after a crash. Refuses a journal path
   * with anything in it that is not an empty journal.
   */
  static async create(
    place: AgentPlace & { readonly sparse?: boolean; readonly progress?: (done: number, total: number) => void },
  ): Promise<void> {
    const { disks, clock, random, stateDir, journalPath, sparse = false, progress } = place
    const ringId = randomId(random)
    const silent = { written: () => {}, moved: () => {}, spaceFreed: () => {}, failed: () => {} }
    const journal = new Journal(
      { clock, listener: silent, toldMsMin: resolveAgentLimits(place.limits).toldMsMin },
      { ...OWNER_STATE_FIRST, ringId },
    )
    const options = {
      disks,
      clock,
      random,
      path: journalPath,
      stateDir,
      sizeBytes: place.journalBytes ?? JOURNAL_BYTES_DEFAULT,
      sparse,
      recentBytesMax: 0,
    }
    const { log } = await createJournal(
      progress === undefined ? options : { ...options, progress },
      journal.ringListener,
    )
    await log.close()
    await ReplicaFile.create(`${stateDir}/${REPLICA_FILE}`, disks, { ...freshReplica(random), ringId })
  }

  /** Opens an agent that {@link Agent.create} made. Rejects with a coded error; nothing is changed then. */
  static async open(options: AgentOptions): Promise<Agent> {
    const limits = resolveAgentLimits(options.limits)
    const { disks, clock, random, stateDir, journalPath, devices } = options
    const event = options.event ?? (() => {})
    const wiring: Wiring = { sessions: null, exports: null }
    const replica = await Replica.open(
      {
        disks,
        clock,
        random,
        limits,
        stateDir,
        journalPath,
        devices,
        event,
        journalBytes: options.journalBytes ?? JOURNAL_BYTES_DEFAULT,
        forgetJournal: options.forgetJournal ?? false,
      },
      {
        written: (bytes, copiesOnly) => {
          const session = wiring.sessions?.current
          session?.written(bytes)
          if (copiesOnly) session?.noteProgress()
          else session?.noteReceived()
          wiring.exports?.journalGrew()
        },
        spaceFreed: () => wiring.sessions?.current?.roomFreed(),
        changed: () => wiring.sessions?.current?.noteProgress(),
        broken: (code, message) => wiring.sessions?.failCurrent(code, message),
        trouble: (code, message) => wiring.sessions?.current?.reportTrouble(code, message),
      },
    )
    const agent = new Agent(options, limits, replica, wiring)
    event({
      level: 'info',
      kind: 'started',
      message: 'the agent is open',
      facts: { consistent: replica.inconsistent === null },
    })
    return agent
  }

  /** Takes sessions at `address`; answers the address that peers can dial. */
  async listen(address: string): Promise<string> {
    if (this.#closing !== null) throw agentErrors.create('AGENT_CLOSED')
    const listener = await this.#transports.listen(address, (connection) => this.#sessions.accept(connection))
    this.#listeners.push(listener)
    return listener.address
  }

  /** Dials a primary that cannot reach this host, at these addresses in turn, for as long as the agent is open. */
  dialOut(addresses: readonly string[]): void {
    if (this.#closing !== null) throw agentErrors.create('AGENT_CLOSED')
    const { clock, random, event = () => {} } = this.#options
    const dialer = new Dialer({
      clock,
      random,
      addresses,
      event,
      dial: (address, options) => this.#transports.dial(address, options),
      accept: (connection, ended) => this.#sessions.accept(connection, ended),
    })
    this.#dialers.push(dialer)
    dialer.start()
  }

  /** What the listened addresses were to take and do not, as a sentence; null: nothing. */
  get lacks(): string | null {
    return this.#listeners.map(({ lacks = null }) => lacks).find((lacks) => lacks !== null) ?? null
  }

  /** Addresses that are listened on. */
  get addresses(): readonly string[] {
    return this.#listeners.map(({ address }) => address)
  }

  /** Why nothing can be replicated now, as a sentence; null if it can. */
  get broken(): string | null {
    return this.#replica.broken
  }

  status(): AgentStatus {
    const uptimeMs = this.#options.clock.nowMs() - this.#startedMs
    return agentStatus({
      replica: this.#replica,
      sessions: this.#sessions,
      exports: this.#exports.list(),
      addresses: this.addresses,
      lacks: this.lacks,
      uptimeMs,
      journalPath: this.#options.journalPath,
    })
  }

  /** Whether a region of a mapping may differ from the history. What is not open here, or not known, counts as dirty. */
  isDirty(mappingId: string, region: number): boolean {
    const dirty = this.#replica.lineOrNull?.dirty
    return dirty?.has(mappingId) !== true || dirty.isDirty(mappingId, region)
  }

  /** Offers another device from now on. Answers why it cannot be used yet, or null. */
  async addDevice(device: DeviceConfig): Promise<string | null> {
    const problem = await this.#replica.devices.add(device)
    if (this.#replica.broken === null) this.#replica.line.attachAll()
    this.#event('device-added', `device ${device.name} is ${device.path}`, device.name)
    return problem
  }

  /** The mapping that uses a device, or null. */
  mappedBy(name: string): { readonly deviceId: number; readonly name: string } | null {
    return this.#replica.state.mappings.find((row) => row.remote === name) ?? null
  }

  /** Offers a device no longer. Frames for it wait in the journal, if it is mapped. */
  async removeDevice(name: string): Promise<void> {
    await this.#exports.end(name, 'the device is taken away')
    await this.#replica.releaseDevice(name)
    this.#event('device-removed', `device ${name} was taken away`, name)
  }

  /** Freezes the replica and opens a read-only view of one device. */
  openExport(request: ExportRequest): Promise<OpenExport> {
    if (this.#closing !== null) throw agentErrors.create('AGENT_CLOSED')
    return this.#exports.open(request)
  }

  /** Ends sessions and exports, applies what may be applied, marks a clean stop and closes. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const dialer of this.#dialers) dialer.stop()
    for (const listener of this.#listeners) await listener.close()
    await this.#sessions.close('the agent stops')
    await this.#exports.endAll('the agent stops')
    await this.#replica.close()
    this.#options.event?.({ level: 'info', kind: 'stopped', message: 'the agent is closed' })
  }

  #event(kind: 'device-added' | 'device-removed', message: string, device: string): void {
    this.#options.event?.({ level: 'info', kind, message, facts: { device } })
  }

  /** Limits as resolved. */
  get limits(): AgentLimits {
    return this.#limits
  }
}

/** The replica is open before those exist that it tells. */
interface Wiring {
  sessions: SessionSet | null
  exports: ExportSet | null
}
