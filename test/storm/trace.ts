/**
 * What a storm did and found, line by line with times: in a file from the first line on, and the last lines in memory.
 *
 * Owns the violations too. The first one ends the storm: what follows a broken promise proves nothing.
 */
import { appendFileSync } from 'node:fs'

const LINES_MAX = 2000

/** A promise was broken. The message says which, and how it showed. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

export class Trace {
  readonly #startedMs = performance.now()
  readonly #lines: string[] = []
  readonly #counts = new Map<string, number>()
  #violation: Violation | null = null
  #tell: (violation: Violation) => void = () => {}
  /** Resolves with the first violation. */
  readonly violated: Promise<Violation>
  round = 0

  constructor(readonly path: string) {
    this.violated = new Promise((resolve) => (this.#tell = resolve))
  }

  get violation(): Violation | null {
    return this.#violation
  }

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1000
  }

  say(sentence: string): void {
    const line = `${this.seconds.toFixed(3).padStart(9)} s  round ${this.round}  ${sentence}`
    this.#lines.push(line)
    if (this.#lines.length > LINES_MAX) this.#lines.shift()
    appendFileSync(this.path, `${line}\n`)
  }

  /** Counts something that happened. */
  count(what: string, by = 1): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + by)
  }

  counted(what: string): number {
    return this.#counts.get(what) ?? 0
  }

  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** Notes a violation; the first one counts. */
  violate(sentence: string): void {
    this.say(`VIOLATION: ${sentence}`)
    if (this.#violation !== null) return
    this.#violation = new Violation(`round ${this.round}: ${sentence}`)
    this.#tell(this.#violation)
  }

  /** As {@link Trace.violate}, and whoever called goes no further. */
  fail(sentence: string): never {
    this.violate(sentence)
    throw this.#violation ?? new Violation(sentence)
  }

  /** The last lines, of this round and of the one before. */
  recent(): string[] {
    const first = this.#lines.findIndex((line) => / {2}round (\d+) /.exec(line)?.[1] === String(this.round - 1))
    return this.#lines.slice(Math.max(0, first))
  }
}
