/** Keep-alive and round trip as pure decisions: when to send, when to give up, what to believe. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { KeepAlive, type Heartbeat } from '../../src/index.js'
import { Pulse } from '../../src/session/pulse.js'
import { RoundTrip } from '../../src/session/round-trip.js'
import { SimClock } from '../support/clock.js'
import { seeded } from '../support/random.js'

const TIMES = { heartbeatMs: 500, detectMs: 3000 }

test('a heartbeat is due at once and then every so often, whatever was asked in between', () => {
  const keepAlive = new KeepAlive(TIMES, 0)
  assert.deepEqual(keepAlive.step(0), { kind: 'send', again: 500 })
  assert.deepEqual(keepAlive.step(100), { kind: 'wait', again: 400 })
  assert.deepEqual(keepAlive.step(500), { kind: 'send', again: 500 })
})

test('silence is told exactly at the detection time, and never while anything was heard within it', (t) => {
  const random = seeded(t)
  const keepAlive = new KeepAlive(TIMES, 0)
  let heard = 0
  for (let now = 0; now < 200_000; now += 1 + random.below(400)) {
    if (random.oneIn(12)) {
      keepAlive.heard(now)
      heard = now
    }
    const step = keepAlive.step(now)
    assert.equal(step.kind === 'silent', now - heard >= 3000, `${now} ${heard}`)
    if (step.kind === 'silent') {
      assert.equal(step.forMs, now - heard)
      keepAlive.heard(now)
      heard = now
    } else {
      assert.ok(step.again >= 0 && step.again <= 500)
      assert.ok(now + step.again <= heard + 3000, 'the next look is not later than the judgement')
    }
  }
})

test('a deaf side never judges, goes on sending, and starts anew when it listens again', () => {
  const keepAlive = new KeepAlive(TIMES, 0)
  keepAlive.setDeaf(true, 100)
  for (let now = 0; now < 60_000; now += 500) assert.equal(keepAlive.step(now).kind, 'send')
  keepAlive.setDeaf(false, 60_000)
  assert.notEqual(keepAlive.step(62_999).kind, 'silent')
  assert.deepEqual(keepAlive.step(63_000), { kind: 'silent', forMs: 3000 })
})

test('new times begin a new silence, and a shorter heartbeat is not late', () => {
  const keepAlive = new KeepAlive(TIMES, 0)
  keepAlive.step(0)
  keepAlive.retime({ heartbeatMs: 20, detectMs: 100 }, 400)
  assert.deepEqual(keepAlive.step(400), { kind: 'wait', again: 20 })
  assert.deepEqual(keepAlive.step(500), { kind: 'silent', forMs: 100 })
})

test('a process that was held up itself hears what waited at its door before it judges', () => {
  const clock = new SimClock()
  let silent = 0
  let sent = 0
  const pulse = new Pulse(clock, TIMES, { send: () => (sent += 1) > 0, silent: () => void (silent += 1) })
  pulse.start()
  clock.run(1000)
  // Held up for ten seconds: the timer is late, and the peer's bytes are read only after it fired.
  const lateMs = clock.nowMs() + 10_000
  const soon = clock.soon.bind(clock)
  const nowMs = clock.nowMs.bind(clock)
  clock.nowMs = () => Math.max(nowMs(), lateMs)
  let asked = 0
  clock.soon = (action) => {
    if (asked++ === 0) soon(() => pulse.heard())
    soon(action)
  }
  clock.run(600)
  assert.ok(asked > 0, 'it asked for a turn before it judged')
  assert.equal(silent, 0)
  const before = sent
  clock.nowMs = () => lateMs + 2000
  pulse.retime(TIMES)
  clock.run(0)
  assert.ok(sent > before, 'and goes on')
})

test('silence is said once, and after stop nothing is said', () => {
  const clock = new SimClock()
  let silent = 0
  const make = (): Pulse => new Pulse(clock, TIMES, { send: () => true, silent: () => void (silent += 1) })
  make().start()
  clock.run(60_000)
  assert.equal(silent, 1)
  const stopped = make()
  stopped.start()
  stopped.stop()
  clock.run(60_000)
  assert.equal(silent, 1)
})

test('a heartbeat names the last one heard and how long it was held', () => {
  const clock = new SimClock()
  const sent: Heartbeat[] = []
  const pulse = new Pulse(clock, TIMES, { send: (heartbeat) => sent.push(heartbeat) > 0, silent() {} })
  pulse.start()
  clock.run(100)
  assert.deepEqual([sent[0]?.echoUs, sent[0]?.heldUs], [0, 0])
  pulse.onHeartbeat({ kind: 'heartbeat', sentUs: 77, echoUs: 0, heldUs: 0 })
  clock.run(400)
  assert.deepEqual([sent[1]?.echoUs, sent[1]?.heldUs], [77, 400_000])
})

test('of the recent samples the shortest round trip counts, and the wall clocks decide nothing but the offset', () => {
  const trip = new RoundTrip()
  trip.heard(1, 0, 0, 0, 0)
  trip.heard(1, 999, 0, 0, 0)
  assert.equal(trip.rttMs, null, 'an echo of nothing we sent is no sample')
  const rtts = [50, 20, 80, 500]
  for (const [index, rtt] of rtts.entries()) {
    const at = index * 1000
    trip.sent(10 + index, at)
    trip.heard(1_000_000, 10 + index, 100_000, at + rtt + 100, index === 1 ? 400_000 : 123)
  }
  assert.equal(trip.rttMs, 20)
  assert.equal(trip.clockOffsetUs, 1_000_000 + 10_000 - 400_000)
  for (let index = 0; index < 40; index++) {
    trip.sent(100 + index, 10_000)
    trip.heard(0, 100 + index, 0, 10_090, 0)
  }
  assert.equal(trip.rttMs, 90)
})
