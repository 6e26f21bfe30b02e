/** The dirty logs: flushed before they are relied on, believed only as far as they check. */
import { by, rule, step, type Mutant } from './mutant.js'

export const DIRTY_LOG: readonly Mutant[] = [
  // ----- without one durability step -----

  step(
    'a flush of a dirty log is not synced',
    'storage/dirty/dirty-log-store',
    'await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES); await disk.sync(); this.#goodGeneration',
    'await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES); this.#goodGeneration',
    by(
      'storage/dirty/dirty-log',
      'a flush that failed lends nothing to the next one, whose header or page may be all that arrives',
    ),
  ),
  step(
    'a flush writes the header and not the pages',
    'storage/dirty/dirty-log-store',
    'await disk.write([bytes], (HEADER_PAGES + first) * DIRTY_PAGE_BYTES); at',
    'at',
    by(
      'storage/dirty/dirty-log',
      'an open whose writing fails goes on in memory, says so, and the next flush stores everything',
    ),
  ),
  step(
    'a flush writes the pages and not the header',
    'storage/dirty/dirty-log-store',
    'await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES); await disk.sync(); this.#goodGeneration',
    'await disk.sync(); this.#goodGeneration',
    by(
      'storage/dirty/dirty-log',
      'a flush writes the changed page and a header and syncs once; nothing new costs nothing',
    ),
  ),
  step(
    'the header of a flush goes over the last good one',
    'storage/dirty/dirty-log-store',
    'const copy = this.#goodCopy === 0 ? 1 : 0;',
    'const copy = this.#goodCopy;',
    by('storage/dirty/dirty-log-crash', 'at every moment of a history over 40 regions, whatever sectors are lost'),
  ),
  step(
    'what lay in the place of a dirty log is not voided durably first',
    'storage/dirty/dirty-log-store',
    'await disk.writeZeroes(from, sizeBytes - from); await disk.sync();',
    'await disk.writeZeroes(from, sizeBytes - from);',
    by(
      'storage/dirty/dirty-log-steps',
      'what lay in a place that could not be read at a start is void before anything new may be taken for part of it',
    ),
  ),
  step(
    'what lay in the place of a dirty log is not voided',
    'storage/dirty/dirty-log-store',
    'await disk.writeZeroes(from, sizeBytes - from); await disk.sync();',
    '',
    by('storage/dirty/dirty-log', 'a bitmap for another log or other regions counts as all dirty and is overwritten'),
  ),
  step(
    'an opened dirty log is not written again',
    'storage/dirty/dirty-log-store',
    'await image.rewrite(disk); await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES); await disk.sync();',
    'await disk.sync();',
    by('storage/dirty/dirty-log', 'what a killed process had written is not trusted before it is on the medium'),
  ),
  step(
    'the pages of an opened dirty log are not written again',
    'storage/dirty/dirty-log-store',
    'await image.rewrite(disk);',
    '',
    by('storage/dirty/dirty-log', 'what a killed process had written is not trusted before it is on the medium'),
  ),
  step(
    'the header of an opened dirty log is not written again',
    'storage/dirty/dirty-log-store',
    'await image.rewrite(disk); await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES);',
    'await image.rewrite(disk);',
    by('storage/dirty/dirty-log', 'what a killed process had written is not trusted before it is on the medium'),
  ),
  step(
    'an opened dirty log is not synced',
    'storage/dirty/dirty-log-store',
    'await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES); await disk.sync(); const storedPages',
    'await disk.write([encodeHeader(header)], copy * DIRTY_PAGE_BYTES); const storedPages',
    by(
      'storage/dirty/dirty-log',
      'an open whose writing fails goes on in memory, says so, and the next flush stores everything',
    ),
  ),
  step(
    'a dirty log that ended is not voided durably',
    'storage/dirty/dirty-log-store',
    'HEADER_PAGES * DIRTY_PAGE_BYTES))], 0); await disk.sync();',
    'HEADER_PAGES * DIRTY_PAGE_BYTES))], 0);',
    by('storage/dirty/dirty-log', 'on a block device its end voids it, so that the next mapping may use the place'),
  ),
  step(
    'the file of a dirty log that ended is not removed',
    'storage/dirty/dirty-log-store',
    'if (removed) await this.#place.provider.removeFile(this.path);',
    '',
    by(
      'storage/dirty/dirty-log',
      'as a file it is made when it is missing, held exclusively, grown with its device, and removed at the end',
    ),
  ),
  step(
    'a new dirty log is not durable when it is made',
    'storage/dirty/dirty-log',
    'await refuseContents(disk, identity); await log.flush(basePoint);',
    'await refuseContents(disk, identity); void log.flush(basePoint).catch(() => {});',
    by(
      'storage/dirty/dirty-log',
      'a block device that is too small is refused, and so is one with something else on it',
    ),
  ),
  step(
    'a flush answers before it is done',
    'storage/dirty/dirty-log',
    'return this.#queued; }',
    'return Promise.resolve(); }',
    by(
      'storage/dirty/dirty-log',
      'the bitmap of another mapping is refused, not used and not overwritten until it is given up',
    ),
  ),
  step(
    'a flush that was asked for during one counts that one',
    'storage/dirty/dirty-log',
    'const begin = () => { this.#queued = null; return this.#flushNow(); };',
    'const begin = () => this.#flushNow().finally(() => { this.#queued = null; });',
    by(
      'storage/dirty/dirty-log',
      'flushes asked for during one share the next, and each covers what was marked before it',
    ),
  ),
  step(
    'the base point moves before the flush',
    'storage/dirty/dirty-log',
    'const marks = this.#marks; try',
    'const marks = this.#marks; this.#basePoint = point; try',
    by(
      'storage/dirty/dirty-log',
      'a flush that the disk fails rejects with the cause, keeps every mark, and a later one stores them all',
    ),
  ),
  step(
    'after a failed flush its pages count as stored',
    'storage/dirty/dirty-log',
    'for (const page of pages) this.#changedPages.add(page); this.#failure',
    'this.#failure',
    by('storage/dirty/dirty-log-crash', 'over many lives with failing disks, killed processes and power cuts'),
  ),
  step(
    'a close does not wait for the flush under way',
    'storage/dirty/dirty-log',
    'this.#isClosed = true; await this.#last.catch(() => undefined); await this.#store?.close();',
    'this.#isClosed = true; await this.#store?.close();',
    by('storage/dirty/dirty-log-steps', 'a close waits for the flush under way, and what it was asked for is there'),
  ),

  // ----- other bugs -----

  rule(
    'a dirty log of another mapping is believed',
    'storage/dirty/dirty-log-recovery',
    'if (stored.mappingId !== wanted.mappingId)',
    'if (false)',
    by(
      'storage/dirty/dirty-log',
      'the bitmap of another mapping is refused, not used and not overwritten until it is given up',
    ),
  ),
  rule(
    'a dirty log of another log is believed',
    'storage/dirty/dirty-log-recovery',
    'if (stored.logId.high !== wanted.logId.high || stored.logId.low !== wanted.logId.low)',
    'if (false)',
    by('storage/dirty/dirty-log', 'a bitmap for another log or other regions counts as all dirty and is overwritten'),
  ),
  rule(
    'a flush that did not end is believed',
    'storage/dirty/dirty-log-recovery',
    'return facts.digest(pageCount) === header.pagesDigest || facts.goodGenerationMax(pageCount) >= header.generation;',
    'return true;',
    by(
      'storage/dirty/dirty-log',
      'a flush that failed lends nothing to the next one, whose header or page may be all that arrives',
    ),
  ),
  rule(
    'damaged sectors of a dirty log read as clean',
    'storage/dirty/dirty-log-image',
    'if (end > first) bitmap.markRegions(first, end - first);',
    '',
    by('storage/dirty/dirty-log', 'no flipped bit anywhere makes a region clean, and one that matters is reported'),
  ),
  rule(
    'what a device has grown by is clean',
    'storage/dirty/dirty-log-image',
    'if (deviceBytes > grownFrom) bitmap.markRange(grownFrom, deviceBytes - grownFrom);',
    '',
    by(
      'storage/dirty/dirty-log',
      'of a device that has shrunk the bits behind its end are ignored, and dirty if it grows back',
    ),
  ),
  rule(
    'a range marks its first region only',
    'storage/dirty/dirty-log',
    'return this.markRegions(first, this.#bitmap.regionOf(offset + length - 1) - first + 1);',
    'return this.markRegions(first, 1);',
    by(
      'storage/dirty/dirty-log',
      'marking is durable before it is relied on: a flush that resolved survives a power cut',
    ),
  ),
  rule(
    'a cleared region is never stored',
    'storage/dirty/dirty-log',
    'if (!this.#bitmap.clear(region)) return false; this.#changedPages.add(Math.floor(region / REGIONS_PER_PAGE));',
    'if (!this.#bitmap.clear(region)) return false;',
    by(
      'storage/dirty/dirty-log',
      'of a device that has shrunk the bits behind its end are ignored, and dirty if it grows back',
    ),
  ),
]
