/**
 * What the primary's log has held: every entry of every life, and what the devices look like at any point of it.
 *
 * Owns the only truth that the checkers compare with. It is filled from the frames that the primary appends and from
 * nothing else; a restart of the primary cuts it where its log was cut. Lives that are over are kept, because an agent
 * may still hold the tail of one. Never compares anything itself.
 */
import assert from 'node:assert/strict'
import { FrameType, type Frame } from '@sitelink/protocol'
import { SparseBytes } from '@sitelink/storage/testing'

export interface HistoryDevice {
  readonly deviceId: number
  readonly sizeBytes: number
}

interface View {
  incarnation: number
  lsn: number
  images: Map<number, SparseBytes>
}

export class LogHistory {
  readonly #devices = new Map<number, HistoryDevice>()
  /** Entries 1.. of each life as that life saw them, its predecessors' included. */
  readonly #lives = new Map<number, Frame[]>()
  #incarnation = 0
  #view: View | null = null

  /** A history of its own that begins with all of this one. */
  copy(): LogHistory {
    const copy = new LogHistory()
    for (const device of this.#devices.values()) copy.addDevice(device)
    for (const [incarnation, frames] of this.#lives) copy.#lives.set(incarnation, frames.slice())
    copy.#incarnation = this.#incarnation
    return copy
  }

  /** A device of the group; everything of it was zero at first. */
  addDevice(device: HistoryDevice): void {
    this.#devices.set(device.deviceId, device)
    this.#view = null
  }

  get devices(): readonly HistoryDevice[] {
    return [...this.#devices.values()]
  }

  get incarnation(): number {
    return this.#incarnation
  }

  /** Last LSN of the present life. */
  get lastLsn(): number {
    return this.#life(this.#incarnation).length
  }

  /** The log was opened: its new life goes on behind `lastLsn`. */
  opened(incarnation: number, lastLsn: number): void {
    const before = this.#lives.get(this.#incarnation) ?? []
    assert(lastLsn <= before.length, `the log opens at LSN ${lastLsn}, but only ${before.length} were ever written`)
    this.#lives.set(incarnation, before.slice(0, lastLsn))
    this.#incarnation = incarnation
  }

  appended(frame: Frame): void {
    const life = this.#life(frame.incarnation)
    assert.equal(frame.lsn, life.length + 1, 'LSNs are dense')
    assert.equal(frame.incarnation, this.#incarnation, 'an entry belongs to the present life')
    life.push(frame)
  }

  /** The entry of that LSN in the present life. */
  entry(lsn: number): Frame {
    const frame = this.#life(this.#incarnation)[lsn - 1]
    assert(frame !== undefined, `there is an entry of LSN ${lsn}`)
    return frame
  }

  entries(fromLsn: number, toLsn: number): readonly Frame[] {
    return this.#life(this.#incarnation).slice(fromLsn - 1, toLsn)
  }

  /** True if the life `incarnation` has an entry of that LSN. */
  has(incarnation: number, lsn: number): boolean {
    return lsn === 0 || lsn <= (this.#lives.get(incarnation)?.length ?? -1)
  }

  /** True if the entry is still part of the present life. */
  isCurrent(incarnation: number, lsn: number): boolean {
    if (lsn === 0) return true
    return this.#lives.get(incarnation)?.[lsn - 1] === this.#life(this.#incarnation)[lsn - 1]
  }

  /**
   * The devices after the entry `lsn` as the life `incarnation` has it (default: the present one), by device id. Valid
   * until the next call.
   */
  contentAt(lsn: number, incarnation = this.#incarnation): ReadonlyMap<number, SparseBytes> {
    const life = this.#life(incarnation)
    assert(lsn <= life.length, `life ${incarnation} has only ${life.length} entries, not ${lsn}`)
    const view = this.#view
    const fresh = view === null || view.lsn > lsn || life[view.lsn - 1] !== this.#life(view.incarnation)[view.lsn - 1]
    const from = fresh ? 0 : view.lsn
    const images = fresh ? this.#zeroes() : view.images
    for (let at = from; at < lsn; at++) layOver(images, life[at] as Frame)
    this.#view = { incarnation, lsn, images }
    return images
  }

  #zeroes(): Map<number, SparseBytes> {
    return new Map([...this.#devices.values()].map(({ deviceId }) => [deviceId, new SparseBytes()]))
  }

  #life(incarnation: number): Frame[] {
    return this.#lives.get(incarnation) ?? []
  }
}

/** Does to the images what a frame of the log or of a journal says. */
export function layOver(images: ReadonlyMap<number, SparseBytes>, frame: Frame): void {
  const image = images.get(frame.deviceId)
  if (image === undefined) return
  switch (frame.type) {
    case FrameType.write:
    case FrameType.copy:
      assert(frame.payload !== null, 'a write has a payload')
      image.write(frame.payload, frame.offset)
      return
    case FrameType.zeroes:
    case FrameType.trim:
    case FrameType.copyZeroes:
      image.zero(frame.offset, frame.length)
      return
    default:
  }
}
