/**
 * When an agent's session acknowledges: at once what somebody waits for, the rest with it or a moment later.
 *
 * Owns the last acknowledgement, the timer and what the primary asked to be made durable. Acknowledgements are cumulative,
 * so one at the end of a turn says all that the turn achieved; each costs both sides as much as dozens of small frames.
 * Invariant: whatever moved is told, at the latest {@link LATE_ACK_MS} after it did, as long as the session can send.
 */
import type { Ack } from '../control/messages.js'
import type { Clock, Timer } from '../entry/clock.js'
import { checkedAck, worthSending } from './ack-policy.js'

/** Marks that nobody waits for are told this late: most of them go with an acknowledgement that somebody does. */
export const LATE_ACK_MS = 20

export interface AcknowledgerParts {
  readonly clock: Clock
  /** How far the agent is. */
  readonly ack: () => Ack
  /** Stream frames that are on the journal's stable storage. */
  readonly durableFrames: () => number
  readonly maySend: () => boolean
  readonly send: (ack: Ack) => void
}

/** See the head of this file. One for each established session. */
export class Acknowledger {
  readonly #parts: AcknowledgerParts
  #last: Ack | null = null
  #asked = false
  #late: Timer | null = null
  #stopped = false
  /** The primary waits until so many frames are durable. */
  #syncFrames = 0

  constructor(parts: AcknowledgerParts) {
    this.#parts = parts
  }

  /** The primary waits until so many frames are durable. */
  syncWanted(frames: number): void {
    this.#syncFrames = frames
  }

  /** Marks moved that the primary seldom waits for. */
  progressed(): void {
    if (this.#stopped) return
    // Whoever asked first may be served although somebody else has asked for more.
    const told = this.#last?.durable[2] ?? 0
    if (told < this.#syncFrames && this.#parts.durableFrames() > told) return this.ask()
    this.#late ??= this.#parts.clock.after(LATE_ACK_MS, () => {
      this.#late = null
      this.ask()
    })
  }

  /** An acknowledgement is due: one at the end of the turn, whatever happens in it. */
  ask(): void {
    if (this.#asked || this.#stopped) return
    this.#asked = true
    this.#parts.clock.soon(() => {
      this.#asked = false
      this.#send()
    })
  }

  /** What came is in the journal: told within this call. One write of the journal is one message, however many came. */
  received(): void {
    if (!this.#stopped) this.#send()
  }

  stop(): void {
    this.#stopped = true
    this.#late?.cancel()
  }

  #send(): void {
    if (this.#stopped || !this.#parts.maySend()) return
    this.#late?.cancel()
    this.#late = null
    const ack = this.#parts.ack()
    if (!worthSending(this.#last, ack)) return
    this.#last = checkedAck(this.#last, ack)
    this.#parts.send(ack)
  }
}
