/**
 * Whether it is worth while to compress a stream, as `off`, `on` or `auto` say.
 *
 * Pure: told what came of each run and how long it took, asked before the next. `auto` stops where the data do not become
 * smaller, and where more goes through without it because the processor is what limits; it tries again later, at longer
 * and longer intervals. What is compared is measured in windows in which there was something to send all the time.
 *
 *   on --does not become smaller--> off (data) --later: one run--> on
 *    '--much of the time, busy--> off for one window: more went through? --> off (cpu) --later: one window--> on
 */

export type CompressionMode = 'off' | 'on' | 'auto'

/** Why it is on or off, as a word of `status`. */
export type CompressionWhy = 'operator' | 'worth-it' | 'trying' | 'incompressible' | 'cpu' | 'peer'

/** A run must become smaller than this part of itself, else compression is for nothing. */
const RATIO_MAX = 0.94
/** So much is looked at before it is judged whether it becomes smaller, whatever the size of the runs; of a trial, less. */
const JUDGED_BYTES = 256 * 1024
const TRIED_BYTES = 64 * 1024
/** A window of comparison, in milliseconds. */
const WINDOW_MS = 250
/** Compression that takes more than this part of the time may be what limits. */
const SHARE_MAX = 0.5
/** What was measured without compression counts for so long. */
const STALE_MS = 30_000
/** Intervals of trying again, in milliseconds: doubled up to the last. */
const AGAIN_MS_MIN = 1000
const AGAIN_MS_MAX = 60_000

interface Window {
  startMs: number
  rawBytes: number
  spentMs: number
  /** There was nothing to send for a moment: its rate says nothing. */
  idle: boolean
}

export class CompressionPolicy {
  #mode: CompressionMode = 'off'
  #active = false
  #why: CompressionWhy = 'trying'
  /** Of an `auto` that is off: when it tries again. */
  #againMs = 0
  #pauseMs = AGAIN_MS_MIN
  /** One window without, for comparison; the rate that it is compared with, in bytes per millisecond. */
  #trialOf: number | null = null
  #rateWithout: { readonly bytesPerMs: number; readonly atMs: number } | null = null
  #window: Window = fresh(0)
  /** What came of it since it was last judged: not by windows, in which a slow stream says too little. */
  #raw = 0
  #wire = 0
  /** It was judged, and does become smaller. */
  #smaller = false

  get active(): boolean {
    return this.#active
  }

  get why(): CompressionWhy {
    return this.#why
  }

  /** Whether the next run is to be compressed. */
  wants(mode: CompressionMode, nowMs: number): boolean {
    if (mode !== this.#mode) this.#begin(mode, nowMs)
    if (!this.#active && mode === 'auto' && this.#trialOf === null && nowMs >= this.#againMs)
      this.#become(true, 'trying', nowMs)
    return this.#active
  }

  /** There was nothing to send. */
  idle(): void {
    this.#window.idle = true
  }

  /** A run went out: its bytes, those on the wire, and the time that was spent on making them smaller. */
  note(rawBytes: number, wireBytes: number, spentMs: number, nowMs: number): void {
    if (this.#mode !== 'auto') return
    const window = this.#window
    window.rawBytes += rawBytes
    window.spentMs += spentMs
    this.#raw += rawBytes
    this.#wire += wireBytes
    if (this.#active && this.#raw >= (this.#smaller ? JUDGED_BYTES : TRIED_BYTES)) {
      if (this.#wire > RATIO_MAX * this.#raw) return this.#pause('incompressible', nowMs)
      this.#smaller = true
      this.#raw = 0
      this.#wire = 0
    }
    if (nowMs - window.startMs >= WINDOW_MS) this.#judge(window, nowMs)
  }

  #judge(window: Window, nowMs: number): void {
    const bytesPerMs = window.rawBytes / (nowMs - window.startMs)
    const { idle } = window
    this.#window = fresh(nowMs)
    if (this.#trialOf !== null) {
      const compared = this.#trialOf
      this.#trialOf = null
      if (!idle) this.#rateWithout = { bytesPerMs, atMs: nowMs }
      if (!idle && bytesPerMs > compared) return this.#pause('cpu', nowMs)
      return this.#become(true, 'worth-it', nowMs)
    }
    if (!this.#active) {
      if (!idle) this.#rateWithout = { bytesPerMs, atMs: nowMs }
      return
    }
    if (idle || window.spentMs < SHARE_MAX * WINDOW_MS) return this.#works()
    const without = this.#rateWithout
    if (without === null || nowMs - without.atMs > STALE_MS) {
      this.#become(false, 'trying', nowMs)
      this.#trialOf = bytesPerMs
    } else if (without.bytesPerMs > bytesPerMs) this.#pause('cpu', nowMs)
    else this.#works()
  }

  #works(): void {
    if (!this.#smaller) return
    this.#why = 'worth-it'
    this.#pauseMs = AGAIN_MS_MIN
  }

  #pause(why: CompressionWhy, nowMs: number): void {
    this.#become(false, why, nowMs)
    this.#againMs = nowMs + this.#pauseMs
    this.#pauseMs = Math.min(AGAIN_MS_MAX, 2 * this.#pauseMs)
  }

  #begin(mode: CompressionMode, nowMs: number): void {
    this.#mode = mode
    this.#pauseMs = AGAIN_MS_MIN
    this.#trialOf = null
    this.#rateWithout = null
    this.#become(mode !== 'off', mode === 'auto' ? 'trying' : 'operator', nowMs)
  }

  #become(active: boolean, why: CompressionWhy, nowMs: number): void {
    this.#active = active
    this.#why = why
    this.#window = fresh(nowMs)
    this.#raw = 0
    this.#wire = 0
    this.#smaller &&= why === 'worth-it'
  }
}

function fresh(nowMs: number): Window {
  return { startMs: nowMs, rawBytes: 0, spentMs: 0, idle: false }
}
