/**
 * Invitations: tokens that read back as they were, proofs that are good for two keys alone, and enrolments that count
 * once, in time, and over TLS only with the keys that TLS has proven.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  answerEnrolment,
  askToEnrol,
  decodeToken,
  encodeToken,
  judgeEnrolment,
  pruneInvitations,
  REMEMBERED_MS,
  TlsTransport,
  type EnrolCode,
  type EnrolPair,
  type EnrolRequest,
  type Invitation,
  type OpenInvitation,
  type ShownPeer,
} from '../../src/index.js'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, proofOf } from '../../src/enrol/enrol-words.js'
import { ENROL_MS } from '../../src/enrol/enrolment.js'
import type { Connection, ConnectionHandler } from '../../src/transport/transport.js'
import { realClock, SimClock } from '../support/clock.js'
import { FIRST, OTHER, STRANGER } from '../support/identities.js'
import { knows } from '../support/judges.js'

const SECRET = Buffer.from('00112233445566778899aabbccddeeff', 'hex')
const INVITATION: Invitation = {
  id: '0123456789abcdef',
  secret: SECRET,
  fingerprint: FIRST.fingerprint,
  addresses: ['tls://backup.example:7373', 'tls://[2001:db8::1]:7373'],
}
const OPEN: OpenInvitation = {
  id: INVITATION.id,
  secret: SECRET.toString('hex'),
  name: 'berlin',
  rights: ['replicate'],
  expiresMs: 1000,
}
const PAIR: EnrolPair = { primary: OTHER.fingerprint, agent: FIRST.fingerprint }
const requestFor = (pair: EnrolPair, secret = SECRET): EnrolRequest => ({
  id: OPEN.id,
  proof: proofOf(secret, 'primary', OPEN.id, pair),
})

test('a token reads back as what it was made of', () => {
  const token = encodeToken(INVITATION)
  assert.match(token, /^SLINK1-[A-Za-z0-9_-]{100,200}$/)
  assert.deepEqual(decodeToken(token), INVITATION)
})

test('a token that is cut, changed or of something else is refused, and the refusal does not hold it', () => {
  const token = encodeToken(INVITATION)
  const bad = [
    '',
    'SLINK1-',
    'SLINK1-AAAA',
    token.slice(7),
    `${token}=`,
    `${token} `,
    token.slice(0, -1),
    `${token}A`,
    encodeToken({ ...INVITATION, addresses: ['tcp://plain:1'] }),
    encodeToken({ ...INVITATION, addresses: Array.from({ length: 9 }, () => 'tls://h:1') }),
    `SLINK1-${'A'.repeat(5000)}`,
  ]
  for (let at = 8; at < token.length; at += 7)
    bad.push(`${token.slice(0, at)}${token[at] === 'A' ? 'B' : 'A'}${token.slice(at + 1)}`)
  for (const word of bad) {
    assert.throws(
      () => decodeToken(word),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'TOKEN_INVALID', error.message)
        assert.equal(error.message.includes(token.slice(20, 40)), false)
        return true
      },
      word,
    )
  }
})

test('requests and answers have one size, and anything else is none', () => {
  const request = requestFor(PAIR)
  assert.deepEqual(decodeRequest(encodeRequest(request)), request)
  assert.equal(encodeRequest(request).length, 41)
  assert.equal(decodeRequest(Buffer.alloc(41)), null)
  assert.equal(decodeRequest(Buffer.alloc(40, 1)), null)
  assert.deepEqual(decodeAnswer(encodeAnswer('used', null)), { code: 'used', proof: Buffer.alloc(32) })
  assert.equal(decodeAnswer(Buffer.alloc(33, 200)), null)
  assert.equal(decodeAnswer(Buffer.alloc(0)), null)
})

test('an invitation counts once, until its time, for whoever proves to know its secret', () => {
  const taken = judgeEnrolment([OPEN], requestFor(PAIR), PAIR, 999)
  assert.ok(taken.kind === 'enrol')
  assert.deepEqual(taken.invitations, [{ ...OPEN, secret: null }])
  const refusals: [EnrolCode, readonly OpenInvitation[], EnrolRequest, EnrolPair, number][] = [
    ['used', taken.invitations, requestFor(PAIR), PAIR, 0],
    ['expired', [OPEN], requestFor(PAIR), PAIR, 1000],
    ['unknown', [], requestFor(PAIR), PAIR, 0],
    ['unknown', [OPEN], requestFor(PAIR, Buffer.alloc(16)), PAIR, 0],
    // A proof that was seen on the way is worth nothing with other keys, nor is the agent's own.
    ['unknown', [OPEN], requestFor(PAIR), { ...PAIR, primary: STRANGER.fingerprint }, 0],
    ['unknown', [OPEN], requestFor(PAIR), { ...PAIR, agent: STRANGER.fingerprint }, 0],
    ['unknown', [OPEN], { id: OPEN.id, proof: proofOf(SECRET, 'agent', OPEN.id, PAIR) }, PAIR, 0],
    ['unknown', [OPEN], { id: OPEN.id, proof: Buffer.alloc(32) }, PAIR, 5000],
  ]
  for (const [code, invitations, request, pair, nowMs] of refusals)
    assert.deepEqual(judgeEnrolment(invitations, request, pair, nowMs), { kind: 'refuse', code })
})

test('invitations that nobody has to be told of any more are forgotten, the oldest first', () => {
  const other = { ...OPEN, id: 'ffffffffffffffff', expiresMs: 2000 }
  assert.deepEqual(pruneInvitations([OPEN, other], 1000 + REMEMBERED_MS), [other])
  assert.deepEqual(pruneInvitations([OPEN, other], 0, 1), [other])
})

/** An agent that takes enrolments and answers as `decide` says; what it was shown and asked. */
async function enrolling(
  decide: (request: EnrolRequest, peer: ShownPeer) => { code: EnrolCode; proof: Buffer | null },
): Promise<{ address: string; close(): Promise<void>; accepted: () => number }> {
  let accepted = 0
  const transport = new TlsTransport({
    clock: realClock,
    identity: () => FIRST,
    judge: knows(),
    enrol: (connection, peer) => void answerEnrolment(connection, realClock, async (request) => decide(request, peer)),
  })
  const listener = await transport.listen('tls://127.0.0.1:0', () => (accepted += 1))
  const close = async (): Promise<void> => {
    transport.endAll('the test is over')
    await listener.close()
  }
  return { address: listener.address, close, accepted: () => accepted }
}

const dialler = new TlsTransport({ clock: realClock, identity: () => OTHER, judge: knows(FIRST) })
const limits = { clock: realClock, timeoutMs: 10_000 }

test('over TLS both sides prove the secret for the keys that they met, and an unknown key gets no session by it', async (t) => {
  const asked: { request: EnrolRequest; peer: ShownPeer }[] = []
  const { address, close, accepted } = await enrolling((request, peer) => {
    asked.push({ request, peer })
    return { code: 'enrolled', proof: proofOf(SECRET, 'agent', request.id, PAIR) }
  })
  t.after(close)
  const { connection, peer } = await dialler.dialFor('enrol', address, { timeoutMs: 10_000 })
  assert.equal(peer.keys[0], FIRST.fingerprint)
  await askToEnrol(connection, INVITATION, PAIR, address, limits)
  assert.equal(asked.length, 1)
  assert.equal(asked[0]?.peer.keys[0], OTHER.fingerprint)
  assert.deepEqual(asked[0]?.request, requestFor(PAIR))
  await assert.rejects(dialler.dial(address, { timeoutMs: 10_000 }), { code: 'TLS_NOT_KNOWN' })
  assert.equal(accepted(), 0)
})

test('an agent that does not know the secret is not believed, and its refusals are sentences', async (t) => {
  for (const [code, proof, says] of [
    ['enrolled', Buffer.alloc(32), /not that of the side that made the invitation/],
    ['enrolled', proofOf(SECRET, 'primary', OPEN.id, PAIR), /not that of the side/],
    ['used', null, /has been used already, and counts once/],
    ['expired', null, /has expired/],
    ['busy', null, /too many wrong tokens/],
  ] as const) {
    const { address, close } = await enrolling(() => ({ code, proof }))
    t.after(close)
    const { connection } = await dialler.dialFor('enrol', address, { timeoutMs: 10_000 })
    await assert.rejects(
      askToEnrol(connection, INVITATION, PAIR, address, limits),
      (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ENROL_REFUSED')
        assert.match(error.message, says)
        return true
      },
    )
  }
})

test('an enrolment takes one request of its size and nothing more', async (t) => {
  let decided = 0
  const { address, close } = await enrolling(() => {
    decided += 1
    return { code: 'unknown', proof: null }
  })
  t.after(close)
  for (const bytes of [Buffer.alloc(42, 1), Buffer.alloc(41, 9), Buffer.alloc(1_000_000, 1)]) {
    const { connection } = await dialler.dialFor('enrol', address, { timeoutMs: 10_000 })
    let heard = 0
    const ended = new Promise<void>((resolve) =>
      connection.attach({ data: (chunk) => (heard += chunk.length), drained: () => {}, closed: () => resolve() }),
    )
    connection.write([bytes])
    await ended
    assert.equal(heard, 0)
  }
  assert.equal(decided, 0)
})

test('an enrolment that sends no request, or takes no answer, is over after its time', async () => {
  for (const bytes of [null, encodeRequest(requestFor(PAIR))]) {
    const clock = new SimClock()
    let handler: ConnectionHandler | null = null
    let destroyed = 0
    const connection = {
      attach: (given: ConnectionHandler) => (handler = given),
      write: () => true,
      close: () => {},
      destroy: () => (destroyed += 1),
    } as unknown as Connection
    void answerEnrolment(connection, clock, async () => ({ code: 'unknown', proof: null }))
    if (bytes !== null) (handler as unknown as ConnectionHandler).data(bytes)
    clock.run(ENROL_MS - 1)
    assert.equal(destroyed, 0)
    clock.run(1)
    assert.equal(destroyed, 1)
  }
})
