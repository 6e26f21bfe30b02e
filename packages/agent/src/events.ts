/**
 * What an operator should know of an agent, as the core says it.
 *
 * Owns the names of the kinds. The program keeps the last ones and writes each to the log; the core only hands them out,
 * and remembers none.
 */

export type AgentEventKind =
  | 'started'
  | 'stopped'
  | 'session-established'
  | 'session-ended'
  | 'session-refused'
  | 'session-fenced'
  | 'peer-refused'
  | 'peer-enrolled'
  | 'peer-rotated'
  | 'peer-revoked'
  | 'enrolment-refused'
  | 'invited'
  | 'identity-rotated'
  | 'link-plain'
  | 'http3-missing'
  | 'listener-failed'
  | 'dial-failed'
  | 'journal-cut'
  | 'journal-failed'
  | 'journal-damaged'
  | 'started-over'
  | 'resync-began'
  | 'consistent'
  | 'inconsistent'
  | 'device-failed'
  | 'device-recovered'
  | 'device-missing'
  | 'device-added'
  | 'device-changed'
  | 'device-removed'
  | 'dirty-log-lost'
  | 'dirty-log-failed'
  | 'mapped'
  | 'unmapped'
  | 'export-opened'
  | 'export-ended'

export interface AgentEvent {
  readonly level: 'info' | 'warn' | 'error'
  readonly kind: AgentEventKind
  /** A sentence. */
  readonly message: string
  readonly facts?: Readonly<Record<string, string | number | boolean | null>>
}

export type AgentEventSink = (event: AgentEvent) => void
