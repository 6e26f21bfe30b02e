/** Large pieces of the page cache: where small writes have them split, and what that does to a file's content. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test, type TestContext } from 'node:test'
import { CachePieces, hasLargePieces, WINDOW_BYTES } from '../../src/disk/cache-pieces.js'
import { ffiProblem, systemCalls, type Ffi } from '../../src/disk/ffi.js'
import { NodeDiskProvider } from '../../src/disk/node-disk-provider.js'
import { QuickTurn } from '../../src/disk/quick-writes.js'
import { Prng, seedFromEnv } from '../../src/testing/index.js'
import { attachLoop, loopProblem } from './loop-device.js'

const MIB = 1024 * 1024
const EXT4 = 0xef53
const seed = seedFromEnv('cache-pieces')
const noExt =
  fs.statfsSync(tmpdir()).type === EXT4 && hasLargePieces(release()) ? false : 'no ext4 with large pieces here'

/** Remembers the windows that were split; those in `absent` are not cached. Each takes 0.1 ms. */
function recorded(absent: number[] = []): { pieces: CachePieces; taken: () => number[]; turn: QuickTurn } {
  const windows: number[] = []
  let ms = 0
  const turn = new QuickTurn({ nowMs: () => ms, soon: () => {} })
  const pieces = new CachePieces(
    7,
    (fd, offset) => {
      assert.equal(fd, 7)
      assert.equal(offset % WINDOW_BYTES, 0)
      ms += 0.1
      windows.push(offset / WINDOW_BYTES)
      return !absent.includes(offset / WINDOW_BYTES)
    },
    turn,
  )
  return { pieces, taken: () => windows.splice(0), turn }
}

test('the first small write into a window has its piece split, and no other small write', () => {
  const { pieces, taken } = recorded()
  pieces.before(5 * WINDOW_BYTES + 4096, 4096, true)
  assert.deepEqual(taken(), [5])
  pieces.before(5 * WINDOW_BYTES + 8192, 512, true)
  pieces.before(5 * WINDOW_BYTES, 64 * 1024, true)
  assert.deepEqual(taken(), [])
  pieces.before(40 * WINDOW_BYTES - 512, 1024, true)
  assert.deepEqual(taken(), [39, 40], 'one that lies in two windows')
  for (const window of [0, 31, 32, 63, 1_000_000]) pieces.before(window * WINDOW_BYTES + 1, 1, true)
  for (const window of [0, 31, 32, 63, 1_000_000]) pieces.before(window * WINDOW_BYTES, 4096, true)
  assert.deepEqual(taken(), [0, 31, 32, 63, 1_000_000])
})

test('a large write makes a large piece again; one between splits nothing and makes none', () => {
  const { pieces, taken } = recorded()
  for (let window = 0; window < 5; window++) pieces.before(window * WINDOW_BYTES, 4096, true)
  assert.deepEqual(taken(), [0, 1, 2, 3, 4])
  pieces.before(9 * WINDOW_BYTES, 128 * 1024, true)
  pieces.before(WINDOW_BYTES, WINDOW_BYTES - 4096, true)
  pieces.before(2 * WINDOW_BYTES + 4096, WINDOW_BYTES, true)
  pieces.before(0, 0, true)
  for (let window = 0; window < 5; window++) pieces.before(window * WINDOW_BYTES, 4096, true)
  assert.deepEqual(taken(), [2, 3])
})

test('a window that is not cached is asked for again', () => {
  const absent = [3]
  const { pieces, taken } = recorded(absent)
  pieces.before(3 * WINDOW_BYTES, 4096, true)
  pieces.before(3 * WINDOW_BYTES, 4096, true)
  assert.deepEqual(taken(), [3, 3])
  absent.pop()
  pieces.before(3 * WINDOW_BYTES, 4096, true)
  pieces.before(3 * WINDOW_BYTES, 4096, true)
  assert.deepEqual(taken(), [3])
  pieces.forget()
  pieces.before(3 * WINDOW_BYTES, 4096, true)
  assert.deepEqual(taken(), [3], 'and again once the page cache has forgotten the file')
})

test('splitting takes its share of a turn, and is left out for a write in another thread', () => {
  const { pieces, taken, turn } = recorded()
  pieces.before(0, 4096, false)
  assert.deepEqual(taken(), [])
  for (let window = 0; window < 4; window++) pieces.before(window * WINDOW_BYTES, 4096, true)
  assert.equal(turn.isSpent, false)
  pieces.before(4 * WINDOW_BYTES, 4096, true)
  pieces.before(5 * WINDOW_BYTES, 4096, true)
  assert.equal(turn.isSpent, true)
  taken()
  pieces.before(0, WINDOW_BYTES, false)
  pieces.before(0, 4096, true)
  assert.deepEqual(taken(), [0], 'a large write counts in whatever thread')
})

test('ext4 and block devices have such pieces, since Linux 6.16', async () => {
  for (const [kernel, has] of [
    ['6.16.0', true],
    ['6.18.44-somebody-3', true],
    ['7.0', true],
    ['6.15.9', false],
    ['5.20.1', false],
    ['unknown', false],
  ] as const)
    assert.equal(hasLargePieces(kernel), has, kernel)
  const turn = new QuickTurn({ nowMs: () => 0, soon: () => {} })
  const ffi = { splitPiece: () => true } as unknown as Ffi
  const isExt = fs.statfsSync(tmpdir()).type === EXT4
  assert.equal((await CachePieces.of(tmpdir(), 'file', 0, { ffi, turn }, '6.16.0')) !== null, isExt)
  assert.equal(await CachePieces.of('/proc', 'file', 0, { ffi, turn }, '6.16.0'), null)
  assert.notEqual(await CachePieces.of('/proc', 'block-device', 0, { ffi, turn }, '6.16.0'), null)
  assert.equal(await CachePieces.of(join(tmpdir(), 'there is no such file'), 'file', 0, { ffi, turn }, '6.16.0'), null)
  assert.equal(await CachePieces.of(tmpdir(), 'file', 0, { ffi, turn }, '6.15.0'), null)
  assert.equal(await CachePieces.of(tmpdir(), 'file', 0, { ffi: null, turn }, '6.16.0'), null)
  assert.equal(await CachePieces.of(tmpdir(), 'file', 0, { ffi, turn: null }, '6.16.0'), null)
})

test('every write in the calling thread has pieces split', { skip: noExt }, async (t) => {
  const path = filled(t, Buffer.alloc(4 * MIB))
  const windows: number[] = []
  const split = (_fd: number, offset: number): boolean => windows.push(offset / WINDOW_BYTES) > 0
  const ffi = { splitPiece: split, readCached: null } as unknown as Ffi
  // Each write takes more than its share of a turn, so that the next one has to wait.
  let ms = 0
  const clock = { nowMs: () => ms++, soon: (action: () => void) => void setImmediate(action) }
  const provider = new NodeDiskProvider({ ffi, clock })
  const disk = await provider.open(path, { scattered: true })
  await disk.write([Buffer.alloc(4096)], 0)
  assert.equal(disk.writeNow([Buffer.alloc(4096)], 5 * WINDOW_BYTES), false)
  await disk.write([Buffer.alloc(4096)], WINDOW_BYTES)
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  assert.equal(disk.writeNow([Buffer.alloc(4096)], 2 * WINDOW_BYTES), true)
  await disk.close()
  for (const options of [{}, { scattered: true, mayHang: true }]) {
    const other = await provider.open(path, options)
    await other.write([Buffer.alloc(4096)], 3 * WINDOW_BYTES)
    await other.close()
  }
  assert.deepEqual(windows, [0, 1, 2])
})

/** A file of the test's own, written in pieces of a MiB and on stable storage. */
function filled(t: TestContext, content: Buffer): string {
  const directory = fs.mkdtempSync(join(tmpdir(), 'sitelink-pieces-'))
  t.after(() => fs.rmSync(directory, { recursive: true }))
  const path = join(directory, 'disk')
  const fd = fs.openSync(path, 'w')
  for (let at = 0; at < content.length; at += MIB) fs.writeSync(fd, content, at, MIB, at)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
  return path
}

const ffi = systemCalls()
const noFfi = ffi === null ? (ffiProblem() ?? 'no koffi') : false

test('a file keeps its content whatever is split, cached or not, clean or not', { skip: noFfi }, async (t) => {
  const prng = new Prng(seed)
  const content = prng.bytes(8 * MIB)
  const path = filled(t, content)
  const disk = await new NodeDiskProvider({
    clock: { nowMs: () => 0, soon: (action) => void setImmediate(action) },
  }).open(path, {
    scattered: true,
  })
  const fd = fs.openSync(path, 'r')
  for (let round = 0; round < 600; round++) {
    const length = prng.pick([512, 4096, 4096, 10_000, 64 * 1024, 300_000, MIB])
    const offset = prng.below(content.length - length)
    const bytes = prng.bytes(length)
    if (prng.below(2) === 0 || disk.writeNow([bytes], offset) !== true) await disk.write([bytes], offset)
    bytes.copy(content, offset)
    ffi?.splitPiece?.(fd, prng.below(8 * MIB - 4096) & -4096)
    if (round % 100 === 50) await disk.sync()
    if (round % 200 === 150) await disk.uncache()
  }
  // Beyond the end, and of no file: nothing happens.
  ffi?.splitPiece?.(fd, 64 * MIB)
  fs.closeSync(fd)
  ffi?.splitPiece?.(fd, 0)
  await disk.close()
  assert.ok(fs.readFileSync(path).equals(content))
})

/** Null where the page cache can be looked into: by root, where a page has 4 KiB. */
function notSeen(): string | null {
  try {
    fs.closeSync(fs.openSync('/proc/kpageflags', 'r'))
    const pageBytes = execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }).trim()
    return pageBytes === '4096' ? null : `pages have ${pageBytes} bytes`
  } catch (error) {
    return `the page cache cannot be looked into: ${String(error)}`
  }
}

/** Whether the page that is written, and one that is not, are parts of larger pieces, before and after a small write. */
async function splitBySmallWrite(path: string): Promise<{ before: boolean[]; behind: boolean[] }> {
  const clock = { nowMs: () => 0, soon: (action: () => void) => void setImmediate(action) }
  const look = (): boolean[] => {
    const parts = partsOfPieces(path, 4 * MIB)
    return [parts[MIB / 4096 + 5] === true, parts[(3 * MIB) / 4096] === true]
  }
  const before = look()
  const disk = await new NodeDiskProvider({ clock }).open(path, { scattered: true })
  await disk.write([Buffer.alloc(4096, 2)], MIB + 5 * 4096)
  await disk.close()
  return { before, behind: look() }
}

const notShown = noFfi || notSeen() || false

test('a small write leaves no large piece around it in the page cache', { skip: notShown || noExt }, async (t) => {
  const { before, behind } = await splitBySmallWrite(filled(t, Buffer.alloc(4 * MIB, 1)))
  if (before[0] !== true) return t.skip('the file system made no large piece there')
  assert.deepEqual(behind, [false, before[1]], 'what nobody wrote to stays as it is')
})

const loops = fs.mkdtempSync(join(tmpdir(), 'sitelink-pieces-loop-'))
after(() => fs.rmSync(loops, { recursive: true }))
const noLoop = loopProblem(loops) || (hasLargePieces(release()) ? false : 'no large pieces here')

test('nor in that of a block device', { skip: notShown || noLoop }, async (t) => {
  const loop = attachLoop(join(loops, 'image'), 4 * MIB)
  try {
    // The page cache keeps a block device for as long as somebody has it open.
    const fd = fs.openSync(loop.path, 'r+')
    for (let at = 0; at < 4 * MIB; at += MIB) fs.writeSync(fd, Buffer.alloc(MIB, 1), 0, MIB, at)
    fs.fsyncSync(fd)
    const { before, behind } = await splitBySmallWrite(loop.path)
    fs.closeSync(fd)
    if (before[0] !== true) return t.skip('the block device has no large piece there')
    assert.deepEqual(behind, [false, before[1]])
  } finally {
    loop.detach()
  }
})

/** For each page of a file whether it is a part of a larger piece: /proc/PID/pagemap and /proc/kpageflags, as the kernel's pagemap.rst says. */
function partsOfPieces(path: string, bytes: number): boolean[] {
  type Call = (...args: unknown[]) => number
  const koffi = createRequire(import.meta.url)('koffi') as { load(path: null): { func(definition: string): Call } }
  const library = koffi.load(null)
  const mmap = library.func(
    'uintptr_t mmap(uintptr_t at, size_t length, int protection, int flags, int fd, int64_t from)',
  )
  const madvise = library.func('int madvise(uintptr_t address, size_t length, int advice)')
  const munmap = library.func('int munmap(uintptr_t address, size_t length)')
  const fd = fs.openSync(path, 'r')
  const address = mmap(0, bytes, 1, 1, fd, 0)
  assert.equal(madvise(address, bytes, 22), 0)
  const [pagemap, kpageflags] = ['/proc/self/pagemap', '/proc/kpageflags'].map((name) => fs.openSync(name, 'r'))
  const word = (file: number | undefined, index: number): bigint => {
    const eight = Buffer.alloc(8)
    assert.equal(fs.readSync(file as number, eight, 0, 8, index * 8), 8)
    return eight.readBigUInt64LE()
  }
  const parts: boolean[] = []
  for (let page = 0; page < bytes / 4096; page++) {
    const frame = Number(word(pagemap, address / 4096 + page) & ((1n << 55n) - 1n))
    parts.push((word(kpageflags, frame) & (3n << 15n)) !== 0n)
  }
  munmap(address, bytes)
  for (const file of [fd, pagemap, kpageflags]) fs.closeSync(file as number)
  return parts
}
