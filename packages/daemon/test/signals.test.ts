import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, it } from 'node:test'
import { silentLog, watchSignals } from '../src/index.js'
import { startChild } from './support/child.js'

describe('a daemon', () => {
  it('drains and stops at the first SIGTERM and ends with 0', async (t) => {
    const child = startChild(t, 'run-daemon', ['clean'])
    assert.equal(await child.line(), 'start')
    child.process.kill('SIGTERM')
    assert.equal(await child.line(), 'drain SIGTERM')
    assert.equal(await child.line(), 'stop SIGTERM')
    assert.equal((await child.ended()).status, 0)
  })

  for (const [signal, status] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    it(`that hangs in its stop ends at once by a second signal, ${signal}, with ${status}`, async (t) => {
      const child = startChild(t, 'run-daemon', ['hang'])
      await child.line()
      child.process.kill('SIGTERM')
      assert.equal(await child.line(), 'drain SIGTERM')
      child.process.kill(signal)
      assert.equal((await child.ended()).status, status)
    })
  }

  for (const how of ['throw', 'reject'] as const) {
    it(`with a bug (${how}) logs it as fatal and ends with 70`, async (t) => {
      const child = startChild(t, 'run-daemon', [how])
      await child.line()
      const { status, stderr } = await child.ended()
      assert.equal(status, 70)
      // Not always the last line: what was on its way through a thread may come behind it.
      const lines = stderr.trimEnd().split('\n')
      const said = lines.map((line) => JSON.parse(line) as { level: string; error?: { message: string } })
      const fatal = said.filter(({ level }) => level === 'fatal')
      assert.deepEqual(
        fatal.map(({ error }) => error?.message),
        ['a bug'],
      )
    })
  }

  it('whose service fails stops all and ends with that error', async (t) => {
    const child = startChild(t, 'run-daemon', ['fail'])
    assert.equal(await child.line(), 'start')
    assert.equal(await child.line(), 'drain a service failed')
    const { status, stderr } = await child.ended()
    assert.equal(status, 74)
    assert.match(stderr, /sitelink: the log: no space left/)
  })

  it('reloads at SIGHUP and goes on', async (t) => {
    const child = startChild(t, 'run-daemon', ['reload'])
    await child.line()
    child.process.kill('SIGHUP')
    assert.equal(await child.line(), 'reload')
    child.process.kill('SIGINT')
    assert.equal(await child.line(), 'drain SIGINT')
    await child.line()
    assert.equal((await child.ended()).status, 0)
  })

  it('without anything to reload stops at SIGHUP, and hears nothing after it was told to', () => {
    const source = new EventEmitter()
    const signals: string[] = []
    const end = watchSignals({ log: silentLog(), onStop: (signal) => signals.push(signal), exit: () => {}, source })
    source.emit('SIGHUP')
    source.emit('SIGTERM')
    end()
    source.emit('SIGTERM')
    assert.deepEqual(signals, ['SIGHUP'])
    assert.equal(source.listenerCount('SIGTERM'), 0)
  })
})
