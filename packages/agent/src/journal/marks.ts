/**
 * Which point of history does a byte position of the journal stand for?
 *
 * Owns a bounded queue of (end position, point, count of frames), oldest first, and the newest one that was reached.
 * Reaching a position answers with the newest mark at or below it: rounded down, never up. Invariant: positions, points
 * and counts never fall from one mark to the next.
 */
import { FrameType, type Frame, type LogPosition, type Lsn } from '@sitelink/protocol'

/** Where a frame ends, and what lies before. */
export interface Mark {
  readonly end: LogPosition
  readonly incarnation: number
  readonly lsn: Lsn
  /** Header CRC of the last entry, or 0 where it is not known. */
  readonly crc: number
  /** Frames of the present session that end here or before. */
  readonly frames: number
}

/** The mark behind `frame`, which follows `before` and ends at `end`. Each frame says where the stream stands. */
export function markBehind(before: Mark, frame: Frame, end: LogPosition, frames: number): Mark {
  const { type, incarnation, lsn } = frame
  const keeps = type > FrameType.marker && type !== FrameType.skip && lsn === before.lsn
  const crc = type <= FrameType.marker ? frame.headerCrc : keeps ? before.crc : 0
  return { end, incarnation, lsn, crc, frames }
}

/** Marks kept before every other one is forgotten: about 5 MB. Forgetting rounds further down, and never wrongly. */
export const MARKS_MAX = 65_536

/** Marks that wait until their position is reached. */
export class MarkQueue {
  #waiting: Mark[] = []
  /** Index of the oldest one that waits: the array is compacted now and then instead of shifted each time. */
  #head = 0
  #reached: Mark

  constructor(reached: Mark) {
    this.#reached = reached
  }

  /** The newest mark that was reached. */
  get reached(): Mark {
    return this.#reached
  }

  get waitingCount(): number {
    return this.#waiting.length - this.#head
  }

  /** A frame, or a group of them, ends here. */
  push(mark: Mark): void {
    if (this.waitingCount >= MARKS_MAX) this.#thin()
    this.#waiting.push(mark)
  }

  /** Everything below `position` is reached. True if the reached mark moved. */
  reach(position: LogPosition): boolean {
    let moved = false
    for (
      let next = this.#waiting[this.#head];
      next !== undefined && next.end <= position;
      next = this.#waiting[this.#head]
    ) {
      this.#reached = next
      this.#head++
      moved = true
    }
    if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head)
      this.#head = 0
    }
    return moved
  }

  /** Nothing that ends above `position` will be reached. */
  cut(position: LogPosition): void {
    this.#waiting = this.#waiting.slice(this.#head).filter((mark) => mark.end <= position)
    this.#head = 0
  }

  /** A new session begins: frames are counted from zero. */
  recount(): void {
    const zero = (mark: Mark): Mark => ({ ...mark, frames: 0 })
    this.#waiting = this.#waiting.slice(this.#head).map(zero)
    this.#head = 0
    this.#reached = zero(this.#reached)
  }

  #thin(): void {
    const kept = this.#waiting.slice(this.#head)
    this.#waiting = kept.filter((_, at) => (kept.length - 1 - at) % 2 === 0)
    this.#head = 0
  }
}
