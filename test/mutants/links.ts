/** How links are used: bandwidth, shares, what is in flight, compression, addresses. */
import { by, rule, stops, type Mutant } from './mutant.js'

const EVEN = by('pair/links', 'a limited link carries its rate, evenly, and a change counts at once')

export const LINKS: readonly Mutant[] = [
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
]
