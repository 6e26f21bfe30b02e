/**
 * The feed: the one ordered stream of a slink, during one session.
 *
 * Owns what is sent next: entries in LSN order from a cursor on the log, and between them the copies of a resync. It
 * keeps to the credit of the agent and to the room in the connection, and allocates nothing per entry but a slot in the
 * batch. The rules of a resync are those of `region-tracker.ts`; the cursor sees only entries that are in the log file,
 * and those are in the overlay before this feed is pumped, so every read of a region is planned with all that it passed.
 */
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  frameBytes,
  FrameFlag,
  FrameType,
  type Frame,
  type FrameFields,
  type LogPoint,
  type LogPosition,
  type Lsn,
} from '@sitelink/protocol'
import type { LogCursor, LogEntry, LogHole, RingLog } from '@sitelink/storage'
import { COPY_FRAME_BYTES, FEED_BYTES_MAX } from '../limits.js'
import type { Copier, ReadyCopy } from '../resync/copier.js'
import type { RegionTracker } from '../resync/region-tracker.js'
import type { Verifier } from '../verify/verifier.js'

/** What the feed needs of a session. */
export interface FeedSession {
  readonly writable: boolean
  readonly creditBytes: number
  readonly streamFrames: number
  /** Bytes handed to the connection, ever. */
  readonly sentBytes: number
  sendFrames(frames: readonly Frame[]): boolean
  /** Told when there is nothing to send. */
  idle(): void
}

/** What the feed needs of a pacer: when it may go on, with how much, and where it pays. */
export interface FeedPacer {
  mayGo(): boolean
  readonly runBytes: number
  readonly runFrames: number
  sent(frames: number, bytes: number, wireBytes: number): void
}

/** A device that this site gets. */
export interface FedDevice {
  /** Entries at or below it are not for this mapping. */
  readonly since: LogPoint
  /** Null while nothing of it is dirty. */
  readonly tracker: RegionTracker | null
}

export interface FeedOptions {
  readonly session: FeedSession
  readonly log: RingLog
  readonly position: LogPosition
  /** The last entry that the agent has, or whose absence it was told. */
  readonly point: LogPoint
  readonly device: (deviceId: number) => FedDevice | undefined
  readonly copier: Copier
  readonly verifier: Pick<Verifier, 'pump' | 'meets' | 'stands'>
  readonly pacer: FeedPacer
  /** Part of the stream that copies are sure of while entries wait, in percent. */
  readonly resyncSharePercent: () => number
  /** Everything below `position` has been passed; `lsn` is the last of it. Called after it was sent. */
  readonly passed: (lsn: Lsn, position: LogPosition) => void
  /** It has sent what could be sent for now. */
  readonly pumped: () => void
  /** An entry came from the log, the first of several. */
  readonly taken: (entry: Frame) => void
  /** Entries that cannot be read: the site must be resynced; the feed has stopped. */
  readonly hole: (hole: LogHole) => void
  readonly failed: (error: Error) => void
}

type Item = LogEntry | LogHole

/** Room that one step may need: a skip frame and the largest entry. */
const STEP_BYTES = 2 * FRAME_HEADER_BYTES + COPY_FRAME_BYTES

export class Feed {
  readonly #options: FeedOptions
  readonly #cursor: LogCursor
  #point: LogPoint
  /** First LSN of a run that is not sent and has not been told yet; 0: none. */
  #skipFrom: Lsn = 0
  /** A flush came before one of them: whatever follows comes behind it. */
  #skipFlushes = false
  #batch: readonly Item[] = []
  #at = 0
  readonly #preamble: Frame[] = []
  #out: Frame[] = []
  #outBytes = 0
  #fetching = false
  #pumping = false
  #again = false
  #closed = false
  #stopped = false
  /** Bytes of entries that may go before the next copy, while there are entries: the resync's share. */
  #entryBytesBeforeCopy = 0
  entriesSent = 0
  entriesSkipped = 0
  copyBytesSent = 0

  constructor(options: FeedOptions) {
    this.#options = options
    this.#point = options.point
    this.#cursor = options.log.cursor(options.position)
  }

  /** The last entry that the stream has passed. */
  get point(): LogPoint {
    return this.#point
  }

  /** The last entry whose frame, or skip, is on its way. */
  get sentLsn(): Lsn {
    return this.#skipFrom === 0 ? this.#point.lsn : this.#skipFrom - 1
  }

  /** Frames to be sent before everything else, as credit allows: mappings, announcements. */
  begin(frames: readonly Frame[]): void {
    this.#preamble.push(...frames)
  }

  /** Sends as much as there is and may be sent. Cheap when there is nothing to do. */
  pump(): void {
    if (this.#pumping) {
      this.#again = true
      return
    }
    if (this.#closed) return
    this.#pumping = true
    do {
      this.#again = false
      this.#step()
    } while (this.#again && !this.#closed)
    this.#pumping = false
    if (!this.#closed) this.#options.pumped()
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#cursor.close()
  }

  #step(): void {
    const { session, copier, verifier, pacer } = this.#options
    if (!this.#sendPreamble()) return
    copier.pump()
    verifier.pump()
    while (!this.#closed && session.writable && session.creditBytes >= STEP_BYTES && pacer.mayGo()) {
      const before = this.#stopped
      const copies = this.#sendCopies()
      const stopped = this.#stopped
      const entries = this.#sendEntries()
      // No read started in what the stopped entry touches: one may now, and nothing else need ever happen to start it.
      if (stopped && entries) copier.pump()
      // An entry that has only now found that it must wait gives way to the copies, which may have held back for it.
      if (!copies && !entries && (before || !this.#stopped)) return session.idle()
    }
  }

  /** True once everything of it is on its way. */
  #sendPreamble(): boolean {
    const { session } = this.#options
    while (this.#preamble.length > 0) {
      const frame = this.#preamble[0] as Frame
      if (!session.writable || session.creditBytes < frameBytes(frame)) return false
      this.#out.push(frame)
      this.#outBytes += frameBytes(frame)
      this.#preamble.shift()
      this.#sendOut()
    }
    return true
  }

  /** Sends ready copies: one, or all of them while there are no entries to send. True if any went out. */
  #sendCopies(): boolean {
    const { session, copier, pacer } = this.#options
    if (this.#entryBytesBeforeCopy > 0 && this.#entriesWait()) return false
    const live = this.#at < this.#batch.length && !this.#stopped
    let sent = false
    for (let copy = copier.peek(); copy !== null; copy = copier.peek()) {
      if (!session.writable || session.creditBytes < STEP_BYTES || (sent && !pacer.mayGo())) break
      this.#sendCopy(copy)
      copier.take(session.streamFrames, session.sentBytes)
      sent = true
      this.#entryBytesBeforeCopy = this.#shareOfEntries(copy.length)
      if (live) break
    }
    if (sent) copier.pump()
    return sent
  }

  /** How many bytes of entries go with so many of copies, so that both have their share. */
  #shareOfEntries(copyBytes: number): number {
    const percent = this.#options.resyncSharePercent()
    return Math.floor((copyBytes * (100 - percent)) / percent)
  }

  /** True while there are entries that may go, or may be about to come from the disk. */
  #entriesWait(): boolean {
    return !this.#stopped && (this.#at < this.#batch.length || this.#fetch() || this.#fetching)
  }

  #sendCopy(copy: ReadyCopy): void {
    this.#flushSkip()
    const { deviceId, tracker } = copy.source
    const fields: FrameFields = {
      type: copy.memory === null ? FrameType.copyZeroes : FrameType.copy,
      flags: copy.last ? FrameFlag.lastOfRegion : 0,
      deviceId,
      offset: copy.offset,
      length: copy.length,
      aux: copy.stamp,
    }
    this.#sendOne(fields, copy.memory === null ? null : copy.memory.bytes)
    this.copyBytesSent += copy.length
    if (copy.last) tracker.queued(copy.region, copy.stamp, this.#options.session.streamFrames)
  }

  /** Sends a run of entries. True if the stream moved. */
  #sendEntries(): boolean {
    if (this.#at >= this.#batch.length && !this.#fetch()) {
      this.#flushSkip()
      this.#options.verifier.stands(this.#point.lsn)
      return false
    }
    const { session, verifier, pacer } = this.#options
    const credit = session.creditBytes
    const { runBytes, runFrames } = pacer
    let end: LogPosition = -1
    let hole: LogHole | null = null
    let asked = false
    this.#stopped = false
    while (this.#at < this.#batch.length) {
      const item = this.#batch[this.#at] as Item
      if (!('frame' in item)) {
        hole = item
        break
      }
      const { frame } = item
      const asks = verifier.meets(frame)
      if (asks === 'ask-first') {
        asked = true
        break
      }
      const verdict = asks === 'wait' ? 'stop' : this.#judge(frame)
      if (verdict === 'stop') {
        this.#stopped = true
        break
      }
      if (verdict === 'send') {
        const bytes = frameBytes(frame) + FRAME_HEADER_BYTES
        if (this.#outBytes + bytes > credit || this.#outBytes >= runBytes || this.#out.length >= runFrames) break
        this.#queueSkip()
        this.#out.push(frame)
        this.#outBytes += frameBytes(frame)
        this.entriesSent += 1
      } else {
        if (this.#skipFrom === 0) this.#skipFrom = frame.lsn
        if ((frame.flags & FrameFlag.flushBefore) !== 0) this.#skipFlushes = true
        this.entriesSkipped += 1
      }
      this.#point = { incarnation: frame.incarnation, lsn: frame.lsn }
      end = item.end
      this.#at += 1
    }
    const moved = end >= 0
    this.#entryBytesBeforeCopy = Math.max(0, this.#entryBytesBeforeCopy - this.#outBytes)
    if (this.#stopped || hole !== null) this.#queueSkip()
    this.#sendOut()
    verifier.stands(this.#point.lsn)
    if (moved) this.#options.passed(this.#point.lsn, end)
    if (hole !== null) {
      this.close()
      this.#options.hole(hole)
    }
    return moved || asked
  }

  #judge(frame: Frame): 'send' | 'skip' | 'stop' {
    if (frame.type === FrameType.marker) return 'send'
    const device = this.#options.device(frame.deviceId)
    if (device === undefined) return 'skip'
    const { since, tracker } = device
    if (frame.incarnation < since.incarnation || (frame.incarnation === since.incarnation && frame.lsn <= since.lsn))
      return 'skip'
    if (tracker === null) return 'send'
    const verdict = tracker.judge(frame.offset, frame.length)
    if (verdict !== 'stop') tracker.unblock()
    return verdict
  }

  /** Takes the next entries from the log. False if there are none now; a later pump finds them. */
  #fetch(): boolean {
    if (this.#fetching) return false
    const next = this.#cursor.next(FEED_BYTES_MAX)
    if (next === null) return false
    if (!(next instanceof Promise)) return this.#take(next)
    this.#fetching = true
    next.then(
      (items) => {
        this.#fetching = false
        if (this.#closed) return
        if (items !== null && this.#take(items)) return this.pump()
        // There was none: copies that gave way to it go on.
        this.#entryBytesBeforeCopy = 0
        if (this.#options.copier.peek() !== null) this.pump()
      },
      (error: Error) => {
        this.#fetching = false
        if (!this.#closed) this.#options.failed(error)
      },
    )
    return false
  }

  #take(items: readonly Item[]): boolean {
    this.#batch = items
    this.#at = 0
    const first = items[0]
    if (first !== undefined && 'frame' in first) this.#options.taken(first.frame)
    return items.length > 0
  }

  /** Puts a pending skip in front of what follows. */
  #queueSkip(): void {
    if (this.#skipFrom === 0) return
    const flags = this.#skipFlushes ? FrameFlag.flushBefore : 0
    const frame = this.#encode({ type: FrameType.skip, flags, aux: this.#skipFrom }, null)
    this.#skipFrom = 0
    this.#skipFlushes = false
    this.#out.push(frame)
    this.#outBytes += frameBytes(frame)
  }

  #flushSkip(): void {
    if (this.#skipFrom === 0 || this.#options.session.creditBytes < STEP_BYTES) return
    this.#queueSkip()
    this.#sendOut()
  }

  #sendOne(fields: FrameFields, payload: Buffer | null): void {
    const frame = this.#encode(fields, payload)
    this.#out.push(frame)
    this.#outBytes += frameBytes(frame)
    this.#sendOut()
  }

  #encode(fields: FrameFields, payload: Buffer | null): Frame {
    const { log } = this.#options
    const { incarnation, lsn } = this.#point
    return encodeFrame(
      { ...fields, lsn, incarnation, logId: log.identity, durableLsn: Math.min(log.durableLsn, lsn) },
      payload,
    )
  }

  #sendOut(): void {
    if (this.#out.length === 0) return
    const frames = this.#out
    const bytes = this.#outBytes
    this.#out = []
    this.#outBytes = 0
    const { session, pacer } = this.#options
    const before = session.sentBytes
    session.sendFrames(frames)
    pacer.sent(frames.length, bytes, session.sentBytes - before)
  }
}
