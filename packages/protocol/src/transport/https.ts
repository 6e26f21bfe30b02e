/**
 * WebTransport over HTTP/3 or HTTP/2, both sides known by their keys: the transport for networks that let only web traffic
 * through.
 *
 * Owns sessions with one stream each, opened by the side that dials. The library knows no client certificates and takes
 * servers by the hash of a short-lived certificate: the side that dials asks for that first, over TCP, holds what the
 * session shows against it, and both prove who they are over that hash (proven-links.ts), so that nobody can stand between.
 * Memory is bounded by a window of our own (credited-stream.ts). Which of both protocols it is, is http3-choice.ts.
 */
import type { ClientHttp2Session } from 'node:http2'
import { connect } from 'node:tls'
import type { Clock } from '../entry/clock.js'
import { ProtocolError, reasonOf } from '../errors.js'
import { formatHostPort, parseHostAddress, type HostAddress } from './address.js'
import { attemptTo, type Attempt } from './attempt.js'
import { CreditedStream } from './credited-stream.js'
import { guardDialled, widen } from './http2-guard.js'
import { Http3Choices, type Http3Wish } from './http3-choice.js'
import type { Http3DialParts } from './http3-dial.js'
import type { LoadHttp3 } from './http3-library.js'
import { carriedBy, openHttpsDoors } from './https-doors.js'
import { WT_PATH } from './https-listener.js'
import type { KeyedTransport } from './keyed.js'
import { connectSocket, newSocket } from './net-sockets.js'
import { ProvenLinks, type ProvenOptions } from './proven-links.js'
import { http2Because, HTTP3, type Carrier, type QuicMode } from './quic-mode.js'
import type { MakeCertificate } from './short-certificate.js'
import type { ShownPeer } from './tls-gate.js'
import type { Purpose } from './tls-words.js'
import type { Connection, DialOptions, Listener } from './transport.js'
import { endSession, hashOf, http2Of, loadWebTransport, shownHash, WINDOWS } from './webtransport-library.js'
import { WebTransportByteStream } from './webtransport-stream.js'

/** Between two dials over HTTP/3 to an address that may come back. */
const AGAIN_MS = 100

export interface HttpsTransportOptions extends ProvenOptions {
  /** Needed to listen. */
  readonly makeCertificate?: MakeCertificate
  /** For listening, and for dials that do not say it; without it `auto`. */
  readonly quic?: QuicMode
  /** Another way to the optional library of HTTP/3, for tests. */
  readonly loadHttp3?: LoadHttp3
}

/** See the file's head. */
export class HttpsTransport implements KeyedTransport {
  readonly scheme = 'https'
  readonly #options: HttpsTransportOptions
  /** Over HTTP/2. */
  readonly #links: ProvenLinks
  readonly #http3: ProvenLinks
  readonly #choices: Http3Choices

  constructor(options: HttpsTransportOptions) {
    this.#options = options
    this.#links = new ProvenLinks('https', options)
    this.#http3 = new ProvenLinks('https over HTTP/3', options)
    this.#choices = new Http3Choices(options.clock, options.loadHttp3)
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
    let tearDown = (): void => {}
    const on = attemptTo(address, options, this.#options.clock, () => tearDown())
    const tearsDown = (how: () => void): void => void (tearDown = how)
    let opened: Opened | null = null
    try {
      const mode = options.quic ?? this.#options.quic ?? 'auto'
      const wish = await Promise.race([this.#choices.wish(mode, address), on.failed])
      opened = await this.#open(wish, { host: parsed, address, on }, tearsDown)
      const { stream, carrier, links, name, hash } = opened
      tearsDown(() => stream.destroy())
      await Promise.race([stream.write(Buffer.from(hash, 'hex')), on.failed])
      const remote = formatHostPort(parsed.host, parsed.port)
      const { connection, peer } = await links.dialled({ stream, remote, name }, purpose, address, on)
      if (carrier === HTTP3) this.#choices.worked(address)
      return { connection: carriedBy(connection, carrier), peer }
    } catch (error) {
      const failure =
        error instanceof ProtocolError ? error : new ProtocolError('DIAL_FAILED', { address, why: reasonOf(error) })
      on.fail(failure)
      if (opened?.carrier === HTTP3) this.#choices.broke(address, failure)
      throw failure
    }
  }

  async listen(address: string, accepted: (connection: Connection) => void): Promise<Listener> {
    const { clock, random, makeCertificate, acceptFailed, refused, quic, loadHttp3 } = this.#options
    if (makeCertificate === undefined)
      throw new ProtocolError('LISTEN_FAILED', { address, why: 'no certificate can be made here' })
    return openHttpsDoors(address, {
      mode: quic ?? 'auto',
      loadHttp3,
      clock,
      makeCertificate,
      secret: random.bytes(32).toString('hex'),
      http2: this.#links,
      http3: this.#http3,
      accepted,
      refused: refused ?? (() => {}),
      failed: acceptFailed ?? (() => {}),
    })
  }

  endPeer(key: string, why: string): number {
    return this.#links.endPeer(key, why) + this.#http3.endPeer(key, why)
  }

  endAll(why: string): number {
    return this.#links.endAll(why) + this.#http3.endAll(why)
  }

  /** A stream over HTTP/3 or, unless that is required, over HTTP/2. */
  async #open(
    wish: Http3Wish,
    { host, address, on }: Omit<Http3DialParts, 'library' | 'clock' | 'hash'>,
    tearsDown: (how: () => void) => void,
  ): Promise<Opened> {
    const { clock } = this.#options
    for (;;) {
      const hash = await askHash(host, address, on, tearsDown)
      tearsDown(() => {})
      const choice = await this.#choices.open(wish, { host, address, hash, on })
      if (choice.kind === 'open')
        return { stream: choice.stream, carrier: HTTP3, links: this.#http3, name: `http3 ${hash}`, hash }
      if (choice.kind === 'not') {
        const stream = await openStream(host, address, hash, { on, clock }, tearsDown)
        return { stream, carrier: http2Because(choice.why), links: this.#links, name: `https ${hash}`, hash }
      }
      await Promise.race([new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve)), on.failed])
    }
  }
}

interface Opened {
  readonly stream: CreditedStream
  readonly carrier: Carrier
  readonly links: ProvenLinks
  /** See {@link Channel.name}: another one for each protocol. */
  readonly name: string
  /** Of the certificate that the server shows. */
  readonly hash: string
}

/** The hash of the certificate that the server shows: believed only once somebody has proven to be behind it. */
async function askHash(
  parsed: HostAddress,
  address: string,
  on: Attempt,
  tearsDown: (how: () => void) => void,
): Promise<string> {
  const socket = newSocket()
  tearsDown(() => {
    socket.on('error', () => {})
    socket.destroy()
  })
  await connectSocket(socket, parsed, address, on)
  const stream = connect({ socket, rejectUnauthorized: false, ALPNProtocols: ['h2'], minVersion: 'TLSv1.3' })
  const shown = new Promise<string | undefined>((resolve, reject) => {
    stream.once('secureConnect', () => resolve(stream.getPeerX509Certificate()?.fingerprint256))
    stream.on('error', (error) => reject(new ProtocolError('TLS_FAILED', { address, why: reasonOf(error) })))
    stream.once('close', () => reject(new ProtocolError('DIAL_REFUSED', { address })))
  })
  shown.catch(() => {}) // the attempt may be over
  const fingerprint = await Promise.race([shown, on.failed])
  stream.destroy()
  if (fingerprint === undefined) throw new ProtocolError('TLS_FAILED', { address, why: 'it shows no certificate' })
  return hashOf(fingerprint)
}

async function openStream(
  { host, port }: HostAddress,
  address: string,
  hash: string,
  { on, clock }: { readonly on: Attempt; readonly clock: Clock },
  tearsDown: (how: () => void) => void,
): Promise<CreditedStream> {
  const library = await Promise.race([loadWebTransport(), on.failed])
  const session = new library.WebTransport(`https://${formatHostPort(host, port)}${WT_PATH}`, {
    serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(hash, 'hex') }],
    forceReliable: true,
    ...WINDOWS,
  })
  session.ready.catch(() => {}) // the attempt may be over
  session.closed.catch(() => {})
  tearsDown(() => endSession(session))
  const http2 = http2Of(session) as ClientHttp2Session | null
  if (http2 === null)
    throw new ProtocolError('DIAL_FAILED', { address, why: 'the library has no HTTP/2 that can be guarded' })
  const guard = guardDialled(http2, clock)
  tearsDown(() => {
    endSession(session)
    guard.cut()
  })
  const step = <T>(promise: Promise<T>): Promise<T> =>
    Promise.race([promise, on.failed]).catch((error: unknown) => {
      throw guard.failure ?? error
    })
  await step(session.ready)
  // The library takes any certificate that a trusted authority has signed, whatever its hash.
  if (shownHash(session) !== hash)
    throw new ProtocolError('PROOF_WRONG', { address, why: 'its certificate is not the one that it showed before' })
  widen(http2)
  const opening = session.createBidirectionalStream()
  guard.opened()
  const stream = await step(opening)
  const ended = (): void => guard.end()
  return new CreditedStream(new WebTransportByteStream(session, stream, ended, () => guard.failure))
}
