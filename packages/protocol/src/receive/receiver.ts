/**
 * The input of one session: frames that were checked for damage go, in order and within their device, into the journal.
 *
 * Owns the frames that are received and not yet in the journal; credit bounds them. A frame that breaks the order or
 * leaves its device ends the session, and nothing of it is kept. Frames that change what the agent must know durably
 * (map, unmap, resync-begin) are a barrier: everything behind them waits until that is done. A journal without room is
 * waited for. Invariant: the journal gets the frames of the stream, all of them, each once, and nothing else.
 */
import { reasonOf } from './reason.js'
import type { Clock } from '../entry/clock.js'
import { frameBytes, FrameType, type Frame } from '../entry/index.js'
import { CreditWindow } from '../session/credit.js'
import { APPEND_FRAMES_MAX } from '../limits.js'
import { grantableWindow } from './credit-grant.js'
import type { StreamOrder } from './order-check.js'
import { rangeProblem, type StreamDevice } from './range-check.js'

/** What the receiver needs of the agent. */
export interface ReceiverHost {
  /** What the stream may touch of a device, as of the last frame that was received; null where it is not mapped. */
  device(deviceId: number): StreamDevice | null
  /** Makes durable what a barrier frame changes. Rejects where the frame cannot be taken. */
  barrier(frame: Frame): Promise<void>
  hasRoom(payloadBytes: number): boolean
  append(frame: Frame): void
  readonly journalFreeBytes: number
  readonly journalReserveBytes: number
  readonly windowBytesMax: number
  /** The session ends with a fatal error of this kind. */
  refuseFrame(code: string, message: string): void
  /** Raises the total of bytes that may be sent since `ready`. */
  grant(totalBytes: number): void
}

/** See the head of this file. */
export class Receiver {
  readonly #host: ReceiverHost
  readonly #order: StreamOrder
  readonly #window: CreditWindow
  readonly #clock: Clock
  #queue: Frame[] = []
  #head = 0
  #queuedBytes = 0
  #barrier: Promise<void> | null = null
  #pumpAsked = false
  #closed = false
  #rttMs: number | null = null

  constructor(host: ReceiverHost, order: StreamOrder, window: CreditWindow, clock: Clock) {
    this.#host = host
    this.#order = order
    this.#window = window
    this.#clock = clock
  }

  /** Frames that are received and not in the journal. */
  get queuedFrames(): number {
    return this.#queue.length - this.#head
  }

  /** Their bytes. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  get order(): StreamOrder {
    return this.#order
  }

  /** Takes a frame of the stream. */
  take(frame: Frame): void {
    if (this.#closed) return
    this.#queue.push(frame)
    this.#queuedBytes += frameBytes(frame)
  }

  /** What was taken goes into the journal, as far as it has room. Call it at the end of a batch, and when room was freed. */
  pump(): void {
    let count = 0
    while (!this.#closed && this.#barrier === null && this.#head < this.#queue.length) {
      const frame = this.#queue[this.#head] as Frame
      const payloadBytes = frame.payload === null ? 0 : frame.payload.length
      if (!this.#host.hasRoom(payloadBytes)) break
      if (count++ === APPEND_FRAMES_MAX) return this.#askPump()
      if (isBarrier(frame)) this.#beginBarrier(frame)
      else if (this.#check(frame)) this.#append(frame)
    }
    this.maybeGrant()
  }

  /** Bytes that were appended are in the journal's file: they are out of this session's memory. */
  written(bytes: number): void {
    this.#window.consume(bytes)
    this.#window.measure(this.#clock.nowMs(), this.#rttMs)
    this.maybeGrant()
  }

  /** Round trip of the session as measured by its heartbeats. */
  noteRtt(rttMs: number | null): void {
    this.#rttMs = rttMs
  }

  /** Grants what may be granted now. */
  maybeGrant(): void {
    if (this.#closed) return
    const { journalFreeBytes, journalReserveBytes: reserveBytes, windowBytesMax } = this.#host
    const windowBytes = grantableWindow({ journalFreeBytes, reserveBytes, windowBytesMax })
    if (windowBytes === 0) return
    this.#window.limit(windowBytes)
    const total = this.#window.grantDue()
    if (total !== null) this.#host.grant(total)
  }

  /** The session is over: what is not in the journal is thrown away. Resolves when no barrier is under way. */
  async close(): Promise<void> {
    this.#closed = true
    this.#queue = []
    this.#head = 0
    this.#queuedBytes = 0
    await this.#barrier
  }

  #askPump(): void {
    if (this.#pumpAsked) return
    this.#pumpAsked = true
    this.#clock.soon(() => {
      this.#pumpAsked = false
      this.pump()
    })
  }

  #check(frame: Frame): boolean {
    // The range comes first: only a frame that is good in every way may move the place in the stream.
    const problem = rangeProblem(frame, this.#host.device(frame.deviceId)) ?? this.#order.pass(frame)
    if (problem === null) return true
    this.#refuse('order', problem)
    return false
  }

  #append(frame: Frame): void {
    this.#shift(frame)
    this.#host.append(frame)
  }

  #beginBarrier(frame: Frame): void {
    if (!this.#check(frame)) return
    this.#barrier = this.#host.barrier(frame).then(
      () => {
        this.#barrier = null
        if (this.#closed) return
        // Room does not shrink while nothing is appended: the journal failed meanwhile.
        if (!this.#host.hasRoom(frame.payload === null ? 0 : frame.payload.length))
          return this.#refuse('failed', 'the journal takes nothing any more')
        this.#append(frame)
        this.pump()
      },
      (error: unknown) => {
        this.#barrier = null
        this.#refuse('failed', reasonOf(error))
      },
    )
  }

  #refuse(code: string, message: string): void {
    if (this.#closed) return
    this.#closed = true
    this.#queue = []
    this.#head = 0
    this.#queuedBytes = 0
    this.#host.refuseFrame(code, message)
  }

  #shift(frame: Frame): void {
    this.#head++
    this.#queuedBytes -= frameBytes(frame)
    if (this.#head === this.#queue.length) {
      this.#queue = []
      this.#head = 0
    } else if (this.#head >= APPEND_FRAMES_MAX) {
      this.#queue = this.#queue.slice(this.#head)
      this.#head = 0
    }
  }
}

function isBarrier({ type }: Frame): boolean {
  return type === FrameType.map || type === FrameType.unmap || type === FrameType.resyncBegin
}
