/**
 * What control server and control client agree on: paths, shapes and the lines of a stream.
 *
 *   POST /v1/<verb>   {"json": "body"}     -> 200 {"result": ...}                      a verb that answers once
 *                                          -> 200 {"event": ...}\n ... {"result": ...}\n   a verb that streams
 *                                          -> 4xx or 5xx {"error": {code, kind, retry, exit, message, hint, facts}}
 *   GET  /v1                               -> 200 {"result": {"program", "verbs": [...]}}
 *   GET  /<page>                           -> a text, as /metrics
 *
 * A stream that ends without a `result` or an `error` line was cut. Pure; knows no sockets.
 */
import { type ErrorKind, SitelinkError } from './errors.js'

export const CONTROL_SOCKET = 'control.sock'
export const CONTROL_PREFIX = '/v1'
export const JSON_TYPE = 'application/json'
export const NDJSON_TYPE = 'application/x-ndjson'

/** Names of verbs: lower case words joined by `-` or `.`, as `device.add`. */
export const VERB_NAME = /^[a-z][a-z0-9]*([.-][a-z0-9]+)*$/

/** One line of a stream, and the shape of a single answer (there `event` never occurs). */
export type ControlMessage =
  | { readonly kind: 'event'; readonly event: unknown }
  | { readonly kind: 'result'; readonly result: unknown }
  | { readonly kind: 'error'; readonly error: SitelinkError }

/** The text of a message, without a newline. `undefined` is sent as null. */
export function encodeMessage(message: ControlMessage): string {
  switch (message.kind) {
    case 'event':
      return JSON.stringify({ event: message.event ?? null }, bigintAsText)
    case 'result':
      return JSON.stringify({ result: message.result ?? null }, bigintAsText)
    case 'error':
      return JSON.stringify({ error: message.error.toJson() })
  }
}

/** The message in `text`, or null if it is none. */
export function decodeMessage(text: string): ControlMessage | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof value !== 'object' || value === null) return null
  if ('event' in value) return { kind: 'event', event: value.event }
  if ('result' in value) return { kind: 'result', result: value.result }
  const error = 'error' in value ? SitelinkError.fromJson(value.error) : null
  return error === null ? null : { kind: 'error', error }
}

/** HTTP status of an error, for people with curl; our own client goes by the body alone. */
export function statusOf(error: SitelinkError): number {
  if (error.code === 'CONTROL_UNKNOWN_VERB') return 404
  if (error.code === 'CONTROL_BODY_TOO_LARGE') return 413
  const byKind: Record<ErrorKind, number> = {
    usage: 400,
    config: 400,
    operating: error.retry ? 503 : 409,
    corruption: 500,
    internal: 500,
  }
  return byKind[error.kind]
}

/** LSNs may be larger than a double holds exactly; on the control socket they are decimal strings. */
function bigintAsText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value
}
