/**
 * A listening WebTransport server over HTTP/3, on the UDP port of the same number as that of TCP: takes sessions and their
 * first stream, as over HTTP/2 (https-listener.ts).
 *
 * Owns the server. The library has one UDP socket for a server and all its connections, so that one that is closed turns
 * everybody away and lives until the last of them is over. It cannot be given another certificate either: when that
 * changes, its sessions are ended and it begins anew, at which links resume. Whatever happens here, nothing is thrown
 * where HTTP/2 could suffer from it; {@link Http3Listener.problem} says what is wrong.
 */
import type { Clock } from '../entry/clock.js'
import { reasonOf } from '../errors.js'
import { ExactReader } from './byte-stream.js'
import { CreditedStream } from './credited-stream.js'
import { ahead, HASH_BYTES, remoteOf, WT_PATH } from './https-listener.js'
import type { Http3Library } from './http3-library.js'
import type { ProvenLinks } from './proven-links.js'
import { resolveHost } from './resolve-host.js'
import type { ShortCertificate, ShortCertificates } from './short-certificate.js'
import { TlsWaitingRoom } from './tls-waiting-room.js'
import type { Connection } from './transport.js'
import { endSession, WINDOWS, type WtServer, type WtSession } from './webtransport-library.js'
import { WebTransportByteStream } from './webtransport-stream.js'

/** The library may never say that a server cannot listen. */
export const HTTP3_LISTEN_MS = 5000
/** Sessions have so long to hear that they are over. */
const HTTP3_LEAVE_MS = 1000
/** One that could not begin anew is tried again so much later. */
export const HTTP3_AGAIN_MS = 60_000

export interface Http3ListenerParts {
  readonly library: Http3Library
  readonly clock: Clock
  /** They have begun already. */
  readonly certificates: ShortCertificates
  readonly secret: string
  readonly links: ProvenLinks
  readonly accepted: (connection: Connection) => void
  readonly failed: (error: Error) => void
}

/** See the file's head. */
export class Http3Listener {
  readonly #parts: Http3ListenerParts
  readonly #waiting: TlsWaitingRoom
  readonly #sessions = new Set<WtSession>()
  #place: { readonly ip: string; readonly port: number } | null = null
  #server: WtServer | null = null
  #problem: string | null = null
  #closing = false
  #count = 0

  constructor(parts: Http3ListenerParts) {
    this.#parts = parts
    this.#waiting = new TlsWaitingRoom(parts.clock, ({ remote, why }) => parts.links.refuse(remote, why))
  }

  /** Why nobody is taken at present, as a sentence without a full stop; null: somebody is. */
  get problem(): string | null {
    return this.#problem
  }

  /** Rejects where it cannot listen. */
  async begin(host: string, port: number): Promise<void> {
    const { certificates } = this.#parts
    // Whoever listens on all addresses takes HTTP/3 on those of IPv4: no other is dialled.
    const scheme = 'https'
    const found = host === '::' ? [] : await resolveHost({ scheme, host, port }, host)
    const ip = host === '::' ? '0.0.0.0' : found.find(({ family }) => family === 4)?.ip
    if (ip === undefined) throw new Error(`${host} has no IPv4 address, and HTTP/3 goes over no other`)
    this.#place = { ip, port }
    await this.#start(certificates.current as ShortCertificate)
    certificates.watch((next) => void this.#renew(next))
  }

  /** Turns everybody away; connections that stand live on, and hold the port until the last of them is over. */
  async close(): Promise<void> {
    this.#closing = true
    if (this.#sessions.size === 0) this.#stop()
  }

  async #start({ certificate, key }: ShortCertificate): Promise<void> {
    const { library, clock, secret } = this.#parts
    const { ip, port } = this.#place as { readonly ip: string; readonly port: number }
    const server = new library.Http3Server({
      host: ip,
      port,
      secret,
      cert: certificate,
      privKey: key,
      initialBidirectionalStreams: 1,
      // The library would share the port with whoever else does.
      quicheNodeSocketOptions: { type: 'udp4', reuseAddr: false },
      ...WINDOWS,
    })
    this.#server = server
    let late!: () => void
    const tooLate = new Promise<never>((_resolve, reject) => {
      late = () => reject(new Error(`the library did not say within ${HTTP3_LISTEN_MS} ms that it listens`))
    })
    const timer = clock.after(HTTP3_LISTEN_MS, () => late())
    try {
      const sessions = server.sessionStream(WT_PATH)
      server.startServer()
      await Promise.race([server.ready, tooLate])
      this.#problem = null
      void this.#accept(sessions.getReader() as ReadableStreamDefaultReader<WtSession>).catch(() => {}) // it was stopped
    } catch (error) {
      server.ready.catch(() => {})
      this.#stop()
      throw error
    } finally {
      timer.cancel()
    }
  }

  #stop(): void {
    const server = this.#server
    this.#server = null
    try {
      server?.stopServer()
    } catch {
      // It never listened.
    }
  }

  async #renew(next: ShortCertificate): Promise<void> {
    if (this.#closing) return
    await this.#endSessions()
    this.#stop()
    try {
      await this.#start(next)
      if (this.#closing && this.#sessions.size === 0) this.#stop()
    } catch (error) {
      this.#problem = `it cannot begin anew with its next certificate: ${reasonOf(error)}`
      this.#parts.failed(new Error(`HTTP/3: ${this.#problem}`))
      this.#parts.clock.after(HTTP3_AGAIN_MS, () => void this.#renew(this.#parts.certificates.current ?? next))
    }
  }

  /** They are told so, which takes the library a moment. */
  async #endSessions(): Promise<void> {
    const ended = [...this.#sessions].map((session) => {
      endSession(session)
      return session.closed.catch(() => {})
    })
    let late = (): void => {}
    const tooLate = new Promise<void>((resolve) => (late = resolve))
    const timer = this.#parts.clock.after(HTTP3_LEAVE_MS, () => late())
    await Promise.race([Promise.all(ended), tooLate])
    timer.cancel()
    this.#sessions.clear()
  }

  async #accept(sessions: ReadableStreamDefaultReader<WtSession>): Promise<void> {
    for (;;) {
      const { done, value } = await sessions.read()
      if (done) return
      value.ready.catch(() => {})
      const gone = (): void => this.#gone(value)
      value.closed.then(gone, gone)
      if (this.#closing) endSession(value)
      else {
        this.#sessions.add(value)
        void this.#greet(value).catch(() => endSession(value)) // it is gone
      }
    }
  }

  #gone(session: WtSession): void {
    this.#sessions.delete(session)
    if (this.#closing && this.#sessions.size === 0) this.#stop()
  }

  async #greet(session: WtSession): Promise<void> {
    const remote = remoteOf(session)
    const name = `${(this.#count += 1)} ${remote}`
    this.#waiting.enter(name, remote, () => endSession(session))
    const leave = (): void => this.#waiting.leave(name)
    session.closed.then(leave, leave)
    const streams = session.incomingBidirectionalStreams.getReader()
    const { done, value } = await streams.read()
    if (done) return endSession(session)
    const stream = new CreditedStream(new WebTransportByteStream(session, value, () => this.#gone(session)))
    const reader = new ExactReader(stream)
    const hash = (await reader.take(HASH_BYTES))?.toString('hex')
    if (!this.#waiting.has(name)) return stream.destroy()
    if (hash === undefined || !this.#parts.certificates.has(hash)) {
      this.#waiting.refuse(name, null, 'it has met another certificate than that of this side')
      return stream.destroy()
    }
    leave()
    const channel = { stream: ahead(reader.rest, stream), remote, name: `http3 ${hash}` }
    await this.#parts.links.received(channel, this.#parts.accepted)
  }
}
