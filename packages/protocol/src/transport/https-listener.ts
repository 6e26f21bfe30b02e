/**
 * A listening WebTransport server over HTTP/2: takes sessions and their first stream.
 *
 * Owns the server, its certificates, and every TCP connection until its session has a stream: strangers hold at most
 * {@link GATES_MAX} of them for at most {@link GATE_MS}. Connections that were handed on live on when it is closed.
 */
import type { Clock } from '../entry/clock.js'
import { ExactReader, type ByteStream } from './byte-stream.js'
import { CreditedStream } from './credited-stream.js'
import { formatHostPort } from './address.js'
import { guardListening, type Http2Guard } from './http2-guard.js'
import type { ProvenLinks } from './proven-links.js'
import type { ShortCertificates } from './short-certificate.js'
import { TlsWaitingRoom } from './tls-waiting-room.js'
import type { Connection } from './transport.js'
import {
  endSession,
  http2ServerOf,
  WINDOWS,
  type WtLibrary,
  type WtServer,
  type WtSession,
} from './webtransport-library.js'
import { WebTransportByteStream } from './webtransport-stream.js'

export const WT_PATH = '/sitelink/1'
export const HASH_BYTES = 32
/** A session has one stream, and the library gives none back. */
const STREAMS_MAX = 1

export interface WebTransportListenerParts {
  readonly library: WtLibrary
  readonly clock: Clock
  readonly certificates: ShortCertificates
  /** What the library makes its tokens of. */
  readonly secret: string
  readonly links: ProvenLinks
  readonly accepted: (connection: Connection) => void
  readonly failed: (error: Error) => void
}

/** See the file's head. */
export class WebTransportListener {
  readonly #parts: WebTransportListenerParts
  readonly #waiting: TlsWaitingRoom
  #guards: ReadonlyMap<string, Http2Guard> = new Map()
  #server: WtServer | null = null
  #closed = false

  constructor(parts: WebTransportListenerParts) {
    this.#parts = parts
    this.#waiting = new TlsWaitingRoom(parts.clock, ({ remote, why }) => parts.links.refuse(remote, why))
  }

  /** Answers where it listens. Rejects where it cannot. */
  async begin(host: string, port: number): Promise<{ readonly host: string; readonly port: number }> {
    const { library, clock, certificates, secret, failed } = this.#parts
    const failedToRenew = (error: unknown): void => failed(error instanceof Error ? error : new Error(String(error)))
    const first = await certificates.begin(
      ({ certificate, key }) => this.#server?.updateCert(certificate, key, true),
      failedToRenew,
    )
    const server = new library.Http2Server({
      host,
      port,
      secret,
      cert: first.certificate,
      privKey: first.key,
      initialBidirectionalStreams: STREAMS_MAX,
      ...WINDOWS,
    })
    this.#server = server
    const sessions = server.sessionStream(WT_PATH)
    server.startServer()
    await Promise.resolve() // it makes what is below in a turn of its own
    const below = http2ServerOf(server)
    if (below === null) throw new Error('the library has no HTTP/2 server that can be guarded')
    this.#guards = guardListening(below, {
      path: WT_PATH,
      clock,
      closed: () => this.#closed,
      // Of one that waits no more its stream says it.
      refused: (remote, why) => this.#waiting.has(remote) && this.#waiting.refuse(remote, null, why),
    })
    below.on('connection', (socket) => {
      const remote = formatHostPort(socket.remoteAddress ?? 'unknown', socket.remotePort ?? 0)
      this.#waiting.enter(remote, remote, () => socket.destroy())
      socket.on('error', () => {}) // what ends it is nobody's concern
      socket.once('close', () => this.#waiting.leave(remote))
    })
    await server.ready
    below.on('error', failed)
    void this.#accept(sessions.getReader() as ReadableStreamDefaultReader<WtSession>)
    return server.address() as { readonly host: string; readonly port: number }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#parts.certificates.close()
    try {
      this.#server?.stopServer()
    } catch {
      // It never listened.
    }
  }

  async #accept(sessions: ReadableStreamDefaultReader<WtSession>): Promise<void> {
    for (;;) {
      const { done, value } = await sessions.read()
      if (done) return
      value.ready.catch(() => {})
      value.closed.catch(() => {})
      const guard = this.#guards.get(remoteOf(value))
      const end = (): void => {
        endSession(value)
        guard?.cut()
      }
      if (guard === undefined) end()
      else void this.#greet(value, guard).catch(end) // it is gone
    }
  }

  async #greet(session: WtSession, guard: Http2Guard): Promise<void> {
    const remote = remoteOf(session)
    const streams = session.incomingBidirectionalStreams.getReader()
    const { done, value } = await streams.read()
    if (done) throw new Error('the session ended without a stream')
    let isPeer = false
    const ended = (): void => (isPeer ? guard.end() : guard.cut())
    const stream = new CreditedStream(new WebTransportByteStream(session, value, ended, () => guard.failure))
    const reader = new ExactReader(stream)
    const hash = (await reader.take(HASH_BYTES))?.toString('hex')
    if (hash === undefined || !this.#parts.certificates.has(hash)) {
      this.#waiting.refuse(remote, null, 'it has met another certificate than that of this side')
      return stream.destroy()
    }
    this.#waiting.leave(remote)
    const channel = { stream: ahead(reader.rest, stream), remote, name: `https ${hash}` }
    await this.#parts.links.received(channel, (connection) => {
      isPeer = true
      this.#parts.accepted(connection)
    })
  }
}

/** The stream, with what was read of it already before the rest. */
export function ahead(bytes: Buffer, stream: ByteStream): ByteStream {
  let first: Buffer | null = bytes.length > 0 ? bytes : null
  return {
    read: async () => {
      const chunk = first
      first = null
      return chunk ?? stream.read()
    },
    write: (chunk) => stream.write(chunk),
    finish: () => stream.finish(),
    destroy: () => stream.destroy(),
  }
}

/** `host:port`, as the library writes it, with brackets around IPv6. */
export function remoteOf({ peerAddress = 'unknown:0' }: WtSession): string {
  const at = peerAddress.lastIndexOf(':')
  return formatHostPort(peerAddress.slice(0, at), Number(peerAddress.slice(at + 1)))
}
