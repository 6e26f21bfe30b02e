/**
 * WebTransport over HTTP/2, both sides known by their keys: the transport for networks that let only web traffic through.
 *
 * Owns sessions with one stream each, opened by the side that dials. The library knows no client certificates and takes
 * servers by the hash of a short-lived certificate: the side that dials asks for that first, holds what the session shows
 * against it, and both prove who they are over that hash (proven-links.ts), so that nobody can stand between. Memory is
 * bounded by a window of our own (credited-stream.ts).
 */
import type { ClientHttp2Session } from 'node:http2'
import { connect } from 'node:tls'
import type { Clock } from '../entry/clock.js'
import { ProtocolError, reasonOf } from '../errors.js'
import { formatAddress, formatHostPort, parseHostAddress, type HostAddress } from './address.js'
import { attemptTo, type Attempt } from './attempt.js'
import { CreditedStream } from './credited-stream.js'
import { guardDialled, widen } from './http2-guard.js'
import { WT_PATH, WebTransportListener } from './https-listener.js'
import type { KeyedTransport } from './keyed.js'
import { connectSocket, newSocket } from './net-sockets.js'
import { ProvenLinks, type ProvenOptions } from './proven-links.js'
import { ShortCertificates, type MakeCertificate } from './short-certificate.js'
import type { ShownPeer } from './tls-gate.js'
import type { Purpose } from './tls-words.js'
import type { Connection, DialOptions, Listener } from './transport.js'
import { endSession, hashOf, http2Of, loadWebTransport, shownHash, WINDOWS } from './webtransport-library.js'
import { WebTransportByteStream } from './webtransport-stream.js'

export interface HttpsTransportOptions extends ProvenOptions {
  /** Needed to listen. */
  readonly makeCertificate?: MakeCertificate
}

/** See the file's head. */
export class HttpsTransport implements KeyedTransport {
  readonly scheme = 'https'
  readonly #options: HttpsTransportOptions
  readonly #links: ProvenLinks

  constructor(options: HttpsTransportOptions) {
    this.#options = options
    this.#links = new ProvenLinks('https', options)
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
    try {
      const hash = await askHash(parsed, address, on, tearsDown)
      const stream = await openStream(parsed, address, hash, { on, clock: this.#options.clock }, tearsDown)
      tearsDown(() => stream.destroy())
      await Promise.race([stream.write(Buffer.from(hash, 'hex')), on.failed])
      const remote = formatHostPort(parsed.host, parsed.port)
      return await this.#links.dialled({ stream, remote, name: `https ${hash}` }, purpose, address, on)
    } catch (error) {
      const failure =
        error instanceof ProtocolError ? error : new ProtocolError('DIAL_FAILED', { address, why: reasonOf(error) })
      on.fail(failure)
      throw failure
    }
  }

  async listen(address: string, accepted: (connection: Connection) => void): Promise<Listener> {
    const { scheme, host, port } = parseHostAddress(address)
    const { clock, random, makeCertificate, acceptFailed } = this.#options
    if (makeCertificate === undefined)
      throw new ProtocolError('LISTEN_FAILED', { address, why: 'no certificate can be made here' })
    const library = await loadWebTransport()
    const listener = new WebTransportListener({
      library,
      clock,
      certificates: new ShortCertificates(clock, makeCertificate),
      secret: random.bytes(32).toString('hex'),
      links: this.#links,
      accepted,
      failed: acceptFailed ?? (() => {}),
    })
    try {
      const bound = await listener.begin(host, port)
      return { address: formatAddress({ scheme, ...bound }), close: () => listener.close() }
    } catch (error) {
      await listener.close()
      const code = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'LISTEN_IN_USE' : 'LISTEN_FAILED'
      throw new ProtocolError(code, { address, why: reasonOf(error) }, { cause: error })
    }
  }

  endPeer(key: string, why: string): number {
    return this.#links.endPeer(key, why)
  }

  endAll(why: string): number {
    return this.#links.endAll(why)
  }
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
