/**
 * Which regions has a resync brought completely?
 *
 * Owns what is known of copies that are only partly applied. A copy of a region comes as one or more frames with the
 * same stamp, in ascending order, from the region's first byte to its last; the last one says so. Invariant: a region is
 * named as brought only if every byte of one and the same copy has been applied, in order, and nothing made the region
 * dirty again behind the copy in the journal. What is forgotten here (a restart, a lost session) leaves a region dirty.
 */
import { FrameFlag, type Frame, type LogPosition, type Lsn } from '@sitelink/protocol'

/** A mapping as far as its regions go. */
export interface RegionGrid {
  readonly sizeBytes: number
  readonly regionBytes: number
}

interface PartialCopy {
  readonly stamp: Lsn
  /** Offset on the device where the next part has to begin. */
  nextOffset: number
}

/** Regions of one device that a frame of the journal made dirty. */
export interface DirtyAgain {
  readonly deviceId: number
  /** Where its frame lies in the journal; null, or below 0, until it has a place there. */
  place: { readonly position: LogPosition } | null
  readonly firstRegion: number
  readonly regionCount: number
  readonly bits: Buffer
}

/** Copies under way of one device at once. More than the primary interleaves; beyond it the oldest is forgotten. */
const PARTIALS_MAX = 1024

/** Copies of all devices that are being applied. */
export class RegionCopies {
  readonly #partials = new Map<number, Map<number, PartialCopy>>()
  #dirtyAgain: DirtyAgain[] = []

  /** A resync-begin is in the journal, or on its way there: copies before it no longer make its regions clean. */
  dirtied(again: DirtyAgain): void {
    this.#dirtyAgain.push(again)
  }

  /** The journal is applied below `position`: no copy before it is to come any more. */
  passed(position: LogPosition): void {
    if (this.#dirtyAgain.length > 0) this.#dirtyAgain = this.#dirtyAgain.filter((one) => positionOf(one) >= position)
  }

  /** A session is over: frames that did not get into the journal never will. */
  dropUnplaced(): void {
    this.#dirtyAgain = this.#dirtyAgain.filter(({ place }) => place !== null)
  }

  /** The journal was cut at `position`. What the frames behind it made dirty stays dirty. */
  cut(position: LogPosition): void {
    this.#dirtyAgain = this.#dirtyAgain.filter((one) => positionOf(one) < position)
  }

  /** The mapping of this device ended: what is known of its copies is of no use to the next. */
  forget(deviceId: number): void {
    this.#partials.delete(deviceId)
  }

  /** A copy frame that ends at `end` in the journal is applied durably. The region that is complete with it, or null. */
  applied(frame: Frame, end: LogPosition, { sizeBytes, regionBytes }: RegionGrid): number | null {
    const region = Math.floor(frame.offset / regionBytes)
    const partials = this.#partialsOf(frame.deviceId)
    const begin = region * regionBytes
    const regionEnd = Math.min(begin + regionBytes, sizeBytes)
    const before = partials.get(region)
    partials.delete(region)
    const follows =
      frame.offset === begin ||
      (before !== undefined && before.stamp === frame.aux && before.nextOffset === frame.offset)
    if (!follows) return null
    const nextOffset = frame.offset + frame.length
    if ((frame.flags & FrameFlag.lastOfRegion) === 0) {
      partials.set(region, { stamp: frame.aux, nextOffset })
      if (partials.size > PARTIALS_MAX) partials.delete(partials.keys().next().value as number)
      return null
    }
    return nextOffset === regionEnd && !this.#dirtiedBehind(frame.deviceId, region, end) ? region : null
  }

  #dirtiedBehind(deviceId: number, region: number, end: LogPosition): boolean {
    return this.#dirtyAgain.some((one) => one.deviceId === deviceId && positionOf(one) >= end && hasRegion(one, region))
  }

  #partialsOf(deviceId: number): Map<number, PartialCopy> {
    let partials = this.#partials.get(deviceId)
    if (partials === undefined) this.#partials.set(deviceId, (partials = new Map()))
    return partials
  }
}

function positionOf({ place }: DirtyAgain): LogPosition {
  return place === null || place.position < 0 ? Number.POSITIVE_INFINITY : place.position
}

function hasRegion({ firstRegion, regionCount, bits }: DirtyAgain, region: number): boolean {
  const at = region - firstRegion
  return at >= 0 && at < regionCount && ((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0
}
