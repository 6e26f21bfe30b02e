/**
 * The gate of a TLS connection: what a {@link TlsTransport} is given, and how a socket comes to be a judged TLS stream.
 *
 * Owns the steps behind the TLS handshake, at both ends: version, purpose, keys, verdict. Fails closed: without a
 * judgement nothing of the peer is read and nothing is handed on. It keeps no list and knows no policy; whose keys are
 * good is the owner's to say.
 *
 *   dialling:   handshake -> TLS 1.3? our purpose? -> keys judged -> verdict said -> verdict heard -> connection
 *   listening:  handshake -> purpose? -> keys judged -> verdict said -> verdict heard -> connection
 */
import { connect, type TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'
import { ProtocolError, reasonOf, type ProtocolErrorCode } from '../errors.js'
import { CONNECTION_QUEUE_BYTES } from '../limits.js'
import type { Attempt } from './attempt.js'
import { shownKeys } from './shown-keys.js'
import {
  decodeVerdict,
  dialErrorCode,
  encodeVerdict,
  PURPOSES,
  purposeOf,
  VERDICT_BYTES,
  VERDICT_ERRORS,
  type Purpose,
  type Verdict,
} from './tls-words.js'

/** What this side shows: PEM texts, and the fingerprint of the key. */
export interface TlsIdentity {
  readonly key: string
  /** The certificate in use, then those of the keys that it succeeded, newest first. */
  readonly certificates: string
  readonly fingerprint: string
}

/** Who stands at the other end, as TLS has proven it. */
export interface ShownPeer {
  /** Fingerprints: the key in use, then those that it succeeded. Empty: it showed no certificate. */
  readonly keys: readonly string[]
  /** `host:port`. */
  readonly remote: string
  readonly purpose: Purpose
}

/** `why` ends a sentence about the peer. */
export type Judgement =
  | { readonly kind: 'known' }
  | { readonly kind: 'refused'; readonly verdict: Exclude<Verdict, 'admitted'>; readonly why: string }

/** May take its time for what must be durable; where it rejects, the peer is refused. */
export type Judge = (peer: ShownPeer) => Promise<Judgement>

/** What both ends have in common, whatever else they are given. */
export const TLS_OPTIONS = {
  minVersion: 'TLSv1.3',
  // Self-signed at both ends: who is who is decided by the key's fingerprint, which every connection proves anew.
  rejectUnauthorized: false,
  highWaterMark: CONNECTION_QUEUE_BYTES,
} as const

/** Makes a judged TLS stream of a connected socket; how it fails is told to `on`. */
export async function passAsDialler(
  socket: Socket,
  address: string,
  on: Attempt,
  parts: {
    readonly identity: TlsIdentity
    readonly purpose: Purpose
    readonly judge: Judge
    readonly remote: string
    /** Its key is good: from here on it can be revoked. */
    readonly known: (stream: TLSSocket, peer: ShownPeer) => void
  },
): Promise<{ readonly stream: TLSSocket; readonly peer: ShownPeer }> {
  const { identity, purpose, judge, remote, known } = parts
  const stream = connect({
    ...TLS_OPTIONS,
    socket,
    key: identity.key,
    cert: identity.certificates,
    ALPNProtocols: [PURPOSES[purpose]],
    checkServerIdentity: () => undefined,
  })
  const fail = (code: ProtocolErrorCode, facts: Record<string, string> = {}): never => {
    const error = new ProtocolError(code, { address, ...facts })
    on.fail(error)
    stream.destroy()
    throw error
  }
  const step = <T>(promise: Promise<T>): Promise<T> => Promise.race([promise, on.failed])
  const onError = (error: NodeJS.ErrnoException): void => on.fail(failureOf(address, error))
  const onClose = (): void =>
    on.fail(new ProtocolError('TLS_FAILED', { address, why: 'the peer closed the connection' }))
  stream.on('error', onError).on('close', onClose)
  await step(new Promise<void>((resolve) => stream.once('secureConnect', resolve)))
  if (stream.getProtocol() !== 'TLSv1.3') return fail('TLS_OLD_PEER')
  if (stream.alpnProtocol !== PURPOSES[purpose]) return fail('TLS_OTHER_PROGRAM')
  const peer: ShownPeer = { keys: shownKeys(stream.getPeerX509Certificate()), remote, purpose }
  const judgement = await step(
    judge(peer).catch((error: unknown): Judgement => ({ kind: 'refused', verdict: 'failed', why: reasonOf(error) })),
  )
  if (judgement.kind === 'refused') {
    await step(sayVerdict(stream, judgement.verdict))
    return fail('TLS_WRONG_KEY', { shown: peer.keys[0]?.slice(0, 16) ?? 'none', why: judgement.why })
  }
  known(stream, peer)
  void sayVerdict(stream, 'admitted')
  const verdict = await step(hearVerdict(stream))
  if (verdict === null) return fail('TLS_OTHER_PROGRAM')
  if (verdict !== 'admitted') return fail(VERDICT_ERRORS[verdict], { own: identity.fingerprint.slice(0, 16) })
  on.done()
  stream.removeListener('error', onError).removeListener('close', onClose)
  return { stream, peer }
}

/** Who came, once the handshake that we answered is over; null where it names no purpose of ours. */
export function shownBy(stream: TLSSocket, remote: string): ShownPeer | null {
  const purpose = purposeOf(stream.alpnProtocol)
  return purpose === null ? null : { keys: shownKeys(stream.getPeerX509Certificate()), remote, purpose }
}

/** Says a verdict; resolves once it is out, with false if the stream broke. */
export function sayVerdict(stream: TLSSocket, verdict: Verdict): Promise<boolean> {
  return new Promise((resolve) => {
    stream.write(encodeVerdict(verdict), (error) => resolve(error === null || error === undefined))
  })
}

/**
 * The verdict of the other end, null if it is none; what comes behind it stays in the stream. Never resolves if it never
 * comes: the end of the stream is for whoever waits to see.
 */
export function hearVerdict(stream: TLSSocket): Promise<Verdict | null> {
  return new Promise((resolve) => {
    const look = (): void => {
      const bytes = stream.read(VERDICT_BYTES) as Buffer | null
      if (bytes === null) return
      stream.removeListener('readable', look)
      resolve(decodeVerdict(bytes))
    }
    stream.on('readable', look)
  })
}

function failureOf(address: string, error: NodeJS.ErrnoException): ProtocolError {
  return new ProtocolError(dialErrorCode(error.code), { address, why: reasonOf(error) }, { cause: error })
}
