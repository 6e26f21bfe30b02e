/**
 * TCP: the transport for a trusted network or an outer tunnel. Nothing is encrypted, nobody is authenticated.
 *
 * Owns sockets and their translation into the promises of transport.ts, and is the only file with `node:net`. Nagle's
 * delay is off, because a session writes whole batches. TCP's own keep-alive is on for connections that have no session
 * yet; a session finds dead peers much sooner by its heartbeats. Back-pressure is the socket's: {@link CONNECTION_QUEUE_BYTES}
 * each way, and the kernel's buffers.
 */
import { createServer, Socket, type Server, type SocketConstructorOpts } from 'node:net'
import type { Clock } from '../entry/clock.js'
import { ProtocolError, reasonOf } from '../errors.js'
import { CONNECTION_QUEUE_BYTES } from '../limits.js'
import { formatAddress, formatHostPort, parseHostAddress } from './address.js'
import { SocketConnection } from './socket-connection.js'
import type { Connection, DialOptions, Listener, Transport } from './transport.js'

/** Delay of TCP's own keep-alive probes in milliseconds. */
const TCP_KEEP_ALIVE_MS = 30_000

// The types of Node do not name what every stream takes.
const STREAM_OPTIONS = { highWaterMark: CONNECTION_QUEUE_BYTES } as SocketConstructorOpts

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
    const { host, port } = parseHostAddress(address)
    const { timeoutMs, signal } = options
    const aborted = (): ProtocolError => new ProtocolError('DIAL_ABORTED', { address })
    if (signal?.aborted === true) throw aborted()
    const socket = new Socket(STREAM_OPTIONS)
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        timer.cancel()
        signal?.removeEventListener('abort', onAbort)
        socket.removeListener('connect', onConnect)
        socket.removeListener('error', onError)
      }
      const fail = (error: ProtocolError): void => {
        settle()
        // A name that is still being resolved may report its failure later, to nobody.
        socket.on('error', () => {})
        socket.destroy()
        reject(error)
      }
      const onAbort = (): void => fail(aborted())
      const onError = (error: Error): void => fail(dialError(address, error))
      const onConnect = (): void => {
        settle()
        resolve(new SocketConnection(socket, `tcp ${formatHostPort(host, port)}`))
      }
      const timer = this.#clock.after(timeoutMs, () => fail(new ProtocolError('DIAL_TIMEOUT', { address, timeoutMs })))
      signal?.addEventListener('abort', onAbort, { once: true })
      socket.once('connect', onConnect)
      socket.once('error', onError)
      socket.connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS })
    })
  }

  async listen(address: string, accepted: (connection: Connection) => void): Promise<Listener> {
    const { scheme, host, port } = parseHostAddress(address)
    const server = createServer({
      highWaterMark: CONNECTION_QUEUE_BYTES,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
    })
    server.on('connection', (socket: Socket) => {
      const peer = formatHostPort(socket.remoteAddress ?? 'unknown', socket.remotePort ?? 0)
      accepted(new SocketConnection(socket, `tcp ${peer}`))
    })
    await bind(server, address, host, port)
    server.on('error', (error) => this.#acceptFailed(error))
    const bound = server.address() as { readonly address: string; readonly port: number }
    return new TcpListener(server, formatAddress({ scheme, host: bound.address, port: bound.port }))
  }
}

class TcpListener implements Listener {
  readonly #server: Server

  constructor(
    server: Server,
    readonly address: string,
  ) {
    this.#server = server
  }

  /** Frees the port. Connections that were accepted live on; Node's own callback would wait for them. */
  async close(): Promise<void> {
    if (this.#server.listening) this.#server.close()
  }
}

function bind(server: Server, address: string, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: NodeJS.ErrnoException): void => {
      const code = error.code === 'EADDRINUSE' ? 'LISTEN_IN_USE' : 'LISTEN_FAILED'
      reject(new ProtocolError(code, { address, why: reasonOf(error) }, { cause: error }))
    }
    server.once('error', onError)
    server.listen({ host, port }, () => {
      server.removeListener('error', onError)
      resolve()
    })
  })
}

function dialError(address: string, error: NodeJS.ErrnoException): ProtocolError {
  const facts = { address, why: reasonOf(error) }
  switch (error.code) {
    case 'ECONNREFUSED':
      return new ProtocolError('DIAL_REFUSED', facts, { cause: error })
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return new ProtocolError('DIAL_UNKNOWN_HOST', facts, { cause: error })
    default:
      return new ProtocolError('DIAL_FAILED', facts, { cause: error })
  }
}
