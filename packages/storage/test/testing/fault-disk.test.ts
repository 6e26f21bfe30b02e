import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PayloadPool } from '@sitelink/protocol/entry'
import { DiskError } from '../../src/disk/disk-error.js'
import { FaultDisk, FaultDiskProvider, Prng, seedFromEnv, SimClock } from '../../src/testing/index.js'

const seed = seedFromEnv('fault-disk')
const KIB = 1024

function filled(value: number, length: number): Buffer {
  return Buffer.alloc(length, value)
}

/** Whether a promise has settled by now. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  promise.then(
    () => (settled = true),
    () => (settled = true),
  )
  await new Promise((resolve) => setImmediate(resolve))
  return settled
}

describe('FaultDisk', () => {
  it('a write is visible at once and a sync makes it survive a power cut', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB })
    await disk.write([filled(1, 600), filled(2, 600)], 100)
    const seen = Buffer.alloc(1200)
    await disk.read(seen, 100)
    assert.deepEqual(seen, Buffer.concat([filled(1, 600), filled(2, 600)]))
    await disk.sync()
    const after = disk.powerCut({ kind: 'lose-all' })
    assert.deepEqual(after.peek(100, 1200), seen)
  })

  it('canary: unsynced data really can vanish, and really can stay', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB })
    await disk.write([filled(7, 4096)], 0)
    const kept = disk.powerCut({ kind: 'keep-all' })
    assert.deepEqual(kept.peek(0, 4096), filled(7, 4096))
    await kept.write([filled(8, 4096)], 0)
    const lost = kept.powerCut({ kind: 'lose-all' })
    // keep-all made the sevens durable: the power came back after they were on the platters.
    assert.deepEqual(lost.peek(0, 4096), filled(7, 4096))
  })

  it('canary: a random power cut tears writes inside, and every sector is old or new', async () => {
    const prng = new Prng(seed)
    let torn = 0
    for (let round = 0; round < 50; round++) {
      const disk = new FaultDisk({ sizeBytes: 64 * KIB, prng: prng.fork(`${round}`) })
      await disk.write([filled(1, 4096)], 0)
      await disk.sync()
      await disk.write([filled(2, 4096)], 0)
      const after = disk.powerCut({ kind: 'random' }).peek(0, 4096)
      const sectors = Array.from({ length: 8 }, (_, at) => after.subarray(at * 512, at * 512 + 512))
      for (const sector of sectors) assert.ok(sector.equals(filled(1, 512)) || sector.equals(filled(2, 512)))
      const newCount = sectors.filter((sector) => sector[0] === 2).length
      if (newCount > 0 && newCount < 8) torn++
    }
    assert.ok(torn > 5, `only ${torn} of 50 cuts tore the write`)
  })

  it('an explicit subset keeps exactly its sectors, and a later change of a sector contains the earlier', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB })
    await disk.write([filled(1, 1024)], 0)
    await disk.write([filled(2, 100)], 600)
    assert.deepEqual(disk.unsynced(), [
      { change: 0, offset: 0, length: 512 },
      { change: 0, offset: 512, length: 512 },
      { change: 1, offset: 600, length: 100 },
    ])
    const after = disk.powerCut({ kind: 'subset', keep: (_, index) => index === 2 }).peek(0, 1024)
    assert.deepEqual(after.subarray(0, 512), filled(0, 512))
    assert.deepEqual(after.subarray(512), Buffer.concat([filled(1, 88), filled(2, 100), filled(1, 324)]))
  })

  it('a sync covers what had returned when it began, not what came while it was under way', async () => {
    const clock = new SimClock()
    const disk = new FaultDisk({ sizeBytes: 64 * KIB, clock, latency: { writeMs: [1, 1], syncMs: [10, 10] } })
    await clock.runUntil(disk.write([filled(1, 512)], 0))
    const sync = disk.sync()
    await clock.runUntil(disk.write([filled(2, 512)], 512))
    await clock.runUntil(sync)
    assert.equal(disk.peek(512, 1)[0], 2)
    assert.equal(disk.peekDurable(0, 1)[0], 1)
    assert.equal(disk.peekDurable(512, 1)[0], 0)
  })

  it('the death of a process keeps what was written and lands each write under way or not', async () => {
    const results = new Set<string>()
    const prng = new Prng(seed)
    for (let round = 0; round < 60; round++) {
      const disk = new FaultDisk({ sizeBytes: 64 * KIB, prng: prng.fork(`${round}`) })
      await disk.write([filled(9, 512)], 32 * KIB)
      disk.hold()
      const underWay = disk.write([filled(5, 16 * KIB)], 0)
      const next = disk.crashProcess()
      disk.release()
      assert.equal(await isSettled(underWay), false)
      assert.equal(next.peek(32 * KIB, 1)[0], 9)
      const landed = next.peek(0, 16 * KIB).lastIndexOf(5) + 1
      assert.equal(landed % 4096, 0)
      results.add(landed === 0 ? 'none' : landed === 16 * KIB ? 'all' : 'part')
      assert.equal(next.peekDurable(0, 1)[0], 0, 'a crash of the process makes nothing durable')
    }
    assert.deepEqual([...results].sort(), ['all', 'none', 'part'])
  })

  it('a dead disk answers nobody', async () => {
    const disk = new FaultDisk({ sizeBytes: 4 * KIB })
    disk.powerCut({ kind: 'lose-all' })
    assert.equal(await isSettled(disk.read(Buffer.alloc(1), 0)), false)
    assert.equal(await isSettled(disk.close()), false)
  })

  it('after a failed sync reads show bytes that a later good sync does not save', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB })
    await disk.write([filled(3, 512)], 0)
    disk.inject({ on: 'sync', error: 'EIO', keep: 'none' })
    await assert.rejects(disk.sync(), (error: DiskError) => error.code === 'DISK_IO' && error.errno === 'EIO')
    await disk.sync()
    assert.equal(disk.peek(0, 1)[0], 3)
    disk.dropAbandoned()
    assert.equal(disk.peek(0, 1)[0], 0, 'the cache has let it go')
    assert.equal(disk.powerCut({ kind: 'keep-all' }).peek(0, 1)[0], 0)
  })

  it('faults strike by count, by skip, by range and by probability, and are counted', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB, prng: new Prng(seed) })
    const once = disk.inject({ on: 'write', error: 'ENOSPC', skip: 1, keep: 'none' })
    await disk.write([filled(1, 512)], 0)
    await assert.rejects(disk.write([filled(2, 512)], 0), (error: DiskError) => error.code === 'DISK_FULL')
    await disk.write([filled(3, 512)], 0)
    assert.equal(once.hits, 1)
    const ranged = disk.inject({
      on: 'read',
      error: 'EIO',
      range: { offset: 4096, length: 512 },
      count: Number.POSITIVE_INFINITY,
    })
    await disk.read(Buffer.alloc(4096), 0)
    await assert.rejects(disk.read(Buffer.alloc(4097), 0))
    ranged.remove()
    await disk.read(Buffer.alloc(4097), 0)
    const likely = disk.inject({ on: 'read', error: 'EIO', probability: 0.5 })
    let failed = 0
    for (let at = 0; at < 200; at++) await disk.read(Buffer.alloc(1), 0).catch(() => failed++)
    assert.equal(likely.hits, failed)
    assert.ok(failed > 50 && failed < 150)
    assert.equal(disk.counts.failures, 1 + 1 + failed)
  })

  it('latency is simulated time and lets operations end in another order', async () => {
    const clock = new SimClock()
    const disk = new FaultDisk({
      sizeBytes: 64 * KIB,
      clock,
      prng: new Prng(seed),
      latency: { writeMs: [1, 10], syncMs: [5, 5] },
    })
    const order: number[] = []
    for (let at = 0; at < 8; at++) void disk.write([filled(at, 512)], at * 512).then(() => order.push(at))
    await clock.run()
    assert.equal(order.length, 8)
    assert.notDeepEqual(order, [0, 1, 2, 3, 4, 5, 6, 7])
    const before = clock.nowMs()
    await clock.runUntil(disk.sync())
    assert.ok(Math.abs(clock.nowMs() - before - 5) < 1e-6)
  })

  it('a huge disk costs nothing until it is written', async () => {
    const disk = new FaultDisk({ sizeBytes: 2 ** 50 })
    await disk.write([filled(1, 512)], 2 ** 50 - 512)
    await disk.discard(0, 2 ** 45)
    assert.equal(disk.medium.chunkCount, 1)
    assert.deepEqual(await disk.extents(2 ** 50 - 128 * KIB, 128 * KIB), [
      { length: 64 * KIB, hole: true },
      { length: 64 * KIB, hole: false },
    ])
  })

  it('a discard is a change like any other: lost, torn or kept', async () => {
    const disk = new FaultDisk({ sizeBytes: 1024 * KIB })
    await disk.write([filled(1, 1024 * KIB)], 0)
    await disk.sync()
    await disk.discard(0, 1024 * KIB)
    assert.equal(disk.peek(0, 1)[0], 0)
    const units = disk.unsynced()
    assert.equal(units.length, 16)
    const after = disk.powerCut({ kind: 'subset', keep: (_, index) => index === 3 })
    assert.equal(after.peek().indexOf(0), 3 * 64 * KIB)
    assert.equal(after.peek().lastIndexOf(0), 4 * 64 * KIB - 1)
  })

  it('a trace gives the disk back as it was after any of its events', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB })
    await disk.write([filled(9, 512)], 512)
    disk.startTrace()
    await disk.write([filled(1, 512)], 0)
    await disk.sync()
    disk.mark('one is durable')
    await disk.write([filled(2, 512)], 0)
    assert.deepEqual(
      disk.trace.map(({ kind }) => kind),
      ['change', 'synced', 'mark', 'change'],
    )
    const values = [0, 1, 2, 3, 4].map((count) =>
      [disk.at(count).powerCut({ kind: 'lose-all' }), disk.at(count)].map((copy) => copy.peek(0, 1)[0]),
    )
    assert.deepEqual(values, [
      [0, 0],
      [0, 1],
      [1, 1],
      [1, 1],
      [1, 2],
    ])
    assert.equal(
      disk.at(0).powerCut({ kind: 'lose-all' }).peek(512, 1)[0],
      0,
      'what was unsynced at the start is still',
    )
    assert.equal(disk.at(0).powerCut({ kind: 'keep-all' }).peek(512, 1)[0], 9)
  })

  it('a bit flips at rest and a sector becomes unreadable until it is written', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB })
    disk.flipBit(1000)
    assert.equal(disk.peek().filter((byte) => byte !== 0).length, 1)
    disk.makeUnreadable(4096, 512)
    await assert.rejects(disk.read(Buffer.alloc(8192), 0))
    await disk.write([filled(1, 512)], 4096)
    await disk.read(Buffer.alloc(8192), 0)
  })

  it('it catches a buffer that is changed, or given back, while its write is under way', async () => {
    const disk = new FaultDisk({ sizeBytes: 64 * KIB })
    let changed = 0
    assert.throws(disk.bufferChanged, /changed while its write was under way/)
    disk.bufferChanged = () => (changed += 1)
    const bytes = filled(1, 512)
    disk.hold()
    const first = disk.write([bytes], 0)
    bytes[3] = 9
    const memory = new PayloadPool(0).take(512)
    const second = disk.write([memory.bytes], 512)
    memory.release()
    const third = disk.write([filled(2, 512)], 1024)
    disk.release()
    await Promise.all([first, second, third])
    assert.equal(changed, 2)
  })

  it('the same seed gives the same losses', async () => {
    const run = async (): Promise<Buffer> => {
      let disk = new FaultDisk({ sizeBytes: 64 * KIB, prng: new Prng(seed) })
      for (let round = 0; round < 10; round++) {
        await disk.write([filled(round + 1, 20 * KIB)], round * 2048)
        disk = disk.powerCut({ kind: 'random' })
      }
      return disk.peek()
    }
    assert.deepEqual(await run(), await run())
  })
})

describe('FaultDiskProvider', () => {
  it('a copy of a host has what is durable, what is unsynced and the names, and goes its own way', async () => {
    const provider = new FaultDiskProvider()
    provider.addDevice('/dev/a', 64 * KIB)
    provider.link('/dev/a', '/dev/alias')
    const disk = await provider.open('/dev/a', { exclusive: true })
    await disk.write([filled(1, 4096)], 0)
    await disk.sync()
    await disk.write([filled(2, 4096)], 0)
    const lost = provider.fork(new Prng(seed)).powerCut({ kind: 'lose-all' })
    const kept = provider.fork(new Prng(seed)).powerCut({ kind: 'keep-all' })
    await disk.write([filled(3, 4096)], 0)
    const bytes = Buffer.alloc(4096)
    lost.medium('/dev/a').read(bytes, 0)
    assert.deepEqual(bytes, filled(1, 4096))
    kept.medium('/dev/alias').read(bytes, 0)
    assert.deepEqual(bytes, filled(2, 4096))
    await kept.open('/dev/a', { exclusive: true })
    await disk.read(bytes, 0)
    assert.deepEqual(bytes, filled(3, 4096))
  })

  it('opens what is there, holds it exclusively and frees it when the process dies', async () => {
    const provider = new FaultDiskProvider()
    provider.addDevice('/dev/a', 64 * KIB)
    provider.link('/dev/a', '/dev/alias')
    await provider.open('/dev/a', { exclusive: true })
    await assert.rejects(
      provider.open('/dev/alias', { exclusive: true }),
      (error: DiskError) => error.code === 'DISK_IN_USE',
    )
    assert.equal(await provider.identify('/dev/a'), await provider.identify('/dev/alias'))
    await assert.rejects(provider.open('/dev/b'), (error: DiskError) => error.code === 'DISK_MISSING')
    const next = provider.crashProcess()
    await next.open('/dev/a', { exclusive: true })
    assert.equal(await isSettled(provider.open('/dev/a')), false)
  })

  it('small files are replaced as a whole, also when the process dies in it', async () => {
    const seen = new Set<string>()
    const prng = new Prng(seed)
    for (let round = 0; round < 40; round++) {
      const provider = new FaultDiskProvider({ prng: new Prng(`${seed}/${round}`) })
      await provider.replaceFile('state', Buffer.from('old'))
      const replacing = provider.replaceFile('state', Buffer.from('newer'))
      for (let jobs = prng.below(4); jobs > 0; jobs--) await Promise.resolve()
      const next = provider.powerCut({ kind: 'random' })
      void replacing
      seen.add(String(await next.readFile('state')))
    }
    assert.deepEqual([...seen].sort(), ['newer', 'old'])
  })

  it('space ends for sparse files when it is used and for the others when they are made', async () => {
    const provider = new FaultDiskProvider({ capacityBytes: 256 * KIB })
    await assert.rejects(
      provider.create('log', 512 * KIB, { preallocate: true }),
      (error: DiskError) => error.code === 'DISK_FULL',
    )
    assert.equal(await provider.exists('log'), null)
    const sparse = await provider.create('sparse', 512 * KIB)
    await sparse.write([filled(1, 256 * KIB)], 0)
    await assert.rejects(sparse.write([filled(1, 1)], 256 * KIB), (error: DiskError) => error.code === 'DISK_FULL')
    await sparse.write([filled(2, 256 * KIB)], 0)
    await assert.rejects(provider.create('sparse', 1), (error: DiskError) => error.code === 'DISK_EXISTS')
  })

  it('a power cut reaches every disk and what was synced stays', async () => {
    const provider = new FaultDiskProvider({ prng: new Prng(seed) })
    const one = await provider.create('one', 64 * KIB)
    const two = await provider.create('two', 64 * KIB)
    await one.write([filled(1, 512)], 0)
    await one.sync()
    await two.write([filled(1, 512)], 0)
    const next = provider.powerCut({ kind: 'lose-all' })
    const look = async (path: string): Promise<number | undefined> => (await next.readFile(path))?.[0]
    assert.deepEqual([await look('one'), await look('two')], [1, 0])
  })
})
