/** Compression: the policy alone, sessions that use it, and peers that send what was never packed by anybody. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { brotliCompressSync, constants } from 'node:zlib'
import {
  encodeFrame,
  encodeMessage,
  FRAME_HEADER_BYTES,
  frameBytes,
  FrameType,
  stepAgent,
  type AgentFacts,
  type AgentHandshake,
  type Frame,
} from '../../src/index.js'
import { PACK_RAW_BYTES_MAX } from '../../src/limits.js'
import { CODEC_IDS, CODECS } from '../../src/session/codec.js'
import { CompressionPolicy, type CompressionMode } from '../../src/session/compression-policy.js'
import { Packer } from '../../src/session/packer.js'
import { bytesOfFrame, sampleMessages } from '../support/samples.js'
import { SEED, seeded } from '../support/random.js'
import { SimClock } from '../support/clock.js'
import { sessions, withRawPeer, writeFrame } from '../support/session-world.js'

const BROTLI = 1
const CREDIT = 64 * 1024 * 1024

async function pair(mode: () => CompressionMode, codecs: readonly number[] = CODEC_IDS) {
  const world = await sessions({ segmentBytesMin: 1, segmentBytesMax: 9000 }, { seed: SEED, compression: mode })
  if (codecs.length > 0) world.agent.session.sendControl({ kind: 'codecs', codecs })
  world.agent.session.sendControl({ kind: 'ready', end: [1, 0], creditBytes: CREDIT })
  world.clock.run(200)
  return world
}

function randomFrame(lsn: number, payload: Buffer): Frame {
  return encodeFrame({ type: FrameType.write, lsn, incarnation: 1, deviceId: 1, length: payload.length }, payload)
}

test('compressed frames arrive as the very same bytes, in order, among the messages, and count as they are', async (t) => {
  const random = seeded(t)
  const { clock, primary, agent } = await pair(() => 'on')
  const sent: Frame[] = []
  const wanted: string[] = []
  for (let round = 0; round < 60; round += 1) {
    const run: Frame[] = []
    for (let count = random.below(12); count > 0; count -= 1) {
      const lsn = sent.length + run.length + 1
      const size = random.oneIn(15) ? 1024 * 1024 : random.below(20_000)
      run.push(random.oneIn(4) ? randomFrame(lsn, random.bytes(size)) : writeFrame(lsn, size))
      wanted.push(`frame ${lsn}`)
    }
    primary.session.sendFrames(run)
    sent.push(...run)
    if (random.oneIn(3)) {
      primary.session.sendControl({ kind: 'durable', point: [1, sent.length] })
      wanted.push('durable')
    }
    clock.run(5)
  }
  clock.run(5000)
  assert.deepEqual(
    agent.log.filter((line) => line !== 'batch'),
    wanted,
  )
  for (const [at, { frame }] of agent.frames.entries())
    assert.ok(bytesOfFrame(frame).equals(bytesOfFrame(sent[at] as Frame)), `frame ${at}`)
  assert.equal(agent.session.streamFrames, primary.session.streamFrames)
  assert.equal(agent.session.streamBytes, primary.session.streamBytes)
  const { active, rawBytes, wireBytes, codec } = primary.session.compression
  assert.equal(active, true)
  assert.equal(codec, CODECS[0]?.name)
  assert.equal(rawBytes, primary.session.streamBytes)
  assert.ok(wireBytes < rawBytes / 2, `${rawBytes} became ${wireBytes}`)
  assert.ok(primary.session.sentBytes < rawBytes / 2 + 100_000)
})

test('a receiver that pauses in the middle of a packed frame gets the rest of it when it goes on', async () => {
  const { clock, primary, agent } = await pair(() => 'on')
  agent.onFrame = () => agent.session.pause()
  primary.session.sendFrames(Array.from({ length: 30 }, (_, at) => writeFrame(at + 1, 500)))
  clock.run(100)
  for (let count = 1; count <= 30; count += 1) {
    assert.equal(agent.frames.length, count)
    agent.session.resume()
  }
  assert.deepEqual(
    agent.frames.map(({ frame }) => frame.lsn),
    Array.from({ length: 30 }, (_, at) => at + 1),
  )
})

test('a peer that names no compression, or none that is known, gets none, and the report says so', async () => {
  for (const codecs of [[], [200]]) {
    const { clock, primary, agent } = await pair(() => 'auto', codecs)
    const frames = Array.from({ length: 10 }, (_, at) => writeFrame(at + 1, 5000))
    primary.session.sendFrames(frames)
    clock.run(1000)
    assert.equal(agent.frames.length, 10)
    const { active, why, codec, rawBytes, wireBytes } = primary.session.compression
    assert.deepEqual([active, why, codec, rawBytes], [false, 'peer', null, wireBytes])
  }
})

test('an agent names its compressions only to a primary that knows of them', () => {
  const { hello, welcome, resume } = sampleMessages
  for (const [wireVersion, kinds] of [
    [1, ['send', 'established']],
    [2, ['send', 'send', 'established']],
  ] as const) {
    const state: AgentHandshake = { kind: 'cutting', hello, welcome: { ...welcome, wireVersion }, resume }
    const step = stepAgent(state, { kind: 'cut', creditBytes: 5 }, {} as AgentFacts)
    assert.ok(step.kind === 'next')
    assert.deepEqual(
      step.effects.map(({ kind }) => kind),
      kinds,
    )
  }
})

/** A packed frame of whatever is given. */
function packed(payload: Buffer, length: number, aux = BROTLI): Buffer {
  return bytesOfFrame(encodeFrame({ type: FrameType.packed, length, aux }, payload))
}
const brotli = (bytes: Buffer): Buffer => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })

test('a bomb, a length that lies, bytes that are none, and what must not be inside end the session with what is wrong', async () => {
  const good = bytesOfFrame(writeFrame(1, 1000))
  const bad = Buffer.from(good)
  bad[500] = (bad[500] as number) ^ 1
  const control = bytesOfFrame(encodeMessage({ kind: 'bye', reason: 'x' }))
  const bomb = brotli(Buffer.alloc(256 * 1024 * 1024))
  for (const [name, bytes, why] of [
    ['a bomb', packed(bomb, good.length), /cannot be unpacked to the 1096 bytes/],
    ['a bomb that says so', packed(bomb, 256 * 1024 * 1024), /length that cannot be/],
    ['a bomb of the largest size', packed(bomb, PACK_RAW_BYTES_MAX), /cannot be unpacked/],
    ['less than announced', packed(brotli(good), good.length + 1), /1096 bytes came out, 1097 were announced/],
    ['more than announced', packed(brotli(good), good.length - 1), /cannot be unpacked/],
    ['bytes behind the end', packed(Buffer.concat([brotli(good), Buffer.alloc(3)]), good.length), /behind the end/],
    ['noise', packed(Buffer.alloc(100, 0xa5), 1000), /cannot be unpacked/],
    ['nothing', packed(Buffer.alloc(0), 1000), /length that cannot be/],
    ['an unknown compression', packed(brotli(good), good.length, 77), /compression 77, which this side does not read/],
    ['a flipped bit inside', packed(brotli(bad), bad.length), /no run of frames \(corrupt\)/],
    ['half a frame', packed(brotli(good.subarray(0, 600)), 600), /no run of frames \(need-more\)/],
    ['a message inside', packed(brotli(control), control.length), /something else than frames of the stream/],
    [
      'a packed frame in a packed frame',
      packed(brotli(packed(brotli(good), good.length)), packed(brotli(good), good.length).length),
      /something else than frames/,
    ],
  ] as const) {
    const { clock, side, peer } = await withRawPeer('agent')
    side.session.sendControl({ kind: 'ready', end: [1, 0], creditBytes: CREDIT })
    peer.connection.write([bytes])
    clock.run(5000)
    assert.equal(side.end?.kind, 'protocol', name)
    assert.match(side.end?.message ?? '', why, name)
    assert.equal(side.frames.length, 0, name)
  }
})

test('what a packed frame holds counts against credit before it is unpacked', async () => {
  const { clock, side, peer } = await withRawPeer('agent')
  side.session.sendControl({ kind: 'ready', end: [1, 0], creditBytes: 5000 })
  const run = Buffer.concat([1, 2, 3, 4, 5].map((lsn) => bytesOfFrame(writeFrame(lsn, 1000))))
  peer.connection.write([packed(brotli(run), run.length)])
  clock.run(5000)
  assert.equal(side.end?.kind, 'protocol')
  assert.match(side.end?.message ?? '', /holds more than was granted/)
  assert.equal(side.frames.length, 0)
})

test('before ready nothing is unpacked', async () => {
  const { clock, side, peer } = await withRawPeer('agent')
  const run = bytesOfFrame(writeFrame(1, 1000))
  peer.connection.write([packed(brotli(run), run.length)])
  clock.run(5000)
  assert.match(side.end?.message ?? '', /before this side was ready/)
})

/**
 * A stream that is always busy: it carries `linkBytesPerMs` on the wire, and packing takes a millisecond for each
 * `cpuBytesPerMs`. Answers raw bytes per millisecond over the last part of the time.
 */
function carried(
  policy: CompressionPolicy,
  mode: CompressionMode,
  { ratio, linkBytesPerMs, cpuBytesPerMs }: { ratio: number; linkBytesPerMs: number; cpuBytesPerMs: number },
  forMs = 20_000,
): number {
  const run = 256 * 1024
  let [nowMs, raw, skipped] = [0, 0, 0]
  while (nowMs < forMs) {
    const packs = policy.wants(mode, nowMs)
    const spentMs = packs ? run / cpuBytesPerMs : 0
    const wire = packs ? run / ratio : run
    // The link drains while the next run is packed: the slower of both counts.
    policy.note(run, wire, spentMs, nowMs + spentMs)
    nowMs += Math.max(spentMs, wire / linkBytesPerMs)
    raw += run
    if (nowMs < forMs / 4) skipped = raw
  }
  return (raw - skipped) / (nowMs - forMs / 4)
}

test('auto carries twice as much of text over a narrow link, and costs nothing where it cannot help', () => {
  const narrow = { ratio: 3.5, linkBytesPerMs: 10_000, cpuBytesPerMs: 100_000 }
  const text = carried(new CompressionPolicy(), 'auto', narrow)
  assert.ok(text > 3 * 10_000, `${text} bytes a millisecond`)
  const noise = new CompressionPolicy()
  const random = carried(noise, 'auto', { ...narrow, ratio: 1, cpuBytesPerMs: 200_000 })
  assert.ok(random > 0.97 * 10_000, `${random} bytes a millisecond`)
  assert.deepEqual([noise.active, noise.why], [false, 'incompressible'])
  // A link that is faster than the processor.
  const fast = new CompressionPolicy()
  const loopback = carried(fast, 'auto', { ratio: 3.5, linkBytesPerMs: 500_000, cpuBytesPerMs: 100_000 })
  assert.ok(loopback > 0.93 * 500_000, `${loopback} bytes a millisecond`)
  assert.equal(fast.why === 'cpu' || fast.why === 'trying', true, fast.why)
})

test('auto goes on where it takes much of the time and yet more goes through', () => {
  const policy = new CompressionPolicy()
  const rate = carried(policy, 'auto', { ratio: 10, linkBytesPerMs: 10_000, cpuBytesPerMs: 80_000 })
  assert.ok(rate > 70_000, `${rate} bytes a millisecond`)
  assert.deepEqual([policy.active, policy.why], [true, 'worth-it'])
})

test('auto tries again at longer and longer intervals, and is back once the data become smaller', () => {
  const policy = new CompressionPolicy()
  const tries: number[] = []
  for (let nowMs = 0; nowMs < 200_000; nowMs += 10) {
    const packs = policy.wants('auto', nowMs)
    if (packs) tries.push(nowMs)
    policy.note(65_536, packs ? 65_000 : 65_536, packs ? 0.2 : 0, nowMs)
  }
  assert.ok(tries.length <= 12, `tried ${tries.length} times`)
  assert.ok(tries.length >= 6, `tried ${tries.length} times`)
  const last = tries.at(-1) as number
  assert.ok(last > 100_000)
  let nowMs = 200_000
  while (!policy.wants('auto', nowMs)) nowMs += 10
  assert.ok(nowMs < 270_000)
  for (let count = 0; count < 100; count += 1) {
    policy.note(65_536, 20_000, 0.2, nowMs)
    nowMs += 10
    assert.equal(policy.wants('auto', nowMs), true)
  }
  assert.equal(policy.why, 'worth-it')
})

test('auto is judged by enough bytes: not by one small run, and at any pace of them', () => {
  const policy = new CompressionPolicy()
  let nowMs = 0
  const run = (raw: number, wire: number): boolean => {
    const active = policy.wants('auto', nowMs)
    policy.note(raw, active ? wire : raw, 0.01, nowMs)
    nowMs += 100
    return active
  }
  // The first frame is small and noise; what follows becomes a third.
  run(64, 64)
  for (let count = 0; count < 100; count += 1) assert.equal(run(4096, 1400), true, `run ${count}`)
  assert.equal(policy.why, 'worth-it')
  // 40 KiB a second of noise: no window of comparison holds enough to say so.
  for (let count = 0; count < 400 && run(4096, 4096); count += 1);
  assert.deepEqual([policy.active, policy.why], [false, 'incompressible'])
  // One that was never judged is not called worth its while.
  const slow = new CompressionPolicy()
  for (let at = 0; at < 10; at += 1) {
    slow.wants('auto', at * 1000)
    slow.note(64, 64, 0.01, at * 1000)
  }
  assert.equal(slow.why, 'trying')
})

test('off means off and on means on, from the next run on', () => {
  let mode: CompressionMode = 'off'
  const packer = new Packer(new SimClock(), () => mode)
  packer.peerReads(CODEC_IDS)
  const frames = Array.from({ length: 20 }, (_, at) => writeFrame(at + 1, 1000))
  const bytes = frames.reduce((sum, frame) => sum + frameBytes(frame), 0)
  const wire = (): number => packer.chunks(frames, bytes).reduce((sum, chunk) => sum + chunk.length, 0)
  assert.equal(wire(), bytes)
  mode = 'on'
  assert.ok(wire() < bytes / 2)
  mode = 'off'
  assert.equal(wire(), bytes)
  assert.equal(packer.report().active, false)
  mode = 'on'
  // What does not become smaller goes as it is.
  const small = [writeFrame(1, 10)]
  assert.deepEqual(packer.chunks(small, FRAME_HEADER_BYTES + 10).length, 2)
})
