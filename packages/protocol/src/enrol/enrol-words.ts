/**
 * What is said in an enrolment: one request and one answer, both of a fixed size, so that there is nothing to parse.
 *
 * Owns their bytes and the proofs in them. A proof is an HMAC with the invitation's secret over both fingerprints and the
 * side that makes it: it is worth nothing on another connection, and nothing coming back. Pure.
 *
 *   request  1 | id of the invitation 8 | proof of the primary 32      answer  code 1 | proof of the agent 32
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { INVITATION_ID_BYTES } from './token.js'

const PROOF_BYTES = 32
const VERSION = 1

export const REQUEST_BYTES = 1 + INVITATION_ID_BYTES + PROOF_BYTES
export const ANSWER_BYTES = 1 + PROOF_BYTES

/** How an enrolment ended. Used and expired are said only to whoever knows the invitation's random id. */
export type EnrolCode = 'enrolled' | 'unknown' | 'used' | 'expired' | 'busy' | 'full' | 'failed'

const CODES: readonly EnrolCode[] = ['enrolled', 'unknown', 'used', 'expired', 'busy', 'full', 'failed']

export interface EnrolRequest {
  readonly id: string
  readonly proof: Buffer
}

export interface EnrolAnswer {
  readonly code: EnrolCode
  readonly proof: Buffer
}

/** Who takes part: fingerprints as TLS has proven them. */
export interface EnrolPair {
  readonly primary: string
  readonly agent: string
}

/** The proof that `side` knows the secret, good for these two keys alone. */
export function proofOf(secret: Buffer, side: 'primary' | 'agent', id: string, { primary, agent }: EnrolPair): Buffer {
  return createHmac('sha256', secret).update(`sitelink-enrol/1 ${side} ${id} ${primary} ${agent}`).digest()
}

/** Compares without telling by its time where they differ. */
export function proofMatches(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}

export function encodeRequest({ id, proof }: EnrolRequest): Buffer {
  return Buffer.concat([Buffer.of(VERSION), Buffer.from(id, 'hex'), proof])
}

/** Null for what is no request. `bytes` has {@link REQUEST_BYTES}. */
export function decodeRequest(bytes: Buffer): EnrolRequest | null {
  if (bytes.length !== REQUEST_BYTES || bytes[0] !== VERSION) return null
  const proofAt = 1 + INVITATION_ID_BYTES
  return { id: bytes.subarray(1, proofAt).toString('hex'), proof: bytes.subarray(proofAt) }
}

/** Without a proof the answer carries zeros. */
export function encodeAnswer(code: EnrolCode, proof: Buffer | null): Buffer {
  return Buffer.concat([Buffer.of(CODES.indexOf(code)), proof ?? Buffer.alloc(PROOF_BYTES)])
}

/** Null for what is no answer. */
export function decodeAnswer(bytes: Buffer): EnrolAnswer | null {
  const code = CODES[bytes[0] ?? CODES.length]
  if (bytes.length !== ANSWER_BYTES || code === undefined) return null
  return { code, proof: bytes.subarray(1) }
}

/** The code as the end of a sentence; `enrolled` has none. */
export const ENROL_WHY: Readonly<Record<Exclude<EnrolCode, 'enrolled'>, string>> = {
  unknown: 'it does not know this token',
  used: 'the token has been used already, and counts once',
  expired: 'the token has expired',
  busy: 'too many wrong tokens came in a short time: try again in a minute',
  full: 'it has as many peers as it can have',
  failed: 'it could not store who was enrolled',
}
