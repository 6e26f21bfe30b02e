/**
 * Peers and open invitations as verbs report them: without secrets.
 */
import type { PeerRight } from '@sitelink/protocol'
import type { AgentTrust } from './trust.js'

export interface PeerRow {
  readonly name: string
  readonly fingerprint: string
  readonly rights: readonly PeerRight[]
  readonly enrolledMs: number
  readonly revokedMs: number | null
}

export interface InvitationRow {
  readonly name: string
  readonly rights: readonly PeerRight[]
  readonly expiresMs: number
}

export interface PeerList {
  readonly peers: readonly PeerRow[]
  readonly invitations: readonly InvitationRow[]
}

export function peerList({ peers, invitations }: AgentTrust, nowMs: number): PeerList {
  return {
    peers,
    invitations: invitations
      .filter(({ secret, expiresMs }) => secret !== null && nowMs < expiresMs)
      .map(({ name, rights, expiresMs }) => ({ name, rights, expiresMs })),
  }
}
