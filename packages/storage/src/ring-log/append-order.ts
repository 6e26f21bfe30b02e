/**
 * The order that appended frames must have, asserted at the door: a frame out of order is a bug of the owner, and
 * recovery would take it for damage.
 */
import {
  assert,
  headerLogId,
  headerPreviousCrc,
  sameId64,
  type Frame,
  type Id64,
  type Lsn,
} from '@sitelink/protocol/entry'
import type { LsnRule } from './contract.js'

export class AppendOrder {
  /** Of the last frame, in the file or not. */
  lastLsn: Lsn
  lastHeaderCrc: number
  #last: Frame | null = null

  constructor(
    readonly rule: LsnRule,
    end: { readonly lsn: Lsn; readonly entryCrc: number },
  ) {
    this.lastLsn = end.lsn
    this.lastHeaderCrc = end.entryCrc
  }

  /** Takes the next frame. `dense`: it continues LSN and chain and names this life; `monotone`: its order never falls. */
  take(frame: Frame, logId: Id64, incarnation: number): void {
    if (this.rule === 'dense') this.#assertDense(frame, logId, incarnation)
    else this.#assertNotFalling(frame)
    this.#last = frame
    this.lastLsn = frame.lsn
    this.lastHeaderCrc = frame.headerCrc
  }

  /** The log ends here now. */
  restart(end: { readonly lsn: Lsn; readonly entryCrc: number }): void {
    this.lastLsn = end.lsn
    this.lastHeaderCrc = end.entryCrc
    this.#last = null
  }

  #assertDense(frame: Frame, logId: Id64, incarnation: number): void {
    assert(frame.lsn === this.lastLsn + 1, 'LSNs rise by one')
    assert(frame.incarnation === incarnation, 'a frame names the life of the log that it is appended to')
    assert(sameId64(headerLogId(frame.header), logId), 'a frame names the log that it is appended to')
    assert(headerPreviousCrc(frame.header) === this.lastHeaderCrc, 'a frame repeats the header CRC of the one before')
  }

  #assertNotFalling(frame: Frame): void {
    const last = this.#last
    if (last === null || !sameId64(headerLogId(last.header), headerLogId(frame.header))) return
    const rises = frame.incarnation > last.incarnation
    assert(
      rises || (frame.incarnation === last.incarnation && frame.lsn >= last.lsn),
      'the order of frames never falls',
    )
  }
}
