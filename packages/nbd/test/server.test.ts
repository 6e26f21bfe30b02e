import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Command } from '../src/constants.js'
import {
  defaultLimits,
  ListenError,
  MemoryExport,
  NbdClient,
  NbdClientError,
  NbdErrno,
  NbdNegotiation,
  NbdServer,
} from '../src/index.js'
import {
  directoryOf,
  encodeOption,
  encodeRequest,
  HeldExport,
  ManualClock,
  Prng,
  smallLimits,
  until,
  withServer,
} from './support.js'

const KIB = 1024
const memory = (name = ''): MemoryExport => new MemoryExport({ name, sizeBytes: 1 << 20 })

/** A bare socket that has connected. */
async function dial(path: string): Promise<Socket> {
  const socket = connect({ path })
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  socket.on('error', () => {})
  return socket
}

const gone = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    socket.resume()
    socket.once('close', () => resolve())
  })

/** Into the transmission phase of the default export, without structured replies. */
function enter(socket: Socket): void {
  const go = Buffer.from('000000000000', 'hex')
  socket.write(Buffer.concat([Buffer.from('00000001', 'hex'), encodeOption(7, go)]))
}

const folders: string[] = []
after(() => folders.forEach((path) => rmSync(path, { recursive: true, force: true })))

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'nbd-'))
  folders.push(path)
  return path
}

function bareServer(): NbdServer {
  return new NbdServer(directoryOf(memory()), { after: new ManualClock().after })
}

test('a client reads what it wrote, over Unix and over TCP', async () => {
  await withServer([memory('disk')], async ({ server, path }) => {
    const bound = await server.listen({ host: '127.0.0.1', port: 0 })
    assert.ok('port' in bound && bound.port > 0)
    for (const address of [{ path }, bound]) {
      const client = await NbdClient.connect(address, { export: 'disk' })
      const bytes = Buffer.alloc(100_000, 'sitelink')
      await client.write(12_345, bytes, { fua: true })
      assert.deepEqual(await client.read(12_345, bytes.length), bytes)
      await client.trim(12_345, 1000)
      await client.writeZeroes(14_000, 1000, { noHole: true, fastZero: true })
      assert.deepEqual(await client.read(12_345, 1000, { dontFragment: true }), Buffer.alloc(1000))
      await client.cache(0, 4096)
      await client.flush()
      await client.disconnect()
    }
  })
})

test('block status tells holes from data, one extent if wanted', async () => {
  await withServer([memory()], async ({ path }) => {
    const client = await NbdClient.connect({ path })
    await client.write(8192, Buffer.alloc(4096, 1))
    assert.deepEqual(await client.blockStatus(0, 32_768), [
      { length: 8192, hole: true, zero: true },
      { length: 4096, hole: false, zero: false },
      { length: 20_480, hole: true, zero: true },
    ])
    assert.deepEqual(await client.blockStatus(4096, 32_768, { one: true }), [{ length: 4096, hole: true, zero: true }])
    await client.disconnect()
  })
})

test('a client lists exports, and hears why one cannot be had', async () => {
  await withServer([memory('a'), memory('b')], async ({ path, events }) => {
    const listed = await NbdClient.list({ path })
    assert.deepEqual(
      listed.map((each) => each.name),
      ['a', 'b'],
    )
    await assert.rejects(NbdClient.connect({ path }), (error: NbdClientError) => {
      return error.kind === 'negotiation' && error.message === 'there is no default export'
    })
    await until(() => events.length === 2, 'both clients left')
    assert.deepEqual(
      events.map((event) => event.kind),
      ['left', 'left'],
    )
  })
})

test('INFO and GO tell a client the block sizes and the name', async () => {
  const target = new MemoryExport({ name: 'disk', description: 'words', sizeBytes: 4096, minimumBlockBytes: 512 })
  await withServer([target], async ({ path }) => {
    const negotiation = await NbdNegotiation.open({ path })
    const info = await negotiation.info('disk')
    assert.equal(info.sizeBytes, 4096)
    assert.equal(info.name, 'disk')
    assert.equal(info.description, 'words')
    assert.deepEqual([info.minimumBlockBytes, info.preferredBlockBytes, info.payloadBytesMax], [512, 4096, 32 << 20])
    const client = new NbdClient(await negotiation.go('disk'))
    assert.deepEqual(client.info, info)
    await client.disconnect()
  })
})

test('a write beyond the end is refused and the connection lives', async () => {
  await withServer([memory()], async ({ path }) => {
    for (const structured of [true, false]) {
      const client = await NbdClient.connect({ path }, { structured })
      await assert.rejects(client.write(1 << 20, Buffer.alloc(512)), { errno: NbdErrno.ENOSPC })
      await assert.rejects(client.read(1 << 20, 512), { errno: NbdErrno.EINVAL })
      await assert.rejects(client.raw(1234, 0, 0, 0), { errno: NbdErrno.EINVAL })
      await client.write(0, Buffer.alloc(512))
      await client.disconnect()
    }
  })
})

test('a structured refusal carries a sentence', async () => {
  const target = new MemoryExport({ sizeBytes: 1 << 20, readOnly: true })
  await withServer([target], async ({ path }) => {
    const client = await NbdClient.connect({ path })
    await assert.rejects(client.write(0, Buffer.alloc(512)), /^NbdClientError: EPERM: the export is read-only$/)
    await client.disconnect()
  })
})

test('events tell who came, to what, and why they went', async () => {
  const target = new HeldExport({ name: 'disk', sizeBytes: 1 << 20 }, () => false)
  await withServer([target], async ({ path, events }) => {
    const client = await NbdClient.connect({ path }, { export: 'disk' })
    assert.deepEqual(target.clients, ['unix#1'])
    await client.write(0, Buffer.alloc(4096))
    await client.read(0, 512)
    await client.disconnect()
    await until(() => events.length === 2, 'two events')
    assert.deepEqual(events, [
      { kind: 'connected', client: 'unix#1', export: 'disk', structured: true },
      {
        kind: 'disconnected',
        client: 'unix#1',
        export: 'disk',
        reason: 'the client said goodbye',
        requestCount: 2,
        readBytes: 512,
        writtenBytes: 4096,
      },
    ])
    assert.deepEqual(target.clients, [])
  })
})

test('a client that is gone stays in the report until the device has answered', async () => {
  const target = new HeldExport({ sizeBytes: 1 << 20 }, () => true)
  await withServer([target], async ({ server, path, events }) => {
    const client = await NbdClient.connect({ path })
    const lost = assert.rejects(client.write(0, Buffer.alloc(4096)), { kind: 'lost' })
    await until(() => target.held.length === 1, 'the write is at the device')
    await client.destroy()
    await lost
    await until(() => server.connections()[0]?.phase === 'closing', 'the server noticed')
    const [report] = server.connections()
    assert.equal(report?.requestsInFlight, 1)
    assert.equal(report.payloadBytes, 4096)
    assert.equal(events.length, 1)
    target.release()
    await until(() => server.connections().length === 0, 'it has gone')
    assert.deepEqual(server.memory(), { payloadBytes: 0, replyBytes: 0 })
  })
})

test('a client that never finishes its handshake is thrown out when its time is up', async () => {
  await withServer([memory()], async ({ path, clock, events, server }) => {
    const slow = await dial(path)
    const said = Buffer.concat([Buffer.from('00000001', 'hex'), encodeOption(3)])
    for (const byte of said.subarray(0, 12)) slow.write(Buffer.from([byte]))
    await until(() => clock.timers.size === 1 && server.connections().length === 1, 'it is connected')
    clock.fire(defaultLimits.handshakeMsMax)
    await gone(slow)
    await until(() => events.length === 1, 'it was reported')
    assert.deepEqual(events, [{ kind: 'refused', client: 'unix#1', reason: 'the handshake took longer than 15000 ms' }])
    // The time limit is for the handshake only.
    const client = await NbdClient.connect({ path })
    assert.equal(clock.timers.size, 0)
    await client.disconnect()
  })
})

test('a client beyond the limit is turned away, and one that leaves makes place', async () => {
  await withServer(
    [memory()],
    async ({ path, events, server }) => {
      const clients = [await NbdClient.connect({ path }), await NbdClient.connect({ path })]
      await assert.rejects(NbdClient.connect({ path }), { kind: 'lost' })
      assert.match(JSON.stringify(events.at(-1)), /has 2 connections already/)
      await clients[0]?.disconnect()
      await until(() => server.connections().length === 1, 'one has gone')
      await (await NbdClient.connect({ path })).disconnect()
      await clients[1]?.disconnect()
    },
    { connectionCountMax: 2 },
  )
})

test('a client that asks and never reads is stopped within its limit, and served when it reads', async () => {
  await withServer(
    [memory()],
    async ({ server, path }) => {
      const socket = await dial(path)
      enter(socket)
      const count = 200
      const request = Buffer.concat(
        Array.from({ length: count }, (_, cookie) => encodeRequest({ type: Command.READ, cookie, length: 60 * KIB })),
      )
      socket.write(request)
      await until(() => server.connections()[0]?.waiting === 'reply-bytes', 'the server waits')
      const [report] = server.connections()
      assert.ok((report?.replyBytes ?? 0) <= smallLimits.connectionReplyBytesMax)
      assert.ok((report?.requestCount ?? 0) < count)
      let received = 0
      socket.on('data', (chunk) => (received += chunk.length))
      const greeting = 18
      const negotiated = 32 + 20
      const expected = greeting + negotiated + count * (16 + 60 * KIB)
      await until(() => received >= expected, 'all replies arrived')
      assert.equal(received, expected)
      socket.destroy()
    },
    smallLimits,
  )
})

test('a client whose writes the device never answers is stopped within its limit', async () => {
  const target = new HeldExport({ sizeBytes: 1 << 20 }, (request) => request.operation === 'write')
  await withServer(
    [target],
    async ({ server, path }) => {
      const client = await NbdClient.connect({ path })
      const writes = Array.from({ length: 100 }, (_, index) => client.write(index * 4096, Buffer.alloc(16 * KIB)))
      await until(() => server.connections()[0]?.waiting === 'payload-bytes', 'the server waits')
      assert.equal(server.memory().payloadBytes, smallLimits.connectionPayloadBytesMax)
      assert.equal(target.held.length, 8)
      // Another client is not disturbed.
      const other = await NbdClient.connect({ path })
      assert.equal((await other.read(0, 64 * KIB)).length, 64 * KIB)
      await other.disconnect()
      target.release()
      await Promise.all(writes)
      await client.disconnect()
    },
    smallLimits,
  )
})

test('noise from clients does the server no harm', async () => {
  const prng = new Prng('server noise')
  await withServer([memory()], async ({ path, server, events }) => {
    const good = await NbdClient.connect({ path })
    for (let count = 0; count < 40; count++) {
      const socket = await dial(path)
      if (count % 2 === 0) enter(socket)
      else socket.write(Buffer.from('00000001', 'hex'))
      socket.end(prng.bytes(prng.between(1, 5000)))
      await gone(socket)
    }
    await until(() => server.connections().length === 1, 'all the others have gone')
    assert.equal(events.filter((event) => event.kind === 'refused').length, 20)
    assert.equal((await good.read(0, 4096)).length, 4096)
    await good.disconnect()
  })
})

test('closing waits for the device, refuses new work, and removes the socket', async () => {
  const target = new HeldExport({ sizeBytes: 1 << 20 }, () => true)
  const clock = new ManualClock()
  const server = new NbdServer(directoryOf(target), { after: clock.after })
  const path = join(folder(), 'nbd.sock')
  await server.listen({ path })
  const client = await NbdClient.connect({ path })
  const idle = await NbdClient.connect({ path })
  const writing = client.write(0, Buffer.alloc(512))
  await until(() => target.held.length === 1, 'the write is at the device')
  const closing = server.close()
  assert.equal(server.close(), closing)
  await assert.rejects(client.read(0, 512), { errno: NbdErrno.ESHUTDOWN })
  await idle.closed
  await assert.rejects(NbdClient.connect({ path }), { kind: 'lost' })
  target.release()
  await writing
  await client.closed
  assert.deepEqual(await closing, { abandonedRequestCount: 0 })
  assert.equal(existsSync(path), false)
  assert.equal(clock.timers.size, 0)
})

test('closing does not wait for ever for a device', async () => {
  const target = new HeldExport({ sizeBytes: 1 << 20 }, () => true)
  const clock = new ManualClock()
  const server = new NbdServer(directoryOf(target), { after: clock.after })
  const path = join(folder(), 'nbd.sock')
  await server.listen({ path })
  const client = await NbdClient.connect({ path })
  const lost = assert.rejects(client.write(0, Buffer.alloc(512)), { kind: 'lost' })
  await until(() => target.held.length === 1, 'the write is at the device')
  const closing = server.close()
  clock.fire(defaultLimits.drainMsMax)
  assert.deepEqual(await closing, { abandonedRequestCount: 1 })
  await lost
  target.release()
})

test('the socket is open to its owner only', async () => {
  const server = bareServer()
  const path = join(folder(), 'nbd.sock')
  const before = process.umask()
  await server.listen({ path })
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(process.umask(), before)
  await server.close()
})

test('a leftover socket is replaced, and one in use is not', async () => {
  const path = join(folder(), 'nbd.sock')
  // What a killed process leaves: a socket file that nobody listens on.
  leaveSocketBehind(path)
  const first = bareServer()
  await first.listen({ path })
  const second = bareServer()
  await assert.rejects(second.listen({ path }), (error: ListenError) => error.reason === 'in-use')
  await second.close()
  await (await NbdClient.connect({ path })).disconnect()
  await first.close()
})

test('a file that is no socket is left alone', async () => {
  const path = join(folder(), 'precious')
  writeFileSync(path, 'data')
  await assert.rejects(bareServer().listen({ path }), (error: ListenError) => error.reason === 'not-a-socket')
  assert.ok(existsSync(path))
})

test('a path that no socket can have is refused before anything is made', async () => {
  const path = join(tmpdir(), 'x'.repeat(120))
  await assert.rejects(bareServer().listen({ path }), (error: ListenError) => error.reason === 'path-too-long')
})

test('a TCP port in use is reported as such', async () => {
  const first = bareServer()
  const bound = await first.listen({ host: '127.0.0.1', port: 0 })
  const second = bareServer()
  await assert.rejects(second.listen(bound), (error: ListenError) => error.reason === 'in-use')
  await first.close()
})

test('a client that closes its side still gets the answer', async () => {
  const target = new HeldExport({ sizeBytes: 1 << 20 }, () => true)
  await withServer([target], async ({ path, events }) => {
    const socket = await dial(path)
    let received = 0
    socket.on('data', (chunk) => (received += chunk.length))
    enter(socket)
    socket.end(encodeRequest({ type: Command.WRITE, payload: Buffer.alloc(512) }))
    await until(() => target.held.length === 1, 'the write is at the device')
    target.release()
    await gone(socket)
    assert.equal(received, 18 + 32 + 20 + 16)
    await until(() => events.length === 2, 'it was reported')
    assert.match(JSON.stringify(events[1]), /without saying so/)
  })
})

test('a server that breaks the protocol costs a client the connection, not the process', async () => {
  const path = join(folder(), 'nbd.sock')
  const negotiated = new NbdServer(directoryOf(memory()), { after: new ManualClock().after })
  const real = join(folder(), 'real.sock')
  await negotiated.listen({ path: real })
  // A proxy that turns the first reply of the transmission phase into noise.
  const proxy = createServer((near) => {
    const far = connect({ path: real })
    near.on('data', (chunk) => far.write(chunk))
    far.on('data', (chunk) => near.write(chunk.readUInt32BE(0) === 0x67446698 ? Buffer.alloc(16) : chunk))
    near.on('close', () => far.destroy()).on('error', () => {})
    far.on('close', () => near.destroy()).on('error', () => {})
  })
  await new Promise<void>((resolve) => proxy.listen(path, resolve))
  const client = await NbdClient.connect({ path })
  await assert.rejects(client.flush(), { kind: 'protocol' })
  await client.closed
  await assert.rejects(client.flush(), { kind: 'protocol' })
  proxy.close()
  await negotiated.close()
})

/** Leaves a socket file without a listener at `path`. */
function leaveSocketBehind(path: string): void {
  const script = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`
  spawnSync(process.execPath, ['-e', script, path])
  assert.ok(statSync(path).isSocket())
}
