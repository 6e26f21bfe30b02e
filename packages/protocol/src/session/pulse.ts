/**
 * The heartbeats of one side of a session: sends them in time, answers the peer's, and notices when the peer is silent.
 *
 * Owns the timer, the keep-alive's state and the measurement of the round trip. It must never take a peer for dead whose
 * bytes wait unread in this process: before it says `silent` it lets the event loop take in what is at the door.
 */
import type { Heartbeat } from '../control/messages.js'
import type { Clock, Timer } from '../entry/clock.js'
import { KeepAlive, type KeepAliveTimes } from './keep-alive.js'
import { RoundTrip } from './round-trip.js'

export interface PulseHandler {
  /** Sends a heartbeat; false if it was not sent. */
  send(heartbeat: Heartbeat): boolean
  /** Nothing came for the detection time. Said once. */
  silent(forMs: number): void
}

/** Shortest time from one look to the next. */
const STEP_MS_MIN = 1

/** See the file's head. */
export class Pulse {
  readonly #clock: Clock
  readonly #handler: PulseHandler
  readonly #keepAlive: KeepAlive
  readonly #trip = new RoundTrip()
  /** The peer's last heartbeat, and when it was read. */
  #last: { readonly sentUs: number; readonly atMs: number } | null = null
  #timer: Timer | null = null
  #running = false

  constructor(clock: Clock, times: KeepAliveTimes, handler: PulseHandler) {
    this.#clock = clock
    this.#handler = handler
    this.#keepAlive = new KeepAlive(times, clock.nowMs())
  }

  get times(): KeepAliveTimes {
    return this.#keepAlive.times
  }

  get rttMs(): number | null {
    return this.#trip.rttMs
  }

  get clockOffsetUs(): number | null {
    return this.#trip.clockOffsetUs
  }

  /** Begins, with a heartbeat soon. */
  start(): void {
    this.#running = true
    this.#arm(0)
  }

  /** Ends; nothing is called any more. */
  stop(): void {
    this.#running = false
    this.#timer?.cancel()
  }

  retime(times: KeepAliveTimes): void {
    this.#keepAlive.retime(times, this.#clock.nowMs())
    this.#arm(0)
  }

  /** Bytes came, whatever they were. */
  heard(): void {
    this.#keepAlive.heard(this.#clock.nowMs())
  }

  /** As {@link KeepAlive.setDeaf}. */
  setDeaf(deaf: boolean): void {
    this.#keepAlive.setDeaf(deaf, this.#clock.nowMs())
    this.#arm(0)
  }

  onHeartbeat(heartbeat: Heartbeat): void {
    const nowMs = this.#clock.nowMs()
    this.#last = { sentUs: heartbeat.sentUs, atMs: nowMs }
    this.#trip.heard(heartbeat.sentUs, heartbeat.echoUs, heartbeat.heldUs, nowMs, this.#clock.wallUs())
  }

  #arm(delayMs: number): void {
    if (!this.#running) return
    this.#timer?.cancel()
    this.#timer = this.#clock.after(delayMs, () => this.#tick())
  }

  /** `sure`: what was at the door has been let in. */
  #tick(sure = false): void {
    if (!this.#running) return
    const nowMs = this.#clock.nowMs()
    const step = this.#keepAlive.step(nowMs)
    if (step.kind !== 'silent') {
      if (step.kind === 'send') this.#send(nowMs)
      // A fraction that the clock cannot tell from now would be armed for ever at the same moment.
      return this.#arm(Math.max(STEP_MS_MIN, step.again))
    }
    // This process may have been held up itself, with the peer's bytes waiting: one turn of the event loop reads them.
    if (!sure) return this.#clock.soon(() => this.#clock.soon(() => this.#tick(true)))
    this.stop()
    this.#handler.silent(step.forMs)
  }

  #send(nowMs: number): void {
    const sentUs = this.#clock.wallUs()
    const heldUs = this.#last === null ? 0 : Math.max(0, Math.round((nowMs - this.#last.atMs) * 1000))
    const sent = this.#handler.send({ kind: 'heartbeat', sentUs, echoUs: this.#last?.sentUs ?? 0, heldUs })
    if (sent) this.#trip.sent(sentUs, nowMs)
  }
}
