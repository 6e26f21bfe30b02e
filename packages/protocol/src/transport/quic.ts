/**
 * QUIC, both sides known by their keys: the transport for networks that lose packets, and where only UDP is let through.
 *
 * Owns the native endpoints: one that dials for each family of addresses and identity, one for each listener. TLS 1.3 is
 * inside QUIC, with keys of this process (quic-key.ts); whose they are is proven over both their ids on the one stream
 * that a connection has (proven-links.ts). The library loads on first use (quic-native.ts). Nothing native keeps the
 * process up once every connection and listener is ended.
 */
import { ProtocolError, reasonOf } from '../errors.js'
import { formatAddress, formatHostPort, parseHostAddress } from './address.js'
import { attemptTo, type Attempt } from './attempt.js'
import type { KeyedTransport } from './keyed.js'
import type { Channel } from './proof-gate.js'
import { ProvenLinks, type ProvenOptions } from './proven-links.js'
import { QuicListener } from './quic-listener.js'
import { quicKey, quicPeer, type QuicKey } from './quic-key.js'
import { loadQuic, type QuicClient, type QuicConnection, type QuicNative } from './quic-native.js'
import { QUIC_WINDOW_BYTES, QuicByteStream } from './quic-stream.js'
import { resolveHost, type ResolvedHost } from './resolve-host.js'
import type { ShownPeer } from './tls-gate.js'
import type { Purpose } from './tls-words.js'
import type { Connection, DialOptions, Listener } from './transport.js'
import { probeUdp } from './udp-probe.js'

/** A connection without a packet for so long is over. Sessions find a dead peer sooner, by their heartbeats. */
export const QUIC_IDLE_MS = 10_000
const KEEP_ALIVE_MS = 3_000
const SOCKET_BUFFER_BYTES = 2 * 1024 * 1024

export interface QuicTransportOptions extends ProvenOptions {
  /** Loads the library for an address; throws where it is missing. */
  readonly native?: (address: string) => QuicNative
}

interface Endpoint {
  readonly client: QuicClient
  /** Dials and connections that need it. */
  users: number
}

/** See the file's head. */
export class QuicTransport implements KeyedTransport {
  readonly scheme = 'quic'
  readonly #options: QuicTransportOptions
  readonly #links: ProvenLinks
  readonly #key: QuicKey
  readonly #endpoints = new Map<4 | 6, Endpoint>()

  constructor(options: QuicTransportOptions) {
    this.#options = options
    this.#links = new ProvenLinks('quic', options)
    this.#key = quicKey(options.random.bytes(32))
  }

  async dial(address: string, options: DialOptions): Promise<Connection> {
    return (await this.dialFor('session', address, options)).connection
  }

  async dialFor(
    purpose: Purpose,
    address: string,
    options: DialOptions,
  ): Promise<{ readonly connection: Connection; readonly peer: ShownPeer }> {
    const parsed = parseHostAddress(address)
    if (options.signal?.aborted === true) throw new ProtocolError('DIAL_ABORTED', { address })
    const native = this.#native(address)
    let tearDown = (): void => {}
    const on = attemptTo(address, options, this.#options.clock, () => tearDown())
    const hosts = await Promise.race([resolveHost(parsed, address), on.failed]).catch(onFailure(on, address))
    let problem: ProtocolError | null = null
    for (const host of hosts) {
      try {
        const opened = await this.#open(native, host, parsed.port, address, on, (how) => (tearDown = how))
        const remote = formatHostPort(parsed.host, parsed.port)
        return await this.#links.dialled(this.#channel(opened, remote, true), purpose, address, on)
      } catch (error) {
        if (!(error instanceof NotThere)) throw error
        problem ??= error.reason
      }
    }
    return onFailure(on, address)(problem)
  }

  async listen(address: string, accepted: (connection: Connection) => void): Promise<Listener> {
    const { scheme, host, port } = parseHostAddress(address)
    const native = this.#native(address)
    const [resolved] = await resolveHost({ scheme, host, port }, address).catch((error: unknown) => {
      throw new ProtocolError('LISTEN_FAILED', { address, why: reasonOf(error) }, { cause: error })
    })
    const { ip } = resolved as ResolvedHost
    let server
    try {
      server = new native.Server(this.#config(native), ip, port)
    } catch (error) {
      const why = reasonOf(error)
      throw new ProtocolError(/in use/i.test(why) ? 'LISTEN_IN_USE' : 'LISTEN_FAILED', { address, why })
    }
    return new QuicListener(server, formatAddress({ scheme, host: ip, port: server.port() }), {
      take: (connection, stream, ended) => {
        const peer = quicPeer(connection.remoteMultiaddr())
        const remote = peer === null ? 'unknown' : formatHostPort(peer.host, peer.port)
        const opened: Opened = { connection, stream: new QuicByteStream(connection, stream, ended) }
        void this.#links.received(this.#channel(opened, remote, false), accepted)
      },
      refused: (remote, why) => this.#links.refuse(remote, why),
      clock: this.#options.clock,
    })
  }

  endPeer(key: string, why: string): number {
    return this.#links.endPeer(key, why)
  }

  endAll(why: string): number {
    return this.#links.endAll(why)
  }

  #native(address: string): QuicNative {
    return (this.#options.native ?? loadQuic)(address)
  }

  #config(native: QuicNative): object {
    return new native.QuinnConfig({
      privateKeyProto: this.#key.privateKeyProto,
      handshakeTimeout: QUIC_IDLE_MS,
      maxIdleTimeout: QUIC_IDLE_MS,
      keepAliveInterval: KEEP_ALIVE_MS,
      maxConcurrentStreamLimit: 1,
      maxStreamData: QUIC_WINDOW_BYTES,
      maxConnectionData: QUIC_WINDOW_BYTES,
      receiveBufferSize: SOCKET_BUFFER_BYTES,
      sendBufferSize: SOCKET_BUFFER_BYTES,
    })
  }

  /** The stream between both ends. Its name is the ids of both, in the order of who dialled. */
  #channel({ connection, stream }: Opened, remote: string, dialled: boolean): Channel {
    const theirs = quicPeer(connection.remoteMultiaddr())?.id ?? ''
    const pair = dialled ? [this.#key.id, theirs] : [theirs, this.#key.id]
    return { stream, remote, name: `quic ${pair.join(' ')}` }
  }

  /** A connection with its stream. Throws {@link NotThere} where another address may be tried. */
  async #open(
    native: QuicNative,
    host: ResolvedHost,
    port: number,
    address: string,
    on: Attempt,
    tearsDown: (how: () => void) => void,
  ): Promise<Opened> {
    const { endpoint, release } = this.#endpoint(native, host.family)
    let nobody = (_error: NodeJS.ErrnoException): void => {}
    const refused = new Promise<never>((_resolve, reject) => {
      nobody = (error) => reject(new NotThere(probeError(address, error)))
    })
    const stop = probeUdp(host, port, nobody)
    let given = false
    const connecting = endpoint.client.outboundConnection(host.ip, port)
    // A dial that was given up may still succeed: nobody wants it then.
    connecting.then((late) => given && late.abort()).catch(() => {})
    const giveUp = (): void => {
      given = true
      stop()
      release()
    }
    tearsDown(() => {
      giveUp()
      this.#forget(host.family, endpoint)
    })
    try {
      const connection = await Promise.race([connecting, refused, on.failed])
      stop()
      const opening = connection.outboundStream().catch(() => {
        throw new NotThere(new ProtocolError('DIAL_REFUSED', { address }))
      })
      const stream = await Promise.race([opening, on.failed])
      const opened = { connection, stream: new QuicByteStream(connection, stream, release) }
      tearsDown(() => opened.stream.destroy())
      return opened
    } catch (error) {
      giveUp()
      tearsDown(() => {})
      if (error instanceof NotThere || error instanceof ProtocolError) throw error
      throw new NotThere(dialError(address, error))
    }
  }

  #endpoint(native: QuicNative, family: 4 | 6): { readonly endpoint: Endpoint; readonly release: () => void } {
    let endpoint = this.#endpoints.get(family)
    if (endpoint === undefined) {
      endpoint = { client: new native.Client(this.#config(native), family === 6 ? 1 : 0), users: 0 }
      this.#endpoints.set(family, endpoint)
    }
    const used = endpoint
    used.users += 1
    let held = true
    const release = (): void => {
      if (held) used.users -= 1
      held = false
    }
    return { endpoint, release }
  }

  /** A dial under way ends at once only with its endpoint: that goes, unless somebody else needs it. */
  #forget(family: 4 | 6, endpoint: Endpoint): void {
    if (endpoint.users > 0 || this.#endpoints.get(family) !== endpoint) return
    this.#endpoints.delete(family)
    endpoint.client.abort()
  }
}

interface Opened {
  readonly connection: QuicConnection
  readonly stream: QuicByteStream
}

/** No connection at one address of a host. */
class NotThere extends Error {
  constructor(readonly reason: ProtocolError) {
    super(reason.message)
  }
}

/** Ends the attempt with what failed, and throws it. */
function onFailure(on: Attempt, address: string): (error: unknown) => never {
  return (error) => {
    const failure =
      error instanceof ProtocolError ? error : new ProtocolError('DIAL_FAILED', { address, why: reasonOf(error) })
    on.fail(failure)
    throw failure
  }
}

function probeError(address: string, error: NodeJS.ErrnoException): ProtocolError {
  if (error.code === 'ECONNREFUSED') return new ProtocolError('DIAL_REFUSED', { address }, { cause: error })
  return new ProtocolError('DIAL_FAILED', { address, why: reasonOf(error) }, { cause: error })
}

function dialError(address: string, error: unknown): ProtocolError {
  const why = reasonOf(error)
  if (/known protocol/i.test(why)) return new ProtocolError('TLS_OTHER_PROGRAM', { address }, { cause: error })
  if (why === 'timed out')
    return new ProtocolError('DIAL_TIMEOUT', { address, timeoutMs: QUIC_IDLE_MS }, { cause: error })
  return new ProtocolError('DIAL_FAILED', { address, why }, { cause: error })
}
