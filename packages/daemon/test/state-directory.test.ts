import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { loadFlock, StateDirectory, withDaemonOrLock } from '../src/index.js'
import { startChild } from './support/child.js'
import { tempDirectory } from './support/temp-directory.js'

const program = 'sitelink'
const code = (expected: string) => (error: unknown) => (error as { code?: string }).code === expected

async function initialised(t: TestContext, options = {}): Promise<StateDirectory> {
  const path = join(tempDirectory(t), 'state')
  await StateDirectory.initialise(path, { program }, async () => {})
  return StateDirectory.open(path, { program, ...options })
}

/** The inodes of what is synced from here on, in order, and how to find the one of a path. */
async function watchSyncs(
  t: TestContext,
  directory: string,
): Promise<{ synced: number[]; inode: (path: string) => number }> {
  const probe = await open(directory, 'r')
  const handles = Object.getPrototypeOf(probe) as FileHandle
  await probe.close()
  const { sync } = handles
  const synced: number[] = []
  t.mock.method(handles, 'sync', async function (this: FileHandle) {
    const { ino } = await this.stat()
    await sync.call(this)
    synced.push(ino)
  })
  return { synced, inode: (path) => statSync(path).ino }
}

describe('a state directory', () => {
  it('is made with mode 0700 where nothing was, parents included', async (t) => {
    const path = join(tempDirectory(t), 'a', 'b')
    await StateDirectory.initialise(path, { program }, async () => {})
    assert.equal(statSync(path).mode & 0o777, 0o700)
    assert.equal(statSync(join(path, 'sitelink-state.json')).mode & 0o777, 0o600)
  })

  it('is durable by name before anything is in it, and so is each directory that was made above it', async (t) => {
    const top = tempDirectory(t)
    const path = join(top, 'a', 'b', 'state')
    const { synced, inode } = await watchSyncs(t, top)
    let before: number[] = []
    await StateDirectory.initialise(path, { program }, async () => {
      before = [...synced]
    })
    const names = [join(top, 'a', 'b'), join(top, 'a'), top].map(inode)
    assert.deepEqual(before.slice(0, 3), names)
    assert.equal(before.at(-1), inode(path), 'the mark that it was begun is durable before it is filled')
    assert.equal(synced.at(-1), inode(path))
  })

  it('is ready only when its first files are there: a process that dies before that leaves it unfinished', async (t) => {
    const path = join(tempDirectory(t), 'state')
    await StateDirectory.initialise(path, { program }, async () => {
      await assert.rejects(StateDirectory.open(path, { program }), code('STATE_UNFINISHED'))
    })
    await StateDirectory.open(path, { program })
  })

  it('is made of an empty directory, which becomes private', async (t) => {
    const path = tempDirectory(t)
    chmodSync(path, 0o755)
    mkdirSync(join(path, 'lost+found'))
    await StateDirectory.initialise(path, { program }, async () => {})
    assert.equal(statSync(path).mode & 0o777, 0o700)
  })

  it('is never made among files of somebody else, and leaves them and the mode alone', async (t) => {
    const path = tempDirectory(t)
    chmodSync(path, 0o755)
    writeFileSync(join(path, 'thesis.tex'), 'x')
    await assert.rejects(
      StateDirectory.initialise(path, { program }, async () => {}),
      /files of somebody else \(thesis\.tex\)/,
    )
    assert.deepEqual(readdirSync(path), ['thesis.tex'])
    assert.equal(statSync(path).mode & 0o777, 0o755)
  })

  it('is made once', async (t) => {
    const state = await initialised(t)
    await assert.rejects(
      StateDirectory.initialise(state.path, { program }, async () => {}),
      code('STATE_EXISTS'),
    )
  })

  it('that was not filled is gone again with every directory made for it, and can be initialised again', async (t) => {
    const folder = tempDirectory(t)
    const path = join(folder, 'new', 'state')
    const fill = async (state: StateDirectory): Promise<void> => {
      writeFileSync(state.file('half'), '')
      throw new Error('no room for the log')
    }
    await assert.rejects(StateDirectory.initialise(path, { program }, fill), /no room for the log/)
    assert.deepEqual(readdirSync(folder), [])
    mkdirSync(path, { recursive: true, mode: 0o700 })
    await assert.rejects(StateDirectory.initialise(path, { program }, fill), /no room for the log/)
    assert.deepEqual(readdirSync(path), [], 'a directory that was there stays, empty as it was')
    await StateDirectory.initialise(path, { program }, async () => {})
    assert.equal((await StateDirectory.open(path, { program })).path, path)
  })

  it('is made by one of many that try at once, which finds no trace of the others', async (t) => {
    for (let round = 0; round < 25; round += 1) {
      const path = join(tempDirectory(t), 'state')
      let fills = 0
      const tries = [1, 2, 3, 4].map(() => StateDirectory.initialise(path, { program }, async () => void (fills += 1)))
      const results = await Promise.allSettled(tries)
      assert.equal(fills, 1)
      assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
      for (const result of results) {
        if (result.status === 'rejected')
          assert.match((result.reason as { code: string }).code, /^STATE_(LOCKED|EXISTS)$/)
      }
      await (await (await StateDirectory.open(path, { program })).lock('command')).release()
    }
  })

  it('that is absent, of the other program, writable by others, or damaged is refused by name', async (t) => {
    const state = await initialised(t)
    await assert.rejects(StateDirectory.open(join(state.path, 'none'), { program }), code('STATE_MISSING'))
    await assert.rejects(StateDirectory.open(state.path, { program: 'sitelink-agent' }), code('STATE_OTHER_PROGRAM'))
    chmodSync(state.path, 0o770)
    await assert.rejects(StateDirectory.open(state.path, { program }), code('STATE_EXPOSED'))
    chmodSync(state.path, 0o700)
    writeFileSync(state.file('sitelink-state.json'), '{"format":"sitelink-state"')
    await assert.rejects(StateDirectory.open(state.path, { program }), code('STATE_CORRUPT'))
    writeFileSync(state.file('sitelink-state.json'), '{"format":"sitelink-state","version":9}')
    await assert.rejects(StateDirectory.open(state.path, { program }), code('STATE_TOO_NEW'))
  })

  it('loses the temp files of a crash when its lock is taken, and nothing else', async (t) => {
    const state = await initialised(t)
    writeFileSync(state.file('config.json.4711-1.tmp'), '{"ver')
    writeFileSync(state.file('mine.tmp'), '')
    const lock = await state.lock('command')
    assert.deepEqual(readdirSync(state.path).sort(), ['lock', 'mine.tmp', 'sitelink-state.json'])
    await lock.release()
  })
})

describe('the lock of a state directory', () => {
  it('is had by flock and socket where koffi is installed, by the socket alone where not', async (t) => {
    const state = await initialised(t)
    const both = await state.lock('command')
    assert.deepEqual(both.methods, ['flock', 'socket'])
    await both.release()
    const alone = await StateDirectory.open(state.path, { program, flock: null })
    const socket = await alone.lock('command')
    assert.deepEqual(socket.methods, ['socket'])
    await socket.release()
  })

  it('keeps the same process out as well, names the holder, and can be had again after its release', async (t) => {
    const state = await initialised(t)
    const lock = await state.lock('daemon')
    await assert.rejects(state.lock('command'), {
      code: 'STATE_LOCKED',
      exit: 75,
      message: `another sitelink (pid ${process.pid}) holds this state directory: ${state.path}`,
    })
    await Promise.all([lock.release(), lock.release()])
    assert.equal(lock.held, false)
    await (await state.lock('command')).release()
  })

  for (const [mine, theirs] of [
    ['flock', 'flock'],
    ['flock', 'socket'],
    ['socket', 'flock'],
    ['socket', 'socket'],
  ] as const) {
    it(`held by a process with ${theirs} keeps out one with ${mine}, and kill -9 releases it`, async (t) => {
      const state = await initialised(t, { flock: mine === 'flock' ? loadFlock() : null })
      const child = startChild(t, 'hold-lock', [state.path, theirs, 'daemon'])
      assert.equal(await child.line(), 'locked')
      const attempt = await state.tryLock('command')
      assert.equal(attempt.kind, 'held')
      assert.equal(attempt.kind === 'held' && attempt.holder?.pid, child.process.pid)
      assert.equal(attempt.kind === 'held' && attempt.holder?.role, 'daemon')
      child.process.kill('SIGKILL')
      await child.ended()
      await (await state.lock('command')).release()
    })
  }

  it('still holds after the lock file was deleted, and then names nobody', async (t) => {
    const state = await initialised(t)
    const lock = await state.lock('daemon')
    rmSync(state.file('lock'))
    assert.deepEqual(await state.tryLock('command'), { kind: 'held', holder: null })
    await lock.release()
  })

  it('is the socket alone on a file system that knows no flock', async (t) => {
    const state = await initialised(t, { flock: () => 'unsupported' })
    const lock = await state.lock('daemon')
    assert.deepEqual(lock.methods, ['socket'])
    await lock.release()
  })

  it('does not name a process that is gone', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'hold-lock', [state.path, 'flock', 'daemon'])
    await child.line()
    const stale = readFileSync(state.file('lock'), 'utf8')
    child.process.kill('SIGKILL')
    await child.ended()
    const lock = await state.lock('daemon')
    writeFileSync(state.file('lock'), stale)
    assert.deepEqual(await state.tryLock('command'), { kind: 'held', holder: null })
    await lock.release()
  })

  it('is the same through another spelling of the path', async (t) => {
    const state = await initialised(t)
    const lock = await state.lock('daemon')
    const again = await StateDirectory.open(join(state.path, '..', 'state'), { program })
    assert.equal((await again.tryLock('command')).kind, 'held')
    await lock.release()
  })

  it('is waited for as long as the caller says', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'hold-lock', [state.path, 'flock', 'command'])
    await child.line()
    const waiting = state.lock('daemon', 60_000)
    child.process.kill('SIGKILL')
    await (await waiting).release()
  })

  it('does not keep a process alive', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'hold-lock', [state.path, 'flock', 'daemon'])
    await child.line()
    child.process.stdin?.end()
    assert.deepEqual(await child.ended(), { status: 0, signal: null, stderr: '' })
  })

  it('is released when the offline part of a command throws', async (t) => {
    const state = await initialised(t)
    const offline = async (): Promise<never> => {
      throw new Error('no such device')
    }
    await assert.rejects(withDaemonOrLock(state, { online: async () => {}, offline }), /no such device/)
    await (await state.lock('command')).release()
    assert.equal(existsSync(state.file('lock')), true)
  })
})
