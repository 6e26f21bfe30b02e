/**
 * The place of a slink in the log: the last entry that it need not be sent, and where the next one lies.
 *
 * Pure. Owns the translation of acknowledged LSNs into log positions, by remembering where each sent run ended. The
 * position never moves beyond what the agent acknowledged as durable, because everything from it on is pinned in the
 * ring; it never moves back.
 */
import { assert, type LogPoint, type LogPosition, type Lsn } from '@sitelink/protocol'

export class Place {
  #point: LogPoint
  #acked: LogPoint
  #position: LogPosition
  /** Runs that were passed in the present session: last LSN and position behind it, oldest first. */
  #lsns: Lsn[] = []
  #positions: LogPosition[] = []
  #head = 0

  #answered: boolean

  /**
   * `acked`: the last durable acknowledgement, where the place lies above it: the dirty logs have what is between.
   * `answered`: that is what an agent said; else nobody ever acknowledged anything, and the place is where it begins.
   */
  constructor(point: LogPoint, position: LogPosition, answered: boolean, acked: LogPoint = point) {
    this.#point = point
    this.#acked = acked
    this.#position = position
    this.#answered = answered
  }

  /** The last entry that the stream need not send: the agent has it durably, or the dirty logs have what it lacks. */
  get point(): LogPoint {
    return this.#point
  }

  /** The last entry that the agent acknowledged as durable. */
  get acked(): LogPoint {
    return this.#acked
  }

  /** True once an agent has acknowledged something: from then on the one behind the slink must have it. */
  get answered(): boolean {
    return this.#answered
  }

  /** Everything below is not needed by this slink any more. */
  get position(): LogPosition {
    return this.#position
  }

  /** The stream has passed everything up to `lsn`, which ends at `position`. */
  passed(lsn: Lsn, position: LogPosition): void {
    assert(position >= this.#position, 'a stream passes entries above its place')
    this.#lsns.push(lsn)
    this.#positions.push(position)
  }

  /** The agent has everything up to `point` durably. True if the pinned position moved. */
  acknowledged(point: LogPoint): boolean {
    if (point.lsn < this.#point.lsn) return false
    this.#point = point
    this.#acked = point
    this.#answered = true
    const before = this.#position
    while (this.#head < this.#lsns.length && (this.#lsns[this.#head] as Lsn) <= point.lsn) {
      this.#position = this.#positions[this.#head] as LogPosition
      this.#head += 1
    }
    if (this.#head > 1024 || this.#head === this.#lsns.length) {
      this.#lsns = this.#lsns.slice(this.#head)
      this.#positions = this.#positions.slice(this.#head)
      this.#head = 0
    }
    return this.#position > before
  }

  /** A new session begins at the place: runs of the old one are passed again. */
  restart(): void {
    this.#lsns = []
    this.#positions = []
    this.#head = 0
  }

  /**
   * A site without devices: nothing up to `position` is for it. What an agent acknowledged before counts no more, because
   * it was of devices that are gone; the one that comes back may well have less than `point`.
   */
  moveTo(point: LogPoint, position: LogPosition): void {
    assert(position >= this.#position, 'a place never moves back')
    this.restart()
    this.#point = point
    this.#acked = point
    this.#answered = false
    this.#position = position
  }
}
