/** Where a session's bytes are read into, and that frames come out as they were sent wherever they were. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PayloadPool } from '../../src/entry/index.js'
import { encodeFrame, FrameType, type Frame } from '../../src/index.js'
import { SessionInput } from '../../src/session/session-input.js'
import { seeded } from '../support/random.js'

const KIB = 1024

function frameOf(lsn: number, payload: Buffer): Frame {
  return encodeFrame({ type: FrameType.write, lsn, incarnation: 1, deviceId: 1, length: payload.length }, payload)
}

const bytesOf = ({ header, payload }: Frame): Buffer => Buffer.concat([header, payload ?? Buffer.alloc(0)])

test('the rest of a large payload is read to where it stays', () => {
  const sent = frameOf(1, Buffer.alloc(256 * KIB, 7))
  const bytes = bytesOf(sent)
  const input = new SessionInput()
  const first = input.room()
  input.push(first.subarray(0, bytes.copy(first, 0, 0, 10_000)))
  assert.equal(input.next().kind, 'more')
  const room = input.room()
  assert.equal(room.length, bytes.length - 10_000, 'the whole rest in one read')
  input.push(room.subarray(0, bytes.copy(room, 0, 10_000)))
  const step = input.next()
  assert.equal(step.kind, 'frame')
  const { payload } = (step as { readonly frame: Frame }).frame
  assert.ok(payload?.buffer === room.buffer, 'without a copy')
  assert.ok(payload?.equals(sent.payload as Buffer))
  assert.ok(input.room().length <= 4 * KIB, 'the next one is expected to be large, and its header is read alone')
})

test('frames come out as they were sent, wherever and in whatever pieces they were read', { timeout: 60_000 }, (t) => {
  const random = seeded(t)
  for (let round = 0; round < 60; round++) {
    const frames: Frame[] = []
    for (let lsn = 1; lsn <= 20; lsn++) {
      const size = random.pick([0, 100, 4 * KIB, 33 * KIB, 200 * KIB])
      frames.push(frameOf(lsn, random.bytes(1 + random.below(size + 1))))
    }
    const bytes = Buffer.concat(frames.map(bytesOf))
    const input = new SessionInput()
    const seen: Frame[] = []
    const look = (): void => {
      for (let step = input.next(); step.kind !== 'more'; step = input.next()) {
        assert.equal(step.kind, 'frame')
        seen.push((step as { readonly frame: Frame }).frame)
      }
    }
    for (let at = 0; at < bytes.length;) {
      // A connection that cannot brings memory of its own; a session that is paused looks later.
      const room = random.oneIn(10) ? Buffer.allocUnsafeSlow(1 + random.below(70_000)) : input.room()
      const count = Math.min(room.length, bytes.length - at, 1 + random.below(random.pick([100, 70_000, 300_000])))
      input.push(room.subarray(0, bytes.copy(room, 0, at, at + count)))
      at += count
      if (!random.oneIn(3)) look()
    }
    look()
    assert.equal(seen.length, frames.length)
    seen.forEach((frame, at) => assert.ok(bytesOf(frame).equals(bytesOf(frames[at] as Frame)), `frame ${at + 1}`))
  }
})

test(
  'a payload stays as it came until its memory is given back, and others come into that memory',
  { timeout: 60_000 },
  (t) => {
    const random = seeded(t)
    const pool = new PayloadPool(4 * KIB * KIB)
    let [used, again] = [0, 0]
    for (let round = 0; round < 40; round++) {
      const frames: Frame[] = []
      for (let lsn = 1; lsn <= 20; lsn++) {
        const size = random.pick([100, 40 * KIB, 64 * KIB, 200 * KIB])
        frames.push(frameOf(lsn, random.bytes(1 + random.below(size))))
      }
      const bytes = Buffer.concat(frames.map(bytesOf))
      const input = new SessionInput(pool)
      const held: Frame[] = []
      let seen = 0
      const check = (frame: Frame): void =>
        assert.ok(bytesOf(frame).equals(bytesOf(frames[frame.lsn - 1] as Frame)), `frame ${frame.lsn}`)
      const done = (frame: Frame): void => {
        check(frame)
        if (frame.memory === null) return
        used++
        frame.memory.release()
      }
      const look = (): void => {
        for (let step = input.next(); step.kind !== 'more'; step = input.next()) {
          assert.equal(step.kind, 'frame')
          seen++
          const { frame } = step as { readonly frame: Frame }
          held.push(frame)
        }
      }
      for (let at = 0; at < bytes.length;) {
        const room = input.room()
        const count = Math.min(room.length, bytes.length - at, 1 + random.below(random.pick([100, 70_000, 300_000])))
        const before = pool.keptBytes
        input.push(room.subarray(0, bytes.copy(room, 0, at, at + count)))
        at += count
        if (!random.oneIn(3)) look()
        if (pool.keptBytes < before) again++
        while (held.length > 0 && random.oneIn(2)) done(held.splice(random.below(held.length), 1)[0] as Frame)
        held.forEach(check)
      }
      look()
      held.forEach(done)
      assert.equal(seen, frames.length)
    }
    assert.ok(used > 100 && again > 100, `${used} were given back, ${again} were used again`)
  },
)

test('only payloads of writes and copies lie in memory that is given back, and only large ones', () => {
  const memoryOf = (type: FrameType, bytes: number): boolean => {
    const sent = encodeFrame({ type, lsn: 1, incarnation: 1, deviceId: 1, length: bytes }, Buffer.alloc(bytes, 7))
    const all = bytesOf(sent)
    const input = new SessionInput(new PayloadPool(KIB * KIB))
    input.push(all.subarray(0, 50))
    assert.equal(input.next().kind, 'more')
    input.push(all.subarray(50))
    const step = input.next()
    assert.equal(step.kind, 'frame')
    return (step as { readonly frame: Frame }).frame.memory !== null
  }
  assert.equal(memoryOf(FrameType.write, 32 * KIB), true)
  assert.equal(memoryOf(FrameType.copy, 32 * KIB), true)
  assert.equal(memoryOf(FrameType.write, 32 * KIB - 1), false)
  for (const type of [FrameType.marker, FrameType.map, FrameType.resyncBegin, FrameType.packed, FrameType.control])
    assert.equal(memoryOf(type, 64 * KIB), false, `type ${type}`)
})

test('memory that bytes may still be read into is not given back, whatever became of its payload', () => {
  const pool = new PayloadPool(KIB * KIB)
  const bytes = bytesOf(frameOf(1, Buffer.alloc(100 * KIB, 7)))
  const input = new SessionInput(pool)
  input.push(bytes.subarray(0, 1000))
  assert.equal(input.next().kind, 'more')
  assert.equal(input.room().length, bytes.length - 1000, 'a connection is told to read there')
  input.push(bytes.subarray(1000))
  const step = input.next()
  assert.equal(step.kind, 'frame', 'and brings the bytes elsewhere')
  ;(step as { readonly frame: Frame }).frame.memory?.release()
  assert.equal(pool.keptBytes, 0)
  input.room()
  assert.equal(pool.keptBytes, 100 * KIB)
  input.clear()
  assert.equal(pool.keptBytes, 0, 'a session that is over keeps nothing')
})
