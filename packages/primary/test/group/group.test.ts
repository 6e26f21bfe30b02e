/**
 * A group without sites, as its NBD clients meet it: answers, reads through the log, a full ring, suspension, stops, and
 * disks that fail.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatStatus } from '../../src/cli/commands/status.js'
import { groupStatus } from '../../src/group/status.js'
import { Asked, bytes, GroupWorld, KIB, LOG_PATH, MIB } from './group-world.js'

/** So that nothing moves on a device unless it must. */
async function parked(world: GroupWorld, number = 0): Promise<void> {
  world.disk(`/dev/${number}`).hold()
  await world.clock.settle()
}

test('[WR-01] [WR-14] a write is answered once it is in the log, and no device is waited for', async () => {
  const world = await GroupWorld.running()
  await parked(world)
  world.disk(LOG_PATH).hold()
  const write = world.write(0, 0, bytes(4096, 1))
  await world.clock.advance(1000)
  assert.equal(write.errno, null, 'not before its bytes are in the log file')
  world.disk(LOG_PATH).release()
  await world.ok(write)
})

test('devices are opened for small writes to any place of them; the log, which is written in order, is not', async () => {
  const world = await GroupWorld.make()
  const { disks } = world
  const scattered = new Map<string, boolean>()
  const open = disks.open.bind(disks)
  disks.open = (path, options) => {
    scattered.set(path, options?.scattered === true)
    return open(path, options)
  }
  await world.open()
  assert.deepEqual(scattered.get('/dev/0'), true)
  assert.deepEqual(scattered.get('/dev/1'), true)
  assert.deepEqual(scattered.get(LOG_PATH), false)
})

test('[FLU-01] [FLU-04] flush and FUA are answered after the sync that covers them, on whichever device', async () => {
  const world = await GroupWorld.running()
  await world.ok(world.write(0, 0, bytes(4096, 1)))
  const fault = world.disks.inject(LOG_PATH, { on: 'sync', delayMs: 500, count: Infinity })
  const [flush, fua] = [world.flush(1), world.write(1, 0, bytes(512, 2), true)]
  await world.clock.advance(300)
  assert.deepEqual([flush.errno, fua.errno], [null, null])
  // The sync that is under way ends, and the one that covers both: nobody waits for anything else.
  await world.clock.advance(750)
  assert.deepEqual([flush.errno, fua.errno], [0, 0])
  fault.remove()
  world.powerCut({ kind: 'lose-all' })
  await world.open()
  assert.deepEqual(await world.read(0, 0, 4096), bytes(4096, 1))
  assert.deepEqual(await world.read(1, 0, 512), bytes(512, 2))
})

test('[RD-02] [RD-03] [RD-04] [RD-05] [RD-08] [WR-08] reads are put together of pending writes, zeros and the device, the newest bytes win, devices are not mixed', async () => {
  const world = await GroupWorld.running()
  await world.ok(world.write(0, 0, bytes(64 * KIB, 1)), world.write(1, 0, bytes(64 * KIB, 9)))
  await world.applied()
  await parked(world)
  const expected = bytes(64 * KIB, 1)
  const change = async (offset: number, length: number, value: number): Promise<void> => {
    await world.ok(value === 0 ? world.trim(0, offset, length) : world.write(0, offset, bytes(length, value)))
    expected.fill(value, offset, offset + length)
    world.disk('/dev/0').release()
    const found = await world.read(0, 0, 64 * KIB)
    world.disk('/dev/0').hold()
    assert.deepEqual(found, expected, `after ${length} bytes at ${offset}`)
  }
  await change(100, 5000, 2)
  await change(3000, 1, 3)
  await change(4096, 8192, 4)
  await change(5000, 600, 0)
  await change(5100, 7, 5)
  assert.deepEqual(await world.read(1, 0, 64 * KIB), bytes(64 * KIB, 9))
})

test('[RD-01] [RD-13] with nothing pending a read goes to the device: first, last, single and odd bytes', async () => {
  const world = await GroupWorld.running()
  const size = MIB
  const image = Buffer.from(Array.from({ length: size }, (_, at) => (at * 7) & 0xff))
  await world.ok(world.write(1, 0, image))
  await world.applied()
  assert.equal(world.group.writeBack.covers(world.idOf(1), 0, size), false)
  for (const [offset, length] of [
    [0, 1],
    [size - 1, 1],
    [511, 3],
    [0, size],
    [12_345, 6789],
  ] as const) {
    assert.deepEqual(await world.read(1, offset, length), image.subarray(offset, offset + length))
  }
})

test('[RD-06] [RD-07] [RD-10] many reads of one entry all finish, and a slow read holds up nothing else', async () => {
  const world = await GroupWorld.running()
  await world.ok(world.write(0, 0, bytes(256 * KIB, 3)))
  const reads = Array.from({ length: 200 }, (_, index) => world.ask(0, index * 512, 64 * KIB))
  await parked(world)
  const slow = world.ask(0, MIB, 4096)
  await world.clock.advance(100)
  assert.equal(slow.errno, null)
  await world.ok(...reads, world.write(0, 4096, bytes(10, 4)), world.flush(1), world.write(1, 0, bytes(10, 4)))
  for (const read of reads) assert.equal(read.bytes.length, 64 * KIB)
  world.disk('/dev/0').release()
  await world.ok(slow)
})

test('[BP-01] [BP-02] [BP-03] [RD-09] [WR-18] [WR-20] with a full ring writes wait, reads go on, it is shown, and freed space lets them on in order', async () => {
  const world = await GroupWorld.running()
  await parked(world, 0)
  const writes = Array.from({ length: 64 }, (_, index) =>
    world.write(0, (index % 16) * 64 * KIB, bytes(64 * KIB, index + 1)),
  )
  await world.clock.advance(2000)
  const status = groupStatus(world.group)
  assert.ok(status.group.waitingRequests > 0, 'writers wait')
  assert.equal(status.log.stalls, 1, 'one stall, however many wait')
  const answered = writes.filter((write) => write.answered).length
  assert.ok(answered > 0 && answered < 64)
  assert.ok(
    writes.slice(0, answered).every((write) => write.errno === 0),
    'the first of them, in order',
  )
  const last = (answered - 1) % 16
  assert.deepEqual(await world.read(0, last * 64 * KIB, 512), bytes(512, answered))
  world.disk('/dev/0').release()
  await world.ok(...writes)
  for (let block = 0; block < 16; block += 1)
    assert.deepEqual(await world.read(0, block * 64 * KIB, 512), bytes(512, 48 + block + 1))
  assert.equal(groupStatus(world.group).group.waitingRequests, 0)
})

test('[BP-06] a write larger than the whole ring succeeds, and a crash in it leaves a prefix of its pieces', async () => {
  const world = await GroupWorld.running({ devices: [8 * MIB] })
  await world.ok(world.write(0, 512, bytes(7 * MIB, 5)))
  assert.deepEqual(
    await world.read(0, 0, 8 * MIB),
    Buffer.concat([bytes(512, 0), bytes(7 * MIB, 5), bytes(MIB - 512, 0)]),
  )
})

test('[BP-05] [BP-04] writes of every length go round the end of the ring many times', async () => {
  const world = await GroupWorld.running()
  for (let turn = 0; turn < 60; turn += 1)
    await world.ok(world.write(0, turn * 700, bytes(90_000 + turn * 1111, turn + 1)))
  assert.ok(world.group.log.status().wraps >= 3)
  await world.restart()
  assert.deepEqual(await world.read(0, 59 * 700, 1000), bytes(1000, 60))
})

test('[WR-12] a log that cannot be written fails the group: writers get EIO, reads go on, a restart recovers', async () => {
  for (const on of ['write', 'sync'] as const) {
    const world = await GroupWorld.running()
    await world.ok(world.write(0, 0, bytes(4096, 1)), world.flush())
    const fault = world.disks.inject(LOG_PATH, { on, error: 'EIO', count: Infinity, keep: 'none' })
    await world.failed(world.write(0, 0, bytes(4096, 2), true))
    assert.equal(world.group.state, 'failed', on)
    assert.ok(world.kinds().includes('group-failed'))
    await world.failed(world.write(0, 0, bytes(512, 3)), world.flush(), world.trim(1, 0, 512))
    assert.equal((await world.read(0, 8192, 512)).length, 512)
    assert.equal(groupStatus(world.group).group.state, 'failed')
    await assert.rejects(world.admin.suspend(null), { code: 'GROUP_FAILED' })
    await world.stop()
    fault.remove()
    await world.open()
    assert.equal(world.group.state, 'running')
    assert.ok([1, 2].includes((await world.read(0, 0, 1))[0] as number), 'the answered bytes, or the unanswered ones')
    await world.ok(world.write(0, 0, bytes(4096, 4), true))
  }
})

test('a full file system under a sparse log fails the group in words', async () => {
  const world = await GroupWorld.running({ devices: [4 * MIB], logBytes: 4 * MIB, capacityBytes: MIB })
  let refused: Asked | null = null
  for (let at = 0; at < 40 && refused === null; at += 1) {
    const write = world.write(0, at * 64 * KIB, bytes(64 * KIB, 1))
    await world.answered([write])
    if (write.errno === 5) refused = write
  }
  assert.ok(refused !== null, 'the group fails')
  assert.match(world.group.failure ?? '', /space|ENOSPC|full/i)
})

test('[WR-13] [RD-11] [STA-07] a device that cannot be written is tried again, its reads come from the log, and it is reported', async () => {
  const world = await GroupWorld.running()
  const fault = world.disks.inject('/dev/0', { on: 'write', error: 'EIO', count: Infinity, keep: 'none' })
  const reads = world.disks.inject('/dev/0', { on: 'read', error: 'EIO', count: Infinity })
  await world.ok(world.write(0, 0, bytes(64 * KIB, 1)), world.write(1, 0, bytes(64 * KIB, 2)), world.flush())
  world.group.writeBack.checkpoint()
  await world.clock.advance(5000)
  assert.ok(world.kinds().includes('device-failed'))
  assert.match(groupStatus(world.group).devices[0]?.problem ?? '', /cannot|EIO|I\/O/)
  assert.equal(groupStatus(world.group).devices[1]?.problem, null)
  assert.deepEqual(await world.read(0, 0, 64 * KIB), bytes(64 * KIB, 1))
  await world.failed(world.ask(0, MIB, 512))
  assert.ok(world.kinds().includes('read-failed'))
  fault.remove()
  reads.remove()
  await world.applied()
  assert.ok(world.kinds().includes('device-recovered'))
  assert.equal(groupStatus(world.group).devices[0]?.problem, null)
  assert.deepEqual(await world.read(0, 0, 64 * KIB), bytes(64 * KIB, 1))
})

test('a device whose sync failed is not believed: its writes are written again before a power cut can show the loss', async () => {
  const world = await GroupWorld.running()
  world.disks.inject('/dev/0', { on: 'sync', error: 'EIO', count: 1, keep: 'none' })
  await world.ok(world.write(0, 0, bytes(64 * KIB, 6)), world.flush())
  world.group.writeBack.checkpoint()
  await world.clock.advance(200)
  assert.deepEqual(await world.read(0, 0, 64 * KIB), bytes(64 * KIB, 6))
  await world.applied()
  world.powerCut({ kind: 'lose-all' })
  await world.open()
  assert.deepEqual(await world.read(0, 0, 64 * KIB), bytes(64 * KIB, 6))
})

test('[REC-09] [LIFE-04] a device that is missing at the start keeps its entries, the others go on, and a restart brings it back', async () => {
  const world = await GroupWorld.running()
  await parked(world)
  await world.ok(world.write(0, 0, bytes(4096, 1)), world.write(1, 0, bytes(4096, 2)), world.flush())
  world.kill()
  world.disks.injectProviderFault({ on: 'open', path: '/dev/0', code: 'DISK_MISSING' })
  await world.open()
  assert.ok(world.kinds().includes('device-missing'))
  assert.equal(groupStatus(world.group).devices[0]?.available, false)
  assert.equal(world.group.exports.has(world.idOf(0)), false)
  assert.deepEqual(await world.read(1, 0, 4096), bytes(4096, 2))
  await world.ok(world.write(1, 4096, bytes(4096, 3)), world.flush(1))
  await world.restart()
  assert.deepEqual(await world.read(0, 0, 4096), bytes(4096, 1))
  assert.deepEqual(await world.read(1, 4096, 4096), bytes(4096, 3))
})

test('a device that has shrunk is not used, and what is in the log for it is kept', async () => {
  const world = await GroupWorld.running()
  await world.ok(world.write(0, MIB, bytes(4096, 1)))
  await world.stop()
  world.disks.resize('/dev/0', MIB)
  await world.open()
  assert.match(groupStatus(world.group).devices[0]?.problem ?? '', /1048576 bytes, 2097152 when it was added/)
})

test('[REC-07] [STA-02] [STA-04] the start reports what it found, and totals are shown', async () => {
  const world = await GroupWorld.running()
  await parked(world)
  for (let at = 0; at < 7; at += 1) await world.ok(world.write(0, at * 4096, bytes(4096, 1)))
  await world.ok(world.flush())
  world.kill()
  await world.open()
  const opened = world.events.filter((event) => event.kind === 'log-opened').at(-1)
  assert.equal(opened?.facts['entriesFound'], 7)
  assert.equal(opened?.facts['pending'], 7)
  const { log, local } = groupStatus(world.group)
  assert.deepEqual([log.entriesFound, log.lastLsn, log.durableLsn, log.holes], [7, 7, 7, 0])
  assert.ok(log.usedBytes + log.freeBytes <= log.ringBytes && log.usedBytes > 0)
  assert.ok(local.appliedLsn <= 7)
})

test('[REC-08] requests that come before the group runs wait, and then flow', async () => {
  const world = await GroupWorld.make()
  const group = await world.clock.runUntil(world.opening())
  const write = new Asked('write', 0, 512, bytes(512, 1))
  group.exports.get(world.idOf(0))?.submit(write)
  await world.clock.advance(1000)
  assert.equal(write.errno, null)
  group.run()
  await world.answered([write])
  assert.equal(write.errno, 0)
})

test('[REC-12] [REC-13] [RD-06] damage below a durable mark loses its own range only: reads of it fail, also after restarts, until it is overwritten', async () => {
  const world = await GroupWorld.running({ devices: [MIB, MIB] })
  await parked(world, 0)
  await parked(world, 1)
  for (let at = 0; at < 8; at += 1) {
    await world.ok(world.write(0, at * 16 * KIB, bytes(16 * KIB, at + 1), true))
    await world.clock.advance(300)
  }
  const log = Buffer.alloc(2 * MIB)
  world.disks.medium(LOG_PATH).read(log, 0)
  const inPayload = log.indexOf(bytes(16 * KIB, 3)) + 5000
  world.powerCut({ kind: 'keep-all' })
  world.disks.medium(LOG_PATH).flipBit(inPayload, 1)
  const judge = async (): Promise<void> => {
    for (let at = 0; at < 8; at += 1) {
      const read = world.ask(0, at * 16 * KIB, 16 * KIB)
      await world.answered([read])
      if (at === 2) assert.equal(read.errno, 5, 'what is lost is not made up')
      else assert.deepEqual(read.bytes, bytes(16 * KIB, at + 1))
    }
    assert.deepEqual(await world.read(1, 0, 4096), bytes(4096, 0), 'another device is whole')
  }
  await world.open()
  assert.ok(world.kinds().includes('log-hole'))
  await judge()
  await world.restart()
  await judge()
  world.kill()
  await world.open()
  await judge()
  assert.equal(groupStatus(world.group).local.lostRanges, 1)
  const stateOfDevices = (): (string | undefined)[] => {
    const report = formatStatus({ ...groupStatus(world.group), events: [] }, 200)
    return ['d0', 'd1'].map((name) => report.split('\n').find((line) => line.includes(` ${name} `)))
  }
  const [damaged, whole] = stateOfDevices()
  assert.match(damaged ?? '', / 16 KiB unreadable /)
  assert.match(whole ?? '', / ok /)
  await world.ok(world.write(0, 32 * KIB, bytes(8 * KIB, 9)))
  assert.deepEqual(await world.read(0, 32 * KIB, 8 * KIB), bytes(8 * KIB, 9), 'what is overwritten is there')
  await world.failed(world.ask(0, 40 * KIB, 8 * KIB))
  await world.ok(world.write(0, 40 * KIB, bytes(8 * KIB, 9)))
  await world.restart()
  assert.deepEqual(await world.read(0, 32 * KIB, 16 * KIB), bytes(16 * KIB, 9))
  assert.equal(groupStatus(world.group).local.lostRanges, 0)
  assert.match(stateOfDevices()[0] ?? '', / ok /)
})

test('[LIFE-01] [LIFE-08] a suspended group takes nothing new, reads on, and goes on in order; twice is harmless', async () => {
  const world = await GroupWorld.running()
  await world.ok(world.write(0, 0, bytes(512, 1)))
  const { admin } = world
  await admin.suspend(null)
  await admin.suspend(null)
  const writes = [2, 3, 4].map((value) => world.write(0, 0, bytes(512, value)))
  await world.clock.advance(5000)
  assert.ok(writes.every((write) => !write.answered))
  assert.deepEqual(await world.read(0, 0, 512), bytes(512, 1))
  await admin.resume(null)
  await admin.resume(null)
  await world.ok(...writes)
  assert.deepEqual(await world.read(0, 0, 512), bytes(512, 4))
})

test('[LIFE-03] a suspended device leaves the others alone, and goes on in order', async () => {
  const world = await GroupWorld.running()
  await world.admin.suspend(0)
  await world.admin.suspend(0)
  const writes = [world.write(0, 0, bytes(512, 1)), world.write(0, 0, bytes(512, 2)), world.flush(0)]
  await world.ok(world.write(1, 0, bytes(512, 3)), world.flush(1))
  await world.clock.advance(1000)
  assert.ok(writes.every((write) => !write.answered))
  await world.admin.resume(0)
  await world.ok(...writes)
  assert.deepEqual(await world.read(0, 0, 512), bytes(512, 2))
})

test('[LIFE-07] a stop answers everything that waits: for room, for a suspended group, for a suspended device', async () => {
  const world = await GroupWorld.running()
  await world.admin.suspend(0)
  const onDevice = world.write(0, 0, bytes(512, 1))
  await world.admin.suspend(null)
  const onGroup = world.write(1, 0, bytes(512, 1))
  await world.stop()
  assert.deepEqual([onDevice.errno, onGroup.errno], [5, 5])
})

test('a failed group fails what a suspended device keeps waiting', async () => {
  const world = await GroupWorld.running()
  await world.admin.suspend(0)
  const waiting = world.write(0, 0, bytes(512, 1))
  world.disks.inject(LOG_PATH, { on: 'write', error: 'EIO', count: Infinity })
  await world.failed(world.write(1, 0, bytes(512, 1)), waiting)
})

test('[LIFE-06] a clean stop right after a write leaves the device whole, and the next start finds it', async () => {
  const world = await GroupWorld.running({ latency: { writeMs: [0, 2], syncMs: [1, 8] } })
  await world.ok(world.write(0, 5000, bytes(100 * KIB, 8)))
  await world.stop()
  const found = Buffer.alloc(100 * KIB)
  world.disks.medium('/dev/0').read(found, 5000)
  assert.deepEqual(found, bytes(100 * KIB, 8))
  await world.open()
  assert.match(
    world.events.filter((event) => event.kind === 'log-opened').at(-1)?.message ?? '',
    /; 0 are not on the local devices yet$/,
  )
})

test('a stop with a device that does not work ends in its time, and nothing is lost', async () => {
  const world = await GroupWorld.running()
  const fault = world.disks.inject('/dev/0', { on: 'write', error: 'EIO', count: Infinity, keep: 'none' })
  await world.ok(world.write(0, 0, bytes(4096, 1)))
  const beganMs = world.clock.nowMs()
  await world.stop(3000)
  assert.ok(world.clock.nowMs() - beganMs < 5000)
  fault.remove()
  await world.open()
  assert.deepEqual(await world.read(0, 0, 4096), bytes(4096, 1))
})

test('[DEV-20] [DEV-21] devices come and go while others work; a deleted one has its writes first', async () => {
  const world = await GroupWorld.running()
  const writes = [world.write(0, 0, bytes(4096, 1)), world.write(1, 0, bytes(4096, 2))]
  await world.ok(...writes)
  await world.clock.runUntil(world.admin.deleteDevice(1, false))
  const found = Buffer.alloc(4096)
  world.disks.medium('/dev/1').read(found, 0)
  assert.deepEqual(found, bytes(4096, 2), 'what was written is on it')
  assert.deepEqual(await world.read(0, 0, 4096), bytes(4096, 1))
  world.disks.addDevice('/dev/2', MIB)
  await world.clock.runUntil(world.admin.addDevice({ number: 1, path: '/dev/2', name: 'again', sizeBytes: MIB }))
  assert.deepEqual(await world.read(1, 0, 4096), bytes(4096, 0), 'a number that comes again is another device')
  await world.ok(world.write(1, 0, bytes(512, 7)))
  await world.restart()
  assert.deepEqual(await world.read(1, 0, 512), bytes(512, 7))
})

test('a verb whose configuration cannot be stored has changed nothing', async () => {
  const world = await GroupWorld.running()
  await world.ok(world.write(1, 0, bytes(4096, 2)))
  const full = new Error('no space left for the configuration')
  world.config.failure = full
  await assert.rejects(world.clock.runUntil(world.admin.deleteDevice(1, false)), full)
  await world.ok(world.write(1, 4096, bytes(4096, 3)), world.flush(1))
  await world.applied()
  await world.restart()
  assert.deepEqual(await world.read(1, 0, 8192), Buffer.concat([bytes(4096, 2), bytes(4096, 3)]))
  world.disks.addDevice('/dev/9', MIB)
  world.config.failure = full
  await assert.rejects(
    world.clock.runUntil(world.admin.addDevice({ number: 9, path: '/dev/9', name: 'nine', sizeBytes: MIB })),
    full,
  )
  assert.equal(world.group.devices.size, 2)
  await world.clock.runUntil(world.admin.addDevice({ number: 9, path: '/dev/9', name: 'nine', sizeBytes: MIB }))
})

test('a write that has its place in the order while its device is deleted reaches it, whether the device goes or stays', async () => {
  for (const stays of [true, false]) {
    const world = await GroupWorld.running()
    await world.ok(world.write(1, 0, bytes(4096, 1)))
    await world.applied()
    const full = new Error('no space left for the configuration')
    if (stays) world.config.failure = full
    const write = world.write(1, 0, bytes(4096, 2))
    const deleted = world.clock.runUntil(world.admin.deleteDevice(1, false))
    await (stays ? assert.rejects(deleted, full) : deleted)
    await world.ok(write)
    if (stays) await world.applied()
    const found = Buffer.alloc(4096)
    world.disks.medium('/dev/1').read(found, 0)
    assert.deepEqual(found, bytes(4096, 2), stays ? 'the device stays' : 'the device goes')
  }
})

test('a device whose deletion is under way when the log fails stays with all its bytes, and the verb ends and says why', async () => {
  const world = await GroupWorld.running()
  await world.ok(world.write(1, 0, bytes(4096, 1)))
  await world.applied()
  world.disks.inject(LOG_PATH, { on: 'sync', error: 'EIO', count: 1 })
  await world.ok(world.write(1, 0, bytes(4096, 2)))
  let ended: unknown = 'it goes on'
  world.admin.deleteDevice(1, false).then(
    () => (ended = 'done'),
    (error: { readonly code: string }) => (ended = error.code),
  )
  await world.clock.advance(5000)
  assert.equal(ended, 'GROUP_FAILED')
  assert.equal(world.config.current.devices.length, 2)
  assert.deepEqual(await world.read(1, 0, 4096), bytes(4096, 2), 'what only the log has is still read')
})

test('[DEV-06] a path that is in use under whatever name is refused', async () => {
  const world = await GroupWorld.running()
  world.disks.link('/dev/0', '/dev/by-id/zero')
  world.disks.link(LOG_PATH, '/somewhere')
  for (const path of ['/dev/0', '/dev/by-id/zero', '/somewhere', LOG_PATH]) {
    await assert.rejects(
      world.clock.runUntil(world.admin.addDevice({ number: 5, path, name: 'five', sizeBytes: MIB })),
      { code: 'DEVICE_PATH_USED' },
    )
  }
  assert.equal(world.config.current.devices.length, 2)
})

test('block status says data unless overlay and device both prove a hole', async () => {
  const world = await GroupWorld.running()
  const ask = async (offset: number, length: number): Promise<[number, boolean][]> => {
    const request = world.submit(1, new Asked('block-status', offset, length))
    await world.answered([request])
    return (request.extents ?? []).map((extent) => [extent.length, extent.zero])
  }
  assert.deepEqual(await ask(0, MIB), [[MIB, true]])
  await world.ok(world.write(1, 128 * KIB, bytes(64 * KIB, 1)))
  assert.deepEqual(await ask(0, 256 * KIB), [
    [128 * KIB, true],
    [64 * KIB, false],
    [64 * KIB, true],
  ])
  assert.deepEqual(await ask(130 * KIB, 10), [[10, false]])
  await world.applied()
  assert.deepEqual(await ask(0, 256 * KIB), [
    [128 * KIB, true],
    [64 * KIB, false],
    [64 * KIB, true],
  ])
  await world.ok(world.trim(1, 128 * KIB, 32 * KIB))
  assert.deepEqual(await ask(0, 256 * KIB), [
    [160 * KIB, true],
    [32 * KIB, false],
    [64 * KIB, true],
  ])
})

test('fast zeroes are declined, cache is nothing to do', async () => {
  const world = await GroupWorld.running()
  const fast = world.submit(0, new Asked('write-zeroes', 0, 512, null, false, false, true))
  assert.ok(fast.answered && fast.errno !== 0 && fast.errno !== 5)
  await world.ok(world.submit(0, new Asked('cache', 0, 512)))
})
