/**
 * The stack of layers: what is noted, in order, and how much of memory it takes.
 *
 * Pure. Owns the layers from the oldest that is not applied to the active one, and the totals over them; every change of
 * a layer goes through here so that the totals stay true. Knows no devices and no I/O: which layers a device still needs
 * is said by whoever asks.
 */
import { assert, FrameType, unreachable, type Frame, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import type { LogEntry } from '../ring-log/contract.js'
import { CHUNK_BYTES, Fill } from './chunk-intervals.js'
import { Layer, type Part } from './layer.js'
import { LostRanges } from './lost-ranges.js'
import { MEMORY_LOW_SHARE, type WriteBackLimits } from './limits.js'
import { Rush } from './put-off.js'

export class LayerStack {
  readonly lost = new LostRanges()
  readonly rush = new Rush()
  readonly #limits: Pick<WriteBackLimits, 'memoryBytesMax' | 'rushEntries'>
  #layers: Layer[]
  #active = new Layer(0)
  #memoryBytes = 0
  /** A payload found no room, and not much of memory was given back since: the next ones lie beside it in the log. */
  #full = false
  #intervals = 0
  #activeIntervals = 0
  /** Entries that were not the first of their commit group: somebody else was writing at the same time. */
  #followers = 0
  /** Behind the newest entry. */
  end: LogPosition
  lastLsn: Lsn
  /** Payload bytes and entries noted so far, for the counters. */
  notedBytes = 0
  notedEntries = 0

  constructor(limits: Pick<WriteBackLimits, 'memoryBytesMax' | 'rushEntries'>, position: LogPosition, lsn: Lsn) {
    this.#limits = limits
    this.#layers = [this.#active]
    this.end = position
    this.lastLsn = lsn
  }

  /** Oldest first; the last one is active. */
  get layers(): readonly Layer[] {
    return this.#layers
  }

  get active(): Layer {
    return this.#active
  }

  /** Intervals of the active layer. */
  get activeIntervals(): number {
    return this.#activeIntervals
  }

  /** Payload bytes in memory, over all layers. */
  get memoryBytes(): number {
    return this.#memoryBytes
  }

  /** True if a payload of so many bytes would be kept in memory now. */
  keeps(payloadBytes: number): boolean {
    const { memoryBytesMax } = this.#limits
    if (this.#full && this.#memoryBytes > MEMORY_LOW_SHARE * memoryBytesMax) return false
    return this.#memoryBytes + payloadBytes <= memoryBytesMax
  }

  /** Intervals, marks and lost ranges. */
  get intervalCount(): number {
    return this.#intervals + this.lost.count
  }

  /** Notes an entry in the active layer; with `ignore` it only moves the end: a copy that is ignored is never reported. */
  note(entry: LogEntry, recovered: boolean, ignore: boolean, keepMark: boolean, nowMs: () => number): void {
    const { frame, end } = entry
    const layer = this.#active
    assert(entry.position >= this.end && end >= entry.position, 'entries are noted in order')
    if (layer.entryCount++ === 0) {
      layer.start = entry.position
      layer.openedAtMs = nowMs()
    }
    if (entry.position === this.end && ++this.#followers % this.#limits.rushEntries === 0) this.rush.mark(nowMs())
    layer.end = end
    layer.lastLsn = frame.lsn
    this.end = end
    this.lastLsn = frame.lsn
    this.notedEntries++
    switch (frame.type) {
      case FrameType.write:
      case FrameType.copy:
        if (!ignore) this.#noteData(layer, frame, entry.position, recovered)
        if (frame.type === FrameType.copy && keepMark && !ignore)
          this.#mark({ ...frame, payload: null, memory: null }, end)
        break
      case FrameType.zeroes:
      case FrameType.trim:
      case FrameType.copyZeroes:
        if (!ignore) this.#noteZeroes(layer, frame, entry.position)
        if (frame.type === FrameType.copyZeroes && keepMark && !ignore) this.#mark(frame, end)
        break
      case FrameType.marker:
      case FrameType.skip:
      case FrameType.map:
      case FrameType.unmap:
      case FrameType.resyncBegin:
        if (keepMark) this.#mark(frame, end)
        break
      case FrameType.control:
      case FrameType.packed:
        assert(false, 'what only the wire knows is never stored')
      default:
        unreachable(frame.type)
    }
  }

  /** Closes the active layer, which holds something, and opens the next one. */
  close(): Layer {
    const closed = this.#active
    assert(!closed.empty, 'an empty layer is not closed')
    closed.closed = true
    this.#active = new Layer(closed.sequence + 1)
    this.#activeIntervals = 0
    this.#layers.push(this.#active)
    return closed
  }

  /** The range reads as lost from here on, and what older layers hold of it need not be written. */
  noteLost(deviceId: number, offset: number, length: number): void {
    // Layers from here on are younger than the loss, the ones before are older: the store tells them apart by sequence.
    if (!this.#active.empty) this.close()
    this.lost.add(deviceId, offset, length, this.#active.sequence)
    for (const layer of this.#layers) layer.parts.get(deviceId)?.cut(offset, length)
  }

  /** What layers hold of an entry in this range need not be written; what others wrote there stays. */
  cutEntry(position: LogPosition, deviceId: number, offset: number, length: number): void {
    for (const layer of this.#layers) layer.parts.get(deviceId)?.cut(offset, length, position)
  }

  /** The payloads of a part leave memory. */
  forgetBytes(part: Part): void {
    this.#memoryBytes -= part.memoryBytes
    part.forgetBytes()
  }

  /** See {@link Part.applyCuts}. */
  applyCuts(part: Part): void {
    this.#memoryBytes -= part.memoryBytes
    this.#intervals -= part.intervalCount
    part.applyCuts()
    this.#memoryBytes += part.memoryBytes
    this.#intervals += part.intervalCount
  }

  /** Takes the oldest layer away: it is applied durably. */
  retireOldest(): Layer {
    const oldest = this.#layers.shift() as Layer
    assert(oldest.closed, 'the active layer is never retired')
    for (const part of oldest.parts.values()) {
      this.#forget(part)
      if (this.lost.storedTouches(part.deviceId)) this.#foundAgain(part, oldest.sequence)
    }
    this.#intervals -= oldest.marks.length
    this.#memoryBytes -= oldest.markBytes
    return oldest
  }

  /** Takes a device out of all layers. */
  dropDevice(deviceId: number): void {
    for (const layer of this.#layers) {
      const part = layer.parts.get(deviceId)
      if (part === undefined) continue
      this.#forget(part)
      if (layer === this.#active) this.#activeIntervals -= part.intervalCount
      layer.parts.delete(deviceId)
    }
    this.lost.drop(deviceId)
  }

  #noteData(layer: Layer, frame: Frame, position: LogPosition, recovered: boolean): void {
    const { deviceId, offset, length } = frame
    if (length === 0) return
    const payload = recovered || frame.payload === null || !this.#takes(length) ? null : frame.payload
    if (payload === null) frame.memory?.release()
    const part = layer.partFor(deviceId)
    const memoryBefore = part.memoryBytes
    const intervalsBefore = part.intervalCount
    part.addData(offset, length, position, payload, frame.memory)
    this.#memoryBytes += part.memoryBytes - memoryBefore
    const grown = part.intervalCount - intervalsBefore
    this.#intervals += grown
    this.#activeIntervals += grown
    this.notedBytes += length
    if (this.lost.touches(deviceId)) this.lost.overwritten(deviceId, offset, length)
  }

  #takes(payloadBytes: number): boolean {
    const kept = this.keeps(payloadBytes)
    this.#full = !kept
    return kept
  }

  #noteZeroes(layer: Layer, frame: Frame, position: LogPosition): void {
    const { deviceId, offset, length } = frame
    if (length === 0) return
    const part = layer.partFor(deviceId)
    const memoryBefore = part.memoryBytes
    const intervalsBefore = part.intervalCount
    part.addZeroes(offset, length, position, frame.type === FrameType.trim ? Fill.trim : Fill.zeroes)
    this.#memoryBytes += part.memoryBytes - memoryBefore
    const grown = part.intervalCount - intervalsBefore
    this.#intervals += grown
    this.#activeIntervals += grown
    if (this.lost.touches(deviceId)) this.lost.overwritten(deviceId, offset, length)
  }

  #mark(frame: Frame, end: LogPosition): void {
    const bytes = frame.payload === null ? 0 : frame.payload.length
    this.#active.marks.push({ frame, end })
    this.#active.markBytes += bytes
    this.#memoryBytes += bytes
    this.#intervals++
    this.#activeIntervals++
  }

  #forget(part: Part): void {
    this.#memoryBytes -= part.memoryBytes
    this.#intervals -= part.intervalCount
  }

  /** What a retired part wrote is no longer lost on stable storage. */
  #foundAgain(part: Part, sequence: number): void {
    for (const { first, behind } of part.runs) {
      this.lost.applied(part.deviceId, first * CHUNK_BYTES, (behind - first) * CHUNK_BYTES, sequence)
    }
    for (const [index, list] of part.chunks) {
      for (const { start, end } of list)
        this.lost.applied(part.deviceId, index * CHUNK_BYTES + start, end - start, sequence)
    }
  }
}
