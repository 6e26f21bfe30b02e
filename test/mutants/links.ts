/** How links are used: bandwidth, shares, what is in flight, compression, addresses. */
import { by, rule, stops, type Mutant } from './mutant.js'

const EVEN = by('pair/links', 'a limited link carries its rate, evenly, and a change counts at once')

export const LINKS: readonly Mutant[] = [
  rule(
    'the window of credit never grows',
    'protocol/session/credit',
    'this.#window = Math.min(this.#bytesMax, Math.max(this.#bytesMin, wanted, shrunk));',
    '',
    by(
      'pair/long-link',
      'with 100 ms there and back an async site of a 60 MB/s link receives four fifths of it in writes of 4 KiB',
    ),
  ),
  rule(
    'credit is granted when the sender has none left',
    'protocol/session/credit',
    'if (total - this.#granted < this.#window / 4) return null;',
    'if (total - this.#granted < this.#window) return null;',
    by(
      'pair/long-link',
      'with 100 ms there and back an async site of a 60 MB/s link receives four fifths of it in writes of 4 KiB',
    ),
  ),
  rule(
    'nothing is sent before the run that is on its way was received',
    'primary/slink/pacer',
    'if ((ios > 0 && this.#inFlight.frames >= ios) ||',
    'if (this.#inFlight.frames > 0 || (ios > 0 && this.#inFlight.frames >= ios) ||',
    by(
      'pair/long-link',
      'with 100 ms there and back a sync site fills four fifths of an 8 MB/s link where enough writers wait for it',
    ),
  ),
  rule('the link is not limited', 'primary/slink/pacer', 'this.#bucket.spend(wireBytes);', '', EVEN),
  rule(
    'copies are free on a limited link',
    'primary/slink/feed',
    'pacer.sent(frames.length, bytes, session.sentBytes - before);',
    'pacer.sent(frames.length, bytes, frames[0].aux > 0 ? 0 : session.sentBytes - before);',
    by('pair/links', 'a resync counts within the limit, and has its share of it while writes wait'),
  ),
  rule(
    'a resync takes whatever it can',
    'primary/slink/feed',
    'if (this.#entryBytesBeforeCopy > 0 && this.#entriesWait()) return false;',
    '',
    by('pair/links', 'a resync counts within the limit, and has its share of it while writes wait'),
  ),
  rule(
    'time that nobody used is saved up',
    'primary/slink/token-bucket',
    'Math.min((rate * BURST_MS) / 1000, this.#tokens + (elapsedMs * rate) / 1000)',
    'this.#tokens + (elapsedMs * rate) / 1000',
    by('primary/slink/link-limit', 'time that nobody used counts for no more than a moment'),
  ),
  stops(
    rule(
      'an acknowledgement does not wake a stream that waits for what is in flight',
      'primary/slink/stream-session',
      'this.#maybePump();',
      '',
      by('pair/links', 'no more is in flight than the operator allows, in frames and in bytes, and the link goes on'),
    ),
  ),
  rule(
    'a window over midnight ends at midnight',
    'primary/slink/link-limit',
    ': minute >= fromMinute || minute < toMinute;',
    ': minute >= fromMinute;',
    by(
      'primary/slink/link-limit',
      'a limit is read and printed back, and a window over midnight holds on both of its sides',
    ),
  ),
  rule(
    'a restart makes what a site misses younger',
    'primary/slink/slink',
    'if (this.mapped && this.pin !== null) void noteOldest(log, this.pin, ledger.old);',
    '',
    by(
      'pair/links',
      'lag is zero exactly while a healthy site has everything, and otherwise as old as its oldest write',
    ),
  ),
  rule(
    'a packed frame is unpacked beyond what is left of the credit',
    'protocol/session/session-input',
    "if (length > rawBytesMax) return 'a packed frame holds more than was granted';",
    '',
    by('protocol/session/compression', 'what a packed frame holds counts against credit before it is unpacked'),
  ),
  rule(
    'what comes out of a packed frame may be shorter than it says',
    'protocol/session/codec',
    'if (buffer.length !== rawBytes)',
    'if (false)',
    by(
      'protocol/session/compression',
      'a bomb, a length that lies, bytes that are none, and what must not be inside end the session with what is wrong',
    ),
  ),
  rule(
    'a control message may hide in a packed frame',
    'protocol/session/session-input',
    'if (type === FrameType.control || type === FrameType.packed)',
    'if (type === FrameType.packed)',
    by(
      'protocol/session/compression',
      'a bomb, a length that lies, bytes that are none, and what must not be inside end the session with what is wrong',
    ),
  ),
  rule(
    'auto goes on with data that do not become smaller',
    'protocol/session/compression-policy',
    "if (this.#wire > RATIO_MAX * this.#raw) return this.#pause('incompressible', nowMs);",
    '',
    by(
      'protocol/session/compression',
      'auto tries again at longer and longer intervals, and is back once the data become smaller',
    ),
  ),
  rule(
    'auto never compares with a stream that is not compressed',
    'protocol/session/compression-policy',
    'if (without === null || nowMs - without.atMs > STALE_MS) {',
    'if (false) {',
    by(
      'protocol/session/compression',
      'auto carries twice as much of text over a narrow link, and costs nothing where it cannot help',
    ),
  ),
  rule(
    'an agent says codecs to a primary of the first version',
    'protocol/session/handshake-agent',
    'wireVersion < WIRE_PACKED ? []',
    'false ? []',
    by('protocol/session/compression', 'an agent names its compressions only to a primary that knows of them'),
  ),
  rule(
    'an agent that is not pinned for the slink may dial in',
    'primary/trust/agent-links',
    "return { kind: 'refused', verdict: 'unknown', why: 'its key is not pinned for a slink whose agent dials' };",
    "return { kind: 'known' };",
    by(
      'primary/trust/dial-in',
      'only an agent whose key is pinned for a slink whose agent dials is let in, and leads to that slink alone',
    ),
  ),
  rule(
    'addresses are not tried in turn by an agent that dials',
    'agent/session/dialer',
    'const address = addresses[this.#next % addresses.length];',
    'const address = addresses[0];',
    by('agent/dialer', 'while a session lives nothing is dialled; when it ends its address is tried again at once'),
  ),
  stops(
    rule(
      'an agent that dials gives up when its session ends',
      'agent/session/dialer',
      'this.#again(established);',
      '',
      by('agent/dialer', 'while a session lives nothing is dialled; when it ends its address is tried again at once'),
    ),
  ),
  rule(
    'waiting does not grow',
    'protocol/session/backoff',
    'minMs * 2 ** Math.min(round, 20)',
    'minMs',
    by(
      'protocol/session/backoff',
      'every address is tried at the shortest wait, each round doubles it, and chance moves it by a quarter',
    ),
  ),
  rule(
    'compression is judged by a single run',
    'protocol/session/compression-policy',
    'if (this.#active && this.#raw >= (this.#smaller ? JUDGED_BYTES : TRIED_BYTES))',
    'if (this.#active)',
    by('protocol/session/compression', 'auto is judged by enough bytes: not by one small run, and at any pace of them'),
  ),
  rule(
    'compression that was never judged is worth its while',
    'protocol/session/compression-policy',
    'if (!this.#smaller) return;',
    '',
    by('protocol/session/compression', 'auto is judged by enough bytes: not by one small run, and at any pace of them'),
  ),
  rule(
    'what was sent without a limit is owed under the next one',
    'primary/slink/token-bucket',
    'if (this.#limited)',
    'if (true)',
    by('primary/slink/link-limit', 'what was sent while there was no limit is not owed when one is set'),
  ),
  rule(
    'a limit of 0 lifts the limit',
    'primary/slink/link-limit',
    'if (rate === 0)',
    'if (false)',
    by(
      'primary/slink/link-limit',
      'a limit that overlaps itself, is too small, or is no time is refused with what is wrong',
    ),
  ),
]
