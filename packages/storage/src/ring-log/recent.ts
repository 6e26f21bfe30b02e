/**
 * The newest groups, still in memory: cursors that follow closely read nothing from the disk.
 *
 * Owns a list of groups bounded by bytes and by the number of entries; the entries are those of the owner, not copies. Holds only groups that are in
 * the file. A group larger than the bound is not held, and, in a log that one cursor reads once, none that it has
 * passed. Invariant: in such a log an entry that was taken is not handed out again, for the memory of its
 * payload may have been given back.
 */
import { FRAME_HEADER_BYTES, type LogPosition } from '@sitelink/protocol/entry'
import type { LogEntry } from './contract.js'

export interface RecentGroup {
  readonly position: LogPosition
  /** End of its last entry. */
  readonly bodyEnd: LogPosition
  readonly entries: readonly LogEntry[]
}

export class RecentGroups {
  /** Slots below `first` are emptied, so that nothing that was given up is kept alive. */
  #groups: (RecentGroup | undefined)[] = []
  #first = 0
  #bytes = 0
  #entries = 0
  /** In a log that is read once: a cursor has everything below it. */
  #takenEnd: LogPosition = 0
  /** Every entry in the file from here on is held: behind the last one that was given up. -1 before the first group. */
  #heldFrom: LogPosition = -1

  /** `readOnce`: what a cursor has taken is wanted by nobody else. */
  constructor(
    readonly bytesMax: number,
    readonly entriesMax = Number.POSITIVE_INFINITY,
    readonly readOnce = false,
  ) {}

  /** Where a group begins, everything in the file from which on is held; Infinity if nothing is. */
  get from(): LogPosition {
    const first = this.#groups[this.#first]
    const whole = first === undefined || first.position >= this.#takenEnd ? first : this.#groups[this.#first + 1]
    return whole?.position ?? Number.POSITIVE_INFINITY
  }

  add(group: RecentGroup): void {
    if (this.#heldFrom < 0) this.#heldFrom = group.position
    this.#groups.push(group)
    this.#bytes += costOf(group)
    this.#entries += group.entries.length
    while ((this.#bytes > this.bytesMax || this.#entries > this.entriesMax) && this.#first < this.#groups.length)
      this.#dropFirst()
    if (this.#first > 1024 && this.#first * 2 > this.#groups.length) {
      this.#groups = this.#groups.slice(this.#first)
      this.#first = 0
    }
  }

  /**
   * Index of the first group that ends above `position`, if all from `position` on is held; else -1. Whoever has taken one
   * group stands in front of the fill behind it, and finds the next one.
   */
  find(position: LogPosition): number {
    const first = this.#groups[this.#first]
    if (first === undefined || position < Math.max(this.#heldFrom, this.#takenEnd)) return -1
    let low = this.#first
    let high = this.#groups.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#groups[middle] as RecentGroup).bodyEnd <= position) low = middle + 1
      else high = middle
    }
    return low < this.#groups.length ? low : -1
  }

  group(index: number): RecentGroup | undefined {
    return this.#groups[index]
  }

  /** The entry at exactly this position, if it is held. */
  entryAt(position: LogPosition): LogEntry | null {
    const index = this.find(position)
    const group = index < 0 ? undefined : this.#groups[index]
    const entry = group?.entries[entryIndex(group.entries, position)]
    return entry?.position === position ? entry : null
  }

  /** A cursor has taken everything below `position`. */
  taken(position: LogPosition): void {
    if (!this.readOnce) return
    this.#takenEnd = Math.max(this.#takenEnd, position)
    while (this.#first < this.#groups.length && (this.#groups[this.#first] as RecentGroup).bodyEnd <= position)
      this.#dropFirst()
  }

  /** Forgets everything. */
  clear(): void {
    this.#groups = []
    this.#first = 0
    this.#bytes = 0
    this.#entries = 0
    this.#takenEnd = 0
    this.#heldFrom = -1
  }

  #dropFirst(): void {
    const group = this.#groups[this.#first] as RecentGroup
    this.#bytes -= costOf(group)
    this.#entries -= group.entries.length
    this.#heldFrom = group.bodyEnd
    this.#groups[this.#first] = undefined
    this.#first++
  }
}

/** Index of the first entry at or above `position`. */
export function entryIndex(entries: readonly LogEntry[], position: LogPosition): number {
  let low = 0
  let high = entries.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((entries[middle] as LogEntry).position < position) low = middle + 1
    else high = middle
  }
  return low
}

/** What holding a group costs: its bytes, and the objects around each entry. */
function costOf(group: RecentGroup): number {
  return group.bodyEnd - group.position + group.entries.length * FRAME_HEADER_BYTES
}
