/** What only TCP has: time-outs by the injected clock, names that do not resolve, IPv6, bound addresses. */
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { test } from 'node:test'
import { TcpTransport, type Connection } from '../../src/index.js'
import { realClock, SimClock } from '../support/clock.js'

test('a dial whose time is up before the answer is given up with a code', async () => {
  const clock = new SimClock()
  const transport = new TcpTransport({ clock })
  const listener = await transport.listen('tcp://127.0.0.1:0', (connection) => connection.destroy())
  const dialing = transport.dial(listener.address, { timeoutMs: 20 })
  // The answer needs a turn of the event loop; the simulated time does not.
  clock.run(20)
  await assert.rejects(dialing, (error: Error & { code?: string }) => {
    assert.equal(error.code, 'DIAL_TIMEOUT')
    assert.match(error.message, /no answer within 20 ms/)
    return true
  })
  await listener.close()
})

test('a name that does not resolve is named', async () => {
  const transport = new TcpTransport({ clock: realClock })
  await assert.rejects(
    transport.dial('tcp://no-such-host.invalid:1', { timeoutMs: 20_000 }),
    (error: Error & { code?: string }) => {
      assert.ok(error.code === 'DIAL_UNKNOWN_HOST' || error.code === 'DIAL_FAILED', String(error.code))
      assert.match(error.message, /no-such-host\.invalid/)
      return true
    },
  )
})

test('an address of another host cannot be listened on', async () => {
  const transport = new TcpTransport({ clock: realClock })
  await assert.rejects(
    transport.listen('tcp://192.0.2.1:0', () => {}),
    { code: 'LISTEN_FAILED' },
  )
})

test('IPv6 is listened on, printed with brackets and dialled', async (t) => {
  const transport = new TcpTransport({ clock: realClock })
  let accept!: (connection: Connection) => void
  const accepted = new Promise<Connection>((resolve) => (accept = resolve))
  const listener = await transport.listen('tcp://[::1]:0', (connection) => accept(connection)).catch(() => null)
  if (listener === null) return t.skip('no IPv6 on this host')
  assert.match(listener.address, /^tcp:\/\/\[::1\]:\d+$/)
  const dialed = await transport.dial(listener.address, { timeoutMs: 5000 })
  assert.match((await accepted).description, /^tcp \[::1\]:\d+$/)
  dialed.destroy()
  ;(await accepted).destroy()
  await listener.close()
})

test('a dialled socket sends small messages at once and notices a dead peer', async (t) => {
  const delays = t.mock.method(Socket.prototype, 'setNoDelay')
  const keepAlives = t.mock.method(Socket.prototype, 'setKeepAlive')
  const transport = new TcpTransport({ clock: realClock })
  const listener = await transport.listen('tcp://127.0.0.1:0', (connection) => connection.destroy())
  const dialed = await transport.dial(listener.address, { timeoutMs: 5000 })
  dialed.destroy()
  await listener.close()
  // The accepted one has both from its server's options, without these calls.
  assert.deepEqual(
    delays.mock.calls.map((call) => call.arguments),
    [[true]],
  )
  assert.deepEqual(
    keepAlives.mock.calls.map((call) => call.arguments),
    [[true, 30_000]],
  )
})
