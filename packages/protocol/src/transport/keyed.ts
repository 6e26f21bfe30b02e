/**
 * What transports have in common that know both sides by their keys: `tls`, `quic`, `https`.
 *
 * Owns the faces only. Whatever carries the bytes, identities, judgements, enrolment, refusals and revocation are the
 * same, and owners need not know which one it is.
 */
import type { Clock } from '../entry/clock.js'
import type { Judge, ShownPeer, TlsIdentity } from './tls-gate.js'
import type { TlsRefusal } from './tls-waiting-room.js'
import type { Purpose } from './tls-words.js'
import type { Connection, DialOptions, Transport } from './transport.js'

/** Schemes of the transports that know both sides by their keys. */
export const KEYED_SCHEMES: readonly string[] = ['tls', 'quic', 'https']

export interface KeyedOptions {
  readonly clock: Clock
  /** Asked for every connection, so that another identity counts from the next one on. */
  readonly identity: () => TlsIdentity
  readonly judge: Judge
  /** Takes a connection that came to enrol. Absent: none is taken. */
  readonly enrol?: (connection: Connection, peer: ShownPeer) => void
  readonly refused?: (refusal: TlsRefusal) => void
  /** Listening goes on, but something failed: the system could not hand over a connection, a certificate is not renewed. */
  readonly acceptFailed?: (error: Error) => void
}

export interface KeyedTransport extends Transport {
  /** Dials for a purpose; answers who was met as well. */
  dialFor(
    purpose: Purpose,
    address: string,
    options: DialOptions,
  ): Promise<{ readonly connection: Connection; readonly peer: ShownPeer }>
  /** Ends every connection with the key, at once; answers how many there were. */
  endPeer(key: string, why: string): number
  /** Ends every connection. */
  endAll(why: string): number
}
