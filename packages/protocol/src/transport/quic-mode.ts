/**
 * Whether `https://` goes over HTTP/3, which is QUIC on UDP, or over HTTP/2: what somebody wants, and what is used.
 *
 * Owns the words. HTTP/3 needs an optional library at both ends (http3-library.ts). Invariant: what was not asked for is
 * never used, and where HTTP/3 is not used there is a sentence that says why.
 */

/** `auto`: HTTP/3 where it can be had, else HTTP/2. `require`: HTTP/3 or nothing. `never`: HTTP/2 alone. */
export type QuicMode = 'auto' | 'require' | 'never'

export const QUIC_MODES: readonly QuicMode[] = ['auto', 'require', 'never']

/** What carries a connection over `https://`. */
export interface Carrier {
  readonly protocol: 'HTTP/3' | 'HTTP/2'
  /** Why it is not HTTP/3, as a sentence without a full stop; null where it is. */
  readonly why: string | null
}

export const HTTP3: Carrier = { protocol: 'HTTP/3', why: null }

export function http2Because(why: string): Carrier {
  return { protocol: 'HTTP/2', why }
}

export const NOT_ASKED_FOR = 'it is not asked for (--quic never)'
