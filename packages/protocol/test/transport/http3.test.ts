/**
 * `https://` over HTTP/3: when it is used, when not and what is said then, and that nothing of it takes HTTP/2 with it.
 *
 * The library's native part is not to be had everywhere: a stand-in with its interface and its faults is in its place
 * (support/fake-http3.ts). The conformance suite runs over both.
 */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import {
  findHttp3,
  HTTP3_ANSWER_MS,
  HTTP3_PACKAGE,
  HTTP3_PATIENCE_MS,
  HTTP3_RETRY_MS,
  HttpsTransport,
  GATE_MS,
  type Clock,
  type Connection,
  type HttpsTransportOptions,
  type Listener,
  type ProtocolError,
  type QuicMode,
  type TlsIdentity,
  type TlsRefusal,
} from '../../src/index.js'
import { CreditedStream } from '../../src/transport/credited-stream.js'
import { HTTP3_HANGING_MAX } from '../../src/transport/http3-dial.js'
import { HTTP3_LISTEN_MS } from '../../src/transport/http3-listener.js'
import { HTTP3_LOAD_MS, whyMissing } from '../../src/transport/http3-library.js'
import { RENEW_MS } from '../../src/transport/short-certificate.js'
import { hashOf } from '../../src/transport/webtransport-library.js'
import { WebTransportByteStream } from '../../src/transport/webtransport-stream.js'
import { realClock } from '../support/clock.js'
import { fakeHttp3, type FakeHttp3 } from '../support/fake-http3.js'
import { FIRST, OTHER, STRANGER } from '../support/identities.js'
import { knows } from '../support/judges.js'
import { SEED, SeededRandom } from '../support/random.js'
import { makeShortCertificate } from '../support/short-certificates.js'

const DIAL = { timeoutMs: 10_000 }
const LIMIT = { timeout: 30_000 }
const random = new SeededRandom(SEED)

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function first<T>(list: readonly T[]): Promise<T> {
  while (list.length === 0) await turn()
  return list[0] as T
}

const has = (fake: FakeHttp3): Pick<HttpsTransportOptions, 'loadHttp3'> => ({ loadHttp3: async () => fake.library })
const hasNone: Pick<HttpsTransportOptions, 'loadHttp3'> = {
  loadHttp3: async () => {
    throw Object.assign(new Error(`Cannot find package '${HTTP3_PACKAGE}' imported from here`), {
      code: 'ERR_MODULE_NOT_FOUND',
    })
  },
}

/** A clock that fires timers of these lengths at once, those of `never` not at all, and is `aheadMs` ahead. */
function clockThat(at: { readonly once?: readonly number[]; readonly never?: readonly number[] }) {
  const clock = {
    ...realClock,
    aheadMs: 0,
    nowMs: () => realClock.nowMs() + clock.aheadMs,
    after: (ms: number, action: () => void) => {
      if (at.never?.includes(ms) === true) return { cancel: () => {} }
      return realClock.after(at.once?.includes(ms) === true ? 0 : ms, action)
    },
  }
  return clock
}

interface Door {
  readonly transport: HttpsTransport
  readonly listener: Listener
  readonly port: number
  readonly refusals: TlsRefusal[]
  readonly accepted: Connection[]
}

/** A listener of FIRST that knows OTHER. */
async function door(t: TestContext, options: Partial<HttpsTransportOptions>, host = '127.0.0.1'): Promise<Door> {
  const refusals: TlsRefusal[] = []
  const accepted: Connection[] = []
  const transport = new HttpsTransport({
    clock: realClock,
    random,
    identity: () => FIRST,
    judge: knows(OTHER),
    refused: (refusal) => refusals.push(refusal),
    makeCertificate: makeShortCertificate,
    ...options,
  })
  const listener = await transport.listen(`https://${host}:0`, (connection) => accepted.push(connection))
  t.after(async () => {
    for (const connection of accepted) connection.destroy()
    await listener.close()
  })
  return { transport, listener, port: Number(listener.address.split(':').at(-1)), refusals, accepted }
}

function dialler(options: Partial<HttpsTransportOptions>, known: TlsIdentity = FIRST): HttpsTransport {
  return new HttpsTransport({ clock: realClock, random, identity: () => OTHER, judge: knows(known), ...options })
}

/** Dials, looks at what carries it, and ends it. */
async function carried(by: HttpsTransport, address: string, quic?: QuicMode): Promise<Connection['carrier']> {
  const connection = await by.dial(address, { ...DIAL, ...(quic === undefined ? {} : { quic }) })
  connection.destroy()
  return connection.carrier
}

const http2 = (why: string) => ({ protocol: 'HTTP/2', why })
const HTTP3 = { protocol: 'HTTP/3', why: null }

test('auto goes over HTTP/3 where both sides have it, and both say so', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener, accepted } = await door(t, has(fake))
  assert.equal(listener.lacks, null)
  const connection = await dialler(has(fake)).dial(listener.address, DIAL)
  assert.deepEqual(connection.carrier, HTTP3)
  assert.match(connection.description, /^https over HTTP\/3 127\.0\.0\.1:/)
  const far = await first(accepted)
  assert.deepEqual(far.carrier, HTTP3)
  const heard = new Promise<string>((resolve) =>
    far.attach({ data: (chunk) => resolve(chunk.toString()), drained: () => {}, closed: () => {} }),
  )
  connection.write([Buffer.from('over QUIC')])
  assert.equal(await heard, 'over QUIC')
  connection.destroy()
  assert.deepEqual(fake.fatal, [])
})

test('without the library auto goes over HTTP/2 at once, and says which package is missing', LIMIT, async (t) => {
  const { listener } = await door(t, hasNone)
  assert.equal(listener.lacks, `HTTP/3 cannot be had: the package ${HTTP3_PACKAGE} is not installed`)
  assert.deepEqual(
    await carried(dialler(hasNone), listener.address),
    http2(`the package ${HTTP3_PACKAGE} is not installed`),
  )
})

test('where the other side has no HTTP/3, auto hears so from its host and does not wait', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener, port } = await door(t, hasNone)
  const client = dialler({ ...has(fake), clock: clockThat({ never: [HTTP3_ANSWER_MS] }) })
  assert.deepEqual(await carried(client, listener.address), http2(`nobody has UDP port ${port} there`))
  assert.deepEqual(fake.fatal, [])
})

test('where UDP is dropped, auto gives up in time, and tries it again a while later', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener } = await door(t, has(fake))
  const clock = clockThat({ once: [HTTP3_ANSWER_MS] })
  const client = dialler({ ...has(fake), clock })
  fake.lossy = true
  const silent = http2(`no answer over UDP within ${HTTP3_ANSWER_MS} ms`)
  assert.deepEqual(await carried(client, listener.address), silent)
  assert.deepEqual(await carried(client, listener.address), silent)
  assert.equal(fake.dials, 1, 'the second dial did not wait for it')
  fake.lossy = false
  clock.aheadMs = HTTP3_RETRY_MS
  const later = dialler({ ...has(fake) })
  assert.deepEqual(await carried(later, listener.address), HTTP3)
  await carried(client, listener.address)
  assert.equal(fake.dials, 3, 'it was tried again')
  assert.deepEqual(fake.fatal, [])
})

test('require refuses to dial and to listen without the library, before anything is sent', LIMIT, async (t) => {
  const client = dialler({ ...hasNone, quic: 'require' })
  const refused = (error: ProtocolError): boolean => {
    assert.equal(error.code, 'HTTP3_UNAVAILABLE')
    assert.match(error.message, /--quic require\), which cannot be had here: the package .* is not installed/)
    assert.match(error.hint ?? '', /--quic auto/)
    return true
  }
  await assert.rejects(client.dial('https://127.0.0.1:1', DIAL), refused)
  await assert.rejects(door(t, { ...hasNone, quic: 'require' }), refused)
})

test('require refuses a peer that does not answer over UDP, and never takes HTTP/2', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener, accepted } = await door(t, hasNone)
  await assert.rejects(carried(dialler(has(fake)), listener.address, 'require'), (error: ProtocolError) => {
    assert.equal(error.code, 'HTTP3_UNREACHABLE')
    assert.match(error.message, /nobody has UDP port \d+ there/)
    return true
  })
  assert.equal(accepted.length, 0)
})

test('never loads nothing, at either side', LIMIT, async (t) => {
  let loads = 0
  const counts = {
    loadHttp3: async () => {
      loads += 1
      return fakeHttp3().library
    },
    quic: 'never' as const,
  }
  const { listener } = await door(t, counts)
  assert.equal(listener.lacks, null, 'what is not wanted is not missing')
  assert.deepEqual(await carried(dialler(counts), listener.address), http2('it is not asked for (--quic never)'))
  assert.equal(loads, 0)
})

test('what is said at the dial goes before what the transport was made with', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener } = await door(t, has(fake))
  assert.equal((await carried(dialler(has(fake)), listener.address, 'never'))?.protocol, 'HTTP/2')
  assert.equal((await carried(dialler({ ...has(fake), quic: 'never' }), listener.address, 'auto'))?.protocol, 'HTTP/3')
})

test('a library that never finishes loading is given up', LIMIT, async () => {
  const found = await findHttp3(clockThat({ once: [HTTP3_LOAD_MS] }), () => new Promise(() => {}))
  assert.deepEqual(found, { kind: 'missing', why: `the package ${HTTP3_PACKAGE} did not load in ${HTTP3_LOAD_MS} ms` })
})

test('a library that loads slowly leaves a dial the time for HTTP/2', LIMIT, async (t) => {
  const { listener } = await door(t, hasNone)
  const client = dialler({ loadHttp3: () => new Promise(() => {}), clock: clockThat({ once: [HTTP3_LOAD_MS] }) })
  // As long as a primary gives a dial.
  const connection = await client.dial(listener.address, { timeoutMs: 5000 })
  connection.destroy()
  assert.deepEqual(connection.carrier, http2(`the package ${HTTP3_PACKAGE} did not load in ${HTTP3_LOAD_MS} ms`))
})

test('nobody waits a second time for a library that loads slowly, until it is there', LIMIT, async () => {
  let loads = 0
  let loaded!: (library: FakeHttp3['library']) => void
  const loading = new Promise<FakeHttp3['library']>((resolve) => (loaded = resolve))
  const load = (): typeof loading => {
    loads += 1
    return loading
  }
  assert.equal((await findHttp3(clockThat({ once: [HTTP3_LOAD_MS] }), load)).kind, 'missing')
  const patient = clockThat({ never: [HTTP3_LOAD_MS] })
  assert.match(JSON.stringify(await findHttp3(patient, load)), /did not load in/)
  assert.equal(loads, 1)
  loaded(fakeHttp3().library)
  await turn()
  assert.equal((await findHttp3(patient, load)).kind, 'loaded')
})

test(
  'the library of this host is found or said to be missing, and each way of missing has its words',
  LIMIT,
  async () => {
    const found = await findHttp3(realClock)
    if (found.kind === 'missing') assert.match(found.why, new RegExp(HTTP3_PACKAGE))
    else assert.equal(typeof found.library.Http3Server, 'function')
    const at = (code: string | undefined, said: string): string => whyMissing(Object.assign(new Error(said), { code }))
    assert.match(at('MODULE_NOT_FOUND', "Cannot find module '../build/Release/webtransport.node'"), /install script/)
    assert.match(at('MODULE_NOT_FOUND', `Cannot find module '${HTTP3_PACKAGE}'`), /is not installed$/)
    assert.match(at('MODULE_NOT_FOUND', "Cannot find module 'debug'"), /does not load: Cannot find module 'debug'$/)
    assert.match(at('ERR_DLOPEN_FAILED', 'wrong ELF class\nmore'), /does not load: wrong ELF class$/)
  },
)

test('a server of HTTP/3 that never says that it listens leaves HTTP/2 as it is', LIMIT, async (t) => {
  const fake = fakeHttp3()
  fake.mute = true
  const { listener } = await door(t, { ...has(fake), clock: clockThat({ once: [HTTP3_LISTEN_MS] }) })
  assert.match(listener.lacks ?? '', /^HTTP\/3 cannot listen: the library did not say within \d+ ms/)
  assert.equal((await carried(dialler(has(fake)), listener.address))?.protocol, 'HTTP/2')
})

test(
  'a UDP port that somebody else has leaves HTTP/2 as it is; with require, nothing is listened on',
  LIMIT,
  async (t) => {
    const fake = fakeHttp3()
    // Whatever port TCP gets, that of UDP is taken in the moment before.
    const Http3Server = class extends fake.library.Http3Server {
      readonly #port: number
      constructor(options: object) {
        super(options)
        this.#port = (options as { readonly port: number }).port
      }
      override startServer(): void {
        const other = createSocket('udp4').bind(this.#port, '127.0.0.1', () => super.startServer())
        t.after(() => other.close())
      }
    }
    const with3 = { loadHttp3: async () => ({ WebTransport: fake.library.WebTransport, Http3Server }) }
    const { listener } = await door(t, with3)
    assert.match(listener.lacks ?? '', /^HTTP\/3 cannot listen: .*EADDRINUSE/)
    assert.equal((await carried(dialler({ quic: 'never' }), listener.address))?.protocol, 'HTTP/2')
    await assert.rejects(door(t, { ...with3, quic: 'require' }), { code: 'LISTEN_IN_USE' })
  },
)

test('with require a listener takes nobody over HTTP/2: TCP shows the certificate and ends', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener, accepted, port } = await door(t, { ...has(fake), quic: 'require' })
  await assert.rejects(carried(dialler({ quic: 'never' }), listener.address))
  assert.equal(accepted.length, 0)
  assert.match(await shownBy(port), /^[0-9a-f]{64}$/)
  assert.deepEqual(await carried(dialler(has(fake)), listener.address, 'require'), HTTP3)
})

test('a wrong identity over HTTP/3 is refused at both ends, and not asked again over HTTP/2', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener, refusals, accepted } = await door(t, has(fake))
  await assert.rejects(carried(dialler(has(fake), STRANGER), listener.address), { code: 'TLS_WRONG_KEY' })
  assert.match((await first(refusals)).why, /refuses the identity of this side/)
  const unknown = dialler({ ...has(fake), identity: () => STRANGER })
  await assert.rejects(carried(unknown, listener.address), { code: 'TLS_NOT_KNOWN' })
  while (refusals.length < 2) await turn()
  assert.equal(refusals[1]?.key, STRANGER.fingerprint)
  assert.equal(accepted.length, 0)
  await assert.rejects(carried(unknown, listener.address), { code: 'TLS_NOT_KNOWN' })
  assert.equal(fake.dials, 3, 'nor at the next dial')
})

test('a hash that is not of this listener is turned away over HTTP/3 before anything is said', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { port, refusals, accepted } = await door(t, has(fake))
  const session = new fake.library.WebTransport(`https://127.0.0.1:${port}/sitelink/1`, {
    serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(await shownBy(port), 'hex') }],
    requireUnreliable: true,
    quicConnectTimeout: 1000,
  })
  await session.ready
  const made = await session.createBidirectionalStream()
  const stream = new CreditedStream(new WebTransportByteStream(session, made, () => {}))
  await stream.write(Buffer.alloc(100, 9))
  await assert.rejects(stream.read())
  assert.match((await first(refusals)).why, /has met another certificate/)
  assert.equal(accepted.length, 0)
})

test('a stranger who opens a session over HTTP/3 and says nothing is cut off', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const gates: (() => void)[] = []
  const clock: Clock = {
    ...realClock,
    after: (ms, action) => {
      if (ms === GATE_MS) gates.push(action)
      return ms === GATE_MS ? { cancel: () => {} } : realClock.after(ms, action)
    },
  }
  const { port, refusals } = await door(t, { ...has(fake), clock })
  const session = new fake.library.WebTransport(`https://127.0.0.1:${port}/sitelink/1`, {
    serverCertificateHashes: [{ algorithm: 'sha-256', value: Buffer.from(await shownBy(port), 'hex') }],
    requireUnreliable: true,
    quicConnectTimeout: 1000,
  })
  await session.ready
  const before = gates.length
  while (gates.length === before && before < 2) await turn()
  gates.at(-1)?.()
  await session.closed
  assert.match((await first(refusals)).why, /had not shown within/)
})

test('the connections of a revoked key end at once, over HTTP/3 as well', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { transport, listener, accepted } = await door(t, has(fake))
  const one = await dialler(has(fake)).dial(listener.address, DIAL)
  const gone = new Promise<void>((resolve) =>
    one.attach({ data: () => {}, drained: () => {}, closed: () => resolve() }),
  )
  await first(accepted)
  assert.equal(transport.endPeer(OTHER.fingerprint, 'it was revoked'), 1)
  await gone
})

test(
  'the library gets addresses of IPv4 alone: names are resolved before, and IPv6 goes over HTTP/2',
  LIMIT,
  async (t) => {
    const fake = fakeHttp3()
    const near = await door(t, has(fake))
    assert.deepEqual(await carried(dialler(has(fake)), `https://localhost:${near.port}`), HTTP3)
    await assert.rejects(carried(dialler(has(fake)), 'https://nowhere.invalid:7373'), { code: 'DIAL_UNKNOWN_HOST' })
    let far: Door
    try {
      far = await door(t, has(fake), '[::1]')
    } catch {
      return assert.deepEqual(fake.fatal, []) // this host has no IPv6
    }
    assert.match(far.listener.lacks ?? '', /::1 has no IPv4 address/)
    const carrier = await carried(dialler(has(fake)), far.listener.address)
    assert.deepEqual(carrier, http2('::1 has no IPv4 address, and HTTP/3 goes over no other'))
    assert.deepEqual(fake.fatal, [])
  },
)

test(
  'a dial that is given up does not end a session that is not ready, and one that comes late is ended',
  LIMIT,
  async (t) => {
    const fake = fakeHttp3()
    // Nobody else ends it.
    const { listener, accepted } = await door(t, { ...has(fake), clock: clockThat({ never: [GATE_MS] }) })
    const { library } = fake
    const abort = new AbortController()
    let opened: Promise<unknown> | null = null
    const late = {
      loadHttp3: async () => ({
        Http3Server: library.Http3Server,
        WebTransport: class extends library.WebTransport {
          constructor(url: string, options: object) {
            super(url, options)
            opened = this.closed
            abort.abort()
          }
        },
      }),
    }
    const dial = dialler(late).dial(listener.address, { ...DIAL, signal: abort.signal })
    await assert.rejects(dial, { code: 'DIAL_ABORTED' })
    await opened
    assert.deepEqual(fake.fatal, [])
    assert.equal(accepted.length, 0)
  },
)

test('a library that takes HTTP/2 by itself is not believed', LIMIT, async (t) => {
  const fake = fakeHttp3()
  fake.stepsAside = true
  const { listener } = await door(t, has(fake))
  await assert.rejects(carried(dialler(has(fake)), listener.address, 'require'), { code: 'HTTP3_UNREACHABLE' })
  assert.deepEqual(await carried(dialler(has(fake)), listener.address), http2('the library took HTTP/2 by itself'))
})

test('sessions that neither open nor fail are few in a process, and count no more once they end', LIMIT, async (t) => {
  const fake = fakeHttp3()
  const { listener } = await door(t, has(fake))
  const hung: ((error: Error) => void)[] = []
  const hangs = class {
    readonly ready = new Promise((_resolve, reject) => hung.push(reject))
    readonly closed = new Promise(() => {})
  }
  const loadHttp3 = async () => ({ Http3Server: fake.library.Http3Server, WebTransport: hangs as never })
  const dial = async (): Promise<string> => {
    const client = dialler({ loadHttp3, clock: clockThat({ once: [HTTP3_ANSWER_MS] }) })
    return (await carried(client, listener.address))?.why ?? ''
  }
  for (let count = 0; count < HTTP3_HANGING_MAX; count++) assert.match(await dial(), /^no answer over UDP/)
  assert.equal(await dial(), 'earlier sessions still hang')
  assert.equal(hung.length, HTTP3_HANGING_MAX)
  for (const fail of hung) fail(new Error('it is over'))
  assert.match(await dial(), /^no answer over UDP/)
  hung.at(-1)?.(new Error('it is over'))
  await turn()
  assert.deepEqual(await carried(dialler(has(fake)), listener.address), HTTP3)
})

test('HTTP/3 that opens and then carries nothing is left alone at the next dial', LIMIT, async (t) => {
  const fake = fakeHttp3()
  fake.swallows = true
  const { listener } = await door(t, has(fake))
  const client = dialler(has(fake))
  const swallowed = client.dial(listener.address, { timeoutMs: 500 })
  await assert.rejects(swallowed, { code: 'DIAL_TIMEOUT' })
  const carrier = await carried(client, listener.address)
  assert.equal(carrier?.protocol, 'HTTP/2')
  assert.match(carrier?.why ?? '', /^it opened and broke off: /)
})

test(
  'where HTTP/3 was there and begins anew, auto waits for it and comes back over it, in one dial',
  LIMIT,
  async (t) => {
    const fake = fakeHttp3()
    const { listener } = await door(t, has(fake))
    const client = dialler({ ...has(fake), clock: clockThat({ once: [HTTP3_ANSWER_MS] }) })
    assert.deepEqual(await carried(client, listener.address), HTTP3)
    fake.lossy = true
    let over = false
    const dialling = carried(client, listener.address).finally(() => (over = true))
    while (fake.dials < 3 && !over) await turn()
    fake.lossy = false
    assert.deepEqual(await dialling, HTTP3)
    assert.deepEqual(fake.fatal, [])
  },
)

test(
  'where HTTP/3 was there and does not come back, auto gives it up in time, and is not asked again at once',
  LIMIT,
  async (t) => {
    const fake = fakeHttp3()
    const { listener } = await door(t, has(fake))
    const clock = clockThat({ once: [HTTP3_ANSWER_MS] })
    const client = dialler({ ...has(fake), clock })
    assert.deepEqual(await carried(client, listener.address), HTTP3)
    fake.lossy = true
    let over = false
    const dialling = carried(client, listener.address).finally(() => (over = true))
    while (fake.dials < 3 && !over) await turn()
    clock.aheadMs = HTTP3_PATIENCE_MS
    const silent = http2(`no answer over UDP within ${HTTP3_ANSWER_MS} ms`)
    assert.deepEqual(await dialling, silent)
    const { dials } = fake
    assert.deepEqual(await carried(client, listener.address), silent)
    assert.equal(fake.dials, dials, 'the next dial did not wait for it')
  },
)

test(
  'HTTP/3 that was there, opens and then carries nothing, is tried once more before it is left alone',
  LIMIT,
  async (t) => {
    const fake = fakeHttp3()
    const { listener } = await door(t, has(fake))
    const clock = clockThat({})
    const client = dialler({ ...has(fake), clock })
    assert.deepEqual(await carried(client, listener.address), HTTP3)
    fake.swallows = true
    const swallowed = (): Promise<Connection> => client.dial(listener.address, { timeoutMs: 1000 })
    await assert.rejects(swallowed(), { code: 'DIAL_TIMEOUT' })
    fake.swallows = false
    assert.deepEqual(await carried(client, listener.address), HTTP3)
    fake.swallows = true
    await assert.rejects(swallowed(), { code: 'DIAL_TIMEOUT' })
    clock.aheadMs = HTTP3_PATIENCE_MS
    await assert.rejects(swallowed(), { code: 'DIAL_TIMEOUT' })
    assert.equal((await carried(client, listener.address))?.protocol, 'HTTP/2')
  },
)

test('the next certificate is shown over HTTP/3 as well: sessions end, and come back by it', LIMIT, async (t) => {
  const fake = fakeHttp3()
  let renew: (() => void) | null = null
  const clock: Clock = {
    ...realClock,
    after: (ms, action) => {
      if (ms !== RENEW_MS) return realClock.after(ms, action)
      renew = action
      return { cancel: () => {} }
    },
  }
  const { listener, port, accepted } = await door(t, { ...has(fake), clock })
  const client = dialler({ ...has(fake), quic: 'require' })
  const old = await client.dial(listener.address, DIAL)
  const gone = new Promise<void>((resolve) =>
    old.attach({ data: () => {}, drained: () => {}, closed: () => resolve() }),
  )
  await first(accepted)
  const before = await shownBy(port)
  ;(renew as unknown as () => void)()
  await gone
  while ((await shownBy(port)) === before) await turn()
  for (;;) {
    // Between the old server and the new one there is a moment without either.
    const again = await client.dial(listener.address, DIAL).catch((error: ProtocolError) => error)
    if (again instanceof Error) assert.equal(again.code, 'HTTP3_UNREACHABLE')
    else {
      assert.deepEqual(again.carrier, HTTP3)
      again.destroy()
      break
    }
  }
  assert.equal(listener.lacks, null)
})

/** Hash of the certificate that a port shows over TCP. */
function shownBy(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      resolve(hashOf(socket.getPeerX509Certificate()?.fingerprint256 ?? ''))
      socket.destroy()
    }).on('error', reject)
  })
}
