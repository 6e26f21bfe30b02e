/**
 * What happened in a simulated life: lines for people, and a digest over everything.
 *
 * Owns both. A line is short and carries the simulated time; the last ones are kept. The digest takes in every line and
 * everything that was noted without a line, so that two lives with the same digest were the same life.
 */
import { createHash, type Hash } from 'node:crypto'

const LINES_MAX = 2000

export class Trace {
  readonly #lines: string[] = []
  readonly #hash: Hash = createHash('sha256')
  #digest: string | null = null

  /** A line, kept and hashed. */
  say(ms: number, text: string): void {
    const line = `${ms.toFixed(1).padStart(10)} ms  ${text}`
    this.note(line)
    this.#lines.push(line)
    if (this.#lines.length > LINES_MAX) this.#lines.splice(0, LINES_MAX / 2)
  }

  /** Hashed only. */
  note(fact: string | Buffer): void {
    if (this.#digest === null) this.#hash.update(fact)
  }

  /** The last lines, oldest first. */
  last(count: number): readonly string[] {
    return this.#lines.slice(-count)
  }

  /** Ends the digest. */
  digest(): string {
    this.#digest ??= this.#hash.digest('hex')
    return this.#digest
  }
}
