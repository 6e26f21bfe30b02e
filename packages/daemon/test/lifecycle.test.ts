import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Lifecycle, silentLog, type Service } from '../src/index.js'
import { ManualClock, settle } from './support/manual-clock.js'

function fixture(): {
  clock: ManualClock
  lifecycle: Lifecycle
  done: string[]
  service(name: string, rest?: Partial<Service>): Service
} {
  const clock = new ManualClock()
  const done: string[] = []
  const step = (name: string) => async (): Promise<void> => void done.push(name)
  const service = (name: string, rest: Partial<Service> = {}): Service => ({
    name,
    start: step(`start ${name}`),
    drain: step(`drain ${name}`),
    stop: step(`stop ${name}`),
    ...rest,
  })
  return { clock, lifecycle: new Lifecycle(clock, silentLog()), done, service }
}

const never = (): Promise<void> => new Promise(() => {})

describe('a lifecycle', () => {
  it('starts in order, then drains all and stops all in reverse', async () => {
    const { lifecycle, done, service } = fixture()
    lifecycle.add(service('a')).add(service('b'))
    await lifecycle.start()
    assert.deepEqual(lifecycle.state, { kind: 'running' })
    assert.deepEqual(await lifecycle.stop('enough'), [])
    assert.deepEqual(await lifecycle.stopped, [])
    assert.deepEqual(done, ['start a', 'start b', 'drain b', 'drain a', 'stop b', 'stop a'])
    assert.deepEqual(lifecycle.state, { kind: 'stopped', reason: 'enough' })
  })

  it('stops what was begun when a start fails, and throws that failure', async () => {
    const { lifecycle, done, service } = fixture()
    const start = async (): Promise<void> => {
      throw new Error('port in use')
    }
    lifecycle.add(service('a')).add(service('b', { start })).add(service('c'))
    await assert.rejects(lifecycle.start(), /port in use/)
    assert.deepEqual(done, ['start a', 'drain b', 'drain a', 'stop b', 'stop a'])
  })

  it('gives up a start at its limit', async () => {
    const { clock, lifecycle, done, service } = fixture()
    lifecycle.add(service('a')).add(service('b', { start: never, startMsMax: 500 }))
    const started = assert.rejects(lifecycle.start(), {
      code: 'SERVICE_TIMEOUT',
      message: 'service b did not start within 500 ms',
    })
    await settle()
    assert.deepEqual(lifecycle.state, { kind: 'starting', service: 'b' })
    await clock.advance(1500)
    await started
    assert.deepEqual(done, ['start a', 'drain b', 'drain a', 'stop b', 'stop a'])
    assert.equal(clock.waiting, 0)
  })

  it('stops all others when one does not stop or fails to, and says which', async () => {
    const { clock, lifecycle, done, service } = fixture()
    const drain = async (): Promise<void> => {
      throw new Error('no')
    }
    lifecycle
      .add(service('a'))
      .add(service('b', { stop: never, stopMsMax: 500 }))
      .add(service('c', { drain }))
    await lifecycle.start()
    const stopped = lifecycle.stop('enough')
    await settle()
    assert.deepEqual(lifecycle.state, { kind: 'stopping', reason: 'enough' })
    await clock.advance(1500)
    const failures = await stopped
    assert.deepEqual(
      failures.map(({ service: name, error }) => [name, (error as Error).message]),
      [
        ['c', 'no'],
        ['b', 'service b did not stop within 500 ms'],
      ],
    )
    assert.deepEqual(done.slice(-3), ['drain a', 'stop c', 'stop a'])
  })

  it('lets a stop that looks at its signal end on its own after the limit', async () => {
    const { clock, lifecycle, done, service } = fixture()
    const stop = (_: string, signal: AbortSignal): Promise<void> =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          done.push('cut')
          resolve()
        }),
      )
    lifecycle.add(service('a', { stop, stopMsMax: 500 }))
    await lifecycle.start()
    const stopped = lifecycle.stop('enough')
    await settle()
    await clock.advance(500)
    assert.deepEqual(await stopped, [])
    assert.equal(done.at(-1), 'cut')
  })

  it('that is stopped while it starts gives up the start and stops what was begun', async () => {
    const { lifecycle, done, service } = fixture()
    const start = (signal: AbortSignal): Promise<void> =>
      new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    lifecycle.add(service('a')).add(service('b', { start })).add(service('c'))
    const started = assert.rejects(lifecycle.start(), { code: 'LIFECYCLE_STOPPED' })
    await settle()
    await Promise.all([lifecycle.stop('SIGTERM'), lifecycle.stop('SIGINT'), started])
    assert.deepEqual(done, ['start a', 'drain b', 'drain a', 'stop b', 'stop a'])
    assert.deepEqual(lifecycle.state, { kind: 'stopped', reason: 'SIGTERM' })
  })

  it('stopped before its start stops nothing, and does not start', async () => {
    const { lifecycle, done, service } = fixture()
    lifecycle.add(service('a'))
    assert.deepEqual(await lifecycle.stop('early'), [])
    await assert.rejects(lifecycle.start(), /starts once/)
    assert.deepEqual(done, [])
  })

  it('reports a service that fails while it runs', async () => {
    const { lifecycle } = fixture()
    await lifecycle.start()
    lifecycle.fail('nbd', new Error('accept failed'))
    assert.equal(((await lifecycle.failed) as Error).message, 'accept failed')
  })
})
