/**
 * Write-back and its owner: unknown devices, attach and detach, drain and stop, marks, losses, a log that cannot be read.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeFrame, FrameType, type Frame } from '@sitelink/protocol/entry'
import { FaultDisk, Prng } from '../../src/testing/index.js'
import { WriteBackReadError } from '../../src/write-back/read.js'
import { WriteBackLimitEnded, WriteBackStopped } from '../../src/write-back/stopped.js'
import { MIB, World } from './world.js'

const world = (options: Partial<ConstructorParameters<typeof World>[0]> = {}): World =>
  new World({ prng: new Prng(1), ...options })

/** True once the promise is settled, without waiting. */
function watch(promise: Promise<unknown>): { settled: boolean } {
  const state = { settled: false }
  const settle = (): void => {
    state.settled = true
  }
  promise.then(settle, settle)
  return state
}

test('[REC-09] entries of an unknown device are held, and nothing behind them is applied, until it is attached', async () => {
  const w = world()
  const before = w.write(0, 4096)
  w.write(0, 4096, 9)
  const after = w.write(8192, 4096)
  w.allow()
  await w.clock.advance(5000)
  assert.deepEqual(w.applied, { position: before.end, lsn: 1 })
  assert.deepEqual(new Set(w.onDisk(8192, 4096)), new Set([0]))
  assert.deepEqual(w.writeBack.status().heldDeviceIds, [9])
  assert.equal(w.writeBack.memoryBytes, 0, 'held entries give their bytes back to the log')
  assert.deepEqual(new Set(await w.read(0, 4096, 9)), new Set([2]))
  const disk = new FaultDisk({ sizeBytes: 4 * MIB, prng: new Prng(2) })
  w.writeBack.attach(9, w.addDisk(9, disk))
  await w.clock.advance(5000)
  assert.deepEqual(w.applied, { position: after.end, lsn: 3 })
  assert.deepEqual(new Set(w.onDisk(0, 4096, 9)), new Set([2]))
})

test('[REC-09] held entries are discarded when the operator says so', async () => {
  const w = world()
  w.write(0, 4096, 9)
  const after = w.write(8192, 4096)
  w.allow()
  await w.clock.advance(100)
  await w.clock.runUntil(w.writeBack.detach(9, 'drop'))
  await w.clock.advance(5000)
  assert.equal(w.applied.position, after.end)
  const late = w.write(0, 4096, 9)
  w.allow()
  await w.drain()
  assert.equal(w.applied.position, late.end, 'later entries of a dropped id only move the position')
  assert.equal(w.writeBack.intervalCount, 0)
})

test('detaching applies first what was noted, waiting for the limit, and drops what comes later', async () => {
  const w = world({ deviceCount: 2, latency: true })
  w.write(0, 4096, 1)
  w.write(0, 4096, 2)
  w.disk(2).inject({ on: 'write', error: 'EIO', count: Number.POSITIVE_INFINITY })
  const detached = w.writeBack.detach(1, 'apply-first')
  const state = watch(detached)
  w.writeBack.note(w.log.append({ type: FrameType.write, deviceId: 1, offset: 4096, length: 4096 }))
  await w.clock.advance(3000)
  assert.equal(state.settled, false)
  assert.ok(w.limitWanted > 0)
  w.allow()
  await w.clock.runUntil(detached)
  assert.deepEqual(new Set(w.disk(1).peekDurable(0, 4096)), new Set([1, 0]), 'durable, though the other device fails')
  assert.deepEqual(new Set(w.onDisk(4096, 4096)), new Set([0]))
  const failure = await w.read(0, 4096, 1).then(
    () => null,
    (error: unknown) => error,
  )
  assert.ok(failure instanceof WriteBackReadError && failure.reason === 'detached' && failure.code === 'EIO')
})

test('dropping a device ends a detach that waits for it, and lets the others go on', async () => {
  const w = world({ deviceCount: 2, latency: true })
  w.write(0, 4096, 1)
  const second = w.write(0, 4096, 2)
  w.disk(1).inject({ on: 'write', error: 'EIO', count: Number.POSITIVE_INFINITY })
  w.allow()
  const first = w.writeBack.detach(1, 'apply-first')
  await w.clock.advance(1000)
  assert.equal(watch(first).settled, false)
  await w.clock.runUntil(w.writeBack.detach(1, 'drop'))
  await w.clock.runUntil(first)
  await w.clock.advance(3000)
  assert.equal(w.applied.position, second.end)
})

test('a detach resolves when nothing is under way on the device any more', async () => {
  const w = world({ latency: true })
  w.write(0, 4096)
  w.allow()
  await w.clock.advance(21)
  assert.equal(w.disk().underWayCount, 1)
  await w.clock.runUntil(w.writeBack.detach(1, 'drop'))
  assert.equal(w.disk().underWayCount, 0)
  await w.clock.advance(1000)
  assert.equal(w.applied.lsn, 1)
})

test('a device that failed goes on through another handle to it', async () => {
  const w = world()
  const entry = w.write(0, 4096)
  w.disk().inject({ on: 'sync', error: 'EIO', count: Number.POSITIVE_INFINITY, keep: 'none' })
  w.allow()
  await w.clock.advance(3000)
  assert.deepEqual(w.events, ['failed 1'])
  const again = new FaultDisk({ sizeBytes: 4 * MIB, prng: new Prng(3) })
  w.writeBack.attach(1, w.addDisk(1, again))
  await w.clock.advance(3000)
  assert.equal(w.applied.position, entry.end)
  assert.deepEqual(w.events, ['failed 1', 'recovered 1'])
  assert.deepEqual(new Set(again.peekDurable(0, 4096)), new Set([1, 0]))
})

test('the other devices are written while one fails, and the position waits', async () => {
  const w = world({ deviceCount: 2 })
  w.disk(1).inject({ on: 'write', error: 'EIO', count: Number.POSITIVE_INFINITY })
  w.write(0, 4096, 1)
  w.write(0, 4096, 2)
  w.allow()
  await w.clock.advance(200)
  w.write(8192, 4096, 2)
  w.allow()
  await w.clock.advance(2000)
  assert.deepEqual(new Set(w.onDisk(0, 4096, 2)), new Set([2]))
  assert.deepEqual(new Set(w.onDisk(8192, 4096, 2)), new Set([3]))
  assert.equal(w.applied.position, 4096)
  assert.deepEqual(w.writeBack.status().failedDeviceIds, [1])
  assert.ok((w.writeBack.status().oldestUnappliedMs ?? 0) >= 2000)
})

test('a read that was under way while a sync failed is done again from the layers', async () => {
  const w = world()
  w.write(0, 4096)
  w.allow()
  await w.clock.advance(100)
  w.disk().inject({ on: 'sync', error: 'EIO', keep: 'none' })
  const disk = w.disk()
  const plain = w.devices.get(1)
  assert.ok(plain !== undefined)
  // The device answers with what the medium holds after the failed sync, once the failure is known.
  let late: (() => void) | null = null
  plain.read = (into, offset) =>
    new Promise((resolve) => {
      late = () => {
        disk.dropAbandoned()
        into.set(disk.peek(offset, into.length))
        resolve()
      }
    })
  const read = w.writeBack.read(1, 0, 4096)
  await w.clock.advance(1000)
  assert.deepEqual(w.events, ['failed 1'])
  const go = late as (() => void) | null
  go?.()
  const bytes = Buffer.concat(await w.clock.runUntil(read))
  assert.equal(bytes.readUInt32LE(0), 1)
})

test('a drain applies what is noted and allowed, and leaves the rest', async () => {
  const w = world()
  const first = w.write(0, 4096)
  w.allow()
  const drained = w.writeBack.drain()
  w.write(4096, 4096)
  await w.clock.runUntil(drained)
  assert.equal(w.applied.position, first.end)
  await w.drain()
  assert.equal(w.applied.position, first.end)
  w.allow()
  await w.drain()
  assert.equal(w.applied.lsn, 2)
  await w.drain()
})

test('a drain waits for a failing device', async () => {
  const w = world()
  w.disk().inject({ on: 'write', error: 'EIO', count: 4 })
  w.write(0, 4096)
  w.allow()
  await w.drain()
  assert.equal(w.applied.lsn, 1)
})

test('who waits for entries above a limit that has ended is refused, keeps the device, and nobody else is', async () => {
  const w = world()
  w.write(0, 4096)
  w.allow()
  w.write(4096, 4096)
  const detached = assert.rejects(w.writeBack.detach(1, 'apply-first'), WriteBackLimitEnded)
  await w.clock.advance(1000)
  w.writeBack.endLimit()
  await w.clock.runUntil(detached)
  assert.deepEqual(new Set(await w.read(4096, 4096)), new Set([2]), 'its entries are still there')
  await assert.rejects(w.clock.runUntil(w.writeBack.detach(1, 'apply-first')), WriteBackLimitEnded, 'later as well')
  await w.clock.runUntil(w.writeBack.detach(1, 'drop'))
})

test('a stop waits for what is under way, starts nothing, and ends the waits', async () => {
  const w = world({ latency: true })
  w.write(0, 4096)
  w.allow()
  const drained = w.writeBack.drain()
  const refused = drained.then(
    () => null,
    (error: unknown) => error,
  )
  await w.clock.settle()
  await w.clock.runUntil(w.writeBack.stop())
  assert.ok((await refused) instanceof WriteBackStopped)
  const { writes, syncs } = w.disk().counts
  assert.equal(w.disk().underWayCount, 0)
  w.write(4096, 4096)
  w.allow()
  await w.clock.advance(10_000)
  assert.deepEqual([w.disk().counts.writes, w.disk().counts.syncs], [writes, syncs])
  assert.deepEqual(new Set(await w.read(4096, 4096)), new Set([2]), 'reads go on')
  await assert.rejects(w.writeBack.drain(), WriteBackStopped)
})

test('a checkpoint writes and syncs without waiting for size or age', async () => {
  const w = world({ limits: { layerAgeMs: 60_000, syncMs: 60_000 } })
  w.write(0, 4096)
  w.allow()
  await w.clock.advance(1000)
  assert.equal(w.applied.lsn, 0)
  w.writeBack.checkpoint()
  await w.clock.settle()
  assert.equal(w.applied.lsn, 1)
  w.write(4096, 4096)
  w.writeBack.checkpoint()
  await w.clock.settle()
  assert.equal(w.applied.lsn, 1)
  w.allow()
  await w.clock.settle()
  assert.equal(w.applied.lsn, 2, 'also what is allowed only later')
})

test('frames that change no device are reported in order, when everything up to them is applied', async () => {
  const seen: [number, number][] = []
  const frames: Frame[] = []
  const w = world({
    sink: {
      applied: (frame) => {
        frames.push(frame)
        seen.push([frame.lsn, w.applied.lsn])
        assert.ok(w.writeBack.appliedLsn >= frame.lsn)
      },
    },
  })
  const mark = (type: FrameType, payload: Buffer | null = null): void => {
    w.writeBack.note(w.log.appendFrame(encodeFrame({ type, deviceId: 9, lsn: ++w.log.lastLsn }, payload)))
  }
  mark(FrameType.map, Buffer.from('x'))
  w.write(0, 4096)
  mark(FrameType.marker)
  w.note({ type: FrameType.copy, deviceId: 1, offset: 4096, length: 4096 })
  mark(FrameType.skip)
  mark(FrameType.resyncBegin)
  mark(FrameType.unmap)
  w.disk().inject({ on: 'sync', error: 'EIO' })
  await w.clock.advance(2000)
  assert.equal(seen.length, 0, 'nothing is reported above the limit')
  w.allow()
  await w.clock.advance(1050)
  assert.equal(seen.length, 0, 'a failed sync applies nothing')
  await w.clock.advance(3000)
  assert.deepEqual(
    seen.map(([lsn]) => lsn),
    [1, 3, 4, 5, 6, 7],
  )
  assert.ok(
    seen.every(([, applied]) => applied === 0),
    'the sink comes before the listener',
  )
  assert.equal(frames[0]?.payload?.toString(), 'x')
  assert.equal(frames[2]?.payload, null, 'a copy is reported without its bytes')
  assert.equal(w.applied.lsn, 7)
  assert.equal(w.writeBack.intervalCount, 0)
})

test('a copy of a device that was let go is never reported as applied: nobody may take its region for brought', async () => {
  const reported: number[] = []
  const w = world({ sink: { applied: (frame) => reported.push(frame.lsn) } })
  w.note({ type: FrameType.copy, deviceId: 1, offset: 0, length: 4096 })
  w.allow()
  await w.drain()
  assert.deepEqual(reported, [1])
  await w.clock.runUntil(w.writeBack.detach(1, 'drop'))
  w.note({ type: FrameType.copy, deviceId: 1, offset: 0, length: 4096 })
  w.note({ type: FrameType.copyZeroes, deviceId: 1, offset: 4096, length: 4096 })
  w.allow()
  await w.drain()
  assert.deepEqual([reported, w.applied.lsn], [[1], 3])
})

test('a map of a device that entries wait for is reported before them', async () => {
  const reported: number[] = []
  const w = world({ sink: { applied: (frame) => reported.push(frame.type) } })
  w.writeBack.note(w.log.appendFrame(encodeFrame({ type: FrameType.map, deviceId: 9, lsn: ++w.log.lastLsn }, null)))
  w.write(0, 4096, 9)
  w.allow()
  await w.clock.advance(2000)
  assert.deepEqual(reported, [FrameType.map])
})

test('a lost range reads as EIO until it is overwritten, and is stored until that is applied', async () => {
  const w = world()
  w.write(0, 16384)
  w.allow()
  await w.drain()
  w.writeBack.noteLost(1, 4096, 8192)
  assert.equal(w.writeBack.covers(1, 8192, 512), true)
  const failure = await w.read(0, 8192).then(
    () => null,
    (error: unknown) => error,
  )
  assert.ok(failure instanceof WriteBackReadError && failure.reason === 'lost')
  await w.read(0, 4096)
  w.write(4096, 4096)
  await w.read(0, 8192)
  assert.deepEqual(
    w.writeBack.plan(1, 0, 16384).map(({ from }) => from),
    ['device', 'memory', 'lost', 'device'],
  )
  assert.deepEqual(w.writeBack.lostRanges(), [{ deviceId: 1, offset: 4096, length: 8192 }])
  w.allow()
  await w.drain()
  assert.deepEqual(w.writeBack.lostRanges(), [{ deviceId: 1, offset: 8192, length: 4096 }])
  w.note({ type: FrameType.trim, deviceId: 1, offset: 0, length: 2 * MIB })
  await w.check()
  w.allow()
  await w.drain()
  assert.deepEqual(w.writeBack.lostRanges(), [])
})

test('a payload that the log cannot give back is reported, and passed once it is declared lost', async () => {
  const w = world()
  const bad = w.write(4096, 4096, 1, true)
  w.write(8192, 4096, 1, true)
  w.log.unreadable.add(bad.position)
  w.allow()
  await w.clock.advance(500)
  assert.ok(w.events.length >= 2, 'it is tried again')
  assert.deepEqual(new Set(w.events), new Set([`unreadable ${bad.position} 1 4096 4096`]))
  const failure = await w.read(4096, 512).then(
    () => null,
    (error: unknown) => error,
  )
  assert.ok(failure instanceof WriteBackReadError && failure.reason === 'log')
  w.writeBack.noteLost(1, 4096, 4096)
  await w.clock.advance(20_000)
  assert.equal(w.applied.lsn, 2)
  assert.deepEqual(new Set(w.onDisk(8192, 4096)), new Set([2]))
  assert.deepEqual(w.writeBack.lostRanges(), [{ deviceId: 1, offset: 4096, length: 4096 }])
})

test('recovered entries stay in the log and are written from there within the read budget', async () => {
  const w = world({ deviceCount: 3, latency: true, limits: { logReadBytesMax: MIB, writeBytesMax: MIB } })
  w.log.beforeRead = () => new Promise((resolve) => void w.clock.after(1, resolve))
  for (let i = 0; i < 12; i++) w.write((i % 4) * MIB, MIB / 2 + (i % 2) * 4096, 1 + (i % 3), true)
  assert.equal(w.writeBack.memoryBytes, 0)
  w.allow()
  await w.drain()
  assert.ok(
    w.log.bytesUnderWayMax > MIB / 2 && w.log.bytesUnderWayMax <= MIB,
    `${w.log.bytesUnderWayMax} bytes were read at once`,
  )
  for (const id of [1, 2, 3]) await w.check(id)
})

test('[RD-13] zero-length and unaligned reads, and reads up to the end of the device', async () => {
  const w = world()
  assert.deepEqual(await w.writeBack.read(1, 100, 0), [])
  w.write(4 * MIB - 4096, 4096)
  const bytes = Buffer.concat(await w.clock.runUntil(w.writeBack.read(1, 4 * MIB - 4097, 4097)))
  assert.equal(bytes.length, 4097)
  assert.equal(bytes[0], 0)
  assert.equal(bytes.readUInt32LE(1), 1)
})

test('[RD-11] a device that cannot be read fails the reads that need it, and only those', async () => {
  const w = world()
  w.write(0, 4096)
  w.disk().makeUnreadable(0, 8192)
  await w.read(0, 4096)
  const failure = await w.read(0, 8192).then(
    () => null,
    (error: unknown) => error,
  )
  assert.ok(failure instanceof WriteBackReadError && failure.reason === 'device' && failure.cause !== undefined)
})

test('what is written to the devices is told before it is synced', async () => {
  const w = world()
  const entry = w.write(0, 4096)
  w.allow()
  await w.clock.advance(100)
  assert.equal(w.written, entry.end)
  assert.equal(w.applied.lsn, 0)
  const { unsyncedLayerCount, closedLayerCount, deviceWriteCount, writtenBytes } = w.writeBack.status()
  assert.deepEqual([unsyncedLayerCount, closedLayerCount, deviceWriteCount, writtenBytes], [1, 0, 1, 4096])
})

test('a restart that notes a whole log in one turn makes layers of bounded size', async () => {
  const w = world({ limits: { layerBytes: 64 * 1024, layerIntervals: 1000, closedLayersMax: 2 } })
  for (let i = 0; i < 500; i++) w.write((i * 7919 * 4096) % (4 * MIB), 4096, 1, true)
  const { closedLayerCount, lagBytes } = w.writeBack.status()
  assert.ok(closedLayerCount >= Math.floor(lagBytes / (5 * 64 * 1024)), `${closedLayerCount} layers`)
  assert.equal(w.writeBack.memoryBytes, 0)
  await w.check()
  w.allow()
  await w.drain()
  assert.equal(w.applied.lsn, 500)
  await w.check()
})
