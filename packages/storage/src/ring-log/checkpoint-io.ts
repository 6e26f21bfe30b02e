/**
 * Reads checkpoints from the disk: one by its position, or the list of all from the newest back.
 */
import { crc32, sameId64, type Id64, type LogPosition } from '@sitelink/protocol/entry'
import { decodeCheckpoint, type CheckpointBody, type CheckpointRef } from './checkpoint.js'
import { decodeGroupHeader, GROUP_HEADER_BYTES, GroupKind, type GroupHeader } from './group.js'
import { BLOCK_BYTES } from './limits.js'
import type { RingSpace } from './ring-space.js'

export interface ReadCheckpoint {
  readonly header: GroupHeader
  readonly body: CheckpointBody
}

/** The checkpoint at `position`; null if none can be read there. */
export async function readCheckpoint(
  space: RingSpace,
  logId: Id64,
  position: LogPosition,
): Promise<ReadCheckpoint | null> {
  try {
    const block = Buffer.allocUnsafe(BLOCK_BYTES)
    await space.read(block, position)
    const header = decodeGroupHeader(block, 0)
    if (typeof header === 'string' || header.kind !== GroupKind.checkpoint) return null
    if (header.position !== position || !sameId64(header.logId, logId) || header.bodyBytes > space.ringBytes)
      return null
    let bytes = block.subarray(GROUP_HEADER_BYTES, GROUP_HEADER_BYTES + header.bodyBytes)
    if (bytes.length < header.bodyBytes) {
      bytes = Buffer.allocUnsafe(header.bodyBytes)
      await space.read(bytes, position + GROUP_HEADER_BYTES)
    }
    const body = crc32(bytes) === header.bodyCrc ? decodeCheckpoint(bytes) : null
    return body === null ? null : { header, body }
  } catch {
    // A checkpoint is a short cut; without it the entries themselves are read.
    return null
  }
}

/**
 * The checkpoints before `newest`, down to `tail`, ascending, by way of their directories. Null if `newest` itself
 * cannot be read; shorter than it could be if all that name the older ones are damaged.
 */
export async function readDirectory(
  space: RingSpace,
  logId: Id64,
  newest: LogPosition,
  tail: LogPosition,
): Promise<CheckpointRef[] | null> {
  const first = await readCheckpoint(space, logId, newest)
  if (first === null) return null
  const found: CheckpointRef[] = []
  let directory = first.body.directory
  for (;;) {
    const lowest = found.at(-1)?.anchor.position ?? newest
    const older = directory.filter(({ anchor }) => anchor.position < lowest && anchor.position >= tail)
    found.push(...older)
    const next = await oldestReadable(space, logId, older)
    if (next === null) return found.reverse()
    directory = next
  }
}

async function oldestReadable(
  space: RingSpace,
  logId: Id64,
  newestFirst: readonly CheckpointRef[],
): Promise<readonly CheckpointRef[] | null> {
  for (const { anchor } of newestFirst.toReversed()) {
    const read = await readCheckpoint(space, logId, anchor.position)
    if (read !== null) return read.body.directory
  }
  return null
}
