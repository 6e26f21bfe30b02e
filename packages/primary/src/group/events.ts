/**
 * What happens in a group that an operator may want to know: each once, with facts, never as a mere log line.
 */

export type EventLevel = 'info' | 'warning' | 'error'

export interface GroupEvent {
  /** Stable word: `slink-overflow`, `resync-finished` ... */
  readonly kind: string
  readonly level: EventLevel
  /** One sentence. */
  readonly message: string
  readonly facts: Readonly<Record<string, string | number | boolean | null>>
}

/** Facts of an event, by name, units in the names. */
export type EventFacts = GroupEvent['facts']

export type EventSink = (event: GroupEvent) => void
