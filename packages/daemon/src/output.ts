/**
 * What a command says: its result on stdout, everything else on stderr.
 *
 * With `--json` stdout holds JSON alone and notes are silent. Without it a result is the text that a person reads.
 */

/** The part of a stream that commands use; a terminal has a width. */
export interface TextStream {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

/** The surroundings of a command, so that a test can give others. */
export interface CliIo {
  readonly stdout: TextStream
  readonly stderr: TextStream
  readonly env: Readonly<Record<string, string | undefined>>
}

/** See the head of this file. */
export class Output {
  readonly json: boolean
  readonly io: CliIo

  constructor(json: boolean, io: CliIo) {
    this.json = json
    this.io = io
  }

  /** Width for tables: of the terminal, or unlimited where stdout is none. */
  get columns(): number {
    return this.io.stdout.isTTY === true ? (this.io.stdout.columns ?? 80) : Infinity
  }

  /** The result of a command: `value` as indented JSON, or what `human` makes of it. A closing newline is added. */
  result<T>(value: T, human: (value: T) => string): void {
    this.#print(this.json ? jsonText(value, 2) : human(value))
  }

  /** One of many results, as of a watch: JSON on one line each. */
  event<T>(value: T, human: (value: T) => string): void {
    this.#print(this.json ? jsonText(value) : human(value))
  }

  /** A remark for the person at the terminal, on stderr; silent with `--json`. */
  note(text: string): void {
    if (!this.json) this.io.stderr.write(`${text}\n`)
  }

  #print(text: string): void {
    if (text !== '') this.io.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
  }
}

/** JSON of `value`; an LSN (`bigint`) becomes a decimal string. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value ?? null, (_, part: unknown) => (typeof part === 'bigint' ? String(part) : part), indent)
}
