/**
 * The transmission phase of one connection, without its socket.
 *
 * Chunks come in, requests go to the export, replies go out, once in a turn of the event loop for all that were answered
 * in it. A request enters only when `Admission` has room for it; until then nothing more is taken from the socket, and
 * requests that are in keep moving. Never answers a request that the device has not, and never answers one twice.
 *
 *   chunk ─► header ─► judge ─► admit ─► payload ─► device ─► reply batch ─► socket
 *                        │        └─ no room: pause, try again in a later turn
 *                        └─ refused: skip the payload ─► reply batch
 */
import { Admission, type WaitReason } from './admission.js'
import { assert } from './assert.js'
import type { BudgetShare } from './byte-budget.js'
import { ByteReader } from './byte-reader.js'
import { Command, REQUEST_HEADER_BYTES } from './constants.js'
import { type Extent, NbdErrno } from './export.js'
import { FILL_BYTES_MAX, type NbdLimits, REPLY_OVERHEAD_BYTES } from './limits.js'
import { PendingRequest, type RequestOwner } from './pending-request.js'
import { cutExtents, ReplyBatch } from './reply-batch.js'
import { judge, operationOf, type Refusal, RequestHeader, refusals, type Rules, rulesOf } from './request.js'
import type { Session } from './session.js'

/** The socket as the transmission phase sees it. */
export interface Wire {
  /** Sends chunks, in order; `onSent` is called with their bytes when the operating system has them. */
  send(chunks: readonly Buffer[], bytes: number): void
  /** Stops, or goes on with, calling `receive`. */
  pause(): void
  resume(): void
  /** Runs `turn` once before the event loop waits again, and never inside this call. */
  defer(turn: () => void): void
  /** Runs `turn` once as soon as the code that runs now has come to its end, and never inside this call. */
  promptly(turn: () => void): void
  /** All is said: closes once everything has been sent. */
  finish(reason: string): void
  /** The client broke the protocol: closes at once. */
  fail(reason: string): void
  /** After `onLost`: the device has answered the last request of this connection. */
  settled(): void
}

type Step = 'header' | 'admit' | 'payload' | 'skip' | 'over'

export class Transmission implements RequestOwner {
  readonly session: Session
  readonly #limits: NbdLimits
  readonly #rules: Rules
  readonly #wire: Wire
  readonly #admission: Admission
  readonly #reader = new ByteReader()
  readonly #header = new RequestHeader()
  readonly #batch = new ReplyBatch()
  readonly #turn = (): void => {
    this.#turnDue = false
    this.#onTurn()
  }
  readonly #promptTurn = (): void => {
    this.#promptTurnDue = false
    this.#onTurn()
  }

  #step: Step = 'header'
  /** Of the request being admitted or skipped; null: it may go to the device. */
  #refusal: Refusal | null = null
  #waiting: WaitReason | null = null
  #paused = false
  #turnDue = false
  #promptTurnDue = false
  /** Set once the connection takes no more requests; the reason it will close with. */
  #ending: string | null = null
  #shuttingDown = false
  /** The socket is gone: answers are only counted. */
  #lost = false
  #finished = false
  /** Encoded, and not yet taken by the operating system. */
  #unsentBytes = 0
  #requestCount = 0
  #readBytes = 0
  #writtenBytes = 0

  constructor(session: Session, limits: NbdLimits, wire: Wire, payload: BudgetShare, reply: BudgetShare) {
    this.session = session
    this.#limits = limits
    this.#rules = rulesOf(session, limits)
    this.#wire = wire
    this.#admission = new Admission(limits, payload, reply)
  }

  /** Requests between admission and answer. */
  get requestsInFlight(): number {
    return this.#admission.requestsInFlight
  }

  get unsentBytes(): number {
    return this.#unsentBytes
  }

  get waiting(): WaitReason | null {
    return this.#waiting
  }

  /** It takes no more requests, or only to refuse them. */
  get ending(): boolean {
    return this.#ending !== null
  }

  /** Since the connection began: requests answered, bytes read from and written to the export. */
  get totals(): { readonly requestCount: number; readonly readBytes: number; readonly writtenBytes: number } {
    return { requestCount: this.#requestCount, readBytes: this.#readBytes, writtenBytes: this.#writtenBytes }
  }

  /** Where the next bytes of the client may be read into. */
  room(): Buffer {
    return this.#reader.room(this.#step === 'payload' ? this.#header.length : 0)
  }

  /** The next bytes of the client. Not to be called while the wire is paused. */
  receive(chunk: Buffer): void {
    if (this.#step === 'over' || chunk.length === 0) return
    this.#reader.feed(chunk)
    this.#run()
  }

  /** The client sends no more; what it has sent is still answered. */
  receiveEnd(): void {
    this.#ending ??= 'the client closed the connection without saying so'
    this.#schedule()
  }

  /** From now on requests are answered with ESHUTDOWN; closes when those in flight are answered. */
  shutDown(): void {
    this.#shuttingDown = true
    this.#ending ??= 'the server is shutting down'
    this.#schedule()
  }

  /** The socket is gone. Requests in flight stay with the device until it answers. */
  onLost(): void {
    if (this.#lost) return
    this.#lost = true
    this.#stop()
    this.#batch.take()
    this.#admission.giveReply(this.#unsentBytes)
    this.#unsentBytes = 0
  }

  /** The operating system has taken `bytes` of replies. */
  onSent(bytes: number): void {
    if (this.#lost) return
    this.#unsentBytes -= bytes
    assert(this.#unsentBytes >= 0, 'more replies were sent than encoded')
    this.#admission.giveReply(bytes)
    if (this.#waiting !== null || this.#ending !== null) this.#schedule()
  }

  /** A budget has room again. */
  wake(): void {
    if (this.#waiting !== null) this.#schedule()
  }

  onCompleted(request: PendingRequest, errno: NbdErrno | 0): void {
    const before = this.#settle(request)
    if (before < 0) return
    if (errno === 0) this.#batch.simple(request, 0)
    else this.#error(request, this.#sanitize(request, errno), 'the device refused or failed the request')
    if (errno === 0 && request.payload !== null) this.#writtenBytes += request.length
    this.#replied(before, request.replyBytes, true)
  }

  onRead(request: PendingRequest, pieces: readonly Buffer[]): void {
    const before = this.#settle(request)
    if (before < 0) return
    if (this.session.structured) this.#batch.data(request, request.offset, request.length, pieces)
    else this.#batch.simpleData(request, pieces)
    this.#readBytes += request.length
    this.#replied(before, request.replyBytes)
  }

  onFill(request: PendingRequest, fill: (into: Buffer) => boolean): boolean {
    // Nobody reads a reply on a lost connection: it is counted where all the others are.
    if (this.#lost || request.length > FILL_BYTES_MAX) return false
    const before = this.#batch.bytes
    const { offset, length } = request
    const filled = this.session.structured
      ? this.#batch.fillData(request, offset, length, fill)
      : this.#batch.fillSimpleData(request, length, fill)
    if (!filled) return false
    this.#settle(request)
    this.#readBytes += length
    this.#replied(before, request.replyBytes)
    return true
  }

  onStatus(request: PendingRequest, extents: readonly Extent[]): void {
    const before = this.#settle(request)
    if (before < 0) return
    this.#batch.status(request, cutExtents(extents, request.length, request.one, this.#limits.extentCountMax))
    this.#replied(before, request.replyBytes)
  }

  /** Gives back the request's place and payload. Returns the size of the batch, or -1 when nobody waits for a reply. */
  #settle(request: PendingRequest): number {
    this.#admission.leave(request.payload === null ? 0 : request.length)
    this.#requestCount++
    if (!this.#lost) return this.#batch.bytes
    this.#admission.giveReply(request.replyBytes)
    if (this.#admission.requestsInFlight === 0) this.#wire.settled()
    return -1
  }

  /**
   * A reply has been encoded: what it did not need of its reservation goes back. `prompt`: those that are answered with
   * it are answered in the same job, so that the socket need not wait for others.
   */
  #replied(before: number, reservedBytes: number, prompt = false): void {
    const bytes = this.#batch.bytes - before
    assert(bytes <= reservedBytes, 'a reply is larger than its reservation')
    this.#unsentBytes += bytes
    this.#admission.giveReply(reservedBytes - bytes)
    if (prompt) this.#schedulePromptly()
    else this.#schedule()
  }

  #error(to: PendingRequest | RequestHeader, errno: number, sentence: string): void {
    if (this.session.structured) this.#batch.error(to, errno, sentence)
    else this.#batch.simple(to, errno)
  }

  /** ENOTSUP is for fast zeroes only; clients take it elsewhere for a lost feature. */
  #sanitize(request: PendingRequest, errno: NbdErrno): NbdErrno {
    return errno === NbdErrno.ENOTSUP && !request.fastZero ? NbdErrno.EINVAL : errno
  }

  #schedule(): void {
    if (this.#turnDue || this.#lost) return
    this.#turnDue = true
    this.#wire.defer(this.#turn)
  }

  #schedulePromptly(): void {
    if (this.#promptTurnDue || this.#lost) return
    this.#promptTurnDue = true
    this.#wire.promptly(this.#promptTurn)
  }

  #onTurn(): void {
    if (this.#lost) return
    if (this.#waiting !== null) this.#run()
    if (this.#batch.bytes > 0) {
      const bytes = this.#batch.bytes
      this.#wire.send(this.#batch.take(), bytes)
    }
    this.#maybeFinish()
  }

  #maybeFinish(): void {
    if (this.#ending === null || this.#finished || this.#lost || this.#waiting !== null) return
    // A payload of which the rest will never come would keep the connection open for good.
    if (this.#step === 'payload' && !this.#shuttingDown) this.#stop()
    if (this.#admission.requestsInFlight > 0 || this.#batch.bytes > 0) return
    this.#finished = true
    this.#stop()
    this.#wire.finish(this.#ending)
  }

  /** Takes no more requests, and lets go of the one that was being received. */
  #stop(): void {
    if (this.#step === 'payload') {
      const { type, length } = this.#header
      this.#admission.leave(length)
      this.#admission.giveReply(this.#admission.replyBytesOf(type, length))
    }
    this.#step = 'over'
    this.#waiting = null
    this.#admission.stopWaiting()
    this.#reader.discard()
  }

  /** Takes requests out of the chunk until it is used up, or until one has to wait. */
  #run(): void {
    this.#waiting = null
    while (this.#advance());
    const pause = this.#waiting !== null || this.#step === 'over'
    if (pause === this.#paused || this.#lost) return
    this.#paused = pause
    if (pause) this.#wire.pause()
    else this.#wire.resume()
  }

  /** One step; false when it cannot go on now. */
  #advance(): boolean {
    switch (this.#step) {
      case 'header':
        return this.#reader.header(REQUEST_HEADER_BYTES) && this.#onHeader()
      case 'admit':
        return this.#refusal === null ? this.#admit() : this.#admitRefused()
      case 'payload': {
        const payload = this.#reader.take(this.#header.length)
        if (payload === null) return false
        this.#submit(payload)
        return true
      }
      case 'skip':
        if (!this.#reader.skipped()) return false
        this.#step = 'admit'
        return true
      case 'over':
        return false
    }
  }

  #onHeader(): boolean {
    const header = this.#header
    if (!header.parse(this.#reader.view, this.#reader.at)) {
      this.#stop()
      this.#wire.fail('a request does not begin with the magic of requests')
      return false
    }
    if (header.type === Command.DISC) {
      this.#stop()
      this.#ending = 'the client said goodbye'
      this.#schedule()
      return false
    }
    this.#refusal = this.#shuttingDown ? refusals.shutdown : judge(header, this.#rules)
    this.#step = 'admit'
    if (this.#refusal === null || header.type !== Command.WRITE) return true
    if (header.length > this.#limits.drainBytesMax) {
      this.#stop()
      this.#wire.fail(`a refused write announces ${header.length} bytes of payload`)
      return false
    }
    this.#reader.skip(header.length)
    this.#step = 'skip'
    return true
  }

  #admitRefused(): boolean {
    const refused = this.#refusal
    assert(refused !== null, 'a refusal has a reason')
    this.#waiting = this.#admission.enterRefused()
    if (this.#waiting !== null) return false
    const before = this.#batch.bytes
    this.#error(this.#header, refused.errno, refused.sentence)
    this.#requestCount++
    this.#replied(before, REPLY_OVERHEAD_BYTES)
    this.#step = 'header'
    return true
  }

  #admit(): boolean {
    const { type, length } = this.#header
    this.#waiting = this.#admission.enter(type, length)
    if (this.#waiting !== null) return false
    if (type === Command.WRITE) this.#step = 'payload'
    else this.#submit(null)
    return true
  }

  #submit(payload: Buffer | null): void {
    const operation = operationOf(this.#header.type)
    assert(operation !== null, 'a request that was admitted has an operation')
    const replyBytes = this.#admission.replyBytesOf(this.#header.type, this.#header.length)
    const request = new PendingRequest(this, this.#header, operation, payload, replyBytes)
    // Before the export may answer: an answer inside `submit` must find this request already taken in.
    this.#step = 'header'
    this.session.export.submit(request)
  }
}
