/**
 * Self-signed certificates on P-256 for tests, with the dates that are asked for. Written out as DER, so that this room
 * needs no library for it; the programs have their own.
 */
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto'
import type { MakeCertificate } from '../../src/index.js'

function der(tag: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const { length } = body
  const head = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.of(tag, ...head), body])
}

const SEQUENCE = 0x30
const NAME = der(SEQUENCE, der(0x31, der(SEQUENCE, Buffer.from('0603550403', 'hex'), der(0x0c, Buffer.from('a test')))))
const ECDSA_SHA256 = der(SEQUENCE, Buffer.from('06082a8648ce3d040302', 'hex'))

function time(atMs: number): Buffer {
  return der(0x17, Buffer.from(`${new Date(atMs).toISOString().slice(2, 19).replace(/[-T:]/g, '')}Z`))
}

export const makeShortCertificate: MakeCertificate = async (notBeforeMs, notAfterMs) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const content = der(
    SEQUENCE,
    der(0xa0, der(0x02, Buffer.of(2))),
    der(0x02, Buffer.of(1)),
    ECDSA_SHA256,
    NAME,
    der(SEQUENCE, time(notBeforeMs), time(notAfterMs)),
    NAME,
    publicKey.export({ type: 'spki', format: 'der' }),
  )
  const signature = der(0x03, Buffer.of(0), sign('sha256', content, privateKey))
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: new X509Certificate(der(SEQUENCE, content, ECDSA_SHA256, signature)).toString(),
  }
}
