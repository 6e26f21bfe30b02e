/**
 * A layer: what a run of consecutive entries did to the devices, merged so that only the newest bytes are left.
 *
 * Pure. A layer has one {@link Part} a device; a part holds intervals by chunk and, below them, runs of whole zero
 * chunks, so that a trim of 1 GiB is one record. A layer is applied as a whole or not at all: what was overwritten inside
 * it is gone, so no prefix of it can be made. Once it is closed nothing is added to it, and only `forgetBytes` and
 * `applyCuts` change it, between two attempts to write it.
 */
import type { Frame, LogPosition, Lsn, PayloadMemory } from '@sitelink/protocol/entry'
import { CHUNK_BYTES, Fill, Interval, replaceRange } from './chunk-intervals.js'

/** Whole chunks that read as zeros. Sorted, never overlapping; intervals of the same part lie above it. */
export interface ZeroRun {
  readonly first: number
  /** Behind the last chunk. */
  readonly behind: number
  readonly fill: typeof Fill.zeroes | typeof Fill.trim
}

/** What a layer did to one device. */
export class Part {
  readonly deviceId: number
  /** Chunk index -> its intervals; a chunk without intervals may have an empty list. */
  readonly chunks = new Map<number, Interval[]>()
  #runs: ZeroRun[] = []
  #intervals = 0
  #memoryBytes = 0
  /** Memory that is given back with the payloads; what was overwritten counts until then. */
  #lent: PayloadMemory[] = []
  /** Ranges whose data intervals are to vanish before the next attempt to write this part (they are lost). */
  #cuts: { readonly offset: number; readonly length: number; readonly position: LogPosition | null }[] = []

  constructor(deviceId: number) {
    this.deviceId = deviceId
  }

  get runs(): readonly ZeroRun[] {
    return this.#runs
  }

  /** Intervals and runs. */
  get intervalCount(): number {
    return this.#intervals + this.#runs.length
  }

  /** Payload bytes that this part keeps in memory. */
  get memoryBytes(): number {
    return this.#memoryBytes
  }

  /** True while payloads lie in memory that is given back: who shows them to others copies them. */
  get lends(): boolean {
    return this.#lent.length > 0
  }

  /**
   * The range holds a payload from here on: `payload` if it is kept in memory, else the log at `position` has it.
   * `memory`: what is let go of with it, by {@link forgetBytes}.
   */
  addData(
    offset: number,
    length: number,
    position: LogPosition,
    payload: Buffer | null,
    memory: PayloadMemory | null = null,
  ): void {
    const chunk = Math.floor(offset / CHUNK_BYTES)
    const start = offset - chunk * CHUNK_BYTES
    if (payload !== null) this.#memoryBytes += payload.length
    if (payload !== null && memory !== null) this.#lent.push(memory)
    if (start + length <= CHUNK_BYTES) {
      const charge = payload === null || memory !== null ? 0 : payload.length
      this.#put(chunk, new Interval(start, start + length, start, position, payload, Fill.data, charge))
      return
    }
    for (let at = offset; at < offset + length;) {
      const index = Math.floor(at / CHUNK_BYTES)
      const origin = index * CHUNK_BYTES
      const end = Math.min(offset + length, origin + CHUNK_BYTES)
      this.#put(index, new Interval(at - origin, end - origin, offset - origin, position, payload, Fill.data, 0))
      at = end
    }
  }

  /** The range reads as zeros from here on. */
  addZeroes(offset: number, length: number, position: LogPosition, fill: typeof Fill.zeroes | typeof Fill.trim): void {
    const end = offset + length
    const firstWhole = Math.ceil(offset / CHUNK_BYTES)
    const behindWhole = Math.floor(end / CHUNK_BYTES)
    if (firstWhole > behindWhole) {
      this.#putZeroes(offset, end, position, fill)
      return
    }
    this.#putZeroes(offset, firstWhole * CHUNK_BYTES, position, fill)
    if (firstWhole < behindWhole) this.#addRun(firstWhole, behindWhole, fill)
    this.#putZeroes(behindWhole * CHUNK_BYTES, end, position, fill)
  }

  /** Lets the payloads go, which nobody reads any more: from here on their bytes are read from the log. */
  forgetBytes(): void {
    if (this.#memoryBytes === 0) return
    for (const list of this.chunks.values()) {
      for (const interval of list) {
        interval.bytes = null
        interval.charge = 0
      }
    }
    this.#memoryBytes = 0
    const lent = this.#lent
    this.#lent = []
    for (const memory of lent) memory.release()
  }

  /**
   * Remembers that the bytes of a range need not be written, or only those of the entry at `position`; takes effect with
   * {@link applyCuts}.
   */
  cut(offset: number, length: number, position: LogPosition | null = null): void {
    this.#cuts.push({ offset, length, position })
  }

  /** Takes the ranges of {@link cut} out of the intervals. Never while the part is being written. */
  applyCuts(): void {
    for (const { offset, length, position } of this.#cuts) {
      for (const [index, list] of this.chunks) {
        const origin = index * CHUNK_BYTES
        if (origin >= offset + length || origin + CHUNK_BYTES <= offset) continue
        const start = Math.max(0, offset - origin)
        const end = Math.min(CHUNK_BYTES, offset + length - origin)
        if (position === null) this.#take(list, start, end)
        else
          for (const interval of list.filter((one) => one.position === position && one.start < end && one.end > start))
            this.#take(list, Math.max(start, interval.start), Math.min(end, interval.end))
      }
    }
    this.#cuts = []
  }

  #take(list: Interval[], start: number, end: number): void {
    const before = list.length
    this.#memoryBytes -= replaceRange(list, start, end, null)
    this.#intervals += list.length - before
  }

  #put(chunk: number, interval: Interval): void {
    const list = this.chunks.get(chunk)
    if (list === undefined) {
      this.chunks.set(chunk, [interval])
      this.#intervals++
      return
    }
    const before = list.length
    this.#memoryBytes -= replaceRange(list, interval.start, interval.end, interval)
    this.#intervals += list.length - before
  }

  #putZeroes(from: number, to: number, position: LogPosition, fill: Fill): void {
    if (from >= to) return
    const chunk = Math.floor(from / CHUNK_BYTES)
    const origin = chunk * CHUNK_BYTES
    this.#put(chunk, new Interval(from - origin, to - origin, from - origin, position, null, fill, 0))
  }

  #addRun(first: number, behind: number, fill: typeof Fill.zeroes | typeof Fill.trim): void {
    if (behind - first < this.chunks.size) {
      for (let index = first; index < behind; index++) this.#dropChunk(index)
    } else {
      for (const index of this.chunks.keys()) if (index >= first && index < behind) this.#dropChunk(index)
    }
    const newest = this.#runs.at(-1)
    if (newest === undefined || newest.behind < first) {
      this.#runs.push({ first, behind, fill })
      return
    }
    const runs: ZeroRun[] = []
    let from = first
    let to = behind
    let placed = false
    for (const run of this.#runs) {
      if (run.behind < first || (run.behind === first && run.fill !== fill)) runs.push(run)
      else if (run.first > behind || (run.first === behind && run.fill !== fill)) {
        if (!placed) runs.push({ first: from, behind: to, fill })
        placed = true
        runs.push(run)
      } else if (run.fill === fill) {
        from = Math.min(from, run.first)
        to = Math.max(to, run.behind)
      } else {
        if (run.first < first) runs.push({ first: run.first, behind: first, fill: run.fill })
        if (run.behind > behind) {
          if (!placed) runs.push({ first: from, behind: to, fill })
          placed = true
          runs.push({ first: behind, behind: run.behind, fill: run.fill })
        }
      }
    }
    if (!placed) runs.push({ first: from, behind: to, fill })
    this.#runs = runs
  }

  #dropChunk(index: number): void {
    const list = this.chunks.get(index)
    if (list === undefined) return
    this.#intervals -= list.length
    for (const interval of list) this.#memoryBytes -= interval.charge
    this.chunks.delete(index)
  }
}

/** A frame that changes no device, or a copy without its payload, to be reported when its layer is applied. */
export interface Mark {
  readonly frame: Frame
  readonly end: LogPosition
}

export class Layer {
  /** From 0, one more for each layer; never reused. */
  readonly sequence: number
  /** Position of its first entry; meaningless while it is empty. */
  start: LogPosition = 0
  /** Behind its last entry. */
  end: LogPosition = 0
  /** LSN of its last entry. */
  lastLsn: Lsn = 0
  entryCount = 0
  /** Payload bytes noted, those overwritten since included. */
  notedBytes = 0
  /** True once nothing is added any more. */
  closed = false
  /** Monotonic time of its first entry. */
  openedAtMs = 0
  /** Monotonic time when it was first on all its devices; null before. */
  writtenAtMs: number | null = null
  readonly parts = new Map<number, Part>()
  readonly marks: Mark[] = []
  /** Payload bytes of the marks. */
  markBytes = 0

  constructor(sequence: number) {
    this.sequence = sequence
  }

  get empty(): boolean {
    return this.entryCount === 0
  }

  /** The device's part, made if there is none. */
  partFor(deviceId: number): Part {
    let part = this.parts.get(deviceId)
    if (part === undefined) {
      part = new Part(deviceId)
      this.parts.set(deviceId, part)
    }
    return part
  }
}
