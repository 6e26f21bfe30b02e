/**
 * The invitations of an agent, and whether a request may enrol: a pure decision over a small list.
 *
 * Owns the rules. An invitation counts once and until its time; it is used up in the very state that names the new peer,
 * so that no crash lies between the two. The secret is gone once it was used or has expired. Used and expired ones are
 * remembered for a while, only to be able to say so. It keeps nothing itself: lists go in and come out.
 */
import { proofMatches, proofOf, type EnrolCode, type EnrolPair, type EnrolRequest } from './enrol-words.js'

export interface OpenInvitation {
  /** 16 hex digits. */
  readonly id: string
  /** Hex; null once it was used. */
  readonly secret: string | null
  /** Name that the peer gets. */
  readonly name: string
  readonly rights: readonly PeerRight[]
  /** Wall clock, in milliseconds since 1970. */
  readonly expiresMs: number
}

/** What a peer may do: write its group's devices here, read the status, promote. */
export type PeerRight = 'replicate' | 'status' | 'promote'

export const PEER_RIGHTS: readonly PeerRight[] = ['replicate', 'status', 'promote']

/** So many are kept, used ones included. */
export const INVITATIONS_MAX = 64
/** How long a used or expired one is remembered, in milliseconds. */
export const REMEMBERED_MS = 24 * 3_600_000

export type EnrolDecision =
  | {
      readonly kind: 'enrol'
      /** With this one used up. */
      readonly invitations: readonly OpenInvitation[]
      readonly used: OpenInvitation
      /** For the answer, once both are durable. */
      readonly proof: Buffer
    }
  | { readonly kind: 'refuse'; readonly code: Exclude<EnrolCode, 'enrolled'> }

/** Judges a request. `pair` are the keys that TLS has proven, never ones that were sent. */
export function judgeEnrolment(
  invitations: readonly OpenInvitation[],
  request: EnrolRequest,
  pair: EnrolPair,
  nowMs: number,
): EnrolDecision {
  const found = invitations.find(({ id }) => id === request.id)
  if (found === undefined) return { kind: 'refuse', code: 'unknown' }
  if (found.secret === null) return { kind: 'refuse', code: 'used' }
  const secret = Buffer.from(found.secret, 'hex')
  if (!proofMatches(request.proof, proofOf(secret, 'primary', found.id, pair)))
    return { kind: 'refuse', code: 'unknown' }
  if (nowMs >= found.expiresMs) return { kind: 'refuse', code: 'expired' }
  return {
    kind: 'enrol',
    invitations: invitations.map((one) => (one === found ? { ...one, secret: null } : one)),
    used: found,
    proof: proofOf(secret, 'agent', found.id, pair),
  }
}

/** Without those that nobody has to be told of any more, and with no more than there may be: the oldest go first. */
export function pruneInvitations(
  invitations: readonly OpenInvitation[],
  nowMs: number,
  countMax = INVITATIONS_MAX,
): readonly OpenInvitation[] {
  const kept = invitations.filter(({ expiresMs }) => nowMs < expiresMs + REMEMBERED_MS)
  return kept.slice(Math.max(0, kept.length - countMax))
}
