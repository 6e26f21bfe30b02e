/** Sessions over the memory network, under simulated time: order, credit, pause, keep-alive and every way to end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeFrame,
  encodeMessage,
  FRAME_HEADER_BYTES,
  frameBytes,
  FrameType,
  PAUSED_INPUT_BYTES_MAX,
  type ControlMessage,
  type Frame,
} from '../../src/index.js'
import { bytesOfFrame, sampleMessages } from '../support/samples.js'
import { readySessions, sessions, withRawPeer, writeFrame } from '../support/session-world.js'
import { SEED, seeded } from '../support/random.js'

const LARGE_CREDIT = 1e9

test('[WR-10] frames and messages arrive in the order in which they were sent, counted from ready on', async (t) => {
  const random = seeded(t)
  const { clock, primary, agent } = await readySessions(
    LARGE_CREDIT,
    { latencyMs: 2, jitterMs: 5, segmentBytesMin: 1, segmentBytesMax: 9000 },
    { seed: SEED },
  )
  const wanted: string[] = []
  let lsn = 0
  for (let round = 0; round < 100; round++) {
    const frames: Frame[] = []
    for (let count = random.below(10); count > 0; count--) {
      frames.push(writeFrame(++lsn, random.oneIn(20) ? 200_000 : random.below(5000)))
      wanted.push(`frame ${lsn}`)
    }
    primary.session.sendFrames(frames)
    if (random.oneIn(3)) {
      primary.session.sendControl({ kind: 'durable', point: [1, lsn] })
      wanted.push('durable')
    }
    clock.run(random.below(3))
  }
  clock.run(1000)
  assert.deepEqual(
    agent.log.filter((line) => line !== 'batch'),
    wanted,
  )
  assert.deepEqual(
    agent.frames.map(({ count }) => count),
    agent.frames.map((_, index) => index + 1),
  )
  assert.equal(agent.session.streamFrames, primary.session.streamFrames)
  assert.equal(agent.session.streamBytes, primary.session.streamBytes)
})

test('log, wire and receiver hold the very same bytes', async () => {
  const { clock, primary, agent } = await readySessions(LARGE_CREDIT, { segmentBytesMin: 50, segmentBytesMax: 300 })
  const frames = Array.from({ length: 50 }, (_, index) => writeFrame(index + 1, index * 7))
  primary.session.sendFrames(frames)
  clock.run(100)
  assert.equal(agent.frames.length, frames.length)
  for (const [index, { frame }] of agent.frames.entries()) {
    assert.ok(frame.header.equals(frames[index]!.header))
    assert.deepEqual(frame.payload, frames[index]!.payload)
  }
})

test('all that arrives in one chunk is one batch', async () => {
  const { clock, primary, agent } = await readySessions(LARGE_CREDIT)
  primary.session.sendFrames([writeFrame(1), writeFrame(2), writeFrame(3)])
  primary.session.sendControl({ kind: 'durable', point: [1, 3] })
  clock.run(1)
  assert.deepEqual(agent.log, ['frame 1', 'frame 2', 'frame 3', 'durable', 'batch'])
})

test('credit is spent by headers and payloads, and granted as a total that never falls', async () => {
  const credit = 10_000
  const { clock, primary, agent } = await readySessions(credit)
  assert.equal(primary.session.creditBytes, credit)
  const frame = writeFrame(1, 900)
  primary.session.sendFrames([frame])
  assert.equal(primary.session.creditBytes, credit - FRAME_HEADER_BYTES - 900)
  let told = 0
  primary.onWritable = () => (told += 1)
  agent.session.grant(credit)
  agent.session.grant(credit - 1)
  clock.run(10)
  assert.equal(told, 0)
  agent.session.grant(credit + 500)
  clock.run(10)
  assert.equal(told, 1)
  assert.equal(primary.session.creditBytes, credit + 500 - frameBytes(frame))
  assert.throws(() => primary.session.sendFrames([writeFrame(2, 20_000)]), /no more is sent than the peer granted/)
})

test('before ready there is no credit, and frames are a bug of the sender', async () => {
  const { primary } = await sessions()
  assert.equal(primary.session.creditBytes, 0)
  assert.throws(() => primary.session.sendFrames([writeFrame(1)]), /after ready/)
})

test('heartbeats measure the round trip and the difference of the clocks', async () => {
  const { clock, network, primary, agent } = await readySessions(LARGE_CREDIT, { latencyMs: 20 })
  assert.equal(primary.session.rttMs, null)
  clock.run(3000)
  assert.ok(Math.abs((primary.session.rttMs ?? 0) - 40) < 1, `${primary.session.rttMs}`)
  assert.ok(Math.abs((agent.session.rttMs ?? 0) - 40) < 1)
  assert.ok(Math.abs(primary.session.clockOffsetUs ?? 1e9) < 1000)
  // A queue that grows now and then does not spoil the shortest recent value.
  network.setLink('primary', 'agent', { latencyMs: 150 })
  clock.run(2000)
  assert.ok(Math.abs((primary.session.rttMs ?? 0) - 40) < 1)
  clock.run(60_000)
  assert.ok(
    Math.abs((primary.session.rttMs ?? 0) - 170) < 2,
    `a path that stays longer is believed: ${primary.session.rttMs}`,
  )
  assert.deepEqual([primary.messages, agent.messages], [[], []], 'heartbeats are not shown to the owner')
})

test('the clock offset tells how far the peer’s wall clock is off', async () => {
  const { clock, side, peer } = await withRawPeer('primary')
  clock.run(1)
  const first = await firstHeartbeat(peer.received)
  peer.connection.write([
    bytesOfFrame(encodeMessage({ kind: 'heartbeat', sentUs: clock.wallUs() + 5_000_000, echoUs: first, heldUs: 0 })),
  ])
  clock.run(1)
  assert.ok(Math.abs((side.session.clockOffsetUs ?? 0) - 5_000_000) < 2000)
})

async function firstHeartbeat(received: readonly Buffer[]): Promise<number> {
  const { decodeMessage, scanFrame } = await import('../../src/index.js')
  const scan = scanFrame(Buffer.concat(received))
  assert.equal(scan.kind, 'entry')
  const decoded = scan.kind === 'entry' ? decodeMessage(scan.frame) : null
  return decoded !== null && decoded.ok && decoded.value.kind === 'heartbeat' ? decoded.value.sentUs : -1
}

test('an idle session lives for hours on its heartbeats', async () => {
  const { clock, primary, agent } = await readySessions(LARGE_CREDIT)
  for (let minute = 0; minute < 120; minute++) clock.run(60_000)
  assert.deepEqual([primary.ends, agent.ends], [[], []])
})

test('a link that goes silent both ways is noticed by both within the detection time', async () => {
  const { clock, network, primary, agent } = await readySessions(LARGE_CREDIT)
  clock.run(5000)
  network.partition('primary', 'agent')
  clock.run(2400)
  assert.deepEqual([primary.ends, agent.ends], [[], []])
  clock.run(601)
  assert.equal(primary.end?.kind, 'silence')
  assert.equal(agent.end?.kind, 'silence')
  assert.match(primary.end?.message ?? '', /nothing was heard from the peer for (2\d\d\d|30\d\d) ms/)
})

test('one-way silence is seen by the side that hears nothing, and its end reaches the other', async () => {
  const { clock, network, primary, agent } = await readySessions(LARGE_CREDIT)
  network.setLink('primary', 'agent', { silent: true })
  clock.run(3100)
  assert.equal(agent.end?.kind, 'silence')
  assert.equal(primary.end?.kind, 'connection')
})

test('any bytes count as life, also half a frame', async () => {
  const { clock, side, peer } = await withRawPeer('agent')
  const bytes = bytesOfFrame(encodeMessage(sampleMessages.hello))
  for (let at = 0; at < 20; at++) {
    peer.connection.write([bytes.subarray(at, at + 1)])
    clock.run(450)
  }
  assert.deepEqual(side.ends, [])
})

test('agreed times replace the default ones', async () => {
  const { clock, network, primary, agent } = await readySessions(LARGE_CREDIT)
  for (const side of [primary, agent]) side.session.setKeepAlive({ heartbeatMs: 20, detectMs: 100 })
  clock.run(5000)
  assert.deepEqual([primary.ends, agent.ends], [[], []])
  network.partition('primary', 'agent')
  clock.run(101)
  assert.equal(primary.end?.kind, 'silence')
  assert.equal(agent.end?.kind, 'silence')
})

test('a peer that says nothing at first is dropped, heartbeats or not', async () => {
  const { clock, primary, agent } = await sessions({}, { firstMessageMs: 4000 })
  primary.session.sendControl(sampleMessages.hello)
  clock.run(4100)
  assert.equal(primary.end?.kind, 'silence')
  assert.match(primary.end?.message ?? '', /no first message within 4000 ms/)
  assert.equal(agent.end?.kind, 'connection')
})

test('pause stops delivery within a batch, resume goes on with it, nothing is lost', async () => {
  const { clock, primary, agent } = await readySessions(LARGE_CREDIT)
  agent.onFrame = (frame) => {
    if (frame.lsn === 2) agent.session.pause()
  }
  primary.session.sendFrames([writeFrame(1), writeFrame(2), writeFrame(3), writeFrame(4)])
  clock.run(100)
  assert.deepEqual(agent.log, ['frame 1', 'frame 2', 'batch'])
  primary.session.sendFrames([writeFrame(5)])
  clock.run(100)
  agent.session.resume()
  assert.deepEqual(agent.log.slice(3), ['frame 3', 'frame 4', 'frame 5', 'batch'])
})

test('a paused session with a quiet live peer lives, and notices a dead one', async () => {
  const { clock, network, primary, agent } = await readySessions(LARGE_CREDIT)
  agent.session.pause()
  clock.run(600_000)
  assert.deepEqual([primary.ends, agent.ends], [[], []])
  network.partition('primary', 'agent')
  clock.run(3100)
  assert.equal(agent.end?.kind, 'silence')
})

test('a paused session holds bounded input, does not judge while it cannot hear, and judges again after resume', async () => {
  const { clock, network, primary, agent } = await readySessions(LARGE_CREDIT)
  agent.session.pause()
  let lsn = 0
  const fill = (): void => {
    while (primary.session.writable && lsn < 1000) primary.session.sendFrames([writeFrame(++lsn, 60_000)])
  }
  primary.onWritable = fill
  fill()
  clock.run(60_000)
  assert.deepEqual([primary.ends, agent.ends], [[], []])
  assert.ok(
    agent.session.receivedBytes < 2 * PAUSED_INPUT_BYTES_MAX,
    `${agent.session.receivedBytes} bytes were taken in`,
  )
  assert.ok(lsn < 200, 'the writer was stopped')
  assert.equal(primary.session.writable, false)
  agent.session.resume()
  clock.run(1000)
  assert.equal(agent.frames.length, 1000)
  network.partition('primary', 'agent')
  clock.run(3100)
  assert.equal(agent.end?.kind, 'silence')
})

test('a clean close says why, after everything that was sent', async () => {
  const { clock, primary, agent } = await readySessions(LARGE_CREDIT, { latencyMs: 5 })
  primary.session.sendFrames([writeFrame(1, 100_000), writeFrame(2)])
  primary.session.close('the daemon stops')
  primary.session.close('again')
  assert.equal(primary.session.ended, true)
  assert.equal(primary.session.sendControl({ kind: 'durable', point: [1, 2] }), false)
  clock.run(1000)
  assert.deepEqual(
    agent.frames.map(({ frame }) => frame.lsn),
    [1, 2],
  )
  assert.deepEqual(agent.ends, [{ kind: 'peer-bye', message: 'the daemon stops', code: null }])
  assert.deepEqual(primary.ends, [{ kind: 'local', message: 'the daemon stops', code: null }])
  assert.deepEqual(agent.log.slice(-2), ['batch', 'closed peer-bye'])
})

test('a close whose peer takes nothing ends after the detection time', async () => {
  const { clock, network, primary } = await readySessions(LARGE_CREDIT)
  network.partition('primary', 'agent')
  primary.session.close('bye')
  clock.run(2900)
  assert.deepEqual(primary.ends, [])
  clock.run(200)
  assert.equal(primary.end?.kind, 'local')
})

test('fail tells the peer a code, destroy tells it nothing, refuse tells it the refusal', async () => {
  const failed = await readySessions(LARGE_CREDIT)
  failed.agent.session.fail('JOURNAL_FAILED', 'the journal cannot be synced')
  failed.clock.run(10)
  assert.deepEqual(failed.primary.ends, [
    { kind: 'peer-error', message: 'the journal cannot be synced', code: 'JOURNAL_FAILED' },
  ])
  assert.deepEqual(failed.agent.ends, [
    { kind: 'local', message: 'the journal cannot be synced', code: 'JOURNAL_FAILED' },
  ])

  const destroyed = await readySessions(LARGE_CREDIT)
  destroyed.agent.session.destroy('fenced by a newer session')
  destroyed.clock.run(10)
  assert.equal(destroyed.primary.end?.kind, 'connection')
  assert.deepEqual(destroyed.agent.ends, [{ kind: 'local', message: 'fenced by a newer session', code: null }])

  const refused = await sessions()
  refused.agent.session.refuse(sampleMessages.refuse)
  refused.clock.run(10)
  assert.deepEqual(refused.primary.messages, [sampleMessages.refuse])
  assert.equal(refused.agent.end?.code, 'older-epoch')
})

test('an error that is not fatal reaches the owner and ends nothing', async () => {
  const { clock, primary, agent } = await readySessions(LARGE_CREDIT)
  const error: ControlMessage = { kind: 'error', code: 'SLOW', message: 'a device is slow', fatal: false }
  agent.session.sendControl(error)
  clock.run(10)
  assert.deepEqual(primary.messages, [error])
  assert.deepEqual(primary.ends, [])
})

test('destroy from within a handler delivers nothing more, of that batch neither', async () => {
  const { clock, primary, agent } = await readySessions(LARGE_CREDIT)
  agent.onFrame = () => agent.session.destroy('fenced')
  primary.session.sendFrames([writeFrame(1), writeFrame(2)])
  clock.run(10)
  assert.deepEqual(agent.log, ['frame 1', 'closed local'])
})

test('a cut connection ends both sides once', async () => {
  const { clock, network, primary, agent } = await readySessions(LARGE_CREDIT)
  network.cut('primary', 'agent')
  clock.run(10_000)
  for (const side of [primary, agent])
    assert.deepEqual(
      side.ends.map((end) => end.kind),
      ['connection'],
    )
})

const wrongs: [string, 'primary' | 'agent', () => Buffer, RegExp][] = [
  ['bytes that are no frame', 'agent', () => Buffer.from('GET / HTTP/1.1\r\n\r\n'), /no frame begins/],
  ['zero fill', 'agent', () => Buffer.alloc(200), /no frame begins/],
  ['a stream frame before ready', 'agent', () => bytesOfFrame(writeFrame(1)), /before this side was ready/],
  ['a stream frame to the primary', 'primary', () => bytesOfFrame(writeFrame(1)), /before this side was ready/],
  [
    'credit before ready',
    'primary',
    () => bytesOfFrame(encodeMessage({ kind: 'credit', bytes: 5 })),
    /credit before ready/,
  ],
  [
    'credit that falls',
    'primary',
    () =>
      Buffer.concat(
        [sampleMessages.ready, { kind: 'credit', bytes: 1 } as const].map((message) =>
          bytesOfFrame(encodeMessage(message)),
        ),
      ),
    /less than before/,
  ],
  [
    'ready to an agent',
    'agent',
    () => bytesOfFrame(encodeMessage(sampleMessages.ready)),
    /ready at a place where it has none/,
  ],
  [
    'ready twice',
    'primary',
    () => Buffer.concat([1, 2].map(() => bytesOfFrame(encodeMessage(sampleMessages.ready)))),
    /ready at a place where it has none/,
  ],
  [
    'a message of an unknown kind',
    'agent',
    () => bytesOfFrame(encodeFrame({ type: FrameType.control }, Buffer.from('81a46b696e64a16b', 'hex'))),
    /"k" is not a control message/,
  ],
  [
    'a control frame without payload',
    'agent',
    () => bytesOfFrame(encodeFrame({ type: FrameType.control }, null)),
    /empty/,
  ],
]
for (const [what, role, bytes, why] of wrongs) {
  test(`${what} ends the session with a sentence for both sides`, async () => {
    const { clock, side, peer } = await withRawPeer(role)
    peer.connection.write([bytes()])
    clock.run(5000)
    assert.equal(side.end?.kind, 'protocol')
    assert.match(side.end?.message ?? '', why)
    assert.equal(side.frames.length, 0)
    assert.ok(peer.closed)
    assert.ok(Buffer.concat(peer.received).includes('error'), 'the peer is told')
  })
}

test('more frames than were granted end the session', async () => {
  const { clock, side, peer } = await withRawPeer('agent')
  side.session.sendControl({ kind: 'ready', end: [0, 0], creditBytes: 500 })
  peer.connection.write([bytesOfFrame(writeFrame(1, 300)), bytesOfFrame(writeFrame(2, 300))])
  clock.run(5000)
  assert.deepEqual(
    side.frames.map(({ frame }) => frame.lsn),
    [1],
  )
  assert.match(side.end?.message ?? '', /more than the 500 bytes/)
})

test('[FMT-03] a flipped bit anywhere in the stream ends the session, names what failed, and no damaged frame is handed out', async (t) => {
  const random = seeded(t)
  const seen = new Set<string>()
  for (let round = 0; round < 150; round++) {
    const { clock, network, primary, agent } = await readySessions(
      LARGE_CREDIT,
      { segmentBytesMin: 20, segmentBytesMax: 4000 },
      { seed: random.next() },
    )
    const frames = Array.from({ length: 10 }, (_, index) => writeFrame(index + 1, random.below(1000)))
    network.flipNext('primary', 'agent')
    primary.session.sendFrames(frames)
    clock.run(1000)
    const { end } = agent
    assert.equal(end?.kind, 'protocol', JSON.stringify(end))
    seen.add((end?.message ?? '').replace(/ \(.*/, ''))
    assert.ok(agent.frames.length < 10)
    for (const { frame, count } of agent.frames) assert.ok(bytesOfFrame(frame).equals(bytesOfFrame(frames[count - 1]!)))
    assert.equal(primary.end?.kind, 'peer-error')
    assert.equal(primary.end?.code, 'damaged')
  }
  assert.ok(
    [...seen].some((message) => /header/.test(message)) && [...seen].some((message) => /payload/.test(message)),
    [...seen].join(),
  )
})

test('random bytes into a session never throw, never hand out a frame, and always end it', async (t) => {
  const random = seeded(t)
  for (let round = 0; round < 200; round++) {
    const { clock, side, peer } = await withRawPeer('agent')
    side.session.sendControl({ kind: 'ready', end: [0, 0], creditBytes: 1e6 })
    const good = bytesOfFrame(writeFrame(1, random.below(300)))
    for (let count = 0; count < 10; count++) {
      const bytes = random.oneIn(3) ? random.bytes(1 + random.below(300)) : Buffer.from(good)
      if (random.oneIn(2)) bytes[random.below(bytes.length)] = random.below(256)
      peer.connection.write([bytes.subarray(0, 1 + random.below(bytes.length))])
      clock.run(1)
    }
    peer.connection.close()
    clock.run(20_000)
    assert.equal(side.ends.length, 1)
    for (const { frame } of side.frames) assert.ok(bytesOfFrame(frame).equals(good))
  }
})

test('a session holds at most one frame that is not whole, however the peer cuts it', async () => {
  const { clock, side, peer } = await withRawPeer('agent')
  const header = Buffer.from(writeFrame(1, 1024 * 1024).header)
  peer.connection.write([header])
  clock.run(1)
  for (let index = 0; index < 16; index++) {
    peer.connection.write([Buffer.alloc(60_000)])
    clock.run(1)
  }
  assert.deepEqual(side.ends, [])
  const beyond = Buffer.from(header)
  beyond.writeUInt32LE(0xffff_ffff, 80)
  const other = await withRawPeer('agent')
  other.peer.connection.write([beyond])
  other.clock.run(10)
  assert.match(other.side.end?.message ?? '', /CRC of a frame header/)
})
