/**
 * Whom an agent trusts: the rules, and the gatekeeper that carries them out, with memory in place of files.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseConfig } from '@sitelink/daemon'
import { decodeToken, type Clock, type EnrolPair, type EnrolRequest, type Random } from '@sitelink/protocol'
import { createHmac } from 'node:crypto'
import type { AgentEvent } from '../src/events.js'
import { PEERS_MAX, REFUSAL_EVENTS_MAX, REFUSAL_EVENTS_MS } from '../src/limits.js'
import { Gatekeeper, type TrustStore } from '../src/trust/gatekeeper.js'
import { invite, rightsOf } from '../src/trust/invite.js'
import { trustFormat } from '../src/trust/trust-format.js'
import {
  enrolPeer,
  judgePeer,
  NOBODY,
  withInvitation,
  withoutPeer,
  withSuccessor,
  type AgentTrust,
  type TrustedPeer,
} from '../src/trust/trust.js'

const [A, B, C, D] = ['a', 'b', 'c', 'd'].map((digit) => digit.repeat(64)) as [string, string, string, string]
const peer = (name: string, fingerprint: string, change: Partial<TrustedPeer> = {}): TrustedPeer => ({
  name,
  fingerprint,
  rights: ['replicate'],
  enrolledMs: 1,
  revokedMs: null,
  ...change,
})
const trusting = (...peers: TrustedPeer[]): AgentTrust => ({ peers, invitations: [] })

test('a peer is the pinned key, or one that succeeds it; strangers, revoked ones and those without the right are none', () => {
  const trust = trusting(peer('one', A), peer('gone', B, { revokedMs: 5 }), peer('reader', C, { rights: ['status'] }))
  const kinds = (...keys: string[]): string => {
    const judged = judgePeer(trust, keys, 'replicate')
    return judged.kind === 'known' ? `${judged.peer.name} ${judged.before ?? '-'}` : `${judged.verdict}: ${judged.why}`
  }
  assert.equal(kinds(A), 'one -')
  assert.equal(kinds(D, A), `one ${A}`)
  assert.match(kinds(), /^unknown: it showed no certificate/)
  assert.match(kinds(D), /^unknown: its key d{16} was never enrolled/)
  assert.match(kinds(B), /^unknown: its key is that of gone, which was revoked/)
  assert.match(kinds(D, B), /^unknown: .*revoked/)
  assert.match(kinds(C), /^forbidden: it is reader, which has not the right "replicate"/)
})

test('a pin that has moved does not come back: neither the old key nor another successor of it is known', () => {
  const moved = withSuccessor(trusting(peer('one', A)), A, B)
  assert.equal(judgePeer(moved, [B, A], 'replicate').kind, 'known')
  assert.equal(judgePeer(moved, [A], 'replicate').kind, 'refused')
  assert.equal(judgePeer(moved, [C, A], 'replicate').kind, 'refused')
})

test('after a theft the key that is enrolled anew counts, although it succeeds the revoked one, and no other does', () => {
  const trust = trusting(peer('old', A, { revokedMs: 5 }), peer('new', B))
  assert.equal(judgePeer(trust, [B, A], 'replicate').kind, 'known')
  assert.equal(judgePeer(trust, [C, A], 'replicate').kind, 'refused')
})

/** A request that proves to know the secret, made by the words of docs/decisions/0006 and not by the code under test. */
function requestFor(id: string, secret: string, pair: EnrolPair): EnrolRequest {
  const text = `sitelink-enrol/1 primary ${id} ${pair.primary} ${pair.agent}`
  return { id, proof: createHmac('sha256', Buffer.from(secret, 'hex')).update(text).digest() }
}

const wish = { id: '0'.repeat(16), secret: '1'.repeat(32), rights: ['replicate'] as const, expiresMs: 1000 }

test('an enrolment uses the invitation up and pins the peer in one state', () => {
  const { trust } = withInvitation(NOBODY, { ...wish, name: 'berlin' }, 0)
  const pair = { primary: A, agent: D }
  const enrolled = enrolPeer(trust, requestFor(wish.id, wish.secret, pair), pair, 500)
  assert.ok(enrolled.kind === 'enrolled')
  assert.deepEqual(enrolled.trust.peers, [peer('berlin', A, { enrolledMs: 500 })])
  assert.equal(enrolled.trust.invitations[0]?.secret, null)
  assert.deepEqual(enrolPeer(enrolled.trust, requestFor(wish.id, wish.secret, pair), pair, 500), {
    kind: 'refused',
    code: 'used',
  })
})

test('a full list takes the place of a revoked peer, and none of one that counts', () => {
  const crowd = Array.from({ length: PEERS_MAX }, (_, at) => peer(`p${at}`, at.toString(16).padStart(64, '0')))
  const pair = { primary: A, agent: D }
  const enrolled = (peers: TrustedPeer[]): ReturnType<typeof enrolPeer> => {
    const { trust } = withInvitation({ ...NOBODY, peers }, { ...wish, name: 'new' }, 0)
    return enrolPeer(trust, requestFor(wish.id, wish.secret, pair), pair, 1)
  }
  assert.deepEqual(enrolled(crowd), { kind: 'refused', code: 'full' })
  const one = enrolled(crowd.with(7, { ...(crowd[7] as TrustedPeer), revokedMs: 3 }))
  assert.ok(one.kind === 'enrolled' && one.trust.peers.length === PEERS_MAX)
  assert.equal(
    one.trust.peers.some(({ name }) => name === 'p7'),
    false,
  )
})

test('names are unique among those that count, and given where none is wished', () => {
  const first = withInvitation(NOBODY, { ...wish, name: null }, 0)
  assert.equal(first.invitation.name, 'primary-1')
  assert.equal(withInvitation(first.trust, { ...wish, name: null }, 0).invitation.name, 'primary-2')
  assert.throws(() => withInvitation(first.trust, { ...wish, name: 'primary-1' }, 0), { code: 'AGENT_PEER_EXISTS' })
  assert.equal(
    withInvitation(first.trust, { ...wish, name: null }, 1000).invitation.name,
    'primary-1',
    'it has expired',
  )
  assert.throws(() => withInvitation(NOBODY, { ...wish, name: 'a b' }, 0), { code: 'AGENT_PEER_NAME' })
})

test('a peer is revoked by its name or the beginning of its fingerprint, and only one at a time', () => {
  const trust = trusting(peer('one', A), peer('two', `${'a'.repeat(8)}${'b'.repeat(56)}`))
  assert.equal(withoutPeer(trust, 'one', 9).trust.peers[0]?.revokedMs, 9)
  assert.equal(withoutPeer(trust, 'a'.repeat(9), 9).peer.name, 'one')
  for (const word of ['a'.repeat(8), 'aaaa', 'three', ''])
    assert.throws(() => withoutPeer(trust, word, 9), { code: 'AGENT_PEER_UNKNOWN' }, word)
  const gone = withoutPeer(trust, 'one', 9).trust
  assert.throws(() => withoutPeer(gone, 'one', 9), { code: 'AGENT_PEER_UNKNOWN' })
})

test('a list of whom to trust is taken whole or not at all', () => {
  const good = { version: 1, ...withInvitation(trusting(peer('one', A)), { ...wish, name: 'two' }, 0).trust }
  assert.equal(parseConfig('trust.json', trustFormat, JSON.stringify(good)).peers.length, 1)
  for (const bad of [
    { ...good, peers: [peer('one', A), peer('two', A)] },
    { ...good, peers: [peer('one', 'A'.repeat(64))] },
    { ...good, peers: [peer('one', A, { enrolledMs: 0 })] },
    { ...good, peers: [peer('o/ne', A)] },
    { ...good, peers: [{ ...peer('one', A), rights: ['everything'] }] },
    { ...good, more: 1 },
    { ...good, invitations: [{ ...wish, name: 'x', secret: 'short' }] },
    { version: 1, peers: [] },
  ])
    assert.throws(() => parseConfig('trust.json', trustFormat, JSON.stringify(bad)), { code: 'CONFIG_INVALID' })
})

interface Rig {
  readonly gatekeeper: Gatekeeper
  readonly store: TrustStore & { current: AgentTrust; writes: number; broken: boolean }
  readonly events: AgentEvent[]
  readonly ended: string[]
  passMs(ms: number): void
}

function rig(first: AgentTrust): Rig {
  let atMs = 1_000_000
  const clock = { nowMs: () => atMs, wallUs: () => atMs * 1000 } as Clock
  const events: AgentEvent[] = []
  const ended: string[] = []
  const store: Rig['store'] = {
    current: first,
    writes: 0,
    broken: false,
    async update(change) {
      if (this.broken) throw new Error('the disk is full')
      this.writes += 1
      this.current = change(this.current)
      return this.current
    },
  }
  const gatekeeper = new Gatekeeper({
    clock,
    random: {} as Random,
    trust: store,
    own: () => D,
    event: (event) => events.push(event),
    endPeer: (fingerprint) => ended.push(fingerprint),
  })
  return { gatekeeper, store, events, ended, passMs: (ms) => (atMs += ms) }
}
const shown = (...keys: string[]) => ({ keys, remote: '192.0.2.1:1', purpose: 'session' as const })

test('a rotation is durable before the peer is let in, and ends what the old key still has', async () => {
  const { gatekeeper, store, events, ended } = rig(trusting(peer('one', A)))
  assert.equal((await gatekeeper.judge(shown(A))).kind, 'known')
  assert.equal(store.writes, 0)
  assert.equal((await gatekeeper.judge(shown(B, A))).kind, 'known')
  assert.equal(store.current.peers[0]?.fingerprint, B)
  assert.deepEqual(ended, [A])
  assert.equal(events[0]?.kind, 'peer-rotated')
  store.broken = true
  await assert.rejects(gatekeeper.judge(shown(C, B)), /the disk is full/)
  assert.equal((await gatekeeper.judge(shown(A))).kind, 'refused')
})

test('a revocation is durable first, then ends the connections, then is told', async () => {
  const { gatekeeper, store, events, ended } = rig(trusting(peer('one', A)))
  store.broken = true
  await assert.rejects(gatekeeper.revoke('one'))
  assert.deepEqual([ended.length, events.length], [0, 0])
  store.broken = false
  await gatekeeper.revoke('one')
  assert.deepEqual(ended, [A])
  assert.equal(events[0]?.kind, 'peer-revoked')
  assert.equal((await gatekeeper.judge(shown(A))).kind, 'refused')
})

test('strangers cause few events: the same one once in a window, and no more than there is room for', () => {
  const { gatekeeper, events, passMs } = rig(NOBODY)
  for (let count = 0; count < 1000; count++) gatekeeper.refused({ remote: 'x', key: A, why: 'it is unknown' })
  assert.equal(events.length, 1)
  for (let count = 0; count < 1000; count++) gatekeeper.refused({ remote: 'x', key: `${count}`, why: 'it is unknown' })
  assert.equal(events.length, REFUSAL_EVENTS_MAX)
  passMs(REFUSAL_EVENTS_MS)
  gatekeeper.refused({ remote: 'x', key: B, why: 'it is unknown' })
  assert.match(events.at(-1)?.message ?? '', /and 981 more were, before it/)
})

test('an invitation names where the agent is reached, and a wildcard is no such place', async () => {
  const { store } = rig(NOBODY)
  const random = { bytes: (count: number) => Buffer.alloc(count, 7) } as Random
  const clock = { wallUs: () => 5_000_000 } as Clock
  const parts = { trust: store, clock, random, own: () => D, state: '/state' }
  const asked = { addresses: [], name: null, rights: rightsOf('replicate,promote'), validMs: 1000 }
  const { token, expiresMs } = await invite({ ...parts, listening: ['tls://0.0.0.0:7373', 'tcp://0.0.0.0:1'] }, asked)
  const { addresses, fingerprint, secret } = decodeToken(token)
  assert.equal(addresses.length, 1)
  assert.match(addresses[0] ?? '', /^tls:\/\/[^0].*:7373$/)
  assert.equal(fingerprint, D)
  assert.equal(store.current.invitations[0]?.secret, secret.toString('hex'))
  assert.deepEqual(store.current.invitations[0]?.rights, ['replicate', 'promote'])
  assert.equal(expiresMs, 6000)
  for (const listening of [[], ['tcp://0.0.0.0:1']])
    await assert.rejects(invite({ ...parts, listening }, asked), { code: 'AGENT_INVITE_ADDRESS' })
  await assert.rejects(invite({ ...parts, listening: [] }, { ...asked, addresses: ['tcp://h:1'] }), {
    code: 'AGENT_INVITE_ADDRESS',
  })
  assert.throws(() => rightsOf('replicate,all'), { code: 'AGENT_PEER_RIGHTS' })
})
