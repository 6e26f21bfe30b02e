/**
 * Small writes to the page cache without the thread pool, in bounded shares of a turn of the event loop.
 *
 * A round trip through a thread costs ten times what the kernel needs to take a few blocks. So small writes are made at
 * once, in the calling thread, as long as that is quick. Owns two limits that keep the event loop moving: the time that
 * all disks together may use in one turn (what is over waits for the next one, in order), and the trust in each disk: one
 * that ever took long is written through the thread pool for a while. Never decides what is written, or in which order
 * a caller's writes are made.
 */
import type { Clock } from '@sitelink/protocol/entry'

/** Larger writes always go through the thread pool, where they overlap with everything else. */
export const QUICK_BYTES_MAX = 512 * 1024
/** What all disks together may use of one turn. */
const TURN_MS_MAX = 0.5
/** A write that took longer did not just go to the page cache; less may also be a processor that was busy elsewhere. */
const SLOW_MS = 20
/** A disk that was slow is not trusted for so many times as long as its write took, within these bounds. */
const DISTRUST_TIMES = 10
const DISTRUST_MS_MIN = 200
const DISTRUST_MS_MAX = 60_000
/**
 * Slow again before it was trusted for so many times as long as it was not, and the next time is twice as long; else what
 * was is forgotten.
 */
const TRUST_TIMES = 10
/**
 * But never longer than so many times as long as the write took: slow writes hold up the process for a hundredth of the
 * time then (more where one takes over half a second), and those that a busy processor makes every few seconds cost little
 * more than themselves.
 */
const DISTRUST_TIMES_MAX = 100

/** How a write is made: `writeFullySync`, and no closure, of which there would be one a write. */
type QuickWrite = (fd: number, chunks: readonly Buffer[], position: number) => void

/** The share of a turn, for all disks of a process. */
export class QuickTurn {
  readonly clock: Pick<Clock, 'nowMs' | 'soon'>
  #spentMs = 0
  #due = false
  #waiting: (() => void)[] = []

  constructor(clock: Pick<Clock, 'nowMs' | 'soon'>) {
    this.clock = clock
  }

  get isSpent(): boolean {
    return this.#spentMs >= TURN_MS_MAX
  }

  spend(ms: number): void {
    this.#spentMs += ms
    this.#ask()
  }

  /** Resolves in a later turn, behind everybody who waits already. */
  next(): Promise<void> {
    this.#ask()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  #ask(): void {
    if (this.#due) return
    this.#due = true
    this.clock.soon(() => {
      this.#due = false
      this.#spentMs = 0
      const waiting = this.#waiting
      this.#waiting = []
      for (const go of waiting) go()
    })
  }
}

/** The trust in one disk. */
export class QuickDisk {
  readonly #turn: QuickTurn
  #distrustedUntilMs = 0
  #distrustMs = 0
  /** When the last distrust ended, or will. */
  #trustedFromMs = 0

  constructor(turn: QuickTurn) {
    this.#turn = turn
  }

  /** Whether a write of so many bytes may be made at once; if the turn is spent, after {@link next}. */
  takes(bytes: number): boolean {
    return bytes <= QUICK_BYTES_MAX && (this.#distrustedUntilMs === 0 || this.#isTrustedAgain())
  }

  get mustWait(): boolean {
    return this.#turn.isSpent
  }

  next(): Promise<void> {
    return this.#turn.next()
  }

  /** Makes a write at once; throws what it throws. */
  make(write: QuickWrite, fd: number, chunks: readonly Buffer[], position: number): void {
    const startMs = this.#turn.clock.nowMs()
    try {
      write(fd, chunks, position)
    } finally {
      const nowMs = this.#turn.clock.nowMs()
      this.#turn.spend(nowMs - startMs)
      if (nowMs - startMs > SLOW_MS) this.#distrust(nowMs, nowMs - startMs)
    }
  }

  #distrust(nowMs: number, tookMs: number): void {
    const isAgain = nowMs - tookMs - this.#trustedFromMs < TRUST_TIMES * this.#distrustMs
    const againMs = isAgain ? Math.min(2 * this.#distrustMs, DISTRUST_TIMES_MAX * tookMs) : 0
    const longMs = Math.max(DISTRUST_MS_MIN, DISTRUST_TIMES * tookMs, againMs)
    this.#distrustMs = Math.min(DISTRUST_MS_MAX, longMs)
    this.#trustedFromMs = nowMs + this.#distrustMs
    this.#distrustedUntilMs = this.#trustedFromMs
  }

  #isTrustedAgain(): boolean {
    if (this.#turn.clock.nowMs() < this.#distrustedUntilMs) return false
    this.#distrustedUntilMs = 0
    return true
  }
}
