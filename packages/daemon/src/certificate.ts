/**
 * Makes the keys and certificates by which the two programs know each other: ECDSA P-256, self-signed, or signed by the
 * key that is succeeded.
 *
 * Owns what stands in such a certificate, which is as little as X.509 allows: a name made of the key's fingerprint, so
 * that a chain is found by names, and dates that never matter, because who is trusted is decided by the fingerprint
 * alone; only the certificates that HTTPS shows have dates that count. It keeps no key. The library is loaded when a certificate is made, which is once in the life of a state directory.
 */
import { createHash, generateKeyPairSync, createPrivateKey, sign, X509Certificate, type KeyObject } from 'node:crypto'

/** A private key and the certificate of its public half, both PEM. */
export interface KeyAndCertificate {
  readonly key: string
  readonly certificate: string
}

const NOT_BEFORE = new Date(Date.UTC(2020, 0, 1))
/** RFC 5280 4.1.2.5: no date at which it ends. */
const NOT_AFTER = new Date(Date.UTC(9999, 11, 31, 23, 59, 59))

const COMMON_NAME = '2.5.4.3'
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2'

/** SHA-256 of the public key's SPKI, 64 hex digits: the identity itself. */
export function certificateFingerprint(certificate: string): string {
  return fingerprint(new X509Certificate(certificate).publicKey)
}

/** A new key. With `before` its certificate is signed by that key, which thereby names it as its successor. */
export function makeCertificate(before?: KeyAndCertificate): Promise<KeyAndCertificate> {
  return make(before, NOT_BEFORE, NOT_AFTER)
}

/** A new key with a certificate for a while, as HTTPS clients want it. Wall clock, in milliseconds since 1970. */
export function makeShortCertificate(notBeforeMs: number, notAfterMs: number): Promise<KeyAndCertificate> {
  return make(undefined, new Date(notBeforeMs), new Date(notAfterMs))
}

async function make(
  before: KeyAndCertificate | undefined,
  notBefore: Date,
  notAfter: Date,
): Promise<KeyAndCertificate> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signer = before === undefined ? privateKey : createPrivateKey(before.key)
  const own = fingerprint(publicKey)
  const issuer = before === undefined ? own : certificateFingerprint(before.certificate)
  const { AsnConvert } = await import('@peculiar/asn1-schema')
  const x509 = await import('@peculiar/asn1-x509')
  const name = (of: string): InstanceType<typeof x509.Name> =>
    new x509.Name([
      new x509.RelativeDistinguishedName([
        new x509.AttributeTypeAndValue({
          type: COMMON_NAME,
          value: new x509.AttributeValue({ utf8String: `sitelink ${of.slice(0, 32)}` }),
        }),
      ]),
    ])
  const algorithm = new x509.AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 })
  const content = new x509.TBSCertificate({
    version: x509.Version.v3,
    // Positive, and of this key: the first byte is below 0x80 and not 0.
    serialNumber: bytesOf(Buffer.concat([Buffer.of(1), Buffer.from(own.slice(0, 30), 'hex')])),
    signature: algorithm,
    issuer: name(issuer),
    validity: new x509.Validity({ notBefore, notAfter }),
    subject: name(own),
    subjectPublicKeyInfo: AsnConvert.parse(
      publicKey.export({ type: 'spki', format: 'der' }),
      x509.SubjectPublicKeyInfo,
    ),
  })
  const signature = sign('sha256', Buffer.from(AsnConvert.serialize(content)), signer)
  const certificate = new x509.Certificate({
    tbsCertificate: content,
    signatureAlgorithm: algorithm,
    signatureValue: bytesOf(signature),
  })
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: new X509Certificate(Buffer.from(AsnConvert.serialize(certificate))).toString(),
  }
}

function fingerprint(publicKey: KeyObject): string {
  return createHash('sha256')
    .update(publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex')
}

/** The library takes buffers of their own. */
function bytesOf(buffer: Buffer): ArrayBuffer {
  return new Uint8Array(buffer).buffer
}
