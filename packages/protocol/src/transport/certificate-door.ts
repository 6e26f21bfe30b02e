/**
 * The TCP side of an `https://` address that takes sessions over HTTP/3 alone: it shows the certificate, and no more.
 *
 * Owns a TLS server that ends every connection once its handshake is over. Who dials asks it for the certificate that the
 * UDP port of the same number shows (https.ts). Nothing is read from anybody; strangers hold at most {@link GATES_MAX}
 * connections for at most {@link GATE_MS}.
 */
import type { Socket } from 'node:net'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import type { Clock } from '../entry/clock.js'
import { parseHostAddress, type HostAddress } from './address.js'
import { listenSockets } from './net-sockets.js'
import type { ShortCertificate, ShortCertificates } from './short-certificate.js'
import { TlsWaitingRoom, type TlsRefusal } from './tls-waiting-room.js'
import type { Listener } from './transport.js'

export interface CertificateDoorParts {
  readonly clock: Clock
  readonly certificates: ShortCertificates
  readonly refused: (refusal: TlsRefusal) => void
  readonly failed: (error: Error) => void
}

/** Listens; answers where. The certificates begin with it, and end with it. */
export async function openCertificateDoor(
  parsed: HostAddress,
  address: string,
  { clock, certificates, refused, failed }: CertificateDoorParts,
): Promise<{ readonly host: string; readonly port: number; close(): Promise<void> }> {
  const waiting = new TlsWaitingRoom(clock, refused)
  const options = ({ certificate, key }: ShortCertificate) => ({
    cert: certificate,
    key,
    minVersion: 'TLSv1.3' as const,
  })
  let server: Server | null = null
  const failedToRenew = (error: unknown): void => failed(error instanceof Error ? error : new Error(String(error)))
  const first = await certificates.begin((next) => server?.setSecureContext(options(next)), failedToRenew)
  // It never listens: it answers the handshakes of the sockets that are handed to it.
  const shows = createServer({ ...options(first), ALPNProtocols: ['h2'] })
  server = shows
  shows.on('secureConnection', (stream: TLSSocket) => {
    stream.on('error', () => {}) // nobody's concern
    stream.resume()
    stream.end()
  })
  shows.on('tlsClientError', (_error: Error, stream: TLSSocket) => stream.destroy())
  const take = (socket: Socket, remote: string): void => {
    waiting.enter(remote, remote, () => socket.destroy())
    socket.on('error', () => {})
    socket.once('close', () => waiting.leave(remote))
    shows.emit('connection', socket)
  }
  let listener: Listener
  try {
    listener = await listenSockets(parsed, address, take, failed)
  } catch (error) {
    certificates.close()
    throw error
  }
  const { host, port } = parseHostAddress(listener.address)
  return {
    host,
    port,
    close: async () => {
      certificates.close()
      await listener.close()
    },
  }
}
