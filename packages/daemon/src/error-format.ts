/**
 * Errors as a person and as a script read them on stderr.
 *
 * Pure. Whatever was thrown becomes a coded error first; a text never loses its code's hint, and a bug never passes for
 * an operating error.
 */
import { daemonErrors } from './daemon-errors.js'
import { printable } from './error-template.js'
import { SitelinkError } from './errors.js'
import { systemError } from './system-errors.js'

/** Any thrown value as a coded error: errno errors by their errno, everything unknown as `INTERNAL` with its cause. */
export function asSitelinkError(thrown: unknown): SitelinkError {
  if (SitelinkError.is(thrown)) return thrown
  const known = systemError(thrown)
  if (known !== null) return known
  const why = thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown)
  return daemonErrors.create('INTERNAL', { why: printable(why) }, { cause: thrown })
}

/**
 * Two lines for a terminal, with a closing newline; the second only where there is a hint:
 *
 *   sitelink: <what>: <why>
 *     try: <next command>
 *
 * An internal error is followed by its stack, because it is a bug to report.
 */
export function formatError(thrown: unknown, program: string): string {
  const error = asSitelinkError(thrown)
  const { message, hint } = error.toJson(program)
  const stack =
    error.kind === 'internal' && error.cause instanceof Error && error.cause.stack !== undefined
      ? `${error.cause.stack}\n`
      : ''
  return `${program}: ${message}\n${hint === null ? '' : `  try: ${hint}\n`}${stack}`
}

/** One line `{"error":{code,kind,retry,exit,message,hint,facts}}` for `--json`. */
export function formatErrorJson(thrown: unknown, program: string): string {
  return `${JSON.stringify({ error: asSitelinkError(thrown).toJson(program) })}\n`
}
