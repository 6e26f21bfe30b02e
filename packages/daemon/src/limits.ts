/**
 * Limits of the daemon's own machinery, each with its unit last and its reason. Relations are asserted here, once.
 */
import assert from 'node:assert/strict'

/** `sun_path` of Linux holds 108 bytes with the closing zero; libuv cuts a longer path silently instead of refusing it. */
export const SOCKET_PATH_BYTES_MAX = 107

/** Largest body of a control request. A whole configuration of 2048 slinks is applied in one request and fits. */
export const CONTROL_BODY_BYTES_MAX = 8 * 1024 * 1024

/** Largest answer, or line of a stream, that a client takes: bounds a client against a daemon gone mad. */
export const CONTROL_REPLY_BYTES_MAX = 64 * 1024 * 1024

/** Requests served at the same time, streams included; one more is answered `CONTROL_BUSY` at once. */
export const CONTROL_REQUESTS_MAX = 64

/** Connections beyond this are dropped unanswered; the surplus over the requests leaves room to say `CONTROL_BUSY`. */
export const CONTROL_CONNECTIONS_MAX = CONTROL_REQUESTS_MAX + 16

/** A client on the same host sends its headers at once; a slower one is stuck and gives its place to another. */
export const CONTROL_HEADERS_MS_MAX = 5_000

/** The same for the whole of a request with its body. Does not limit how long the answer takes. */
export const CONTROL_REQUEST_MS_MAX = 30_000

/** How long a command waits for a holder of the state directory that does not answer (yet). */
export const DAEMON_WAIT_MS = 5_000

/** Pause between two looks while a command waits for the daemon. */
export const DAEMON_POLL_MS = 100

/** Operator events that a daemon remembers; at about 300 bytes each some 600 KiB. */
export const EVENTS_COUNT_MAX = 2_000

/** Time that a service has to start or to stop unless it asks for more. */
export const SERVICE_START_MS_MAX = 60_000
export const SERVICE_STOP_MS_MAX = 60_000

/** Log text that may wait for a slow reader of stderr; past it lines are dropped and counted. */
export const LOG_BACKLOG_BYTES_MAX = 1024 * 1024

assert(CONTROL_CONNECTIONS_MAX > CONTROL_REQUESTS_MAX, 'a busy server can still say that it is busy')
assert(CONTROL_HEADERS_MS_MAX <= CONTROL_REQUEST_MS_MAX, 'headers arrive before the whole request')
assert(CONTROL_BODY_BYTES_MAX <= CONTROL_REPLY_BYTES_MAX, 'what was applied can be exported again')
