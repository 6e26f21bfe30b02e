/**
 * What a server tells its program: events as they happen, and a report of its connections.
 *
 * Only shapes. The program decides what is logged and how loud.
 */
import type { WaitReason } from './admission.js'

export type NbdEvent =
  /** A client has finished its negotiation. */
  | { readonly kind: 'connected'; readonly client: string; readonly export: string; readonly structured: boolean }
  /** A client looked around, and left during its negotiation as the protocol has it. */
  | { readonly kind: 'left'; readonly client: string }
  /** A client did not get as far; `reason` is a sentence. */
  | { readonly kind: 'refused'; readonly client: string; readonly reason: string }
  /** A client that was connected has gone, and its last request is answered. */
  | {
      readonly kind: 'disconnected'
      readonly client: string
      readonly export: string
      readonly reason: string
      readonly requestCount: number
      readonly readBytes: number
      readonly writtenBytes: number
    }
  /** A listening socket failed after it was open. */
  | { readonly kind: 'listener-failed'; readonly address: string; readonly error: Error }

export interface ConnectionReport {
  readonly client: string
  readonly phase: 'handshake' | 'transmission' | 'closing'
  /** Null during the handshake. */
  readonly export: string | null
  readonly requestsInFlight: number
  /** Payload bytes held for this connection. */
  readonly payloadBytes: number
  /** Reply bytes reserved or not yet sent. */
  readonly replyBytes: number
  /** Why its next request has to wait; null: it does not. */
  readonly waiting: WaitReason | null
  /** Requests answered so far. */
  readonly requestCount: number
  /** Bytes read from and written to the export so far. */
  readonly readBytes: number
  readonly writtenBytes: number
}
