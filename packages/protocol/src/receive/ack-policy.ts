/**
 * When does the agent tell the primary how far it is?
 *
 * Pure. Acknowledgements are cumulative, so one at the end of a turn says all that the turn achieved. Invariant: marks
 * never fall within a session, and applied <= durable <= received.
 */
import type { Ack, WireMark } from '../control/messages.js'
import { assert } from '../entry/assert.js'

/** What of an acknowledgement is worth a message. The rest travels with it. */
export function worthSending(last: Ack | null, next: Ack): boolean {
  if (last === null) return true
  return (
    last.received[2] !== next.received[2] ||
    last.durable[2] !== next.durable[2] ||
    last.applied[2] !== next.applied[2] ||
    !sameMark(last.applied, next.applied) ||
    last.dirtyRegions !== next.dirtyRegions ||
    last.consistent !== next.consistent
  )
}

/** Checks the invariant against the last one sent; returns `next`. */
export function checkedAck(last: Ack | null, next: Ack): Ack {
  assert(compareMarks(next.applied, next.durable) <= 0, 'nothing is acknowledged as applied that is not durable')
  assert(compareMarks(next.durable, next.received) <= 0, 'nothing is acknowledged as durable that was not received')
  if (last !== null) {
    assert(compareMarks(last.received, next.received) <= 0, 'what was received stays received')
    assert(compareMarks(last.durable, next.durable) <= 0, 'what was durable stays durable')
    assert(compareMarks(last.applied, next.applied) <= 0, 'what was applied stays applied')
  }
  return next
}

function sameMark(a: WireMark, b: WireMark): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2]
}

/** Marks are ordered by their point, then by the frames that they cover. */
function compareMarks(a: WireMark, b: WireMark): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}
