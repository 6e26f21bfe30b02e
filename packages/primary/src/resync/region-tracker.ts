/**
 * The regions of one mapping during a session: which are dirty, being read, in flight, and what that means for entries.
 *
 * Pure. The bitmap holds every region that is not known to be equal at both sites; a region that is being read or in
 * flight keeps its bit. A region's bit is given up only in {@link RegionTracker.settle}, when the primary's log is
 * durable up to the copy's stamp and the agent has that very copy durable, and nothing dirtied it again.
 *
 *   dirty --startRead--> reading --queued--> in flight --settle--> clean
 *     ^                                          |
 *     '------- a lost session (new tracker) -----'-- dirtied again
 *
 * Rules for an entry in the stream: it may pass any region but one that is being read (`stop`: wait until that copy is
 * queued; meanwhile no read starts in what the entry touches); it is left out only if every region it touches is dirty
 * and unread (`skip`: the copy will contain it); else it is sent, and a copy that contains it already is repeated.
 */
import { assert, type Lsn } from '@sitelink/protocol'

/** The bits of a mapping. */
export interface RegionBits {
  readonly regionCount: number
  isDirty(region: number): boolean
  /** First dirty region at or after `cursor`, from the beginning again behind the last; null if none is. */
  nextDirty(cursor: number): number | null
}

export type EntryVerdict = 'send' | 'skip' | 'stop'

interface Active {
  /** Stamp of its copy; null while it is being read. */
  stamp: Lsn | null
  /** Count of stream frames of this session up to and with its last copy frame. */
  streamFrames: number
  again: boolean
}

export class RegionTracker {
  readonly #bits: RegionBits
  readonly #regionBytes: number
  /** Regions being read or in flight. */
  readonly #active = new Map<number, Active>()
  /** The entry that the stream stopped at: no read starts in what it touches. */
  #blockedFirst = -1
  #blockedLast = -1
  #reading = 0
  #scanFrom = 0

  constructor(bits: RegionBits, regionBytes: number) {
    this.#bits = bits
    this.#regionBytes = regionBytes
  }

  /** Regions that are being read or in flight. */
  get activeCount(): number {
    return this.#active.size
  }

  get readingCount(): number {
    return this.#reading
  }

  /** What the stream does with an entry for this range. `stop` blocks new reads in the range until `unblock`. */
  judge(offset: number, length: number): EntryVerdict {
    const first = Math.floor(offset / this.#regionBytes)
    const last = Math.floor((offset + length - 1) / this.#regionBytes)
    let skip = true
    for (let region = first; region <= last; region += 1) {
      const active = this.#active.get(region)
      if (active !== undefined && active.stamp === null) {
        this.#blockedFirst = first
        this.#blockedLast = last
        return 'stop'
      }
      if (active !== undefined || !this.#bits.isDirty(region)) skip = false
    }
    return skip ? 'skip' : 'send'
  }

  /** The entry that stopped the stream has passed. */
  unblock(): void {
    this.#blockedFirst = -1
    this.#blockedLast = -1
  }

  /** The next region to read, ascending with wrap, or -1 if none may be read now. */
  next(): number {
    let region = this.#bits.nextDirty(this.#scanFrom)
    if (region === null) return -1
    const first = region
    do {
      if (!this.#active.has(region) && !this.#isBlocked(region)) return region
      region = this.#bits.nextDirty(region + 1) as number
    } while (region !== first)
    return -1
  }

  startRead(region: number): void {
    assert(
      this.#bits.isDirty(region) && !this.#active.has(region),
      'a region is read when it is dirty and not under way',
    )
    this.#active.set(region, { stamp: null, streamFrames: 0, again: false })
    this.#reading += 1
    this.#scanFrom = region + 1
  }

  /** The copy is in the stream. */
  queued(region: number, stamp: Lsn, streamFrames: number): void {
    const active = this.#active.get(region)
    assert(active !== undefined && active.stamp === null, 'a copy is queued once, after its read')
    active.stamp = stamp
    active.streamFrames = streamFrames
    this.#reading -= 1
  }

  /** The read failed: dirty again. */
  abandon(region: number): void {
    const active = this.#active.get(region)
    assert(active !== undefined && active.stamp === null, 'only a read is abandoned')
    this.#active.delete(region)
    this.#reading -= 1
  }

  /** Something that does not travel in the stream changed the region. */
  dirtied(region: number): void {
    const active = this.#active.get(region)
    if (active !== undefined) active.again = true
  }

  /** Regions that are clean now: durable at the agent up to `streamFrames`, and the log durable up to their stamp. */
  settle(streamFrames: number, durableLsn: Lsn): number[] {
    const clean: number[] = []
    for (const [region, active] of this.#active) {
      if (active.stamp === null || active.streamFrames > streamFrames || active.stamp > durableLsn) continue
      this.#active.delete(region)
      if (!active.again) clean.push(region)
    }
    return clean
  }

  #isBlocked(region: number): boolean {
    return this.#blockedFirst >= 0 && region >= this.#blockedFirst && region <= this.#blockedLast
  }
}
