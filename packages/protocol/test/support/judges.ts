/**
 * Judges for the tests of the TLS transport: who knows whom, without a file behind it.
 *
 * Owns nothing. A key counts if it is the one that is known, or proves to have succeeded it.
 */
import type { Judge, TlsIdentity } from '../../src/index.js'

/** Knows these, and their successors. */
export function knows(...known: readonly TlsIdentity[]): Judge {
  return async ({ keys }) =>
    known.some(({ fingerprint }) => keys.includes(fingerprint))
      ? { kind: 'known' }
      : { kind: 'refused', verdict: 'unknown', why: 'nobody knows its key' }
}
