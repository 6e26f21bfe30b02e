/**
 * Whether anybody has a UDP port: QUIC itself does not look at what the system knows of it.
 *
 * Owns one socket for the time of a dial. A datagram of one byte is no QUIC packet and is answered by nobody; where no
 * program has the port, the other host says so, and the system tells a connected socket. Silence means nothing.
 */
import { createSocket } from 'node:dgram'
import type { ResolvedHost } from './resolve-host.js'

/** Calls `refused` if the host says that nobody listens. Answers how to stop. */
export function probeUdp({ ip, family }: ResolvedHost, port: number, refused: () => void): () => void {
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  let open = true
  const stop = (): void => {
    if (!open) return
    open = false
    socket.close()
  }
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (!open) return
    stop()
    if (error.code === 'ECONNREFUSED') refused()
  })
  socket.connect(port, ip, () => {
    if (open) socket.send(Buffer.of(0), () => {})
  })
  return stop
}
