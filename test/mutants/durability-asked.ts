/** When a site makes durable what it has: where somebody waits for it, and in its own time. */
import { by, rule, type Mutant } from './mutant.js'

const FLUSH = by(
  'pair/sync-wanted',
  'a flush over a sync site is answered as soon as the site has synced, and so is a durable write',
)
const PLAIN = by(
  'pair/sync-wanted',
  'with --ack durable a plain write waits for the two disks, and for no timer of either side',
)
const TIMES = by(
  'agent/durable-steps',
  'what is received is acknowledged as durable when the journal is synced: at once where the primary wants it',
)

export const DURABILITY_ASKED: readonly Mutant[] = [
  rule(
    "a write with --ack durable waits for the log's own time",
    'primary/group/write-path',
    'request.fua || this.#holds.wantDurable',
    'request.fua',
    PLAIN,
  ),
  rule(
    'a flush asks no site',
    'primary/group/group',
    'for (const slink of this.slinks.values()) slink.stream?.askSync();',
    '',
    FLUSH,
  ),
  rule(
    'what was asked for once covers all that follows',
    'primary/slink/stream-session',
    'lsn: this.feed.sentLsn, copyBytes };',
    'lsn: Infinity, copyBytes };',
    FLUSH,
  ),
  rule(
    'a site is asked for what nobody waits for',
    'primary/slink/stream-session',
    'if (durableWanted() <= this.#syncAsked.lsn && !(mappings.copying && this.#copiesWait)) return;',
    '',
    by('pair/sync-wanted', 'nobody waits for an async site: it syncs in its own time, and a flush does not make it'),
  ),
  rule(
    'a resync has its site sync behind each copy',
    'primary/slink/stream-session',
    '!(mappings.copying && this.#copiesWait)',
    '!mappings.copying',
    by('pair/resync', 'a resync has the site sync behind every few MiB of copies, not behind each'),
  ),
  rule(
    'a resync waits for the own time of its site',
    'primary/slink/stream-session',
    'if (durableWanted() <= this.#syncAsked.lsn && !(mappings.copying && this.#copiesWait)) return;',
    'if (durableWanted() <= this.#syncAsked.lsn) return;',
    by('pair/resync', 'a resync has the site sync behind every few MiB of copies, not behind each'),
  ),
  rule(
    'copies that the next ones wait for are told of late',
    'primary/slink/stream-session',
    'unasked >= COPY_SYNC_BYTES || ios + bytes > 0',
    'unasked >= COPY_SYNC_BYTES',
    by('pair/resync', 'where only one may be under way, each copy is told of as soon as it is there'),
  ),
  rule(
    'each copy is acknowledged at once',
    'agent/agent',
    'if (copiesOnly) session?.noteProgress();',
    'if (false) session?.noteProgress();',
    by(
      'agent/resync',
      'copies, for which no writer waits, are acknowledged a moment later; with an entry behind them at once',
    ),
  ),
  rule(
    'an entry behind copies is acknowledged late',
    'agent/journal/journal',
    'copiesOnly &&=',
    'copiesOnly ||=',
    by(
      'agent/resync',
      'copies, for which no writer waits, are acknowledged a moment later; with an entry behind them at once',
    ),
  ),
  rule(
    'a full log waits for the own time of a site',
    'primary/group/slink-surroundings',
    'holdsUpRoom(group, slink) ?',
    'false ?',
    by(
      'pair/sync-wanted',
      'a log that is half full gets room from an async site as soon as that has received what is in it',
    ),
  ),
  rule(
    'an agent forgets what was asked for before it was in its journal',
    'agent/journal/journal',
    'this.#durable.reached.frames < this.#syncFrames || this.#unsyncedIsMuch()',
    'this.#unsyncedIsMuch()',
    by(
      'agent/durable-steps',
      'what was asked for is made durable at once also where it came into the journal later, behind a barrier',
    ),
  ),
  rule(
    'what was asked for is told late',
    'protocol/receive/acknowledger',
    'if (told < this.#syncFrames && this.#parts.durableFrames() > told) return this.ask();',
    '',
    TIMES,
  ),
  rule(
    'what nobody asked for is never told',
    'protocol/receive/acknowledger',
    'this.#late = null; this.ask(); });',
    'this.#late = null; });',
    TIMES,
  ),
  rule(
    'an older primary waits for the own time of an agent',
    'protocol/receive/agent-session',
    'this.#alwaysSyncs = wireVersion < WIRE_SYNC;',
    '',
    by('agent/durable-steps', 'a primary that does not know how to ask is told of what is durable at once'),
  ),
  rule(
    'a dialled socket holds small messages back',
    'protocol/transport/net-sockets',
    'socket.setNoDelay(true);',
    '',
    by('protocol/transport/tcp', 'a dialled socket sends small messages at once and notices a dead peer'),
  ),
  rule(
    'whoever asked first waits for whoever asked last',
    'protocol/receive/acknowledger',
    'this.#parts.durableFrames() > told',
    'this.#parts.durableFrames() >= this.#syncFrames',
    by(
      'protocol/session/acknowledger',
      'whoever asked is told as soon as it is durable, also when somebody else has asked for more since',
    ),
  ),
  rule(
    'a sync is asked for before what came with the wish is in the journal',
    'protocol/receive/agent-session',
    'this.#receiver?.pump(); const { streamFrames }',
    'const { streamFrames }',
    by(
      'agent/durable-steps',
      'one sync covers what came in one piece with the wish for it, whatever lay unsynced before',
    ),
  ),
  rule(
    'a blockdev site waits to be told what is durable',
    'primary/slink/stream-session',
    'if (this.#options.tellAtOnce()) return this.#tell();',
    '',
    by('pair/sync-wanted', 'a write to a sync blockdev site waits for the log and for the device, and for no timer'),
  ),
]
