/**
 * One dial over HTTP/3: a session and its stream, or why not, in bounded time.
 *
 * Owns the session until its stream is handed over. Works around what the library gets wrong: it resolves no name and gets
 * an IPv4 address only, because another one ends the process; it is never ended before it is ready, for the same reason,
 * but ends by its own time; and what it says of itself is looked at, because it may take HTTP/2 without a word. Where the
 * library never says how such a session ended, at most {@link HTTP3_HANGING_MAX} of them hang in this process.
 */
import type { Clock } from '../entry/clock.js'
import { reasonOf } from '../errors.js'
import { formatHostPort, type HostAddress } from './address.js'
import type { Attempt } from './attempt.js'
import { CreditedStream } from './credited-stream.js'
import { WT_PATH } from './https-listener.js'
import type { Http3Library, Http3Session } from './http3-library.js'
import { resolveHost } from './resolve-host.js'
import { probeUdp } from './udp-probe.js'
import { endSession, WINDOWS } from './webtransport-library.js'
import { WebTransportByteStream } from './webtransport-stream.js'

/** Whoever does not answer over UDP within so long is reached over TCP instead. */
export const HTTP3_ANSWER_MS = 1500
/** So many sessions of this process may be neither ready nor failed; no more are begun then. */
export const HTTP3_HANGING_MAX = 8

/** Sessions of this process that are neither ready nor failed. */
let hanging = 0

export type Http3Dial =
  | { readonly kind: 'open'; readonly stream: CreditedStream }
  /** `why`: a sentence without a full stop. */
  | { readonly kind: 'not'; readonly why: string }

export interface Http3DialParts {
  readonly library: Http3Library
  readonly clock: Clock
  readonly host: HostAddress
  readonly address: string
  /** SHA-256 of the one certificate that is taken, hex. */
  readonly hash: string
  /** Of the whole dial. Rejects with how it failed. */
  readonly on: Attempt
}

/** Rejects only where the whole dial has failed. */
export async function dialHttp3({ library, clock, host, address, hash, on }: Http3DialParts): Promise<Http3Dial> {
  const resolving = resolveHost(host, address).catch(() => [])
  const ip = (await Promise.race([resolving, on.failed])).find(({ family }) => family === 4)
  if (ip === undefined) return { kind: 'not', why: `${host.host} has no IPv4 address, and HTTP/3 goes over no other` }
  let nobody = (_error: NodeJS.ErrnoException): void => {}
  let silent = (): void => {}
  const notThere = new Promise<Http3Dial>((resolve) => {
    nobody = (error) => resolve({ kind: 'not', why: whyNotThere(error, host.port) })
    silent = () => resolve({ kind: 'not', why: `no answer over UDP within ${HTTP3_ANSWER_MS} ms` })
  })
  if (hanging >= HTTP3_HANGING_MAX) return { kind: 'not', why: 'earlier sessions still hang' }
  const stop = probeUdp(ip, host.port, (error) => nobody(error))
  const timer = clock.after(HTTP3_ANSWER_MS, () => silent())
  const opening = open(library, `https://${formatHostPort(ip.ip, host.port)}${WT_PATH}`, hash)
  let taken = false
  try {
    const dial = await Promise.race([opening, notThere, on.failed])
    taken = dial.kind === 'open'
    return dial
  } finally {
    timer.cancel()
    stop()
    // It may still open: nobody wants it then.
    if (!taken) void opening.then((late) => late.kind === 'open' && late.stream.destroy())
  }
}

/** Never rejects. */
async function open(library: Http3Library, url: string, hash: string): Promise<Http3Dial> {
  try {
    const session = new library.WebTransport(url, {
      serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(hash, 'hex') }],
      requireUnreliable: true,
      quicConnectTimeout: HTTP3_ANSWER_MS,
      ...WINDOWS,
    })
    session.closed.catch(() => {})
    hanging += 1
    await session.ready.finally(() => (hanging -= 1))
    if (!isQuic(session)) {
      endSession(session)
      return { kind: 'not', why: 'the library took HTTP/2 by itself' }
    }
    const stream = await session.createBidirectionalStream().catch((error: unknown) => {
      endSession(session)
      throw error
    })
    return { kind: 'open', stream: new CreditedStream(new WebTransportByteStream(session, stream, () => {})) }
  } catch (error) {
    return { kind: 'not', why: `QUIC does not come about: ${reasonOf(error)}` }
  }
}

function whyNotThere(error: NodeJS.ErrnoException, port: number): string {
  if (error.code === 'ECONNREFUSED') return `nobody has UDP port ${port} there`
  return `nothing can be sent there over UDP: ${reasonOf(error)}`
}

function isQuic({ reliability }: Http3Session): boolean {
  return reliability === 'supports-unreliable'
}
