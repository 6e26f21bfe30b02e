/**
 * Ranges as a report names them: neighbours that say the same made one, up to a limit, beyond it only counted.
 *
 * Pure. Owns the order and the limit; what a range is about is its caller's. Invariant: every byte that was added is in
 * exactly one range, or counted as not named.
 */
import { VERIFY_RANGES_NAMED_MAX } from '../limits.js'
import type { VerifyRange } from './verify-run.js'

/** The part of a range that matters here. */
export type Place = Pick<VerifyRange, 'device' | 'offset' | 'length'>

export class RangeList<T extends Place> {
  readonly #says: (a: T, b: T) => boolean
  #ranges: T[] = []
  /** No further range is named. */
  #full = false
  #notNamedBytes = 0

  /** `says`: whether two ranges that touch say the same. */
  constructor(says: (a: T, b: T) => boolean) {
    this.#says = says
  }

  /** Bytes beyond {@link ranges}. */
  get notNamedBytes(): number {
    return this.#notNamedBytes
  }

  /** In order of device and offset, neighbours joined. */
  get ranges(): readonly T[] {
    return this.#joined()
  }

  /** Most come in order; what does not is joined when there is no room any more, as long as that is worth it. */
  add(range: T): void {
    if (this.#full) {
      this.#notNamedBytes += range.length
      return
    }
    const last = this.#ranges.at(-1)
    if (last !== undefined && this.#follows(last, range)) {
      this.#ranges[this.#ranges.length - 1] = { ...last, length: last.length + range.length }
      return
    }
    this.#ranges.push(range)
    if (this.#ranges.length < VERIFY_RANGES_NAMED_MAX) return
    this.#ranges = this.#joined()
    this.#full = this.#ranges.length > VERIFY_RANGES_NAMED_MAX / 2
  }

  #joined(): T[] {
    const joined: T[] = []
    const sorted = [...this.#ranges].sort((a, b) => a.device.number - b.device.number || a.offset - b.offset)
    for (const range of sorted) {
      const last = joined.at(-1)
      if (last !== undefined && this.#follows(last, range))
        joined[joined.length - 1] = { ...last, length: last.length + range.length }
      else joined.push(range)
    }
    return joined
  }

  #follows(last: T, range: T): boolean {
    return last.device === range.device && last.offset + last.length === range.offset && this.#says(last, range)
  }
}
