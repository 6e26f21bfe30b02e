/**
 * Which keys the other end of a TLS connection has shown: the one that it uses, and those that this one succeeded.
 *
 * Owns the fingerprint (SHA-256 of the public key's SPKI, as 64 hex digits) and the proof of succession: a certificate
 * that an older key has signed says that its own key takes the older one's place. Nothing else of a certificate counts:
 * no name, no date, no authority. Pure; TLS itself has proven that the peer holds the first key.
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
  const keys: string[] = []
  try {
    let at = certificate
    while (at !== undefined && keys.length <= SUCCESSIONS_MAX) {
      keys.push(fingerprintOf(at.publicKey))
      const before: X509Certificate | undefined = at.issuerCertificate
      // Only elliptic curves: what a stranger may have us verify has a price that is known.
      if (before === undefined || before.publicKey.asymmetricKeyType !== 'ec') break
      const key = before.publicKey
      if (keys.includes(fingerprintOf(key)) || !at.verify(key)) break
      at = before
    }
  } catch {
    // A certificate that cannot be read proves nothing more than those before it.
  }
  return keys
}
