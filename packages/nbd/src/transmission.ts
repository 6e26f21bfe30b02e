/**
 * The transmission phase of one connection, without its socket.
 *
 * Chunks come in, requests go to the export, replies go out, once in a turn of the event loop for all that were answered
 * in it. Owns the reservations of the connection: a request enters only when there is a place for it, room for its
 * payload and room for its reply; until then nothing more is taken from the socket. What was reserved is given back when
 * the device has answered (place, payload) and when the socket has taken the reply (reply). Requests that are in keep
 * moving while the next one waits. Never answers a request that the device has not, and never answers one twice.
 *
 *   chunk ─► header ─► judge ─► admit ─► payload ─► device ─► reply batch ─► socket
 *                        │        └─ no room: pause, try again in a later turn
 *                        └─ refused: skip the payload ─► reply batch
 */
import { assert } from './assert.js'
import type { BudgetShare } from './byte-budget.js'
import { ByteReader } from './byte-reader.js'
import { Command, REQUEST_HEADER_BYTES } from './constants.js'
import { type Extent, NbdErrno } from './export.js'
import { type NbdLimits, REPLY_OVERHEAD_BYTES } from './limits.js'
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
  /** All is said: closes once everything has been sent. */
  finish(reason: string): void
  /** The client broke the protocol: closes at once. */
  fail(reason: string): void
  /** After `onLost`: the device has answered the last request of this connection. */
  settled(): void
}

/** Why the next request has to wait. */
export type WaitReason = 'requests' | 'payload-bytes' | 'reply-bytes'

type Step = 'header' | 'admit' | 'payload' | 'skip' | 'over'

export class Transmission implements RequestOwner {
  readonly session: Session
  readonly #limits: NbdLimits
  readonly #rules: Rules
  readonly #wire: Wire
  readonly #payloadShare: BudgetShare
  readonly #replyShare: BudgetShare
  readonly #reader = new ByteReader()
  readonly #header = new RequestHeader()
  readonly #batch = new ReplyBatch()
  readonly #turn = (): void => this.#onTurn()

  #step: Step = 'header'
  /** Of the request being admitted or skipped; null: it may go to the device. */
  #refusal: Refusal | null = null
  /** Reserved for the request whose payload is being received. */
  #replyBytes = 0
  #waiting: WaitReason | null = null
  #paused = false
  #turnDue = false
  /** Set once the connection takes no more requests; the reason it will close with. */
  #ending: string | null = null
  #shuttingDown = false
  /** The socket is gone: answers are only counted. */
  #lost = false
  #finished = false
  #requestsInFlight = 0
  #writesInFlight = 0
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
    this.#payloadShare = payload
    this.#replyShare = reply
  }

  /** Requests between admission and answer. */
  get requestsInFlight(): number {
    return this.#requestsInFlight
  }

  get unsentBytes(): number {
    return this.#unsentBytes
  }

  get waiting(): WaitReason | null {
    return this.#waiting
  }

  /** Since the connection began: requests answered, bytes read from and written to the export. */
  get totals(): { readonly requestCount: number; readonly readBytes: number; readonly writtenBytes: number } {
    return { requestCount: this.#requestCount, readBytes: this.#readBytes, writtenBytes: this.#writtenBytes }
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
    this.#replyShare.give(this.#unsentBytes)
    this.#unsentBytes = 0
  }

  /** The operating system has taken `bytes` of replies. */
  onSent(bytes: number): void {
    if (this.#lost) return
    this.#unsentBytes -= bytes
    assert(this.#unsentBytes >= 0, 'more replies were sent than encoded')
    this.#replyShare.give(bytes)
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
    this.#replied(before, request.replyBytes)
  }

  onRead(request: PendingRequest, pieces: readonly Buffer[]): void {
    const before = this.#settle(request)
    if (before < 0) return
    if (this.session.structured) this.#batch.data(request, request.offset, request.length, pieces)
    else this.#batch.simpleData(request, pieces)
    this.#readBytes += request.length
    this.#replied(before, request.replyBytes)
  }

  onStatus(request: PendingRequest, extents: readonly Extent[]): void {
    const before = this.#settle(request)
    if (before < 0) return
    this.#batch.status(request, cutExtents(extents, request.length, request.one, this.#limits.extentCountMax))
    this.#replied(before, request.replyBytes)
  }

  /** Gives back the request's place and payload. Returns the size of the batch, or -1 when nobody waits for a reply. */
  #settle(request: PendingRequest): number {
    this.#leave(request.payload === null ? 0 : request.length)
    this.#requestCount++
    if (!this.#lost) return this.#batch.bytes
    this.#replyShare.give(request.replyBytes)
    if (this.#requestsInFlight === 0) this.#wire.settled()
    return -1
  }

  #leave(payloadBytes: number): void {
    this.#requestsInFlight--
    if (payloadBytes === 0) return
    this.#writesInFlight--
    this.#payloadShare.give(payloadBytes)
  }

  /** A reply has been encoded: what it did not need of its reservation goes back. */
  #replied(before: number, reservedBytes: number): void {
    const bytes = this.#batch.bytes - before
    assert(bytes <= reservedBytes, 'a reply is larger than its reservation')
    this.#unsentBytes += bytes
    if (bytes < reservedBytes) this.#replyShare.give(reservedBytes - bytes)
    this.#schedule()
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

  #onTurn(): void {
    this.#turnDue = false
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
    if (this.#requestsInFlight > 0 || this.#batch.bytes > 0) return
    this.#finished = true
    this.#stop()
    this.#wire.finish(this.#ending)
  }

  /** Takes no more requests, and lets go of the one that was being received. */
  #stop(): void {
    if (this.#step === 'payload') {
      this.#leave(this.#header.length)
      this.#replyShare.give(this.#replyBytes)
    }
    this.#step = 'over'
    this.#waiting = null
    this.#payloadShare.leave()
    this.#replyShare.leave()
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
    if (!this.#replyShare.tryTake(REPLY_OVERHEAD_BYTES)) return this.#wait('reply-bytes')
    const before = this.#batch.bytes
    this.#error(this.#header, refused.errno, refused.sentence)
    this.#requestCount++
    this.#replied(before, REPLY_OVERHEAD_BYTES)
    this.#step = 'header'
    return true
  }

  #admit(): boolean {
    const { type, length } = this.#header
    const writes = type === Command.WRITE
    const { requestsInFlightMax, writesInFlightMax } = this.#limits
    if (this.#requestsInFlight >= requestsInFlightMax) return this.#wait('requests')
    if (writes && this.#writesInFlight >= writesInFlightMax) return this.#wait('requests')
    if (writes && !this.#payloadShare.tryTake(length)) return this.#wait('payload-bytes')
    this.#replyBytes = this.#replyBytesOf(type, length)
    if (!this.#replyShare.tryTake(this.#replyBytes)) {
      if (writes) this.#payloadShare.give(length)
      return this.#wait('reply-bytes')
    }
    this.#requestsInFlight++
    if (writes) {
      this.#writesInFlight++
      this.#step = 'payload'
    } else {
      this.#submit(null)
    }
    return true
  }

  /** The most that the reply to a request can take. */
  #replyBytesOf(type: number, length: number): number {
    if (type === Command.READ) return length + REPLY_OVERHEAD_BYTES
    if (type === Command.BLOCK_STATUS) return this.#limits.extentCountMax * 8 + REPLY_OVERHEAD_BYTES
    return REPLY_OVERHEAD_BYTES
  }

  #wait(reason: WaitReason): false {
    this.#waiting = reason
    return false
  }

  #submit(payload: Buffer | null): void {
    const operation = operationOf(this.#header.type)
    assert(operation !== null, 'a request that was admitted has an operation')
    const request = new PendingRequest(this, this.#header, operation, payload, this.#replyBytes)
    // Before the export may answer: an answer inside `submit` must find this request already taken in.
    this.#step = 'header'
    this.session.export.submit(request)
  }
}
