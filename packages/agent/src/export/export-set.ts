/**
 * The exports of a frozen replica, and the freeze that they share.
 *
 * Owns the applied point while at least one export is open: the first one drains what may be applied and stops the
 * applier, the last one lets it go on. The journal goes on meanwhile; when it is nearly full, exports that are not held
 * end. Invariant: while an export answers reads, no byte of any device of the group changes.
 */
import type { Clock, LogPoint, Timer } from '@sitelink/protocol'
import { agentErrors } from '../errors.js'
import type { AgentEventSink } from '../events.js'
import type { AgentLimits } from '../limits.js'
import type { Replica } from '../replica/replica.js'
import { FrozenExport } from './frozen-export.js'

export interface ExportRequest {
  /** Name of the device here. */
  readonly name: string
  /** Keep it whatever fills the journal. */
  readonly hold: boolean
  /** Although the replica is not consistent. */
  readonly force: boolean
}

export interface OpenExport {
  readonly export: FrozenExport
  /** Where the whole group stands still. */
  readonly point: LogPoint
  readonly consistent: boolean
  /** Resolves with the reason when it ends, whoever ends it. */
  readonly ended: Promise<string>
  close(why: string): Promise<void>
}

/** Facts for status. */
export interface ExportReport {
  readonly name: string
  readonly point: LogPoint
  readonly hold: boolean
  readonly clients: number
}

interface Held {
  readonly request: ExportRequest
  readonly view: FrozenExport
  readonly point: LogPoint
  readonly finish: (why: string) => void
}

export interface ExportSetOptions {
  readonly clock: Clock
  readonly limits: AgentLimits
  readonly replica: Replica
  readonly event: AgentEventSink
}

/** See the head of this file. */
export class ExportSet {
  readonly #options: ExportSetOptions
  readonly #held = new Map<string, Held>()
  /** Openings and endings run one after the other. */
  #steps: Promise<unknown> = Promise.resolve()

  constructor(options: ExportSetOptions) {
    this.#options = options
  }

  /** Opens one. Throws `AGENT_DEVICE_UNKNOWN`, `AGENT_EXPORT_INCONSISTENT`, `AGENT_EXPORT_BUSY`, `AGENT_EXPORT_STUCK`. */
  open(request: ExportRequest): Promise<OpenExport> {
    return this.#step(() => this.#open(request))
  }

  end(name: string, why: string): Promise<void> {
    return this.#step(() => this.#end(name, why))
  }

  endAll(why: string): Promise<void> {
    return this.#step(async () => {
      for (const name of [...this.#held.keys()]) await this.#end(name, why)
    })
  }

  list(): readonly ExportReport[] {
    return [...this.#held.values()].map(({ request, view, point }) => ({
      name: request.name,
      point,
      hold: request.hold,
      clients: view.clients,
    }))
  }

  /** The journal took more: exports end when it is nearly full, unless they are held. */
  journalGrew(): void {
    if (this.#held.size === 0 || this.#options.replica.broken !== null) return
    const { usedBytes, ringBytes } = this.#options.replica.line.journal.log.status()
    if (usedBytes < ringBytes * this.#options.limits.exportFillMax) return
    for (const { request } of this.#held.values()) {
      if (!request.hold)
        void this.end(request.name, `the journal is ${Math.floor((usedBytes / ringBytes) * 100)} % full`)
    }
  }

  async #open(request: ExportRequest): Promise<OpenExport> {
    const { replica, event } = this.#options
    const { name, force } = request
    const { stateDir: state } = replica
    if (!replica.devices.has(name)) throw agentErrors.create('AGENT_DEVICE_UNKNOWN', { name, state })
    const device = replica.devices.device(name)
    if (device === null)
      throw agentErrors.create('AGENT_DEVICE_UNUSABLE', { name, why: replica.devices.problem(name), state })
    if (this.#held.has(name)) throw agentErrors.create('AGENT_EXPORT_BUSY', { name })
    if (replica.broken !== null && !force)
      throw agentErrors.create('AGENT_EXPORT_INCONSISTENT', { why: replica.broken })
    const first = this.#held.size === 0
    if (first) await this.#freeze(force)
    const why = replica.inconsistent
    if (why !== null && !force) {
      if (first) replica.thaw()
      throw agentErrors.create('AGENT_EXPORT_INCONSISTENT', { why })
    }
    const point = replica.appliedPoint
    const mapping = replica.state.mappings.find((row) => row.remote === name)
    const sizeBytes = mapping?.sizeBytes ?? device.sizeBytes
    const view = new FrozenExport(name, `replica at ${point.incarnation}:${point.lsn}`, sizeBytes, device)
    let finish: (why: string) => void = () => {}
    const ended = new Promise<string>((resolve) => (finish = resolve))
    this.#held.set(name, { request, view, point, finish })
    event({
      level: 'info',
      kind: 'export-opened',
      message: `${name} is exported at LSN ${point.lsn}; the applied point of the group stands still`,
      facts: { device: name, lsn: point.lsn },
    })
    return { export: view, point, consistent: why === null, ended, close: (reason) => this.end(name, reason) }
  }

  /** Drains what may be applied and stops there, within a bounded time. */
  async #freeze(force: boolean): Promise<void> {
    const { replica, clock, limits } = this.#options
    if (replica.broken !== null) return
    let timer: Timer | null = null
    const late = new Promise<'late'>((resolve) => (timer = clock.after(limits.freezeMsMax, () => resolve('late'))))
    const end = await Promise.race([replica.line.freeze().then(() => 'drained' as const), late])
    ;(timer as Timer | null)?.cancel()
    if (end === 'drained' && replica.line.drained) return
    if (force) return replica.line.applier.freeze()
    const { failedDeviceIds, heldDeviceIds } = replica.line.writeBackStatus()
    replica.thaw()
    const why =
      heldDeviceIds.length > 0
        ? 'a mapped device is missing'
        : failedDeviceIds.length > 0
          ? 'a device fails'
          : 'a device is slow'
    throw agentErrors.create('AGENT_EXPORT_STUCK', { timeoutMs: limits.freezeMsMax, why, state: replica.stateDir })
  }

  async #end(name: string, why: string): Promise<void> {
    const held = this.#held.get(name)
    if (held === undefined) return
    await held.view.end()
    this.#held.delete(name)
    if (this.#held.size === 0) this.#options.replica.thaw()
    held.finish(why)
    this.#options.event({
      level: 'warn',
      kind: 'export-ended',
      message: `the export of ${name} ended: ${why}`,
      facts: { device: name },
    })
  }

  #step<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#steps.then(run)
    this.#steps = result.catch(() => {}) // whoever asked gets the error
    return result
  }
}
