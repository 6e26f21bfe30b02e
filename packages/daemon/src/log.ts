/**
 * Structured log lines on stderr, over pino.
 *
 * One JSON object a line, or one readable line where stderr is a terminal. Keys have one meaning everywhere: `slink`,
 * `device`, `lsn`, `epoch`, `error`. Never blocks the process on a slow reader of stderr: past a limit lines are dropped.
 * What is logged as fatal, and what is pending at a flush, is written before the call returns.
 */
import { createRequire } from 'node:module'
import { isatty } from 'node:tty'
import type { DestinationStream, Logger, pino as Pino } from 'pino'
import { SitelinkError } from './errors.js'
import { LOG_BACKLOG_BYTES_MAX } from './limits.js'
import type { LogLevel } from './log-level.js'
import { prettyLine } from './pretty-line.js'

/** Facts of a log line. The named keys have these types everywhere; others are free, units in their names. */
export interface LogFacts {
  readonly slink?: number
  readonly device?: number | string
  readonly lsn?: bigint | number | string
  readonly epoch?: number | bigint | string
  /** Anything that was thrown. */
  readonly error?: unknown
  readonly [key: string]: unknown
}

/** A logger; the message is a sentence without its facts. */
export interface Log {
  readonly level: LogLevel
  trace(message: string, facts?: LogFacts): void
  debug(message: string, facts?: LogFacts): void
  info(message: string, facts?: LogFacts): void
  warn(message: string, facts?: LogFacts): void
  error(message: string, facts?: LogFacts): void
  fatal(message: string, facts?: LogFacts): void
  /** The line with a level that is computed. */
  write(level: LogLevel, message: string, facts?: LogFacts): void
  /** A logger whose every line has `facts` too. */
  child(facts: LogFacts): Log
  /** Writes out what is pending, without returning before. */
  flush(): void
}

export interface LogOptions {
  /** Program, in every line as `name`. */
  readonly name: string
  readonly level: LogLevel
  /** Readable lines instead of JSON. Unless told: where the destination is a terminal. */
  readonly pretty?: boolean
  /** Takes each line, closed, instead of stderr. */
  readonly sink?: (line: string) => void
}

const STDERR_FD = 2

/** Loaded by the first that logs: a verb that only asks the daemon starts without it. */
let loaded: typeof Pino | undefined
const pino = (): typeof Pino => (loaded ??= createRequire(import.meta.url)('pino') as typeof Pino)

/** The root logger of a process. */
export function createLog(options: LogOptions): Log {
  const pretty = options.pretty ?? (options.sink === undefined && isatty(STDERR_FD))
  const destination = options.sink === undefined ? stderrDestination() : null
  const writeOut = options.sink ?? ((line: string) => void destination?.write(line))
  const stream = { write: (line: string) => writeOut(pretty ? prettyLine(line) : line) }
  const logger = pino()(
    {
      level: options.level,
      base: { name: options.name, pid: process.pid },
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { error: errorFacts },
    },
    stream,
  )
  return new PinoLog(logger, () => destination?.flushSync())
}

/** A logger that drops everything, for tests and for commands. */
export function silentLog(): Log {
  return createLog({ name: 'silent', level: 'fatal', sink: () => {} })
}

class PinoLog implements Log {
  readonly #logger: Logger
  readonly #flush: () => void

  constructor(logger: Logger, flush: () => void) {
    this.#logger = logger
    this.#flush = flush
  }

  get level(): LogLevel {
    return this.#logger.level as LogLevel
  }

  trace(message: string, facts: LogFacts = {}): void {
    this.#logger.trace(facts, message)
  }

  debug(message: string, facts: LogFacts = {}): void {
    this.#logger.debug(facts, message)
  }

  info(message: string, facts: LogFacts = {}): void {
    this.#logger.info(facts, message)
  }

  warn(message: string, facts: LogFacts = {}): void {
    this.#logger.warn(facts, message)
  }

  error(message: string, facts: LogFacts = {}): void {
    this.#logger.error(facts, message)
  }

  fatal(message: string, facts: LogFacts = {}): void {
    this.#logger.fatal(facts, message)
    this.#flush()
  }

  write(level: LogLevel, message: string, facts: LogFacts = {}): void {
    this[level](message, facts)
  }

  child(facts: LogFacts): Log {
    return new PinoLog(this.#logger.child(facts), this.#flush)
  }

  flush(): void {
    this.#flush()
  }
}

/** Asynchronous and bounded; a reader of stderr that went away must not end the daemon. */
function stderrDestination(): DestinationStream & { flushSync(): void } {
  const destination = pino().destination({ fd: STDERR_FD, sync: false, maxLength: LOG_BACKLOG_BYTES_MAX })
  destination.on('error', () => {})
  return {
    write: (line) => void destination.write(line),
    flushSync: () => {
      try {
        destination.flushSync()
      } catch {
        // stderr is gone; nobody is left to be told
      }
    },
  }
}

/** An error as facts: a coded one without its stack, because its code says where it is from. */
export function errorFacts(thrown: unknown): unknown {
  if (SitelinkError.is(thrown)) {
    const { code, retry, message, facts } = thrown.toJson()
    return { code, message, retry, facts, ...(thrown.cause === undefined ? {} : { cause: errorFacts(thrown.cause) }) }
  }
  if (!(thrown instanceof Error)) return String(thrown)
  const { code } = thrown as NodeJS.ErrnoException
  const cause = thrown.cause === undefined ? {} : { cause: errorFacts(thrown.cause) }
  return {
    type: thrown.name,
    message: thrown.message,
    ...(code === undefined ? {} : { code }),
    stack: thrown.stack,
    ...cause,
  }
}
