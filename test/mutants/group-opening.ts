/** The group of the primary: its opening and its administration, each change durable before it acts. */
import { by, rule, step, type Mutant } from './mutant.js'

export const GROUP_OPENING: readonly Mutant[] = [
  // ----- without one durability step -----

  step(
    'a restart lets applied entries go before the sites are there to keep them',
    'primary/group/open-group',
    'await openDevices(group); await redo(group, log, position); await openSlinks(group, state);',
    'await openDevices(group); await redo(group, log, position); writeBack.allow(log.durableEnd); await writeBack.drain(); await openSlinks(group, state);',
    by('pair/regressions', 'a restarted primary keeps what a site needs, also while its dirty logs are slow to open'),
  ),
  step(
    'a restart writes no superblock',
    'primary/group/open-group',
    'await log.writeSuperblock(); await recordMade(group);',
    'await recordMade(group);',
    by(
      'primary/group/durable-admin',
      'a mapping made at a start is written down as made, behind a superblock that calls it dirty',
    ),
  ),
  step(
    'a mapping made at a restart is not written down',
    'primary/group/open-group',
    'await recordMade(group);',
    '',
    by(
      'primary/group/durable-admin',
      'a mapping made at a start is written down as made, behind a superblock that calls it dirty',
    ),
  ),
  step(
    'a mapping made at a restart is written down before the superblock calls it dirty',
    'primary/group/open-group',
    'await log.writeSuperblock(); await recordMade(group);',
    'await recordMade(group); await log.writeSuperblock();',
    by(
      'primary/group/durable-admin',
      'a mapping made at a start is written down as made, behind a superblock that calls it dirty',
    ),
  ),
  step(
    'a restart does not redo what the local devices lack',
    'primary/group/open-group',
    'await redo(group, log, position);',
    '',
    by('primary/group/group', 'flush and FUA are answered after the sync that covers them, on whichever device'),
  ),
  step(
    'a restart does not mark again from the log',
    'primary/group/open-group',
    "if (slink.standing.kind === 'behind') await completeMarks(group, slink);",
    '',
    by(
      'pair/dirty-log',
      'a site that is behind misses the same regions after a crash of the primary, again and again, and gets no others',
    ),
  ),
  step(
    'marks that a restart made again are not stored',
    'primary/group/open-group',
    'await slink.flushMarks().catch((error) => slink.dirtyLogFailed(error));',
    '',
    by('pair/regressions', 'a dirty log that cannot be stored concerns its slink alone: the group starts, and says so'),
  ),
  step(
    'what was marked between the command and the mapping is not stored',
    'primary/group/open-mapping',
    'await mapping.dirty.flush(mapping.since);',
    '',
    by(
      'primary/group/durable-admin',
      'what was written while a device is mapped is in its dirty log when the mapping is made',
    ),
  ),
  step(
    'a new mapping marks nothing that was written since the command',
    'primary/group/open-mapping',
    'await markDropped(group, only, position);',
    '',
    by('pair/regressions', 'what is written while a device is mapped with nosync reaches the site'),
  ),
  step(
    'the log may lose what was written since the command to map',
    'primary/group/group-change',
    'this.#lease ??= group.log.lease(group.writtenMark.position);',
    'this.#lease ??= { position: group.writtenMark.position, release() {} };',
    by(
      'primary/group/durable-admin',
      'what was written while a device is mapped is in its dirty log, durably, however far the log has gone meanwhile',
    ),
  ),
  step(
    'a new mapping is written down before the superblock calls it dirty',
    'primary/group/group-change',
    'if (this.#lease !== null) await group.log.writeSuperblock(); await group.parts.config.update(() => this.#next);',
    'await group.parts.config.update(() => this.#next); if (this.#lease !== null) await group.log.writeSuperblock();',
    by(
      'pair/regressions',
      'a primary that dies at any moment of a map copies the device all the same, also with a dirty log in memory',
    ),
  ),
  step(
    'a new mapping is written down without a superblock that calls it dirty',
    'primary/group/group-change',
    'if (this.#lease !== null) await group.log.writeSuperblock(); await group.parts.config.update(() => this.#next);',
    'await group.parts.config.update(() => this.#next);',
    by(
      'pair/regressions',
      'a primary that dies at any moment of a map copies the device all the same, also with a dirty log in memory',
    ),
  ),
  step(
    'a change of a running group is not written down',
    'primary/group/group-change',
    'await group.parts.config.update(() => this.#next);',
    '',
    by('primary/group/durable-admin', 'verbs act one after the other: the second begins when the first is stored'),
    by(
      'pair/regressions',
      'a primary that dies at any moment of a map copies the device all the same, also with a dirty log in memory',
    ),
  ),
  step(
    'a new device is used before it is written down',
    'primary/group/group-change',
    'local.device = device; this.#locals.set(config.id, local);',
    'attachDevice(group, local, device); this.#locals.set(config.id, local);',
    by('primary/group/group', 'a verb whose configuration cannot be stored has changed nothing'),
  ),
  step(
    'a deleted device goes without its entries',
    'primary/group/group-admin',
    "await group.writeBack.detach(config.id, 'apply-first'); await this.#persist",
    'await this.#persist',
    by('primary/group/group', 'devices come and go while others work; a deleted one has its writes first'),
  ),
  step(
    'a deleted device is not written down',
    'primary/group/group-admin',
    'await this.#persist(() => next); } catch (error) { // It stays',
    '} catch (error) { // It stays',
    by('primary/group/group', 'devices come and go while others work; a deleted one has its writes first'),
  ),
  step(
    'a deleted slink leaves its dirty logs',
    'primary/group/group-change',
    'for (const mapping of mappings) await mapping.dirty.destroy().catch(() => { });',
    '',
    by(
      'pair/shortage',
      'a slink that is deleted lets go of the log and of the writers that waited for it, and leaves no dirty log',
    ),
  ),
  step(
    'a deleted slink leaves its peer',
    'primary/group/group-change',
    'await group.parts.peers.set(number, null).catch(() => { });',
    '',
    by('primary/group/durable-admin', 'an unmapped device and a deleted slink leave neither marks nor a peer'),
  ),
  step(
    'an unmap leaves its marks',
    'primary/group/group-change',
    'await mapping?.dirty.destroy().catch(() => { });',
    '',
    by('primary/group/durable-admin', 'an unmapped device and a deleted slink leave neither marks nor a peer'),
  ),
  step(
    'a full resync is not stored before it begins',
    'primary/group/group-admin',
    'mark(); try { await slink.flushMarks(); }',
    'mark(); try { }',
    by('primary/group/durable-admin', 'a full resync is stored before it begins'),
  ),
  step(
    'verbs are not one at a time',
    'primary/group/group-admin',
    'const run = this.#queue.then(() => {',
    'const run = Promise.resolve().then(() => {',
    by('primary/group/durable-admin', 'verbs act one after the other: the second begins when the first is stored'),
  ),
  step(
    'a change of the configuration is not waited for',
    'primary/group/group-admin',
    'await this.#group.parts.config.update(change);',
    'void this.#group.parts.config.update(change).catch(() => {});',
    by('primary/group/group', 'a verb whose configuration cannot be stored has changed nothing'),
  ),

  // ----- other bugs -----

  rule(
    'lost ranges are forgotten at a restart',
    'primary/group/open-group',
    'for (const range of state?.lost ?? []) writeBack.noteLost(range.deviceId, range.offset, range.length);',
    '',
    by(
      'primary/group/group',
      'damage below a durable mark loses its own range only: reads of it fail, also after restarts, until it is overwritten',
    ),
  ),
  rule(
    'a damaged entry is read as what was there before',
    'primary/group/open-group',
    'if (length > 0) group.writeBack.noteLost(deviceId, offset, length);',
    '',
    by(
      'primary/group/group',
      'damage below a durable mark loses its own range only: reads of it fail, also after restarts, until it is overwritten',
    ),
  ),
  rule(
    'a smaller device than it was is taken',
    'primary/group/open-group',
    'if (device.sizeBytes >= config.sizeBytes) return device;',
    'return device;',
    by('primary/group/group', 'a device that has shrunk is not used, and what is in the log for it is kept'),
  ),
  rule(
    'a core log that was dirty is clean after a restart',
    'primary/group/open-mapping',
    'const clean = record !== null && !record.dirty && !record.behind;',
    'const clean = record !== null;',
    by('pair/policy', 'a dirty log in memory is lost at a restart while something is dirty: everything is copied'),
  ),
]
