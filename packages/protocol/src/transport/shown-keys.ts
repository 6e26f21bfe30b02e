/**
 * Which keys the other end of a connection has shown: the one that it uses, and those that this one succeeded.
 *
 * Owns the fingerprint (SHA-256 of the public key's SPKI, as 64 hex digits) and the proof of succession: a certificate
 * that an older key has signed says that its own key takes the older one's place. Nothing else of a certificate counts:
 * no name, no date, no authority. Pure; that the peer holds the first key is proven by TLS, or
 * by a signature over the channel (proof-words.ts).
 *
 *   [key in use] <-signed by- [the one before] <-signed by- [the one before that] ...
 */
import { createHash, type KeyObject, type X509Certificate } from 'node:crypto'

/** Rotations that one chain of certificates may prove. A peer that slept through more has to be enrolled anew. */
export const SUCCESSIONS_MAX = 16

/** SHA-256 of the public key, 64 hex digits. */
export function fingerprintOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

/** True for the text of a fingerprint. */
export function isFingerprint(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text)
}

/** Fingerprints of the certificate's key and of the keys that it provably succeeds, newest first; empty without one. */
export function shownKeys(certificate: X509Certificate | undefined): readonly string[] {
  const chain: X509Certificate[] = []
  let at = certificate
  // A certificate that signed itself is its own issuer.
  while (at !== undefined && !chain.includes(at) && chain.length <= SUCCESSIONS_MAX) {
    chain.push(at)
    at = at.issuerCertificate
  }
  return shownKeysOf(chain)
}

/** As {@link shownKeys}, of certificates in the order in which they were sent. */
export function shownKeysOf(chain: readonly X509Certificate[]): readonly string[] {
  const keys: string[] = []
  try {
    for (const [index, at] of chain.slice(0, SUCCESSIONS_MAX + 1).entries()) {
      keys.push(fingerprintOf(at.publicKey))
      const before = chain[index + 1]
      // Only elliptic curves: what a stranger may have us verify has a price that is known.
      if (before === undefined || before.publicKey.asymmetricKeyType !== 'ec') break
      const key = before.publicKey
      if (keys.includes(fingerprintOf(key)) || !at.verify(key)) break
    }
  } catch {
    // A certificate that cannot be read proves nothing more than those before it.
  }
  return keys
}
