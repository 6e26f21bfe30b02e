/**
 * Marks in a site's dirty logs what the log holds above its place, when the site is dropped.
 *
 * Pure of state. Entries that were given out before appends were marked may not be in the file yet: they have no
 * position until they are, and nobody else marks them, so they are waited for.
 */
import type { LogPosition } from '@sitelink/protocol'
import type { MappingSet } from '../slink/mapping-set.js'
import type { Group } from './group.js'

/** Marks from `position` to the last entry given out. Rejects if the log fails or cannot be read. */
export async function markDropped(group: Group, mappings: MappingSet, position: LogPosition): Promise<void> {
  await group.allWritten()
  for await (const segment of group.log.regionsBetween(position, group.log.writtenEnd)) {
    if (segment.runs === null) {
      mappings.markAll()
      continue
    }
    for (const { deviceId, firstUnit, unitCount } of segment.runs)
      mappings.get(deviceId)?.markUnits(firstUnit, unitCount)
  }
}
