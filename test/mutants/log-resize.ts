/** A log that gets another size: what is durable before what, what is moved, and whose bytes are whose. */
import { by, rule, step, stops, type Mutant } from './mutant.js'

export const LOG_RESIZE: readonly Mutant[] = [
  step(
    'a resize takes effect before its superblock is durable',
    'storage/ring-log/resize',
    'await store.write(superblock); await this.#disk.sync();',
    'await store.write(superblock);',
    by('crash-points/resize', 'no sync of a resize can be left out'),
    by(
      'storage/ring-log/crash.property',
      'a dense log that is resized again and again survives every crash with all that it promised',
    ),
  ),
  step(
    'what a smaller log moved is not synced before the superblock that says so',
    'storage/ring-log/resize',
    'await target.write([bytes], bytes.length, at);',
    'await target.write([bytes], bytes.length, at); at += bytes.length; this.#advance(bytes.length); continue;',
    by(
      'crash-points/resize',
      'a crash at any point of a resize leaves a log of one size or the other with every promised entry',
    ),
  ),
  rule(
    'what was written while a log was being moved does not move',
    'storage/ring-log/resize',
    'await this.#move(plan, target, copied, head);',
    '',
    by(
      'storage/ring-log/resize',
      'a log is resized to 3145728 bytes while writers write: they wait for a moment only, and nothing is lost',
    ),
  ),
  rule(
    'a log that shrinks is written to where its bytes move',
    'storage/ring-log/resize',
    'this.#cap = from + ringBytes;',
    '',
    by('storage/ring-log/resize', 'a log that shrinks is used no further than it will reach, however much is written'),
  ),
  rule(
    'a log that shrinks keeps to its bound while it gives space back',
    'storage/ring-log/resize',
    'this.#uncap(); } finally { release(); }',
    '} finally { release(); }',
    by(
      'storage/ring-log/resize',
      'a log that has shrunk is used as far as it reaches while it still gives back what lies behind it',
    ),
  ),
  rule(
    'a log grows over bytes that its disk gained since it was opened',
    'storage/ring-log/resize',
    'await this.#disk.measure(); const diskBytes',
    'const diskBytes',
    by(
      'storage/ring-log/resize',
      'bytes that a disk gained since it was opened are looked at before a log grows over them, and are left where it shrinks',
    ),
  ),
  rule(
    'a log that shrinks cuts off what was put behind it since it was opened',
    'storage/ring-log/resize',
    'await this.#disk.measure(); if (this.#disk.sizeBytes - to',
    'if (this.#disk.sizeBytes - to',
    by(
      'storage/ring-log/resize',
      'bytes that a disk gained since it was opened are looked at before a log grows over them, and are left where it shrinks',
    ),
  ),
  stops(
    rule(
      'who waits until nothing is under way is forgotten where a checkpoint has to wait for a sync',
      'storage/ring-log/group-commit',
      'if (this.#gather.length === 0) this.#wakeIdle(); return;',
      'return;',
      by(
        'storage/ring-log/group-commit',
        'who waits until nothing is under way is let go although a checkpoint is due and too much is unsynced for it',
      ),
    ),
  ),
  rule(
    'a checkpoint of a segment from a larger ring takes room that was promised to entries',
    'storage/ring-log/group-commit',
    'this.roomNeeded(0, 0) - reserveBytes + largest',
    'largest',
    by(
      'storage/ring-log/group-commit',
      'the checkpoint of a segment that grew in a larger ring takes no room that was promised to entries',
    ),
  ),
  rule(
    'a sync that fails in a resize is nobody’s business',
    'storage/ring-log/resize',
    'await this.#disk.sync(); } catch (error) { this.#parts.fail(error); throw error; } } #ringBytesFor',
    'await this.#disk.sync(); } catch (error) { throw error; } } #ringBytesFor',
    by('storage/ring-log/resize', 'a sync that fails while a log is resized may have cost bytes of the log: it fails'),
  ),
  rule(
    'what is left of a cut tail is taken for a later lap where a ring has another place for it',
    'storage/ring-log/scan-facts',
    'return span.number !== incarnation || position >= span.end;',
    'return false;',
    by(
      'storage/ring-log/scan-facts',
      'a group further on in the log is left over if its life was cut before it, else the log is ahead of its superblock',
    ),
  ),
  rule(
    'the end of a file is cut while somebody still reads there',
    'storage/ring-log/resize',
    'await unread;',
    '',
    by('storage/ring-log/resize', 'a read that began before a log shrinks ends before its place is given back'),
  ),
]
