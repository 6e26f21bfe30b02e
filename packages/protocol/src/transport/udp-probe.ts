/**
 * Whether anybody has a UDP port: QUIC itself does not look at what the system knows of it.
 *
 * Owns one socket for the time of a dial. A datagram of one byte is no QUIC packet and is answered by nobody; where no
 * program has the port, the other host says so, and the system tells a connected socket. Silence means nothing. Where the
 * system cannot send there at all it says so at once, to the callback alone, and nothing is sent.
 */
import { createSocket } from 'node:dgram'
import type { ResolvedHost } from './resolve-host.js'

/** Calls `notThere` if the host says that nobody listens (`ECONNREFUSED`), or nothing can be sent to it. Answers how to stop. */
export function probeUdp(
  { ip, family }: ResolvedHost,
  port: number,
  notThere: (error: NodeJS.ErrnoException) => void,
): () => void {
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
    if (error.code === 'ECONNREFUSED') notThere(error)
  })
  const connected = (error?: NodeJS.ErrnoException): void => {
    if (!open) return
    if (error === undefined) return socket.send(Buffer.of(0), () => {})
    stop()
    notThere(error)
  }
  socket.connect(port, ip, connected)
  return stop
}
