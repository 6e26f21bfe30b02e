/** Small reads out of the page cache in the calling thread: what is believed, what goes through the thread pool. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { syncBuiltinESMExports } from 'node:module'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import type { DiskError } from '../../src/disk/disk-error.js'
import { ffiProblem, systemCalls, type Ffi } from '../../src/disk/ffi.js'
import { NodeDiskProvider } from '../../src/disk/node-disk-provider.js'
import type { NodeDisk } from '../../src/disk/node-disk.js'
import { QUICK_READ_BYTES_MAX } from '../../src/disk/quick-reads.js'

const { EAGAIN, EIO, ENOSYS, EOPNOTSUPP } = constants.errno
const DISK_BYTES = 256 * 1024
const noFfi = ffiProblem() ?? false
const directory = fs.mkdtempSync(join(tmpdir(), 'sitelink-quick-reads-'))
const content = Buffer.alloc(DISK_BYTES, 'what the disk holds, again and again')
let nextFile = 0

after(() => fs.rmSync(directory, { recursive: true }))

/** The system call as a test wants it. */
type ReadCached = NonNullable<Ffi['readCached']>
const cached: ReadCached = (_fd, into, offset) => content.copy(into, 0, offset, offset + into.length)

/** A disk whose kernel answers as the test says; the clock stands still but for `ms`. */
class Bench {
  ms = 0
  asked = 0
  pooled = 0
  answer: ReadCached = cached
  readonly #soon: (() => void)[] = []

  async disk(options: { mayHang?: boolean; clock?: boolean } = {}): Promise<NodeDisk> {
    const path = join(directory, `file-${nextFile++}`)
    fs.writeFileSync(path, content)
    const clock = { nowMs: () => this.ms, soon: (action: () => void) => void this.#soon.push(action) }
    const readCached: ReadCached = (fd, into, offset) => {
      this.asked++
      return this.answer(fd, into, offset)
    }
    const ffi = { readCached } as unknown as Ffi
    const disks = new NodeDiskProvider(options.clock === false ? { ffi } : { ffi, clock })
    return disks.open(path, { mayHang: options.mayHang === true })
  }

  /** Counts the reads of the thread pool. */
  countPool(context: TestContext): void {
    const { read } = fs
    context.mock.method(fs, 'read', (...words: Parameters<typeof read>) => {
      this.pooled++
      read(...words)
    })
    syncBuiltinESMExports()
    context.after(() => {
      context.mock.restoreAll()
      syncBuiltinESMExports()
    })
  }

  async nextTurn(): Promise<void> {
    for (const action of this.#soon.splice(0)) action()
    await new Promise(setImmediate)
  }
}

/** What the system call says of a file. */
function probe(path: string): number | undefined {
  const fd = fs.openSync(path, 'r')
  try {
    return systemCalls()?.readCached?.(fd, Buffer.alloc(1), 0)
  } finally {
    fs.closeSync(fd)
  }
}

async function holds(disk: NodeDisk, offset: number, length: number): Promise<void> {
  const into = Buffer.alloc(length, 0xee)
  await disk.read(into, offset)
  assert.ok(into.equals(content.subarray(offset, offset + length)), `${length} bytes at ${offset}`)
}

test(
  'what is in the page cache is read at once, any length at any offset, and nothing next to it',
  { skip: noFfi },
  async () => {
    const path = join(directory, 'real')
    fs.writeFileSync(path, content)
    const clock = { nowMs: () => 0, soon: (action: () => void) => void setImmediate(action) }
    const disk = await new NodeDiskProvider({ clock }).open(path)
    // Some file systems cannot (tmpfs): then all of it goes through the thread pool.
    const cannot = probe(path) === -EOPNOTSUPP
    for (const [offset, length] of [
      [0, 1],
      [1, 4096],
      [4096, 4096],
      [777, 20_001],
      [DISK_BYTES - 512, 512],
    ] as const) {
      const around = Buffer.alloc(length + 64, 0xee)
      // A kernel that is short of memory may have dropped it: then it is read back, and asked for again.
      let tries = 0
      while (!disk.readNow(around.subarray(32, 32 + length), offset)) {
        if (cannot) return disk.close()
        assert.ok(tries++ < 100, `${length} bytes at ${offset} are at hand`)
        await holds(disk, offset, length)
      }
      const expected = Buffer.concat([
        Buffer.alloc(32, 0xee),
        content.subarray(offset, offset + length),
        Buffer.alloc(32, 0xee),
      ])
      assert.ok(around.equals(expected), `${length} bytes at ${offset}`)
    }
    await disk.write([Buffer.from('newer')], 4096)
    const into = Buffer.alloc(5)
    assert.equal(disk.readNow(into, 4096), true)
    assert.equal(into.toString(), 'newer')
    fs.truncateSync(path, 8192 + 100)
    assert.equal(disk.readNow(Buffer.alloc(4096), 8192), false, 'what the file has lost is not made up')
    await assert.rejects(disk.read(Buffer.alloc(4096), 8192), (error: DiskError) => error.code === 'DISK_RANGE')
    await disk.close()
  },
)

test('the system call tells its errno, negated', { skip: noFfi }, () => {
  assert.equal(systemCalls()?.readCached?.(-1, Buffer.alloc(8), 0), -constants.errno.EBADF)
})

test('what is not at hand, or not all of it, goes through the thread pool, and is asked for anew the next time', async (context) => {
  const bench = new Bench()
  const disk = await bench.disk()
  bench.countPool(context)
  const into = Buffer.alloc(4096)
  const answers: ReadCached[] = [
    () => -EAGAIN,
    () => -EIO,
    () => 0,
    (_fd, buffer) => buffer.fill(0xee, 0, 4095).length - 1,
  ]
  for (const answer of answers) {
    bench.answer = answer
    assert.equal(disk.readNow(into, 4096), false)
    await holds(disk, 4096, 4096)
  }
  assert.deepEqual([bench.asked, bench.pooled], [4, 4])
  bench.answer = cached
  assert.equal(disk.readNow(into, 4096), true)
  assert.ok(into.equals(content.subarray(4096, 8192)))
  await disk.close()
})

test('a file system or kernel that cannot do it is never asked again', async () => {
  for (const errno of [EOPNOTSUPP, ENOSYS]) {
    const bench = new Bench()
    const disk = await bench.disk()
    bench.answer = () => -errno
    for (let i = 0; i < 3; i++) assert.equal(disk.readNow(Buffer.alloc(512), 0), false)
    assert.equal(bench.asked, 1)
    await holds(disk, 0, 512)
    await disk.close()
  }
})

test('a turn has its bound: what is over waits for one of the next, in order, and then needs no thread', async (context) => {
  const bench = new Bench()
  const disk = await bench.disk()
  bench.countPool(context)
  bench.answer = (...words) => {
    bench.ms += 0.2
    return cached(...words)
  }
  const into = Buffer.alloc(512)
  assert.deepEqual(
    [0, 1, 2, 3].map(() => disk.readNow(into, 0)),
    [true, true, true, false],
  )
  const done: number[] = []
  const reads = [0, 1, 2, 3].map((at) => holds(disk, at * 512, 512).then(() => done.push(at)))
  await new Promise(setImmediate)
  assert.deepEqual([done, bench.asked], [[], 3], 'nothing more in this turn')
  await bench.nextTurn()
  assert.deepEqual(done, [0, 1, 2])
  await bench.nextTurn()
  await Promise.all(reads)
  assert.deepEqual(done, [0, 1, 2, 3])
  assert.equal(bench.pooled, 0)
  await disk.close()
})

test('large reads, disks that may hang and disks without a clock go through the thread pool', async (context) => {
  const bench = new Bench()
  const disk = await bench.disk()
  bench.countPool(context)
  assert.equal(disk.readNow(Buffer.alloc(QUICK_READ_BYTES_MAX), 0), true)
  assert.equal(disk.readNow(Buffer.alloc(QUICK_READ_BYTES_MAX + 1), 0), false)
  await disk.close()
  for (const other of [await bench.disk({ mayHang: true }), await bench.disk({ clock: false })]) {
    assert.equal(other.readNow(Buffer.alloc(512), 0), false)
    await holds(other, 0, 512)
    await other.close()
  }
  assert.deepEqual([bench.asked, bench.pooled], [1, 2])
})

test('a disk that is closed or being closed, and a range that it does not have, are never asked for', async () => {
  const bench = new Bench()
  const disk = await bench.disk()
  for (const offset of [-1, DISK_BYTES - 511, DISK_BYTES]) assert.equal(disk.readNow(Buffer.alloc(512), offset), false)
  bench.answer = (...words) => {
    bench.ms += 1
    return cached(...words)
  }
  assert.equal(disk.readNow(Buffer.alloc(512), 0), true)
  const waits = holds(disk, 512, 512)
  const closed = disk.close()
  await bench.nextTurn()
  await waits
  assert.equal(bench.asked, 2, 'a read that was under way is made before the descriptor goes')
  await bench.nextTurn()
  assert.equal(disk.readNow(Buffer.alloc(512), 0), false)
  await closed
  assert.equal(disk.readNow(Buffer.alloc(512), 0), false)
  assert.equal(bench.asked, 2)
})

test(
  'what leaves the page cache is read back from the disk, and what no sync covers stays',
  { skip: noFfi },
  async () => {
    const path = join(directory, 'uncached')
    fs.writeFileSync(path, content)
    const clock = { nowMs: () => 0, soon: (action: () => void) => void setImmediate(action) }
    const disk = await new NodeDiskProvider({ clock }).open(path)
    await disk.sync()
    await disk.uncache()
    const left = disk.readNow(Buffer.alloc(512), 0)
    // On tmpfs there is nothing but memory.
    if (probe(path) !== -EOPNOTSUPP) assert.equal(left, false)
    await disk.write([Buffer.from('newer')], 4096)
    await disk.uncache()
    const newer = Buffer.from(content)
    newer.write('newer', 4096)
    const into = Buffer.alloc(DISK_BYTES)
    await disk.read(into, 0)
    assert.ok(into.equals(newer))
    await disk.close()
  },
)

test('a page cache that cannot be told, or a disk that is closed, fails nobody', async () => {
  const path = join(directory, 'untold')
  fs.writeFileSync(path, content)
  const told: number[] = []
  const uncache = (fd: number): Promise<void> => {
    told.push(fd)
    return Promise.reject(new Error('cannot'))
  }
  for (const ffi of [null, { readCached: null, uncache: null }, { readCached: null, uncache }]) {
    const disk = await new NodeDiskProvider({ ffi: ffi as unknown as Ffi | null }).open(path)
    await disk.uncache()
    await disk.close()
    await disk.uncache()
  }
  assert.equal(told.length, 1)
})
