/**
 * The UDP proxy of the tests is tested itself: what it lets through arrives unchanged, and each of its faults really happens.
 */
import assert from 'node:assert/strict'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { test, type TestContext } from 'node:test'
import { UdpProxy } from './udp-proxy.js'
import { waitFor } from './wait-for.js'

interface Rig {
  readonly proxy: UdpProxy
  /** What the target got, and from where. */
  readonly arrived: readonly { readonly text: string; readonly from: RemoteInfo }[]
  readonly heard: readonly string[]
  send(text: string | Buffer): void
  /** From the target to whoever sent it the n-th datagram. */
  answer(nth: number, text: string): void
}

async function bound(t: TestContext): Promise<Socket> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  t.after(() => socket.close())
  return socket
}

async function rig(t: TestContext): Promise<Rig> {
  const [target, client] = [await bound(t), await bound(t)]
  const proxy = await UdpProxy.listen({ targetHost: '127.0.0.1', targetPort: target.address().port })
  t.after(() => proxy.close())
  const arrived: { text: string; from: RemoteInfo }[] = []
  const heard: string[] = []
  target.on('message', (datagram, from) => arrived.push({ text: datagram.toString('latin1'), from }))
  client.on('message', (datagram) => heard.push(datagram.toString('latin1')))
  return {
    proxy,
    arrived,
    heard,
    send: (text) => client.send(text, proxy.port, '127.0.0.1'),
    answer: (nth, text) => {
      const from = arrived[nth]?.from
      assert.ok(from !== undefined)
      target.send(text, from.port, from.address)
    },
  }
}

/** A datagram that begins a QUIC connection, as far as its first byte says. */
const INITIAL = Buffer.of(0xc3, 1)

test('datagrams are handed on whole and in order, both ways', async (t) => {
  const { arrived, heard, send, answer } = await rig(t)
  for (const text of ['one', 'two', 'three']) send(text)
  await waitFor('all of them', () => arrived.length === 3)
  assert.deepEqual(
    arrived.map(({ text }) => text),
    ['one', 'two', 'three'],
  )
  answer(2, 'back')
  await waitFor('the answer', () => heard.length === 1)
  assert.deepEqual(heard, ['back'])
})

test('a cut loses what is held and what is sent, nobody is told, and what is sent after it arrives', async (t) => {
  const { proxy, arrived, send } = await rig(t)
  send('before')
  await waitFor('it', () => arrived.length === 1)
  proxy.stall('out')
  send('held')
  await waitFor('it to be held', () => proxy.heldBytes('out') === 4)
  proxy.cut()
  proxy.flow('out')
  send('lost')
  await waitFor('it to be lost', () => proxy.lost === 1)
  proxy.mend()
  send('after')
  await waitFor('the one behind it', () => arrived.length > 1)
  assert.deepEqual(
    arrived.map(({ text }) => text),
    ['before', 'after'],
  )
})

test('a reset shows the target another address, and a half-open flow is heard and hears nothing until it begins anew', async (t) => {
  const { proxy, arrived, heard, send, answer } = await rig(t)
  send('before')
  await waitFor('it', () => arrived.length === 1)
  proxy.reset()
  send('after')
  await waitFor('it', () => arrived.length === 2)
  assert.notEqual(arrived[0]?.from.port, arrived[1]?.from.port)
  proxy.halfOpen()
  send('heard')
  await waitFor('it', () => arrived.length === 3)
  answer(2, 'unheard')
  send(INITIAL)
  await waitFor('the new connection', () => arrived.length === 4)
  assert.notEqual(arrived[2]?.from.port, arrived[3]?.from.port)
  answer(3, 'again')
  await waitFor('the answer', () => heard.length > 0)
  assert.deepEqual(heard, ['again'])
})

test('a stalled direction holds what it can and loses the rest, and delay and limit take the time that they should', async (t) => {
  const { proxy, arrived, heard, send, answer } = await rig(t)
  proxy.delay('out', 150)
  let startedMs = performance.now()
  send('late')
  await waitFor('it', () => arrived.length === 1)
  assert.ok(performance.now() - startedMs >= 145)
  proxy.delay('out', 0)
  proxy.stall('in')
  answer(0, 'held')
  send('one')
  await waitFor('the other way', () => arrived.length === 2)
  assert.deepEqual(heard, [])
  proxy.flow('in')
  await waitFor('what was held', () => heard.length === 1)
  proxy.limit('out', 100_000)
  startedMs = performance.now()
  for (let nth = 0; nth < 5; nth++) send(Buffer.alloc(10_000))
  await waitFor('all five', () => arrived.length === 7)
  assert.ok(performance.now() - startedMs >= 390)
})
