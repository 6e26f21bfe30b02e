/**
 * What readers of a log see of it: the written bytes, the lives, the segments, and who holds what.
 *
 * Owns nothing; a bundle that cursors, look-ups and region walks share, so that none of them needs the whole log.
 */
import type { Id64, LogPosition } from '@sitelink/protocol/entry'
import type { Anchor } from './anchor.js'
import { ChunkPool } from './chunk-pool.js'
import type { Lease, LsnRule } from './contract.js'
import type { GroupCommit } from './group-commit.js'
import { CHUNK_READS_MAX, CHUNKS_MAX } from './limits.js'
import type { LifeSpan } from './lives.js'
import type { OpenLogOptions } from './open.js'
import type { RecentGroups } from './recent.js'
import type { Retention } from './retention.js'
import type { RingSpace } from './ring-space.js'
import { Scanner } from './scan.js'
import type { Segments } from './segments.js'

export interface LogView {
  readonly space: RingSpace
  readonly logId: Id64
  readonly rule: LsnRule
  readonly recent: RecentGroups
  readonly segments: Segments
  readonly chunks: ChunkPool
  spans(): readonly LifeSpan[]
  /** Behind the last group in the file. */
  written(): Anchor
  /** Behind the last group that has its place. */
  formed(): Anchor
  tail(): Anchor
  lease(position: LogPosition): Lease
  /** A remembered group start at or below `position`, the nearest. */
  anchorBelow(position: LogPosition): Anchor
  /** A remembered group start with no entry above `lsn` below it, the nearest. */
  anchorBefore(lsn: number): Anchor
}

/** What a view is made of. */
export interface Viewed {
  readonly options: OpenLogOptions
  readonly space: RingSpace
  readonly segments: Segments
  readonly recent: RecentGroups
  readonly retention: Retention
  readonly commit: GroupCommit
  spans(): readonly LifeSpan[]
}

export function viewOf(viewed: Viewed, logId: Id64): LogView {
  const { options, space, segments, recent, retention, commit, spans } = viewed
  return {
    space,
    logId,
    rule: options.rule,
    recent,
    segments,
    chunks: new ChunkPool(space, CHUNKS_MAX, CHUNK_READS_MAX),
    spans,
    written: () => commit.written,
    formed: () => commit.formed,
    tail: () => retention.tail,
    lease: (position) => retention.lease(position),
    anchorBelow: (position) => anchorBelow(viewed, position),
    anchorBefore: (lsn) => anchorBefore(viewed, lsn),
  }
}

function anchorBelow({ retention, segments }: Viewed, position: LogPosition): Anchor {
  const mark = retention.markBelow(position)
  const { checkpoints } = segments
  const index = segments.indexOfClosing(position + 1)
  const checkpoint = checkpoints[index - 1]?.anchor
  return checkpoint !== undefined &&
    checkpoint.position > mark.position &&
    checkpoint.position >= retention.tail.position
    ? checkpoint
    : mark
}

/** Of a mark and a checkpoint the nearer one: in a large ring marks are far apart. */
function anchorBefore({ retention, segments }: Viewed, lsn: number): Anchor {
  const mark = retention.markBeforeLsn(lsn)
  const checkpoint = segments.lastBeforeLsn(lsn)
  return checkpoint !== null && checkpoint.position > mark.position && checkpoint.position >= retention.tail.position
    ? checkpoint
    : mark
}

/** A scanner over what is in the file, to which everything is durable: what does not check is a hole. */
export function scannerOver(view: LogView, from: Anchor): Scanner {
  const { space, logId, rule } = view
  const { position, lsn } = view.written()
  return new Scanner({
    space,
    logId,
    rule,
    spans: view.spans(),
    from,
    limit: position,
    mark: position,
    markLsn: lsn,
    proofBytes: 0,
  })
}
