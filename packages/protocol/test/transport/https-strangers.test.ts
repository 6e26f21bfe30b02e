/**
 * Strangers at `https://`, at either end: what they send neither ends the process nor is kept, and their sockets go.
 *
 * A stranger here speaks HTTP/2 by Node alone, and writes capsules by hand.
 */
import assert from 'node:assert/strict'
import {
  connect as connectHttp2,
  createSecureServer,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2'
import { readdirSync } from 'node:fs'
import { connect as connectPlain, createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { HttpsTransport, type ProtocolError, type TlsRefusal } from '../../src/index.js'
import { capsule, CapsuleType, closing, streamData, varint } from '../support/capsules.js'
import { realClock } from '../support/clock.js'
import { FIRST, OTHER } from '../support/identities.js'
import { knows } from '../support/judges.js'
import { SEED, SeededRandom } from '../support/random.js'
import { makeShortCertificate } from '../support/short-certificates.js'

const LIMIT = { timeout: 60_000 }
const ends = { clock: realClock, random: new SeededRandom(SEED), quic: 'never' as const }
const ASK = { ':method': 'CONNECT', ':protocol': 'webtransport', ':scheme': 'https', ':path': '/sitelink/1' }
const H2 = { host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] }

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function until(is: () => boolean): Promise<void> {
  while (!is()) await turn()
}

/** Descriptors of this process, after what closes has closed. */
const descriptors = (): number => readdirSync('/proc/self/fd').length

async function door(t: TestContext): Promise<{ readonly port: number; readonly refusals: TlsRefusal[] }> {
  const refusals: TlsRefusal[] = []
  const transport = new HttpsTransport({
    ...ends,
    identity: () => FIRST,
    judge: knows(OTHER),
    refused: (refusal) => refusals.push(refusal),
    makeCertificate: makeShortCertificate,
  })
  const listener = await transport.listen('https://127.0.0.1:0', (connection) => connection.destroy())
  t.after(() => listener.close())
  return { port: Number(listener.address.split(':').at(-1)), refusals }
}

// The first test: those before it would still have descriptors that close.
test('a stranger whose session is turned away holds no socket, although he ends nothing', LIMIT, async (t) => {
  const { port, refusals } = await door(t)
  const settled = descriptors()
  for (const [frames, why] of [
    // A capsule that no link has; no request for a session; two of them.
    [Buffer.concat([headers(1, ASK_BLOCK, 4), data(1, capsule(0, Buffer.alloc(1)))]), null],
    [headers(1, GET_BLOCK, 5), null],
    [Buffer.concat([headers(1, ASK_BLOCK, 4), headers(3, ASK_BLOCK, 4)]), 'more than one session'],
  ] as const) {
    const socket = await rawStranger(t, port)
    socket.write(frames)
    const told = refusals.length
    // His own stay; the one here goes.
    await until(() => descriptors() <= settled + 4)
    if (why !== null) await until(() => JSON.stringify(refusals.slice(told)).includes(why))
    assert.ok(refusals.length <= told + 1)
    socket.destroy()
    await until(() => descriptors() === settled)
  }
})

/** A session with a door, as far as a stranger gets by himself. */
async function stranger(
  t: TestContext,
  port: number,
): Promise<{ http2: ClientHttp2Session; stream: ClientHttp2Stream }> {
  const http2 = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  http2.on('error', () => {})
  t.after(() => http2.destroy())
  await new Promise((resolve) => http2.once('remoteSettings', resolve))
  const stream = http2.request(ASK)
  stream.on('error', () => {}).resume()
  await new Promise((resolve) => stream.once('response', resolve))
  return { http2, stream }
}

/** Capsules that no link has, and those on which the library throws, with what is said of each. */
const CAPSULES: readonly (readonly [name: string, bytes: Buffer, why: RegExp])[] = [
  ['an end without a code', Buffer.concat([capsule(CapsuleType.close, Buffer.alloc(1)), Buffer.alloc(9)]), /1 bytes/],
  ['a datagram', capsule(0, Buffer.alloc(100)), /a datagram/],
  ['a stream of one direction', streamData(Buffer.from('x'), 3), /another stream/],
  ['a stream of the other side', streamData(Buffer.from('x'), 0), /another stream/],
  ['the reset of its stream', capsule(0x190b4d39, Buffer.of(1, 0)), /the reset of a stream/],
  ['the reset of none', capsule(0x190b4d39, Buffer.alloc(0)), /the reset of a stream/],
  ['a stop', capsule(0x190b4d3a, Buffer.of(1, 0)), /a stop of a stream/],
  ['a drain', capsule(0x78ae, Buffer.alloc(0)), /a drain/],
  ['the end of its stream', capsule(0x190b4d3c, Buffer.of(1)), /the end of a stream/],
  ['blocked streams', capsule(0x190b4d44, varint(2 ** 40)), /a capsule of type/],
]

test('capsules of a stranger that no link has end his session, say why, and end nothing else', LIMIT, async (t) => {
  const { port, refusals } = await door(t)
  for (const [name, bytes, why] of CAPSULES) {
    for (const before of [Buffer.alloc(0), streamData(Buffer.from('hello'))]) {
      const { http2, stream } = await stranger(t, port)
      const told = refusals.length
      stream.write(Buffer.concat([before, bytes, bytes]))
      await until(() => http2.destroyed && refusals.length > told)
      assert.match(refusals.at(-1)?.why ?? '', why, name)
    }
  }
  assert.equal(refusals.length, 2 * CAPSULES.length, 'each is told of once')
})

test('capsules of a stranger that is dialled end the dial, say why, and end nothing else', LIMIT, async (t) => {
  const { certificate, key } = await makeShortCertificate(Date.now() - 1000, Date.now() + 86_400_000)
  let says: Buffer = Buffer.alloc(0)
  let whenOpen = false
  const server = createSecureServer({ cert: certificate, key, settings: { enableConnectProtocol: true } })
  server.on('stream', (stream) => {
    stream.on('error', () => {})
    stream.respond({ ':status': 200 })
    if (whenOpen) stream.once('data', () => stream.write(says))
    else stream.write(says)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const client = new HttpsTransport({ ...ends, identity: () => OTHER, judge: knows(FIRST) })
  for (const [name, bytes, why] of CAPSULES) {
    says = Buffer.concat([bytes, bytes])
    for (whenOpen of [false, true]) {
      await assert.rejects(client.dial(address, { timeoutMs: 10_000 }), (error: ProtocolError) => {
        assert.match(error.message, why, name)
        return true
      })
    }
  }
})

test('a request that is reset in the packet that makes it is not answered, and ends nothing', LIMIT, async (t) => {
  const { port } = await door(t)
  for (const block of [ASK_BLOCK, GET_BLOCK]) {
    const socket = await rawStranger(t, port)
    socket.write(Buffer.concat([headers(1, block, 4), frame(3, 0, 1, Buffer.from([0, 0, 0, 8]))]))
    // Whoever comes behind it is answered.
    await stranger(t, port)
  }
})

test('what is not HTTP/2, and an upgrade of it, is turned away', LIMIT, async (t) => {
  const { port, refusals } = await door(t)
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] })
  socket.on('error', () => {})
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  socket.write(
    'GET /sitelink/1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: webtransport_1\r\n\r\n',
  )
  let answer = ''
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')))
  await new Promise((resolve) => socket.once('close', resolve))
  assert.equal(answer, '')
  assert.match(refusals[0]?.why ?? '', /does not speak HTTP\/2/)
})

test(
  'a dial that is given up in the middle of a handshake is over, although the handshake goes on',
  LIMIT,
  async (t) => {
    const { port } = await door(t)
    const held: (() => void)[] = []
    let count = 0
    const proxy = createServer((near) => {
      const far = connectPlain(port, '127.0.0.1')
      near.on('error', () => {}).pipe(far.on('error', () => {}))
      const go = (): void => void far.pipe(near)
      // The first one asks for the certificate; the answer to the second one is held.
      if (count++ === 0) go()
      else held.push(go)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    t.after(() => proxy.close())
    const client = new HttpsTransport({ ...ends, identity: () => OTHER, judge: knows(FIRST) })
    const control = new AbortController()
    const address = `https://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const dial = client.dial(address, { timeoutMs: 10_000, signal: control.signal })
    dial.catch(() => {})
    await until(() => held.length === 1)
    control.abort()
    await assert.rejects(dial, { code: 'DIAL_ABORTED' })
    held[0]?.()
    await until(() => true)
    for (let count = 0; count < 200; count += 1) await turn()
  },
)

test('a session that its peer ends in half, without a word, is over', LIMIT, async (t) => {
  const { port } = await door(t)
  const { http2, stream } = await stranger(t, port)
  stream.write(streamData(Buffer.from('hello')))
  stream.end()
  await until(() => http2.destroyed)
  const other = await stranger(t, port)
  other.stream.write(closing('that is all'))
  await until(() => other.http2.destroyed)
})

/** A stranger on TLS alone, whose TCP connection does not end when the other end has ended its half. */
async function rawStranger(t: TestContext, port: number): Promise<TLSSocket> {
  const relay = createServer((near) => {
    const far = connectPlain({ host: '127.0.0.1', port, allowHalfOpen: true })
    near
      .on('error', () => {})
      .pipe(
        far.on('error', () => {}),
        { end: false },
      )
    far.on('data', (chunk: Buffer) => near.write(chunk))
    near.once('close', () => {
      far.destroy()
      relay.close()
    })
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  const socket = connectTls({ ...H2, port: (relay.address() as AddressInfo).port })
  socket.on('error', () => {}).resume()
  t.after(() => socket.destroy())
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  socket.write(frame(4, 0, 0, Buffer.alloc(0)))
  return socket
}

function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

function headers(stream: number, block: Buffer, flags: number): Buffer {
  return frame(1, flags, stream, block)
}

function data(stream: number, payload: Buffer): Buffer {
  return frame(0, 0, stream, payload)
}

/** Header fields, none of them from a table. */
function fields(of: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat(
    Object.entries(of).flatMap(([name, value]) => [
      Buffer.of(0x10, name.length),
      Buffer.from(name),
      Buffer.of(value.length),
      Buffer.from(value),
    ]),
  )
}

const ASK_BLOCK = fields({ ...ASK, ':authority': 'x' })
const GET_BLOCK = fields({ ':method': 'GET', ':scheme': 'https', ':path': '/', ':authority': 'x' })
