/**
 * Which regions of a device differ at a site: one bit a region, in memory.
 *
 * Owns the bits and their count, which always equal each other. A region is a power of two of bytes, at least 1 MiB,
 * so that no entry crosses one; the last region of a device may be short. Knows nothing of files or of why a region is
 * dirty.
 */
import { assert, ENTRY_BOUNDARY_BYTES } from '@sitelink/protocol/entry'

/** Smallest region: entries never cross a multiple of it. */
export const REGION_BYTES_MIN = ENTRY_BOUNDARY_BYTES
/** Most regions of a device: 32 MiB of bits, or 256 TiB in regions of 1 MiB. */
export const REGION_COUNT_MAX = 2 ** 28

/** A run of regions: what a set of regions is written as for the wire. */
export interface DirtyRun {
  readonly first: number
  readonly count: number
}

/** What may be asked of a bitmap by those who must not change it. */
export interface ReadonlyDirtyBitmap {
  readonly deviceBytes: number
  readonly regionBytes: number
  /** Regions of the device, at least 1. */
  readonly regionCount: number
  readonly dirtyCount: number
  /** Regions that are in sync: `regionCount - dirtyCount`. */
  readonly cleanCount: number
  /** Bytes of all dirty regions. */
  readonly dirtyBytes: number
  isDirty(region: number): boolean
  /** True if any region that the range touches is dirty. */
  touchesDirty(offset: number, length: number): boolean
  /** The region that holds a byte. */
  regionOf(offset: number): number
  /** First byte of a region. */
  offsetOf(region: number): number
  /** Bytes of a region: `regionBytes`, or less for the last one. */
  lengthOf(region: number): number
  /** The first dirty region at or behind `cursor`, else the first from the start; null if all are clean. */
  nextDirty(cursor: number): number | null
  /** Runs of dirty regions, ascending, with a clean region between any two. */
  runs(): Generator<DirtyRun>
  clone(): DirtyBitmap
}

/** Why a device cannot have regions of this size, as a sentence for the operator; null if it can. */
export function regionBytesProblem(regionBytes: number, deviceBytes: number): string | null {
  if (!Number.isSafeInteger(regionBytes) || regionBytes < REGION_BYTES_MIN) {
    return `a region has at least ${REGION_BYTES_MIN} bytes`
  }
  if (!Number.isInteger(Math.log2(regionBytes))) return 'the size of a region is a power of two'
  if (regionBytes > Math.max(deviceBytes, REGION_BYTES_MIN)) return 'a region is not larger than its device'
  const count = Math.ceil(deviceBytes / regionBytes)
  if (count > REGION_COUNT_MAX) return `a device has at most ${REGION_COUNT_MAX} regions, not ${count}: use larger ones`
  return null
}

export class DirtyBitmap implements ReadonlyDirtyBitmap {
  readonly deviceBytes: number
  readonly regionBytes: number
  readonly regionCount: number
  readonly #words: Uint32Array
  #dirtyCount = 0

  /** All clean. The sizes have been checked with {@link regionBytesProblem}. */
  constructor(deviceBytes: number, regionBytes: number) {
    assert(Number.isSafeInteger(deviceBytes) && deviceBytes > 0, 'a device has at least one byte')
    // A device that shrank below its region size keeps it.
    const problem = regionBytesProblem(regionBytes, Math.max(deviceBytes, regionBytes))
    assert(problem === null, problem ?? '')
    this.deviceBytes = deviceBytes
    this.regionBytes = regionBytes
    this.regionCount = Math.ceil(deviceBytes / regionBytes)
    this.#words = new Uint32Array(Math.ceil(this.regionCount / 32))
  }

  get dirtyCount(): number {
    return this.#dirtyCount
  }

  get cleanCount(): number {
    return this.regionCount - this.#dirtyCount
  }

  get dirtyBytes(): number {
    const last = this.regionCount - 1
    const short = this.isDirty(last) ? this.regionBytes - this.lengthOf(last) : 0
    return this.#dirtyCount * this.regionBytes - short
  }

  isDirty(region: number): boolean {
    this.#check(region)
    return ((this.#word(region >>> 5) >>> (region & 31)) & 1) === 1
  }

  touchesDirty(offset: number, length: number): boolean {
    if (length === 0) return false
    const { first, last } = this.#span(offset, length)
    const next = this.#nextFrom(first)
    return next !== null && next <= last
  }

  regionOf(offset: number): number {
    assert(offset >= 0 && offset < this.deviceBytes, 'a byte lies on its device')
    return Math.floor(offset / this.regionBytes)
  }

  offsetOf(region: number): number {
    this.#check(region)
    return region * this.regionBytes
  }

  lengthOf(region: number): number {
    this.#check(region)
    return Math.min(this.regionBytes, this.deviceBytes - region * this.regionBytes)
  }

  /** Marks one region; true if it was clean. */
  mark(region: number): boolean {
    return this.markRegions(region, 1) === 1
  }

  /** Marks a run of regions; answers how many of them were clean. */
  markRegions(first: number, count: number): number {
    if (count === 0) return 0
    this.#check(first)
    this.#check(first + count - 1)
    return this.#fill(first, first + count - 1)
  }

  /** Marks every region that the range touches; answers how many of them were clean. */
  markRange(offset: number, length: number): number {
    if (length === 0) return 0
    const { first, last } = this.#span(offset, length)
    return this.#fill(first, last)
  }

  markAll(): number {
    return this.#fill(0, this.regionCount - 1)
  }

  /** Clears one region; true if it was dirty. */
  clear(region: number): boolean {
    if (!this.isDirty(region)) return false
    this.#words[region >>> 5] = this.#word(region >>> 5) & ~(1 << (region & 31))
    this.#dirtyCount--
    return true
  }

  clearAll(): void {
    this.#words.fill(0)
    this.#dirtyCount = 0
  }

  nextDirty(cursor: number): number | null {
    if (this.#dirtyCount === 0) return null
    return (cursor < this.regionCount ? this.#nextFrom(Math.max(0, cursor)) : null) ?? this.#nextFrom(0)
  }

  *runs(): Generator<DirtyRun> {
    for (let first = this.#nextFrom(0); first !== null;) {
      let end = first + 1
      while (end < this.regionCount && this.isDirty(end)) {
        end += (end & 31) === 0 && end + 32 <= this.regionCount && this.#word(end >>> 5) === 0xffff_ffff ? 32 : 1
      }
      yield { first, count: end - first }
      first = end < this.regionCount ? this.#nextFrom(end) : null
    }
  }

  /** Marks what is dirty in `other`, a bitmap of the same region size; regions beyond this device are left out. Answers how many were clean. */
  or(other: ReadonlyDirtyBitmap): number {
    assert(other.regionBytes === this.regionBytes, 'bitmaps that are joined have the same region size')
    let newCount = 0
    for (const { first, count } of other.runs()) {
      if (first < this.regionCount) newCount += this.markRegions(first, Math.min(count, this.regionCount - first))
    }
    return newCount
  }

  /** A new bitmap with what is dirty in either; both are of the same device and region size. */
  static union(a: ReadonlyDirtyBitmap, b: ReadonlyDirtyBitmap): DirtyBitmap {
    assert(a.deviceBytes === b.deviceBytes, 'bitmaps that are united are of the same device')
    const result = a.clone()
    result.or(b)
    return result
  }

  clone(): DirtyBitmap {
    const copy = new DirtyBitmap(this.deviceBytes, this.regionBytes)
    copy.#words.set(this.#words)
    copy.#dirtyCount = this.#dirtyCount
    return copy
  }

  /** Writes the bits from word `firstWord` (32 regions each, lowest bit first) as little-endian bytes; 0 behind the end. */
  copyWords(firstWord: number, into: Buffer): void {
    for (let at = 0; at < into.length; at += 4) into.writeUInt32LE(this.#words[firstWord + at / 4] ?? 0, at)
  }

  /** ORs bits that {@link DirtyBitmap.copyWords} wrote, leaving out regions at or behind `regionEnd`. */
  orWords(firstWord: number, from: Buffer, regionEnd: number): void {
    const end = Math.min(regionEnd, this.regionCount)
    for (let at = 0; at < from.length; at += 4) {
      const word = firstWord + at / 4
      const valid = end - word * 32
      if (valid <= 0) return
      const bits = valid >= 32 ? from.readUInt32LE(at) : from.readUInt32LE(at) & (2 ** valid - 1)
      this.#set(word, bits)
    }
  }

  #fill(first: number, last: number): number {
    const before = this.#dirtyCount
    const firstWord = first >>> 5
    const lastWord = last >>> 5
    for (let word = firstWord; word <= lastWord; word++) {
      const low = word === firstWord ? first & 31 : 0
      const high = word === lastWord ? last & 31 : 31
      this.#set(word, (0xffff_ffff >>> (31 - high)) & (0xffff_ffff << low))
    }
    return this.#dirtyCount - before
  }

  #set(word: number, bits: number): void {
    const before = this.#word(word)
    const added = bits & ~before
    if (added === 0) return
    this.#words[word] = before | added
    this.#dirtyCount += popCount(added)
  }

  #nextFrom(region: number): number | null {
    let word = region >>> 5
    let bits = this.#word(word) & (0xffff_ffff << (region & 31))
    while (bits === 0) {
      word++
      if (word >= this.#words.length) return null
      bits = this.#word(word)
    }
    return word * 32 + (31 - Math.clz32(bits & -bits))
  }

  #span(offset: number, length: number): { first: number; last: number } {
    assert(length > 0 && offset >= 0 && offset + length <= this.deviceBytes, 'a range lies on its device')
    return { first: Math.floor(offset / this.regionBytes), last: Math.floor((offset + length - 1) / this.regionBytes) }
  }

  #word(index: number): number {
    return this.#words[index] as number
  }

  #check(region: number): void {
    assert(Number.isInteger(region) && region >= 0 && region < this.regionCount, 'a region lies on its device')
  }
}

/** Bits that are 1 in a 32-bit word. */
function popCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555)
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
