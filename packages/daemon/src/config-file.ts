/**
 * A program's configuration: one readable JSON file in its state directory.
 *
 * Owns the file while the directory's lock is held. What is read or written passes the caller's validator; a file that
 * cannot be read is never overwritten. Updates are applied one after the other, each atomically: `current` is always
 * what the last durable write holds.
 */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { writeFileAtomic, type AtomicFileSteps } from './atomic-file.js'
import { daemonErrors } from './daemon-errors.js'
import type { SitelinkError } from './errors.js'
import { parseJson } from './json-position.js'
import type { StateDirectory } from './state-directory.js'
import type { StateLock } from './state-lock.js'
import { isErrno, systemError } from './system-errors.js'

/** Turns parsed JSON into a configuration, or throws a {@link SitelinkError} that names the key (see `keyInvalid`). */
export type Validator<T> = (value: unknown) => T

export interface ConfigFormat<T extends object> {
  /** File name in the state directory, as `config.json`. */
  readonly name: string
  /** Version that is written; kept in the file as its first key `version`, and not part of T. */
  readonly version: number
  /** Oldest version that can still be read. */
  readonly versionMin: number
  /** Checks everything: unknown keys, ranges, references between parts. Gets the object without `version`. */
  readonly validate: Validator<T>
  /** Turns the content of an older version into that of the present one, before it is validated. */
  readonly migrate?: (value: Readonly<Record<string, unknown>>, version: number) => unknown
  readonly steps?: AtomicFileSteps
}

/** A configuration that was read and may be changed, under the directory's lock. */
export class ConfigFile<T extends object> {
  readonly path: string
  readonly #format: ConfigFormat<T>
  readonly #lock: StateLock
  #current: T
  #queue: Promise<unknown> = Promise.resolve()
  /** Set once a write may or may not be durable; nothing is written after it. */
  #uncertain: SitelinkError | null = null

  private constructor(path: string, format: ConfigFormat<T>, lock: StateLock, current: T) {
    this.path = path
    this.#format = format
    this.#lock = lock
    this.#current = current
  }

  /** Reads the file. Throws `CONFIG_MISSING`, `CONFIG_SYNTAX`, `CONFIG_INVALID`, `CONFIG_TOO_NEW`, `CONFIG_TOO_OLD`. */
  static async open<T extends object>(
    state: StateDirectory,
    lock: StateLock,
    format: ConfigFormat<T>,
  ): Promise<ConfigFile<T>> {
    const path = state.file(format.name)
    return new ConfigFile(path, format, lock, await readConfig(path, format))
  }

  /** Writes the first content, replacing what an interrupted initialisation left. For `StateDirectory.initialise`. */
  static async create<T extends object>(
    state: StateDirectory,
    lock: StateLock,
    format: ConfigFormat<T>,
    first: T,
  ): Promise<ConfigFile<T>> {
    const path = state.file(format.name)
    const current = checked(path, format, plain(first))
    await writeConfig(path, format, current)
    return new ConfigFile(path, format, lock, current)
  }

  /** What the last durable write holds, frozen deeply. */
  get current(): T {
    return this.#current
  }

  /**
   * Replaces the content by what `change` makes of it, which must be a new object. Resolves with the new content once
   * it is durable. Where `change` throws, the validator refuses or the disk is full, nothing has changed. After
   * `STATE_WRITE_UNCERTAIN` every further update throws it again.
   */
  update(change: (current: T) => T): Promise<T> {
    const run = async (): Promise<T> => {
      assert(this.#lock.held, 'a configuration is changed under the lock of its directory')
      if (this.#uncertain !== null) throw this.#uncertain
      const next = checked(this.path, this.#format, plain(change(this.#current)))
      try {
        await writeConfig(this.path, this.#format, next)
      } catch (error) {
        if (daemonErrors.is(error, 'STATE_WRITE_UNCERTAIN')) this.#uncertain = error
        throw error
      }
      this.#current = next
      return next
    }
    const result = this.#queue.then(run)
    this.#queue = result.catch(() => {}) // a failed update does not block the next one
    return result
  }

  /** Replaces the whole content by a text as {@link ConfigFile.toText} gives it. `name` stands in errors for its origin. */
  async applyText(text: string, name: string): Promise<T> {
    const next = parseConfig(name, this.#format, text)
    return this.update(() => next)
  }

  /** The content as it stands in the file. */
  toText(): string {
    return textOf(this.#format, this.#current)
  }
}

/** Reads and validates a configuration without a lock and without changing it, for verbs that only report. */
export async function readConfig<T extends object>(path: string, format: ConfigFormat<T>): Promise<T> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw daemonErrors.create('CONFIG_MISSING', { path }, { cause: error })
    throw systemError(error) ?? error
  }
  return parseConfig(path, format, text)
}

/** Reads a configuration from `text`, which came from `path`. Errors as {@link ConfigFile.open}. */
export function parseConfig<T extends object>(path: string, format: ConfigFormat<T>, text: string): T {
  const parsed = parseJson(text)
  if (parsed.kind === 'invalid') {
    throw daemonErrors.create('CONFIG_SYNTAX', { path, why: parsed.why, line: parsed.line, column: parsed.column })
  }
  if (typeof parsed.value !== 'object' || parsed.value === null || Array.isArray(parsed.value)) {
    throw daemonErrors.create('CONFIG_INVALID', { path, key: 'the whole file', why: 'is not an object' })
  }
  const { version, ...content } = parsed.value as Record<string, unknown>
  if (typeof version !== 'number' || !Number.isSafeInteger(version) || version < 1) {
    throw daemonErrors.create('CONFIG_INVALID', { path, key: 'version', why: 'is not a whole number from 1' })
  }
  const facts = { path, version, versionMin: format.versionMin, versionMax: format.version }
  if (version > format.version) throw daemonErrors.create('CONFIG_TOO_NEW', facts)
  if (version < format.versionMin) throw daemonErrors.create('CONFIG_TOO_OLD', facts)
  return checked(path, format, version === format.version ? content : (format.migrate?.(content, version) ?? content))
}

function checked<T extends object>(path: string, { validate }: ConfigFormat<T>, value: unknown): T {
  try {
    return deepFreeze(validate(value))
  } catch (error) {
    if (!daemonErrors.is(error, 'CONFIG_KEY_INVALID')) throw error
    const { key = null, why = null } = error.facts
    throw daemonErrors.create('CONFIG_INVALID', { ...error.facts, path, key, why }, { cause: error })
  }
}

/** The value as it will be read again: what JSON drops is dropped before it is validated and kept in memory. */
function plain(value: object): unknown {
  return JSON.parse(JSON.stringify(value)) as unknown
}

function textOf<T extends object>(format: ConfigFormat<T>, value: T): string {
  return `${JSON.stringify({ version: format.version, ...value }, null, 2)}\n`
}

function writeConfig<T extends object>(path: string, format: ConfigFormat<T>, value: T): Promise<void> {
  return writeFileAtomic(path, textOf(format, value), format.steps === undefined ? {} : { steps: format.steps })
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const part of Object.values(value)) deepFreeze(part)
  return Object.freeze(value)
}
