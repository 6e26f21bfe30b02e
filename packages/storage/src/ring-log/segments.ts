/**
 * The segments of the log: the checkpoints that close them, and the one that is still growing.
 *
 * Owns what is kept in memory of each: position and chain of its checkpoint (sets and indexes stay on the disk), and
 * for the growing one its regions and index. Checkpoints are in order of position; those below the tail are forgotten.
 */
import { assert, type Frame, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import type { Anchor } from './anchor.js'
import type { CheckpointBody, CheckpointRef, IndexPoint } from './checkpoint.js'
import type { LogHole, RegionRun } from './contract.js'
import { DIRECTORY_MAX, INDEX_POINTS_MAX, INDEX_STEP_BYTES } from './limits.js'
import { RegionSet } from './region-set.js'

/** The segment behind the last checkpoint. */
export class SegmentBuilder {
  readonly #regions = new RegionSet()
  readonly #index: IndexPoint[] = []
  #entryCount = 0
  #complete = true

  constructor(readonly start: LogPosition) {}

  get entryCount(): number {
    return this.#entryCount
  }

  get index(): readonly IndexPoint[] {
    return this.#index
  }

  /** A group of entries begins at `position`; `lsn` is the last one below it. */
  noteGroup(position: LogPosition, lsn: Lsn): void {
    const last = this.#index.at(-1)
    if (last !== undefined && position - last.position < INDEX_STEP_BYTES) return
    if (this.#index.length < INDEX_POINTS_MAX) this.#index.push({ position, lsn })
  }

  noteFrame(frame: Frame): void {
    this.#entryCount++
    this.#regions.noteFrame(frame)
  }

  /** Entries that cannot be read: their ranges count as far as they are known. */
  noteHole(hole: LogHole): void {
    if (hole.ranges === null) this.#complete = false
    else for (const { deviceId, offset, length } of hole.ranges) this.#regions.note(deviceId, offset, length)
  }

  /** Null if entries are lost whose ranges nobody knows. */
  runs(): RegionRun[] | null {
    return this.#complete ? this.#regions.runs() : null
  }
}

export class Segments {
  #checkpoints: CheckpointRef[]
  current: SegmentBuilder

  /** `checkpoints` ascending; `current` begins behind the last of them. */
  constructor(checkpoints: readonly CheckpointRef[], current: SegmentBuilder) {
    this.#checkpoints = checkpoints.slice()
    this.current = current
  }

  /** Ascending. */
  get checkpoints(): readonly CheckpointRef[] {
    return this.#checkpoints
  }

  get last(): CheckpointRef | null {
    return this.#checkpoints.at(-1) ?? null
  }

  /** The body of the checkpoint that would close the growing segment now. */
  body(): CheckpointBody {
    const { start, entryCount, index } = this.current
    return {
      segmentStart: start,
      entryCount,
      index,
      directory: this.#checkpoints.slice(-DIRECTORY_MAX).reverse(),
      runs: this.current.runs(),
    }
  }

  /** A checkpoint was placed; the next segment starts at `end`. */
  close(checkpoint: CheckpointRef, end: LogPosition): void {
    assert(checkpoint.anchor.position >= (this.last?.anchor.position ?? 0), 'checkpoints rise')
    this.#checkpoints.push(checkpoint)
    this.current = new SegmentBuilder(end)
  }

  /** Becomes what the other one is. */
  replace(other: Segments): void {
    this.#checkpoints = other.#checkpoints
    this.current = other.current
  }

  /** Forgets checkpoints below the tail. */
  dropBelow(tail: LogPosition): void {
    const keep = this.#checkpoints.findIndex(({ anchor }) => anchor.position >= tail)
    if (keep !== 0) this.#checkpoints.splice(0, keep < 0 ? this.#checkpoints.length : keep)
  }

  /** The last checkpoint with no entry above `lsn` below it; null if there is none. */
  lastBeforeLsn(lsn: Lsn): Anchor | null {
    let low = 0
    let high = this.#checkpoints.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#checkpoints[middle] as CheckpointRef).anchor.lsn <= lsn) low = middle + 1
      else high = middle
    }
    return this.#checkpoints[low - 1]?.anchor ?? null
  }

  /** Index of the first checkpoint at or above `position`: the one that closes the segment in which it lies. */
  indexOfClosing(position: LogPosition): number {
    let low = 0
    let high = this.#checkpoints.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#checkpoints[middle] as CheckpointRef).anchor.position < position) low = middle + 1
      else high = middle
    }
    return low
  }
}
