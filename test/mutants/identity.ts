/** Identities, pins and invitations: who is let in over TLS. */
import { by, rule, type Mutant } from './mutant.js'

const TLS = 'protocol/transport/tls'
const QUIC = 'protocol/transport/quic'
const HTTPS = 'protocol/transport/https'
const PROOF_SCOPE = 'a proof is worth nothing on another channel, for another purpose, at another time, or coming back'

export const IDENTITY: readonly Mutant[] = [
  rule(
    'a listener takes TLS 1.2',
    'protocol/transport/tls-gate',
    "minVersion: 'TLSv1.3',",
    "minVersion: 'TLSv1.2',",
    by(TLS, 'TLS 1.2 is refused by either side, whatever key it comes with'),
  ),
  rule(
    'the listener does not judge who dials',
    'protocol/transport/tls',
    "if (judgement.kind === 'refused') {",
    'if (false) {',
    by(TLS, 'a key that nobody knows is refused with a sentence at both ends, and nothing of it is handed on'),
  ),
  rule(
    'the one who dials does not judge whom it has met',
    'protocol/transport/tls-gate',
    "if (judgement.kind === 'refused') {",
    'if (false) {',
    by(TLS, 'a listener with another key is refused before anything is said to it, and hears so'),
  ),
  rule(
    'a successor is believed without a signature',
    'protocol/transport/shown-keys',
    '|| !at.verify(key)',
    '',
    by(TLS, 'a successor that the key it names has not signed proves nothing'),
  ),
  rule(
    'the end of the trust in a peer leaves its connections',
    'protocol/transport/standing',
    'return this.#end((standing) => standing.key === key, why);',
    'return 0;',
    by(TLS, 'the connections of one key are ended at once, and of no other'),
  ),
  rule(
    'a proof needs no signature',
    'protocol/transport/proof-words',
    'if (!signed(key, signature, side, context))',
    'if (false)',
    by('protocol/transport/proof-words', 'certificates of one key with the signature of another prove nothing'),
  ),
  rule(
    'a proof is good on every channel',
    'protocol/transport/proof-words',
    "'sitelink-proof/1', side, purpose, channel,",
    "'sitelink-proof/1', side, purpose,",
    by('protocol/transport/proof-words', PROOF_SCOPE),
  ),
  rule(
    'a proof of the one side is good for the other',
    'protocol/transport/proof-words',
    "'sitelink-proof/1', side, purpose, channel,",
    "'sitelink-proof/1', purpose, channel,",
    by('protocol/transport/proof-words', PROOF_SCOPE),
  ),
  rule(
    'a proof can be played again',
    'protocol/transport/proof-words',
    "diallerNonce.toString('hex'), listenerNonce.toString('hex')",
    "''",
    by('protocol/transport/proof-words', PROOF_SCOPE),
  ),
  rule(
    'the one who dials over QUIC does not compare the pin',
    'protocol/transport/proof-gate',
    "if (judgement.kind === 'refused') {",
    'if (false) {',
    by(QUIC, 'a listener with another key is refused before anything is said to it, and hears so'),
  ),
  rule(
    'the listener does not judge who proves itself over QUIC',
    'protocol/transport/proof-gate',
    "const judgement = purpose === 'enrol' ? { kind: 'known' } : await judged(judge, peer);",
    "const judgement = { kind: 'known' };",
    by(QUIC, 'a key that nobody knows is refused with a sentence at both ends, and nothing is handed on'),
  ),
  rule(
    'a connection over QUIC is not among those that stand',
    'protocol/transport/proven-links',
    'const gone = this.#standing.add(stub, keys);',
    'const gone = () => {};',
    by(QUIC, 'the connections of one key are ended at once, and of no other'),
  ),
  rule(
    'the certificate of a WebTransport session is not looked at again',
    'protocol/transport/https',
    'if (shownHash(session) !== hash)',
    'if (false)',
    by(HTTPS, 'D3: a certificate that the system trusts is refused, if it is not the one that was shown before'),
  ),
  rule(
    'a proof over WebTransport is not bound to the certificate',
    'protocol/transport/https',
    'name: `https ${hash}`',
    'name: "https"',
    by(HTTPS, 'the connections of a revoked key end at once'),
  ),
  rule(
    'a listener takes any hash for that of its certificate',
    'protocol/transport/https-listener',
    '|| !this.#parts.certificates.has(hash)',
    '',
    by(HTTPS, 'a hash that is not of this listener is turned away before anything is said'),
  ),
  rule(
    'a peer may send more than the window',
    'protocol/transport/credited-stream',
    'if (this.#inputBytes + this.#owed + bytes > CREDIT_BYTES)',
    'if (false)',
    by('protocol/transport/credited-stream', 'a peer that sends more than the window loses the stream'),
  ),
  rule(
    'a stranger may wait for ever',
    'protocol/transport/tls-waiting-room',
    'if (this.#waiting.size >= GATES_MAX && longest.done !== true) {',
    'if (false) {',
    by(TLS, 'more than 64 that wait at once push out those who came first'),
  ),
  rule(
    'an invitation counts more than once',
    'protocol/enrol/invitation-book',
    "if (found.secret === null) return { kind: 'refuse', code: 'used' };",
    "if (found.secret === null) return judgeEnrolment([{ ...found, secret: '00'.repeat(16) }], request, pair, nowMs);",
    by('protocol/enrol/enrolment', 'an invitation counts once, until its time, for whoever proves to know its secret'),
  ),
  rule(
    'an invitation has no end',
    'protocol/enrol/invitation-book',
    'if (nowMs >= found.expiresMs)',
    'if (false)',
    by('protocol/enrol/enrolment', 'an invitation counts once, until its time, for whoever proves to know its secret'),
  ),
  rule(
    'a proof is good for any two keys',
    'protocol/enrol/enrol-words',
    '.update(`sitelink-enrol/1 ${side} ${id} ${primary} ${agent}`)',
    '.update(`sitelink-enrol/1 ${side} ${id}`)',
    by('protocol/enrol/enrolment', 'an invitation counts once, until its time, for whoever proves to know its secret'),
  ),
  rule(
    'a revoked peer is still known',
    'agent/trust/trust',
    'if (peer.revokedMs !== null) return',
    'if (false) return',
    by(
      'agent/trust',
      'a peer is the pinned key, or one that succeeds it; strangers, revoked ones and those without the right are none',
    ),
  ),
  rule(
    'rights are not looked at',
    'agent/trust/trust',
    'if (!peer.rights.includes(right)) return',
    'if (false) return',
    by(
      'agent/trust',
      'a peer is the pinned key, or one that succeeds it; strangers, revoked ones and those without the right are none',
    ),
  ),
  rule(
    'any agent is good for a slink that has a pin',
    'primary/trust/pins',
    'if (!keys.includes(pin.fingerprint)) return',
    'if (false) return',
    by('primary/trust/pins', 'an agent is the key that is pinned for its slink, or one that succeeds it'),
  ),
  rule(
    'a slink may be plain although nobody asked for it',
    'primary/trust/link-plan',
    'if (plain.length > 0 && !insecurePlain)',
    'if (false)',
    by('primary/trust/pins', 'no slink is reached plainly unasked, both ways at once, or over TLS without a pin'),
  ),
]
