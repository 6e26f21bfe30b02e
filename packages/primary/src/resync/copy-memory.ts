/**
 * Memory that copies are read into, and that serves the next ones once it was sent.
 *
 * Owns the memory of copies on their way to a site, for one session. Never takes back what somebody may still look at: a
 * copy is done with when the site has acknowledged its frame and nothing of it is queued here; the acknowledgement alone
 * would trust a peer with our memory. What a session has under way when it ends is the collector's.
 */
import { PayloadPool, type PayloadMemory } from '@sitelink/protocol'
import { COPY_BYTES_KEPT } from '../limits.js'

/** A copy that was given to the session. */
interface Sent {
  readonly memory: PayloadMemory
  /** Frames of the session, up to and with it. */
  readonly frames: number
  /** Bytes that the session had given to its connection then. */
  readonly bytes: number
}

export class CopyMemory {
  readonly #pool = new PayloadPool(COPY_BYTES_KEPT)
  /** Oldest first, from {@link #first} on. */
  #sent: Sent[] = []
  #first = 0

  /** Memory for one copy, held by the caller. */
  take(bytes: number): PayloadMemory {
    return this.#pool.take(bytes)
  }

  /** The copy in `memory` was sent, as the last of so many frames and bytes of the session. */
  sent(memory: PayloadMemory, frames: number, bytes: number): void {
    this.#sent.push({ memory, frames, bytes })
  }

  /** The site has so many frames of the session, and so many of its bytes have left this process. */
  arrived(frames: number, bytes: number): void {
    for (let next = this.#sent[this.#first]; next !== undefined; next = this.#sent[++this.#first]) {
      if (next.frames > frames || next.bytes > bytes) break
      next.memory.release()
    }
    if (this.#first * 2 < this.#sent.length) return
    this.#sent = this.#sent.slice(this.#first)
    this.#first = 0
  }

  close(): void {
    this.#sent = []
    this.#first = 0
    this.#pool.close()
  }
}
