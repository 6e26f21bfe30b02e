/**
 * A verify of one site: which ranges are still to be compared, and what became of those that were.
 *
 * Pure, and longer than any session: a range that a lost session left without an answer is compared again in the next. Memory
 * is bounded: differing ranges are named up to a limit, beyond it only counted, and differing regions are bits. Invariant:
 * every byte is counted once, as equal, different, left out or unreadable.
 */
import { assert } from '@sitelink/protocol'
import { VERIFY_PIECE_BYTES_MIN, VERIFY_RANGE_BYTES, VERIFY_SPLIT, VERIFY_TRIES_MAX } from '../limits.js'
import { RangeList } from './range-list.js'

export interface VerifyDevice {
  readonly deviceId: number
  readonly mappingId: string
  readonly number: number
  readonly name: string
  readonly sizeBytes: number
  readonly regionBytes: number
}

/** What is compared at once. It lies in one region. */
export interface VerifyRange {
  readonly device: VerifyDevice
  readonly offset: number
  readonly length: number
  /** So often it was read in vain, as small as it is. */
  readonly tries: number
}

/**
 * `left-out`: it may differ and is known to, because its region is dirty, or it is not mapped any more; or it was written to
 * whenever it was read.
 */
export type VerifyOutcome = 'equal' | 'different' | 'left-out' | Unreadable

export interface Unreadable {
  readonly side: 'primary' | 'agent'
  readonly why: string
}

/** A run of bytes that differ somewhere, as it is reported. */
export interface NamedRange {
  readonly device: number
  readonly offsetBytes: number
  readonly lengthBytes: number
}

export interface VerifyCounts {
  readonly totalBytes: number
  readonly equalBytes: number
  readonly differentBytes: number
  readonly leftOutBytes: number
  readonly unreadableBytes: number
}

export class VerifyRun {
  readonly devices: readonly VerifyDevice[]
  readonly totalBytes: number
  #device = 0
  #offset = 0
  /** Ranges that were taken and are to be compared after all. */
  readonly #again: VerifyRange[] = []
  #equalBytes = 0
  #differentBytes = 0
  #leftOutBytes = 0
  #unreadableBytes = 0
  readonly #different = new RangeList<VerifyRange>(() => true)
  readonly #unreadable = new RangeList<VerifyRange & Unreadable>((a, b) => a.side === b.side && a.why === b.why)
  /** By device, a bit for each region in which something differs. */
  readonly #regions = new Map<VerifyDevice, Uint8Array>()

  constructor(devices: readonly VerifyDevice[]) {
    this.devices = devices
    this.totalBytes = devices.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  }

  get doneBytes(): number {
    return this.#equalBytes + this.#differentBytes + this.#leftOutBytes + this.#unreadableBytes
  }

  get counts(): VerifyCounts {
    return {
      totalBytes: this.totalBytes,
      equalBytes: this.#equalBytes,
      differentBytes: this.#differentBytes,
      leftOutBytes: this.#leftOutBytes,
      unreadableBytes: this.#unreadableBytes,
    }
  }

  /** Differing bytes that {@link different} does not name. */
  get notNamedBytes(): number {
    return this.#different.notNamedBytes
  }

  /** The next range to compare; null if none is left to be taken. */
  take(): VerifyRange | null {
    const again = this.#again.pop()
    if (again !== undefined) return again
    for (let device = this.devices[this.#device]; device !== undefined; device = this.devices[this.#device]) {
      const offset = this.#offset
      if (offset < device.sizeBytes) {
        // A region is a multiple of it.
        this.#offset = offset + VERIFY_RANGE_BYTES
        return { device, offset, length: Math.min(VERIFY_RANGE_BYTES, device.sizeBytes - offset), tries: 0 }
      }
      this.#device += 1
      this.#offset = 0
    }
    return null
  }

  /** A range that was taken is to be compared once more. */
  giveBack(range: VerifyRange): void {
    this.#again.push(range)
  }

  /**
   * As {@link giveBack}, in smaller pieces: the less is read at once, the sooner no write comes in between. The smallest is
   * tried so often and no more.
   */
  split(range: VerifyRange): void {
    const { device, offset, length } = range
    const tries = length > VERIFY_PIECE_BYTES_MIN ? 0 : range.tries + 1
    if (tries === VERIFY_TRIES_MAX) return this.note(range, 'left-out')
    const piece = Math.max(VERIFY_PIECE_BYTES_MIN, Math.ceil(length / VERIFY_SPLIT))
    for (let at = 0; at < length; at += piece)
      this.#again.push({ device, offset: offset + at, length: Math.min(piece, length - at), tries })
  }

  /** A range that was taken has been compared. */
  note(range: VerifyRange, outcome: VerifyOutcome): void {
    const { length } = range
    if (outcome === 'equal') this.#equalBytes += length
    else if (outcome === 'left-out') this.#leftOutBytes += length
    else if (outcome === 'different') this.#noteDifferent(range)
    else {
      this.#unreadableBytes += length
      this.#unreadable.add({ ...range, ...outcome })
    }
    assert(this.doneBytes <= this.totalBytes, 'every byte is counted once')
  }

  /** What differs, in order, neighbours joined. */
  get different(): readonly NamedRange[] {
    return this.#different.ranges.map(named)
  }

  /** What could not be read, in order, neighbours with the same side and reason joined. */
  get unreadable(): readonly (NamedRange & Unreadable)[] {
    return this.#unreadable.ranges.map((range) => ({ ...named(range), side: range.side, why: range.why }))
  }

  /** Regions in which something differs. */
  *differentRegions(): Generator<{ readonly device: VerifyDevice; readonly region: number }> {
    for (const [device, bits] of this.#regions) {
      for (let region = 0; region < 8 * bits.length; region += 1)
        if (((bits[region >> 3] as number) & (1 << (region & 7))) !== 0) yield { device, region }
    }
  }

  #noteDifferent(range: VerifyRange): void {
    const { device, offset, length } = range
    this.#differentBytes += length
    const region = Math.floor(offset / device.regionBytes)
    let bits = this.#regions.get(device)
    if (bits === undefined)
      this.#regions.set(device, (bits = new Uint8Array(Math.ceil(device.sizeBytes / device.regionBytes / 8))))
    bits[region >> 3] = (bits[region >> 3] as number) | (1 << (region & 7))
    this.#different.add(range)
  }
}

function named({ device, offset, length }: VerifyRange): NamedRange {
  return { device: device.number, offsetBytes: offset, lengthBytes: length }
}
