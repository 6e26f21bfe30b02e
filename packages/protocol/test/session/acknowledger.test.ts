/** When an acknowledgement goes out: at once for whoever waits, a moment later for nobody. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Ack } from '../../src/index.js'
import { Acknowledger, LATE_ACK_MS } from '../../src/receive/acknowledger.js'
import { SimClock } from '../support/clock.js'

function scene() {
  const clock = new SimClock()
  const marks = { received: 0, durable: 0, maySend: true }
  const sent: { readonly atMs: number; readonly ack: Ack }[] = []
  const acknowledger = new Acknowledger({
    clock,
    ack: () => ({
      kind: 'ack',
      received: [1, marks.received, marks.received],
      durable: [1, marks.durable, marks.durable],
      applied: [0, 0, 0],
      dirtyRegions: 0,
      consistent: true,
      journalUsedBytes: 0,
      journalBytes: 1,
    }),
    durableFrames: () => marks.durable,
    maySend: () => marks.maySend,
    send: (ack) => sent.push({ atMs: clock.nowMs(), ack }),
  })
  const receive = (frames: number): void => {
    marks.received = frames
    acknowledger.received()
  }
  const sync = (frames: number): void => {
    marks.durable = frames
    acknowledger.progressed()
  }
  return { clock, marks, sent, acknowledger, receive, sync }
}

test('what is received is told within the call, what is durable late, and once for all that became so', () => {
  const { clock, sent, receive, sync } = scene()
  receive(3)
  assert.equal(sent.length, 1)
  sync(1)
  clock.run(5)
  sync(3)
  clock.run(LATE_ACK_MS - 6)
  assert.equal(sent.length, 1)
  clock.run(2)
  assert.deepEqual(
    sent.map(({ ack }) => ack.durable[2]),
    [0, 3],
  )
})

test('whoever asked is told as soon as it is durable, also when somebody else has asked for more since', () => {
  const { clock, sent, acknowledger, receive, sync } = scene()
  receive(1)
  acknowledger.syncWanted(1)
  receive(2)
  acknowledger.syncWanted(2)
  sync(1)
  clock.run(1)
  assert.equal(sent.at(-1)?.ack.durable[2], 1)
  sync(2)
  clock.run(1)
  assert.equal(sent.at(-1)?.ack.durable[2], 2)
})

test('what could not be sent is told by the next one, and nothing after a stop', () => {
  const { clock, marks, sent, acknowledger, receive, sync } = scene()
  marks.maySend = false
  receive(1)
  sync(1)
  clock.run(LATE_ACK_MS + 1)
  assert.equal(sent.length, 0)
  marks.maySend = true
  acknowledger.ask()
  clock.run(1)
  assert.deepEqual([sent.length, sent[0]?.ack.durable[2]], [1, 1])
  receive(2)
  sync(2)
  acknowledger.stop()
  clock.run(LATE_ACK_MS + 1)
  receive(3)
  assert.equal(sent.length, 2)
})
