/**
 * What is said on a channel that does not know our identities by itself (QUIC, WebTransport) before its first byte
 * belongs to anybody: each side proves with its key that this very channel is its own.
 *
 * Owns the bytes, and what is signed. A proof names the channel (what both ends know of it and nobody between them can
 * make equal on two channels), the side, the purpose, and a number of each side that was never used before: it is worth
 * nothing on another channel, at another time, or coming back. Pure.
 *
 *   dialling -> listening   "SLPROOF1" 8 | purpose 1 | nonce 32
 *   listening -> dialling   nonce 32 | proof
 *   dialling -> listening   verdict 8 | proof, if the verdict is good
 *   listening -> dialling   verdict 8
 *   dialling -> listening   "." 1, so that a connection that is ended at once was one before
 *
 *   proof   bytes of the certificates 2, little endian | certificates, PEM | signature 64
 */
import { createPrivateKey, sign, verify, X509Certificate, type KeyObject } from 'node:crypto'
import { shownKeysOf } from './shown-keys.js'
import type { TlsIdentity } from './tls-gate.js'
import type { Purpose } from './tls-words.js'

export const NONCE_BYTES = 32
export const SIGNATURE_BYTES = 64
/** Certificates of one proof, in bytes: 16 of those that identities have, and more. */
export const CERTIFICATES_BYTES_MAX = 16 * 1024
export const LENGTH_BYTES = 2

const MAGIC = Buffer.from('SLPROOF1', 'latin1')
const PURPOSES: readonly Purpose[] = ['session', 'enrol']

/** The one who dialled has heard that it is let in. */
export const HEARD = Buffer.from('.', 'latin1')

export const OPENING_BYTES = MAGIC.length + 1 + NONCE_BYTES

/** What both ends know of the channel, and of this exchange over it. */
export interface ProofContext {
  /** The channel, as a word of this transport: keys or hashes that the channel itself has proven. No line breaks. */
  readonly channel: string
  readonly purpose: Purpose
  readonly diallerNonce: Buffer
  readonly listenerNonce: Buffer
}

export type ProofSide = 'dialling' | 'listening'

export interface Opening {
  readonly purpose: Purpose
  readonly nonce: Buffer
}

export function encodeOpening({ purpose, nonce }: Opening): Buffer {
  return Buffer.concat([MAGIC, Buffer.of(PURPOSES.indexOf(purpose)), nonce])
}

/** Null for what is none. `bytes` has {@link OPENING_BYTES}. */
export function decodeOpening(bytes: Buffer): Opening | null {
  const purpose = PURPOSES[bytes[MAGIC.length] ?? PURPOSES.length]
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC) || purpose === undefined) return null
  return { purpose, nonce: Buffer.from(bytes.subarray(MAGIC.length + 1)) }
}

/** The proof that `identity` is at this side of the channel. */
export function encodeProof(identity: TlsIdentity, side: ProofSide, context: ProofContext): Buffer {
  const certificates = Buffer.from(identity.certificates, 'latin1')
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt16LE(certificates.length)
  const key = createPrivateKey(identity.key)
  return Buffer.concat([
    length,
    certificates,
    sign('sha256', transcript(side, context), { key, dsaEncoding: 'ieee-p1363' }),
  ])
}

export type ProofOutcome =
  /** Fingerprints: the key that signed, then those that it succeeded. */
  | { readonly kind: 'proven'; readonly keys: readonly string[] }
  /** `why` ends a sentence about the peer. */
  | { readonly kind: 'unproven'; readonly why: string }

/** Whether `side` has proven an identity, and whose. Never throws, whatever the bytes are. */
export function judgeProof(
  certificates: Buffer,
  signature: Buffer,
  side: ProofSide,
  context: ProofContext,
): ProofOutcome {
  const chain = readChain(certificates.toString('latin1'))
  const key = chain[0]?.publicKey
  if (key === undefined) return { kind: 'unproven', why: 'it shows no certificate that can be read' }
  if (!signed(key, signature, side, context))
    return { kind: 'unproven', why: 'its signature is not that of this key for this connection' }
  return { kind: 'proven', keys: shownKeysOf(chain) }
}

function isOurKind(key: KeyObject): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1'
}

function signed(key: KeyObject, signature: Buffer, side: ProofSide, context: ProofContext): boolean {
  try {
    return verify('sha256', transcript(side, context), { key, dsaEncoding: 'ieee-p1363' }, signature)
  } catch {
    return false
  }
}

function readChain(text: string): X509Certificate[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  const chain: X509Certificate[] = []
  try {
    for (const pem of found) {
      const certificate = new X509Certificate(pem)
      if (isOurKind(certificate.publicKey)) chain.push(certificate) // reading the key may throw
      else break
    }
  } catch {
    // What cannot be read proves nothing more than what stands before it.
  }
  return chain
}

function transcript(side: ProofSide, { channel, purpose, diallerNonce, listenerNonce }: ProofContext): Buffer {
  const lines = [
    'sitelink-proof/1',
    side,
    purpose,
    channel,
    diallerNonce.toString('hex'),
    listenerNonce.toString('hex'),
  ]
  return Buffer.from(lines.join('\n'), 'utf8')
}
