/**
 * The shape of an agent's `trust.json`, and its rules; the daemon room reads and writes the file.
 *
 * Owns the validation and nothing else: a file that names a peer twice, or one without a key, is refused as a whole,
 * because half a list of whom to trust is worse than none.
 */
import { keyInvalid, type ConfigFormat } from '@sitelink/daemon/light'
import { INVITATIONS_MAX, isFingerprint, PEER_RIGHTS, type OpenInvitation, type PeerRight } from '@sitelink/protocol'
import { PEERS_MAX } from '../limits.js'
import { isPeerName, type AgentTrust, type TrustedPeer } from './trust.js'

export const trustFormat: ConfigFormat<AgentTrust> = {
  name: 'trust.json',
  version: 1,
  versionMin: 1,
  validate: checkTrust,
}

function checkTrust(value: unknown): AgentTrust {
  const { peers, invitations } = recordOf(value, ['peers', 'invitations'], '')
  const checked = listOf(peers, 'peers', PEERS_MAX, peerOf)
  if (new Set(checked.map(({ fingerprint }) => fingerprint)).size < checked.length)
    throw keyInvalid('peers', 'a fingerprint stands twice')
  return { peers: checked, invitations: listOf(invitations, 'invitations', INVITATIONS_MAX, invitationOf) }
}

function peerOf(value: unknown, at: string): TrustedPeer {
  const keys = ['name', 'fingerprint', 'rights', 'enrolledMs', 'revokedMs'] as const
  const { name, fingerprint, rights, enrolledMs, revokedMs } = recordOf(value, keys, at)
  if (!isFingerprint(fingerprint)) throw keyInvalid(`${at}.fingerprint`, 'it should be 64 hex digits')
  return {
    name: nameOf(name, at),
    fingerprint,
    rights: rightsOf(rights, at),
    enrolledMs: timeOf(enrolledMs, `${at}.enrolledMs`),
    revokedMs: revokedMs === null ? null : timeOf(revokedMs, `${at}.revokedMs`),
  }
}

function invitationOf(value: unknown, at: string): OpenInvitation {
  const { id, secret, name, rights, expiresMs } = recordOf(value, ['id', 'secret', 'name', 'rights', 'expiresMs'], at)
  if (typeof id !== 'string' || !/^[0-9a-f]{16}$/.test(id)) throw keyInvalid(`${at}.id`, 'it should be 16 hex digits')
  if (secret !== null && (typeof secret !== 'string' || !/^[0-9a-f]{32}$/.test(secret)))
    throw keyInvalid(`${at}.secret`, 'it should be 32 hex digits or null')
  return {
    id,
    secret,
    name: nameOf(name, at),
    rights: rightsOf(rights, at),
    expiresMs: timeOf(expiresMs, `${at}.expiresMs`),
  }
}

function nameOf(value: unknown, at: string): string {
  if (!isPeerName(value)) throw keyInvalid(`${at}.name`, 'it should be a name')
  return value
}

function rightsOf(value: unknown, at: string): PeerRight[] {
  if (!Array.isArray(value) || value.some((right) => !PEER_RIGHTS.includes(right as PeerRight)))
    throw keyInvalid(`${at}.rights`, `it should be a list of ${PEER_RIGHTS.join(', ')}`)
  return value as PeerRight[]
}

function timeOf(value: unknown, at: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1)
    throw keyInvalid(at, 'it should be milliseconds since 1970')
  return value
}

function listOf<T>(value: unknown, at: string, countMax: number, each: (item: unknown, at: string) => T): T[] {
  if (!Array.isArray(value) || value.length > countMax)
    throw keyInvalid(at, `it should be a list of at most ${countMax}`)
  return value.map((item, index) => each(item, `${at}[${index}]`))
}

function recordOf<K extends string>(value: unknown, keys: readonly K[], at: string): Record<K, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw keyInvalid(at, 'it should be an object')
  const path = (key: string): string => (at === '' ? key : `${at}.${key}`)
  for (const key of Object.keys(value))
    if (!(keys as readonly string[]).includes(key)) throw keyInvalid(path(key), 'it is unknown')
  for (const key of keys) if (!Object.hasOwn(value, key)) throw keyInvalid(path(key), 'it is missing')
  return value as Record<K, unknown>
}
