/**
 * All mappings of one slink: what the site misses, over all its devices.
 *
 * Owns the dirty logs together: marks go to the right one, flushes to all of them at once, totals are kept. `marksTo`
 * says up to which entry the marks in memory are complete; a flush makes that the base position of the stored bitmaps.
 */
import type { LogPoint } from '@sitelink/protocol'
import type { Mapping } from './mapping.js'

export class MappingSet {
  readonly #byDevice = new Map<number, Mapping>()

  get(deviceId: number): Mapping | undefined {
    return this.#byDevice.get(deviceId)
  }

  get size(): number {
    return this.#byDevice.size
  }

  [Symbol.iterator](): IterableIterator<Mapping> {
    return this.#byDevice.values()
  }

  add(mapping: Mapping): void {
    this.#byDevice.set(mapping.deviceId, mapping)
  }

  remove(deviceId: number): void {
    this.#byDevice.delete(deviceId)
  }

  /** Regions that are dirty (being copied included), and all regions. */
  get dirtyRegions(): number {
    let count = 0
    for (const mapping of this.#byDevice.values()) count += mapping.dirtyCount
    return count
  }

  get totalRegions(): number {
    let count = 0
    for (const mapping of this.#byDevice.values()) count += mapping.regionCount
    return count
  }

  get dirtyBytes(): number {
    let bytes = 0
    for (const mapping of this.#byDevice.values())
      bytes += Math.min(mapping.sizeBytes, mapping.dirtyCount * mapping.config.regionBytes)
    return bytes
  }

  /** True while a copy is being read or in flight. */
  get copying(): boolean {
    for (const { tracker } of this.#byDevice.values()) if (tracker !== null && tracker.activeCount > 0) return true
    return false
  }

  /** The region at `offset` is clean, and the device mapped under this id. */
  isClean(deviceId: number, mappingId: string, offset: number): boolean {
    const mapping = this.#byDevice.get(deviceId)
    if (mapping === undefined || mapping.config.mappingId !== mappingId) return false
    return !mapping.dirty.bitmap.isDirty(Math.floor(offset / mapping.config.regionBytes))
  }

  /** Marks a range in memory; entries of a device that is not mapped here, or from before its mapping, mark nothing. */
  mark(deviceId: number, offset: number, length: number, point: LogPoint): void {
    const mapping = this.#byDevice.get(deviceId)
    if (mapping === undefined) return
    const { since } = mapping
    if (point.incarnation < since.incarnation || (point.incarnation === since.incarnation && point.lsn <= since.lsn))
      return
    mapping.mark(offset, length)
  }

  markAll(): void {
    for (const mapping of this.#byDevice.values()) if (mapping.sizeBytes > 0) mapping.mark(0, mapping.sizeBytes)
  }

  /** Everything marked so far is durable on return; bitmaps are complete up to `marksTo`. Rejects if any store failed. */
  async flush(marksTo: LogPoint): Promise<void> {
    await Promise.all([...this.#byDevice.values()].map((mapping) => mapping.dirty.flush(marksTo)))
  }

  beginSession(): void {
    for (const mapping of this.#byDevice.values()) mapping.beginSession()
  }

  endSession(): void {
    for (const mapping of this.#byDevice.values()) mapping.endSession()
  }

  settle(streamFrames: number, durableLsn: number): number {
    let clean = 0
    for (const mapping of this.#byDevice.values()) clean += mapping.settle(streamFrames, durableLsn)
    return clean
  }
}
