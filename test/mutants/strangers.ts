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
      'the socket of a stranger who is turned away is left to him',
      GUARD,
      'this.#http2.destroy(); this.#socket.destroy();',
      'this.#http2.destroy(); this.#lingers = { cancel: () => {} };',
      by(HTTPS, 'a stranger whose session is turned away holds no socket, although he ends nothing'),
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
]
