/**
 * Looks for groups of a log block by block, where the way from one to the next is lost.
 *
 * Owns what may be believed of a group that is found like this: its header checks, it names this log, its own position
 * and the life that owns this place. Contents of entries could look like a group; they could not name their own place.
 */
import { sameId64, type LogPosition } from '@sitelink/protocol/entry'
import { decodeGroupHeader, GROUP_HEADER_BYTES, type GroupHeader } from './group.js'
import { BLOCK_BYTES } from './limits.js'
import { spanIndexAt, type LifeSpan } from './lives.js'
import type { PositionReader } from './position-reader.js'
import type { LogTraits } from './scan-facts.js'

export interface FoundGroup {
  readonly position: LogPosition
  readonly header: GroupHeader
  readonly span: LifeSpan
}

/** Groups from `from`, a multiple of a block, up to the limit of the reader, in order. */
export async function* searchGroups(
  reader: PositionReader,
  from: LogPosition,
  { logId, spans }: LogTraits,
): AsyncGenerator<FoundGroup> {
  for (let position = from; position + BLOCK_BYTES <= reader.limit; position += BLOCK_BYTES) {
    const bytes = reader.have(position, GROUP_HEADER_BYTES) ?? (await reader.at(position, GROUP_HEADER_BYTES))
    const header = decodeGroupHeader(bytes, 0)
    if (typeof header === 'string' || header.position !== position || !sameId64(header.logId, logId)) continue
    const span = spans[spanIndexAt(spans, position)] as LifeSpan
    if (header.incarnation === span.number && position < span.end) yield { position, header, span }
  }
}
