import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ControlClient, StateDirectory, withDaemon, withDaemonOrLock, type TwoWays } from '../src/index.js'
import { startChild } from './support/child.js'
import { tempDirectory } from './support/temp-directory.js'

const options = { program: 'sitelink' }
const ways: TwoWays<number | string> = {
  online: async (client) => (await client.call<{ pid: number }>('echo')).pid,
  offline: async () => 'offline',
}

async function initialised(t: TestContext): Promise<StateDirectory> {
  const path = join(tempDirectory(t), 'state')
  await StateDirectory.initialise(path, options, async () => {})
  return StateDirectory.open(path, options)
}

describe('a verb for both ways', () => {
  it('works on the directory itself, under its lock, where no daemon is', async (t) => {
    const state = await initialised(t)
    const result = await withDaemonOrLock(state, {
      online: async () => 'online',
      offline: async (lock) => {
        assert.equal(lock.held, true)
        await assert.rejects(state.lock('daemon'), { code: 'STATE_LOCKED' })
        return 'offline'
      },
    })
    assert.equal(result, 'offline')
  })

  it('goes through the daemon where one holds the lock', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'control-daemon', [state.path])
    await child.line()
    assert.equal(await withDaemonOrLock(state, ways), child.process.pid)
  })

  it('waits for a daemon that does not answer yet, and says so once', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'control-daemon', [state.path, 'mute'])
    await child.line()
    const messages: string[] = []
    const onWaiting = (message: string): void => {
      messages.push(message)
      child.process.stdin?.write('serve\n')
    }
    assert.equal(await withDaemonOrLock(state, ways, { onWaiting, waitMs: 60_000 }), child.process.pid)
    assert.deepEqual(messages, [`waiting for sitelink (pid ${child.process.pid}) to answer on its control socket`])
  })

  it('gives up after its time with the process that holds the directory', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'control-daemon', [state.path, 'mute'])
    await child.line()
    await assert.rejects(withDaemonOrLock(state, ways, { waitMs: 10 }), {
      code: 'DAEMON_NOT_ANSWERING',
      exit: 75,
      message: `another sitelink (pid ${child.process.pid}) holds the state directory ${state.path} but does not answer on its control socket`,
    })
  })

  it('works offline when the daemon that held the lock dies while it waits', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'control-daemon', [state.path, 'mute'])
    await child.line()
    const onWaiting = (): void => void child.process.kill('SIGKILL')
    assert.equal(await withDaemonOrLock(state, ways, { onWaiting, waitMs: 60_000 }), 'offline')
  })

  it('begins anew when the daemon stops between its greeting and the first request', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'control-daemon', [state.path])
    await child.line()
    let calls = 0
    const online = async (client: ControlClient): Promise<string> => {
      calls += 1
      child.process.kill('SIGKILL')
      await child.ended()
      return client.call<string>('echo')
    }
    assert.equal(await withDaemonOrLock(state, { online, offline: ways.offline }, { waitMs: 60_000 }), 'offline')
    assert.equal(calls, 1)
  })

  it('is not repeated once a request has reached the daemon', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'control-daemon', [state.path])
    await child.line()
    const online = async (client: ControlClient): Promise<void> => {
      await client.call('echo')
      child.process.kill('SIGKILL')
      await child.ended()
      await client.call('echo')
    }
    await assert.rejects(withDaemonOrLock(state, { online, offline: async () => {} }), { code: 'CONTROL_UNREACHABLE' })
  })

  it('waits for another command, and names it as such', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'hold-lock', [state.path, 'flock', 'command'])
    await child.line()
    await assert.rejects(withDaemonOrLock(state, ways, { waitMs: 10 }), { code: 'STATE_LOCKED' })
    const onWaiting = (message: string): void => {
      assert.match(message, /^waiting for another command, sitelink \(pid \d+\), to end$/)
      child.process.kill('SIGKILL')
    }
    assert.equal(await withDaemonOrLock(state, ways, { onWaiting, waitMs: 60_000 }), 'offline')
  })

  it('of which only a daemon can serve says that there is none', async (t) => {
    const state = await initialised(t)
    await assert.rejects(
      withDaemon(state, async () => {}),
      { code: 'CONTROL_UNREACHABLE', exit: 69, hint: `<prog> run --state ${state.path}` },
    )
    await (await state.lock('command')).release()
  })

  it('is done, or says that it does not know, while a daemon stops under it', async (t) => {
    const state = await initialised(t)
    const child = startChild(t, 'control-daemon', [state.path])
    await child.line()
    const changes = Array.from({ length: 12 }, (_, n) =>
      withDaemonOrLock(
        state,
        { online: async (client) => void (await client.call('echo', n)), offline: async () => {} },
        { waitMs: 60_000 },
      ),
    )
    await new ControlClient(state.path).call('stop')
    const results = await Promise.allSettled(changes)
    for (const result of results)
      if (result.status === 'rejected')
        assert.match((result.reason as { code: string }).code, /^CONTROL_(CUT|STOPPING)$/)
  })
})
