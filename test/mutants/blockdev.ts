/** Blockdev sites: the order at their devices, what is durable before what, and when a device is healthy. */
import { by, rule, step, type Mutant } from './mutant.js'

const SYNC = by('pair/blockdev', 'what a sync blockdev site was told to have is on its devices after any power cut')
const WRITER = 'primary/blockdev/ordered-writer'
const TARGETS = 'primary/blockdev/targets'

export const BLOCKDEV: readonly Mutant[] = [
  // ----- without one durability step -----

  step(
    'a blockdev site acknowledges before its devices are synced',
    WRITER,
    'await this.#sync(); if (this.#open) this.#queue.splice(0, count);',
    'if (this.#open) this.#queue.splice(0, count);',
    SYNC,
  ),
  step(
    'a blockdev site does not say beforehand how far it may get',
    WRITER,
    'if (reachLsn > this.#reachLsn) await this.#record(this.#applied, reachLsn);',
    '',
    by(
      'pair/blockdev',
      'a site that died in the middle of a batch says that it is in doubt until the batch is written again',
    ),
  ),
  step(
    'the record of a blockdev site is not synced',
    'primary/blockdev/site-file',
    'await this.#disk.sync();',
    '',
    SYNC,
  ),
  step(
    'a blockdev site writes what the log does not have durably',
    WRITER,
    'return Math.max(frame.lsn, isCopy(frame.type) ? frame.aux : 0) <= this.#toldLsn;',
    'return true;',
    by('pair/blockdev', 'nothing is given to a device of a site before the log of the primary has it durably'),
  ),
  step(
    'a flush does not part the writes of a blockdev site',
    WRITER,
    'if ((flags & FrameFlag.flushBefore) !== 0) await this.#sync();',
    '',
    by('pair/blockdev', 'a flush of an application is a sync of all devices of the site before the entry behind it'),
  ),
  step(
    'an FUA entry of a blockdev site is not synced before the next',
    WRITER,
    'if ((flags & FrameFlag.fua) !== 0) await this.#sync();',
    '',
    by('pair/blockdev', 'a flush of an application is a sync of all devices of the site before the entry behind it'),
  ),
  step(
    'a probe does not sync',
    TARGETS,
    'await device.write([bytes], 0); await device.sync();',
    'await device.write([bytes], 0);',
    by('pair/blockdev', 'a device that reads but cannot be written is not healthy: the probe writes'),
  ),

  // ----- rules -----

  rule(
    'a blockdev site writes a batch backwards',
    WRITER,
    'for (const frame of batch) { if (!this.#open) break;',
    'for (const frame of [...batch].reverse()) { if (!this.#open) break;',
    by('pair/blockdev', 'writes of all devices reach a site in the order of the log, one at a time'),
  ),
  rule(
    'a blockdev site does not wait for a write before the next',
    WRITER,
    'await this.#give(frame);',
    'void this.#give(frame);',
    by('pair/blockdev', 'writes of all devices reach a site in the order of the log, one at a time'),
  ),
  rule(
    'a blockdev site that was interrupted takes itself for one point of the history',
    WRITER,
    'this.#doubtLsn = recorded.reachLsn;',
    'this.#doubtLsn = 0;',
    by(
      'pair/blockdev',
      'a site that died in the middle of a batch says that it is in doubt until the batch is written again',
    ),
  ),
  rule(
    'a session begins although a device of its site is not healthy',
    'primary/blockdev/site',
    'while (!this.#targets.healthy) {',
    'while (false) {',
    by('pair/blockdev', 'the first error of a device is one event, and no device of its site is written any more'),
  ),
  rule(
    'a probe does not wait for its interval',
    TARGETS,
    'return Math.max(0, this.#probeAtMs - this.#clock.nowMs());',
    'return 1000;',
    by(
      'pair/blockdev',
      'probes keep their interval, come one at a time, and none comes while nobody waits for the site',
    ),
  ),
  rule(
    'a probe only reads',
    TARGETS,
    'await device.write([bytes], 0); await device.sync();',
    '',
    by('pair/blockdev', 'a device that reads but cannot be written is not healthy: the probe writes'),
  ),
  rule(
    'a device that is too small is used',
    TARGETS,
    'if (device.sizeBytes < sizeBytes) {',
    'if (false) {',
    by('pair/blockdev', 'a device that turns out to be smaller than its original is not used'),
  ),
  rule(
    'what may hang is written in the calling thread',
    'storage/disk/node-disk',
    'options.mayHang === true',
    'false',
    by('storage/disk/quick-writes', 'a disk that may hang is never written in the calling thread'),
  ),
  rule(
    'a device that failed is tried through the descriptor that failed',
    TARGETS,
    'await shut(target); const closed = await this.#open(target);',
    'const closed = target.device === null ? await this.#open(target) : null;',
    by(
      'pair/blockdev-targets',
      'a device that failed is opened anew by a probe: its descriptor may lead to what is gone',
    ),
  ),
  rule(
    'a device that could not be written is healthy once it opens',
    TARGETS,
    'target.owesWrite = true;',
    '',
    by(
      'pair/blockdev-targets',
      'a device that failed and cannot be opened any more says so, and has to be written before it is healthy',
    ),
  ),
  rule(
    'a device that is unmapped is let go by the next session only',
    'primary/group/group-change',
    'await group.sites.unmapped(number);',
    '',
    by(
      'pair/blockdev-targets',
      'a device that is unmapped is let go when the verb has ended, also while its slink is paused',
    ),
  ),
  rule(
    'a probe writes a device that was unmapped meanwhile',
    TARGETS,
    "if (!isOurs()) return 'it is not mapped any more';",
    '',
    by(
      'pair/blockdev-targets',
      'a device that is unmapped is not written by a probe that was under way, nor tried again',
    ),
  ),
  rule(
    'a site that waited in vain for a device lets go of nothing',
    'primary/blockdev/site',
    "await this.#rest('the primary stops');",
    "await within(this.#parts.clock, SITE_STOP_MS_MAX, this.#rest('the primary stops')); if (this.#writer?.busy === true) return;",
    by(
      'pair/blockdev-targets',
      'a slink that is deleted while a device of it hangs lets all of them go, and its record, once that answers',
    ),
  ),
  rule(
    'a site that is closed forgets what a dial was about to open',
    'primary/blockdev/site',
    'await this.#dials; await this.#targets.release();',
    'await this.#targets.release();',
    by('pair/blockdev-targets', 'a site that is closed while it opens a device keeps none open'),
  ),
  rule(
    'a session of a blockdev site begins while a step of the one before stores its record',
    'primary/blockdev/site',
    'await session?.settled();',
    '',
    by('pair/blockdev-targets', 'a step of an older session on the record is over before the next one takes one'),
  ),
]
