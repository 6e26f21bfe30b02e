/**
 * Whom an agent trusts: its peers with their rights, and its open invitations. What each change makes of both, purely.
 *
 * Owns the rules: a peer is the key that is pinned, or a key that provably succeeds it; a revoked peer and a stranger are
 * the same to the outside; an invitation is used up in the very state that names the peer. It keeps nothing itself.
 */
import {
  isFingerprint,
  judgeEnrolment,
  pruneInvitations,
  type EnrolCode,
  type EnrolPair,
  type EnrolRequest,
  type OpenInvitation,
  type PeerRight,
} from '@sitelink/protocol'
import { agentErrors } from '../errors.js'
import { PEERS_MAX } from '../limits.js'

export interface TrustedPeer {
  /** Unique among those that are not revoked. */
  readonly name: string
  /** SHA-256 of its public key, 64 hex digits. Unique. */
  readonly fingerprint: string
  readonly rights: readonly PeerRight[]
  /** Wall clock, in milliseconds since 1970. */
  readonly enrolledMs: number
  /** Null while it counts. */
  readonly revokedMs: number | null
}

export interface AgentTrust {
  readonly peers: readonly TrustedPeer[]
  readonly invitations: readonly OpenInvitation[]
}

export const NOBODY: AgentTrust = { peers: [], invitations: [] }

export type PeerJudgement =
  /** `before`: the key that was pinned until now, where the peer shows a successor. */
  | { readonly kind: 'known'; readonly peer: TrustedPeer; readonly before: string | null }
  | { readonly kind: 'refused'; readonly verdict: 'unknown' | 'forbidden'; readonly why: string }

/** Judges who showed these keys (newest first) and wants what takes this right. */
export function judgePeer({ peers }: AgentTrust, keys: readonly string[], right: PeerRight): PeerJudgement {
  const [shown] = keys
  if (shown === undefined) return { kind: 'refused', verdict: 'unknown', why: 'it showed no certificate' }
  // Newest first: a key that was enrolled counts, although it succeeds one that was revoked.
  const peer = keys.map((key) => peers.find(({ fingerprint }) => fingerprint === key)).find((one) => one !== undefined)
  if (peer === undefined)
    return { kind: 'refused', verdict: 'unknown', why: `its key ${short(shown)} was never enrolled here` }
  if (peer.revokedMs !== null)
    return { kind: 'refused', verdict: 'unknown', why: `its key is that of ${peer.name}, which was revoked` }
  if (!peer.rights.includes(right))
    return { kind: 'refused', verdict: 'forbidden', why: `it is ${peer.name}, which has not the right "${right}"` }
  return { kind: 'known', peer, before: peer.fingerprint === shown ? null : peer.fingerprint }
}

/** The pin moves to the key that succeeds it; nothing changes where it has moved or was revoked meanwhile. */
export function withSuccessor(trust: AgentTrust, before: string, fingerprint: string): AgentTrust {
  const peers = trust.peers.map((peer) =>
    peer.fingerprint === before && peer.revokedMs === null ? { ...peer, fingerprint } : peer,
  )
  return { ...trust, peers }
}

export type EnrolOutcome =
  | { readonly kind: 'enrolled'; readonly trust: AgentTrust; readonly peer: TrustedPeer; readonly proof: Buffer }
  | { readonly kind: 'refused'; readonly code: Exclude<EnrolCode, 'enrolled'> }

/** What an enrolment makes of the trust: the invitation is used up and the peer is there, or neither. */
export function enrolPeer(trust: AgentTrust, request: EnrolRequest, pair: EnrolPair, nowMs: number): EnrolOutcome {
  const decision = judgeEnrolment(trust.invitations, request, pair, nowMs)
  if (decision.kind === 'refuse') return { kind: 'refused', code: decision.code }
  const { name, rights } = decision.used
  const peer: TrustedPeer = { name, fingerprint: pair.primary, rights, enrolledMs: nowMs, revokedMs: null }
  const others = trust.peers.filter(({ fingerprint }) => fingerprint !== pair.primary)
  const kept = withRoom(others)
  if (kept === null) return { kind: 'refused', code: 'full' }
  return {
    kind: 'enrolled',
    trust: { peers: [...kept, peer], invitations: decision.invitations },
    peer,
    proof: decision.proof,
  }
}

/** One place for a new peer: the oldest revoked one makes room. Null if all count. */
function withRoom(peers: readonly TrustedPeer[]): readonly TrustedPeer[] | null {
  if (peers.length < PEERS_MAX) return peers
  const oldest = peers.find(({ revokedMs }) => revokedMs !== null)
  return oldest === undefined ? null : peers.filter((peer) => peer !== oldest)
}

/** With one more peer, whose fingerprint the operator has carried here. Throws where it or its name cannot be. */
export function withPeer(
  trust: AgentTrust,
  { name, fingerprint, rights }: Pick<TrustedPeer, 'name' | 'fingerprint' | 'rights'>,
  nowMs: number,
): AgentTrust {
  checkPeerName(name)
  if (!isFingerprint(fingerprint)) throw agentErrors.create('AGENT_PEER_FINGERPRINT', { fingerprint })
  const others = trust.peers.filter((peer) => peer.fingerprint !== fingerprint)
  if (namesOf({ ...trust, peers: others }, nowMs).has(name)) throw agentErrors.create('AGENT_PEER_EXISTS', { name })
  const kept = withRoom(others)
  if (kept === null) throw agentErrors.create('AGENT_PEERS_FULL', { max: PEERS_MAX })
  return { ...trust, peers: [...kept, { name, fingerprint, rights, enrolledMs: nowMs, revokedMs: null }] }
}

/** With one more invitation. Throws where the name is taken. */
export function withInvitation(
  trust: AgentTrust,
  wish: Omit<OpenInvitation, 'name'> & { readonly name: string | null },
  nowMs: number,
): { readonly trust: AgentTrust; readonly invitation: OpenInvitation } {
  const taken = namesOf(trust, nowMs)
  if (wish.name !== null) checkPeerName(wish.name)
  if (wish.name !== null && taken.has(wish.name)) throw agentErrors.create('AGENT_PEER_EXISTS', { name: wish.name })
  const invitation: OpenInvitation = { ...wish, name: wish.name ?? freeName(taken) }
  const invitations = [...pruneInvitations(trust.invitations, nowMs), invitation]
  return { trust: { ...trust, invitations: pruneInvitations(invitations, nowMs) }, invitation }
}

function namesOf({ peers, invitations }: AgentTrust, nowMs: number): Set<string> {
  const open = invitations.filter(({ secret, expiresMs }) => secret !== null && nowMs < expiresMs)
  return new Set([...peers.filter(({ revokedMs }) => revokedMs === null), ...open].map(({ name }) => name))
}

function freeName(taken: ReadonlySet<string>): string {
  for (let number = 1; ; number += 1) if (!taken.has(`primary-${number}`)) return `primary-${number}`
}

/** Throws where it cannot name a peer. */
export function checkPeerName(name: string): void {
  if (!isPeerName(name)) throw agentErrors.create('AGENT_PEER_NAME', { name })
}

export function isPeerName(name: unknown): name is string {
  return typeof name === 'string' && /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)
}

/** Without trust in the peer that `word` names, by its name or the beginning of its fingerprint. */
export function withoutPeer(
  trust: AgentTrust,
  word: string,
  nowMs: number,
): { readonly trust: AgentTrust; readonly peer: TrustedPeer } {
  const counting = trust.peers.filter(({ revokedMs }) => revokedMs === null)
  const found = counting.filter(({ name, fingerprint }) => name === word || isPrefix(word, fingerprint))
  const [peer] = found
  if (peer === undefined || found.length > 1) throw agentErrors.create('AGENT_PEER_UNKNOWN', { name: word })
  const revoked = { ...peer, revokedMs: nowMs }
  return { trust: { ...trust, peers: trust.peers.map((one) => (one === peer ? revoked : one)) }, peer: revoked }
}

function isPrefix(word: string, fingerprint: string): boolean {
  return /^[0-9a-f]{8,64}$/.test(word) && fingerprint.startsWith(word)
}

/** As much of a fingerprint as people compare. */
export function short(fingerprint: string): string {
  return fingerprint.slice(0, 16)
}
