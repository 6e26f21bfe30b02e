/**
 * Reads what the daemons log, once each line, for what no weather excuses: a bug that an assertion or the runtime found.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const BUGS =
  /assert|internal error|"code":"INTERNAL"|uncaught|unhandled|\b(Type|Range|Reference|Syntax)Error\b|a bug that|a rejection that/i

/** Lines that speak of a bug. */
export function bugLines(text: string): string[] {
  return text.split('\n').filter((line) => BUGS.test(line))
}

export class LogJudge {
  readonly #read = new Map<string, number>()

  constructor(private readonly folder: string) {}

  /** What was logged since the last look and speaks of a bug, with the file's name. */
  look(): string[] {
    if (!existsSync(this.folder)) return []
    return readdirSync(this.folder).flatMap((name) => {
      const bytes = readFileSync(join(this.folder, name))
      const from = this.#read.get(name) ?? 0
      // A line that is not ended yet is read as a whole the next time.
      const end = bytes.lastIndexOf(0x0a) + 1
      this.#read.set(name, Math.max(from, end))
      return bugLines(bytes.toString('utf8', from, end)).map((line) => `${name}: ${line}`)
    })
  }
}
