/** Write-back: what reads see, when a device is synced, how far it may go. */
import { by, rule, step, stops, type Mutant } from './mutant.js'

export const WRITE_BACK: readonly Mutant[] = [
  // ----- without one durability step -----

  step(
    'a device is not synced: a sync only says that it was',
    'storage/write-back/lane',
    'await device.sync(); this.#syncing = false;',
    'await Promise.resolve(); this.#syncing = false;',
    by(
      'storage/write-back/write-back',
      'a layer is written in few, merged, sorted writes, the last writer of a block only',
    ),
  ),
  step(
    'a sync of a device covers what was written while it ran',
    'storage/write-back/lane',
    'this.syncedSequence = sequence;',
    'this.syncedSequence = this.writtenSequence;',
    by('storage/write-back/model', 'whatever happens, reads see the newest bytes and the devices end with them'),
  ),
  step(
    'what is being written while a sync runs counts as synced',
    'storage/write-back/lane',
    'this.#unsynced = this.#writing !== null;',
    'this.#unsynced = false;',
    by('storage/write-back/model', 'whatever happens, reads see the newest bytes and the devices end with them'),
  ),
  step(
    'the applied position moves over layers that no sync covers',
    'storage/write-back/flusher',
    'while (this.#writtenCount > 0 && this.#isSynced(this.#stack.layers[0]))',
    'while (this.#writtenCount > 0)',
    by(
      'storage/write-back/write-back',
      'after a failed sync reads come from the log, everything since the last good one is rewritten, then synced',
    ),
  ),
  stops(
    step(
      'nobody calls for a sync of the devices',
      'storage/write-back/flusher',
      'lane.maybeSync(); } for',
      '{} } for',
      by('storage/write-back/write-back', 'a partly covered read is put together from memory and device'),
    ),
  ),
  step(
    'a failed sync of a device drops the overlay',
    'storage/write-back/lane',
    'if (device === this.device) this.#distrust();',
    '',
    by(
      'storage/write-back/write-back',
      'after a failed sync reads come from the log, everything since the last good one is rewritten, then synced',
    ),
  ),
  step(
    'after a failed sync of a device nothing is written again',
    'storage/write-back/lane',
    'this.writtenSequence = this.syncedSequence; this.#unsynced = true;',
    'this.#unsynced = true;',
    by(
      'storage/write-back/write-back',
      'after a failed sync reads come from the log, everything since the last good one is rewritten, then synced',
    ),
  ),
  step(
    'another way to a device is believed to hold what the old one had not synced',
    'storage/write-back/lane',
    'this.device = device; this.#distrust();',
    'this.device = device;',
    by(
      'storage/write-back/write-back',
      'whatever was not synced through the old handle of a device is written again through the new one',
    ),
  ),
  step(
    'a device goes before what waits for it is applied',
    'storage/write-back/flusher',
    'await this.#waiters.add({ sequence: this.#stack.active.sequence - 1, lane }).catch(',
    'await Promise.resolve().catch(',
    by(
      'storage/write-back/lifecycle',
      'detaching applies first what was noted, waiting for the limit, and drops what comes later',
    ),
  ),
  step(
    'a drain does not wait',
    'storage/write-back/flusher',
    'return this.#waiters.add({ sequence: this.#hurryTarget, lane: null });',
    'return Promise.resolve();',
    by('storage/write-back/lifecycle', 'a drain waits for a failing device'),
  ),
  step(
    'a stop does not wait for what is under way on the devices',
    'storage/write-back/flusher',
    'await Promise.all([...this.lanes.values()].map((lane) => lane.halt()));',
    'for (const lane of this.lanes.values()) void lane.halt();',
    by('storage/write-back/lifecycle', 'a stop waits for what is under way, starts nothing, and ends the waits'),
  ),
  step(
    'a device is given what is not durable in the log',
    'storage/write-back/flusher',
    'if (!layer.closed || layer.end > this.allowed) return false;',
    'if (!layer.closed) return false;',
    by('storage/write-back/write-back', 'nothing above the limit is written, and the limit is asked for'),
  ),
  step(
    'a layer is given to the devices once its first entry may be',
    'storage/write-back/flusher',
    'if (!layer.closed || layer.end > this.allowed) return false;',
    'if (!layer.closed || layer.start >= this.allowed) return false;',
    by(
      'pair/rewrites',
      'a layer with entries on both sides of a flush reaches no device in part, and a power cut keeps what was flushed',
    ),
  ),
  rule(
    'every entry is a layer of its own: rewrites of a block are not merged',
    'storage/write-back/write-back',
    'if (isBig(active, stack.activeIntervals, this.#limits)) flusher.maybeClose();',
    'flusher.close();',
    by(
      'pair/rewrites',
      'of rewrites of the same blocks both sides write the last ones to their devices, and log and wire carry all',
    ),
  ),
  rule(
    'rewrites are merged with what may still be unmade: nothing waits for the log',
    'primary/group/group',
    'this.#writeBack.note(entry); const last',
    '{ this.#writeBack.note(entry); this.#writeBack.allow(entry.end); } const last',
    by(
      'pair/rewrites',
      'rewrites are merged up to what can no longer be unmade: no newer bytes reach a device before a flush covers them',
    ),
  ),
  step(
    'a lost range is forgotten for good before what overwrote it is applied',
    'storage/write-back/lost-ranges',
    'removeFrom(this.#current, deviceId, offset, length, Number.POSITIVE_INFINITY);',
    'removeFrom(this.#current, deviceId, offset, length, Number.POSITIVE_INFINITY); removeFrom(this.#stored, deviceId, offset, length, Number.POSITIVE_INFINITY);',
    by(
      'storage/write-back/lifecycle',
      'a lost range reads as EIO until it is overwritten, and is stored until that is applied',
    ),
  ),
  step(
    'the sync of a device file is not passed on',
    'storage/device/file-device',
    'return this.disk.sync();',
    'return Promise.resolve();',
    by('storage/device/file-device', 'a failing disk is passed on as it is'),
  ),

  // ----- other bugs -----

  stops(
    rule(
      'who waits for what may never be written waits for ever',
      'storage/write-back/flusher',
      'return this.#limitEnded && this.#stack',
      'return false && this.#stack',
      by(
        'storage/write-back/lifecycle',
        'who waits for entries above a limit that has ended is refused, keeps the device, and nobody else is',
      ),
    ),
  ),
  rule(
    'write-back does not hear that the log failed',
    'primary/group/group',
    'this.#writeBack?.endLimit();',
    '',
    by(
      'primary/group/group',
      'a device whose deletion is under way when the log fails stays with all its bytes, and the verb ends and says why',
    ),
  ),
  rule(
    'the overlay ignores the device number',
    'storage/write-back/write-back',
    'const part = layer.parts.get(deviceId); if (part !== undefined) plan.take(part);',
    'for (const part of layer.parts.values()) plan.take(part);',
    by('storage/write-back/write-back', 'the same offset on two devices is never mixed'),
  ),
  rule(
    'the overlay answers with the older of two writes',
    'storage/write-back/write-back',
    'for (let i = layers.length - 1; i >= 0 && !plan.complete; i--) { const layer = layers[i]; if (layer.sequence <= written) break;',
    'for (let i = 0; i < layers.length && !plan.complete; i++) { const layer = layers[i]; if (layer.sequence <= written) continue;',
    by('storage/write-back/model', 'whatever happens, reads see the newest bytes and the devices end with them'),
  ),
  rule(
    'a part is written while its zeros are under way',
    'storage/write-back/part-writer',
    'await eachOf(plan.zeroes, limits.writesInFlightMax,',
    'void eachOf(plan.zeroes, limits.writesInFlightMax,',
    by('storage/write-back/write-back', 'a part counts as written only when its zeros have landed as well'),
  ),
  rule(
    'what lies in memory is left out of a read into a buffer',
    'storage/write-back/read',
    'if (piece.buffer !== into.buffer) piece.copy(into, at);',
    '',
    by('storage/write-back/model', 'whatever happens, reads see the newest bytes and the devices end with them'),
  ),
  rule(
    'a TRIM leaves what was there',
    'storage/write-back/layer-stack',
    'if (!ignore) this.#noteZeroes(layer, frame, entry.position);',
    'if (!ignore && frame.type !== FrameType.trim) this.#noteZeroes(layer, frame, entry.position);',
    by('storage/write-back/write-back', 'after a trim a range reads as zeros, from the layers and from the device'),
  ),
  rule(
    'the memory budget of the overlay is never enforced',
    'storage/write-back/layer-stack',
    '|| !this.#takes(length)',
    '',
    by('storage/write-back/model', 'memory and intervals stay within their limits, whatever is noted'),
  ),
  rule(
    'memory that is full takes every payload that fits',
    'storage/write-back/layer-stack',
    'this.#full = !kept;',
    '',
    by(
      'storage/write-back/write-back',
      'once memory is full what follows lies together in the log, until a quarter of it is free',
    ),
  ),
  rule(
    'memory that was full takes nothing any more',
    'storage/write-back/layer-stack',
    'this.#memoryBytes > MEMORY_LOW_SHARE * memoryBytesMax',
    'true',
    by(
      'storage/write-back/write-back',
      'once memory is full what follows lies together in the log, until a quarter of it is free',
    ),
  ),
  rule(
    'what a layer needs from the log is read in the order of the device',
    'storage/write-back/part-writer',
    'placed.sort(byPosition);',
    '',
    by(
      'storage/write-back/write-back',
      'what has to be read from the log is read from front to back, however it lies on the device',
    ),
  ),
  rule(
    'who waits for memory is not told that its device fails',
    'storage/write-back/flusher',
    'if (lane.stuck) this.#roomFreed = true;',
    '',
    by('storage/write-back/write-back', 'nobody waits for the memory of a device that fails or is not there'),
  ),
  rule(
    'a payload waits for the memory of a device that fails',
    'storage/write-back/write-back',
    'if (lane.stuck) return false;',
    '',
    by('storage/write-back/write-back', 'nobody waits for the memory of a device that fails or is not there'),
  ),
  rule(
    'a payload waits for the memory of a device that is not there',
    'storage/write-back/write-back',
    'if (held.size > 0) return false;',
    '',
    by('storage/write-back/write-back', 'nobody waits for the memory of a device that fails or is not there'),
  ),
  rule(
    'a payload that memory never holds waits for ever',
    'storage/write-back/write-back',
    ' || payloadBytes > this.#limits.memoryBytesMax',
    '',
    by(
      'storage/write-back/write-back',
      'a payload waits for memory that devices are about to give back, and is told when they have',
    ),
  ),
  rule(
    'a slow write now and then adds up to a disk that is never trusted',
    'storage/disk/quick-writes',
    'isAgain ? Math.min(',
    'true ? Math.min(',
    by(
      'storage/disk/quick-writes',
      'a slow write now and then is forgotten: the next one costs no more than the first',
    ),
  ),
  rule(
    'a disk that is slow every few seconds is trusted less and less',
    'storage/disk/quick-writes',
    'Math.min(2 * this.#distrustMs, DISTRUST_TIMES_MAX * tookMs)',
    '2 * this.#distrustMs',
    by(
      'storage/disk/quick-writes',
      'slow writes at any pace hold up a hundredth of the time, and those that come every few seconds leave trust',
    ),
  ),
  rule(
    'a payload waits for the memory of a device that does not answer',
    'storage/write-back/lane',
    'this.#isSlow = true;',
    '',
    by(
      'storage/write-back/write-back',
      'nor for that of a device that has been at one part for seconds, until it answers',
    ),
  ),
  rule(
    'a device that took long once is never waited for again',
    'storage/write-back/lane',
    'this.#isSlow = false; }',
    '}',
    by(
      'storage/write-back/write-back',
      'nor for that of a device that has been at one part for seconds, until it answers',
    ),
  ),
  rule(
    'the lag of the local devices is never limited',
    'storage/write-back/write-back',
    'end - this.appliedPosition + payloadBytes <= lagBytesMax',
    'true',
    by('storage/write-back/write-back', 'the lag of the devices stays within its limit, in bytes of the log'),
  ),
  rule(
    'the intervals of the overlay are never limited',
    'storage/write-back/write-back',
    'intervalCount + INTERVALS_PER_ENTRY_MAX <= intervalsMax',
    'true',
    by('storage/write-back/model', 'memory and intervals stay within their limits, whatever is noted'),
  ),
  rule(
    'a lost range reads as what the device holds',
    'storage/write-back/write-back',
    "if (lost.touches(deviceId)) lost.within(deviceId, offset, length, (start, end) => plan.takeRange(start, end, 'lost'));",
    '',
    by(
      'storage/write-back/lifecycle',
      'a lost range reads as EIO until it is overwritten, and is stored until that is applied',
    ),
  ),
  rule(
    'a read at once does not look into the layers',
    'storage/write-back/write-back',
    'return lane !== null && !this.covers(deviceId, offset, into.length) && lane.device.readNow(into, offset);',
    'return lane !== null && lane.device.readNow(into, offset);',
    by(
      'storage/write-back/write-back',
      'a read at once is answered by the device alone: never where a layer holds a byte of it that the device has not',
    ),
    by('storage/write-back/model', 'whatever happens, reads see the newest bytes and the devices end with them'),
  ),
  rule(
    'a read that raced with a failed sync is believed',
    'storage/write-back/read',
    'if (fetch.usesDevice && lane !== null && lane.generation !== generation) continue;',
    '',
    by('storage/write-back/lifecycle', 'a read that was under way while a sync failed is done again from the layers'),
  ),
  rule(
    'a read of the log takes no lease',
    'storage/write-back/read',
    'const lease = lowest === Number.POSITIVE_INFINITY ? null : source.log.lease(lowest);',
    'const lease = null;',
    by(
      'storage/write-back/lifecycle',
      'a payload that the log cannot give back is reported, and passed once it is declared lost',
    ),
  ),
  rule(
    'entries of a device that is not known are given to the others',
    'storage/write-back/flusher',
    'for (const deviceId of this.held) if (layer.parts.has(deviceId)) return false; return true;',
    'return true;',
    by('storage/write-back/lifecycle', 'held entries are discarded when the operator says so'),
  ),
  rule(
    'a copy of a device that was let go is reported as applied',
    'storage/write-back/layer-stack',
    'if (frame.type === FrameType.copy && keepMark && !ignore)',
    'if (frame.type === FrameType.copy && keepMark)',
    by('storage/write-back/lifecycle', 'a copy of a device that was let go is never reported as applied'),
  ),

  // ----- while writers are at work -----

  ...(
    [
      [
        'for ever',
        'nowMs < openedAtMs + limits.putOffMsMax &&',
        '',
        'a rush keeps them from the devices for a bounded time',
      ],
      [
        'however much of the log they hold',
        'lagBytes <= limits.putOffBytesMax &&',
        '',
        'a rush keeps no more from them than the log can hold back',
      ],
      [
        'until the intervals are used up',
        'intervalCount <= ROOM_SHARE * limits.intervalsMax',
        'true',
        'a rush leaves a part of the intervals free',
      ],
      [
        'also where entries come slowly',
        'if (!rush.lasts(nowMs)) return false;',
        '',
        'entries that come slowly go to the devices as they come',
      ],
    ] as const
  ).map(([when, code, instead, test]) =>
    rule(
      `a rush keeps entries from the devices ${when}`,
      'storage/write-back/put-off',
      code,
      instead,
      by('storage/write-back/put-off', test),
    ),
  ),
  rule(
    'a rush goes on while somebody waits for the devices',
    'storage/write-back/flusher',
    'this.held.size + this.#waiters.waits.length > 0',
    'false',
    by(
      'storage/write-back/put-off',
      'who waits for the devices ends it: a drain, a detach, a log that runs short, a device that is not there',
    ),
  ),
  rule(
    'a rush goes on though the log runs short',
    'storage/write-back/flusher',
    'empty || sequence <= this.#hurryTarget',
    'empty',
    by(
      'storage/write-back/put-off',
      'who waits for the devices ends it: a drain, a detach, a log that runs short, a device that is not there',
    ),
  ),
  rule(
    'one writer alone is a rush',
    'storage/write-back/layer-stack',
    'entry.position === this.end && ++this',
    '++this',
    by(
      'storage/write-back/put-off',
      'entries of which each is a commit group by itself go to the devices as they come, however fast',
    ),
  ),
  rule(
    'a rush that is spent goes on',
    'storage/write-back/put-off',
    'this.#spent = true;',
    '',
    by(
      'storage/write-back/put-off',
      'a rush that kept from them all that it may does not begin again before a pause: they keep up',
    ),
  ),
  rule(
    'a rush that is spent is the last one',
    'storage/write-back/put-off',
    'if (!this.#isOn(nowMs)) this.#spent = false;',
    '',
    by(
      'storage/write-back/put-off',
      'a rush that kept from them all that it may does not begin again before a pause: they keep up',
    ),
  ),
  rule(
    'a rush is never over',
    'storage/write-back/put-off',
    'return nowMs < this.#seenMs + CALM_MS;',
    'return this.#seenMs > 0;',
    by(
      'storage/write-back/put-off',
      'while entries come fast nothing goes to the devices; once they pause all of it does, and is merged',
    ),
  ),
  rule(
    'nobody looks again whether a rush is over',
    'storage/write-back/flusher',
    'if (this.#putOff) this.wakeAt(this.#clock.nowMs() + PUT_OFF_LOOK_MS);',
    '',
    by(
      'storage/write-back/put-off',
      'while entries come fast nothing goes to the devices; once they pause all of it does, and is merged',
    ),
  ),
  rule(
    'an agent empties a small journal as it does a large one',
    'agent/replica/device-pace',
    '...limits, layerBytes, lagBytesMax,',
    'lagBytesMax,',
    by('pair/sync-wanted', 'a small journal is emptied in small steps: it holds nobody up for a second'),
  ),
  rule(
    'what a device did not write at once is taken for written',
    'storage/write-back/part-writer',
    'device.writeNow?.(chunks, offset) === true ? null',
    'device.writeNow?.(chunks, offset) !== undefined ? null',
    by('storage/write-back/write-back', 'what a device writes at once is not written again, what it does not is'),
  ),
  rule(
    'a write at once is made although the turn is spent',
    'storage/disk/node-disk',
    'if (quick === null || quick.mustWait) return false;',
    'if (quick === null) return false;',
    by('storage/disk/quick-writes', 'a write in this very call is made if it is quick and its turn is not spent'),
  ),
  rule(
    'a part counts as written while its writes are under way',
    'storage/write-back/part-writer',
    'await eachOf(fromMemory,',
    'void eachOf(fromMemory,',
    by('storage/write-back/model', 'whatever happens, reads see the newest bytes and the devices end with them'),
  ),
  rule(
    'a write that waited is made of what is left of its buffers',
    'storage/disk/node-disk',
    "assert(lengthOf(chunks) === length, 'buffers stay until they are written');",
    '',
    by('storage/disk/quick-writes', 'a write that waits for its turn is not made when its buffers were given back'),
  ),
]
