/**
 * TCP: the transport for a trusted network or an outer tunnel. Nothing is encrypted, nobody is authenticated.
 *
 * Owns the translation of sockets into the promises of transport.ts; how they are opened and bound is net-sockets.ts.
 * Back-pressure is the socket's: {@link CONNECTION_QUEUE_BYTES} each way, and the kernel's buffers.
 */
import type { Clock } from '../entry/clock.js'
import { ProtocolError } from '../errors.js'
import { formatHostPort, parseHostAddress } from './address.js'
import { attempt, connectSocket, listenSockets, newSocket } from './net-sockets.js'
import { SocketConnection } from './socket-connection.js'
import type { Connection, DialOptions, Listener, Transport } from './transport.js'

export interface TcpTransportOptions {
  readonly clock: Clock
  /** The system could not hand over a connection (out of file descriptors, say); listening goes on. */
  readonly acceptFailed?: (error: Error) => void
}

/** See the file's head. Stateless: one per process is enough. */
export class TcpTransport implements Transport {
  readonly scheme = 'tcp'
  readonly #clock: Clock
  readonly #acceptFailed: (error: Error) => void

  constructor(options: TcpTransportOptions) {
    this.#clock = options.clock
    this.#acceptFailed = options.acceptFailed ?? (() => {})
  }

  async dial(address: string, options: DialOptions): Promise<Connection> {
    const parsed = parseHostAddress(address)
    if (options.signal?.aborted === true) throw new ProtocolError('DIAL_ABORTED', { address })
    const socket = newSocket()
    const under = attempt(socket, address, options, this.#clock)
    await connectSocket(socket, parsed, address, under)
    under.done()
    return new SocketConnection(socket, `tcp ${formatHostPort(parsed.host, parsed.port)}`)
  }

  async listen(address: string, accepted: (connection: Connection) => void): Promise<Listener> {
    return listenSockets(
      parseHostAddress(address),
      address,
      (socket, peer) => accepted(new SocketConnection(socket, `tcp ${peer}`)),
      this.#acceptFailed,
    )
  }
}
