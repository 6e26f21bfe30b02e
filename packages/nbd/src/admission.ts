/**
 * What the requests of one connection hold: places, payload bytes, reply bytes.
 *
 * Owns the counts and the shares of the server's budgets. A request gets all that it needs or nothing: its place, room
 * for its whole payload and room for the largest reply that it can have. Place and payload come back when the device has
 * answered, reply bytes when the socket has taken them. Never lets in more than the limits say.
 */
import { assert } from './assert.js'
import type { BudgetShare } from './byte-budget.js'
import { Command } from './constants.js'
import { type NbdLimits, REPLY_OVERHEAD_BYTES } from './limits.js'

/** Why the next request has to wait. */
export type WaitReason = 'requests' | 'payload-bytes' | 'reply-bytes'

export class Admission {
  readonly #limits: NbdLimits
  readonly #payloadShare: BudgetShare
  readonly #replyShare: BudgetShare
  #requestsInFlight = 0
  #writesInFlight = 0

  constructor(limits: NbdLimits, payloadShare: BudgetShare, replyShare: BudgetShare) {
    this.#limits = limits
    this.#payloadShare = payloadShare
    this.#replyShare = replyShare
  }

  /** Requests between admission and answer. */
  get requestsInFlight(): number {
    return this.#requestsInFlight
  }

  /** Bytes: the most that the reply to a request can take. */
  replyBytesOf(type: number, length: number): number {
    if (type === Command.READ) return length + REPLY_OVERHEAD_BYTES
    if (type === Command.BLOCK_STATUS) return this.#limits.extentCountMax * 8 + REPLY_OVERHEAD_BYTES
    return REPLY_OVERHEAD_BYTES
  }

  /** Null: the request is in. Else nothing was taken, and it has to wait for what is named. */
  enter(type: number, length: number): WaitReason | null {
    const writes = type === Command.WRITE
    const { requestsInFlightMax, writesInFlightMax } = this.#limits
    if (this.#requestsInFlight >= requestsInFlightMax || (writes && this.#writesInFlight >= writesInFlightMax)) {
      this.stopWaiting()
      return 'requests'
    }
    if (writes && !this.#payloadShare.tryTake(length)) {
      // Others must not queue for replies behind a request that has to wait for something else.
      this.#replyShare.leave()
      return 'payload-bytes'
    }
    if (!this.#replyShare.tryTake(this.replyBytesOf(type, length))) {
      if (writes) this.#payloadShare.give(length)
      return 'reply-bytes'
    }
    this.#requestsInFlight++
    if (writes) this.#writesInFlight++
    return null
  }

  /** As `enter`, for a request that is answered with an error and takes no place. */
  enterRefused(): WaitReason | null {
    return this.#replyShare.tryTake(REPLY_OVERHEAD_BYTES) ? null : 'reply-bytes'
  }

  /** A request has been answered, or given up. `payloadBytes`: what it carried, 0 if it was no write. */
  leave(payloadBytes: number): void {
    this.#requestsInFlight--
    if (payloadBytes > 0) {
      this.#writesInFlight--
      this.#payloadShare.give(payloadBytes)
    }
    assert(this.#requestsInFlight >= this.#writesInFlight && this.#writesInFlight >= 0, 'a request left twice')
  }

  /** Reply bytes have been sent, or were not needed. */
  giveReply(bytes: number): void {
    if (bytes > 0) this.#replyShare.give(bytes)
  }

  /** No request waits for bytes any longer. */
  stopWaiting(): void {
    this.#payloadShare.leave()
    this.#replyShare.leave()
  }
}
