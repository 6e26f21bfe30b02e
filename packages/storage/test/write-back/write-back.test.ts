/**
 * Write-back by situation: what reads see, what reaches the devices and when, one claim a test.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FaultDisk, Prng } from '../../src/testing/index.js'
import { FrameType, PayloadPool } from '@sitelink/protocol/entry'
import { asWords, type DeviceUnderTest, MIB, World } from './world.js'

const world = (options: Partial<ConstructorParameters<typeof World>[0]> = {}): World =>
  new World({ prng: new Prng(1), ...options })

test('[RD-01] a read without pending writes goes to the device', async () => {
  const w = world()
  assert.deepEqual(w.writeBack.plan(1, 512, 4096), [{ from: 'device', offset: 512, length: 4096 }])
})

test('[RD-02] [RD-08] a pending write is read back at once, though the device is stale', async () => {
  const w = world()
  w.write(4096, 4096)
  assert.deepEqual(new Set(await w.read(4096, 4096)), new Set([1]))
  assert.deepEqual(new Set(w.onDisk(4096, 4096)), new Set([0]))
})

test('[RD-03] a partly covered read is put together from memory and device', async () => {
  const w = world()
  w.write(0, 8192)
  w.allow()
  await w.drain()
  w.write(2048, 1024)
  await w.check()
  assert.deepEqual(
    w.writeBack.plan(1, 0, 8192).map(({ from, length }) => [from, length]),
    [
      ['device', 2048],
      ['memory', 1024],
      ['device', 5120],
    ],
  )
})

test('a read at once is answered by the device alone: never where a layer holds a byte of it that the device has not', async () => {
  const w = world()
  let asked = 0
  const device = w.devices.get(1) as DeviceUnderTest
  const { readNow: peek } = device
  device.readNow = (into, offset) => {
    asked++
    return peek(into, offset)
  }
  const into = Buffer.alloc(4096)
  const readNow = (offset: number): boolean => w.writeBack.readNow(1, offset, into)
  assert.equal(readNow(4096), true)
  assert.equal(asked, 1)
  w.write(8188, 8)
  assert.deepEqual([readNow(4096), readNow(8192)], [false, false], 'the last word, the first word')
  assert.equal(asked, 1, 'the device is not asked')
  assert.deepEqual([readNow(0), readNow(12_288)], [true, true], 'what lies next to it')
  w.allow()
  await w.drain()
  assert.equal(readNow(4096), true)
  assert.equal(into.readUInt32LE(4092), 1, 'the device has it now')
  w.note({ type: FrameType.zeroes, deviceId: 1, offset: 0, length: 2 * MIB })
  assert.deepEqual([readNow(4096), readNow(MIB)], [false, false], 'zeros are as good as bytes')
  w.allow()
  await w.drain()
  w.writeBack.noteLost(1, 4096, 512)
  assert.equal(readNow(4096), false, 'what is lost is never read')
  assert.equal(w.writeBack.readNow(9, 0, into), false, 'nobody is attached there')
  await w.writeBack.detach(1, 'drop')
  const before = asked
  assert.deepEqual([readNow(0), asked], [false, before])
})

test('[RD-04] the newest bytes win over any number of overlapping writes', async () => {
  const w = world()
  for (let i = 0; i < 40; i++) w.write(i * 512, 32768 - i * 512 + 4)
  for (let i = 0; i < 10; i++) w.write(1000 + i * 100, 400)
  await w.check()
})

test('[RD-05] the same offset on two devices is never mixed', async () => {
  const w = world({ deviceCount: 2 })
  w.write(0, 4096, 1)
  assert.deepEqual(new Set(await w.read(0, 4096, 2)), new Set([0]))
  w.write(0, 4096, 2)
  assert.deepEqual(new Set(await w.read(0, 4096, 1)), new Set([1]))
  assert.deepEqual(new Set(await w.read(0, 4096, 2)), new Set([2]))
})

test('[RD-07] many concurrent reads of one entry all complete', async () => {
  const w = world({ latency: true })
  w.write(4096, 8192, 1, true)
  const reads = Array.from({ length: 64 }, () => w.read(0, 16384))
  const expected = w.model.get(1)?.subarray(0, 4096)
  for (const read of reads) assert.deepEqual(await read, expected)
  assert.equal(w.log.leaseCount, 0)
})

test('nothing above the limit is written, and the limit is asked for', async () => {
  const w = world()
  const first = w.write(0, 4096)
  await w.clock.advance(1000)
  const second = w.write(4096, 4096)
  await w.clock.advance(1000)
  assert.equal(w.disk().counts.writes, 0)
  assert.equal(w.limitWanted, second.end)
  w.allow(first)
  await w.clock.advance(10)
  assert.deepEqual(new Set(w.onDisk(0, 4096)), new Set([1]))
  assert.deepEqual(new Set(w.onDisk(4096, 4096)), new Set([0]))
  await w.clock.advance(2000)
  assert.deepEqual(w.applied, { position: first.end, lsn: 1 })
})

test('a layer is written in few, merged, sorted writes, the last writer of a block only [WR-08]', async () => {
  const w = world()
  for (const offset of [8192, 0, 4096, 0, 12288, 100 * 4096]) w.write(offset, 4096)
  w.allow()
  await w.drain()
  assert.equal(w.disk().counts.writes, 2)
  assert.equal(w.disk().counts.writtenBytes, 5 * 4096)
  assert.equal(w.disk().counts.syncs, 1)
  assert.equal(w.writeBack.memoryBytes, 0)
  assert.equal(w.writeBack.intervalCount, 0)
  await w.check()
})

test('after a trim a range reads as zeros, from the layers and from the device', async () => {
  const w = world()
  w.write(MIB - 8192, 8192)
  w.write(MIB, 8192)
  w.allow()
  await w.drain()
  w.note({ type: FrameType.trim, deviceId: 1, offset: MIB - 4096, length: 2 * MIB })
  w.write(MIB + 512, 512)
  await w.check()
  assert.ok(w.writeBack.intervalCount <= 4)
  w.allow()
  await w.drain()
  await w.check()
  assert.ok(w.disk().counts.discards > 0)
})

test('[WR-13] [WR-14] a failed device write is tried again; reads keep coming from the layer', async () => {
  const w = world()
  w.disk().inject({ on: 'write', error: 'EIO', count: 3 })
  const entry = w.write(0, 4096)
  w.allow()
  await w.clock.advance(150)
  assert.deepEqual(w.events, ['failed 1'])
  await w.check()
  assert.equal(w.applied.position, 4096)
  await w.clock.advance(5000)
  assert.deepEqual(w.events, ['failed 1', 'recovered 1'])
  assert.equal(w.applied.position, entry.end)
  await w.check()
})

test('after a failed sync reads come from the log, everything since the last good one is rewritten, then synced', async () => {
  const w = world()
  w.write(0, 4096)
  w.allow()
  await w.clock.advance(100)
  assert.equal(w.writeBack.plan(1, 0, 4096)[0]?.from, 'device')
  w.disk().inject({ on: 'sync', error: 'EIO', keep: 'none' })
  const writes = w.disk().counts.writes
  await w.clock.advance(1000)
  assert.deepEqual(w.events, ['failed 1'])
  w.disk().dropAbandoned()
  assert.equal(w.writeBack.plan(1, 0, 4096)[0]?.from, 'log')
  await w.check()
  assert.equal(w.applied.position, 4096)
  await w.clock.advance(10_000)
  assert.equal(w.disk().counts.writes, writes + 1)
  assert.deepEqual(w.events, ['failed 1', 'recovered 1'])
  assert.equal(w.applied.lsn, 1)
  assert.deepEqual(new Set(asDurable(w)), new Set([1]))
})

function asDurable(w: World): number[] {
  const bytes = w.disk().peekDurable(0, 4096)
  return [...new Uint32Array(new Uint8Array(bytes).buffer)]
}

test('whatever was not synced through the old handle of a device is written again through the new one', async () => {
  const w = world()
  w.write(0, 4096)
  w.allow()
  await w.clock.advance(100)
  assert.deepEqual(new Set(w.onDisk(0, 4096)), new Set([1]), 'it is written, and not synced yet')
  assert.equal(w.applied.lsn, 0)
  const again = new FaultDisk({ sizeBytes: 4 * MIB, prng: new Prng(3) })
  w.writeBack.attach(1, w.addDisk(1, again))
  await w.check()
  await w.clock.advance(3000)
  assert.equal(w.applied.lsn, 1)
  assert.deepEqual(new Set(new Uint8Array(again.peekDurable(0, 4))), new Set([1, 0]))
})

test('a part counts as written only when its zeros have landed as well', async () => {
  const w = world()
  w.write(0, 65_536)
  w.allow()
  await w.clock.advance(100)
  w.disk().inject({ on: 'writeZeroes', delayMs: 500 })
  w.note({ type: FrameType.zeroes, deviceId: 1, offset: 0, length: 32_768 })
  w.write(32_768, 4096)
  w.allow()
  await w.clock.advance(300)
  await w.check()
  await w.clock.advance(1000)
  await w.check()
})

test('the lag of the devices stays within its limit, in bytes of the log', async () => {
  const w = world({ limits: { lagBytesMax: 100_000 } })
  while (w.writeBack.hasRoom(4096)) {
    w.write(0, 4096)
    assert.ok(w.writeBack.status().lagBytes <= 100_000 + 4096, 'but for the header of the last entry')
  }
  w.allow()
  await w.clock.advance(5000)
  assert.equal(w.writeBack.hasRoom(4096), true)
})

test('a payload waits for memory that devices are about to give back, and is told when they have', async () => {
  const w = world({ limits: { memoryBytesMax: 8192 } })
  w.write(0, 8192)
  assert.deepEqual([w.writeBack.hasMemory(4096), w.writeBack.hasMemory(0)], [false, true])
  assert.equal(w.writeBack.hasMemory(8196), true, 'memory never holds it: waiting is of no use')
  assert.equal(w.writeBack.hasRoom(4096), true, 'who cannot wait may note it without its bytes')
  const before = w.roomFreed
  w.allow()
  await w.clock.advance(5000)
  assert.equal(w.writeBack.hasMemory(4096), true)
  assert(w.roomFreed > before)
})

test('nor for that of a device that has been at one part for seconds, until it answers', async () => {
  const w = world({ limits: { memoryBytesMax: 8192 } })
  w.disk().inject({ on: 'write', delayMs: 60_000, count: 1 })
  w.write(0, 8192)
  w.allow()
  await w.clock.advance(1500)
  assert.equal(w.writeBack.hasMemory(4096), false)
  const before = w.roomFreed
  await w.clock.advance(1000)
  assert.equal(w.writeBack.hasMemory(4096), true)
  assert(w.roomFreed > before, 'who waits already is told')
  w.write(8192, 4096)
  await w.clock.advance(60_000)
  for (let at = 0; at < 2; at++) w.write(at * 4096, 4096)
  assert.equal(w.writeBack.hasMemory(4096), false, 'it is waited for again')
  assert.equal(w.writeBack.hasMemory(0), true)
})

test('once memory is full what follows lies together in the log, until a quarter of it is free', async () => {
  const w = world({ limits: { memoryBytesMax: 5 * 4096 } })
  const inMemory = (at: number): boolean => w.writeBack.plan(1, at * 4096, 4096)[0]?.from === 'memory'
  const first = w.write(0, 4096)
  await w.clock.advance(30)
  const second = w.write(4096, 4096)
  await w.clock.advance(30)
  for (let at = 2; at < 6; at++) w.write(at * 4096, 4096)
  assert.deepEqual([inMemory(4), inMemory(5)], [true, false])
  w.allow(first)
  await w.clock.advance(30)
  assert.deepEqual([w.writeBack.memoryBytes, w.writeBack.hasMemory(4096)], [4 * 4096, false])
  w.write(6 * 4096, 4096)
  assert.equal(inMemory(6), false, 'there is room for one')
  w.allow(second)
  await w.clock.advance(30)
  assert.deepEqual([w.writeBack.memoryBytes, w.writeBack.hasMemory(4096)], [3 * 4096, true])
  w.write(7 * 4096, 4096)
  w.write(8 * 4096, 4096)
  w.write(9 * 4096, 4096)
  assert.deepEqual([inMemory(7), inMemory(8), inMemory(9)], [true, true, false])
})

test('what has to be read from the log is read from front to back, however it lies on the device', async () => {
  const prng = new Prng(7)
  const w = world({ limits: { memoryBytesMax: 0, writeBytesMax: MIB, logReadBytesMax: MIB } })
  const offsets = prng.shuffle(Array.from({ length: 1000 }, (_, at) => at * 4096))
  for (const offset of offsets) w.write(offset, 4092)
  w.allow()
  await w.drain()
  const { askedTogether } = w.log
  assert.equal(askedTogether.length, 4, 'a budget at a time')
  assert.deepEqual(
    askedTogether.flat(),
    w.log.entries.map(({ position }) => position),
  )
  await w.check()
})

test('nobody waits for the memory of a device that fails or is not there', async () => {
  const failing = world({ limits: { memoryBytesMax: 8192 } })
  failing.disk().inject({ on: 'write', error: 'EIO', count: 1 })
  failing.write(0, 8192)
  failing.allow()
  const before = failing.roomFreed
  await failing.clock.advance(50)
  assert.deepEqual(failing.events, ['failed 1'])
  assert.equal(failing.writeBack.hasMemory(4096), true)
  assert(failing.roomFreed > before, 'who waits already is told')

  const missing = world({ limits: { memoryBytesMax: 8192 } })
  missing.note({ type: FrameType.write, deviceId: 9, offset: 0, length: 8192 })
  assert.equal(missing.writeBack.hasMemory(4096), true)
})

test('the memory of a payload is given back once its part is on the device, and what a read showed of it stays', async () => {
  const payloads = new PayloadPool(MIB)
  const w = world({ payloads, latency: true })
  w.write(0, 65536)
  const [piece] = w.writeBack.plan(1, 4096, 4096)
  assert.ok(piece?.from === 'memory')
  assert.equal(payloads.keptBytes, 0)
  w.allow()
  await w.drain()
  assert.equal(payloads.keptBytes, 65536)
  assert.deepEqual(new Set(asWords(piece.bytes)), new Set([1]))
  assert.deepEqual(new Set(w.onDisk(0, 65536)), new Set([1]))
})

test('a payload whose part could not be written stays in memory until it was', async () => {
  const payloads = new PayloadPool(MIB)
  const w = world({ payloads })
  w.disk().inject({ on: 'write', error: 'EIO', count: 1 })
  w.write(0, 65536)
  w.allow()
  await w.clock.advance(30)
  assert.deepEqual(w.events, ['failed 1'])
  assert.equal(payloads.keptBytes, 0)
  await w.drain()
  assert.equal(payloads.keptBytes, 65536)
  await w.check()
})

test('what was overwritten in memory that is given back counts as memory until then', () => {
  const payloads = new PayloadPool(MIB)
  const w = world({ payloads, limits: { memoryBytesMax: 3 * 65536 } })
  for (let i = 0; i < 5; i++) w.write(0, 65536)
  assert.equal(w.writeBack.memoryBytes, 3 * 65536)
  assert.equal(payloads.keptBytes, 65536, 'what finds no room is given back at once, and used for the next')
  assert.deepEqual(
    w.writeBack.plan(1, 0, 65536).map(({ from }) => from),
    ['log'],
    'the newest found no room in memory',
  )
})

test('what a device writes at once is not written again, what it does not is, and its error is that of a write', async () => {
  const w = world()
  const device = w.devices.get(1) as DeviceUnderTest
  const asked: number[] = []
  device.writeNow = (chunks, offset) => {
    asked.push(offset)
    if (asked.length === 3) throw new Error('EIO')
    if (offset >= 65536) return false
    w.disk().poke(Buffer.concat(chunks), offset)
    return true
  }
  for (const offset of [0, 65536, 8192, 131072]) w.write(offset, 4096)
  w.allow()
  await w.clock.advance(30)
  assert.deepEqual(w.events, ['failed 1'])
  await w.drain()
  assert.deepEqual(w.events, ['failed 1', 'recovered 1'])
  assert.deepEqual(asked, [0, 8192, 65536, 0, 8192, 65536, 131072])
  await w.check()
  for (const [lsn, offset] of [0, 65536, 8192, 131072].entries())
    assert.deepEqual(new Set(w.onDisk(offset, 4096)), new Set([lsn + 1]))
})

test('a payload whose memory was given back too early is missed, and nothing of it is written', async () => {
  const payloads = new PayloadPool(MIB)
  const w = world({ payloads })
  const frame = w.log.append({ type: FrameType.write, deviceId: 1, offset: 0, length: 65536 })
  const memory = payloads.take(65536)
  w.writeBack.note({ ...frame, frame: { ...frame.frame, payload: memory.bytes, memory } })
  memory.release()
  w.allow()
  await w.clock.advance(30)
  assert.deepEqual(w.events, ['failed 1'])
  assert.equal(w.disk().counts.writes, 0)
})
