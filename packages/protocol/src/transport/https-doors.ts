/**
 * Listening at an `https://` address: HTTP/2 on TCP and, where it is wanted and can be had, HTTP/3 on the UDP port of the
 * same number.
 *
 * Owns both under one {@link Listener}. With `auto`, HTTP/2 stands whatever happens to HTTP/3, and what is missing is said;
 * with `require`, TCP shows the certificate alone (certificate-door.ts) and the address cannot be had without HTTP/3.
 */
import type { Clock } from '../entry/clock.js'
import { ProtocolError, reasonOf } from '../errors.js'
import { formatAddress, parseHostAddress } from './address.js'
import { openCertificateDoor } from './certificate-door.js'
import { Http3Listener } from './http3-listener.js'
import { findHttp3, type LoadHttp3 } from './http3-library.js'
import { WebTransportListener } from './https-listener.js'
import type { ProvenLinks } from './proven-links.js'
import { http2Because, HTTP3, NOT_ASKED_FOR, type Carrier, type QuicMode } from './quic-mode.js'
import { ShortCertificates, type MakeCertificate } from './short-certificate.js'
import type { TlsRefusal } from './tls-waiting-room.js'
import type { Connection, Listener } from './transport.js'
import { loadWebTransport } from './webtransport-library.js'

export interface HttpsDoorParts {
  readonly mode: QuicMode
  readonly loadHttp3?: LoadHttp3 | undefined
  readonly clock: Clock
  readonly makeCertificate: MakeCertificate
  /** What the library makes its tokens of. */
  readonly secret: string
  readonly http2: ProvenLinks
  readonly http3: ProvenLinks
  readonly accepted: (connection: Connection) => void
  readonly refused: (refusal: TlsRefusal) => void
  readonly failed: (error: Error) => void
}

/** Rejects where the address cannot be had as it is asked for. */
export async function openHttpsDoors(address: string, parts: HttpsDoorParts): Promise<Listener> {
  const { mode, clock, failed } = parts
  const { scheme, host, port } = parseHostAddress(address)
  const found = mode === 'never' ? null : await findHttp3(clock, parts.loadHttp3)
  if (mode === 'require' && found?.kind === 'missing')
    throw new ProtocolError('HTTP3_UNAVAILABLE', { address, why: found.why })
  const certificates = new ShortCertificates(clock, parts.makeCertificate)
  const tcp = mode === 'require' ? openCertificateDoor : openHttp2
  const below = await tcp({ scheme, host, port }, address, { ...parts, certificates }).catch((error: unknown) => {
    throw listenError(address, error)
  })
  let http3: Http3Listener | null = null
  let lacks: string | null = found?.kind === 'missing' ? `HTTP/3 cannot be had: ${found.why}` : null
  if (found?.kind === 'loaded') {
    const { library } = found
    const accepted = (connection: Connection): void => parts.accepted(carriedBy(connection, HTTP3))
    const listener = new Http3Listener({ ...parts, library, certificates, links: parts.http3, accepted, failed })
    try {
      await listener.begin(below.host, below.port)
      http3 = listener
    } catch (error) {
      if (mode === 'require') {
        await below.close()
        throw listenError(address, error)
      }
      lacks = `HTTP/3 cannot listen: ${reasonOf(error)}`
    }
  }
  return {
    address: formatAddress({ scheme, host: below.host, port: below.port }),
    get lacks() {
      const problem = http3?.problem ?? null
      return problem === null ? lacks : `HTTP/3 is not taken: ${problem}`
    },
    close: async () => {
      await http3?.close()
      await below.close()
    },
  }
}

/** The connection, which says what carries it. */
export function carriedBy(connection: Connection, carrier: Carrier): Connection {
  return Object.assign(connection, { carrier })
}

interface Below {
  readonly host: string
  readonly port: number
  close(): Promise<void>
}

async function openHttp2(
  { host, port }: { readonly host: string; readonly port: number },
  _address: string,
  parts: HttpsDoorParts & { readonly certificates: ShortCertificates },
): Promise<Below> {
  const why = parts.mode === 'never' ? NOT_ASKED_FOR : 'the other side came over HTTP/2'
  const accepted = (connection: Connection): void => parts.accepted(carriedBy(connection, http2Because(why)))
  const library = await loadWebTransport()
  const listener = new WebTransportListener({ ...parts, library, links: parts.http2, accepted })
  try {
    return { ...(await listener.begin(host, port)), close: () => listener.close() }
  } catch (error) {
    await listener.close()
    throw error
  }
}

function listenError(address: string, error: unknown): ProtocolError {
  if (error instanceof ProtocolError && error.code !== 'DIAL_UNKNOWN_HOST') return error
  const code = (error as NodeJS.ErrnoException).code === 'EADDRINUSE' ? 'LISTEN_IN_USE' : 'LISTEN_FAILED'
  return new ProtocolError(code, { address, why: reasonOf(error) }, { cause: error })
}
