/**
 * What is said on a TLS connection before its first byte belongs to anybody, and what the ways to fail mean.
 *
 * Owns the names of the purposes (ALPN), the verdict of the side that listens (8 bytes, one of four constants, so that a
 * stranger gets nothing to parse and tells nothing apart), and the sentences for what OpenSSL reports. No sockets.
 */
import type { ProtocolErrorCode } from '../errors.js'

/** What a connection is for; said in the TLS handshake, so that a verdict needs no byte of the peer. */
export type Purpose = 'session' | 'enrol'

export const PURPOSES: Readonly<Record<Purpose, string>> = {
  session: 'sitelink/1',
  enrol: 'sitelink-enrol/1',
}

/** The purpose behind an ALPN name; null where there is none. */
export function purposeOf(name: string | false | null): Purpose | null {
  return (Object.keys(PURPOSES) as Purpose[]).find((purpose) => PURPOSES[purpose] === name) ?? null
}

/** The verdict on who dialled. `unknown` is said of revoked and of never enrolled keys alike. */
export type Verdict = 'admitted' | 'unknown' | 'forbidden' | 'failed'

const VERDICTS: Readonly<Record<Verdict, string>> = {
  admitted: 'SLTLS:ok',
  unknown: 'SLTLS:no',
  forbidden: 'SLTLS:fb',
  failed: 'SLTLS:ko',
}

export const VERDICT_BYTES = 8

export function encodeVerdict(verdict: Verdict): Buffer {
  return Buffer.from(VERDICTS[verdict], 'latin1')
}

/** Null for anything that is no verdict. */
export function decodeVerdict(bytes: Buffer): Verdict | null {
  const text = bytes.toString('latin1')
  return (Object.keys(VERDICTS) as Verdict[]).find((verdict) => VERDICTS[verdict] === text) ?? null
}

/** The error of a dial whose verdict was not `admitted`. */
export const VERDICT_ERRORS = {
  unknown: 'TLS_NOT_KNOWN',
  forbidden: 'TLS_FORBIDDEN',
  failed: 'TLS_NOT_ADMITTED',
} as const satisfies Record<Exclude<Verdict, 'admitted'>, ProtocolErrorCode>

/** Codes of a handshake that we answered and that is none: its first bytes are no record of TLS. */
const PLAIN_CODES: ReadonlySet<string> = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_HTTP_REQUEST',
  'ERR_SSL_HTTPS_PROXY_REQUEST',
])

export function isPlain(code: string | undefined): boolean {
  return code !== undefined && PLAIN_CODES.has(code)
}

/** The alert (fatal, protocol_version) that a peer without TLS gets: it may know it for what it is. */
export const TLS_ALERT = Buffer.from([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 70])

/** Why a TLS handshake that we answered failed, as the end of a sentence about the peer. */
export function whyRefused(code: string | undefined): string {
  switch (code) {
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
      return 'it offers no TLS 1.3'
    case 'ERR_SSL_NO_APPLICATION_PROTOCOL':
      return 'it speaks no protocol of Sitelink'
    case 'ECONNRESET':
    case 'EPIPE':
      return 'it went away in the middle of the TLS handshake'
    default:
      return `its TLS handshake is not valid${code === undefined ? '' : ` (${code})`}`
  }
}

/** Which error a TLS handshake is that we began. */
export function dialErrorCode(code: string | undefined): ProtocolErrorCode {
  switch (code) {
    case 'ERR_SSL_WRONG_VERSION_NUMBER':
    case 'ERR_SSL_PACKET_LENGTH_TOO_LONG':
      return 'TLS_PLAIN_PEER'
    case 'ERR_SSL_UNSUPPORTED_PROTOCOL':
    case 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION':
    case 'ERR_SSL_NO_PROTOCOLS_AVAILABLE':
      return 'TLS_OLD_PEER'
    case 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL':
      return 'TLS_OTHER_PROGRAM'
    default:
      return 'TLS_FAILED'
  }
}
