/**
 * The registry of operating errors and the one class that carries them.
 *
 * Every package defines its slice of codes with {@link defineErrors}; a code is unique in the process. Everything an
 * error shows (kind, retry, exit status, message, hint) is derived from its code and its facts, so that no error can
 * carry another's meaning. Bugs are no operating errors: they are failed assertions, and end the process.
 */
import assert from 'node:assert/strict'
import { fillTemplate, placeholdersOf } from './error-template.js'

/** Exit statuses after sysexits.h; the only ones that the programs end with, besides 0 and 128 + signal. */
export const EXIT = {
  ok: 0,
  usage: 64,
  data: 65,
  noInput: 66,
  unavailable: 69,
  software: 70,
  osError: 71,
  cantCreate: 73,
  ioError: 74,
  tempFail: 75,
  noPermission: 77,
  config: 78,
} as const

/** Exit status of an error: any of {@link EXIT} but 0. */
export type ExitStatus = Exclude<(typeof EXIT)[keyof typeof EXIT], 0>

/**
 * What sort of trouble it is: `usage` the caller asked wrongly; `config` a stored or given configuration is wrong;
 * `operating` the present state, the system or a peer does not allow it; `corruption` stored bytes are damaged;
 * `internal` a bug.
 */
export type ErrorKind = 'usage' | 'config' | 'operating' | 'corruption' | 'internal'

/** A value that an error reports beside its text. `bigint` (an LSN) becomes a decimal string in JSON. */
export type FactValue = string | number | bigint | boolean | null | readonly string[]

/** Names and values that locate an error: `{ path, pid, slink, device, lsn, offset, ... }`, units in the names. */
export type Facts = Readonly<Record<string, FactValue>>

/** One row of the registry. */
export interface ErrorInfo {
  readonly kind: ErrorKind
  /** True where the same request may succeed later without anybody changing anything. */
  readonly retry: boolean
  readonly exit: ExitStatus
  /** One line `what: why` with `{fact}` placeholders, no full stop at the end. */
  readonly text: string
  /** The next command or step, with `{fact}` placeholders; `<prog>` stands for the running program. */
  readonly hint: string | null
  /** A paragraph for the operator's page, where the one line is not enough. */
  readonly about?: string
}

type PlaceholdersOf<S> = S extends `${string}{${infer Name}}${infer Rest}` ? Name | PlaceholdersOf<Rest> : never

/** The facts that a row's text and hint speak of. */
export type FactsOf<I extends ErrorInfo> = Readonly<
  Record<PlaceholdersOf<I['text']> | PlaceholdersOf<I['hint']>, FactValue>
>

type CreateArguments<I extends ErrorInfo> = [keyof FactsOf<I>] extends [never]
  ? [facts?: Facts, options?: ErrorOptions]
  : [facts: FactsOf<I> & Facts, options?: ErrorOptions]

/** One package's codes. `create` makes an error of one of them; `is` recognises one and narrows nothing else. */
export interface ErrorSlice<T extends Record<string, ErrorInfo>> {
  readonly name: string
  readonly codes: T
  create<C extends keyof T & string>(code: C, ...rest: CreateArguments<T[C]>): SitelinkError
  is(error: unknown, code: keyof T & string): error is SitelinkError
}

/** The shape of an error on the control socket and under `--json`. */
export interface ErrorJson {
  readonly code: string
  readonly kind: ErrorKind
  readonly retry: boolean
  readonly exit: number
  readonly message: string
  readonly hint: string | null
  readonly facts: Readonly<Record<string, unknown>>
}

const BRAND = Symbol.for('sitelink.error')
const KINDS: readonly string[] = ['usage', 'config', 'operating', 'corruption', 'internal'] satisfies ErrorKind[]
const slices = new Map<string, ErrorSlice<Record<string, ErrorInfo>>>()
const owners = new Map<string, string>()

/** An operating error. Made by {@link ErrorSlice.create}, or read back from the wire by {@link SitelinkError.fromJson}. */
export class SitelinkError extends Error {
  override readonly name = 'SitelinkError'
  readonly code: string
  readonly kind: ErrorKind
  readonly retry: boolean
  /** Exit status of a command that ends with this error. */
  readonly exit: ExitStatus
  /** The next step, facts filled in; `<prog>` still stands for the program. Null where there is none. */
  readonly hint: string | null
  readonly facts: Facts
  readonly [BRAND] = true

  private constructor(
    row: Omit<ErrorInfo, 'text'>,
    code: string,
    message: string,
    facts: Facts,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.code = code
    this.kind = row.kind
    this.retry = row.retry
    this.exit = row.exit
    this.hint = row.hint
    this.facts = facts
  }

  /** For {@link defineErrors} alone. */
  static ofRow(code: string, info: ErrorInfo, facts: Facts, options?: ErrorOptions): SitelinkError {
    const hint = info.hint === null ? null : fillTemplate(info.hint, facts)
    return new SitelinkError({ ...info, hint }, code, fillTemplate(info.text, facts), facts, options)
  }

  /** True for an error of this class, also of another copy of this package. */
  static is(error: unknown): error is SitelinkError {
    return typeof error === 'object' && error !== null && (error as { [BRAND]?: unknown })[BRAND] === true
  }

  /** The shape for the wire and for `--json`; `program` replaces `<prog>` in the hint, which stays as it is without. */
  toJson(program?: string): ErrorJson {
    const facts = Object.fromEntries(
      Object.entries(this.facts).map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : value]),
    )
    const hint = program === undefined || this.hint === null ? this.hint : this.hint.replaceAll('<prog>', program)
    return { code: this.code, kind: this.kind, retry: this.retry, exit: this.exit, message: this.message, hint, facts }
  }

  /**
   * Reads {@link toJson}'s shape back; null if `json` has another one. The sender's words are kept as they are, so that
   * an older client shows a newer daemon's error, with its code and exit status, unharmed.
   */
  static fromJson(json: unknown): SitelinkError | null {
    if (typeof json !== 'object' || json === null) return null
    const { code, kind, retry, exit, message, hint, facts } = json as Partial<Record<keyof ErrorJson, unknown>>
    if (typeof code !== 'string' || typeof message !== 'string' || typeof retry !== 'boolean') return null
    if (typeof kind !== 'string' || !KINDS.includes(kind) || (hint !== null && typeof hint !== 'string')) return null
    const status =
      Object.values(EXIT).includes(exit as ExitStatus) && exit !== EXIT.ok ? (exit as ExitStatus) : EXIT.software
    const given = typeof facts === 'object' && facts !== null ? (facts as Facts) : {}
    return new SitelinkError({ kind: kind as ErrorKind, retry, exit: status, hint }, code, message, given)
  }
}

/**
 * Registers a package's codes. Throws an assertion if a code is taken, is not UPPER_SNAKE_CASE, or if its text is not
 * one line. Called once per package, at load.
 */
export function defineErrors<const T extends Record<string, ErrorInfo>>(name: string, codes: T): ErrorSlice<T> {
  assert(!slices.has(name), `error slice ${name} is defined twice`)
  for (const [code, info] of Object.entries(codes)) {
    assert(/^[A-Z][A-Z0-9]*(_[A-Z0-9]+)*$/.test(code), `error code ${code} is written in upper snake case`)
    assert(!owners.has(code), `error code ${code} of ${name} belongs to ${owners.get(code)}`)
    assert(info.text.length > 0 && !/[\n\r]|\.$/.test(info.text), `the text of ${code} is one line without a full stop`)
    owners.set(code, name)
  }
  const slice: ErrorSlice<T> = {
    name,
    codes,
    create(code, ...[facts, options]) {
      const info = codes[code]
      assert(info !== undefined, `error code ${code} is in ${name}`)
      const error = SitelinkError.ofRow(code, info, facts ?? {}, options)
      Error.captureStackTrace(error, slice.create)
      return error
    },
    is: (error, code): error is SitelinkError => SitelinkError.is(error) && error.code === code,
  }
  slices.set(name, slice as unknown as ErrorSlice<Record<string, ErrorInfo>>)
  return slice
}

/** All slices defined so far, by name. */
export function errorSlices(): readonly ErrorSlice<Record<string, ErrorInfo>>[] {
  return [...slices.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** Names of the facts that a row speaks of, each once, in order of appearance. */
export function factNames(info: ErrorInfo): readonly string[] {
  return [...new Set([...placeholdersOf(info.text), ...placeholdersOf(info.hint ?? '')])]
}
