/**
 * Ranges whose acknowledged bytes are lost: reads of them fail until they are overwritten.
 *
 * Pure. Keeps two lists per device, each sorted and without overlaps. `current` is what reads obey: a noted entry takes
 * its range out at once. `stored` is what the owner persists: a range leaves it only when the entry that overwrote it is
 * applied durably, because a power cut may unmake the entry while the device still holds bytes that were never right.
 */

/** A lost range of one device. */
export interface LostRange {
  readonly deviceId: number
  readonly offset: number
  readonly length: number
}

interface Span {
  readonly start: number
  readonly end: number
  /** Layers from this sequence on were noted after the loss, and can undo it. */
  readonly sequence: number
}

export class LostRanges {
  readonly #current = new Map<number, Span[]>()
  readonly #stored = new Map<number, Span[]>()

  /** Spans that reads obey, over all devices. */
  get count(): number {
    let count = 0
    for (const list of this.#current.values()) count += list.length
    return count
  }

  /** The range is lost; layers of a sequence of at least `sequence` will have been noted after this. */
  add(deviceId: number, offset: number, length: number, sequence: number): void {
    const span = { start: offset, end: offset + length, sequence }
    for (const lists of [this.#current, this.#stored]) {
      const list = lists.get(deviceId) ?? []
      lists.set(deviceId, list)
      removeSpan(list, span.start, span.end, Number.POSITIVE_INFINITY)
      list.splice(firstBehind(list, span.start), 0, span)
    }
  }

  /** True if any range of the device is lost: the cheap question of the hot path. */
  touches(deviceId: number): boolean {
    return this.#current.size > 0 && this.#current.has(deviceId)
  }

  /** True if the store still names a range of the device. */
  storedTouches(deviceId: number): boolean {
    return this.#stored.has(deviceId)
  }

  /** The range was overwritten by an entry that was noted now. */
  overwritten(deviceId: number, offset: number, length: number): void {
    removeFrom(this.#current, deviceId, offset, length, Number.POSITIVE_INFINITY)
  }

  /** The range was overwritten by an entry of layer `sequence`, which is applied durably now. */
  applied(deviceId: number, offset: number, length: number, sequence: number): void {
    removeFrom(this.#stored, deviceId, offset, length, sequence)
  }

  /** Forgets a device. */
  drop(deviceId: number): void {
    this.#current.delete(deviceId)
    this.#stored.delete(deviceId)
  }

  /** Calls `visit` for each lost stretch within the range, ascending. */
  within(deviceId: number, offset: number, length: number, visit: (start: number, end: number) => void): void {
    const list = this.#current.get(deviceId)
    if (list === undefined) return
    for (let i = firstBehind(list, offset); i < list.length; i++) {
      const span = list[i] as Span
      if (span.start >= offset + length) return
      visit(Math.max(span.start, offset), Math.min(span.end, offset + length))
    }
  }

  /** What a restart must be told again: a superset of what reads obey. By device, ascending. */
  stored(): LostRange[] {
    const ranges: LostRange[] = []
    for (const [deviceId, list] of this.#stored) {
      for (const { start, end } of list) ranges.push({ deviceId, offset: start, length: end - start })
    }
    return ranges
  }
}

/** Index of the first span that ends behind `at`. */
function firstBehind(list: readonly Span[], at: number): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((list[middle] as Span).end > at) high = middle
    else low = middle + 1
  }
  return low
}

function removeFrom(
  lists: Map<number, Span[]>,
  deviceId: number,
  offset: number,
  length: number,
  sequence: number,
): void {
  const list = lists.get(deviceId)
  if (list === undefined) return
  removeSpan(list, offset, offset + length, sequence)
  if (list.length === 0) lists.delete(deviceId)
}

/** Takes start .. end out of the spans that are not younger than `sequence`. */
function removeSpan(list: Span[], start: number, end: number, sequence: number): void {
  const first = firstBehind(list, start)
  let behind = first
  const kept: Span[] = []
  while (behind < list.length) {
    const span = list[behind] as Span
    if (span.start >= end) break
    behind++
    if (span.sequence > sequence) {
      kept.push(span)
      continue
    }
    if (span.start < start) kept.push({ ...span, end: start })
    if (span.end > end) kept.push({ ...span, start: end })
  }
  if (behind > first) list.splice(first, behind - first, ...kept)
}
