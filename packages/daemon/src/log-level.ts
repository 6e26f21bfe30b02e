/**
 * Levels of log lines and of operator events, and where the level in force comes from.
 */
import { parseChoice } from './parse-units.js'

/** From all to the gravest. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** The level that `--log-level` asks for, else SITELINK_LOG, else `info`. Throws `UNIT_INVALID`. */
export function chooseLogLevel(
  option: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): LogLevel {
  const word = option ?? env['SITELINK_LOG']
  return word === undefined || word === '' ? 'info' : parseChoice(word, 'log level', LOG_LEVELS)
}
