/**
 * One daemon of the storm as its supervisor sees it: started, killed, frozen, and never allowed to die by itself.
 *
 * Every end that the storm did not bring about is a violation. The exception is documented: a program on a full disk may
 * end with status 73 or 74, and is started again, as a supervisor would, until it runs. Whoever does something to a daemon
 * does it within `exclusive`, so that no two do so at once.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Program } from '../support/program.js'
import type { Site } from './plan.js'
import type { SmallDisk } from './small-disk.js'
import type { Trace } from './trace.js'

/** What a full disk may end a program with, and what a state directory that a command holds just now may. */
const DISK_STATUSES = [73, 74]
const STATUS_LOCKED = 75
/** A program that met a full disk may take so long to end of it. */
const DISK_GRACE_MS = 15_000
const RETRY_MS = 300
const START_MS_MAX = 60_000

/** How the program is reached. */
export interface Hands {
  program(): Program | null
  launch(): Program
  answers(): Promise<void>
  status(): Promise<unknown>
}

export class Daemon {
  readonly #expected = new WeakSet<Program>()
  readonly #watched = new WeakSet<Program>()
  #queue: Promise<unknown> = Promise.resolve()
  #diskFreedMs = -Infinity
  /** Nothing is wrong with whatever ends from now on. */
  #leaving = false
  /** Brings it back after an end that is excused; within `exclusive`. */
  revive: () => Promise<void> = () => this.start()

  constructor(
    readonly site: Site,
    readonly hands: Hands,
    readonly disk: SmallDisk | null,
    private readonly trace: Trace,
  ) {}

  get runs(): boolean {
    const program = this.hands.program()
    return program !== null && program.exit === null
  }

  /** One after the other. */
  exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work)
    this.#queue = done.catch(() => {})
    return done
  }

  leave(): void {
    this.#leaving = true
  }

  fillDisk(): void {
    this.disk?.fill()
  }

  freeDisk(): void {
    if (this.disk?.full !== true) return
    this.disk.free()
    this.#diskFreedMs = performance.now()
  }

  /** Whether a full disk explains what fails here now. */
  get diskExcuses(): boolean {
    return this.disk !== null && (this.disk.full || performance.now() - this.#diskFreedMs < DISK_GRACE_MS)
  }

  /** Starts it and waits until it answers; again and again where that is excused. */
  async start(): Promise<void> {
    const endMs = performance.now() + START_MS_MAX
    for (;;) {
      const program = this.launch()
      await this.hands.answers().catch(() => {})
      if (program.exit === null) {
        this.watch()
        return
      }
      const { status } = program.exit
      const excused = status === STATUS_LOCKED || (DISK_STATUSES.includes(status ?? 0) && this.diskExcuses)
      if (this.#leaving) return
      if (!excused || performance.now() > endMs)
        this.trace.fail(`${this.site} did not start: ${JSON.stringify(program.exit)}\n${program.output.slice(-3000)}`)
      this.trace.say(`${this.site} could not start yet: status ${status}`)
      this.trace.count('excused failed starts')
      await delay(RETRY_MS)
    }
  }

  /** Starts it and waits for nothing. Whoever does so ends it, or waits for its answer. */
  launch(): Program {
    const program = this.hands.launch()
    // While it starts, its end is judged by whoever starts it.
    this.#expected.add(program)
    return program
  }

  /** From now on, its answer once given, its end is judged. */
  watch(): void {
    const program = this.hands.program()
    if (program === null || this.#watched.has(program)) return
    this.#expected.delete(program)
    this.#watched.add(program)
    void program.ended.then((report) => {
      if (this.#leaving || this.#expected.has(program)) return
      if (DISK_STATUSES.includes(report.status ?? 0) && this.diskExcuses) {
        this.trace.say(`${this.site} ended on a full disk: status ${report.status}`)
        this.trace.count('ends on a full disk')
        void this.exclusive(async () => {
          if (!this.runs && !this.#leaving) await this.revive()
        }).catch(() => {})
        return
      }
      this.trace.violate(`${this.site} died by itself: ${JSON.stringify(report)}\n${program.output.slice(-3000)}`)
    })
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    const program = this.#expectEnd()
    await program?.kill()
  }

  /** SIGTERM: a clean end with status 0, unless the disk is full. */
  async stop(): Promise<void> {
    const program = this.#expectEnd()
    if (program === null) return
    program.signal('SIGCONT')
    const report = await program.stop()
    if (report.status === 0 || this.#leaving) return
    if (DISK_STATUSES.includes(report.status ?? 0) && this.diskExcuses) return
    this.trace.fail(`${this.site} stopped with ${JSON.stringify(report)}\n${program.output.slice(-3000)}`)
  }

  /** SIGSTOP, and SIGCONT after a while. */
  async freeze(forMs: number): Promise<void> {
    const program = this.hands.program()
    program?.signal('SIGSTOP')
    await delay(forMs)
    program?.signal('SIGCONT')
  }

  #expectEnd(): Program | null {
    const program = this.hands.program()
    if (program !== null) this.#expected.add(program)
    return program
  }
}
