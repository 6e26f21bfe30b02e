/** Small writes in the calling thread: how much of a turn they may use, and which disks are trusted to be quick. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { PayloadPool, type Clock } from '@sitelink/protocol/entry'
import { NodeDiskProvider } from '../../src/disk/node-disk-provider.js'
import { Prng } from '../../src/testing/index.js'
import { QUICK_BYTES_MAX, QuickDisk, QuickTurn } from '../../src/disk/quick-writes.js'

/** A clock that stands still but for what a write takes, and turns that the test ends. */
class Bench {
  ms = 1000
  readonly turn = new QuickTurn({ nowMs: () => this.ms, soon: (action) => void this.#soon.push(action) })
  readonly disk = new QuickDisk(this.turn)
  #soon: (() => void)[] = []

  takes(ms: number): void {
    const write = (): void => {
      this.ms += ms
    }
    this.disk.make(write, 0, [], 0)
  }

  async nextTurn(): Promise<void> {
    for (const action of this.#soon.splice(0)) action()
    await new Promise(setImmediate)
  }
}

/** A name for a file of the test's own. */
function diskPath(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'sitelink-quick-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return join(directory, 'disk')
}

test('what is over in a turn waits for the next ones, in order, and every disk has its part of them', async () => {
  const bench = new Bench()
  const other = new QuickDisk(bench.turn)
  assert.equal(bench.disk.mustWait, false)
  for (let i = 0; i < 5; i++) bench.takes(0.1)
  assert.equal(bench.disk.mustWait, true)
  assert.equal(other.mustWait, true, 'the turn is one for all disks')
  const order: number[] = []
  for (let i = 0; i < 3; i++) void (i === 1 ? other : bench.disk).next().then(() => order.push(i))
  await Promise.resolve()
  assert.deepEqual(order, [])
  await bench.nextTurn()
  assert.deepEqual(order, [0, 1, 2])
  assert.equal(bench.disk.mustWait, false)
})

/** Milliseconds that the disk is not trusted from now on. */
function distrustMs(bench: Bench): number {
  const fromMs = bench.ms
  while (!bench.disk.takes(4096)) bench.ms += 50
  return bench.ms - fromMs
}

test('a disk that was slow is written through the thread pool for a while, longer each time; others are not', () => {
  const bench = new Bench()
  const other = new QuickDisk(bench.turn)
  const distrusts: number[] = []
  for (let time = 0; time < 12; time++) {
    assert.equal(bench.disk.takes(4096), true)
    bench.takes(50)
    assert.equal(bench.disk.takes(4096), false)
    assert.equal(other.takes(4096), true)
    distrusts.push(distrustMs(bench))
  }
  assert.deepEqual(distrusts.slice(0, 4), [500, 1000, 2000, 4000])
  assert.equal(distrusts.at(-1), 5000, 'but not for good')
})

test('the slower a write was, the longer its disk is not trusted: all of them together hold up little of the time', () => {
  for (const [tookMs, longMs] of [
    [21, 250],
    [100, 1000],
    [3000, 30_000],
    [30_000, 60_000],
  ] as const) {
    const bench = new Bench()
    bench.takes(tookMs)
    assert.equal(distrustMs(bench), longMs, `after ${tookMs} ms`)
  }
})

test('a slow write now and then is forgotten: the next one costs no more than the first', () => {
  const bench = new Bench()
  for (let time = 0; time < 5; time++) {
    bench.takes(30)
    assert.equal(distrustMs(bench), 300)
    bench.ms += 3001
  }
  bench.takes(30)
  assert.equal(distrustMs(bench), 300)
  bench.ms += 2900
  bench.takes(30)
  assert.equal(distrustMs(bench), 600, 'but not where they come often')
})

test('slow writes at any pace hold up a hundredth of the time, and those that come every few seconds leave trust', () => {
  const prng = new Prng(5)
  for (const [meanMs, trustedMin] of [
    [50, 0],
    [1000, 0.01],
    [5000, 0.4],
    [15_000, 0.7],
  ] as const) {
    const bench = new Bench()
    let [trustedMs, heldUpMs] = [0, 0]
    let dueMs = bench.ms
    for (const endMs = bench.ms + 3_600_000; bench.ms < endMs; bench.ms += 50) {
      if (!bench.disk.takes(4096)) continue
      trustedMs += 50
      if (bench.ms < dueMs) continue
      bench.takes(28)
      heldUpMs += 28
      dueMs = bench.ms + 2 * meanMs * prng.float()
    }
    assert(heldUpMs < 0.012 * 3_600_000, `${heldUpMs} ms of an hour, every ${meanMs} ms`)
    assert(trustedMs > trustedMin * 3_600_000, `trusted ${trustedMs} ms of an hour, every ${meanMs} ms`)
  }
})

test('a write that fails has used its time as well, and its error is told', () => {
  const bench = new Bench()
  const write = (): void => {
    bench.ms += 50
    throw new Error('EIO')
  }
  assert.throws(() => bench.disk.make(write, 0, [], 0), /EIO/)
  assert.equal(bench.disk.takes(512), false)
})

test('large writes go through the thread pool', () => {
  const { disk } = new Bench()
  assert.equal(disk.takes(QUICK_BYTES_MAX), true)
  assert.equal(disk.takes(QUICK_BYTES_MAX + 1), false)
})

test('a disk that may hang is never written in the calling thread', async (t) => {
  const path = diskPath(t)
  let asked = 0
  const clock = { nowMs: () => ++asked, soon: (run: () => void) => void setImmediate(run) }
  const disks = new NodeDiskProvider({ clock: clock as unknown as Clock })
  await (await disks.create(path, 8192)).close()
  const quick = await disks.open(path)
  await quick.write([Buffer.alloc(4096)], 0)
  assert(asked > 0, 'others are')
  await quick.close()
  asked = 0
  const patient = await disks.open(path, { mayHang: true })
  await patient.write([Buffer.alloc(4096, 1)], 0)
  await patient.close()
  assert.equal(asked, 0)
})

test('a write in this very call is made if it is quick and its turn is not spent, and else not at all', async (t) => {
  const path = diskPath(t)
  let ms = 0
  const later: (() => void)[] = []
  const clock = { nowMs: () => (ms += 0.2), soon: (run: () => void) => void later.push(run) }
  const disks = new NodeDiskProvider({ clock: clock as unknown as Clock })
  await (await disks.create(path, 2 * QUICK_BYTES_MAX)).close()
  const disk = await disks.open(path)
  const write = (value: number, at: number): boolean | undefined => disk.writeNow?.([Buffer.alloc(512, value)], at)
  for (let each = 1; each <= 3; each++) assert.equal(write(each, each * 512), true)
  assert.equal(write(9, 0), false, 'half a millisecond is spent')
  for (const run of later.splice(0)) run()
  assert.equal(write(4, 4 * 512), true)
  const two = [Buffer.alloc(512, 5), Buffer.alloc(512, 6)]
  assert.equal(disk.writeNow?.(two, 5 * 512), true)
  assert.equal(disk.writeNow?.([Buffer.alloc(QUICK_BYTES_MAX + 512, 9)], 0), false)
  const file = readFileSync(path)
  for (let each = 0; each <= 6; each++) assert.equal(file[each * 512], each)
  assert.throws(() => write(9, 2 * QUICK_BYTES_MAX), /DISK_RANGE|cannot write/)
  await disk.close()
  assert.throws(() => write(9, 0), /cannot write/)
  const patient = await disks.open(path, { mayHang: true })
  assert.equal(patient.writeNow?.([Buffer.alloc(512, 9)], 0), false)
  await patient.close()
})

test('a write that waits for its turn is not made when its buffers were given back meanwhile', async (t) => {
  const path = diskPath(t)
  let ms = 0
  const later: (() => void)[] = []
  const clock = { nowMs: () => (ms += 1), soon: (run: () => void) => void later.push(run) }
  const disks = new NodeDiskProvider({ clock: clock as unknown as Clock })
  await (await disks.create(path, 8192)).close()
  const disk = await disks.open(path)
  await disk.write([Buffer.alloc(512, 1)], 0)
  const memory = new PayloadPool(0).take(512)
  memory.bytes.fill(2)
  const waiting = disk.write([memory.bytes, Buffer.alloc(512, 3)], 512)
  memory.release()
  for (const run of later.splice(0)) run()
  await assert.rejects(waiting, ({ cause }: Error) => /buffers stay until they are written/.test(String(cause)))
  const file = readFileSync(path)
  assert.deepEqual([file[0], file[512], file[1024]], [1, 0, 0])
  await disk.close()
})
