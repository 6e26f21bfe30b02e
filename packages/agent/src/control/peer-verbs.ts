/**
 * The control verbs of identity and peers: each checks its body and calls the one who knows. No logic of its own.
 */
import { daemonErrors, type ControlServer, type IdentityFile } from '@sitelink/daemon'
import { PEER_RIGHTS, type PeerRight, type KeyedTransports } from '@sitelink/protocol'
import { asAgentError } from '../errors.js'
import type { AgentEventSink } from '../events.js'
import { INVITATION_MS_MAX } from '../limits.js'
import { nowMs, type Gatekeeper } from '../trust/gatekeeper.js'
import { invite, RIGHTS_DEFAULT, type InviteParts, type InviteWish } from '../trust/invite.js'
import { peerList } from '../trust/peer-rows.js'
import { short, withPeer } from '../trust/trust.js'

export interface PeerVerbParts extends Omit<InviteParts, 'listening' | 'own'> {
  readonly identity: IdentityFile
  readonly gatekeeper: Gatekeeper
  readonly keyed: KeyedTransports
  readonly event: AgentEventSink
  readonly listening: () => readonly string[]
}

/** Registers every verb of identity and peers. */
export function registerPeerVerbs(server: ControlServer, parts: PeerVerbParts): void {
  const { identity, gatekeeper, keyed, event, trust, clock } = parts
  const verb = (name: string, run: (body: unknown) => unknown): void => {
    server.verb(name, async (body) => {
      try {
        return await run(body)
      } catch (error) {
        throw asAgentError(error)
      }
    })
  }
  verb('invite', async (body) => {
    const own = (): string => identity.current.fingerprint
    const invited = await invite({ ...parts, own, listening: parts.listening() }, inviteWish(body))
    event({
      level: 'info',
      kind: 'invited',
      message: `a primary was invited as ${invited.name}`,
      facts: { peer: invited.name, rights: invited.rights.join(' '), expiresMs: invited.expiresMs },
    })
    return invited
  })
  verb('peer-ls', () => peerList(trust.current, nowMs(clock)))
  verb('peer-add', async (body) => {
    const { name, fingerprint } = objectOf(body, ['name', 'fingerprint'])
    if (typeof name !== 'string' || typeof fingerprint !== 'string') throw invalid('name and fingerprint are strings')
    await trust.update((current) => withPeer(current, { name, fingerprint, rights: RIGHTS_DEFAULT }, nowMs(clock)))
    const message = `${name} was added by its fingerprint and may ${RIGHTS_DEFAULT.join(', ')}`
    event({ level: 'info', kind: 'peer-enrolled', message, facts: { peer: name, fingerprint } })
    return { name, fingerprint }
  })
  verb('peer-revoke', (body) => {
    const { name } = objectOf(body, ['name'])
    if (typeof name !== 'string') throw invalid('name is not a string')
    return gatekeeper.revoke(name)
  })
  verb('identity-rotate', async () => {
    const { fingerprint } = await identity.rotate()
    const message = `the identity of this agent is ${short(fingerprint)} now`
    event({ level: 'info', kind: 'identity-rotated', message, facts: { fingerprint } })
    // So that peers meet the new key now, while both know each other, and not at some outage.
    keyed.endAll('the identity of this side was rotated')
    return { fingerprint }
  })
}

function inviteWish(body: unknown): InviteWish {
  const { addresses, name, rights, validMs } = objectOf(body, ['addresses', 'name', 'rights', 'validMs'])
  if (!Array.isArray(addresses) || addresses.some((one) => typeof one !== 'string'))
    throw invalid('addresses is not a list of strings')
  if (name !== null && typeof name !== 'string') throw invalid('name is neither null nor a string')
  if (!Array.isArray(rights) || rights.length === 0 || rights.some((one) => !PEER_RIGHTS.includes(one as PeerRight)))
    throw invalid(`rights is not a list of ${PEER_RIGHTS.join(', ')}`)
  if (!Number.isSafeInteger(validMs) || (validMs as number) < 1 || (validMs as number) > INVITATION_MS_MAX)
    throw invalid(`validMs is not a number from 1 to ${INVITATION_MS_MAX}`)
  return { addresses: addresses as string[], name, rights: rights as PeerRight[], validMs: validMs as number }
}

function objectOf<const K extends string>(body: unknown, keys: readonly K[]): Record<K, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw invalid('the body is not an object')
  for (const key of Object.keys(body))
    if (!(keys as readonly string[]).includes(key)) throw invalid(`${key} is not a key of this request`)
  return body as Record<K, unknown>
}

function invalid(why: string): Error {
  return daemonErrors.create('CONTROL_REQUEST_INVALID', { why })
}
