/**
 * What an operator should know of: the last events of a daemon, in memory, for status and watch verbs.
 *
 * A ring of fixed capacity; sequence numbers run from 1 without a gap, so that a reader who was too slow knows how many
 * it missed. Watchers hold a position and nothing else: none can make it grow. Every event is logged as well.
 */
import assert from 'node:assert/strict'
import type { Clock } from '@sitelink/protocol/entry'
import { EVENTS_COUNT_MAX } from './limits.js'
import type { LogLevel } from './log-level.js'
import type { Log, LogFacts } from './log.js'

/** One event, as verbs give it out. */
export interface OperatorEvent {
  readonly seq: number
  /** Microseconds since 1970. */
  readonly timeUs: number
  /** Stable name, as `slink-behind`. */
  readonly kind: string
  readonly level: LogLevel
  /** A sentence. */
  readonly message: string
  readonly facts: Readonly<Record<string, unknown>>
}

/** A page of events. `missed` were pushed out before they could be read. */
export interface EventPage {
  readonly events: readonly OperatorEvent[]
  readonly missed: number
}

/** Kinds are names in the code; more than this is a kind made of data. */
const KINDS_MAX = 500

/** See the head of this file. */
export class EventLog {
  readonly #clock: Clock
  readonly #log: Log
  readonly #ring: (OperatorEvent | undefined)[]
  readonly #counts = new Map<string, number>()
  readonly #waiting = new Set<() => void>()
  #lastSeq = 0

  constructor(clock: Clock, log: Log, capacity = EVENTS_COUNT_MAX) {
    assert(Number.isSafeInteger(capacity) && capacity > 0, 'an event log holds at least one event')
    this.#clock = clock
    this.#log = log
    this.#ring = Array.from<OperatorEvent | undefined>({ length: capacity })
  }

  /** Sequence number of the newest event, 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq
  }

  /** Number of events of each kind since the start, also of those that were pushed out. */
  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }

  /** Records and logs an event. `facts` must stay as they are from now on. */
  add(level: LogLevel, kind: string, message: string, facts: LogFacts = {}): OperatorEvent {
    assert(this.#counts.has(kind) || this.#counts.size < KINDS_MAX, 'kinds of events are few')
    this.#lastSeq += 1
    const event: OperatorEvent = { seq: this.#lastSeq, timeUs: this.#clock.wallUs(), kind, level, message, facts }
    this.#ring[event.seq % this.#ring.length] = event
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1)
    this.#log.write(level, message, { event: kind, ...facts })
    for (const wake of [...this.#waiting]) wake()
    return event
  }

  /** Up to `count` events after `afterSeq`, oldest first. */
  read(afterSeq = 0, count = Infinity): EventPage {
    const oldest = Math.max(1, this.#lastSeq - this.#ring.length + 1)
    const from = Math.max(afterSeq + 1, oldest)
    const events: OperatorEvent[] = []
    for (let seq = from; seq <= this.#lastSeq && events.length < count; seq += 1) {
      const event = this.#ring[seq % this.#ring.length]
      assert(event?.seq === seq, 'the ring holds the newest events')
      events.push(event)
    }
    return { events, missed: from - afterSeq - 1 }
  }

  /** Pages of what comes after `afterSeq`, each as soon as there is something, until `signal` aborts. */
  async *watch(afterSeq: number, signal: AbortSignal): AsyncGenerator<EventPage, void, void> {
    let seq = Math.min(afterSeq, this.#lastSeq)
    while (!signal.aborted) {
      const page = this.read(seq, 100)
      seq += page.missed + page.events.length
      if (page.events.length > 0) yield page
      else await this.#changed(signal)
    }
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  }
}
