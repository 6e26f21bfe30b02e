/**
 * The library behind `https://`: `@fails-components/webtransport`, and what of it is used, its private parts included.
 *
 * Owns how it is loaded (on first use, without what it prints where its native part is missing), and where its private parts
 * are. Each is looked for and may be absent: what only makes it quicker fails soft, what a promise depends on fails closed.
 * What stands between it and a stranger is http2-guard.ts.
 */
import type { Http2SecureServer, ServerHttp2Session, ClientHttp2Session } from 'node:http2'
import type { ReadableStream, WritableStream } from 'node:stream/web'
import type { TLSSocket } from 'node:tls'

export interface WtStream {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
}

export interface WtSession {
  readonly ready: Promise<unknown>
  readonly closed: Promise<unknown>
  readonly peerAddress?: string
  readonly incomingBidirectionalStreams: ReadableStream<WtStream>
  createBidirectionalStream(): Promise<WtStream>
  close(): void
}

export interface WtServer {
  readonly ready: Promise<unknown>
  startServer(): void
  stopServer(): void
  updateCert(cert: string, key: string, http2only: boolean): void
  address(): { readonly host: string; readonly port: number } | null
  sessionStream(path: string): ReadableStream<WtSession>
}

export interface WtLibrary {
  readonly Http2Server: new (options: object) => WtServer
  readonly WebTransport: new (url: string, options: object) => WtSession
}

/** Windows of the library, above that of {@link CreditedStream}, so that they never decide. */
const STREAM_WINDOW_BYTES = 6 * 1024 * 1024
const SESSION_WINDOW_BYTES = 15 * 1024 * 1024

/** Without these, a client stalls after 16 KiB: both session windows have to be the same. */
export const WINDOWS = {
  initialStreamFlowControlWindow: STREAM_WINDOW_BYTES,
  streamFlowControlWindowSizeLimit: STREAM_WINDOW_BYTES,
  initialSessionFlowControlWindow: SESSION_WINDOW_BYTES,
  sessionFlowControlWindowSizeLimit: SESSION_WINDOW_BYTES,
} as const

const NOISE = /^(http3 loader:|Problem loading http3-quiche|Did you install @fails-components)/

let loading: Promise<WtLibrary> | null = null

/** The library, loaded once. */
export function loadWebTransport(): Promise<WtLibrary> {
  loading ??= load()
  return loading
}

async function load(): Promise<WtLibrary> {
  const { log, error } = console
  const quiet =
    (say: typeof log): typeof log =>
    (...words) => {
      if (!NOISE.test(String(words[0]))) say(...words)
    }
  console.log = quiet(log)
  console.error = quiet(error)
  try {
    const library = await import('@fails-components/webtransport')
    await library.quicheLoaded
    // The half that serves has a promise of its own, which is not to be had; it waits for the same file.
    await import('node:stream/web')
    return library as unknown as WtLibrary
  } finally {
    console.log = log
    console.error = error
  }
}

/** SHA-256 of the certificate that the server of a session has shown, hex; null where that cannot be known. */
export function shownHash(session: WtSession): string | null {
  const socket = http2Of(session)?.socket as TLSSocket | undefined
  const shown = socket?.getPeerX509Certificate?.()?.fingerprint256
  return shown === undefined ? null : hashOf(shown)
}

/** `AB:CD` as hex. */
export function hashOf(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}

/** The HTTP/2 server below; null where the library has changed. */
export function http2ServerOf(server: WtServer): Http2SecureServer | null {
  const found = (server as unknown as { transportInt?: { serverInt?: Http2SecureServer } }).transportInt?.serverInt
  return typeof found?.on === 'function' ? found : null
}

/** Ends a session and all below it at once. The library closes politely, which a dead peer never answers. */
export function endSession(session: WtSession): void {
  const http2 = http2Of(session)
  try {
    session.close()
  } catch {
    // It is over already.
  }
  http2?.destroy()
}

type Http2Session = ClientHttp2Session | ServerHttp2Session

/** The HTTP/2 session below, at either side; null where the library has changed. */
export function http2Of(session: WtSession): Http2Session | null {
  interface Inside {
    readonly objint?: { readonly stream?: { readonly session?: Http2Session } }
    readonly parentobj?: { readonly transportInt?: { readonly clientInt?: Http2Session } }
  }
  const inside = ((session as unknown as { readonly sessionint?: Inside }).sessionint ?? session) as Inside
  return inside.parentobj?.transportInt?.clientInt ?? inside.objint?.stream?.session ?? null
}
