/** `https://` over HTTP/3: when it is used and when not, and that it neither weakens HTTP/2 nor takes it along. */
import { by, rule, stops, type Mutant } from './mutant.js'

const HTTP3 = 'protocol/transport/http3'
const HANGING = 'sessions that neither open nor fail are few in a process, and count no more once they end'
const BOTH_HAVE_IT = 'auto goes over HTTP/3 where both sides have it, and both say so'

export const HTTP3_MUTANTS: readonly Mutant[] = [
  rule(
    'sessions that never end are begun without bounds',
    'protocol/transport/http3-dial',
    'if (hanging >= HTTP3_HANGING_MAX)',
    'if (false)',
    by(HTTP3, HANGING),
  ),
  rule(
    'a session that has ended counts as one that hangs',
    'protocol/transport/http3-dial',
    '.finally(() => (hanging -= 1))',
    '',
    by(HTTP3, HANGING),
  ),
  rule(
    'the library has as long to load as a dial has',
    'protocol/transport/http3-library',
    'HTTP3_LOAD_MS = 2000;',
    'HTTP3_LOAD_MS = 5000;',
    by(HTTP3, 'a library that loads slowly leaves a dial the time for HTTP/2'),
  ),
  stops(
    rule(
      'every dial waits anew for a library that loads slowly',
      'protocol/transport/http3-library',
      'slow.add(load);',
      '',
      by(HTTP3, 'nobody waits a second time for a library that loads slowly, until it is there'),
    ),
  ),
  rule(
    'an invitation is not carried over HTTP/2 where HTTP/3 broke',
    'primary/trust/enrol',
    "if (quic !== 'auto' || !address.startsWith('https:'))",
    'if (true)',
    by('primary/trust/enrol', 'an invitation reaches an agent over HTTP/2 where HTTP/3 opens and carries nothing'),
  ),
  rule(
    'an agent keeps to itself that its listener fails to renew its certificate',
    'agent/cli/links',
    'const acceptFailed = tellListenerTroubles(clock, event);',
    'const acceptFailed = () => {};',
    by('agent/links', 'a certificate that an agent cannot renew is an event'),
  ),
  rule(
    'a probe sends where its socket could not be connected',
    'protocol/transport/udp-probe',
    'if (error === undefined) return',
    'if (true) return',
    by('protocol/transport/udp-probe', 'an address that nothing can be sent to is told of, and nothing is thrown'),
  ),
  rule(
    'a library that takes HTTP/2 by itself is believed',
    'protocol/transport/http3-dial',
    'if (!isQuic(session)) {',
    'if (false) {',
    by(HTTP3, 'a library that takes HTTP/2 by itself is not believed'),
  ),
  rule(
    'the library gets addresses of IPv6',
    'protocol/transport/http3-dial',
    '.find(({ family }) => family === 4)',
    '.find(() => true)',
    by(HTTP3, 'the library gets addresses of IPv4 alone: names are resolved before, and IPv6 goes over HTTP/2'),
  ),
  rule(
    'a session that opens late, for a dial that was given up, stays',
    'protocol/transport/http3-dial',
    'void opening.then(',
    'void Promise.resolve({}).then(',
    by(HTTP3, 'a dial that is given up does not end a session that is not ready, and one that comes late is ended'),
  ),
  rule(
    'a wrong identity over HTTP/3 is asked again over HTTP/2',
    'protocol/transport/http3-choice',
    'if (isIdentityRefusal(error) || ',
    'if (',
    by(HTTP3, 'a wrong identity over HTTP/3 is refused at both ends, and not asked again over HTTP/2'),
  ),
  rule(
    'require takes HTTP/2 where UDP is not answered',
    'protocol/transport/http3-choice',
    "if (mode === 'require') throw new ProtocolError('HTTP3_UNREACHABLE', { address, why: dial.why });",
    '',
    by(HTTP3, 'require refuses a peer that does not answer over UDP, and never takes HTTP/2'),
  ),
  rule(
    'auto leaves HTTP/3 while a listener begins anew',
    'protocol/transport/http3-choice',
    "if (this.#mayReturn(address)) return { kind: 'again' };",
    '',
    by(HTTP3, 'where HTTP/3 was there and begins anew, auto waits for it and comes back over it, in one dial'),
  ),
  rule(
    'auto waits for an HTTP/3 that was there without end',
    'protocol/transport/http3-choice',
    'nowMs - failing < HTTP3_PATIENCE_MS',
    'nowMs - failing < Infinity',
    by(
      HTTP3,
      'where HTTP/3 was there and does not come back, auto gives it up in time, and is not asked again at once',
    ),
  ),
  rule(
    'HTTP/3 that was there and breaks off once is left alone',
    'protocol/transport/http3-choice',
    "error.code === 'DIAL_ABORTED' || this.#mayReturn(address)",
    "error.code === 'DIAL_ABORTED'",
    by(HTTP3, 'HTTP/3 that was there, opens and then carries nothing, is tried once more before it is left alone'),
  ),
  rule(
    'never loads the library all the same',
    'protocol/transport/http3-choice',
    "if (mode === 'never') return { kind: 'not', why: NOT_ASKED_FOR };",
    '',
    by(HTTP3, 'never loads nothing, at either side'),
  ),
  {
    ...rule(
      'a library that never finishes loading is waited for',
      'protocol/transport/http3-library',
      'return await Promise.race([loading, tooLate]);',
      'return await loading;',
      by(HTTP3, 'a library that never finishes loading is given up'),
    ),
    hangs: true,
  },
  {
    ...rule(
      'a server that never says that it listens is waited for',
      'protocol/transport/http3-listener',
      'await Promise.race([server.ready, tooLate]);',
      'await server.ready;',
      by(HTTP3, 'a server of HTTP/3 that never says that it listens leaves HTTP/2 as it is'),
    ),
    hangs: true,
  },
  rule(
    'a listener takes any hash for that of its certificate, over HTTP/3',
    'protocol/transport/http3-listener',
    '|| !this.#parts.certificates.has(hash)',
    '',
    by(HTTP3, 'a hash that is not of this listener is turned away over HTTP/3 before anything is said'),
  ),
  rule(
    'the certificate of HTTP/3 is not renewed',
    'protocol/transport/http3-listener',
    'certificates.watch((next) => void this.#renew(next));',
    '',
    by(HTTP3, 'the next certificate is shown over HTTP/3 as well: sessions end, and come back by it'),
  ),
  rule(
    'HTTP/3 that cannot listen takes HTTP/2 with it',
    'protocol/transport/https-doors',
    "} catch (error) { if (mode === 'require') {",
    '} catch (error) { if (true) {',
    by(HTTP3, 'a server of HTTP/3 that never says that it listens leaves HTTP/2 as it is'),
  ),
  rule(
    'with require, HTTP/2 is taken by who listens',
    'protocol/transport/https-doors',
    "mode === 'require' ? openCertificateDoor : openHttp2",
    'openHttp2',
    by(HTTP3, 'with require a listener takes nobody over HTTP/2: TCP shows the certificate and ends'),
  ),
  rule(
    'a proof over HTTP/3 is not bound to the certificate',
    'protocol/transport/https',
    'name: `http3 ${hash}`',
    'name: "http3"',
    by(HTTP3, BOTH_HAVE_IT),
  ),
  rule(
    'the end of the trust in a peer leaves its connections over HTTP/3',
    'protocol/transport/https',
    '+ this.#http3.endPeer(key, why)',
    '',
    by(HTTP3, 'the connections of a revoked key end at once, over HTTP/3 as well'),
  ),
]
