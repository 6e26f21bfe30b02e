/**
 * The invitation as an operator carries it from one host to the other: one word, `SLINK1-...`.
 *
 * Owns how it is written and read; what parses prints as the same. It holds where the inviting side can be reached, the
 * fingerprint by which it is known, the invitation's id and its secret. A checksum tells a word that was not copied
 * whole from one that is none. Pure. Whether an invitation still counts is for the inviting side to say.
 *
 *   SLINK1- base64url( 1 | id 8 | secret 16 | fingerprint 32 | addresses, a space between | CRC-32 of all before )
 */
import { crc32 } from '../entry/crc.js'
import { ProtocolError } from '../errors.js'
import { parseHostAddress } from '../transport/address.js'
import { KEYED_SCHEMES } from '../transport/keyed.js'

export interface Invitation {
  /** 16 hex digits. */
  readonly id: string
  readonly secret: Buffer
  /** Of the inviting side, 64 hex digits. */
  readonly fingerprint: string
  /** Where it can be reached, tried in turn. */
  readonly addresses: readonly string[]
}

export const TOKEN_PREFIX = 'SLINK1-'
export const INVITATION_ID_BYTES = 8
export const SECRET_BYTES = 16
export const TOKEN_ADDRESSES_MAX = 8
const FINGERPRINT_BYTES = 32
const VERSION = 1
const FIXED_BYTES = 1 + INVITATION_ID_BYTES + SECRET_BYTES + FINGERPRINT_BYTES
const CRC_BYTES = 4
const TOKEN_CHARACTERS_MAX = 4096

/** True for a word that is meant as an invitation, good or not. */
export function looksLikeToken(word: string): boolean {
  return word.startsWith(TOKEN_PREFIX)
}

export function encodeToken({ id, secret, fingerprint, addresses }: Invitation): string {
  const body = Buffer.concat([
    Buffer.of(VERSION),
    Buffer.from(id, 'hex'),
    secret,
    Buffer.from(fingerprint, 'hex'),
    Buffer.from(addresses.join(' '), 'utf8'),
  ])
  const crc = Buffer.alloc(CRC_BYTES)
  crc.writeUInt32LE(crc32(body))
  return TOKEN_PREFIX + Buffer.concat([body, crc]).toString('base64url')
}

/** Throws `TOKEN_INVALID`, which says nothing of the secret. */
export function decodeToken(word: string): Invitation {
  if (!looksLikeToken(word)) throw invalid(`it does not begin with ${TOKEN_PREFIX}`)
  const text = word.slice(TOKEN_PREFIX.length)
  if (text.length > TOKEN_CHARACTERS_MAX || !/^[A-Za-z0-9_-]*$/.test(text)) throw invalid('it has other characters')
  const bytes = Buffer.from(text, 'base64url')
  if (bytes.toString('base64url') !== text) throw invalid('it was not copied whole')
  const end = bytes.length - CRC_BYTES
  if (end <= FIXED_BYTES) throw invalid('it is too short')
  const body = bytes.subarray(0, end)
  if (crc32(body) !== bytes.readUInt32LE(end)) throw invalid('it was not copied whole')
  if (body[0] !== VERSION) throw invalid('it is of a release that this one does not know')
  let at = 1
  const take = (count: number): Buffer => body.subarray(at, (at += count))
  const id = take(INVITATION_ID_BYTES).toString('hex')
  const secret = Buffer.from(take(SECRET_BYTES))
  const fingerprint = take(FINGERPRINT_BYTES).toString('hex')
  const addresses = body.subarray(at).toString('utf8').split(' ')
  if (addresses.length > TOKEN_ADDRESSES_MAX) throw invalid('it has too many addresses')
  for (const address of addresses) {
    if (!KEYED_SCHEMES.includes(parseHostAddress(address).scheme))
      throw invalid(`its address "${address}" is not one of an encrypted link`)
  }
  return { id, secret, fingerprint, addresses }
}

function invalid(why: string): ProtocolError {
  return new ProtocolError('TOKEN_INVALID', { why })
}
