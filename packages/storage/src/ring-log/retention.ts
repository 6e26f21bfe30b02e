/**
 * What may be overwritten: the tail, the leases, and the room that is left.
 *
 * Owns the rule that keeps the log from losing what somebody needs: a byte is reused only when a superblock whose tail
 * lies above it is durable, and no tail passes a lease. Releasing moves nothing on the disk; freed bytes come back in
 * steps. The tail stands on group starts only, because reading begins there; of those it remembers enough.
 */
import { assert, type LogPosition } from '@sitelink/protocol/entry'
import type { Anchor } from './anchor.js'
import type { Lease } from './contract.js'
import type { Geometry } from './geometry.js'

class HeldLease implements Lease {
  constructor(
    public position: LogPosition,
    readonly held: Set<HeldLease>,
    /** Called when it holds less than before. */
    readonly moved: () => void,
  ) {
    held.add(this)
  }

  advance(position: LogPosition): void {
    assert(position >= this.position, 'a lease moves forward')
    this.position = position
    this.moved()
  }

  release(): void {
    if (this.held.delete(this)) this.moved()
  }
}

export class Retention {
  readonly #geometry: () => Geometry
  /** Ascending. The first one at or below the tail is kept. */
  #marks: Anchor[]
  readonly #leases = new Set<HeldLease>()
  #released: LogPosition
  #tail: Anchor
  #freedTo: LogPosition
  readonly #unheld: () => void
  /** Somebody wanted room that was not there; a step smaller than usual is worth its sync. */
  starving = false

  /**
   * `tail` is durable; `marks` lie above it, ascending. `unheld` is called when a lease moved while somebody starves:
   * what was released before may be free only now, and nothing else need ever happen to notice it.
   */
  constructor(geometry: () => Geometry, tail: Anchor, marks: readonly Anchor[], unheld: () => void) {
    this.#unheld = () => {
      if (this.starving) unheld()
    }
    this.#geometry = geometry
    this.#tail = tail
    this.#freedTo = tail.position
    this.#released = tail.entriesEnd
    this.#marks = [tail, ...marks]
  }

  /** The tail of the newest superblock, durable or under way. No lease may be taken below. */
  get tail(): Anchor {
    return this.#tail
  }

  /** Everything below may be overwritten. */
  get freedTo(): LogPosition {
    return this.#freedTo
  }

  /** A group starts here; remembered if it is far enough from the last one. */
  noteMark(mark: Anchor): void {
    const last = this.#marks.at(-1) as Anchor
    if (mark.position - last.position >= Math.max(1, this.#geometry().markBytes)) this.#marks.push(mark)
  }

  lease(position: LogPosition): Lease {
    assert(position >= this.#tail.entriesEnd, 'a lease is not taken below the tail')
    return new HeldLease(position, this.#leases, this.#unheld)
  }

  release(position: LogPosition): void {
    if (position > this.#released) this.#released = position
  }

  /** Where the tail could be now; `durable` is the end of what is durable. Not below the tail. */
  candidate(durable: Anchor): Anchor {
    let limit = this.#released
    for (const lease of this.#leases) if (lease.position < limit) limit = lease.position
    if (limit >= durable.entriesEnd) return durable
    let low = 0
    let high = this.#marks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const mark = this.#marks[middle] as Anchor
      if (mark.entriesEnd <= limit && mark.position <= durable.position) low = middle + 1
      else high = middle
    }
    const found = this.#marks[low - 1]
    return found === undefined || found.position < this.#tail.position ? this.#tail : found
  }

  /** True if a superblock would free enough to be worth its sync. */
  stepDue(durable: Anchor): boolean {
    const freed = this.candidate(durable).position - this.#tail.position
    return freed >= this.#geometry().stepBytes || (this.starving && freed > 0)
  }

  /** Moves the tail, for a superblock that is written next. */
  moveTail(durable: Anchor): Anchor {
    this.#tail = this.candidate(durable)
    const { position } = this.#tail
    let keep = 0
    while (keep < this.#marks.length && (this.#marks[keep] as Anchor).position < position) keep++
    this.#marks.splice(0, keep)
    if (this.#marks[0]?.position !== position) this.#marks.unshift(this.#tail)
    return this.#tail
  }

  /** A superblock with this tail is durable. True if there is more room now. */
  freed(tail: Anchor): boolean {
    const grew = tail.position > this.#freedTo
    this.#freedTo = Math.max(this.#freedTo, tail.position)
    if (grew) this.starving = false
    return grew
  }

  /** Nothing counts from `position` on any more; `marks` are places above the tail. Leases beyond it move back. */
  truncate(position: LogPosition, marks: readonly Anchor[]): void {
    this.#marks = this.#marks.filter((mark) => mark.position < (marks[0]?.position ?? position))
    if (this.#marks.length === 0) this.#marks.push(this.#tail)
    for (const mark of marks) this.noteMark(mark)
    for (const lease of this.#leases) lease.position = Math.min(lease.position, position)
    this.#released = Math.min(this.#released, position)
  }

  /** The last remembered place at or below `position`. */
  markBelow(position: LogPosition): Anchor {
    let low = 0
    let high = this.#marks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#marks[middle] as Anchor).position <= position) low = middle + 1
      else high = middle
    }
    return this.#marks[Math.max(0, low - 1)] as Anchor
  }

  /** The last remembered place with no entry above `lsn` below it. */
  markBeforeLsn(lsn: number): Anchor {
    let low = 0
    let high = this.#marks.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#marks[middle] as Anchor).lsn <= lsn) low = middle + 1
      else high = middle
    }
    return this.#marks[Math.max(0, low - 1)] as Anchor
  }
}
