/**
 * What a simulated disk holds, and what a power cut leaves of it.
 *
 * Owns two contents: `cache` is what reads see, `durable` is what the platters have, and between them the unsynced
 * changes in order. A sync moves changes over. A power cut decides for each 512-byte sector of each unsynced change
 * whether it got there: a sector ends with the content it had after one of its changes, or with the one from before
 * all of them, whatever happens to its neighbours. That is all that a page cache and a drive with a volatile cache
 * promise; a program that survives it survives any of them.
 */
import { assert, must } from '@sitelink/protocol/entry'
import {
  FAULT_SECTOR_BYTES,
  keepBy,
  unitsOf,
  type Change,
  type PowerCutPolicy,
  type UnsyncedUnit,
} from './power-cut.js'
import type { Prng } from './prng.js'
import { SPARSE_CHUNK_BYTES, SparseBytes } from './sparse-bytes.js'

/** Where a write that a killed process was in may have been cut short. */
const PAGE_BYTES = 4096

/** An event of a trace; replaying them gives the disk at any moment. */
export type TraceEvent =
  /** A change became visible. */
  | { readonly kind: 'change'; readonly change: Change }
  /** A sync ended well; it covered every change up to this sequence. */
  | { readonly kind: 'synced'; readonly sequence: number }
  /** The size changed, durably. */
  | { readonly kind: 'resized'; readonly sizeBytes: number }
  /** Something that the test wanted to remember: see {@link FaultMedium.mark}. */
  | { readonly kind: 'mark'; readonly label: string }

/** An event as {@link FaultMedium.watch} tells it: of a sync also who asked for it. */
export type WatchedEvent =
  | Exclude<TraceEvent, { readonly kind: 'synced' | 'mark' }>
  | { readonly kind: 'synced'; readonly sequence: number; readonly askedBy: string }

interface Trace {
  readonly events: TraceEvent[]
  readonly cache: SparseBytes
  readonly durable: SparseBytes
  readonly unsynced: readonly Change[]
  readonly sizeBytes: number
}

export class FaultMedium {
  sizeBytes: number
  #cache: SparseBytes
  #durable: SparseBytes
  #unsynced: Change[] = []
  /** Changes that a failed sync gave up: reads show them until the cache is dropped, no later sync writes them. */
  #abandoned: Change[] = []
  #sequence = 0
  #trace: Trace | null = null
  /** Called in the turn of each event, for a trace of several media. */
  watch: ((event: WatchedEvent) => void) | null = null
  /** Sectors that cannot be read until they are written again. */
  readonly #unreadable = new Set<number>()

  constructor(
    sizeBytes: number,
    readonly prng: Prng,
    cache = new SparseBytes(),
    durable = new SparseBytes(),
  ) {
    this.sizeBytes = sizeBytes
    this.#cache = cache
    this.#durable = durable
  }

  /** Sequence of the newest change; a sync that starts now covers up to it. */
  get sequence(): number {
    return this.#sequence
  }

  /** Changes that are visible and not durable yet, oldest first. */
  get unsynced(): readonly Change[] {
    return this.#unsynced
  }

  /** Chunks of 64 KiB that take space. */
  get chunkCount(): number {
    return this.#cache.chunkCount
  }

  newChunks(offset: number, length: number): number {
    return this.#cache.newChunks(offset, length)
  }

  isHoleAt(offset: number): boolean {
    return this.#cache.isHoleAt(offset)
  }

  read(into: Buffer, offset: number): void {
    this.#cache.read(into, offset)
  }

  /** What a read would give if the power had been cut with everything unsynced lost. */
  readDurable(into: Buffer, offset: number): void {
    this.#durable.read(into, offset)
  }

  /** A copy of what is durable. */
  durableContent(): SparseBytes {
    return this.#durable.clone()
  }

  /** Makes a change visible; `bytes` is kept and must not change. */
  apply(offset: number, length: number, bytes: Buffer | null): void {
    assert(bytes === null || bytes.length === length, 'a change has as many bytes as it says')
    this.#sequence++
    this.#take({ sequence: this.#sequence, offset, length, bytes })
  }

  /** A write failed: all, none or a random subset of its sectors become visible. */
  applyPart(offset: number, bytes: Buffer, keep: 'all' | 'none' | 'random'): void {
    for (let at = 0; at < bytes.length && keep !== 'none';) {
      const sectorEnd = (Math.floor((offset + at) / FAULT_SECTOR_BYTES) + 1) * FAULT_SECTOR_BYTES
      const end = Math.min(bytes.length, sectorEnd - offset)
      if (keep === 'all' || this.prng.chance(0.5)) this.apply(offset + at, end - at, bytes.subarray(at, end))
      at = end
    }
  }

  /** A sync ended well: everything up to `sequence` is durable. */
  synced(sequence: number, askedBy = ''): void {
    const covered = this.#unsynced.filter((change) => change.sequence <= sequence)
    for (const change of covered) applyTo(this.#durable, change, change.offset, change.length)
    this.#unsynced = this.#unsynced.filter((change) => change.sequence > sequence)
    this.#trace?.events.push({ kind: 'synced', sequence })
    this.watch?.({ kind: 'synced', sequence, askedBy })
  }

  /**
   * A sync failed: of what it should have covered a random part (or `keep`: all or none) got there, the rest never will
   * by a later sync.
   */
  syncFailed(sequence: number, keep: 'all' | 'none' | 'random' = 'random'): void {
    assert(this.#trace === null && this.watch === null, 'failed syncs are not traced')
    const covered = this.#unsynced.filter((change) => change.sequence <= sequence)
    const units = unitsOf(covered, this.#durable)
    this.#settle(
      covered,
      units,
      units.map(() => (keep === 'random' ? this.prng.chance(0.5) : keep === 'all')),
    )
    this.#abandoned.push(...covered)
    this.#unsynced = this.#unsynced.filter((change) => change.sequence > sequence)
  }

  /** Memory pressure after a failed sync: what it gave up is read from the platters from now on. */
  dropAbandoned(): void {
    for (const { offset, length } of this.#abandoned) {
      this.#cache.zero(offset, length)
      for (const start of this.#durable.chunksIn(offset, length)) {
        const from = Math.max(start, offset)
        const bytes = Buffer.alloc(Math.min(start + SPARSE_CHUNK_BYTES, offset + length) - from)
        this.#durable.read(bytes, from)
        this.#cache.write(bytes, from)
      }
    }
    this.#abandoned = []
    for (const change of this.#unsynced) applyTo(this.#cache, change, change.offset, change.length)
  }

  /** The units that a power cut now would keep or lose, by change, then by offset. */
  unsyncedUnits(): UnsyncedUnit[] {
    return unitsOf(this.#unsynced, this.#durable)
  }

  /** The power fails and comes back: what reads see is what was durable plus what the policy keeps. */
  powerCut(policy: PowerCutPolicy): void {
    const units = this.unsyncedUnits()
    this.#settle(this.#unsynced, units, keepBy(policy, units, this.prng))
    this.#unsynced = []
    this.#abandoned = []
    this.#cache = this.#durable.clone()
    this.#trace = null
  }

  /** Where the first `bytes` of a write may have stopped if its process was killed in it: a page boundary. */
  cutAtPage(offset: number, length: number): number {
    const pages = Math.floor((offset + length) / PAGE_BYTES) - Math.floor(offset / PAGE_BYTES)
    if (pages === 0) return 0
    const end = (Math.floor(offset / PAGE_BYTES) + this.prng.between(1, pages)) * PAGE_BYTES
    return Math.min(length, end - offset)
  }

  resize(sizeBytes: number): void {
    if (sizeBytes < this.sizeBytes) {
      this.#cache.truncate(sizeBytes)
      this.#durable.truncate(sizeBytes)
      this.#unsynced = this.#unsynced.flatMap((change) => clip(change, sizeBytes))
      this.#abandoned = this.#abandoned.flatMap((change) => clip(change, sizeBytes))
    }
    this.sizeBytes = sizeBytes
    this.#trace?.events.push({ kind: 'resized', sizeBytes })
    this.watch?.({ kind: 'resized', sizeBytes })
  }

  /** Rot: inverts one bit, durably and visibly. */
  flipBit(offset: number, bit: number): void {
    for (const content of [this.#cache, this.#durable]) {
      const byte = Buffer.alloc(1)
      content.read(byte, offset)
      byte.writeUInt8(byte.readUInt8(0) ^ (1 << bit), 0)
      content.write(byte, offset)
    }
  }

  /** Sectors of this range cannot be read from now on, until they are written again. */
  makeUnreadable(offset: number, length: number): void {
    for (let at = Math.floor(offset / FAULT_SECTOR_BYTES); at * FAULT_SECTOR_BYTES < offset + length; at++)
      this.#unreadable.add(at)
  }

  isUnreadable(offset: number, length: number): boolean {
    if (this.#unreadable.size === 0) return false
    for (const sector of this.#unreadable) {
      const start = sector * FAULT_SECTOR_BYTES
      if (start < offset + length && start + FAULT_SECTOR_BYTES > offset) return true
    }
    return false
  }

  /** What reads see now, as a separate content. */
  visible(): SparseBytes {
    return this.#cache.clone()
  }

  /** A separate medium in the same state, unsynced changes included; traces and faults stay here. */
  fork(prng: Prng): FaultMedium {
    const copy = new FaultMedium(this.sizeBytes, prng, this.#cache.clone(), this.#durable.clone())
    copy.#unsynced = this.#unsynced.slice()
    copy.#abandoned = this.#abandoned.slice()
    copy.#sequence = this.#sequence
    for (const sector of this.#unreadable) copy.#unreadable.add(sector)
    return copy
  }

  /** Starts recording; what was recorded before is dropped. */
  startTrace(): void {
    this.#trace = {
      events: [],
      cache: this.#cache.clone(),
      durable: this.#durable.clone(),
      unsynced: this.#unsynced.slice(),
      sizeBytes: this.sizeBytes,
    }
  }

  get trace(): readonly TraceEvent[] {
    return must(this.#trace, 'a trace was started').events
  }

  /** Remembers a moment in the trace. */
  mark(label: string): void {
    this.#trace?.events.push({ kind: 'mark', label })
  }

  /** A separate medium as this one was after the first `count` events of the trace. */
  replay(count: number, prng: Prng): FaultMedium {
    const trace = must(this.#trace, 'a trace was started')
    assert(count >= 0 && count <= trace.events.length, 'the trace has that many events')
    const copy = new FaultMedium(trace.sizeBytes, prng, trace.cache.clone(), trace.durable.clone())
    copy.#unsynced = trace.unsynced.slice()
    for (const event of trace.events.slice(0, count)) {
      if (event.kind === 'change') copy.#take(event.change)
      else if (event.kind === 'synced') copy.synced(event.sequence)
      else if (event.kind === 'resized') copy.resize(event.sizeBytes)
    }
    copy.#sequence = this.#sequence
    return copy
  }

  #take(change: Change): void {
    applyTo(this.#cache, change, change.offset, change.length)
    this.#unsynced.push(change)
    if (this.#unreadable.size > 0) {
      for (const sector of this.#unreadable) {
        const start = sector * FAULT_SECTOR_BYTES
        if (change.offset <= start && start + FAULT_SECTOR_BYTES <= change.offset + change.length)
          this.#unreadable.delete(sector)
      }
    }
    this.#trace?.events.push({ kind: 'change', change })
    this.watch?.({ kind: 'change', change })
  }

  /** Brings to the platters, for each sector, its changes up to and with the newest one that is kept. */
  #settle(changes: readonly Change[], units: readonly UnsyncedUnit[], kept: readonly boolean[]): void {
    const newest = new Map<number, number>()
    units.forEach((unit, index) => {
      if (kept[index] !== true) return
      for (
        let sector = Math.floor(unit.offset / FAULT_SECTOR_BYTES);
        sector * FAULT_SECTOR_BYTES < unit.offset + unit.length;
        sector++
      ) {
        newest.set(sector, unit.change)
      }
    })
    for (const unit of units) {
      const change = must(changes[unit.change], 'a unit belongs to a change')
      for (
        let sector = Math.floor(unit.offset / FAULT_SECTOR_BYTES);
        sector * FAULT_SECTOR_BYTES < unit.offset + unit.length;
        sector++
      ) {
        if ((newest.get(sector) ?? -1) < unit.change) continue
        const from = Math.max(unit.offset, sector * FAULT_SECTOR_BYTES)
        const to = Math.min(unit.offset + unit.length, (sector + 1) * FAULT_SECTOR_BYTES)
        applyTo(this.#durable, change, from, to - from)
      }
    }
  }
}

function applyTo(content: SparseBytes, change: Change, offset: number, length: number): void {
  if (change.bytes === null) content.zero(offset, length)
  else content.write(change.bytes.subarray(offset - change.offset, offset - change.offset + length), offset)
}

function clip(change: Change, sizeBytes: number): Change[] {
  if (change.offset >= sizeBytes) return []
  const length = Math.min(change.length, sizeBytes - change.offset)
  return [{ ...change, length, bytes: change.bytes?.subarray(0, length) ?? null }]
}
