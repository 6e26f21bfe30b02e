/**
 * Every transport that knows both sides by their keys, for one owner: one judge, one enrolment, one list of who stands.
 *
 * Owns nothing but the list of them. What is ended is ended over all of them, so that a peer that is revoked has no other
 * way in that stays open.
 */
import { ProtocolError } from '../errors.js'
import { schemeOf } from './address.js'
import { HttpsTransport, type HttpsTransportOptions } from './https.js'
import type { KeyedTransport } from './keyed.js'
import { QuicTransport } from './quic.js'
import type { ShownPeer } from './tls-gate.js'
import type { Purpose } from './tls-words.js'
import { TlsTransport } from './tls.js'
import type { Connection, DialOptions } from './transport.js'

/** See the file's head. */
export class KeyedTransports {
  readonly all: readonly KeyedTransport[]

  constructor(options: HttpsTransportOptions) {
    this.all = [new TlsTransport(options), new QuicTransport(options), new HttpsTransport(options)]
  }

  /** The transport of a scheme, null where there is none such. */
  of(scheme: string): KeyedTransport | null {
    return this.all.find((transport) => transport.scheme === scheme) ?? null
  }

  /** As {@link KeyedTransport.dialFor}, by the scheme of the address. */
  async dialFor(
    purpose: Purpose,
    address: string,
    options: DialOptions,
  ): Promise<{ readonly connection: Connection; readonly peer: ShownPeer }> {
    const scheme = schemeOf(address)
    const transport = this.of(scheme)
    const known = this.all.map((one) => one.scheme).join(', ')
    if (transport === null) throw new ProtocolError('SCHEME_UNKNOWN', { address, scheme, known })
    return transport.dialFor(purpose, address, options)
  }

  endPeer(key: string, why: string): number {
    return this.all.reduce((ended, transport) => ended + transport.endPeer(key, why), 0)
  }

  endAll(why: string): number {
    return this.all.reduce((ended, transport) => ended + transport.endAll(why), 0)
  }
}
