/**
 * Making an invitation: a token that lets one primary, once and for a while, have its key pinned here.
 *
 * Owns what goes into it and what an operator may ask for. The secret is in the token and, until it is used, in
 * `trust.json`; nothing else ever holds or prints it.
 */
import { hostname } from 'node:os'
import {
  encodeToken,
  formatAddress,
  INVITATION_ID_BYTES,
  KEYED_SCHEMES,
  parseHostAddress,
  PEER_RIGHTS,
  SECRET_BYTES,
  TOKEN_ADDRESSES_MAX,
  type Clock,
  type PeerRight,
  type Random,
} from '@sitelink/protocol'
import { agentErrors } from '../errors.js'
import { nowMs, type TrustStore } from './gatekeeper.js'
import { withInvitation } from './trust.js'

export interface InviteWish {
  /** Empty: those that are listened on, as the rest of the world may reach them. */
  readonly addresses: readonly string[]
  /** Name that the peer gets here; null: the next free one. */
  readonly name: string | null
  readonly rights: readonly PeerRight[]
  readonly validMs: number
}

export interface Invited {
  readonly token: string
  readonly name: string
  readonly rights: readonly PeerRight[]
  readonly addresses: readonly string[]
  readonly fingerprint: string
  /** Wall clock, in milliseconds since 1970. */
  readonly expiresMs: number
}

export interface InviteParts {
  readonly trust: TrustStore
  readonly clock: Clock
  readonly random: Random
  /** Fingerprint of this side. */
  readonly own: () => string
  /** Addresses that are listened on. */
  readonly listening: readonly string[]
  readonly state: string
}

export const RIGHTS_DEFAULT: readonly PeerRight[] = ['replicate', 'status']

/** Makes an invitation; it counts once this resolves. */
export async function invite(parts: InviteParts, wish: InviteWish): Promise<Invited> {
  const { trust, clock, random, own } = parts
  const addresses = wish.addresses.length > 0 ? wish.addresses.map(checkedAddress) : reachable(parts)
  if (addresses.length > TOKEN_ADDRESSES_MAX)
    throw agentErrors.create('AGENT_INVITE_ADDRESS', { why: `at most ${TOKEN_ADDRESSES_MAX} fit`, state: parts.state })
  const atMs = nowMs(clock)
  const id = random.bytes(INVITATION_ID_BYTES).toString('hex')
  const secret = random.bytes(SECRET_BYTES)
  const expiresMs = atMs + wish.validMs
  const { rights, name } = wish
  const added = (current: TrustStore['current']): ReturnType<typeof withInvitation> =>
    withInvitation(current, { id, secret: secret.toString('hex'), name, rights, expiresMs }, atMs)
  const { invitations } = await trust.update((current) => added(current).trust)
  const fingerprint = own()
  const made = invitations.at(-1)
  return {
    token: encodeToken({ id, secret, fingerprint, addresses }),
    name: made?.name ?? '',
    rights,
    addresses,
    fingerprint,
    expiresMs,
  }
}

function checkedAddress(address: string): string {
  const parsed = parseHostAddress(address)
  if (!KEYED_SCHEMES.includes(parsed.scheme) || parsed.port === 0)
    throw agentErrors.create('AGENT_INVITE_ADDRESS', {
      why: `${address} is not host:port behind tls://, quic:// or https://`,
      state: 'DIR',
    })
  return formatAddress(parsed)
}

/** A wildcard is no address for others: the name of this host stands in its place. */
function reachable({ listening, state }: InviteParts): string[] {
  const own = listening.map(parseHostAddress).filter(({ scheme }) => KEYED_SCHEMES.includes(scheme))
  if (own.length === 0)
    throw agentErrors.create('AGENT_INVITE_ADDRESS', {
      why: listening.length === 0 ? 'it is not known where it listens' : 'it does not listen on an encrypted address',
      state,
    })
  return own.map(({ scheme, host, port }) =>
    formatAddress({ scheme, host: host === '0.0.0.0' || host === '::' ? hostname() : host, port }),
  )
}

/** `replicate,status`; throws for anything else. */
export function rightsOf(word: string): readonly PeerRight[] {
  const words = word.split(',')
  const bad = words.find((one) => !PEER_RIGHTS.includes(one as PeerRight))
  if (bad !== undefined) throw agentErrors.create('AGENT_PEER_RIGHTS', { word, why: `"${bad}" is none` })
  return PEER_RIGHTS.filter((right) => words.includes(right))
}
