/**
 * What stands between a stranger and the library behind `https://`: one HTTP/2 session, at either end.
 *
 * Owns that a session has one stream, that only what {@link CapsuleFilter} lets through is read from it, and that its socket
 * does not outlive it: at once where the peer broke the protocol or is still a stranger, else within {@link LINGER_MS}, in
 * which the other end can hear of it (Node's HTTP/2 does not see a reset while it has something to write). The library throws where nobody catches it (on capsules, requests and pings that it does not expect), so that nothing
 * reaches it which it has not been tried with. Fails closed: without a guard there is no session.
 */
import type {
  ClientHttp2Session,
  Http2SecureServer,
  Http2Stream,
  IncomingHttpHeaders,
  ServerHttp2Session,
  ServerHttp2Stream,
} from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Clock, Timer } from '../entry/clock.js'
import { formatHostPort } from './address.js'
import { PeerError } from './byte-stream.js'
import { CapsuleError, CapsuleFilter } from './capsule-filter.js'

type Http2Session = ClientHttp2Session | ServerHttp2Session

/** Window of HTTP/2, each way; what Node sets is 64 KiB, which is 2 MB/s at 21 ms of round trip. */
const HTTP2_WINDOW_BYTES = 8 * 1024 * 1024

/** A session that has ended has so long to say so, in milliseconds. */
export const LINGER_MS = 2000

export interface GuardParts {
  readonly side: 'dialling' | 'listening'
  readonly clock: Clock
  /** Told once what the peer did that ended the session, as the end of a sentence about it that begins with "it". */
  readonly refused: (why: string) => void
}

/** See the file's head. */
export class Http2Guard {
  readonly #http2: Http2Session
  readonly #socket: Socket
  readonly #filter: CapsuleFilter
  readonly #parts: GuardParts
  #hasStream = false
  #failure: Error | null = null
  #lingers: Timer | null = null

  constructor(http2: Http2Session, parts: GuardParts) {
    this.#http2 = http2
    this.#parts = parts
    this.#filter = new CapsuleFilter(parts.side)
    // What HTTP/2 shows as its socket cannot be destroyed; this answers the one behind it.
    this.#socket = http2.socket.on('error', () => {}) // the session hears of it
    const destroy = http2.destroy.bind(http2) as (...words: unknown[]) => void
    http2.destroy = (...words: unknown[]) => {
      destroy(...words)
      this.#linger()
    }
    this.#socket.once('close', () => this.#lingers?.cancel())
    guardPings(http2)
  }

  /** What the peer did that ended the session; null where it did nothing wrong. */
  get failure(): Error | null {
    return this.#failure
  }

  /** This side has opened the stream of the session. */
  opened(): void {
    this.#filter.open()
  }

  /** Ends the session, and its socket soon. */
  end(): void {
    this.#http2.destroy()
  }

  /** Ends both at once. */
  cut(): void {
    this.#http2.destroy()
    this.#socket.destroy()
  }

  refuse(why: string): void {
    if (this.#failure === null) {
      this.#failure = new PeerError(`it ${why}`)
      this.#parts.refused(`it ${why}`)
    }
    this.cut()
  }

  /** Takes the HTTP/2 stream of the session before the library sees it; false where it has one already. */
  take(stream: Http2Stream): boolean {
    if (this.#hasStream) {
      this.refuse('asks for more than one session on a connection')
      return false
    }
    this.#hasStream = true
    const read = stream.read.bind(stream) as (size?: number) => Buffer | null
    stream.read = (size?: number): Buffer | null => {
      if (size === 0) return read(0)
      for (;;) {
        const chunk = read()
        const passed = chunk === null ? null : this.#pass(chunk)
        if (passed === null || passed.length > 0) return passed
      }
    }
    // A peer that has ended its half says nothing more, and the library would wait for it.
    stream.once('end', () => this.end())
    return true
  }

  #linger(): void {
    if (this.#socket.destroyed) return
    this.#lingers ??= this.#parts.clock.after(LINGER_MS, () => this.#socket.destroy())
  }

  #pass(chunk: Buffer): Buffer | null {
    if (this.#failure !== null) return null
    try {
      return this.#filter.take(chunk)
    } catch (error) {
      if (!(error instanceof CapsuleError)) throw error
      this.refuse(error.message)
      return null
    }
  }
}

/** To be called as soon as a session is made at the side that dials, before it is connected. */
export function guardDialled(http2: ClientHttp2Session, clock: Clock): Http2Guard {
  const guard = new Http2Guard(http2, { side: 'dialling', clock, refused: () => {} })
  const request = http2.request.bind(http2)
  http2.request = (...words) => {
    const stream = request(...words)
    guard.take(stream)
    return stream
  }
  return guard
}

export interface ListeningOptions {
  /** The only path. */
  readonly path: string
  readonly clock: Clock
  /** Nobody takes sessions any more. */
  readonly closed: () => boolean
  /** Somebody was turned away; `why` ends a sentence about it. */
  readonly refused: (remote: string, why: string) => void
}

/** Stands before the library at the side that listens; answers the guard of a session by who dialled, `host:port`. */
export function guardListening(
  below: Http2SecureServer,
  { path, clock, closed, refused }: ListeningOptions,
): ReadonlyMap<string, Http2Guard> {
  const guards = new Map<string, Http2Guard>()
  const guardOf = new WeakMap<object, Http2Guard>()
  before(below, 'secureConnection', (socket: TLSSocket) => {
    if (socket.alpnProtocol === 'h2') return true
    // Not within the handshake: what it stands on would be gone.
    const remote = remoteOf(socket)
    socket.on('error', () => {})
    clock.soon(() => {
      refused(remote, 'it does not speak HTTP/2')
      socket.destroy()
    })
    return false
  })
  before(below, 'session', (http2: ServerHttp2Session) => {
    if (http2.destroyed) return false
    const remote = remoteOf(http2.socket)
    const guard = new Http2Guard(http2, { side: 'listening', clock, refused: (why) => refused(remote, why) })
    guards.set(remote, guard)
    guardOf.set(http2, guard)
    http2.socket.once('close', () => guards.delete(remote))
    widen(http2)
    return true
  })
  before(below, 'stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    stream.on('error', () => {}) // whoever uses it hears of it
    // What was reset already cannot be answered: the library would throw.
    if (stream.destroyed || stream.closed || stream.session === undefined) return false
    const guard = guardOf.get(stream.session)
    if (closed()) guard?.cut()
    if (closed()) return false
    const asked = headers[':method'] === 'CONNECT' && headers[':protocol'] === 'webtransport'
    if (asked && headers[':path'] === path && !('wt-available-protocols' in headers))
      return guard?.take(stream) === true
    guard?.refuse('asks for something else than a session')
    return false
  })
  below.removeAllListeners('upgrade') // of HTTP/1, which is not spoken
  return guards
}

/** Raises the windows of HTTP/2, once it is connected. */
export function widen(http2: Http2Session): void {
  try {
    http2.setLocalWindowSize(HTTP2_WINDOW_BYTES)
    http2.settings({ initialWindowSize: HTTP2_WINDOW_BYTES })
  } catch {
    // Only slower.
  }
}

/** Those who hear of an event hear of it only where `passes` says so. */
function before<A extends unknown[]>(below: Http2SecureServer, event: string, passes: (...words: A) => boolean): void {
  const heard = below.listeners(event)
  below.removeAllListeners(event)
  below.on(event, (...words: unknown[]) => {
    if (!passes(...(words as A))) return
    for (const listener of heard) listener.apply(below, words)
  })
}

/**
 * The library pings every second, also a session that is destroyed: that throws where nobody catches it, once a second
 * for ever, and any stranger can bring it about by hanging up early. A destroyed session counts as closed here, at which
 * the library stops.
 */
function guardPings(http2: Http2Session): void {
  const ping = http2.ping.bind(http2) as (...words: unknown[]) => boolean
  Object.defineProperty(http2, 'ping', {
    value: (...words: unknown[]) => {
      try {
        return !http2.destroyed && ping(...words)
      } catch {
        return false
      }
    },
  })
  const closed = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Object.getPrototypeOf(http2)), 'closed')?.get
  Object.defineProperty(http2, 'closed', { get: () => http2.destroyed || closed?.call(http2) === true })
}

function remoteOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return formatHostPort(remoteAddress ?? 'unknown', remotePort ?? 0)
}
