/**
 * The proxy of the tests is tested itself: what it lets through arrives unchanged, and each of its faults really happens.
 */
import assert from 'node:assert/strict'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { CutProxy } from './cut-proxy.js'
import { waitFor } from './wait-for.js'

interface Rig {
  readonly proxy: CutProxy
  dial(): Promise<{ socket: Socket; received: () => number; closed: Promise<void> }>
}

/** A proxy in front of a server that sends everything back. */
async function echoRig(t: TestContext): Promise<Rig> {
  const server: Server = createServer((socket) => {
    socket.on('error', () => socket.destroy())
    socket.pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const proxy = await CutProxy.listen({ targetHost: '127.0.0.1', targetPort: address.port })
  t.after(async () => {
    await proxy.close()
    server.close()
  })
  return {
    proxy,
    dial: () =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: proxy.host, port: proxy.port })
        let received = 0
        socket.on('data', (chunk) => (received += chunk.length))
        socket.on('error', reject)
        const closed = new Promise<void>((done) => socket.on('close', () => done()))
        socket.on('connect', () => {
          socket.off('error', reject)
          socket.on('error', () => socket.destroy())
          resolve({ socket, received: () => received, closed })
        })
      }),
  }
}

test('the proxy hands everything on, unchanged and in order', async (t) => {
  const { proxy, dial } = await echoRig(t)
  const { socket } = await dial()
  const sent = Buffer.alloc(8 * 1024 * 1024, 'sitelink')
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => chunks.push(chunk))
  socket.write(sent)
  await waitFor('all bytes', () => chunks.reduce((sum, chunk) => sum + chunk.length, 0) === sent.length)
  assert.ok(Buffer.concat(chunks).equals(sent))
  assert.equal(proxy.bytesPassed('out'), sent.length)
  socket.destroy()
})

test('a cut ends connections and refuses new ones until it is mended', async (t) => {
  const { proxy, dial } = await echoRig(t)
  const first = await dial()
  first.socket.write('x')
  await waitFor('the echo', () => first.received() === 1)
  proxy.cut()
  await first.closed
  await (
    await dial()
  ).closed
  proxy.mend()
  const second = await dial()
  second.socket.write('y')
  await waitFor('the echo', () => second.received() === 1)
  second.socket.destroy()
})

test('a stalled direction is silent while the connection stands, and loses nothing', async (t) => {
  const { proxy, dial } = await echoRig(t)
  const { socket, received } = await dial()
  proxy.stall('in')
  socket.write('one')
  await waitFor('the way out', () => proxy.bytesPassed('out') === 3)
  assert.equal(received(), 0)
  proxy.flow('in')
  await waitFor('the echo', () => received() === 3)
  socket.destroy()
})

test('a half-open connection is over for the one that dialed and stands for the target', async (t) => {
  const accepted: Socket[] = []
  let ended = 0
  const server: Server = createServer((socket) => {
    accepted.push(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => ended++)
    socket.resume()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  const proxy = await CutProxy.listen({ targetHost: '127.0.0.1', targetPort: address.port })
  t.after(() => server.close())
  const socket = connect({ host: proxy.host, port: proxy.port })
  const closed = new Promise<void>((done) => socket.on('close', () => done()))
  socket.on('error', () => socket.destroy())
  await waitFor('the target to have it', () => accepted.length === 1)
  proxy.halfOpen()
  await closed
  const written = new Promise<void>((done, fail) =>
    accepted[0]?.write(Buffer.alloc(1024 * 1024), (error) => (error ? fail(error) : done())),
  )
  await written
  assert.equal(ended, 0, 'the target was not told')
  await proxy.close()
  await waitFor('the end of the proxy to be the end of it', () => ended === 1)
})

test('delay and limit take the time that they should', async (t) => {
  const { proxy, dial } = await echoRig(t)
  const { socket, received } = await dial()
  proxy.delay('out', 150)
  let startedMs = performance.now()
  socket.write('x')
  await waitFor('the echo', () => received() === 1)
  assert.ok(performance.now() - startedMs >= 145)
  proxy.delay('out', 0)
  proxy.limit('out', 1024 * 1024)
  startedMs = performance.now()
  socket.write(Buffer.alloc(512 * 1024))
  await waitFor('the echo', () => received() === 1 + 512 * 1024)
  assert.ok(performance.now() - startedMs >= 250)
  socket.destroy()
})
