/**
 * Asks every daemon for its status again and again, through all of the storm, and holds the answers to what is never true.
 *
 * A daemon that is dead, frozen or starting gives no answer, and nothing follows from that. Memory is read from the
 * kernel: the most that a program ever had resident.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Program } from '../support/program.js'
import type { PrimaryStatus } from '../support/status-shape.js'
import type { Cast } from './cast.js'
import type { Daemon } from './daemon.js'
import { disorders, fallen, negatives, type Report } from './status-judge.js'
import type { Trace } from './trace.js'

const EVERY_MS = 400
const MIB = 1024 * 1024
export const RESIDENT_BYTES_MAX = 300 * MIB

/** Of each life of the primary: what is added up for the summary. */
const SUMMED = ['resyncs', 'overflows'] as const

export class Sampler {
  readonly #last = new Map<Daemon, { readonly program: Program; readonly report: Report }>()
  #running = true
  #loop: Promise<void> = Promise.resolve()
  /** The most resident memory that was seen, by program. */
  readonly residentBytes = new Map<string, number>()
  /** The newest report of the primary, for a line on the screen. */
  primary: PrimaryStatus | null = null

  constructor(
    private readonly cast: Cast,
    private readonly trace: Trace,
  ) {}

  start(): void {
    this.#loop = (async () => {
      while (this.#running) {
        await Promise.all([...this.cast.daemons.values()].map((daemon) => this.#ask(daemon)))
        await delay(EVERY_MS)
      }
    })()
  }

  async stop(): Promise<void> {
    this.#running = false
    await this.#loop
  }

  /** Judges a report, however it was had. */
  judge(daemon: Daemon, report: Report, program: Program | null): void {
    const faults = negatives(report)
    if (daemon.site === 'primary') faults.push(...disorders(report as unknown as PrimaryStatus))
    const before = this.#last.get(daemon)
    if (program !== null) {
      if (before?.program === program)
        faults.push(...fallen(daemon.site === 'primary' ? 'primary' : 'agent', before.report, report))
      this.#last.set(daemon, { program, report })
      if (daemon.site === 'primary') this.#sum(report, before?.program === program ? before.report : null)
    }
    this.trace.count('statuses judged')
    if (faults.length > 0) this.trace.violate(`the status of ${daemon.site} is wrong: ${faults.join('; ')}`)
  }

  async #ask(daemon: Daemon): Promise<void> {
    const program = daemon.hands.program()
    if (program === null || program.exit !== null) return
    this.#weigh(program)
    let report: Report
    try {
      report = (await daemon.hands.status()) as Report
    } catch {
      return
    }
    if (daemon.hands.program() !== program) return
    if (daemon.site === 'primary') this.primary = report as unknown as PrimaryStatus
    this.judge(daemon, report, program)
  }

  #weigh(program: Program): void {
    const bytes = program.residentBytesPeak()
    if (bytes > (this.residentBytes.get(program.name) ?? 0)) this.residentBytes.set(program.name, bytes)
    if (bytes > RESIDENT_BYTES_MAX)
      this.trace.violate(`${program.name} has ${(bytes / MIB).toFixed(0)} MiB resident, more than 300`)
  }

  /** Adds what happened since the report before, or since the start of this life. */
  #sum(report: Report, before: Report | null): void {
    const slinks = (from: Report | null): readonly Report[] => (from?.['slinks'] ?? []) as readonly Report[]
    for (const name of SUMMED) {
      const total = (from: Report | null): number =>
        slinks(from).reduce((sum, each) => sum + Number(each[name] ?? 0), 0)
      const more = total(report) - total(before)
      if (more > 0) this.trace.count(name, more)
    }
    const entries = (from: Report | null): number =>
      Number((from?.['log'] as Report | undefined)?.['entriesWritten'] ?? 0)
    this.trace.count('entries', Math.max(0, entries(report) - entries(before)))
  }
}
