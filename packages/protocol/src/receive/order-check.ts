/**
 * Is the next frame of the stream the one that has to come? The rules of order, and nothing else.
 *
 * Pure: owns one place in the stream and compares frames with it. A frame that breaks a rule gets one sentence that says
 * how, and the place does not move; whoever asked ends the session and applies nothing of it. Invariant: every frame
 * that was passed follows its predecessor without a gap, an overlap or a step back, in one log and one line of
 * incarnations.
 *
 *   write zeroes trim marker     own the LSN behind the place, and name the CRC of the entry before them
 *   skip aux..lsn                starts behind the place and moves it; the CRC of its last entry is not known
 *   copy map unmap resync-begin  stand at the place and do not move it
 *
 * Before anything came, the place is the origin, and the first frame says where the history of this slink begins.
 */
import {
  FrameType,
  headerLogId,
  headerPreviousCrc,
  sameId64,
  type Frame,
  type Id64,
  type LogPoint,
  type Lsn,
} from '../entry/index.js'

/** A place in the stream: behind which entry it stands. */
export interface StreamPlace {
  readonly incarnation: number
  readonly lsn: Lsn
  /** Header CRC of that entry; null where it is not known. */
  readonly crc: number | null
}

/** True for the types that own an LSN. */
export function isEntry(type: FrameType): boolean {
  return type <= FrameType.marker
}

/** True for frames that bring the bytes of a resync. */
export function isCopy(type: FrameType): boolean {
  return type === FrameType.copy || type === FrameType.copyZeroes
}

/** One session's place in the stream. */
export class StreamOrder {
  readonly #logId: Id64
  /** The incarnation that the primary is in: no frame of this session can come from a later one. */
  readonly #incarnationMax: number
  #incarnation: number
  #lsn: Lsn
  #crc: number | null

  constructor(logId: Id64, incarnationMax: number, place: StreamPlace) {
    this.#logId = logId
    this.#incarnationMax = incarnationMax
    this.#incarnation = place.incarnation
    this.#lsn = place.lsn
    this.#crc = place.crc
  }

  /** Where the next frame has to follow. */
  get place(): StreamPlace {
    return { incarnation: this.#incarnation, lsn: this.#lsn, crc: this.#crc }
  }

  get point(): LogPoint {
    return { incarnation: this.#incarnation, lsn: this.#lsn }
  }

  /** Why `frame` cannot come here, as one sentence; null if it can, and then the place has moved behind it. */
  pass(frame: Frame): string | null {
    if (!sameId64(headerLogId(frame.header), this.#logId)) return `frame at LSN ${frame.lsn} belongs to another log`
    if (frame.incarnation > this.#incarnationMax) {
      return `frame at LSN ${frame.lsn} is of incarnation ${frame.incarnation}, the primary is in ${this.#incarnationMax}`
    }
    if (isEntry(frame.type)) return this.#passEntry(frame)
    if (frame.type === FrameType.skip) return this.#passSkip(frame)
    if (frame.type >= FrameType.control) return 'a frame that only the wire knows stands in the stream of entries'
    if (this.#begins) this.#move(frame, null)
    if (frame.lsn !== this.#lsn) return `a frame that stands at LSN ${this.#lsn} names ${frame.lsn}`
    const fell = this.#fell(frame)
    if (fell !== null) return fell
    // An incarnation without entries of its own may stand between the entry and this frame.
    this.#move(frame, this.#crc)
    return null
  }

  #passEntry(frame: Frame): string | null {
    const fell = this.#fell(frame)
    if (fell !== null) return fell
    if (frame.lsn !== this.#lsn + 1 && !this.#begins) return `LSN ${this.#lsn + 1} is due, ${frame.lsn} came`
    if (
      this.#crc !== null &&
      frame.incarnation === this.#incarnation &&
      headerPreviousCrc(frame.header) !== this.#crc
    ) {
      return `LSN ${frame.lsn} follows another entry ${this.#lsn} than the one in the journal`
    }
    this.#move(frame, frame.headerCrc)
    return null
  }

  #passSkip(frame: Frame): string | null {
    const fell = this.#fell(frame)
    if (fell !== null) return fell
    if (frame.aux !== this.#lsn + 1 && !this.#begins)
      return `LSN ${this.#lsn + 1} is due, a skip from ${frame.aux} came`
    if (frame.lsn < frame.aux) return `a skip ends at LSN ${frame.lsn}, before its begin ${frame.aux}`
    this.#move(frame, null)
    return null
  }

  get #begins(): boolean {
    return this.#incarnation === 0 && this.#lsn === 0
  }

  #fell(frame: Frame): string | null {
    if (frame.incarnation >= this.#incarnation) return null
    return `LSN ${frame.lsn} falls back from incarnation ${this.#incarnation} to ${frame.incarnation}`
  }

  #move(frame: Frame, crc: number | null): void {
    this.#incarnation = frame.incarnation
    this.#lsn = frame.lsn
    this.#crc = crc
  }
}
