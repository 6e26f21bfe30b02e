import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer, request as httpRequest } from 'node:http'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { ControlClient, ControlServer, daemonErrors, SitelinkError } from '../src/index.js'
import { startChild } from './support/child.js'
import { deferred, startControl } from './support/control-fixture.js'
import { tempDirectory } from './support/temp-directory.js'

/** Sends bytes as they are and returns all that comes back. */
async function raw(path: string, text: string): Promise<string> {
  const socket = connect(path)
  let answer = ''
  socket.setEncoding('utf8').on('data', (part: string) => (answer += part))
  socket.on('error', () => {})
  socket.write(text)
  await once(socket, 'close')
  return answer
}

describe('a control verb', () => {
  it('gets the body that was sent and answers with its result; LSNs become decimal text', async (t) => {
    const { client } = await startControl(t, (server) => server.verb('echo', (body) => ({ body, lsn: 2n ** 60n })))
    assert.deepEqual(await client.call('echo', { a: [1, null] }), {
      body: { a: [1, null] },
      lsn: '1152921504606846976',
    })
    assert.deepEqual(await client.call('echo'), { body: null, lsn: '1152921504606846976' })
  })

  it('that throws a coded error throws the same one at the client', async (t) => {
    const given = daemonErrors.create('STATE_LOCKED', { path: '/x', program: 'p', pid: 7 })
    const { client, bugs } = await startControl(t, (server) =>
      server.verb('fail', () => {
        throw given
      }),
    )
    const error = await client.call('fail').catch((thrown: unknown) => thrown)
    assert.ok(SitelinkError.is(error))
    assert.deepEqual(error.toJson(), given.toJson())
    assert.equal(error.exit, 75)
    assert.deepEqual(bugs, [])
  })

  it('that has a bug answers INTERNAL, and the daemon is told', async (t) => {
    const { client, bugs } = await startControl(t, (server) =>
      server.verb('bug', () => {
        throw new TypeError('x is not a function')
      }),
    )
    await assert.rejects(client.call('bug'), { code: 'INTERNAL', exit: 70 })
    assert.equal(bugs.length, 1)
  })

  it('that nobody registered is a coded 404', async (t) => {
    const { client, server } = await startControl(t, () => {})
    await assert.rejects(client.call('fly'), { code: 'CONTROL_UNKNOWN_VERB' })
    const answer = await raw(
      server.path,
      'POST /v1/fly HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n',
    )
    assert.match(answer, /^HTTP\/1\.1 404 /)
    assert.match(answer, /\{"error":\{"code":"CONTROL_UNKNOWN_VERB"/)
  })

  it('sees its client go', async (t) => {
    const begun = deferred()
    const gone = deferred()
    const { client } = await startControl(t, (server) =>
      server.verb('wait', (_, { signal }) => {
        signal.addEventListener('abort', () => gone.resolve())
        begun.resolve()
        return gone.promise
      }),
    )
    const control = new AbortController()
    const call = client.call('wait', null, { signal: control.signal })
    await begun.promise
    control.abort(new Error('enough'))
    await assert.rejects(call, /enough/)
    await gone.promise
  })

  it('that does not answer in time is given up by the client', async (t) => {
    const { client } = await startControl(t, (server) => server.verb('wait', () => new Promise(() => {})))
    await assert.rejects(client.call('wait', null, { timeoutMs: 50 }), { code: 'CONTROL_TIMEOUT' })
  })
})

describe('a streaming verb', () => {
  it('gives its events one by one, then its result', async (t) => {
    const { client } = await startControl(t, (server) =>
      server.stream('count', async function* (body) {
        for (let n = 0; n < (body as number); n += 1) yield { n, text: 'ä'.repeat(n * 1000) }
        return 'done'
      }),
    )
    const stream = client.stream<{ n: number; text: string }, string>('count', 20)
    for (let n = 0; n < 20; n += 1)
      assert.deepEqual(await stream.next(), { done: false, value: { n, text: 'ä'.repeat(n * 1000) } })
    assert.deepEqual(await stream.next(), { done: true, value: 'done' })
  })

  it('that fails throws its error at the client: before the first event, and behind it', async (t) => {
    const { client } = await startControl(t, (server) =>
      server.stream('fail', async function* (body) {
        if (body === 'late') yield 1
        throw daemonErrors.create('CONTROL_REQUEST_INVALID', { why: 'no such slink' })
      }),
    )
    await assert.rejects(client.stream('fail', 'soon').next(), { code: 'CONTROL_REQUEST_INVALID', exit: 64 })
    const late = client.stream('fail', 'late')
    assert.equal((await late.next()).value, 1)
    await assert.rejects(late.next(), { code: 'CONTROL_REQUEST_INVALID', exit: 64 })
  })

  for (const attentive of [true, false]) {
    it(`ends when the client leaves, ${attentive ? 'by its signal' : 'even if it waits for something else'}`, async (t) => {
      const ended = deferred()
      const forever = deferred()
      const { client, server } = await startControl(t, (given) =>
        given.stream('watch', async function* (_, { signal }) {
          signal.addEventListener('abort', () => attentive && forever.resolve())
          try {
            yield 1
            await forever.promise
          } finally {
            ended.resolve()
          }
          return null
        }),
      )
      for await (const event of client.stream('watch')) {
        assert.equal(event, 1)
        break
      }
      if (attentive) await ended.promise
      await server.stop() // returns although the inattentive generator still waits
      forever.resolve()
      await ended.promise
    })
  }

  it('is asked for no more than the client takes', async (t) => {
    let made = 0
    const { client } = await startControl(t, (server) =>
      server.stream('flood', async function* () {
        for (;;) yield { made: (made += 1), pad: 'x'.repeat(100_000) }
      }),
    )
    const stream = client.stream('flood')
    await stream.next()
    let before = -1
    while (before !== made) {
      before = made
      await new Promise((resolve) => setTimeout(resolve, 20)) // until the pipe is full; more time only makes it surer
    }
    assert.ok(made < 100, `${made} events of 100 kB for a client that took one`)
    await stream.return(undefined)
  })

  it('whose daemon is killed ends with an error, not as if it were complete', async (t) => {
    const path = join(tempDirectory(t), 'state')
    const child = startChild(t, 'control-daemon', [path])
    assert.equal(await child.line(), 'ready')
    const stream = new ControlClient(path).stream('ticks')
    await stream.next()
    child.process.kill('SIGKILL')
    await assert.rejects(
      async () => {
        while ((await stream.next()).done !== true);
      },
      { code: 'CONTROL_CUT' },
    )
  })
})

describe('a daemon that talks nonsense', () => {
  const answers: readonly (readonly [string, string, string])[] = [
    ['a stream that ends well but without a result', '{"event":1}\n', 'CONTROL_CUT'],
    ['a line that is no message', '{"event":1}\n{"evnt":2}\n', 'CONTROL_REPLY_INVALID'],
    ['an error without a code', '{"event":1}\n{"error":{}}\n', 'CONTROL_REPLY_INVALID'],
  ]
  for (const [name, text, code] of answers) {
    it(`is not believed: ${name}`, async (t) => {
      const path = tempDirectory(t)
      const server = createHttpServer((_, response) => response.end(text)).listen(join(path, 'control.sock'))
      await once(server, 'listening')
      t.after(() => server.close())
      const stream = new ControlClient(path).stream('watch')
      assert.deepEqual(await stream.next(), { done: false, value: 1 })
      await assert.rejects(stream.next(), { code })
      await assert.rejects(new ControlClient(path).call('status'), { code: 'CONTROL_REPLY_INVALID' })
    })
  }
})

describe('the control socket', () => {
  it('has mode 0600 and is gone after the stop', async (t) => {
    const { server } = await startControl(t, () => {})
    assert.equal(statSync(server.path).mode & 0o777, 0o600)
    await server.stop()
    assert.equal(existsSync(server.path), false)
  })

  it('works in a directory whose path is far longer than a socket address', async (t) => {
    const path = join(tempDirectory(t), 'd'.repeat(200), 'e'.repeat(200), 'state')
    const { client, server } = await startControl(t, (given) => given.verb('echo', (body) => body), { path })
    assert.equal(await client.call('echo', 5), 5)
    assert.ok(readdirSync(path).includes('control.sock'))
    await server.stop()
    assert.ok(!readdirSync(path).includes('control.sock'))
  })

  it('left by a killed daemon is replaced', async (t) => {
    const path = join(tempDirectory(t), 'state')
    const child = startChild(t, 'control-daemon', [path])
    assert.equal(await child.line(), 'ready')
    child.process.kill('SIGKILL')
    await child.ended()
    assert.equal(existsSync(join(path, 'control.sock')), true)
    const next = startChild(t, 'control-daemon', [path])
    assert.equal(await next.line(), 'ready')
    assert.deepEqual((await new ControlClient(path).hello()).program, 'sitelink')
  })

  it('is not taken from a file that is no socket, nor from somebody who listens', async (t) => {
    const { state, lock, server } = await startControl(t, () => {})
    await server.stop()
    writeFileSync(server.path, 'precious')
    const again = (): ControlServer => new ControlServer({ program: 'sitelink', lock, onBug: () => {} })
    await assert.rejects(again().start(), { code: 'CONTROL_SOCKET_TAKEN' })
    const other = join(state.path, 'moved')
    mkdirSync(other)
    const squatter = createServer().listen(join(other, 'control.sock'))
    await once(squatter, 'listening')
    t.after(() => squatter.close())
    const lockThere = { ...lock, directory: other, held: true, release: async () => {} }
    await assert.rejects(new ControlServer({ program: 'sitelink', lock: lockThere, onBug: () => {} }).start(), {
      code: 'CONTROL_SOCKET_TAKEN',
    })
  })

  it('that nobody serves is unreachable, and nothing was sent', async (t) => {
    const client = new ControlClient(tempDirectory(t))
    await assert.rejects(client.call('echo'), { code: 'CONTROL_UNREACHABLE', exit: 69 })
    const deep = new ControlClient(join(tempDirectory(t), 'x'.repeat(200)))
    await assert.rejects(deep.call('echo'), { code: 'CONTROL_UNREACHABLE' })
    assert.equal(client.requestsSent + deep.requestsSent, 0)
  })

  it('gives out pages and says who serves it', async (t) => {
    const { client } = await startControl(t, (server) =>
      server
        .page('/metrics', 'text/plain', () => 'a 1\n')
        .verb('b', () => 1)
        .verb('a', () => 1),
    )
    assert.equal(await client.page('/metrics'), 'a 1\n')
    assert.deepEqual(await client.hello(), { program: 'sitelink', verbs: ['a', 'b'] })
    await assert.rejects(client.page('/nothing'), { code: 'CONTROL_UNKNOWN_VERB' })
  })
})

describe('the limits of the control socket', () => {
  it('refuse a body above its limit, announced or not', async (t) => {
    const { client, server } = await startControl(t, (given) => given.verb('echo', (body) => body), {
      bodyBytesMax: 1000,
    })
    assert.equal(await client.call('echo', 'x'.repeat(900)), 'x'.repeat(900))
    await assert.rejects(client.call('echo', 'x'.repeat(1100)), { code: 'CONTROL_BODY_TOO_LARGE' })
    const chunk = `400\r\n${'x'.repeat(0x400)}\r\n`
    const answer = await raw(
      server.path,
      `POST /v1/echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`,
    )
    assert.match(answer, /^HTTP\/1\.1 413 /)
  })

  it('refuse what is no JSON, no POST, no HTTP', async (t) => {
    const { server } = await startControl(t, (given) => given.verb('echo', (body) => body))
    assert.match(
      await raw(server.path, 'POST /v1/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{'),
      /400 .*the body is not JSON/s,
    )
    assert.match(
      await raw(server.path, 'GET /v1/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
      /400 .*POST is expected/s,
    )
    assert.match(await raw(server.path, 'hello there\r\n\r\n'), /400 Bad Request.*CONTROL_REQUEST_INVALID/s)
  })

  it('end a connection whose headers do not come', async (t) => {
    const { server } = await startControl(t, () => {}, { headersMsMax: 50 })
    assert.match(await raw(server.path, 'POST /v1/echo HTTP/1.1\r\nHost: x'), /^HTTP\/1\.1 400 /)
  })

  it('answer CONTROL_BUSY above the number of requests, and recover', async (t) => {
    const release = deferred()
    const { client } = await startControl(
      t,
      (server) => server.verb('wait', () => release.promise).verb('echo', (body) => body),
      { requestsMax: 2 },
    )
    const waiting = [client.call('wait'), client.call('wait')]
    for (;;) {
      const code = await client.call('echo', 1).then(
        () => 'free',
        (error: { code: string }) => error.code,
      )
      if (code === 'CONTROL_BUSY') break
      assert.equal(code, 'free')
    }
    release.resolve()
    await Promise.all(waiting)
    assert.equal(await client.call('echo', 2), 2)
  })
})

describe('a control server that stops', () => {
  it('finishes requests under way, ends streams with CONTROL_STOPPING, and takes no more', async (t) => {
    const begun = deferred()
    const release = deferred<string>()
    const { client, server } = await startControl(t, (given) =>
      given
        .verb('slow', () => {
          begun.resolve()
          return release.promise
        })
        .stream('watch', async function* (_, { signal }) {
          yield 1
          await once(signal, 'abort')
          return null
        }),
    )
    const slow = client.call('slow')
    const stream = client.stream('watch')
    await stream.next()
    await begun.promise
    const stopped = server.stop()
    await assert.rejects(stream.next(), { code: 'CONTROL_STOPPING' })
    await assert.rejects(client.call('slow'), { code: 'CONTROL_UNREACHABLE' })
    release.resolve('whole')
    assert.equal(await slow, 'whole')
    await stopped
  })

  it('cuts what does not finish when its time is up', async (t) => {
    const begun = deferred()
    const { client, server } = await startControl(t, (given) =>
      given.verb('never', () => {
        begun.resolve()
        return new Promise(() => {})
      }),
    )
    const call = client.call('never')
    await begun.promise
    const control = new AbortController()
    const stopped = server.stop(control.signal)
    control.abort()
    await assert.rejects(call, { code: 'CONTROL_CUT' })
    await stopped
  })

  it('does not wait for idle connections', async (t) => {
    const { server } = await startControl(t, () => {})
    const socket = connect(server.path)
    await once(socket, 'connect')
    const request = httpRequest({ socketPath: server.path, path: '/v1', agent: false })
    request.end()
    await once(request, 'response')
    await server.stop()
    socket.destroy()
    request.destroy()
  })
})
