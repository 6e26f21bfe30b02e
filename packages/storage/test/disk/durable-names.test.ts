/**
 * What the kernel is asked for, and in which order: no power can be cut here, so the calls themselves are the evidence.
 *
 * Each step of a durable change of a name is seen as it is made: the sync of a file, of the directory, the move of a name.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import promises, { type FileHandle } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { NodeDiskProvider } from '../../src/disk/node-disk-provider.js'

const MIB = 1024 * 1024
const directory = fs.mkdtempSync(join(tmpdir(), 'sitelink-durable-'))
const provider = new NodeDiskProvider({ ffi: null })

after(() => fs.rmSync(directory, { recursive: true }))

/** Steps as they end: `sync file`, `sync directory`, `data sync`, `rename`, `unlink`, `truncate`. */
async function watched(t: TestContext, work: () => Promise<unknown>): Promise<string[]> {
  const steps: string[] = []
  const probe = await promises.open(directory, 'r')
  const handles = Object.getPrototypeOf(probe) as FileHandle
  await probe.close()
  const { sync, truncate } = handles
  const { rename, unlink } = promises
  const { fdatasync } = fs
  t.mock.method(handles, 'sync', async function (this: FileHandle) {
    const isDirectory = (await this.stat()).isDirectory()
    await sync.call(this)
    steps.push(isDirectory ? 'sync directory' : 'sync file')
  })
  t.mock.method(handles, 'truncate', async function (this: FileHandle, length?: number) {
    await truncate.call(this, length)
    steps.push('truncate')
  })
  t.mock.method(promises, 'rename', async (from: string, to: string) => {
    await rename(from, to)
    steps.push('rename')
  })
  t.mock.method(promises, 'unlink', async (path: string) => {
    await unlink(path)
    steps.push('unlink')
  })
  t.mock.method(fs, 'fdatasync', (fd: number, done: (error: Error | null) => void) => {
    fdatasync(fd, (error) => {
      steps.push('data sync')
      done(error)
    })
  })
  syncBuiltinESMExports()
  try {
    await work()
    return steps
  } finally {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  }
}

describe('what is durable when it returns', () => {
  it('a new file is synced, then its directory', async (t) => {
    const path = join(directory, 'new')
    const steps = await watched(t, async () => (await provider.create(path, MIB)).close())
    assert.deepEqual(steps, ['truncate', 'sync file', 'sync directory'])
  })

  it('the pieces of a file that is filled are synced on the way', async (t) => {
    const path = join(directory, 'filled')
    const steps = await watched(t, async () => (await provider.create(path, MIB, { preallocate: true })).close())
    assert.deepEqual(steps, ['truncate', 'data sync', 'sync file', 'sync directory'])
  })

  it('a file is replaced by one that is synced before the name moves, and the directory is synced behind it', async (t) => {
    const path = join(directory, 'replaced')
    fs.writeFileSync(path, 'old')
    const steps = await watched(t, () => provider.replaceFile(path, Buffer.from('new')))
    assert.deepEqual(steps, ['sync file', 'rename', 'sync directory'])
    assert.equal(fs.readFileSync(path, 'utf8'), 'new')
  })

  it('replacements of one file come one after the other, in the order in which they were asked for', async (t) => {
    const path = join(directory, 'replaced-often')
    const contents = Array.from({ length: 8 }, (_, at) => Buffer.alloc(at % 2 === 0 ? MIB : 1, at))
    const steps = await watched(t, () => Promise.all(contents.map((content) => provider.replaceFile(path, content))))
    const round = ['sync file', 'rename', 'sync directory']
    assert.deepEqual(
      steps,
      contents.flatMap(() => round),
    )
    assert.deepEqual(fs.readFileSync(path), contents.at(-1))
  })

  it('a removed name is gone from a directory that is synced', async (t) => {
    const path = join(directory, 'removed')
    fs.writeFileSync(path, 'old')
    assert.deepEqual(await watched(t, () => provider.removeFile(path)), ['unlink', 'sync directory'])
  })

  it('a file that changed its size is synced behind it', async (t) => {
    const disk = await provider.create(join(directory, 'resized'), MIB)
    const steps = await watched(t, () => disk.resize(2 * MIB))
    await disk.close()
    assert.deepEqual(steps, ['truncate', 'sync file'])
  })

  it('a sync of a disk has ended at the kernel when it resolves', async (t) => {
    const disk = await provider.create(join(directory, 'synced'), MIB)
    const steps = await watched(t, async () => {
      await disk.write([Buffer.alloc(4096, 1)], 0)
      await disk.sync()
    })
    await disk.close()
    assert.deepEqual(steps, ['data sync'])
  })
})
