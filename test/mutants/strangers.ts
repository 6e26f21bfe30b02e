/** What strangers may do at a transport that lets them in before it knows them: capsules, sockets, enrolments. */
import { by, rule, stops, type Mutant } from './mutant.js'

const FILTER = 'protocol/transport/capsule-filter'
const GUARD = 'protocol/transport/http2-guard'
const HTTPS = 'protocol/transport/https-strangers'
const REFUSED = by(FILTER, 'whatever no link has is refused with what it is')
const ENDS = by(HTTPS, 'capsules of a stranger that no link has end his session, say why, and end nothing else')

export const STRANGERS: readonly Mutant[] = [
  rule(
    'capsules reach the library as a stranger sends them',
    GUARD,
    'return this.#filter.take(chunk);',
    'return chunk;',
    ENDS,
  ),
  rule(
    'capsules reach the library as a listener that is a stranger sends them',
    GUARD,
    'guard.take(stream); return stream;',
    'return stream;',
    by(HTTPS, 'capsules of a stranger that is dialled end the dial, say why, and end nothing else'),
  ),
  rule('the end of a session needs no code', FILTER, '(isClose && length.value < CLOSE_CODE_BYTES)', 'false', REFUSED),
  rule('any stream is the one of a link', FILTER, 'if (isStream && number.value !== STREAM_ID)', 'if (false)', REFUSED),
  rule('a capsule may go on behind its end', FILTER, 'if (valueAt !== end)', 'if (false)', REFUSED),
  rule(
    'a listener may send on a stream that nobody opened',
    FILTER,
    'if (!this.#open)',
    'if (false)',
    by(FILTER, 'at the side that dials nothing comes on the stream before that has opened it'),
  ),
  rule(
    'one-byte messages are kept one by one',
    'protocol/transport/credited-stream',
    'if (part.length >= BLOCK_BYTES)',
    'if (part.length > 0)',
    by(
      'protocol/transport/credited-stream',
      'a window full of one-byte messages costs little more than its bytes, and arrives in order',
    ),
  ),
  stops(
    rule(
      'a connection may ask for any number of sessions',
      GUARD,
      'if (this.#hasStream)',
      'if (false)',
      by(HTTPS, 'a stranger whose session is turned away holds no socket, although he ends nothing'),
    ),
  ),
  stops(
    rule(
      'HTTP/1 is served where only HTTP/2 is spoken',
      GUARD,
      "if (socket.alpnProtocol === 'h2')",
      'if (true)',
      by(HTTPS, 'what is not HTTP/2, and an upgrade of it, is turned away'),
    ),
  ),
  rule(
    'a session that was hung up is pinged for ever',
    GUARD,
    'guardPings(http2);',
    '',
    by(
      'protocol/transport/https',
      'D10: a session that is gone before its first ping ends neither the process nor is it pinged again',
    ),
  ),
  stops(
    rule(
      'who enrols has all the time of the world, and is not counted',
      'protocol/transport/proven-links',
      'if (isPeer) this.#waiting.leave(name);',
      'this.#waiting.leave(name);',
      by('protocol/transport/proven-links', 'who came to enrol and says nothing has no more time than any stranger'),
    ),
  ),
  rule(
    'an enrolment has no time of its own',
    'protocol/enrol/enrolment',
    'clock.after(ENROL_MS, () => connection.destroy());',
    'clock.after(ENROL_MS, () => {});',
    by('protocol/enrol/enrolment', 'an enrolment that sends no request, or takes no answer, is over after its time'),
  ),
  rule(
    'QUIC connections without a stream are not counted',
    'protocol/transport/quic-listener',
    'this.#waiting.enter(name, remote, () => connection.abort());',
    '',
    by(
      'protocol/transport/quic-listener',
      'connections without a stream are counted, and one more ends the one that waits longest',
    ),
  ),
  rule(
    'a dial over a proven link stands only once it has its verdict',
    'protocol/transport/proof-gate',
    'known(peer);',
    '',
    by('protocol/transport/proven-links', 'a key that is revoked while its verdict is waited for ends the dial'),
  ),
  rule(
    'a dial over TLS stands only once it has its verdict',
    'protocol/transport/tls-gate',
    'known(stream, peer);',
    '',
    by('protocol/transport/tls', 'a key that is revoked while its verdict is waited for ends the dial'),
  ),
  rule(
    'a revocation ends the connections of the key that was there before a rotation',
    'primary/trust/agent-links',
    'before = pinOf(current, slink); return withoutPin(current, slink);',
    'before = pinOf(this.pins, slink); return withoutPin(current, slink);',
    by(
      'primary/trust/pins',
      'a pin that moves to another key while it is revoked is revoked with the key that it has by then',
    ),
  ),
  rule(
    'the cap on connections that greet ends the same one again',
    'agent/session/session-set',
    '&& !this.#leaving.has(session)',
    '',
    by(
      'agent/session-set',
      'each connection above the cap ends one that greets, not the one that was told to go already',
    ),
  ),
  rule(
    'whoever was told to go and does not may keep his connection beside any number of others',
    'agent/session/session-set',
    "oldest.close('too many connections are greeting'); this.#cutFarewells();",
    "oldest.close('too many connections are greeting');",
    by(
      'agent/session-set',
      'of those that were told to go and do not no more hang on than may greet; one that went makes room',
    ),
  ),
  rule(
    'who took his farewell is counted among those who do not',
    'agent/session/session-set',
    'this.#farewells.delete(session);',
    '',
    by(
      'agent/session-set',
      'of those that were told to go and do not no more hang on than may greet; one that went makes room',
    ),
  ),
  rule(
    'a connection of an agent that dials, and that cannot be taken, is told to nobody',
    'primary/trust/agent-links',
    'this.#troubledMs = clock.nowMs(); event({',
    'this.#troubledMs = clock.nowMs(); void ({',
    by(
      'primary/trust/dial-in',
      'a connection that the system cannot hand over is told of, at most one a second, and agents are still taken',
    ),
  ),
  rule(
    'connections that cannot be taken flood the events',
    'primary/trust/agent-links',
    'if (clock.nowMs() - this.#troubledMs < REFUSAL_EVENT_MS) return;',
    '',
    by(
      'primary/trust/dial-in',
      'a connection that the system cannot hand over is told of, at most one a second, and agents are still taken',
    ),
  ),
  rule(
    'whoever comes and goes without a word is reported',
    'protocol/transport/tls',
    'if (inHandshake && socket.bytesRead > 0)',
    'if (inHandshake)',
    by(
      'protocol/transport/tls',
      'who goes away in the middle of the handshake is told of, who comes and goes without a word is not',
    ),
  ),
  rule(
    'who speaks no TLS hears nothing',
    'protocol/transport/tls',
    'this.#sockets.get(remote)?.write(TLS_ALERT);',
    '',
    by('protocol/transport/tls', 'a plain connection to a TLS port gets a TLS alert, and is told of'),
  ),
  rule(
    'whoever came to enrol is reported once it goes',
    'protocol/transport/tls',
    'const inHandshake = this.#sockets.delete(remote) && this.#waiting.has(remote);',
    'const inHandshake = this.#waiting.has(remote);',
    by('protocol/transport/tls', 'who came to enrol and has its answer is reported by nobody'),
  ),
]
