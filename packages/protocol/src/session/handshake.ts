/**
 * The handshake: what primary and agent say to each other before the first frame, as two pure state machines.
 *
 * Owns the order of messages and every reason to refuse a peer; the shells run the effects, in their order, and feed
 * their outcome back as events. It must never let a session be established with a peer of another group, an older epoch,
 * a wire it cannot speak, or devices that cannot hold what will be sent. A refusal is a code and one sentence.
 *
 *   primary: start --start--> awaiting-welcome --welcome--> [awaiting-dirty-maps] --> planning --planned-->
 *            awaiting-ready --ready--> established
 *   agent:   awaiting-hello --hello--> fencing --fenced--> awaiting-resume --resume--> cutting --cut--> established
 *
 * The tables in handshake-primary.ts and handshake-agent.ts are the law: a pair of state and event that has no row is
 * refused. docs/internals/handshake.md shows the same tables, and a test compares them. This file holds what both share.
 */
import { formatPoint } from '../entry/lsn.js'
import type { ControlMessage, RefuseCode, WireDevice, WireMapping, WirePoint } from '../control/messages.js'
import { pointOf } from './resume-plan.js'

/** Refused, by whom, and why. The session ends; if it was us, after a `refuse` message. */
export interface Refusal {
  readonly kind: 'refused'
  readonly by: 'us' | 'peer'
  readonly code: RefuseCode
  readonly message: string
}

export type HandshakeStep<State, Effect> =
  | { readonly kind: 'next'; readonly state: State; readonly effects: readonly Effect[] }
  | Refusal

/** A message came. */
export type Arrived = { readonly kind: 'message'; readonly message: ControlMessage }
/** The owner cannot go on: a disk failed, the operator stopped it. */
export type Cannot = { readonly kind: 'cannot'; readonly code: RefuseCode; readonly message: string }

/** State -> event -> next states. A message's event is its kind. */
export type Transitions = Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>

type HandshakeEvent = Arrived | { readonly kind: string; readonly message?: unknown }

/** The first mapping whose remote device is not there, is used twice, cannot be used or is too small; null if all are good. */
export function mappingsProblem(mappings: readonly WireMapping[], devices: readonly WireDevice[]): Refusal | null {
  const byName = new Map(devices.map((device) => [device.name, device]))
  const used = new Set<string>()
  for (const { name, number, remote, sizeBytes } of mappings) {
    const device = byName.get(remote)
    if (device === undefined) {
      const offered =
        devices.length === 0
          ? 'none'
          : devices
              .slice(0, 8)
              .map((one) => `"${one.name}"`)
              .join(', ')
      return refuse(
        'device-missing',
        `device ${number} "${name}" is mapped to "${remote}", which this agent does not have; it has ${offered}`,
      )
    }
    if (used.has(remote))
      return refuse('device-missing', `two devices are mapped to "${remote}"; the second is ${number} "${name}"`)
    used.add(remote)
    if (device.problem !== null) {
      return refuse(
        'device-missing',
        `device ${number} "${name}" is mapped to "${remote}", which cannot be used: ${device.problem}`,
      )
    }
    if (device.sizeBytes < sizeBytes) {
      return refuse(
        'device-size',
        `device ${number} "${name}" has ${sizeBytes} bytes, the agent's "${remote}" only ${device.sizeBytes}`,
      )
    }
  }
  return null
}

/** Name of an event in the tables: a message's is its kind. */
export function eventName(event: HandshakeEvent): string {
  return isArrived(event) ? event.message.kind : event.kind
}

/** True if the table has a row for the pair. */
export function hasRow(table: Transitions, state: string, event: HandshakeEvent): boolean {
  return Object.hasOwn(table[state] ?? {}, eventName(event))
}

/** The refusal of a pair without a row. */
export function outOfOrder(peer: string, state: string, event: HandshakeEvent): Refusal {
  const what = isArrived(event) ? `the ${peer} sent ${event.message.kind}` : `${event.kind} happened`
  return refuse('protocol', `${what} while this side was ${state.replaceAll('-', ' ')}`)
}

/** Our refusal. */
export function refuse(code: RefuseCode, message: string): Refusal {
  return { kind: 'refused', by: 'us', code, message }
}

/** A step that goes on. */
export function next<State, Effect>(state: State, ...effects: Effect[]): HandshakeStep<State, Effect> {
  return { kind: 'next', state, effects }
}

/** A wire point for a sentence. */
export function show(point: WirePoint): string {
  return formatPoint(pointOf(point))
}

/** A range of wire versions for a sentence. */
export function versions(floor: number, top: number): string {
  return floor === top ? `${floor}` : `${floor} to ${top}`
}

function isArrived(event: HandshakeEvent): event is Arrived {
  return event.kind === 'message'
}
