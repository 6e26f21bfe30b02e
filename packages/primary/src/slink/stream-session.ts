/**
 * One session of a slink, from `ready` to its end: the feed, the copier, and what the agent's acknowledgements mean.
 *
 * Owns the marks of this session. It tells the slink when something moved and never decides about protection, overflow
 * or reconnecting. After `close` nothing of it is called or calls any more.
 */
import {
  ORIGIN,
  WIRE_SYNC,
  type Ack,
  type Clock,
  type Frame,
  type LogPoint,
  type LogPosition,
  type Lsn,
  type Session,
  type Timer,
} from '@sitelink/protocol'
import type { LogHole, RingLog } from '@sitelink/storage'
import { Copier } from '../resync/copier.js'
import { Verifier } from '../verify/verifier.js'
import { COPY_SYNC_BYTES } from '../limits.js'
import { Feed } from './feed.js'
import type { LinkTerms } from './link-terms.js'
import type { MappingSet } from './mapping-set.js'
import { Pacer } from './pacer.js'
import type { Place } from './place.js'
import { TokenBucket } from './token-bucket.js'

/**
 * Entries that no writer waits for go out together with what comes within a moment: each time that bytes go out costs the
 * primary, the agent and the network as much as dozens of small entries.
 */
const GATHER_MS = 4

/** The agent is told so late what the log has durably: nobody waits for what it applies then. */
const TELL_MS = 10

export interface StreamOwner {
  /** Marks moved: `pinned` if log space may be free now. */
  acked(pinned: boolean): void
  /** Regions became clean; `left` are still dirty. */
  cleaned(count: number, left: number): void
  hole(hole: LogHole): void
  failed(message: string): void
  readFailed(deviceId: number, region: number, error: Error): void
}

export interface StreamOptions {
  readonly session: Session
  /** As agreed with the agent. */
  readonly wireVersion: number
  readonly log: RingLog
  readonly clock: Clock
  readonly place: Place
  readonly mappings: MappingSet
  /** Where the stream begins: the last entry the agent has, and the position behind it. */
  readonly start: LogPoint
  readonly position: LogPosition
  /** The last entry that the agent really has when the session begins. */
  readonly acked: LogPoint
  readonly read: (deviceId: number, offset: number, length: number) => Promise<readonly Buffer[]>
  readonly readInto: (deviceId: number, offset: number, into: Buffer) => Promise<void>
  readonly headLsn: () => Lsn
  /** The last entry in the overlay. */
  readonly writtenLsn: () => Lsn
  /** The newest LSN that somebody wants on the site's stable storage now, or 0. */
  readonly durableWanted: () => Lsn
  /** Writers wait for what the site may do only once it knows what is durable here: a blockdev site, which has no journal. */
  readonly tellAtOnce: () => boolean
  readonly taken: (entry: Frame) => void
  readonly terms: () => LinkTerms
  readonly owner: StreamOwner
}

export class StreamSession {
  readonly session: Session
  readonly feed: Feed
  readonly pacer: Pacer
  readonly verifier: Verifier
  readonly #options: StreamOptions
  readonly #copier: Copier
  #closed = false
  /** Where the stream was when the agent was last asked to make it durable. */
  #syncAsked = { frames: 0, lsn: 0, copyBytes: 0 }
  #durablePoint: LogPoint = ORIGIN
  #telling: Timer | null = null
  /** Entries that nobody waits for are gathered until it ends. */
  #gather: Timer | null = null
  /** What the stream has passed at the agent. During a resync that is more than what the agent has. */
  receivedLsn: Lsn
  durableLsn: Lsn
  /** True once the marks mean what they say: nothing was dirty, or all of it has been copied. */
  #trusted: boolean
  appliedLsn: Lsn = 0
  #durableFrames = 0
  /** What the agent said of itself last. */
  agentDirtyRegions: number | null = null
  agentConsistent: boolean | null = null
  journalUsedBytes: number | null = null
  journalBytes: number | null = null
  /** Largest stamp of a copy of this session. */
  #stamp: Lsn = 0
  /** For rate and ETA. */
  readonly startedMs: number
  readonly dirtyBytesAtStart: number

  constructor(options: StreamOptions) {
    this.#options = options
    this.session = options.session
    const { clock, mappings, owner } = options
    this.receivedLsn = options.start.lsn
    this.durableLsn = options.place.point.lsn
    this.#trusted = mappings.dirtyRegions === 0 && options.acked.lsn === options.start.lsn
    this.startedMs = clock.nowMs()
    this.dirtyBytesAtStart = mappings.dirtyBytes
    const bucket = new TokenBucket(clock.nowMs())
    const bytesPerSecond = (): number => options.terms().resyncBytesPerSecond
    this.#copier = new Copier({
      clock,
      bucket,
      readInto: options.readInto,
      headLsn: () => {
        this.#stamp = Math.max(this.#stamp, options.headLsn())
        return options.headLsn()
      },
      bytesPerSecond,
      ready: () => this.feed.pump(),
      readFailed: owner.readFailed,
    })
    this.#copier.setSources(
      [...mappings].flatMap((mapping) =>
        mapping.tracker === null
          ? []
          : [
              {
                deviceId: mapping.deviceId,
                sizeBytes: mapping.sizeBytes,
                regionBytes: mapping.config.regionBytes,
                tracker: mapping.tracker,
              },
            ],
      ),
    )
    this.verifier = new Verifier({
      clock,
      session: options.session,
      wireVersion: options.wireVersion,
      read: options.read,
      writtenLsn: options.writtenLsn,
      isClean: ({ device, offset }) => mappings.isClean(device.deviceId, device.mappingId, offset),
      bucket,
      bytesPerSecond,
      wake: () => this.feed.pump(),
    })
    this.pacer = new Pacer({ clock, terms: options.terms, wake: () => this.feed.pump() })
    this.feed = new Feed({
      session: options.session,
      log: options.log,
      position: options.position,
      point: options.start,
      device: (deviceId) => mappings.get(deviceId),
      copier: this.#copier,
      verifier: this.verifier,
      pacer: this.pacer,
      resyncSharePercent: () => options.terms().resyncSharePercent,
      passed: (lsn, position) => options.place.passed(lsn, position),
      taken: options.taken,
      pumped: () => this.askSync(),
      hole: owner.hole,
      failed: (error) => owner.failed(`the log could not be read: ${error.message}`),
    })
  }

  /** Bytes of regions that are being read or wait to be sent. */
  get copyBytesInMemory(): number {
    return this.#copier.bytesInMemory
  }

  /** Nothing is dirty or in flight at either side, and the agent has every copy of this session up to its stamp. */
  get settled(): boolean {
    const { mappings } = this.#options
    return (
      mappings.dirtyRegions === 0 &&
      !mappings.copying &&
      this.agentDirtyRegions === 0 &&
      this.receivedLsn >= this.#stamp
    )
  }

  /** The last LSN up to which writers may count on the agent: received, and durable. */
  get heldReceivedLsn(): Lsn {
    return this.#trusted ? this.receivedLsn : this.#options.acked.lsn
  }

  get heldDurableLsn(): Lsn {
    return this.#trusted ? this.durableLsn : Math.min(this.durableLsn, this.#options.acked.lsn)
  }

  /** Entries came into the log. `awaited`: writers wait until the site has them. */
  written(awaited: boolean): void {
    if (awaited) return this.feed.pump()
    this.#gather ??= this.#options.clock.after(GATHER_MS, () => {
      this.#gather = null
      this.feed.pump()
    })
  }

  /** The log is durable up to `point`. Most often the agent has learnt it from a later entry before it is told. */
  durable(point: LogPoint): void {
    this.#durablePoint = point
    if (this.#options.tellAtOnce()) return this.#tell()
    this.#telling ??= this.#options.clock.after(TELL_MS, () => this.#tell())
  }

  #tell(): void {
    this.#telling?.cancel()
    this.#telling = null
    const { incarnation, lsn } = this.#durablePoint
    this.session.sendControl({ kind: 'durable', point: [incarnation, lsn] })
  }

  /** Asks the agent to make durable what has been sent, where somebody waits for more of it than was asked for already. */
  askSync(): void {
    const { wireVersion, durableWanted, mappings, session } = this.#options
    if (session.streamFrames === this.#syncAsked.frames || this.#closed || wireVersion < WIRE_SYNC) return
    // A region is clean once its copy is durable.
    if (durableWanted() <= this.#syncAsked.lsn && !(mappings.copying && this.#copiesWait)) return
    const copyBytes = this.feed.copyBytesSent
    this.#syncAsked = { frames: session.streamFrames, lsn: this.feed.sentLsn, copyBytes }
    session.sendControl({ kind: 'sync' })
  }

  /**
   * Enough copies were sent for a sync of their own, or no other will come behind them for now; or so little may be under
   * way that the next ones wait for these.
   */
  get #copiesWait(): boolean {
    const { ios, bytes } = this.#options.terms().inFlight
    const unasked = this.feed.copyBytesSent - this.#syncAsked.copyBytes
    return this.#copier.bytesInMemory === 0 || unasked >= COPY_SYNC_BYTES || ios + bytes > 0
  }

  onAck(ack: Ack): void {
    if (this.#closed) return
    const { place, log } = this.#options
    this.receivedLsn = Math.max(this.receivedLsn, ack.received[1])
    this.pacer.received(ack.received[2])
    this.#copier.arrived(ack.received[2], this.session.sentBytes - this.session.queuedBytes)
    this.appliedLsn = Math.max(this.appliedLsn, ack.applied[1])
    this.agentDirtyRegions = ack.dirtyRegions
    this.agentConsistent = ack.consistent
    this.journalUsedBytes = ack.journalUsedBytes
    this.journalBytes = ack.journalBytes
    const [incarnation, lsn, frames] = ack.durable
    let pinned = false
    if (lsn >= this.durableLsn && lsn <= log.lastLsn) {
      this.durableLsn = lsn
      pinned = place.acknowledged({ incarnation, lsn })
    }
    this.#durableFrames = Math.max(this.#durableFrames, frames)
    this.settle()
    if (this.settled) this.#trusted = true
    this.#maybePump()
    if (!this.#closed) this.#options.owner.acked(pinned)
  }

  /** Counts of the agent's durable stream frames: what an announcement waits for. */
  get durableFrames(): number {
    return this.#durableFrames
  }

  /** Clears what has become durable at both sides. */
  settle(): void {
    const { mappings, log, owner } = this.#options
    const cleaned = mappings.settle(this.#durableFrames, log.durableLsn)
    if (cleaned > 0) owner.cleaned(cleaned, mappings.dirtyRegions)
    if (cleaned > 0 && !this.#closed) this.feed.pump()
  }

  /** The terms of the link were changed. */
  termsChanged(): void {
    this.#copier.pump()
    this.verifier.pump()
    this.feed.pump()
  }

  /** What is in flight may have been what the stream waited for. */
  #maybePump(): void {
    const { ios, bytes } = this.#options.terms().inFlight
    if (!this.#closed && ios + bytes > 0) this.feed.pump()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#gather?.cancel()
    this.#telling?.cancel()
    this.pacer.close()
    this.feed.close()
    this.#copier.close()
    this.verifier.close()
  }
}
