/**
 * A listening QUIC endpoint: takes connections and their first stream, and gives the port back when nobody needs it.
 *
 * Owns the native server. The library has one UDP socket for a listener and all its connections, and closing the one ends
 * the others: a listener that is closed turns everybody away, and lives until the last of its connections is over. Takes
 * {@link GATES_MAX} handshakes at a time; strangers hold one each for at most the idle time. Connections without a stream
 * are counted and bounded in time as those are that have one (tls-waiting-room.ts).
 */
import type { Clock } from '../entry/clock.js'
import { reasonOf } from '../errors.js'
import { formatHostPort } from './address.js'
import { quicPeer } from './quic-key.js'
import type { QuicConnection, QuicServer, QuicStream } from './quic-native.js'
import { GATES_MAX, TlsWaitingRoom } from './tls-waiting-room.js'
import type { Listener } from './transport.js'

export interface QuicListenerParts {
  /** A connection with its stream; `ended` is to be called when it is over. */
  readonly take: (connection: QuicConnection, stream: QuicStream, ended: () => void) => void
  /** Somebody did not get as far. */
  readonly refused: (remote: string, why: string) => void
  readonly clock: Clock
}

/** See the file's head. */
export class QuicListener implements Listener {
  readonly #server: QuicServer
  readonly #parts: QuicListenerParts
  readonly #waiting: TlsWaitingRoom
  #came = 0
  #connections = 0
  #closing = false
  #gone: Promise<void> | null = null

  constructor(
    server: QuicServer,
    readonly address: string,
    parts: QuicListenerParts,
  ) {
    this.#server = server
    this.#parts = parts
    this.#waiting = new TlsWaitingRoom(parts.clock, ({ remote, why }) => parts.refused(remote, why))
    for (let count = 0; count < GATES_MAX; count++) void this.#accept()
  }

  async close(): Promise<void> {
    this.#closing = true
    if (this.#connections === 0) await this.#end()
  }

  #end(): Promise<void> {
    this.#gone ??= this.#server.abort()
    return this.#gone
  }

  async #accept(): Promise<void> {
    while (this.#gone === null) {
      try {
        const connection = await this.#server.inboundConnection()
        if (this.#closing) connection.abort()
        else void this.#greet(connection)
      } catch (error) {
        if (this.#gone !== null) return
        const why = reasonOf(error)
        if (why === 'server closed') return
        if (!this.#closing) this.#parts.refused('unknown', `its QUIC handshake is not valid (${why})`)
      }
    }
  }

  /** Its stream is there with the first bytes on it, or it has to leave. */
  async #greet(connection: QuicConnection): Promise<void> {
    const peer = quicPeer(connection.remoteMultiaddr())
    const remote = peer === null ? 'unknown' : formatHostPort(peer.host, peer.port)
    this.#connections += 1
    const name = `${(this.#came += 1)} ${remote}`
    this.#waiting.enter(name, remote, () => connection.abort())
    try {
      const stream = await connection.inboundStream()
      this.#waiting.leave(name)
      this.#parts.take(connection, stream, () => this.#left())
    } catch {
      if (this.#waiting.has(name)) this.#waiting.refuse(name, null, 'it ended the connection before it said anything')
      this.#left()
    }
  }

  #left(): void {
    this.#connections -= 1
    if (this.#closing && this.#connections === 0) void this.#end()
  }
}
