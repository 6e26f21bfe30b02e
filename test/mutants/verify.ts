/** A verify: what is compared, at which place, and what of it must not count. */
import { by, rule, stops, type Mutant } from './mutant.js'

export const VERIFY: readonly Mutant[] = [
  rule(
    'what was written while a range was read counts as read',
    'primary/verify/verifier',
    'waiting.read = { untilLsn: writtenLsn(), digest: rangeDigest(pieces) };',
    'waiting.read = { untilLsn: waiting.sinceLsn, digest: rangeDigest(pieces) };',
    by(
      'primary/verify/verifier',
      'what an entry may have changed while it was read is worth nothing: it is read again, in smaller pieces',
    ),
  ),
  rule(
    'the stream passes an entry to a range that is still being read',
    'primary/verify/verifier',
    "if (read === null) return 'wait';",
    'if (read === null) continue;',
    by(
      'primary/verify/verifier',
      'an entry that touches a range waits while that is read, and goes behind its question',
    ),
  ),
  rule(
    'a question is put before the stream has passed what may be in what was read',
    'primary/verify/verifier',
    'if (read === null || read.untilLsn > lsn) {',
    'if (read === null) {',
    by(
      'primary/verify/verifier',
      'a question is put where the stream has passed all that may be in what was read, and no sooner',
    ),
  ),
  rule(
    'a region that became dirty is asked about',
    'primary/verify/verifier',
    "if (!this.#options.isClean(range)) return run.note(range, 'left-out');",
    '',
    by('primary/verify/verifier', 'a region that became dirty before its question could be put is left out'),
  ),
  rule(
    'a digest that differs passes for equal',
    'primary/verify/verifier',
    'digest.equals(asked.digest)',
    'digest.length === asked.digest.length',
    by(
      'pair/verify',
      'a byte that changed behind the back of everybody is reported with its range, marked, and healed by the resync',
    ),
  ),
  stops(
    rule(
      'what has no answer when a session ends is never compared',
      'primary/verify/verifier',
      'if (asked.run === run) run.giveBack(asked.range);',
      '',
      by(
        'primary/verify/verifier',
        'what has no answer when the session ends is compared in the next one, whatever an old read brings',
      ),
    ),
  ),
  rule(
    'the feed does not show entries to the verifier',
    'primary/slink/feed',
    'const asks = verifier.meets(frame);',
    "const asks = 'pass';",
    by('pair/verify', 'writes during a verify never look like a difference, and it ends under them'),
  ),
  rule(
    'the agent goes on applying while it looks',
    'agent/apply/applier',
    'await look.run();',
    'void look.run();',
    by('agent/look', 'a look sees all frames of the session before its place, and nothing is passed before it is over'),
  ),
  rule(
    'the agent looks before the sessions before are applied',
    'agent/apply/applier',
    'return next === undefined ? !more : next.position >= this.#countFrom;',
    'return true;',
    by(
      'agent/look',
      'a look before the first frame of a session sees all of the sessions before, also where they are still to be applied',
    ),
  ),
  rule(
    'the agent passes frames behind the place of a look',
    'agent/apply/applier',
    'if (this.#lookIsDue(true)) return true;',
    '',
    by('agent/look', 'a look sees all frames of the session before its place, and nothing is passed before it is over'),
  ),
  rule(
    'a look is taken although a freeze is wanted',
    'agent/apply/applier',
    'if (this.#freezeWish !== null) break;',
    '',
    by(
      'agent/export',
      'an export opens in the middle of a verify whose reads take long, and the verify waits for its end',
    ),
    by(
      'agent/look',
      'while a freeze is wanted no look is taken and nothing is passed behind one; after the thaw all goes on',
    ),
  ),
  rule(
    'a freeze that was given up freezes late, and nobody thaws it',
    'agent/apply/applier',
    'if (this.#freezeWish !== wish) return false;',
    '',
    by('agent/export', 'an export that was given up because a device is slow freezes nothing later'),
    by('agent/look', 'a freeze that was given up while it waited freezes nothing, and the one after it does'),
  ),
  rule(
    'an export that is forced goes on applying until its freeze comes',
    'agent/export/export-set',
    'if (force) return replica.line.applier.freeze();',
    'if (force) return;',
    by('agent/export', 'an export that is forced although a device is slow stands still from its beginning'),
  ),
  rule(
    'a look is taken in a journal that cannot be read',
    'agent/apply/applier',
    'if (this.#stopped || this.#damaged) break;',
    'if (this.#stopped) break;',
    by('agent/look', 'no look is taken once the journal cannot be read: sessions before may not be applied'),
  ),
  rule(
    'a look asks for the place of a frame that was not read',
    'agent/apply/applier',
    'return next === undefined ? !more : next.position >= this.#countFrom;',
    'return !more || next.position >= this.#countFrom;',
    by(
      'agent/look',
      'a read of the journal from before a cut that ends after it brings no look forward and harms nothing',
    ),
  ),
  rule(
    'a dirty log that cannot be stored during a verify passes for a bug of the program',
    'primary/verify/verify-site',
    'await mapped(() => admin.markDifferent(slink, run))',
    'await admin.markDifferent(slink, run)',
    by(
      'pair/verify',
      'a dirty log that cannot be stored makes a verify that marks say so, with all the ranges that it found',
    ),
  ),
  rule(
    'a verify that cannot mark forgets what it found',
    'primary/verify/verify-site',
    'if (!SitelinkError.is(error)) throw error;',
    'throw error;',
    by(
      'pair/verify',
      'a dirty log that cannot be stored makes a verify that marks say so, with all the ranges that it found',
    ),
  ),
  rule(
    'ranges that cannot be read are joined whatever the reason',
    'primary/verify/verify-run',
    'a.side === b.side && a.why === b.why',
    'true',
    by(
      'primary/verify/verifier',
      'a run joins what cannot be read only where side and reason are the same, and counts the rest',
    ),
  ),
  rule(
    'ranges that cannot be read are not joined',
    'primary/verify/verify-run',
    'a.side === b.side && a.why === b.why',
    'false',
    by('pair/verify', 'neighbours that cannot be read for the same reason are one line of the report'),
  ),
  rule(
    'that nothing could be marked is kept from whoever asked for it',
    'primary/cli/commands/verify',
    'if (markProblem !== null)',
    'if (false)',
    by(
      'primary/cli/verify-text',
      'what differs and could not be marked is printed with its ranges, and the status says both',
    ),
  ),
  rule(
    'what a verify reads costs nothing of the rate that it shares with copies',
    'primary/verify/verifier',
    'this.#gate.spend(range.length);',
    '',
    by('pair/verify', 'what a verify reads in a second is bounded as a resync is'),
  ),
  stops(
    rule(
      'nobody is woken who waits for the rate',
      'primary/slink/rate-gate',
      'this.#timer = this.#closed ? null : clock.after(Math.min(waitMs, LOOK_MS), this.#wake);',
      '',
      by('pair/verify', 'what a verify reads in a second is bounded as a resync is'),
    ),
  ),
  rule(
    'a verify that is stopped goes on until it looks again',
    'primary/verify/verify-site',
    'await delay(clock, PROGRESS_MS, signal);',
    'await delay(clock, PROGRESS_MS);',
    by('pair/verify', 'a verify that is stopped tells what it has found, and leaves nothing behind'),
  ),
  rule(
    'what an agent says is printed as it is',
    'primary/cli/commands/verify',
    'printable(problem)',
    'problem',
    by(
      'primary/cli/verify-text',
      'what an agent says about a range that it cannot read never reaches the terminal as it is',
    ),
  ),
  rule(
    'a verify leaves out all of a device in one turn',
    'primary/verify/verifier',
    'if (leftOut === VERIFY_LEFT_OUT_TURN_MAX) return this.#rest();',
    '',
    by('primary/verify/verifier', 'a device that is all dirty is left out over many turns, each of them short'),
  ),
  rule(
    'whoever wakes a verify lets it leave out as much again in the same turn',
    'primary/verify/verifier',
    'if (run === null || this.#closed || this.#resting) return;',
    'if (run === null || this.#closed) return;',
    by('primary/verify/verifier', 'a device that is all dirty is left out over many turns, each of them short'),
  ),
  stops(
    rule(
      'a place that is written to all the time is tried for ever',
      'primary/verify/verify-run',
      "if (tries === VERIFY_TRIES_MAX) return this.note(range, 'left-out');",
      '',
      by(
        'primary/verify/verifier',
        'a place that is written to whenever it is read is left out in the end, and all beside it is compared',
      ),
    ),
  ),
  rule(
    'a link that is lost takes with it what a verify has found',
    'primary/verify/verify-site',
    'if (run.doneBytes > 0) return why;',
    '',
    by(
      'pair/verify',
      'a site that does not come back ends a verify with what it has found, and with why it is not all',
    ),
  ),
  rule(
    'a verify that was stopped passes for one of everything',
    'primary/cli/commands/verify',
    'if (!report.complete)',
    'if (false)',
    by(
      'primary/cli/verify-text',
      'a verify that did not come to its end is never a success, and says what it did not compare',
    ),
  ),
]
