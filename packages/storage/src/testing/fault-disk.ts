/**
 * A simulated disk that fails like real ones do, from a seed.
 *
 * What a system on it MUST survive, without losing what it promised:
 * - a power cut that loses, keeps or tears any subset of the 512-byte sectors of everything unsynced, writes under way
 *   included (`powerCut`);
 * - the death of the process: what was written stays, a write under way landed as a whole, up to some page, or not at
 *   all; a sync under way happened or did not (`crashProcess`);
 * - a read, write or sync that fails with EIO or ENOSPC, once or often, with any part of the write done (`inject`);
 * - a failed sync after which reads still show what will be gone (`dropAbandoned` lets it go);
 * - slow operations, and operations that end in another order than they began (latency, delays, `hold`);
 * - bits that flip at rest and sectors that cannot be read: to be noticed and reported, not repaired.
 *
 * Owns the handle: operations under way, faults, counters. The contents are in {@link FaultMedium}. A FaultDisk is dead
 * after `powerCut`, `crashProcess` or `close`; the first two return the disk that the next process opens. Operations of a
 * disk that died never settle: their process is gone. It checks its users too: a buffer that is changed while its write
 * is under way, or an operation after `close`, is an assertion failure.
 */
import { assert } from '@sitelink/protocol/entry'
import { DiskError, type DiskCode } from '../disk/disk-error.js'
import type { Disk, DiskExtent } from '../disk/disk.js'
import { FaultPlan, type DiskFault, type DiskOperation, type InjectedFault } from './fault-plan.js'
import { FaultMedium, type TraceEvent } from './fault-medium.js'
import type { PowerCutPolicy, UnsyncedUnit } from './power-cut.js'
import { callSite } from './host-trace.js'
import type { DiskCounts, FaultDiskOptions } from './fault-disk-options.js'
import { Prng } from './prng.js'
import { SPARSE_CHUNK_BYTES } from './sparse-bytes.js'

interface UnderWay {
  readonly kind: DiskOperation
  /** Makes it happen wholly (null) or up to so many bytes, as a death of the process in it would. */
  readonly land: (upTo: number | null) => void
  readonly offset: number
  readonly length: number
}

type Life = 'alive' | 'dead' | 'closed'

const NOTHING = Buffer.alloc(0)

export class FaultDisk implements Disk {
  readonly description: string
  readonly sectorBytes: 512 | 4096
  readonly readOnly: boolean
  readonly medium: FaultMedium
  readonly counts: DiskCounts
  #life: Life = 'alive'
  readonly #options: FaultDiskOptions
  readonly #prng: Prng
  readonly faults: FaultPlan
  readonly #underWay = new Set<UnderWay>()
  #held: (() => void)[] | null = null
  #idle: (() => void)[] = []
  #onEnd: (() => void) | null = null

  /** A new disk that reads as zeros; with `before`, the next life of that one. */
  constructor(
    options: FaultDiskOptions,
    before?: { readonly medium: FaultMedium; readonly counts?: DiskCounts; readonly faults?: FaultPlan },
  ) {
    this.#options = options
    this.description = options.description ?? 'fault-disk'
    this.sectorBytes = options.sectorBytes ?? 512
    this.readOnly = options.readOnly ?? false
    this.#prng = options.prng ?? new Prng(1)
    this.medium = before?.medium ?? new FaultMedium(options.sizeBytes, this.#prng)
    this.counts = before?.counts ?? {
      reads: 0,
      writes: 0,
      syncs: 0,
      discards: 0,
      readBytes: 0,
      writtenBytes: 0,
      failures: 0,
    }
    this.faults = before?.faults ?? new FaultPlan()
  }

  /** Not told as an error of the write, which whoever asked for it takes for one of the disk: nobody catches it. */
  bufferChanged = (): void => assert(false, 'a buffer was changed while its write was under way')

  get sizeBytes(): number {
    return this.medium.sizeBytes
  }

  get alive(): boolean {
    return this.#life === 'alive'
  }

  get canDiscard(): boolean {
    return this.#options.sparse !== false
  }

  /** Operations that have begun and not ended. */
  get underWayCount(): number {
    return this.#underWay.size
  }

  read(into: Buffer, offset: number): Promise<void> {
    this.counts.reads++
    this.counts.readBytes += into.length
    const early = this.#options.latency?.readMs !== undefined && this.#prng.chance(0.5)
    const fetch = (): void => {
      if (this.medium.isUnreadable(offset, into.length)) throw this.#error('read', 'EIO', offset, into.length)
      this.medium.read(into, offset)
    }
    const isGood = !this.#beyond(offset, into.length) && !this.medium.isUnreadable(offset, into.length)
    if (early && this.#life === 'alive' && isGood) {
      // A read sees a write that is under way, or not: half of the reads look at once instead of at their end.
      fetch()
      return this.#run('read', offset, into.length, () => undefined)
    }
    return this.#run('read', offset, into.length, fetch)
  }

  write(chunks: readonly Buffer[], offset: number): Promise<void> {
    const bytes = chunks.length === 0 ? NOTHING : Buffer.concat(chunks as Buffer[])
    this.counts.writes++
    this.counts.writtenBytes += bytes.length
    const land = (upTo: number | null): void => {
      const part = upTo === null ? bytes : bytes.subarray(0, upTo)
      if (part.length > 0) this.medium.apply(offset, part.length, part)
    }
    return this.#run(
      'write',
      offset,
      bytes.length,
      () => {
        // One that was given back is empty.
        let at = 0
        for (const chunk of chunks) if (chunk.equals(bytes.subarray(at, at + chunk.length))) at += chunk.length
        if (at !== bytes.length) queueMicrotask(() => this.bufferChanged())
        const needed =
          this.#options.takeSpace === undefined ? 0 : this.medium.newChunks(offset, bytes.length) * SPARSE_CHUNK_BYTES
        if (needed > 0 && this.#options.takeSpace?.(needed) === false)
          throw this.#error('write', 'ENOSPC', offset, bytes.length)
        land(null)
      },
      { land, partial: (keep) => this.medium.applyPart(offset, bytes, keep) },
    )
  }

  sync(): Promise<void> {
    this.counts.syncs++
    const covered = this.medium.sequence
    const askedBy = this.medium.watch === null ? '' : callSite()
    return this.#run('sync', 0, 0, () => this.medium.synced(covered, askedBy), {
      land: (upTo) => {
        if (upTo === null) this.medium.synced(covered, askedBy)
      },
      partial: (keep) => this.medium.syncFailed(covered, keep),
    })
  }

  discard(offset: number, length: number): Promise<void> {
    this.counts.discards++
    return this.#zero('discard', offset, length)
  }

  writeZeroes(offset: number, length: number): Promise<void> {
    return this.#zero('writeZeroes', offset, length)
  }

  async extents(offset: number, length: number): Promise<readonly DiskExtent[] | null> {
    if (this.#options.sparse === false) return null
    const runs: { length: number; hole: boolean }[] = []
    await this.#run('read', offset, length, () => {
      for (let at = offset; at < offset + length;) {
        const end = Math.min(offset + length, (Math.floor(at / SPARSE_CHUNK_BYTES) + 1) * SPARSE_CHUNK_BYTES)
        const hole = this.medium.isHoleAt(at)
        const last = runs.at(-1)
        if (last !== undefined && last.hole === hole) last.length += end - at
        else runs.push({ length: end - at, hole })
        at = end
      }
    })
    return runs
  }

  resize(sizeBytes: number): Promise<void> {
    return this.#run('resize', 0, 0, () => this.medium.resize(sizeBytes))
  }

  async measure(): Promise<void> {
    // Its size is always the one of the medium.
  }

  async close(): Promise<void> {
    if (this.#life !== 'alive') return this.#life === 'dead' ? this.#never() : undefined
    this.#life = 'closed'
    if (this.#underWay.size > 0) await new Promise<void>((resolve) => this.#idle.push(resolve))
    this.#onEnd?.()
  }

  // ----- what a test does to it -----

  /** A fault to come; several may wait at a time, the first that matches strikes. */
  inject(fault: DiskFault): InjectedFault {
    assert(fault.delayMs === undefined || this.#options.clock !== undefined, 'a delay needs a clock')
    return this.faults.inject(fault)
  }

  /** No fault that was injected strikes any more. */
  clearFaults(): void {
    this.faults.clear()
  }

  /** Operations wait from here on, until `release`; those already under way are not held. */
  hold(): void {
    this.#held ??= []
  }

  /** Lets `count` held operations go, oldest first (default: all, and holds no more). */
  release(count = Number.POSITIVE_INFINITY): void {
    const held = this.#held ?? []
    this.#held = count === Number.POSITIVE_INFINITY ? null : held.slice(count)
    for (const go of held.slice(0, count)) go()
  }

  /** See {@link FaultMedium.unsyncedUnits}; what is under way is not among them. */
  unsynced(): UnsyncedUnit[] {
    return this.medium.unsyncedUnits()
  }

  /** The power fails. This disk is dead; the returned one is what the next process finds. */
  powerCut(policy: PowerCutPolicy): FaultDisk {
    this.die('unsynced')
    this.medium.powerCut(policy)
    return this.#nextLife()
  }

  /** The process dies: everything written stays visible, unsynced things stay unsynced. See {@link FaultDisk.die}. */
  crashProcess(underWay: 'all' | 'none' | 'random' = 'random'): FaultDisk {
    this.die(underWay)
    return this.#nextLife()
  }

  /**
   * Ends this handle without touching what the medium keeps. Operations under way land wholly (`all`), not at all
   * (`none`), each as it comes: wholly, up to a page or not (`random`), or, before a power cut, as one more unsynced
   * change each (`unsynced`; syncs then have not happened).
   */
  die(underWay: 'all' | 'none' | 'random' | 'unsynced'): void {
    assert(this.#life !== 'dead', 'a disk dies once')
    for (const operation of this.#prng.shuffle([...this.#underWay])) {
      const choice = underWay === 'random' ? this.#prng.pick(['all', 'none', 'part'] as const) : underWay
      if (choice === 'all' || (choice === 'unsynced' && operation.kind !== 'sync')) operation.land(null)
      else if (choice === 'part' && operation.kind === 'write')
        operation.land(this.medium.cutAtPage(operation.offset, operation.length))
    }
    this.#life = 'dead'
    this.#onEnd?.()
  }

  /** After a failed sync: the cache forgets what was given up, reads show the platters. */
  dropAbandoned(): void {
    this.medium.dropAbandoned()
  }

  /** Inverts a bit at rest: at `offset`, or anywhere in the range. */
  flipBit(offset: number, length = 1): void {
    this.medium.flipBit(offset + this.#prng.below(length), this.#prng.below(8))
  }

  /** Reads of these sectors fail with EIO until they are written again. */
  makeUnreadable(offset: number, length: number): void {
    this.medium.makeUnreadable(offset, length)
  }

  /** The visible bytes, without an operation. */
  peek(offset = 0, length = this.sizeBytes - offset): Buffer {
    const bytes = Buffer.alloc(length)
    this.medium.read(bytes, offset)
    return bytes
  }

  /** The bytes that would be left if the power were cut and everything unsynced lost. */
  peekDurable(offset = 0, length = this.sizeBytes - offset): Buffer {
    const bytes = Buffer.alloc(length)
    this.medium.readDurable(bytes, offset)
    return bytes
  }

  /** Changes bytes at rest, durably and visibly, without an operation. */
  poke(bytes: Buffer, offset: number): void {
    this.medium.apply(offset, bytes.length, Buffer.from(bytes))
    this.medium.synced(this.medium.sequence)
  }

  /** Records writes, syncs and marks from here on, for {@link FaultDisk.at}. */
  startTrace(): void {
    this.medium.startTrace()
  }

  get trace(): readonly TraceEvent[] {
    return this.medium.trace
  }

  /** Remembers a moment in the trace, such as the end of a promise. */
  mark(label: string): void {
    this.medium.mark(label)
  }

  /** A separate disk as this one was after the first `count` events of its trace, with what was unsynced then. */
  at(count: number, prng: Prng = this.#prng.fork(`at ${count}`)): FaultDisk {
    const { clock: _, latency: __, takeSpace: ___, ...rest } = this.#options
    return new FaultDisk({ ...rest, prng }, { medium: this.medium.replay(count, prng) })
  }

  /** Called once when this disk dies or is closed (the provider frees its lock then). */
  onEnd(action: () => void): void {
    this.#onEnd = action
  }

  // ----- inside -----

  #zero(kind: 'discard' | 'writeZeroes', offset: number, length: number): Promise<void> {
    const land = (upTo: number | null): void => {
      const part = upTo ?? length
      if (part === 0) return
      this.medium.apply(
        offset,
        part,
        this.#options.sparse === false && part <= SPARSE_CHUNK_BYTES ? Buffer.alloc(part) : null,
      )
    }
    return this.#run(kind, offset, length, () => land(null), {
      land,
      partial: (keep) => (keep === 'none' ? undefined : land(null)),
    })
  }

  async #run(
    kind: DiskOperation,
    offset: number,
    length: number,
    work: () => void,
    change?: { readonly land: UnderWay['land']; readonly partial: (keep: 'all' | 'none' | 'random') => void },
  ): Promise<void> {
    if (this.#life === 'dead') return this.#never()
    assert(this.#life === 'alive', `a closed disk is not used (${kind})`)
    assert(Number.isSafeInteger(offset) && offset >= 0, 'an offset is a non-negative integer')
    if (this.readOnly && kind !== 'read' && kind !== 'sync')
      throw new DiskError('DISK_READ_ONLY', this.description, `cannot ${kind}`)
    if (kind !== 'resize' && this.#beyond(offset, length))
      throw new DiskError('DISK_RANGE', this.description, `cannot ${kind}`, { offset, length })
    const struck = this.faults.strike(kind, offset, length, this.#prng)
    const operation: UnderWay = { kind, offset, length, land: change?.land ?? (() => undefined) }
    this.#underWay.add(operation)
    await this.#pass(kind, struck?.delayMs ?? 0)
    if (this.#isDead()) return this.#never()
    this.#underWay.delete(operation)
    try {
      if (struck?.error !== undefined) {
        change?.partial(struck.keep ?? 'random')
        throw this.#error(kind, struck.error, offset, length)
      }
      work()
    } catch (error) {
      this.counts.failures++
      throw error
    } finally {
      if (this.#underWay.size === 0) for (const done of this.#idle.splice(0)) done()
    }
  }

  /** Lets the time of an operation pass. */
  async #pass(kind: DiskOperation, delayMs: number): Promise<void> {
    if (this.#held !== null) await new Promise<void>((resolve) => this.#held?.push(resolve))
    const { clock, latency } = this.#options
    const range = kind === 'read' ? latency?.readMs : kind === 'sync' ? latency?.syncMs : latency?.writeMs
    const ms = delayMs + (range === undefined ? 0 : range[0] + this.#prng.float() * (range[1] - range[0]))
    if (clock !== undefined && ms > 0) await new Promise<void>((resolve) => void clock.after(ms, resolve))
    else await Promise.resolve()
  }

  #isDead(): boolean {
    return this.#life === 'dead'
  }

  #beyond(offset: number, length: number): boolean {
    return offset + length > this.medium.sizeBytes
  }

  #error(kind: DiskOperation, errno: 'EIO' | 'ENOSPC', offset: number, length: number): DiskError {
    const code: DiskCode = errno === 'EIO' ? 'DISK_IO' : 'DISK_FULL'
    return new DiskError(code, this.description, `cannot ${kind}`, { errno, offset, length })
  }

  #nextLife(): FaultDisk {
    return new FaultDisk(this.#options, { medium: this.medium, counts: this.counts, faults: this.faults })
  }

  /** The answer of a disk whose process is gone. */
  #never<T>(): Promise<T> {
    return new Promise<T>(() => undefined)
  }
}
