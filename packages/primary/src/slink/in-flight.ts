/**
 * What is on its way: stream frames that were sent and that the site has not said to have received.
 *
 * Owns the account of one session, by runs of frames as they were sent together. Pure. Bytes are those of the frames,
 * before compression. Invariant: an acknowledgement never makes the account negative, and all received is zero.
 */

/** Runs that are kept apart; beyond it a run is counted with the one before, and is on its way for as long as that is. */
const RUNS_MAX = 4096

export class InFlight {
  #sentFrames = 0
  #receivedFrames = 0
  #bytes = 0
  /** Count of frames with which each run ends, and its bytes; from `#head` on. */
  #ends: number[] = []
  #sizes: number[] = []
  #head = 0

  get frames(): number {
    return this.#sentFrames - this.#receivedFrames
  }

  get bytes(): number {
    return this.#bytes
  }

  /** `frames` were sent together. */
  sent(frames: number, bytes: number): void {
    this.#sentFrames += frames
    this.#bytes += bytes
    const last = this.#ends.length - 1
    if (last - this.#head >= RUNS_MAX) {
      this.#ends[last] = this.#sentFrames
      this.#sizes[last] = (this.#sizes[last] as number) + bytes
      return
    }
    this.#ends.push(this.#sentFrames)
    this.#sizes.push(bytes)
  }

  /** The site has received so many frames of the session. A run counts as a whole. */
  received(frames: number): void {
    this.#receivedFrames = Math.min(this.#sentFrames, Math.max(this.#receivedFrames, frames))
    while (this.#head < this.#ends.length && (this.#ends[this.#head] as number) <= this.#receivedFrames) {
      this.#bytes -= this.#sizes[this.#head] as number
      this.#head += 1
    }
    if (this.#head === this.#ends.length || this.#head > RUNS_MAX) {
      this.#ends = this.#ends.slice(this.#head)
      this.#sizes = this.#sizes.slice(this.#head)
      this.#head = 0
    }
  }
}
