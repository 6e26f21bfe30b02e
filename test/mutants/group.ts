/** The group of the primary: who is answered when, what the log keeps. */
import { by, rule, step, stops, type Mutant } from './mutant.js'

export const GROUP: readonly Mutant[] = [
  // ----- without one durability step -----

  step(
    'a FLUSH is answered without a sync of the log',
    'primary/group/holds',
    'let flush = log.durableLsn;',
    'let flush = log.writtenLsn;',
    by(
      'primary/group/holds',
      'every answer is given exactly when log and the sites of its own time allow it, also when answers bring new requests',
    ),
  ),
  step(
    'a FLUSH does not wait for what a sync site has durably',
    'primary/group/holds',
    'if (site.sync && site.durableLsn < flush) flush = site.durableLsn;',
    '',
    by(
      'primary/group/holds',
      'a flush waits for synchronous sites durably whatever their level, and for no asynchronous one',
    ),
  ),
  step(
    'FUA is treated as a plain write',
    'primary/group/holds',
    'this.fua.release(Math.min(plain, flush));',
    'this.fua.release(plain);',
    by(
      'primary/group/holds',
      'every answer is given exactly when log and the sites of its own time allow it, also when answers bring new requests',
    ),
  ),
  step(
    'a FUA write is kept among the plain ones',
    'primary/group/holds',
    '(fua ? set.fua : set.plain).push(lsn, item);',
    'set.plain.push(lsn, item);',
    by(
      'primary/group/holds',
      'every answer is given exactly when log and the sites of its own time allow it, also when answers bring new requests',
    ),
  ),
  step(
    'level durable counts what the primary itself has not synced',
    'primary/group/holds',
    'Math.min(site.durableLsn, log.durableLsn)',
    'site.durableLsn',
    by(
      'primary/group/holds',
      'every answer is given exactly when log and the sites of its own time allow it, also when answers bring new requests',
    ),
  ),
  stops(
    step(
      'a FLUSH does not ask for a sync',
      'primary/group/write-path',
      'if (this.#log.durableLsn < this.#lsn) this.#log.requestSync(); this.#owner.flushed();',
      'this.#owner.flushed();',
      by(
        'primary/group/write-path',
        'a flush and a FUA write ask for the sync that they wait for, a plain write and a flush of nothing do not',
      ),
    ),
  ),
  stops(
    step(
      'a FUA write does not ask for a sync',
      'primary/group/write-path',
      'if (request.fua || this.#holds.wantDurable) this.#log.requestSync(); this.#owner.admitted();',
      'this.#owner.admitted();',
      by(
        'primary/group/write-path',
        'a flush and a FUA write ask for the sync that they wait for, a plain write and a flush of nothing do not',
      ),
    ),
  ),
  step(
    'a request of very many entries asks for no sync on its way',
    'primary/group/write-path',
    'if (entries === ENTRIES_PER_STEP_MAX && done < length) this.#log.requestSync();',
    '',
    by(
      'primary/group/write-path',
      'a request of very many entries asks for a sync on its way, so that the log need not wait for it with the rest',
    ),
  ),
  step(
    'the entry behind a FLUSH does not say so',
    'primary/group/write-path',
    'this.#flushPending = this.#lsn > 0; this.#holds.flush',
    'this.#holds.flush',
    by('primary/group/write-path', 'the first entry after a flush says so, and no other'),
  ),
  step(
    'a flush before a restart of the primary is forgotten',
    'primary/group/write-path',
    'this.#flushPending = this.#lsn > 0; } /** The last LSN given out. */',
    'this.#flushPending = false; }',
    by(
      'primary/group/write-path',
      'the first entry after a restart says that a flush came before it: nobody knows better',
    ),
    by('pair/blockdev', 'a flush parts the writes of a site although the primary was restarted behind it'),
  ),
  rule(
    'a site is dropped for room that only the end of a resize can give',
    'primary/group/shortage-watch',
    'logResize.isHolding || log.isCapped',
    'logResize.isHolding',
    by(
      'primary/group/shortage-watch',
      'while a log shrinks no site with policy drop pays for room that it could not give',
    ),
  ),
  rule(
    'the time that a writer waited for a resize counts against a site that acknowledges',
    'primary/group/shortage-watch',
    'return Math.min(this.#group.writePath.headWaitMs(nowMs), nowMs - this.#awayMs);',
    'return this.#group.writePath.headWaitMs(nowMs);',
    by(
      'primary/group/shortage-watch',
      'a site that acknowledges has all its time again once a log has shrunk, or its writers were held for it',
    ),
  ),
  step(
    'a FUA entry does not say so',
    'primary/group/write-path',
    'flags: (fua ? FrameFlag.fua : 0) |',
    'flags:',
    by('primary/group/write-path', 'a flush and a FUA write wait for durability, a plain write does not'),
  ),
  step(
    'the local devices are given what is not durable in the log',
    'primary/group/group',
    'this.#writeBack.allow(position); this.release();',
    'this.#writeBack.allow(Number.MAX_SAFE_INTEGER); this.release();',
    by(
      'primary/group/crash.property',
      'after a kill or a power cut at any moment both devices are one prefix of the order with everything promised in it',
    ),
  ),
  stops(
    step(
      'nothing is let through to the local devices when it is durable',
      'primary/group/group',
      'this.#writeBack.allow(position); this.release();',
      'this.release();',
      by('primary/group/group', 'with nothing pending a read goes to the device: first, last, single and odd bytes'),
    ),
  ),
  step(
    'a clean stop does not wait until the log is durable',
    'primary/group/group',
    'await this.#durableWaiters.reach(lastLsn, this.#log.durableLsn); await this.#writeBack.drain();',
    'await this.#writeBack.drain();',
    by(
      'primary/group/group',
      'damage below a durable mark loses its own range only: reads of it fail, also after restarts, until it is overwritten',
    ),
  ),
  step(
    'a clean stop does not apply what is in the log',
    'primary/group/group',
    'await this.#durableWaiters.reach(lastLsn, this.#log.durableLsn); await this.#writeBack.drain();',
    'await this.#durableWaiters.reach(lastLsn, this.#log.durableLsn);',
    by(
      'primary/group/group',
      'damage below a durable mark loses its own range only: reads of it fail, also after restarts, until it is overwritten',
    ),
  ),
  step(
    'a clean stop does not close the log',
    'primary/group/group',
    'await this.#log.close().catch(',
    'await Promise.resolve().catch(',
    by('primary/group/group', 'writes of every length go round the end of the ring many times'),
  ),
  stops(
    step(
      'writers are not told that the log is durable',
      'primary/group/group',
      'this.#writeBack.allow(position); this.release();',
      'this.#writeBack.allow(position);',
      by('primary/group/group', 'flush and FUA are answered after the sync that covers them, on whichever device'),
    ),
  ),
  step(
    'sites are not told what is durable',
    'primary/group/group',
    'for (const slink of this.slinks.values()) slink.onDurable(point);',
    '',
    by('pair/replicate', 'an async slink is connected, live, and its devices become equal'),
  ),
  step(
    'the log lets go what a local device has not applied',
    'primary/group/tail',
    'let target = this.#options.localPin();',
    'let target = Number.MAX_SAFE_INTEGER;',
    by(
      'primary/group/group',
      'reads are put together of pending writes, zeros and the device, the newest bytes win, devices are not mixed',
    ),
  ),
  step(
    'the log lets go what a site still needs',
    'primary/group/tail',
    'if (pin !== null && slink.mappings.size > 0 && pin < target) target = pin;',
    '',
    by('pair/outage', 'an outage shorter than the log resyncs nothing, when the agent comes back after a crash'),
  ),
  step(
    'the dirty log is flushed after the log is used again',
    'primary/group/tail',
    'if (flushes.length === 0) {',
    'if (flushes.length >= 0) {',
    by('pair/dirty-log', 'a power cut at any moment of an overflow loses no mark, and makes nothing else dirty'),
  ),
  step(
    'the log is let go although a dirty log could not be stored',
    'primary/group/tail',
    'if (results.every(Boolean)) {',
    'if (results) {',
    by('primary/group/tail', 'marks that cannot be stored keep the log, and are tried again'),
  ),
  step(
    'the log lets go what a pin took hold of during the flush',
    'primary/group/tail',
    'this.#release(Math.min(target, this.target));',
    'this.#release(target);',
    by('primary/group/tail', 'what a site takes hold of while marks are being stored is kept'),
  ),
  step(
    'a superblock that is wished for is not written',
    'primary/group/superblock-wish',
    '?.writeSuperblock()',
    '?.incarnations.reduce(() => Promise.resolve(), Promise.resolve())',
    by(
      'pair/fall-behind',
      'a site that became protected while nothing was written holds writers after a restart as well',
    ),
  ),
  step(
    'marks of a drop do not wait until everything is in the log file',
    'primary/group/drop-marks',
    'await group.allWritten();',
    '',
    by('primary/group/durable-admin', 'marks of a drop are looked for when all that was appended is in the log file'),
  ),

  // ----- other bugs -----

  rule(
    'a write is answered before it is in the log',
    'primary/group/holds',
    'let plain = log.writtenLsn;',
    'let plain = Number.POSITIVE_INFINITY;',
    by(
      'primary/group/holds',
      'every answer is given exactly when log and the sites of its own time allow it, also when answers bring new requests',
    ),
  ),
  rule(
    'the acknowledgement of a sync site is ignored',
    'primary/group/holds',
    'if (mark < plain) plain = mark;',
    '',
    by('primary/group/holds', 'a writer who waits only for a site that does not hold any more is answered'),
  ),
  rule(
    'level durable is content with received',
    'primary/group/holds',
    "site.level === 'durable' ? Math.min(site.durableLsn, log.durableLsn) : site.receivedLsn",
    'site.receivedLsn',
    by(
      'primary/group/holds',
      'every answer is given exactly when log and the sites of its own time allow it, also when answers bring new requests',
    ),
  ),
  rule(
    'a write is split wrong where it crosses 1 MiB',
    'primary/group/write-path',
    'const bytes = Math.min(length - done, step - (offset % step));',
    'const bytes = Math.min(length - done, step);',
    by('primary/group/write-path', 'a write is split at multiples of 1 MiB of its device, and at nothing else'),
  ),
  rule(
    'a request that had to wait begins anew',
    'primary/group/write-path',
    'const done = this.#admit(deviceId, request, 0); if (done >= request.length) return; this.#firstDone = done;',
    'const done = this.#admit(deviceId, request, 0); if (done >= request.length) return; this.#firstDone = 0;',
    by(
      'primary/group/write-path',
      'a request larger than the ring goes in piece by piece, is answered once, and nobody gets in between',
    ),
  ),
  rule(
    'a request overtakes those that wait',
    'primary/group/write-path',
    "if (this.waitingCount > 0 || this.#owner.admission() !== 'run')",
    "if (this.#owner.admission() !== 'run')",
    by(
      'primary/group/write-path',
      "a device that goes fails its own waiting requests and nobody else's, also in the middle of one",
    ),
  ),
  rule(
    'a write is answered before the overlay has it',
    'primary/group/group',
    'for (const entry of entries) this.#writeBack.note(entry); const last',
    'const noted = entries.slice(); queueMicrotask(() => { for (const entry of noted) this.#writeBack.note(entry); }); const last',
    by('primary/group/durable-admin', 'whoever reads in the turn of an answer sees what was answered'),
  ),
  rule(
    'positions of a closed incarnation are not clamped',
    'primary/group/log-points',
    'next === undefined ? point.lsn : Math.min(point.lsn, next.firstLsn - 1)',
    'point.lsn',
    by(
      'primary/group/units',
      'stored positions are clamped to the end of their own life, and a forgotten one is behind',
    ),
  ),
  rule(
    'the superblock does not say that a site is behind',
    'primary/group/owner-state',
    '(slink.behind ? FLAG_BEHIND : 0) |',
    '',
    by(
      'primary/group/units',
      'the owner state is laid out as its file says, comes back as it went, and is refused when cut short',
    ),
  ),
  rule(
    'the superblock does not say that regions are dirty',
    'primary/group/owner-state',
    '(slink.dirty ? FLAG_DIRTY : 0) |',
    '',
    by(
      'primary/group/units',
      'the owner state is laid out as its file says, comes back as it went, and is refused when cut short',
    ),
  ),
  rule(
    'the superblock does not say that a site was protected',
    'primary/group/owner-state',
    '(slink.wasProtected ? FLAG_PROTECTED : 0) |',
    '',
    by(
      'primary/group/units',
      'the owner state is laid out as its file says, comes back as it went, and is refused when cut short',
    ),
  ),
  rule(
    'fall-behind counts what is not durable',
    'primary/slink/slink',
    'this.#stream?.receivedLsn ?? this.point.lsn, this.pin',
    'this.point.lsn, this.pin',
    by('pair/steps', 'fall-behind counts what a site has not received, not what it has not durably'),
  ),
  rule(
    'a site that is within its fall-behind limits is waited for',
    'primary/slink/fall-behind',
    'if (limit.ios > 0 && outstanding.ios > limit.ios)',
    'if (limit.ios > 0 && outstanding.ios >= limit.ios)',
    by('primary/slink/fall-behind', 'ios N is exceeded by N + 1 entries and not by N'),
  ),
  rule(
    'the size of what a site lacks is never compared',
    'primary/slink/fall-behind',
    'if (limit.bytes > 0 && outstanding.bytes > limit.bytes)',
    'if (false)',
    by('primary/slink/fall-behind', 'size N counts bytes: with 1 MiB the 257th write of 4 KiB exceeds it'),
  ),
  rule(
    'a site that fell behind is let go at its limits, whatever its share to resume at',
    'primary/slink/protection',
    'forces(config.fallBehind, outstanding, before !== null)',
    'forces(config.fallBehind, outstanding, false)',
    by(
      'pair/fall-behind',
      'with a share to resume at, a site that fell behind is waited for until it is within that part',
    ),
  ),
  rule(
    'a share to resume at is also what begins it',
    'primary/slink/fall-behind',
    'return exceeds(forced ? shareOf(limit) : limit, outstanding);',
    'return exceeds(shareOf(limit), outstanding);',
    by(
      'primary/slink/fall-behind',
      'a site that is waited for is let go at or below its share of every limit; what begins it is the limit',
    ),
    by('pair/fall-behind', 'a share that is changed while writers wait acts at once'),
  ),
  rule(
    'a table forgets the share to resume at',
    'primary/dm/slink-tuple',
    'if (resumePercent !== undefined) parameters.push',
    'if (false) parameters.push',
    by('primary/dm/running', 'messages add, change and delete slinks and copies, and keep what they refuse to change'),
  ),
  rule(
    'a share to resume at of no limit is taken',
    'primary/slink/fall-behind',
    'if (limit.resumePercent !== undefined && !isLimited(limit))',
    'if (false)',
    by('primary/slink/fall-behind', 'a share of 100 is none, and a share without a limit is refused'),
  ),
  rule(
    'a failed log goes on taking writes',
    'primary/group/group',
    "this.#state = 'failed'; this.#failure",
    'this.#failure',
    by(
      'primary/group/group',
      'a log that cannot be written fails the group: writers get EIO, reads go on, a restart recovers',
    ),
  ),
  rule(
    'writers go on while the log gets another size',
    'primary/group/group',
    "return this.logResize.isHolding ? 'hold' : 'run';",
    "return 'run';",
    by(
      'primary/dm/log-resize',
      'writers that wait for a resize are no shortage of room: no site loses its place for them',
    ),
  ),
  rule(
    'writers that wait for a resize count as a shortage of room',
    'primary/group/shortage-watch',
    'logResize.isHolding || log.isCapped',
    'log.isCapped',
    by(
      'primary/dm/log-resize',
      'writers that wait for a resize are no shortage of room: no site loses its place for them',
    ),
  ),
  rule(
    'a size is taken in which sites would lose their place at once',
    'primary/group/log-resize',
    'if (used <= (sizeBytes - around) * MARKING_FILL) return;',
    'return;',
    by(
      'primary/dm/log-resize',
      'a resize is EPERM while one runs, EINVAL where it does not fit, and stands in the way of none',
    ),
  ),
  rule(
    'writers do not wait for a synchronous local site',
    'primary/group/local-site',
    "return this.#group.config.local.mode === 'sync';",
    'return false;',
    by(
      'primary/group/local-sync',
      'with a synchronous slink 0 a write is answered when the local device has it, and not before',
    ),
  ),
  step(
    'a device is let go before what has its place in the order is noted',
    'primary/group/group-admin',
    'await group.allWritten(); if (local?.device',
    'if (local?.device',
    by('primary/group/group', 'a write that has its place in the order while its device is deleted reaches it'),
  ),
  rule(
    'a synchronous local site leaves its writers to the timers',
    'primary/group/local-site',
    'writeBack.checkpoint();',
    '',
    by('primary/group/local-sync', 'flushes and FUA writes wait as well, and nothing is left to a timer'),
  ),
  rule(
    'what an answer brings waits for the next release where it changed who is waited for',
    'primary/group/holds',
    'at = this.#sets[at] === set ? at + 1 : 0;',
    'at += 1;',
    by(
      'primary/group/holds',
      'a flush that an answer brings is answered with it, also where the answer changed who is waited for',
    ),
  ),
]
