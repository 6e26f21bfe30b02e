/**
 * Transports by scheme: dials and listens at any address whose scheme is registered.
 *
 * Owns the list of one process, nothing else. It is a {@link Transport}-like face, so that owners take addresses from
 * the configuration without knowing what carries them.
 */
import { assert } from '../entry/assert.js'
import { ProtocolError } from '../errors.js'
import { schemeOf } from './address.js'
import type { Connection, DialOptions, Listener, Transport } from './transport.js'

/** See the file's head. */
export class TransportRegistry {
  readonly #transports = new Map<string, Transport>()

  constructor(transports: readonly Transport[] = []) {
    for (const transport of transports) this.add(transport)
  }

  /** Registers a transport; its scheme must be new. */
  add(transport: Transport): void {
    assert(!this.#transports.has(transport.scheme), 'a scheme is registered once')
    this.#transports.set(transport.scheme, transport)
  }

  /** Schemes that are known, sorted. */
  get schemes(): readonly string[] {
    return [...this.#transports.keys()].toSorted()
  }

  /** The transport of `address`; throws `ADDRESS_INVALID` or `SCHEME_UNKNOWN`. */
  of(address: string): Transport {
    const scheme = schemeOf(address)
    const transport = this.#transports.get(scheme)
    if (transport === undefined) {
      throw new ProtocolError('SCHEME_UNKNOWN', { address, scheme, known: this.schemes.join(', ') || 'none' })
    }
    return transport
  }

  /** As {@link Transport.dial}. */
  async dial(address: string, options: DialOptions): Promise<Connection> {
    return this.of(address).dial(address, options)
  }

  /** As {@link Transport.listen}. */
  async listen(address: string, accepted: (connection: Connection) => void): Promise<Listener> {
    return this.of(address).listen(address, accepted)
  }
}
