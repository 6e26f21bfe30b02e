/**
 * TCP sockets, as `tcp.ts` and `tls.ts` both need them: opened towards an address, bound to one, closed without waiting.
 *
 * Owns the options of every socket and the codes of what can go wrong before there is a connection. Nagle's delay is
 * off, because a session writes whole batches. TCP's own keep-alive is on for connections that have no session yet; a
 * session finds dead peers much sooner by its heartbeats. It never reads from a socket.
 */
import { createServer, Socket, type Server, type SocketConstructorOpts } from 'node:net'
import type { Clock } from '../entry/clock.js'
import { ProtocolError, reasonOf } from '../errors.js'
import { CONNECTION_QUEUE_BYTES } from '../limits.js'
import { formatAddress, formatHostPort, type HostAddress } from './address.js'
import { attemptTo, type Attempt } from './attempt.js'
import type { DialOptions, Listener } from './transport.js'

/** Delay of TCP's own keep-alive probes in milliseconds. */
const TCP_KEEP_ALIVE_MS = 30_000

// The types of Node do not name what every stream takes.
const STREAM_OPTIONS = { highWaterMark: CONNECTION_QUEUE_BYTES } as SocketConstructorOpts

/** Watches over a dial with `socket`, from its first step to its last, whatever the steps are. */
export function attempt(socket: Socket, address: string, options: DialOptions, clock: Clock): Attempt {
  return attemptTo(address, options, clock, () => {
    // A name that is still being resolved may report its failure later, to nobody.
    socket.on('error', () => {})
    socket.destroy()
  })
}

/** A socket that is not connected yet. */
export function newSocket(): Socket {
  return new Socket(STREAM_OPTIONS)
}

/** Connects a socket; how it fails is told to `attempt`. */
export function connectSocket(
  socket: Socket,
  { host, port }: HostAddress,
  address: string,
  on: Attempt,
): Promise<void> {
  const connected = new Promise<void>((resolve) => {
    const onError = (error: Error): void => on.fail(dialError(address, error))
    socket.once('error', onError)
    socket.once('connect', () => {
      socket.removeListener('error', onError)
      // Node takes these from the options of a new socket, not from those of its `connect`. Without the first a small
      // message waits for the acknowledgement of what went before it, 40 ms where the peer has nothing to say.
      socket.setNoDelay(true)
      socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS)
      resolve()
    })
    socket.connect({ host, port })
  })
  return Promise.race([connected, on.failed])
}

/** Listens for sockets. `failed`: the system could not hand one over; listening goes on. */
export async function listenSockets(
  parsed: HostAddress,
  address: string,
  accepted: (socket: Socket, peer: string) => void,
  failed: (error: Error) => void,
): Promise<Listener> {
  const server = createServer({
    highWaterMark: CONNECTION_QUEUE_BYTES,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: TCP_KEEP_ALIVE_MS,
  })
  server.on('connection', (socket: Socket) => {
    accepted(socket, formatHostPort(socket.remoteAddress ?? 'unknown', socket.remotePort ?? 0))
  })
  await bind(server, address, parsed)
  server.on('error', failed)
  const bound = server.address() as { readonly address: string; readonly port: number }
  return new NetListener(server, formatAddress({ scheme: parsed.scheme, host: bound.address, port: bound.port }))
}

class NetListener implements Listener {
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

function bind(server: Server, address: string, { host, port }: HostAddress): Promise<void> {
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
