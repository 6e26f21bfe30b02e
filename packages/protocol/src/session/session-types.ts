/**
 * What a session is given and what it calls: its options, its handler and the reasons of its end.
 *
 * Owns shapes only. When each is called, and what a handler may do meanwhile, is the contract of session/session.ts.
 */
import type { ControlMessage } from '../control/messages.js'
import type { Clock } from '../entry/clock.js'
import type { Frame } from '../entry/frame.js'
import type { PayloadPool } from '../entry/payload-memory.js'
import type { CompressionMode } from './compression-policy.js'
import type { KeepAliveTimes } from './keep-alive.js'

/** Why a session ended. `message` is a sentence for the log. */
export interface SessionEnd {
  readonly kind:
    /** The peer said good-bye. */
    | 'peer-bye'
    /** The peer reported a fatal error. */
    | 'peer-error'
    /** Nothing came for the detection time, or no first message. */
    | 'silence'
    /** The connection ended or broke. */
    | 'connection'
    /** The peer, or the wire, broke the protocol: damage, bad messages, frames without credit. */
    | 'protocol'
    /** We ended it. */
    | 'local'
  readonly message: string
  /** Code of the error or refusal that was sent or received, else null. */
  readonly code: string | null
}

/** What a session calls. */
export interface SessionHandler {
  /** A stream frame, checked. `streamCount` counts them from `ready` on, this one included. At the agent only. */
  frame(frame: Frame, streamCount: number): void
  /** A message other than `heartbeat` and `credit`, in its order among the frames. */
  control(message: ControlMessage): void
  /** All frames and messages of what had arrived together have been delivered. Also before an end that the peer caused. */
  batchEnd(): void
  /** There may be room again: the connection drained, or credit came. Ask `writable` and `creditBytes`. */
  writable(): void
  closed(end: SessionEnd): void
}

export interface SessionOptions {
  /** Which side we are. */
  readonly role: 'primary' | 'agent'
  readonly clock: Clock
  readonly handler: SessionHandler
  /** Whether what this side sends is compressed, at the primary; asked for every run. Default `off`. */
  readonly compression?: () => CompressionMode
  /** Until `setKeepAlive` says otherwise. Default: the limits' defaults. */
  readonly keepAlive?: KeepAliveTimes
  /** The peer's first message must come within so many milliseconds. Default `FIRST_MESSAGE_MS_DEFAULT`. */
  readonly firstMessageMs?: number
  /** Where large payloads of the stream find their memory, if whoever takes the frames gives it back. Default: the collector. */
  readonly payloads?: PayloadPool
}
