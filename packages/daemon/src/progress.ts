/**
 * The progress of something long: a bar on a terminal, a line now and then elsewhere, nothing with `--json`.
 *
 * Owns the current line of stderr while it is shown. Never leaves the cursor hidden: not at its end, not after an
 * exception, not after Ctrl-C. The rate is that of the last seconds, so that a stall shows.
 */
import type { Clock } from '@sitelink/protocol/entry'
import { formatBytes, formatDuration, formatPercent, formatRate } from './format.js'
import type { TextStream } from './output.js'
import { cutText } from './table.js'

export interface ProgressOptions {
  /** What goes on, as `resync of slink 1`. */
  readonly label: string
  readonly clock: Clock
  readonly stream: TextStream
  /** True under `--json`: shows nothing. */
  readonly silent?: boolean
  /** Where it is no terminal: at least so long between two lines, and at least 10 percent unless `lineMsMax` passed. */
  readonly lineMsMin?: number
  readonly lineMsMax?: number
}

const REDRAW_MS = 100
const RATE_WINDOW_MS = 5_000
const BAR_CHARS = 24
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
const HIDE_CURSOR = '\u001b[?25l'
const SHOW_CURSOR = '\u001b[?25h'
const LINE_START = '\r\u001b[2K'

interface Sample {
  readonly ms: number
  readonly bytes: number
}

/** One progress display. `update` as often as wanted; `finish` once, in a `finally`. */
export class Progress {
  readonly #options: ProgressOptions
  readonly #samples: Sample[] = []
  readonly #onExit = (): void => void this.#options.stream.write(SHOW_CURSOR)
  /** Ends the process as the signal would have without this display, unless somebody else listens to it. */
  readonly #onSignal = (signal: NodeJS.Signals): void => {
    this.#options.stream.write(`\n${SHOW_CURSOR}`)
    this.#release()
    if (process.listenerCount(signal) === 0) process.kill(process.pid, signal)
  }
  #shownMs = -Infinity
  #shownTenth = -1
  #drawing = false
  #done = 0
  #total = 0

  constructor(options: ProgressOptions) {
    this.#options = options
  }

  /** Bytes of the last seconds per second; null until there are two samples apart. */
  get bytesPerSecond(): number | null {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || last.ms - first.ms < 1) return null
    return Math.max(0, ((last.bytes - first.bytes) * 1000) / (last.ms - first.ms))
  }

  /** Milliseconds to go at that rate; null where there is none. */
  get etaMs(): number | null {
    const rate = this.bytesPerSecond
    return rate === null || rate === 0 ? null : ((this.#total - this.#done) / rate) * 1000
  }

  /** Tells how far it is. `doneBytes` may fall, and `totalBytes` grow, as regions are dirtied anew. */
  update(doneBytes: number, totalBytes: number): void {
    this.#done = Math.min(doneBytes, totalBytes)
    this.#total = totalBytes
    const nowMs = this.#options.clock.nowMs()
    this.#sample({ ms: nowMs, bytes: doneBytes })
    if (this.#options.silent === true) return
    if (this.#options.stream.isTTY === true) this.#redraw(nowMs)
    else this.#maybeLine(nowMs)
  }

  /** Ends the display and shows `message`, where given, as its last line. Repeating it does nothing but that. */
  finish(message?: string): void {
    if (this.#options.silent === true) return
    if (this.#drawing) {
      this.#release()
      this.#options.stream.write(`${LINE_START}${message === undefined ? `${this.#line()}\n` : ''}${SHOW_CURSOR}`)
    }
    if (message !== undefined) this.#options.stream.write(`${message}\n`)
  }

  /** Samples at least 1/50 window apart, so that their number is bounded however often `update` is called. */
  #sample(sample: Sample): void {
    const before = this.#samples.at(-2)
    if (before !== undefined && sample.ms - before.ms < RATE_WINDOW_MS / 50) this.#samples.pop()
    this.#samples.push(sample)
    while (this.#samples.length > 2 && sample.ms - (this.#samples[1]?.ms ?? 0) > RATE_WINDOW_MS) this.#samples.shift()
  }

  #redraw(nowMs: number): void {
    if (!this.#drawing) {
      this.#drawing = true
      process.on('exit', this.#onExit)
      for (const signal of SIGNALS) process.on(signal, this.#onSignal)
      this.#options.stream.write(HIDE_CURSOR)
    }
    if (nowMs - this.#shownMs < REDRAW_MS) return
    this.#shownMs = nowMs
    const { columns = 80 } = this.#options.stream
    this.#options.stream.write(`${LINE_START}${cutText(this.#line(), columns - 1)}`)
  }

  #release(): void {
    this.#drawing = false
    process.off('exit', this.#onExit)
    for (const signal of SIGNALS) process.off(signal, this.#onSignal)
  }

  #maybeLine(nowMs: number): void {
    const { lineMsMin = 1_000, lineMsMax = 30_000 } = this.#options
    const tenth = this.#total === 0 ? 10 : Math.floor((this.#done / this.#total) * 10)
    const sinceMs = nowMs - this.#shownMs
    const due = sinceMs >= lineMsMax || (tenth !== this.#shownTenth && (sinceMs >= lineMsMin || tenth === 10))
    if (!due) return
    this.#shownMs = nowMs
    this.#shownTenth = tenth
    this.#options.stream.write(`${this.#line()}\n`)
  }

  #line(): string {
    const share = this.#total === 0 ? 1 : this.#done / this.#total
    const full = Math.floor(share * BAR_CHARS)
    const bar = this.#options.stream.isTTY === true ? ` [${'#'.repeat(full)}${'.'.repeat(BAR_CHARS - full)}]` : ''
    const amounts = `${formatBytes(this.#done)} of ${formatBytes(this.#total)}`
    const { etaMs } = this
    const eta = share < 1 ? `, ETA ${etaMs === null ? 'unknown' : formatDuration(etaMs)}` : ''
    return `${this.#options.label}${bar} ${formatPercent(this.#done, this.#total)}, ${amounts}, ${formatRate(this.bytesPerSecond)}${eta}`
  }
}
