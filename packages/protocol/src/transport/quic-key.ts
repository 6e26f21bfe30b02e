/**
 * The key by which one process is known to QUIC itself: an Ed25519 key of its own, as the native library wants it.
 *
 * It is no identity. It lives as long as the process and is stored nowhere; which identity is behind it is proven on
 * every connection anew (proof-words.ts), over the ids of both keys. Pure, but for the randomness that is passed in.
 */
import { createPrivateKey, createPublicKey } from 'node:crypto'

const SEED_BYTES = 32
/** PKCS #8 around the seed of an Ed25519 key. */
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')
/** SPKI around the public key. */
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')
/** Protobuf of libp2p: field 1 (type) is 1 for Ed25519, field 2 (data) has the 64 bytes that follow. */
const PROTO_HEAD = Buffer.from([0x08, 0x01, 0x12, 0x40])
/** The same of a public key, with 32 bytes; an id is this, behind the head of an identity multihash. */
const PUBLIC_PROTO_HEAD = Buffer.from([0x08, 0x01, 0x12, 0x20])
const IDENTITY_MULTIHASH = Buffer.from([0x00, 0x24])

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

export interface QuicKey {
  readonly privateKeyProto: Buffer
  /** How the other end of a connection names this side. */
  readonly id: string
}

/** Makes the key of 32 random bytes. */
export function quicKey(seed: Buffer): QuicKey {
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8_HEAD, seed.subarray(0, SEED_BYTES)]),
    format: 'der',
    type: 'pkcs8',
  })
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  const publicKey = spki.subarray(SPKI_HEAD.length)
  return {
    privateKeyProto: Buffer.concat([PROTO_HEAD, seed.subarray(0, SEED_BYTES), publicKey]),
    id: base58(Buffer.concat([IDENTITY_MULTIHASH, PUBLIC_PROTO_HEAD, publicKey])),
  }
}

/** The other end of a connection, from what the library calls it; null where that has another form. */
export function quicPeer(
  multiaddr: string,
): { readonly host: string; readonly port: number; readonly id: string } | null {
  const found = /^\/ip[46]\/([^/]+)\/udp\/(\d+)\/quic-v1\/p2p\/([1-9A-HJ-NP-Za-km-z]+)$/.exec(multiaddr)
  if (found === null) return null
  return { host: found[1] as string, port: Number(found[2]), id: found[3] as string }
}

function base58(bytes: Buffer): string {
  let value = BigInt(`0x${bytes.toString('hex')}`)
  let text = ''
  for (; value > 0n; value /= 58n) text = (BASE58[Number(value % 58n)] as string) + text
  for (const byte of bytes) {
    if (byte !== 0) break
    text = `1${text}`
  }
  return text
}
