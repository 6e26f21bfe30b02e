/**
 * A stand-in for the library of HTTP/3, whose native part is fetched from a code host: the same interface, and the same
 * faults, as far as ours has to live with them.
 *
 * Owns a network within this process, whose servers hold real UDP ports. Sessions have no back-pressure; a stopped server
 * takes all its sessions with it; a certificate cannot be changed; and a client that is given anything but an IPv4 address,
 * or that is ended before it is ready, is a bug of ours that ends the process with the real one: it is kept in `fatal`.
 */
import { X509Certificate } from 'node:crypto'
import { createSocket, type Socket } from 'node:dgram'
import { isIPv4 } from 'node:net'
import { ReadableStream, WritableStream } from 'node:stream/web'
import type { Http3Library } from '../../src/index.js'
import { hashOf, type WtSession, type WtStream } from '../../src/transport/webtransport-library.js'

export interface FakeHttp3 {
  readonly library: Http3Library
  /** What would have ended the process. */
  readonly fatal: string[]
  /** How many sessions were asked for. */
  dials: number
  /** Servers never say that they listen, as where the native part is missing. */
  mute: boolean
  /** Packets of clients are lost. */
  lossy: boolean
  /** Clients take HTTP/2 without a word. */
  stepsAside: boolean
  /** Sessions open, and nothing that is written on them comes through. */
  swallows: boolean
}

interface Half {
  readonly stream: WtStream
  /** Bytes for this half. */
  push(bytes: Uint8Array): void
  end(): void
}

type ServerOptions = {
  readonly host: string
  readonly port: number
  readonly cert: string
  readonly quicheNodeSocketOptions?: object
}
type ClientOptions = {
  readonly serverCertificateHashes: readonly { readonly value: Buffer }[]
  readonly quicConnectTimeout: number
  readonly requireUnreliable?: boolean
}

export function fakeHttp3(): FakeHttp3 {
  const servers = new Map<number, Server>()
  const world: Omit<FakeHttp3, 'library'> & { library: Http3Library | null } = {
    library: null,
    fatal: [],
    dials: 0,
    mute: false,
    lossy: false,
    stepsAside: false,
    swallows: false,
  }

  class Session implements WtSession {
    readonly ready: Promise<unknown>
    readonly closed: Promise<unknown>
    readonly incomingBidirectionalStreams: ReadableStream<WtStream>
    reliability = 'pending'
    peer: Session | null = null
    #incoming!: ReadableStreamDefaultController<WtStream>
    #halves: Half[] = []
    #isReady = false
    #over = false
    protected resolveReady!: () => void
    protected rejectReady!: (error: Error) => void
    #resolveClosed!: () => void

    constructor(readonly peerAddress: string) {
      this.ready = new Promise<void>((resolve, reject) => {
        this.resolveReady = resolve
        this.rejectReady = reject
      })
      this.ready.catch(() => {})
      this.closed = new Promise<void>((resolve) => (this.#resolveClosed = resolve))
      this.incomingBidirectionalStreams = new ReadableStream<WtStream>({
        start: (controller) => void (this.#incoming = controller),
      })
    }

    become(peer: Session, reliability: string): void {
      this.peer = peer
      this.reliability = reliability
      this.#isReady = true
      this.resolveReady()
    }

    async createBidirectionalStream(): Promise<WtStream> {
      const far = this.peer as Session
      const [near, other] = pair(() => world.swallows)
      this.#halves.push(near)
      far.#halves.push(other)
      far.#incoming.enqueue(other.stream)
      return near.stream
    }

    close(): void {
      if (!this.#isReady) world.fatal.push('a session was ended before it was ready')
      this.over()
      this.peer?.over()
    }

    over(): void {
      if (this.#over) return
      this.#over = true
      for (const half of this.#halves) half.end()
      this.#incoming.close()
      this.#resolveClosed()
    }
  }

  class Client extends Session {
    constructor(url: string, { serverCertificateHashes, quicConnectTimeout, requireUnreliable }: ClientOptions) {
      const { hostname, port } = new URL(url)
      super(`${hostname}:${port}`)
      world.dials += 1
      if (!isIPv4(hostname)) world.fatal.push(`a client was given ${hostname}`)
      if (requireUnreliable !== true) world.fatal.push('a client may take HTTP/2')
      setImmediate(() => {
        const server = world.lossy ? undefined : servers.get(Number(port))
        if (server === undefined)
          return void setTimeout(() => this.rejectReady(new Error('Opening handshake failed.')), quicConnectTimeout)
        if (serverCertificateHashes[0]?.value.toString('hex') !== server.hash)
          return this.rejectReady(new Error('Opening handshake failed.'))
        const far = new Session('127.0.0.1:1')
        far.become(this, 'supports-unreliable')
        this.become(far, world.stepsAside ? 'reliable-only' : 'supports-unreliable')
        server.take(far)
      })
    }
  }

  class Server {
    readonly hash: string
    readonly ready: Promise<unknown>
    readonly #options: ServerOptions
    readonly #sessions: Session[] = []
    #stream!: ReadableStreamDefaultController<WtSession>
    #socket: Socket | null = null
    #resolve!: () => void
    #reject!: (error: Error) => void

    constructor(options: object) {
      this.#options = options as ServerOptions
      this.hash = hashOf(new X509Certificate(this.#options.cert).fingerprint256)
      this.ready = new Promise<void>((resolve, reject) => {
        this.#resolve = resolve
        this.#reject = reject
      })
    }

    sessionStream(): ReadableStream<WtSession> {
      return new ReadableStream<WtSession>({ start: (controller) => void (this.#stream = controller) })
    }

    startServer(): void {
      if (world.mute) return
      const { host, port, quicheNodeSocketOptions } = this.#options
      this.#socket = createSocket({ type: 'udp4', reuseAddr: true, ...quicheNodeSocketOptions })
      this.#socket.on('error', (error) => this.#reject(error))
      this.#socket.bind(port, host, () => {
        servers.set(port, this)
        this.#resolve()
      })
    }

    stopServer(): void {
      const socket = this.#socket as Socket // the library has none either where it never listened, and throws
      if (servers.get(this.#options.port) === this) servers.delete(this.#options.port)
      socket.close()
      for (const session of this.#sessions) {
        session.over()
        session.peer?.over()
      }
      this.#stream.close()
    }

    updateCert(): void {
      throw new Error('the library cannot')
    }

    address(): null {
      return null
    }

    take(session: Session): void {
      this.#sessions.push(session)
      this.#stream.enqueue(session)
    }
  }

  world.library = { Http3Server: Server as never, WebTransport: Client as never }
  return world as FakeHttp3
}

/** Two ends of one stream, without back-pressure. */
function pair(swallows: () => boolean): readonly [Half, Half] {
  const half = (to: () => Half): Half => {
    let controller!: ReadableStreamDefaultController<Uint8Array>
    let writer!: { error(reason: Error): void }
    let over = false
    const readable = new ReadableStream<Uint8Array>({ start: (one) => void (controller = one) })
    const writable = new WritableStream<Uint8Array>({
      start: (one) => void (writer = one),
      write: (bytes) => void (swallows() || to().push(bytes.slice())),
    })
    return {
      stream: { readable, writable },
      push: (bytes) => void (over || controller.enqueue(bytes)),
      end: () => {
        if (over) return
        over = true
        controller.close()
        writer.error(new Error('Session closed'))
      },
    }
  }
  const near: Half = half(() => far)
  const far: Half = half(() => near)
  return [near, far]
}
