/**
 * One request on its way through the device.
 *
 * Owns the answer: exactly one of the three `complete` methods succeeds, and only once; a second call is a bug of the
 * device and throws. The object is made for one request and never used for another. A pool would save little (a short
 * life costs the collector nothing) and would turn a late second answer to one request into an answer to another.
 */
import { assert } from './assert.js'
import { CommandFlag } from './constants.js'
import type { Extent, NbdErrno, NbdOperation, NbdRequest } from './export.js'
import type { Cookie } from './reply-batch.js'
import type { RequestHeader } from './request.js'

/** Whom a request reports its answer to. */
export interface RequestOwner {
  onCompleted(request: PendingRequest, errno: NbdErrno | 0): void
  onRead(request: PendingRequest, pieces: readonly Buffer[]): void
  onFill(request: PendingRequest, fill: (into: Buffer) => boolean): boolean
  onStatus(request: PendingRequest, extents: readonly Extent[]): void
}

export class PendingRequest implements NbdRequest, Cookie {
  readonly operation: NbdOperation
  readonly offset: number
  readonly length: number
  readonly fua: boolean
  readonly noHole: boolean
  readonly fastZero: boolean
  readonly payload: Buffer | null
  readonly cookieHigh: number
  readonly cookieLow: number
  /** `block-status`: the client wants one extent only. */
  readonly one: boolean
  /** Reply bytes that were reserved for it. */
  readonly replyBytes: number
  readonly #owner: RequestOwner
  #answered = false

  constructor(
    owner: RequestOwner,
    header: RequestHeader,
    operation: NbdOperation,
    payload: Buffer | null,
    replyBytes: number,
  ) {
    const { flags } = header
    this.operation = operation
    this.offset = header.offset
    this.length = header.length
    this.fua = (flags & CommandFlag.FUA) !== 0
    this.noHole = (flags & CommandFlag.NO_HOLE) !== 0
    this.fastZero = (flags & CommandFlag.FAST_ZERO) !== 0
    this.payload = payload
    this.cookieHigh = header.cookieHigh
    this.cookieLow = header.cookieLow
    this.one = (flags & CommandFlag.REQ_ONE) !== 0
    this.replyBytes = replyBytes
    this.#owner = owner
  }

  complete(errno: NbdErrno | 0): void {
    if (errno === 0) {
      assert(this.operation !== 'read' && this.operation !== 'block-status', 'this operation is answered with its data')
    }
    this.#answer()
    this.#owner.onCompleted(this, errno)
  }

  completeRead(pieces: readonly Buffer[]): void {
    assert(this.operation === 'read', 'only a read is answered with data')
    let bytes = 0
    for (const piece of pieces) bytes += piece.length
    assert(bytes === this.length, 'the pieces of a read must add up to its length')
    this.#answer()
    this.#owner.onRead(this, pieces)
  }

  fillRead(fill: (into: Buffer) => boolean): boolean {
    assert(this.operation === 'read' && !this.#answered, 'only a read that waits is filled')
    if (!this.#owner.onFill(this, fill)) return false
    this.#answered = true
    return true
  }

  completeStatus(extents: readonly Extent[]): void {
    assert(this.operation === 'block-status', 'only a block status is answered with extents')
    assert(extents.length > 0, 'a block status has at least one extent')
    for (const extent of extents) assert(extent.length > 0, 'an extent is not empty')
    this.#answer()
    this.#owner.onStatus(this, extents)
  }

  #answer(): void {
    assert(!this.#answered, 'a request was answered twice')
    this.#answered = true
  }
}
