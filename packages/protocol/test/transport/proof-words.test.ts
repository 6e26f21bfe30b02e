/** Proofs of identities over a channel: what they are good for, and that nothing else passes for one. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  CERTIFICATES_BYTES_MAX,
  decodeOpening,
  encodeOpening,
  encodeProof,
  judgeProof,
  LENGTH_BYTES,
  OPENING_BYTES,
  SIGNATURE_BYTES,
  type ProofContext,
  type ProofSide,
} from '../../src/transport/proof-words.js'
import { FIRST, FORGED, OTHER, STRANGER, THIRD } from '../support/identities.js'
import { seeded } from '../support/random.js'
import { quicKey, quicPeer } from '../../src/transport/quic-key.js'
import type { TlsIdentity } from '../../src/index.js'

const CONTEXT: ProofContext = {
  channel: 'quic ONE OTHER',
  purpose: 'session',
  diallerNonce: Buffer.alloc(32, 1),
  listenerNonce: Buffer.alloc(32, 2),
}

function partsOf(proof: Buffer): { certificates: Buffer; signature: Buffer } {
  const end = LENGTH_BYTES + proof.readUInt16LE()
  assert.equal(proof.length, end + SIGNATURE_BYTES)
  return { certificates: proof.subarray(LENGTH_BYTES, end), signature: proof.subarray(end) }
}

function judge(identity: TlsIdentity, side: ProofSide, made: ProofContext, asked = made, askedSide = side): string {
  const { certificates, signature } = partsOf(encodeProof(identity, side, made))
  const outcome = judgeProof(certificates, signature, askedSide, asked)
  return outcome.kind === 'proven' ? (outcome.keys[0] as string) : outcome.why
}

test('a proof shows the key that made it, and those that it succeeded', () => {
  for (const side of ['dialling', 'listening'] as const) assert.equal(judge(FIRST, side, CONTEXT), FIRST.fingerprint)
  const { certificates, signature } = partsOf(encodeProof(THIRD, 'listening', CONTEXT))
  const outcome = judgeProof(certificates, signature, 'listening', CONTEXT)
  assert.equal(outcome.kind === 'proven' && outcome.keys.length, 3)
  const forged = partsOf(encodeProof(FORGED, 'listening', CONTEXT))
  const shown = judgeProof(forged.certificates, forged.signature, 'listening', CONTEXT)
  assert.deepEqual(shown.kind === 'proven' && shown.keys, [FORGED.fingerprint])
})

test('a proof is worth nothing on another channel, for another purpose, at another time, or coming back', () => {
  const no = /signature is not that of this key for this connection/
  assert.match(judge(OTHER, 'dialling', CONTEXT, { ...CONTEXT, channel: 'quic ONE ANOTHER' }), no)
  assert.match(judge(OTHER, 'dialling', CONTEXT, { ...CONTEXT, purpose: 'enrol' }), no)
  assert.match(judge(OTHER, 'dialling', CONTEXT, { ...CONTEXT, diallerNonce: Buffer.alloc(32, 3) }), no)
  assert.match(judge(OTHER, 'dialling', CONTEXT, { ...CONTEXT, listenerNonce: Buffer.alloc(32, 3) }), no)
  assert.match(judge(OTHER, 'dialling', CONTEXT, CONTEXT, 'listening'), no)
})

test('certificates of one key with the signature of another prove nothing', () => {
  const liar = { ...STRANGER, certificates: FIRST.certificates }
  assert.match(judge(liar, 'listening', CONTEXT), /signature is not that of this key/)
})

test('no bytes make it throw, and no changed bit passes', (t) => {
  const random = seeded(t)
  const { certificates, signature } = partsOf(encodeProof(OTHER, 'dialling', CONTEXT))
  for (let round = 0; round < 300; round++) {
    const [shown, signed] = [Buffer.from(certificates), Buffer.from(signature)]
    const hit = random.oneIn(2) ? signed : shown
    const at = random.below(hit.length)
    hit[at] = (hit[at] as number) ^ (1 << random.below(8))
    const outcome = judgeProof(shown, signed, 'dialling', CONTEXT)
    // A bit beside what is read of a certificate changes nothing of it.
    if (outcome.kind === 'proven') assert.deepEqual([outcome.keys[0], hit === shown], [OTHER.fingerprint, true])
  }
  for (let round = 0; round < 100; round++) {
    const outcome = judgeProof(random.bytes(random.below(600)), random.bytes(SIGNATURE_BYTES), 'dialling', CONTEXT)
    assert.equal(outcome.kind, 'unproven')
  }
  assert.ok(16 * partsOf(encodeProof(OTHER, 'dialling', CONTEXT)).certificates.length < CERTIFICATES_BYTES_MAX)
})

test('an opening has its purpose and its number, and nothing else passes for one', () => {
  const nonce = Buffer.alloc(32, 9)
  for (const purpose of ['session', 'enrol'] as const)
    assert.deepEqual(decodeOpening(encodeOpening({ purpose, nonce })), { purpose, nonce })
  const bad = encodeOpening({ purpose: 'enrol', nonce })
  assert.equal(bad.length, OPENING_BYTES)
  for (const at of [0, 7, 8]) {
    const bytes = Buffer.from(bad)
    bytes[at] = 0x7f
    assert.equal(decodeOpening(bytes), null)
  }
})

test('the key of a process has the id by which QUIC names it', () => {
  const { id, privateKeyProto } = quicKey(Buffer.alloc(32, 5))
  assert.equal(privateKeyProto.length, 68)
  assert.match(id, /^12D3KooW/)
  assert.deepEqual(quicPeer(`/ip6/::1/udp/7373/quic-v1/p2p/${id}`), { host: '::1', port: 7373, id })
  for (const other of ['', '/ip4/1.2.3.4/tcp/1', `/ip4/1.2.3.4/udp/1/quic-v1/p2p/${id}/x`])
    assert.equal(quicPeer(other), null)
})
