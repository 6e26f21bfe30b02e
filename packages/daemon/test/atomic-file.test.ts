import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { realSteps, writeFileAtomic, type AtomicFileSteps } from '../src/index.js'
import { tempDirectory } from './support/temp-directory.js'

const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
  code: 'ENOSPC',
  errno: -28,
  syscall: 'write',
})

/** The real steps, recorded, with one of them failing. */
function failingAt(step: keyof AtomicFileSteps | null, done: string[]): AtomicFileSteps {
  const wrap =
    (name: keyof AtomicFileSteps) =>
    async (...args: unknown[]): Promise<void> => {
      if (name === step) throw full
      await (realSteps[name] as (...given: unknown[]) => Promise<void>)(...args)
      done.push(name)
    }
  return {
    writeAndSync: wrap('writeAndSync'),
    rename: wrap('rename'),
    link: wrap('link'),
    unlink: wrap('unlink'),
    syncDirectory: wrap('syncDirectory'),
  }
}

describe('an atomic replacement', () => {
  it('writes and syncs a temp file, renames it, and syncs the directory, in this order', async (t) => {
    const path = join(tempDirectory(t), 'file')
    const done: string[] = []
    await writeFileAtomic(path, 'new', { steps: failingAt(null, done) })
    assert.deepEqual(done, ['writeAndSync', 'rename', 'syncDirectory'])
    assert.equal(readFileSync(path, 'utf8'), 'new')
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  it('asks the system to sync both the file and its directory', async (t) => {
    const directory = tempDirectory(t)
    const handle = await open(directory, 'r')
    await handle.close()
    const sync = t.mock.method(Object.getPrototypeOf(handle) as FileHandle, 'sync')
    await writeFileAtomic(join(directory, 'file'), 'new')
    assert.equal(sync.mock.callCount(), 2)
  })

  for (const step of ['writeAndSync', 'rename'] as const) {
    it(`that fails at ${step} leaves the old content and no temp file`, async (t) => {
      const directory = tempDirectory(t)
      const path = join(directory, 'file')
      writeFileSync(path, 'old')
      await assert.rejects(writeFileAtomic(path, 'new', { steps: failingAt(step, []) }), {
        code: 'STATE_WRITE_FAILED',
        exit: 74,
        message: `cannot write ${path}: no space left on device`,
      })
      assert.equal(readFileSync(path, 'utf8'), 'old')
      assert.deepEqual(readdirSync(directory), ['file'])
    })
  }

  it('that cannot sync the directory says that either content may be found', async (t) => {
    const path = join(tempDirectory(t), 'file')
    writeFileSync(path, 'old')
    await assert.rejects(writeFileAtomic(path, 'new', { steps: failingAt('syncDirectory', []) }), {
      code: 'STATE_WRITE_UNCERTAIN',
    })
  })

  it('that meets a real limit of the system leaves the old content', (t) => {
    const directory = tempDirectory(t)
    writeFileSync(join(directory, 'file'), 'old')
    const script = fileURLToPath(new URL('./support/replace-file.js', import.meta.url))
    const child = spawnSync(
      '/bin/sh',
      [
        '-c',
        `ulimit -f 64; trap '' XFSZ; exec "$0" "$@"`,
        process.execPath,
        script,
        join(directory, 'file'),
        '1000000',
      ],
      { encoding: 'utf8' },
    )
    assert.match(child.stdout, /^STATE_WRITE_FAILED .*file too large/)
    assert.equal(readFileSync(join(directory, 'file'), 'utf8'), 'old')
    assert.deepEqual(readdirSync(directory), ['file'])
  })

  it('that is exclusive refuses a file that is there, and leaves no temp file either way', async (t) => {
    const directory = tempDirectory(t)
    const path = join(directory, 'file')
    await writeFileAtomic(path, 'first', { exclusive: true })
    await assert.rejects(
      writeFileAtomic(path, 'second', { exclusive: true }),
      (error: Error) => (error.cause as { code: string }).code === 'EEXIST',
    )
    assert.equal(readFileSync(path, 'utf8'), 'first')
    assert.deepEqual(readdirSync(directory), ['file'])
  })

  it('of one file by many at once leaves one whole content', async (t) => {
    const path = join(tempDirectory(t), 'file')
    const contents = Array.from({ length: 8 }, (_, n) => String(n).repeat(10_000))
    await Promise.all(contents.map((content) => writeFileAtomic(path, content)))
    assert.ok(contents.includes(readFileSync(path, 'utf8')))
  })
})
