/**
 * TLS 1.3, both sides known by their keys: the transport for networks that nobody trusts.
 *
 * Owns the TLS side of it: every connection, dialled or accepted, is judged by the key that the TLS handshake has proven
 * before one byte of it reaches anybody (tls-gate.ts); until then it is one of few who may wait, and not for long
 * (tls-waiting-room.ts).
 * Identity and judgement are passed in: this file reads no file and knows no peer. Sockets are net-sockets.ts, as for TCP.
 */
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'
import { ProtocolError, reasonOf } from '../errors.js'
import { formatHostPort, parseHostAddress } from './address.js'
import type { KeyedOptions, KeyedTransport } from './keyed.js'
import { attempt, connectSocket, listenSockets, newSocket } from './net-sockets.js'
import { SocketConnection } from './socket-connection.js'
import { StandingConnections } from './standing.js'
import { hearVerdict, passAsDialler, sayVerdict, shownBy, TLS_OPTIONS, type ShownPeer } from './tls-gate.js'
import { encodeVerdict, isPlain, PURPOSES, TLS_ALERT, whyRefused, type Purpose } from './tls-words.js'
import { TlsWaitingRoom } from './tls-waiting-room.js'
import type { Connection, DialOptions, Listener } from './transport.js'

export type TlsTransportOptions = KeyedOptions

/** See the file's head. */
export class TlsTransport implements KeyedTransport {
  readonly scheme = 'tls'
  readonly #options: TlsTransportOptions
  readonly #standing = new StandingConnections()
  /** Those who are not through the gate yet. */
  readonly #waiting: TlsWaitingRoom
  /** Whose TLS handshake is under way, by its remote end. */
  readonly #sockets = new Map<string, Socket>()

  constructor(options: TlsTransportOptions) {
    this.#options = options
    this.#waiting = new TlsWaitingRoom(options.clock, options.refused ?? (() => {}))
  }

  async dial(address: string, options: DialOptions): Promise<Connection> {
    return (await this.dialFor('session', address, options)).connection
  }

  /** Dials for a purpose; answers who was met as well. */
  async dialFor(
    purpose: Purpose,
    address: string,
    options: DialOptions,
  ): Promise<{ readonly connection: Connection; readonly peer: ShownPeer }> {
    const parsed = parseHostAddress(address)
    if (options.signal?.aborted === true) throw new ProtocolError('DIAL_ABORTED', { address })
    const { identity, judge, clock } = this.#options
    const remote = formatHostPort(parsed.host, parsed.port)
    const socket = newSocket()
    const under = attempt(socket, address, options, clock)
    await connectSocket(socket, parsed, address, under)
    let connection: Connection | null = null
    const description = `tls ${remote}`
    const known = (shown: TLSSocket, { keys }: ShownPeer): void => {
      // Until the verdict is there it is a stream that can only be ended.
      const destroy = (why?: Error): void => void (connection ?? shown).destroy(why)
      shown.once('close', this.#standing.add({ description, destroy }, keys))
    }
    const parts = { identity: identity(), purpose, judge, remote, known }
    const { stream, peer } = await passAsDialler(socket, address, under, parts)
    connection = new SocketConnection(stream, description)
    return { connection, peer }
  }

  /** As {@link Transport.listen}; says who came as well. */
  async listen(address: string, accepted: (connection: Connection, peer: ShownPeer) => void): Promise<Listener> {
    const tls = this.#tlsServer(accepted)
    return listenSockets(
      parseHostAddress(address),
      address,
      (socket, remote) => this.#wait(socket, remote, tls),
      this.#options.acceptFailed ?? (() => {}),
    )
  }

  /** Ends every connection with the key, at once; answers how many there were. */
  endPeer(key: string, why: string): number {
    return this.#standing.endPeer(key, why)
  }

  /** Ends every connection. */
  endAll(why: string): number {
    return this.#standing.endAll(why)
  }

  #admit(stream: TLSSocket, peer: ShownPeer): Connection {
    const connection = new SocketConnection(stream, `tls ${peer.remote}`)
    stream.once('close', this.#standing.add(connection, peer.keys))
    return connection
  }

  /** A server that never listens: it answers the handshakes of the sockets that are handed to it. */
  #tlsServer(accepted: (connection: Connection, peer: ShownPeer) => void): { take(socket: Socket): void } {
    const { enrol } = this.#options
    const purposes = enrol === undefined ? [PURPOSES.session] : [PURPOSES.session, PURPOSES.enrol]
    let used = this.#options.identity()
    const server: Server = createServer({
      ...TLS_OPTIONS,
      key: used.key,
      cert: used.certificates,
      requestCert: true,
      ALPNProtocols: purposes,
    })
    server.on('secureConnection', (stream: TLSSocket) => void this.#judge(stream, accepted))
    server.on('tlsClientError', (error: NodeJS.ErrnoException, stream: TLSSocket) => this.#failed(error, stream))
    return {
      take: (socket) => {
        const identity = this.#options.identity()
        if (identity !== used)
          server.setSecureContext({ key: identity.key, cert: identity.certificates, minVersion: 'TLSv1.3' })
        used = identity
        server.emit('connection', socket)
      },
    }
  }

  /** A socket stands at the gate until it is judged, is cut off, or ends. */
  #wait(socket: Socket, remote: string, tls: { take(socket: Socket): void }): void {
    this.#waiting.enter(remote, remote, () => socket.destroy())
    this.#sockets.set(remote, socket)
    socket.on('error', () => {}) // what ends it is said by the TLS stream, or is nobody's concern
    socket.once('close', () => {
      // Who comes and goes without a word is nobody's concern, and who has shown who it is came through.
      const inHandshake = this.#sockets.delete(remote) && this.#waiting.has(remote)
      if (inHandshake && socket.bytesRead > 0) this.#waiting.tell(remote, null, whyRefused('ECONNRESET'))
      this.#waiting.leave(remote)
    })
    // Untouched: whoever reads a byte of it before leaves TLS with a first buffer of 1 KiB, and so with short reads for good.
    tls.take(socket)
  }

  /** A handshake came to nothing. Its socket takes one more write before it is closed. */
  #failed({ code }: NodeJS.ErrnoException, stream: TLSSocket): void {
    const remote = remoteOf(stream)
    if (!this.#waiting.has(remote)) return
    if (!isPlain(code)) return this.#waiting.refuse(remote, null, whyRefused(code))
    this.#sockets.get(remote)?.write(TLS_ALERT)
    this.#waiting.tell(remote, null, 'it speaks no TLS, and this address takes nothing else')
  }

  async #judge(stream: TLSSocket, accepted: (connection: Connection, peer: ShownPeer) => void): Promise<void> {
    const remote = remoteOf(stream)
    this.#sockets.delete(remote)
    const onError = (): void => {}
    stream.on('error', onError)
    const peer = shownBy(stream, remote)
    if (peer === null) return this.#waiting.refuse(remote, null, 'it names no protocol of Sitelink')
    const { enrol } = this.#options
    const judgement =
      peer.purpose === 'enrol'
        ? ({ kind: 'known' } as const)
        : await this.#options
            .judge(peer)
            .catch((error: unknown) => ({ kind: 'refused', verdict: 'failed', why: reasonOf(error) }) as const)
    if (!this.#waiting.has(remote) || stream.destroyed) return
    if (judgement.kind === 'refused') {
      stream.end(encodeVerdict(judgement.verdict))
      stream.resume()
      return this.#waiting.tell(remote, peer.keys[0] ?? null, judgement.why)
    }
    stream.removeListener('error', onError)
    // It stands from here on: a peer that is revoked in the next moment is ended as well.
    const connection = this.#admit(stream, peer)
    // Handed on only once both have said so: whoever gets it may end it at once, and the dial would never know why.
    const out = await sayVerdict(stream, 'admitted')
    const verdict = out ? await hearVerdict(stream) : null
    if (!this.#waiting.has(remote) || stream.destroyed) return connection.destroy()
    if (verdict !== 'admitted') {
      return this.#waiting.refuse(
        remote,
        peer.keys[0] ?? null,
        'it refuses the identity of this side, or speaks no protocol of Sitelink',
      )
    }
    if (peer.purpose === 'session') {
      this.#waiting.leave(remote)
      accepted(connection, peer)
    } else enrol?.(connection, peer)
  }
}

function remoteOf(stream: TLSSocket): string {
  return formatHostPort(stream.remoteAddress ?? 'unknown', stream.remotePort ?? 0)
}
