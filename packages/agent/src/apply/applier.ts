/**
 * Moves frames from the journal to the devices: the only reader of the journal, and the only one that notes to write-back.
 *
 * Owns the cursor and the decision how far it goes. A frame is handed to write-back only when {@link mayApply} lets it,
 * because what is noted there can never be taken back: so a cut of the journal never concerns write-back. Frames are
 * handed over in order; an unmap waits until its device is done; a look at a place in the order holds all behind it until
 * it is over, and waits itself for a freeze that is wanted. Invariant: nothing above the limit reaches a device, and while it is frozen nothing at all does, once the
 * freeze has been answered.
 *
 *   journal  |======= noted =======|--- waits for the limit ---|        receiver appends here
 *                     applied ^     ^ cursor
 */
import { assert, FrameType, type Clock, type Frame, type LogPoint, type LogPosition } from '@sitelink/protocol'
import type { LogCursor, LogEntry, LogHole, WriteBack } from '@sitelink/storage'
import { isVoidCopy, mayApply, type ApplyLimit, type VoidCopies } from './apply-limit.js'
import { markBehind, type Mark } from '../journal/marks.js'

/** What the applier asks of its surroundings. */
export interface ApplierHost {
  /** How far frames may be applied now. */
  limit(): ApplyLimit
  voids(): readonly VoidCopies[]
  /** A cursor of the journal at a position. */
  cursor(position: LogPosition): LogCursor
  /** A `map` frame is next: its device is attached before anything of it is noted. */
  mapped(frame: Frame): void
  /** An `unmap` frame is next: resolves when everything of its device is applied and the device let go. */
  unmapped(frame: Frame): Promise<void>
  /** The cursor passed some frames: where the last one ends, and what it stands for. */
  passed(mark: Mark): void
  /** The frame at the cursor may not be applied yet. */
  limitWanted(frame: Frame): void
  /** The journal cannot be read at the cursor: nothing is applied any more. Called once. */
  damaged(position: LogPosition, why: string): void
}

/** Whether frames are passed on: `frozen` by an export, `cutting` while the journal is being cut. */
type Flow = 'flowing' | 'frozen' | 'cutting'

/** Somebody looks at the devices as they are behind so many frames of the session. */
interface Look {
  readonly frames: number
  /** Nothing is passed until it resolves. Never rejects. */
  readonly run: () => Promise<void>
}

/** Bytes that are passed in one turn of the event loop. */
const TURN_BYTES_MAX = 4 * 1024 * 1024

/** See the head of this file. One for each life of the journal. */
export class Applier {
  readonly #host: ApplierHost
  readonly #writeBack: WriteBack
  readonly #clock: Clock
  readonly #readBytes: number
  #cursor: LogCursor
  /** Entries that were read and not passed yet, and the next one of them. */
  #batch: readonly (LogEntry | LogHole)[] = []
  #next = 0
  /** The last frame that was passed. */
  #mark: Mark
  #frames = 0
  /** Frames at or above it belong to the present session. */
  #countFrom = Number.POSITIVE_INFINITY
  #flow: Flow = 'flowing'
  /** Frozen once the cut is over. */
  #frozen = false
  /** Where the last mark was made. */
  #toldPosition: LogPosition
  #pumping = false
  #pumped: Promise<void> = Promise.resolve()
  /** Something happened while the pump waited: look again. */
  #again = false
  /** In order of their places, none of which was passed. */
  #looks: Look[] = []
  /** So many wait until all that may be passed is passed, with its payload in memory or without. */
  #settling = 0
  #stopped = false
  #damaged = false
  /** A freeze that somebody waits for or that stands; another one, or none, after a thaw. No look is taken meanwhile. */
  #freezeWish: object | null = null
  /** Changes when what a read brings is of no use any more. */
  #generation = 0

  constructor(host: ApplierHost, writeBack: WriteBack, start: Mark, clock: Clock, readBytes: number) {
    this.#host = host
    this.#writeBack = writeBack
    this.#clock = clock
    this.#readBytes = readBytes
    this.#mark = start
    this.#toldPosition = start.end
    this.#cursor = host.cursor(start.end)
  }

  /** Behind the last frame that was passed to write-back. */
  get position(): LogPosition {
    return this.#mark.end
  }

  /** The point of the last frame that was passed. */
  get point(): LogPoint {
    return this.#mark
  }

  get frozen(): boolean {
    return this.#frozen
  }

  /** Something may have changed: the journal grew, the limit rose, write-back has room. */
  wake(): void {
    this.#again = true
    if (this.#pumping || this.#stopped || this.#damaged) return
    this.#pumped = this.#run()
  }

  /** Frames from `position` on are counted, from zero: a session begins. */
  countFrom(position: LogPosition): void {
    this.#countFrom = position
    this.#frames = 0
    this.#mark = { ...this.#mark, frames: 0 }
  }

  /**
   * Runs `run` behind the first `frames` frames of the session, and passes none behind them before it is over. Asked for
   * before any of those is in the journal, and at later places than what was asked for before.
   */
  look(frames: number, run: () => Promise<void>): void {
    this.#looks.push({ frames, run })
    this.wake()
  }

  /** The session is over: nobody waits for a look any more. */
  dropLooks(): void {
    this.#looks = []
  }

  /** Nothing more is passed to write-back until {@link thaw}. What was passed goes on. */
  freeze(): void {
    this.#frozen = true
    if (this.#flow === 'flowing') this.#flow = 'frozen'
  }

  /**
   * Passes what may be passed up to the next look, then freezes. False if it was thawed meanwhile, and is not frozen then:
   * whoever gave up waiting would never thaw it.
   */
  async freezeSettled(): Promise<boolean> {
    const wish = (this.#freezeWish = {})
    await this.settled()
    if (this.#freezeWish !== wish) return false
    this.freeze()
    return true
  }

  thaw(): void {
    this.#frozen = false
    this.#freezeWish = null
    if (this.#flow === 'frozen') this.#flow = 'flowing'
    this.wake()
  }

  /** The journal is going to be cut at `position`, which is not below what was passed: reads nothing more of it. */
  beginCut(position: LogPosition): void {
    assert(position >= this.#mark.end, 'what was passed to write-back is never cut')
    this.#flow = 'cutting'
    this.#generation++
    this.#cursor.close()
    this.#batch = []
    this.#next = 0
  }

  /** The cut is durable. */
  endCut(): void {
    this.#cursor = this.#host.cursor(this.#mark.end)
    this.#flow = this.#frozen ? 'frozen' : 'flowing'
    this.wake()
  }

  /** Resolves when the frames that may be applied have been passed, or write-back takes no more for now. */
  async settled(): Promise<void> {
    this.#settling++
    try {
      this.wake()
      while (this.#pumping) await this.#pumped
    } finally {
      this.#settling--
    }
  }

  /** Passes nothing more; resolves when nothing is under way. Write-back is stopped before, by its owner. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#generation++
    if (this.#flow !== 'cutting') this.#cursor.close()
    await this.#pumped
  }

  async #run(): Promise<void> {
    this.#pumping = true
    try {
      await this.#passAll()
    } finally {
      this.#pumping = false
      // Whoever woke it between its last look and this line found it pumping.
      if (this.#again) this.wake()
    }
  }

  async #passAll(): Promise<void> {
    while (this.#again && !this.#stopped && !this.#damaged) {
      this.#again = false
      let turnFrom = this.#mark.end
      while (this.#flow === 'flowing') {
        const left = this.#next < this.#batch.length ? true : this.#readSome()
        const more = typeof left === 'boolean' ? left : await left
        if (this.#stopped || this.#damaged) break
        if (this.#lookIsDue(more)) {
          if (this.#freezeWish !== null) break
          await this.#takeLook()
          if (this.#stopped) break
          continue
        }
        if (!more) break
        const passed = this.#passBatch()
        const goesOn = typeof passed === 'boolean' ? passed : await passed
        this.#tell()
        if (!goesOn || this.#stopped) break
        if (this.#mark.end - turnFrom < TURN_BYTES_MAX) continue
        await new Promise<void>((resolve) => this.#clock.soon(resolve))
        turnFrom = this.#mark.end
      }
    }
  }

  /** The next look stands here: in front of the next frame, or where there is no more. */
  #lookIsDue(more: boolean): boolean {
    const look = this.#looks[0]
    if (look === undefined || look.frames > this.#frames) return false
    // Before the first frame of the session all of the sessions before it have to be passed.
    const next = this.#batch[this.#next]
    return next === undefined ? !more : next.position >= this.#countFrom
  }

  async #takeLook(): Promise<void> {
    const look = this.#looks.shift() as Look
    assert(look.frames === this.#frames, 'a look is taken at its place')
    await look.run()
  }

  /** Reads on. True if there is something to pass. */
  #readSome(): boolean | Promise<boolean> {
    let read: ReturnType<LogCursor['next']>
    try {
      read = this.#cursor.next(this.#readBytes)
    } catch (error) {
      return this.#unreadable(error)
    }
    if (!(read instanceof Promise)) return this.#took(read)
    const generation = this.#generation
    return read.then(
      (entries) => (generation === this.#generation ? this.#took(entries) : !this.#stopped),
      (error: unknown) => (generation === this.#generation ? this.#unreadable(error) : !this.#stopped),
    )
  }

  #took(entries: readonly (LogEntry | LogHole)[] | null): boolean {
    this.#batch = entries ?? []
    this.#next = 0
    return this.#batch.length > 0
  }

  #unreadable(error: unknown): boolean {
    this.#becomeDamaged(error instanceof Error ? error.message : String(error))
    return false
  }

  /** Passes what may be passed of the batch. True if all of it was. */
  #passBatch(): boolean | Promise<boolean> {
    while (this.#next < this.#batch.length) {
      const entry = this.#batch[this.#next] as LogEntry | LogHole
      if (!('frame' in entry)) {
        this.#becomeDamaged(`entries ${entry.firstLsn} to ${entry.lastLsn} cannot be read`)
        return false
      }
      const { frame } = entry
      if (this.#flow !== 'flowing') return false
      if (this.#lookIsDue(true)) return true
      const isVoid = isVoidCopy(frame, entry.position, this.#host.voids())
      if (!mayApply(frame, entry.end, this.#host.limit(), isVoid)) {
        this.#host.limitWanted(frame)
        return false
      }
      if (!this.#hasRoom(frame, isVoid)) return false
      if (frame.type === FrameType.unmap) return this.#passUnmap(entry)
      this.#pass(entry, isVoid)
    }
    return true
  }

  /**
   * What is noted without its payload is read from the journal once more: better to come back for it, unless somebody
   * waits for a place further on.
   */
  #hasRoom({ payload, type }: Frame, isVoid: boolean): boolean {
    const payloadBytes = payload === null ? 0 : payload.length
    if (!this.#writeBack.hasRoom(payloadBytes)) return false
    if (this.#settling > 0 || this.#looks.length > 0) return true
    const isData = !isVoid && (type === FrameType.write || type === FrameType.copy)
    return !isData || this.#writeBack.hasMemory(payloadBytes)
  }

  async #passUnmap(entry: LogEntry): Promise<boolean> {
    const generation = this.#generation
    await this.#host.unmapped(entry.frame)
    if (this.#stopped || generation !== this.#generation) return !this.#stopped
    this.#pass(entry, false)
    return true
  }

  #pass(entry: LogEntry, isVoid: boolean): void {
    const { frame, position, end } = entry
    this.#next++
    if (frame.type === FrameType.map) this.#host.mapped(frame)
    this.#writeBack.allow(end)
    this.#writeBack.note(isVoid ? { frame: asMarker(frame), position, end } : entry)
    if (position >= this.#countFrom) this.#frames++
    this.#mark = markBehind(this.#mark, frame, end, this.#frames)
  }

  #tell(): void {
    if (this.#mark.end === this.#toldPosition) return
    this.#toldPosition = this.#mark.end
    this.#host.passed(this.#mark)
  }

  #becomeDamaged(why: string): void {
    if (this.#damaged || this.#stopped) return
    this.#damaged = true
    this.#host.damaged(this.#mark.end, why)
  }
}

/** A copy that counts no more: its place in the order is all that is left of it. */
function asMarker(frame: Frame): Frame {
  return { ...frame, type: FrameType.marker, payload: null, memory: null }
}
