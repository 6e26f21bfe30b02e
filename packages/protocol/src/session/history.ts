/**
 * The history of a log as its incarnations tell it, and where a point of another history leaves it.
 *
 * Owns the arithmetic of points over an incarnation table (DESIGN "Incarnations"): where an incarnation ended, which
 * incarnation an entry is of, and the last point that two histories have in common. Pure.
 *
 *   incarnation 1   1 ......... 49 | 50 .... 60        lost in a power cut
 *   incarnation 2                  | 50 ............. head
 *
 * `[1, 60]` is not in this history, `[1, 49]` and `[2, 49]` are the same point of it, written `[1, 49]` here.
 */
import { assert } from '../entry/assert.js'
import { comparePoints, ORIGIN, type LogPoint, type Lsn } from '../entry/lsn.js'
import type { WireIncarnation } from '../control/messages.js'

/** A log: its lives, oldest first, and its last entry. */
export class LogHistory {
  readonly #incarnations: readonly WireIncarnation[]
  readonly #first: WireIncarnation
  readonly #head: LogPoint

  /** `head` lies in the last incarnation, at or behind the entry before its first. */
  constructor(incarnations: readonly WireIncarnation[], head: LogPoint) {
    const first = incarnations[0]
    const last = incarnations.at(-1)
    assert(
      first !== undefined && last !== undefined && last.number === head.incarnation,
      'the head is in the current incarnation',
    )
    this.#incarnations = incarnations
    this.#first = first
    this.#head = head
  }

  /** True if the incarnation `number` of this history has this id. */
  has(number: number, id: string): boolean {
    return this.#incarnations.some((one) => one.number === number && one.id === id)
  }

  /** Last LSN of an incarnation that the table holds: the head's, or the one before the next began. */
  endOf(number: number): Lsn {
    const index = this.#incarnations.findIndex((one) => one.number === number)
    assert(index >= 0, 'the incarnation is in the table')
    const next = this.#incarnations[index + 1]
    return next === undefined ? this.#head.lsn : Math.min(next.firstLsn - 1, this.#head.lsn)
  }

  /**
   * The same point with the incarnation that wrote its entry. Points before the table's first entry get incarnation 0,
   * so that normal points order by {@link comparePoints}.
   */
  normal(point: LogPoint): LogPoint {
    const writer = this.#incarnations.findLast((one) => one.number <= point.incarnation && one.firstLsn <= point.lsn)
    return writer === undefined ? { incarnation: 0, lsn: point.lsn } : { incarnation: writer.number, lsn: point.lsn }
  }

  /** True if this history has the entry that `point` names and the incarnation itself is not of the future. */
  contains(point: LogPoint): boolean {
    if (point.lsn === 0) return true
    if (point.incarnation > this.#head.incarnation) return false
    const { incarnation, lsn } = this.normal(point)
    // Before the table begins nothing is known of an entry but that its LSN lies below the table's first.
    return incarnation === 0 ? lsn < this.#first.firstLsn : lsn <= this.endOf(incarnation)
  }

  /** The last point at or before `point` that this history has. `point`'s incarnation is in the table, or 0. */
  commonWith(point: LogPoint): LogPoint {
    if (point.incarnation === 0 || point.lsn === 0) return ORIGIN
    return this.normal({ incarnation: point.incarnation, lsn: Math.min(point.lsn, this.endOf(point.incarnation)) })
  }

  /** Order of two points of this history, whatever incarnation they are written with. */
  compare(a: LogPoint, b: LogPoint): number {
    return comparePoints(this.normal(a), this.normal(b))
  }
}
