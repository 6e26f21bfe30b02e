/**
 * Bytes that a server may hold, shared out among its connections.
 *
 * Owns the count of one kind of bytes (payloads, or replies). A share takes bytes before they exist and gives them back
 * when they are gone. It never gets more than its own limit, and all shares together never hold more than the budget,
 * with one exception: a share that holds nothing gets up to the reserve, so that nobody is starved by those who wait.
 * At most `limit + shares * reserve` bytes are taken at any time. Those refused are served in the order they asked.
 */
import { assert } from './assert.js'

export class ByteBudget {
  readonly limitBytes: number
  readonly reserveBytes: number
  #takenBytes = 0
  /** Shares whose request did not fit, oldest first. */
  readonly #waiting: BudgetShare[] = []

  constructor(limitBytes: number, reserveBytes: number) {
    this.limitBytes = limitBytes
    this.reserveBytes = reserveBytes
  }

  get takenBytes(): number {
    return this.#takenBytes
  }

  /** A share with a limit of its own. `wake` is called when a request that was refused for the budget's sake may fit. */
  share(limitBytes: number, wake: () => void): BudgetShare {
    return new BudgetShare(this, limitBytes, wake)
  }

  /** Used by shares only. */
  tryTake(share: BudgetShare, bytes: number): boolean {
    const first = this.#waiting[0]
    const fits = this.#takenBytes + bytes <= this.limitBytes && (first === undefined || first === share)
    if (!fits && !(share.takenBytes === 0 && bytes <= this.reserveBytes)) {
      if (!this.#waiting.includes(share)) this.#waiting.push(share)
      return false
    }
    this.#takenBytes += bytes
    this.leave(share)
    return true
  }

  /** Used by shares only. */
  give(bytes: number): void {
    this.#takenBytes -= bytes
    assert(this.#takenBytes >= 0, 'more bytes were given back than taken')
    this.#waiting[0]?.wake()
  }

  /** Used by shares only: forgets a request that waits. */
  leave(share: BudgetShare): void {
    if (this.#waiting.length === 0) return
    const index = this.#waiting.indexOf(share)
    if (index < 0) return
    this.#waiting.splice(index, 1)
    this.#waiting[0]?.wake()
  }
}

/** What one connection holds of a budget. */
export class BudgetShare {
  readonly #budget: ByteBudget
  readonly #limitBytes: number
  readonly #wake: () => void
  #takenBytes = 0

  constructor(budget: ByteBudget, limitBytes: number, wake: () => void) {
    this.#budget = budget
    this.#limitBytes = limitBytes
    this.#wake = wake
  }

  get takenBytes(): number {
    return this.#takenBytes
  }

  /** Takes `bytes`, or nothing and returns false: the caller tries again after it has given back, or when woken. */
  tryTake(bytes: number): boolean {
    if (this.#takenBytes + bytes > this.#limitBytes) {
      // What it waits for now is its own to give back; others need not queue behind it.
      this.leave()
      return false
    }
    if (!this.#budget.tryTake(this, bytes)) return false
    this.#takenBytes += bytes
    return true
  }

  give(bytes: number): void {
    this.#takenBytes -= bytes
    assert(this.#takenBytes >= 0, 'a share gave back more than it took')
    this.#budget.give(bytes)
  }

  /** No request of this share waits any longer. What it holds, it still gives back. */
  leave(): void {
    this.#budget.leave(this)
  }

  wake(): void {
    this.#wake()
  }
}
