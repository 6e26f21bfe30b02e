/** Large writes past the page cache: what they write, what is left to the page cache, and what a file system refuses. */
import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { DIRECT_BYTES_MIN, DirectWrites, Stages } from '../../src/disk/direct-writes.js'
import { ffiProblem, systemCalls, type Ffi } from '../../src/disk/ffi.js'
import { NodeDiskProvider } from '../../src/disk/node-disk-provider.js'
import { Prng, seedFromEnv } from '../../src/testing/index.js'

const MIB = 1024 * 1024
const DISK_BYTES = 8 * MIB
const seed = seedFromEnv('direct-writes')
const noFfi = systemCalls() === null ? (ffiProblem() ?? 'no koffi') : false

/** The name of a file of the test's own, full of what `prng` says. */
function filled(t: TestContext, prng: Prng): { path: string; content: Buffer } {
  const directory = fs.mkdtempSync(join(tmpdir(), 'sitelink-direct-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  const content = prng.bytes(DISK_BYTES)
  fs.writeFileSync(join(directory, 'disk'), content)
  return { path: join(directory, 'disk'), content }
}

/** Cut into buffers of any length. */
function cut(bytes: Buffer, prng: Prng): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const count = prng.below(300_000)
    chunks.push(bytes.subarray(at, at + count))
    at += count
  }
  return chunks
}

/** Stages of ordinary memory, and how many were asked for. */
class CountedStages extends Stages {
  taken = 0

  override take(): Promise<Buffer> {
    this.taken += 1
    return super.take()
  }
}

const anywhere = (): bigint => 0n
const addressOf = systemCalls()?.addressOf ?? anywhere

test('writes of any size and place, several at once and among small ones, read back as they were written', async (t) => {
  const prng = new Prng(seed)
  const { path, content } = filled(t, prng)
  const disk = await new NodeDiskProvider().open(path, { direct: true })
  for (let round = 0; round < 30; round++) {
    // Each in a quarter of its own: writes that overlap end in any order.
    const writes = [0, 1, 2, 3].map((quarter) => {
      const unit = prng.pick([1, 512, 4096, 4096])
      const room = DISK_BYTES / 4
      const offset = Math.floor(prng.below(room) / unit) * unit
      const length = Math.floor(prng.below(room - offset + 1) / unit) * unit
      const bytes = prng.bytes(length)
      bytes.copy(content, quarter * room + offset)
      return disk.write(cut(bytes, prng), quarter * room + offset)
    })
    await Promise.all(writes)
    const into = Buffer.alloc(DISK_BYTES)
    await disk.read(into, 0)
    assert.ok(into.equals(content), `round ${round}`)
  }
  await disk.sync()
  await disk.close()
  assert.ok(fs.readFileSync(path).equals(content))
})

test(
  'a large write leaves no page in the cache, and takes along what a small one had there',
  { skip: noFfi },
  async (t) => {
    const { path, content } = filled(t, new Prng(seed))
    const clock = { nowMs: () => 0, soon: (action: () => void) => void setImmediate(action) }
    const disk = await new NodeDiskProvider({ clock }).open(path, { direct: true })
    const isCached = (): boolean => disk.readNow(Buffer.alloc(512), MIB)
    if (!isCached()) return t.skip('this file system has no reads that look at the page cache alone')
    await disk.sync()
    await disk.uncache()
    if (isCached()) return t.skip('what is in memory here stays there')
    await disk.write([Buffer.alloc(4096, 7)], MIB)
    assert.equal(isCached(), true)
    await disk.write([content.subarray(0, MIB)], MIB)
    assert.equal(isCached(), false)
    await disk.close()
    content.copy(content, MIB, 0, MIB)
    assert.ok(fs.readFileSync(path).equals(content))
  },
)

test('what is small or lies across blocks is left to the page cache', () => {
  const direct = new DirectWrites(0, new Stages(anywhere))
  assert.equal(direct.takes(0, DIRECT_BYTES_MIN), true)
  assert.equal(direct.takes(4096, DIRECT_BYTES_MIN + 4096), true)
  assert.equal(direct.takes(0, DIRECT_BYTES_MIN - 4096), false)
  assert.equal(direct.takes(512, DIRECT_BYTES_MIN), false)
  assert.equal(direct.takes(0, DIRECT_BYTES_MIN + 512), false)
})

test(
  'memory is as a medium wants it, eight pieces at most; who finds none waits, in order',
  { skip: noFfi },
  async () => {
    const stages = new Stages(addressOf)
    const taken = await Promise.all(Array.from({ length: 8 }, () => stages.take()))
    assert.equal(new Set(taken).size, 8)
    for (const stage of taken) assert.deepEqual([addressOf(stage) % 4096n, stage.length], [0n, MIB])
    const late: Buffer[] = []
    const waits = [1, 2].map(() => stages.take().then((stage) => late.push(stage)))
    await new Promise(setImmediate)
    assert.deepEqual(late, [])
    for (const at of [3, 5]) stages.giveBack(taken[at] as Buffer)
    await Promise.all(waits)
    assert.deepEqual([late[0] === taken[3], late[1] === taken[5]], [true, true])
  },
)

test('writes past the page cache and through it take turns, each with its like', async () => {
  const direct = new DirectWrites(0, new Stages(anywhere))
  const begun: string[] = []
  const enter = (name: string, past: boolean): Promise<unknown> => direct.enter(past).then(() => begun.push(name))
  await Promise.all([enter('past 1', true), enter('past 2', true)])
  assert.equal(direct.busy, true)
  void enter('through 1', false)
  void enter('through 2', false)
  direct.leave(true)
  await new Promise(setImmediate)
  assert.deepEqual(begun, ['past 1', 'past 2'])
  direct.leave(true)
  await new Promise(setImmediate)
  assert.deepEqual(begun.slice(2), ['through 1', 'through 2'])
  assert.equal(direct.busy, false)
  void enter('past 3', true)
  direct.leave(false)
  await new Promise(setImmediate)
  assert.equal(begun.length, 4)
  direct.leave(false)
  await new Promise(setImmediate)
  assert.deepEqual(begun.slice(4), ['past 3'])
})

test(
  'a small write waits for a large one of the same file, and is not made in the call',
  { skip: noFfi },
  async (t) => {
    const { path, content } = filled(t, new Prng(seed))
    const clock = { nowMs: () => 0, soon: (action: () => void) => void setImmediate(action) }
    const disk = await new NodeDiskProvider({ clock }).open(path, { direct: true })
    assert.equal(disk.writeNow([Buffer.alloc(512, 1)], 0), true)
    const ended: string[] = []
    const large = disk.write([content.subarray(0, MIB)], 2 * MIB).then(() => ended.push('large'))
    assert.equal(disk.writeNow([Buffer.alloc(512, 3)], 0), false)
    const small = disk.write([Buffer.alloc(512, 3)], 0).then(() => ended.push('small'))
    await Promise.all([large, small])
    assert.deepEqual(ended, ['large', 'small'])
    assert.equal(disk.writeNow([Buffer.alloc(512, 4)], 512), true)
    await disk.close()
    content.copy(content, 2 * MIB, 0, MIB)
    content.fill(3, 0, 512).fill(4, 512, 1024)
    assert.ok(fs.readFileSync(path).equals(content))
  },
)

test('a file that does not take such writes is asked once', { skip: noFfi }, async (t) => {
  const { path, content } = filled(t, new Prng(seed))
  // Memory at an odd place is what every medium refuses.
  const stages = new CountedStages((buffer) => addressOf(buffer) + 1n)
  const fd = fs.openSync(path, 'r+')
  t.after(() => fs.closeSync(fd))
  const direct = new DirectWrites(fd, stages)
  const done = await direct.write([Buffer.alloc(MIB)], 0, MIB)
  if (done) return t.skip('here every memory is good')
  assert.equal(direct.takes(0, MIB), false)
  assert.equal(stages.taken, 1)
  await direct.close()
  assert.ok(fs.readFileSync(path).equals(content))
})

test('what a file system does not take goes through the page cache', { skip: noFfi }, async (t) => {
  const { path, content } = filled(t, new Prng(seed))
  const ffi = { ...(systemCalls() as Ffi), addressOf: (buffer: Buffer) => addressOf(buffer) + 1n }
  const disk = await new NodeDiskProvider({ ffi }).open(path, { direct: true })
  for (const at of [0, MIB]) await disk.write([content.subarray(4 * MIB, 5 * MIB)], at)
  await disk.close()
  for (const at of [0, MIB]) content.copy(content, at, 4 * MIB, 5 * MIB)
  assert.ok(fs.readFileSync(path).equals(content))
})

test(
  'an error that does not mean "never" is one of the write, and says nothing about the next',
  { skip: noFfi },
  async (t) => {
    const { path } = filled(t, new Prng(seed))
    const fd = fs.openSync(path, 'r+')
    t.after(() => fs.closeSync(fd))
    const direct = new DirectWrites(fd, new Stages(addressOf))
    assert.equal(await direct.write([Buffer.alloc(MIB)], 0, MIB), true)
    await direct.close()
    // Its descriptor is gone: no medium could be made to fail more simply.
    await assert.rejects(direct.write([Buffer.alloc(MIB)], 0, MIB), { code: 'ERR_OUT_OF_RANGE' })
    assert.equal(direct.takes(0, MIB), true)
  },
)

test('a descriptor that cannot be opened once more writes nothing', async () => {
  const direct = new DirectWrites(1_000_000, new Stages(anywhere))
  assert.equal(await direct.write([Buffer.alloc(MIB)], 0, MIB), false)
  assert.equal(direct.takes(0, MIB), false)
  await direct.close()
})
