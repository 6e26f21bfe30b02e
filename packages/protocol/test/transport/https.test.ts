/**
 * What WebTransport has beyond other transports: identities bound to the certificate of the server, certificates that
 * change, strangers, and a test for the way around each known defect of the library over HTTP/2 (D1 to D5, D8 to D10).
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { connect as connectHttp2 } from 'node:http2'
import { connect as connectPlain, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  HttpsTransport,
  type Clock,
  type Connection,
  type HttpsTransportOptions,
  type Listener,
  type ProtocolError,
  type ShortCertificate,
  type TlsIdentity,
  type TlsRefusal,
} from '../../src/index.js'
import { CreditedStream } from '../../src/transport/credited-stream.js'
import { guardDialled, guardListening, widen } from '../../src/transport/http2-guard.js'
import { encodeOpening } from '../../src/transport/proof-words.js'
import { WebTransportByteStream } from '../../src/transport/webtransport-stream.js'
import { RENEW_MS, ShortCertificates } from '../../src/transport/short-certificate.js'
import {
  endSession,
  hashOf,
  http2Of,
  http2ServerOf,
  loadWebTransport,
  shownHash,
  WINDOWS,
  type WtSession,
} from '../../src/transport/webtransport-library.js'
import { realClock, SimClock } from '../support/clock.js'
import { FIRST, OTHER, STRANGER } from '../support/identities.js'
import { knows } from '../support/judges.js'
import { SEED, SeededRandom } from '../support/random.js'
import { makeShortCertificate } from '../support/short-certificates.js'

const DIAL = { timeoutMs: 10_000 }
const LIMIT = { timeout: 60_000 }
const DAY_MS = 86_400_000
const random = new SeededRandom(SEED)
const quiet = { data: () => {}, drained: () => {}, closed: () => {} }

interface Door {
  readonly transport: HttpsTransport
  readonly listener: Listener
  readonly port: number
  readonly refusals: TlsRefusal[]
  readonly accepted: Connection[]
}

/** A listener of FIRST that knows OTHER. */
async function door(t: TestContext, options: Partial<HttpsTransportOptions> = {}): Promise<Door> {
  const refusals: TlsRefusal[] = []
  const accepted: Connection[] = []
  const transport = new HttpsTransport({
    quic: 'never',
    clock: realClock,
    random,
    identity: () => FIRST,
    judge: knows(OTHER),
    refused: (refusal) => refusals.push(refusal),
    makeCertificate: makeShortCertificate,
    ...options,
  })
  const listener = await transport.listen('https://127.0.0.1:0', (connection) => accepted.push(connection))
  t.after(async () => {
    for (const connection of accepted) connection.destroy()
    await listener.close()
  })
  const port = Number(listener.address.split(':').at(-1))
  return { transport, listener, port, refusals, accepted }
}

function dialler(identity: TlsIdentity, ...known: TlsIdentity[]): HttpsTransport {
  return new HttpsTransport({
    quic: 'never',
    clock: realClock,
    random,
    identity: () => identity,
    judge: knows(...known),
  })
}

const place = (path: string): string => JSON.stringify(fileURLToPath(new URL(path, import.meta.url)))

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function first<T>(list: readonly T[]): Promise<T> {
  while (list.length === 0) await turn()
  return list[0] as T
}

/** Sends so many bytes and resolves once the other end has them. */
async function carry(from: Connection, to: Connection, bytes: number): Promise<void> {
  let received = 0
  const all = new Promise<void>((resolve, reject) =>
    to.attach({
      data: (chunk) => (received += chunk.length) >= bytes && resolve(),
      drained: () => {},
      closed: () => reject(new Error(`it ended after ${received} bytes`)),
    }),
  )
  from.attach(quiet)
  from.write([Buffer.alloc(bytes, 1)])
  await all
}

test('a key that nobody knows is refused at both ends, and nothing is handed on', LIMIT, async (t) => {
  const { listener, refusals, accepted } = await door(t)
  await assert.rejects(dialler(STRANGER, FIRST).dial(listener.address, DIAL), { code: 'TLS_NOT_KNOWN' })
  assert.equal((await first(refusals)).key, STRANGER.fingerprint)
  await assert.rejects(dialler(OTHER, STRANGER).dial(listener.address, DIAL), { code: 'TLS_WRONG_KEY' })
  while (refusals.length < 2) await turn()
  assert.match(refusals[1]?.why ?? '', /refuses the identity of this side/)
  assert.equal(accepted.length, 0)
})

test('who stands between two honest ends with a certificate of his own passes no proof on', LIMIT, async (t) => {
  const honest = await door(t)
  // He takes the connection of the one who dials, and carries every byte of the stream to the honest listener.
  const library = await loadWebTransport()
  const own = await makeShortCertificate(Date.now() - 1000, Date.now() + DAY_MS)
  const between = new library.Http2Server({
    host: '127.0.0.1',
    port: 0,
    secret: 'x',
    cert: own.certificate,
    privKey: own.key,
    ...WINDOWS,
  })
  const sessions = between.sessionStream('/sitelink/1').getReader()
  between.startServer()
  await between.ready
  t.after(() => between.stopServer())
  const theirs = await shownBy(honest.port)
  void sessions.read().then(async ({ value }) => {
    const near = (value as WtSession).incomingBidirectionalStreams.getReader()
    const { value: from } = await near.read()
    const far = new library.WebTransport(`https://127.0.0.1:${honest.port}/sitelink/1`, {
      serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(theirs, 'hex') }],
      forceReliable: true,
      ...WINDOWS,
    })
    await far.ready
    const to = await far.createBidirectionalStream()
    const swap = new TransformStream<Uint8Array, Uint8Array>({
      // The hash that the one who dials has met becomes the one of the honest listener.
      transform(chunk, controller) {
        const met = hashOf(new X509Certificate(own.certificate).fingerprint256)
        const text = Buffer.from(chunk).toString('hex').replace(met, theirs)
        controller.enqueue(Buffer.from(text, 'hex'))
      },
    })
    const away = (): void => {}
    void from?.readable
      .pipeThrough(swap as never)
      .pipeTo(to.writable)
      .catch(away)
    void to.readable.pipeTo(from?.writable as never).catch(away)
  })
  const address = `https://127.0.0.1:${between.address()?.port}`
  await assert.rejects(dialler(OTHER, FIRST).dial(address, DIAL), { code: 'PROOF_WRONG' })
  assert.equal(honest.accepted.length, 0)
})

test('a hash that is not of this listener is turned away before anything is said', LIMIT, async (t) => {
  const { port, refusals, accepted } = await door(t)
  const library = await loadWebTransport()
  const session = new library.WebTransport(`https://127.0.0.1:${port}/sitelink/1`, {
    serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(await shownBy(port), 'hex') }],
    forceReliable: true,
    ...WINDOWS,
  })
  await session.ready
  const made = await session.createBidirectionalStream()
  const stream = new CreditedStream(new WebTransportByteStream(session, made, () => {}))
  const opening = encodeOpening({ purpose: 'session', nonce: Buffer.alloc(32) })
  await stream.write(Buffer.concat([Buffer.alloc(32, 9), opening]))
  await assert.rejects(stream.read())
  assert.match((await first(refusals)).why, /has met another certificate/)
  assert.equal(accepted.length, 0)
})

test('the connections of a revoked key end at once', LIMIT, async (t) => {
  const { transport, listener, accepted } = await door(t)
  const one = await dialler(OTHER, FIRST).dial(listener.address, DIAL)
  const gone = new Promise<void>((resolve) => one.attach({ ...quiet, closed: () => resolve() }))
  ;(await first(accepted)).attach(quiet)
  assert.equal(transport.endPeer(OTHER.fingerprint, 'it was revoked'), 1)
  await gone
})

test(
  'D3: a certificate that the system trusts is refused, if it is not the one that was shown before',
  LIMIT,
  async (t) => {
    const [shown, trusted] = [await door(t), await makeShortCertificate(Date.now() - 1000, Date.now() + DAY_MS)]
    const other = await door(t, { makeCertificate: async () => trusted })
    let count = 0
    const proxy = createServer((near) => {
      const far = connectPlain(count++ === 0 ? shown.port : other.port, '127.0.0.1')
      near
        .on('error', () => {})
        .pipe(far.on('error', () => {}))
        .pipe(near)
    })
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
    t.after(() => proxy.close())
    const folder = mkdtempSync(join(tmpdir(), 'sitelink-trusted-'))
    t.after(() => rmSync(folder, { recursive: true }))
    writeFileSync(join(folder, 'ca.pem'), trusted.certificate)
    const script = `
    import { HttpsTransport } from ${place('../../src/index.js')}
    import { realClock } from ${place('../support/clock.js')}
    import { FIRST, OTHER } from ${place('../support/identities.js')}
    import { knows } from ${place('../support/judges.js')}
    import { SeededRandom } from ${place('../support/random.js')}
    const ends = { clock: realClock, random: new SeededRandom(1), quic: 'never' }
    const client = new HttpsTransport({ ...ends, identity: () => OTHER, judge: knows(FIRST) })
    client.dial('https://127.0.0.1:${(proxy.address() as { port: number }).port}', { timeoutMs: 10000 }).then(
      () => process.exit(1),
      (error) => { console.log(error.message); process.exit(0) },
    )
  `
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'ca.pem') }
    const child = spawn(process.execPath, ['--input-type=module', '--eval', script], { env, timeout: 30_000 })
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
    await new Promise((resolve) => child.once('close', resolve))
    assert.match(said, /its certificate is not the one that it showed before/)
  },
)

test('certificates live for less than 14 days, and the one before counts until its end', async () => {
  const clock = new SimClock()
  const made: [number, number][] = []
  const certificates = new ShortCertificates(clock, async (notBeforeMs, notAfterMs) => {
    made.push([notBeforeMs, notAfterMs])
    return makeShortCertificate(notBeforeMs, notAfterMs)
  })
  const renewed: ShortCertificate[] = []
  const hash = ({ certificate }: ShortCertificate): string => hashOf(new X509Certificate(certificate).fingerprint256)
  const before = await certificates.begin(
    (next) => renewed.push(next),
    () => {},
  )
  clock.run(RENEW_MS)
  const next = await first(renewed)
  assert.ok(certificates.has(hash(before)) && certificates.has(hash(next)))
  assert.notEqual(hash(before), hash(next))
  clock.run(RENEW_MS)
  while (renewed.length < 2) await turn()
  clock.run(RENEW_MS)
  while (renewed.length < 3) await turn()
  assert.equal(certificates.has(hash(before)), false, 'its time is over')
  for (const [from, until] of made) assert.ok(until - from < 14 * DAY_MS)
  certificates.close()
})

test('a certificate that cannot be made is tried again, and said', async () => {
  const clock = new SimClock()
  let works = true
  const problems: unknown[] = []
  const renewed: ShortCertificate[] = []
  const certificates = new ShortCertificates(clock, async (from, until) => {
    if (!works) throw new Error('no entropy')
    return makeShortCertificate(from, until)
  })
  await certificates.begin(
    (next) => renewed.push(next),
    (error) => problems.push(error),
  )
  works = false
  clock.run(RENEW_MS)
  await first(problems)
  works = true
  clock.run(3_600_000)
  await first(renewed)
  certificates.close()
})

test('a connection goes on when the certificate changes, and the next one meets the new one', LIMIT, async (t) => {
  let now: (() => void) | null = null
  const clock: Clock = {
    ...realClock,
    after: (ms, action) => {
      if (ms !== RENEW_MS) return realClock.after(ms, action)
      now = action
      return { cancel: () => {} }
    },
  }
  const { listener, port, accepted } = await door(t, { clock })
  const client = dialler(OTHER, FIRST)
  const old = await client.dial(listener.address, DIAL)
  const before = await shownBy(port)
  const renew = now as unknown as () => void
  renew()
  while ((await shownBy(port)) === before) await turn()
  await carry(old, await first(accepted), 1_000_000)
  const next = await client.dial(listener.address, DIAL)
  while (accepted.length < 2) await turn()
  await carry(next, accepted[1] as Connection, 1_000_000)
  for (const connection of [old, next]) connection.destroy()
})

test(
  'D1, D5: much more than 16 KiB goes either way, and a reader that stops costs no more than its window',
  LIMIT,
  async (t) => {
    const { listener, accepted } = await door(t)
    for (const upwards of [true, false]) {
      const dialled = await dialler(OTHER, FIRST).dial(listener.address, DIAL)
      while (accepted.length === 0) await turn()
      const far = accepted.shift() as Connection
      await (upwards ? carry(dialled, far, 8_000_000) : carry(far, dialled, 8_000_000))
      dialled.destroy()
      far.destroy()
    }
    assert.equal(WINDOWS.initialSessionFlowControlWindow, WINDOWS.sessionFlowControlWindowSizeLimit)
  },
)

test(
  'D2, D4: only the side that dials opens a stream, one for each connection, and hundreds of them work',
  LIMIT,
  async (t) => {
    const { listener, accepted } = await door(t)
    const client = dialler(OTHER, FIRST)
    for (let count = 0; count < 120; count++) {
      const dialled = await client.dial(listener.address, DIAL)
      while (accepted.length === 0) await turn()
      const far = accepted.shift() as Connection
      await carry(far, dialled, 100)
      dialled.destroy()
      far.destroy()
    }
  },
)

test(
  'D3: the certificate of a session is looked at again, and one that cannot be seen is not taken',
  LIMIT,
  async (t) => {
    const { port } = await door(t)
    const library = await loadWebTransport()
    const hash = await shownBy(port)
    const session = new library.WebTransport(`https://127.0.0.1:${port}/sitelink/1`, {
      serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(hash, 'hex') }],
      forceReliable: true,
      ...WINDOWS,
    })
    await session.ready
    assert.equal(shownHash(session), hash)
    session.close()
    // As it would be if the library changed inside: no hash is equal to none.
    assert.equal(shownHash({} as WtSession), null)
  },
)

test('who hangs up early, at any step, neither ends the process nor leaves a descriptor', LIMIT, async (t) => {
  const { port, listener, accepted } = await door(t)
  const ends = { host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }
  const over = (socket: ReturnType<typeof connectTls> | ReturnType<typeof connectPlain>): Promise<void> =>
    new Promise((resolve) => socket.on('error', () => {}).once('close', () => resolve()))
  const round = async (): Promise<void> => {
    const gone: Promise<void>[] = []
    for (let count = 0; count < 10; count++) {
      const plain = connectPlain(port, '127.0.0.1', () => plain.destroy())
      const tls = connectTls(ends, () => tls.destroy())
      const ended = connectTls(ends, () => ended.end('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'))
      ended.resume()
      gone.push(over(plain), over(tls), over(ended))
      const http2 = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
      http2.on('error', () => {}).once('connect', () => http2.destroy())
      gone.push(new Promise((resolve) => http2.once('close', () => resolve())))
    }
    await Promise.all(gone)
  }
  await round()
  const before = readdirSync('/proc/self/fd').length
  for (let count = 0; count < 5; count++) await round()
  while (readdirSync('/proc/self/fd').length > before) await turn()
  const dialled = await dialler(OTHER, FIRST).dial(listener.address, DIAL)
  await carry(dialled, await first(accepted), 1000)
  dialled.destroy()
})

test('a process that has used WebTransport prints nothing, and ends by itself', LIMIT, async () => {
  const script = `
    import { HttpsTransport } from ${place('../../src/index.js')}
    import { realClock } from ${place('../support/clock.js')}
    import { FIRST, OTHER } from ${place('../support/identities.js')}
    import { knows } from ${place('../support/judges.js')}
    import { SeededRandom } from ${place('../support/random.js')}
    import { makeShortCertificate as makeCertificate } from ${place('../support/short-certificates.js')}
    const ends = { clock: realClock, random: new SeededRandom(1), quic: 'never' }
    const server = new HttpsTransport({ ...ends, identity: () => FIRST, judge: knows(OTHER), makeCertificate })
    const client = new HttpsTransport({ ...ends, identity: () => OTHER, judge: knows(FIRST) })
    const listener = await server.listen('https://127.0.0.1:0', (one) => one.attach({ data() {}, drained() {}, closed() {} }))
    const connection = await client.dial(listener.address, { timeoutMs: 10000 })
    connection.write([Buffer.alloc(20000000)])
    connection.attach({ data() {}, drained() {}, closed: async () => { await listener.close() } })
    setImmediate(() => connection.destroy())
  `
  const run = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    encoding: 'utf8',
    timeout: 30_000,
  })
  assert.deepEqual([run.status, run.signal, run.stdout, run.stderr], [0, null, '', ''])
})

test('something else behind the address is said to be that', LIMIT, async () => {
  await assert.rejects(dialler(OTHER, FIRST).dial('https://127.0.0.1:1', DIAL), (error: ProtocolError) => {
    assert.equal(error.code, 'DIAL_REFUSED')
    return true
  })
})

test('D8: the windows of HTTP/2 are raised at both ends', LIMIT, async (t) => {
  const library = await loadWebTransport()
  const { certificate, key } = await makeShortCertificate(Date.now() - 1000, Date.now() + DAY_MS)
  const server = new library.Http2Server({ host: '127.0.0.1', port: 0, secret: 'x', cert: certificate, privKey: key })
  const sessions = server.sessionStream('/sitelink/1').getReader()
  server.startServer()
  await server.ready
  t.after(() => server.stopServer())
  const below = http2ServerOf(server) as NonNullable<ReturnType<typeof http2ServerOf>>
  guardListening(below, { path: '/sitelink/1', clock: realClock, closed: () => false, refused: () => {} })
  const hash = new X509Certificate(certificate).fingerprint256
  const dialled = new library.WebTransport(`https://127.0.0.1:${server.address()?.port}/sitelink/1`, {
    serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(hashOf(hash), 'hex') }],
    forceReliable: true,
  })
  dialled.closed.catch(() => {})
  await dialled.ready
  widen(http2Of(dialled) as NonNullable<ReturnType<typeof http2Of>>)
  const { value } = await sessions.read()
  for (const session of [dialled, value as WtSession]) {
    session.closed.catch(() => {})
    assert.equal(http2Of(session)?.state.effectiveLocalWindowSize, 8 * 1024 * 1024)
  }
  for (const session of [dialled, value as WtSession]) endSession(session)
})

test(
  'D10: a session that is gone before its first ping ends neither the process nor is it pinged again',
  LIMIT,
  async (t) => {
    const library = await loadWebTransport()
    const { certificate, key } = await makeShortCertificate(Date.now() - 1000, Date.now() + DAY_MS)
    const options = { host: '127.0.0.1', port: 0, secret: 'x', cert: certificate, privKey: key, ...WINDOWS }
    const server = new library.Http2Server(options)
    server.startServer()
    await server.ready
    t.after(() => server.stopServer())
    const below = http2ServerOf(server)
    assert.ok(below !== null)
    const gone = connectHttp2('https://127.0.0.1:1', { rejectUnauthorized: false })
    gone.on('error', () => {})
    gone.destroy()
    assert.throws(() => below.emit('session', gone), /destroyed/, 'as the library does it by itself')
    Object.defineProperty(gone, 'closed', { value: true }) // else it would be pinged for ever
    guardListening(below, { path: '/sitelink/1', clock: realClock, closed: () => false, refused: () => {} })
    below.emit('session', gone)
    const late = connectHttp2('https://127.0.0.1:1', { rejectUnauthorized: false })
    late.on('error', () => {})
    const guard = guardDialled(late, realClock)
    guard.end()
    assert.equal(late.closed, true, 'at which the library stops')
    assert.equal(
      late.ping(() => {}),
      false,
    )
  },
)

/** Hash of the certificate that a port shows. */
function shownBy(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      resolve(hashOf(socket.getPeerX509Certificate()?.fingerprint256 ?? ''))
      socket.destroy()
    }).on('error', reject)
  })
}
