/**
 * What TLS has beyond other transports: who is let in, who is turned away and what each of them learns, and that
 * strangers cost nothing that lasts.
 */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { connect as connectPlain, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import {
  connect as connectTls,
  createServer as createTlsServer,
  type ConnectionOptions,
  type TLSSocket,
} from 'node:tls'
import {
  GATES_MAX,
  GATE_MS,
  TcpTransport,
  TlsTransport,
  type Connection,
  type Listener,
  type ProtocolError,
  type TlsIdentity,
  type TlsRefusal,
} from '../../src/index.js'
import { realClock, SimClock } from '../support/clock.js'
import { FIRST, FORGED, OTHER, SECOND, STRANGER, THIRD } from '../support/identities.js'
import { knows } from '../support/judges.js'

const DIAL = { timeoutMs: 10_000 }
const LIMIT = { timeout: 60_000 }

interface Door {
  readonly transport: TlsTransport
  readonly listener: Listener
  readonly port: number
  readonly refusals: TlsRefusal[]
  readonly accepted: Connection[]
  /** Resolves with the next refusal, or one that was not asked for yet. */
  refusal(): Promise<TlsRefusal>
}

/** A listener of FIRST that knows OTHER. */
async function door(
  t: TestContext,
  options: { identity?: TlsIdentity; clock?: SimClock; enrol?: (connection: Connection) => void } = {},
): Promise<Door> {
  const refusals: TlsRefusal[] = []
  const accepted: Connection[] = []
  const asked: ((refusal: TlsRefusal) => void)[] = []
  const unasked: TlsRefusal[] = []
  const transport = new TlsTransport({
    clock: options.clock ?? realClock,
    identity: () => options.identity ?? FIRST,
    judge: knows(OTHER),
    ...(options.enrol === undefined ? {} : { enrol: options.enrol }),
    refused: (refusal) => {
      refusals.push(refusal)
      const next = asked.shift()
      if (next === undefined) unasked.push(refusal)
      else next(refusal)
    },
  })
  const listener = await transport.listen('tls://127.0.0.1:0', (connection) => {
    accepted.push(connection)
    connection.attach({ data: () => {}, drained: () => {}, closed: () => {} })
  })
  t.after(async () => {
    transport.endAll('the test is over')
    await listener.close()
  })
  const refusal = (): Promise<TlsRefusal> => {
    const kept = unasked.shift()
    return kept === undefined ? new Promise((resolve) => asked.push(resolve)) : Promise.resolve(kept)
  }
  const port = Number(listener.address.slice(listener.address.lastIndexOf(':') + 1))
  return { transport, listener, port, refusals, accepted, refusal }
}

function dialler(identity: TlsIdentity, ...known: TlsIdentity[]): TlsTransport {
  return new TlsTransport({ clock: realClock, identity: () => identity, judge: knows(...known) })
}

/** The raw end of somebody who is no peer: all that it is sent, until the end. */
function everythingFrom(socket: Socket | TLSSocket): Promise<Buffer> {
  const chunks: Buffer[] = []
  return new Promise((resolve) => {
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', () => {})
    socket.on('close', () => resolve(Buffer.concat(chunks)))
  })
}

function rawTls(port: number, options: ConnectionOptions = {}): TLSSocket {
  return connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['sitelink/1'], ...options })
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** The connection that the listener has handed on: it may learn of it later than the one who dialled. */
async function handedOn({ accepted }: Door): Promise<Connection> {
  while (accepted.length === 0) await turn()
  return accepted[0] as Connection
}

const fails = (code: string, says: RegExp) => (error: ProtocolError) => {
  assert.equal(error.code, code, error.message)
  assert.match(error.message, says)
  assert.doesNotMatch(error.message, /\n/)
  return true
}

test(
  'a key that nobody knows is refused with a sentence at both ends, and nothing of it is handed on',
  LIMIT,
  async (t) => {
    const { listener, refusal, accepted } = await door(t)
    await assert.rejects(
      dialler(STRANGER, FIRST).dial(listener.address, DIAL),
      fails('TLS_NOT_KNOWN', new RegExp(`refused the identity ${STRANGER.fingerprint.slice(0, 16)} of this side`)),
    )
    const { key, why, remote } = await refusal()
    assert.equal(key, STRANGER.fingerprint)
    assert.match(why, /nobody knows its key/)
    assert.match(remote, /^127\.0\.0\.1:\d+$/)
    assert.equal(accepted.length, 0)
  },
)

test('a listener with another key is refused before anything is said to it, and hears so', LIMIT, async (t) => {
  const { listener, refusal, accepted } = await door(t)
  await assert.rejects(
    dialler(OTHER, STRANGER).dial(listener.address, DIAL),
    fails('TLS_WRONG_KEY', new RegExp(`shows the identity ${FIRST.fingerprint.slice(0, 16)}, nobody knows`)),
  )
  assert.match((await refusal()).why, /refuses the identity of this side/)
  assert.equal(accepted.length, 0)
})

test('what a stranger learns is the TLS handshake, the certificate and one constant of 8 bytes', LIMIT, async (t) => {
  const { port, refusal, accepted } = await door(t)
  const learnt: Buffer[] = []
  for (const identity of [STRANGER, FIRST, undefined]) {
    const options = identity === undefined ? {} : { key: identity.key, cert: identity.certificates }
    const socket = rawTls(port, options)
    const all = everythingFrom(socket)
    await new Promise((resolve) => socket.once('secureConnect', resolve))
    assert.equal(socket.getProtocol(), 'TLSv1.3')
    assert.equal(socket.getPeerX509Certificate()?.toString(), FIRST.certificates)
    socket.write(Buffer.alloc(100_000, 'let me in'))
    learnt.push(await all)
    await refusal()
  }
  for (const bytes of learnt) assert.equal(bytes.toString(), 'SLTLS:no')
  const { subject, issuer, subjectAltName } = new X509Certificate(FIRST.certificates)
  const name = `CN=sitelink ${FIRST.fingerprint.slice(0, 32)}`
  assert.deepEqual([subject, issuer, subjectAltName], [name, name, undefined])
  assert.equal(accepted.length, 0)
})

test('one that names no protocol of ours gets nothing at all', LIMIT, async (t) => {
  const { port, refusal } = await door(t)
  const { key, certificates: cert } = OTHER
  const none = rawTls(port, { ALPNProtocols: [], key, cert })
  assert.equal((await everythingFrom(none)).length, 0)
  assert.match((await refusal()).why, /no protocol of Sitelink/)
  for (const name of ['h2', 'sitelink-enrol/1']) {
    const other = rawTls(port, { ALPNProtocols: [name], key, cert })
    assert.equal((await everythingFrom(other)).length, 0)
    assert.match((await refusal()).why, /no protocol of Sitelink/)
  }
})

test('TLS 1.2 is refused by either side, whatever key it comes with', LIMIT, async (t) => {
  const { port, refusal, accepted } = await door(t)
  const { key, certificates: cert } = OTHER
  const old = rawTls(port, { maxVersion: 'TLSv1.2', key, cert })
  assert.equal((await everythingFrom(old)).length, 0)
  assert.match((await refusal()).why, /no TLS 1\.3/)
  assert.equal(accepted.length, 0)

  const server = createTlsServer({ key: FIRST.key, cert: FIRST.certificates, maxVersion: 'TLSv1.2' })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = `tls://127.0.0.1:${(server.address() as { port: number }).port}`
  await assert.rejects(dialler(OTHER, FIRST).dial(address, DIAL), fails('TLS_OLD_PEER', /offers no TLS 1\.3/))
})

test('a plain connection to a TLS port gets a TLS alert, and is told of', LIMIT, async (t) => {
  const { port, refusal } = await door(t)
  for (const first of ['SLNK and more', 'GET / HTTP/1.1\r\n\r\n', '\0'.repeat(5)]) {
    const socket = connectPlain(port, '127.0.0.1')
    const all = everythingFrom(socket)
    socket.write(first)
    assert.deepEqual([...(await all)], [0x15, 3, 3, 0, 2, 2, 70])
    assert.match((await refusal()).why, /speaks no TLS/)
  }
})

test(
  'who goes away in the middle of the handshake is told of, who comes and goes without a word is not',
  LIMIT,
  async (t) => {
    const { port, refusal, refusals } = await door(t)
    const silent = connectPlain(port, '127.0.0.1')
    silent.end()
    await everythingFrom(silent)
    const half = connectPlain(port, '127.0.0.1')
    half.end(Buffer.from([0x16, 3, 1, 2, 0]))
    const { why, remote } = await refusal()
    assert.match(why, /went away in the middle/)
    assert.match(remote, /^127\.0\.0\.1:\d+$/)
    await everythingFrom(half)
    assert.equal(refusals.length, 1)
  },
)

test('who came to enrol and has its answer is reported by nobody', LIMIT, async (t) => {
  let gone!: () => void
  const answered = new Promise<void>((resolve) => (gone = resolve))
  const { listener, refusals, refusal, port } = await door(t, {
    enrol: (connection) => {
      connection.attach({ data: () => {}, drained: () => {}, closed: gone })
      connection.close()
    },
  })
  const { connection } = await dialler(OTHER, FIRST).dialFor('enrol', listener.address, DIAL)
  await new Promise<void>((resolve) =>
    connection.attach({ data: () => {}, drained: () => {}, closed: () => resolve() }),
  )
  await answered
  const plain = connectPlain(port, '127.0.0.1')
  plain.write('SLNK and more')
  await everythingFrom(plain)
  assert.match((await refusal()).why, /speaks no TLS/)
  assert.equal(refusals.length, 1)
})

test('TLS to a plain port is said to be that', LIMIT, async (t) => {
  const tcp = new TcpTransport({ clock: realClock })
  const listener = await tcp.listen('tcp://127.0.0.1:0', (connection) => {
    connection.attach({ data: () => {}, drained: () => {}, closed: () => {} })
    connection.write([Buffer.from('SLNK and more')])
  })
  t.after(() => listener.close())
  const address = listener.address.replace('tcp:', 'tls:')
  await assert.rejects(dialler(OTHER, FIRST).dial(address, DIAL), fails('TLS_PLAIN_PEER', /does not speak TLS/))
})

test('something else behind TLS is said to be that', LIMIT, async (t) => {
  const server = createTlsServer({ key: FIRST.key, cert: FIRST.certificates, ALPNProtocols: ['h2'] })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => server.close())
  const address = `tls://127.0.0.1:${(server.address() as { port: number }).port}`
  await assert.rejects(dialler(OTHER, FIRST).dial(address, DIAL), fails('TLS_OTHER_PROGRAM', /no protocol of Sitelink/))
})

test('a key is followed through its successors, newest first, at both ends', LIMIT, async (t) => {
  for (const identity of [SECOND, THIRD]) {
    const at = await door(t, { identity })
    const { connection, peer } = await dialler(OTHER, FIRST).dialFor('session', at.listener.address, DIAL)
    const chain = [THIRD, SECOND, FIRST].map(({ fingerprint }) => fingerprint)
    assert.deepEqual(peer.keys, identity === THIRD ? chain : chain.slice(1))
    await handedOn(at)
    connection.destroy()
  }
})

test('an older key does not stand in for its successor', LIMIT, async (t) => {
  const { listener } = await door(t, { identity: FIRST })
  await assert.rejects(dialler(OTHER, SECOND).dial(listener.address, DIAL), { code: 'TLS_WRONG_KEY' })
})

test('a successor that the key it names has not signed proves nothing', LIMIT, async (t) => {
  const { listener, accepted } = await door(t, { identity: FORGED })
  await assert.rejects(dialler(OTHER, FIRST).dial(listener.address, DIAL), { code: 'TLS_WRONG_KEY' })
  const honest = await door(t)
  await assert.rejects(dialler(FORGED, FIRST).dial(honest.listener.address, DIAL), { code: 'TLS_NOT_KNOWN' })
  assert.deepEqual((await honest.refusal()).key, FORGED.fingerprint)
  assert.equal(accepted.length, 0)
})

test('a certificate that only stands beside another proves nothing', LIMIT, async (t) => {
  const identity = { ...STRANGER, certificates: STRANGER.certificates + FIRST.certificates }
  const { listener } = await door(t, { identity })
  await assert.rejects(dialler(OTHER, FIRST).dial(listener.address, DIAL), { code: 'TLS_WRONG_KEY' })
})

test('another identity counts from the next connection on', LIMIT, async (t) => {
  let identity = FIRST
  const transport = new TlsTransport({ clock: realClock, identity: () => identity, judge: knows(OTHER) })
  const listener = await transport.listen('tls://127.0.0.1:0', () => {})
  t.after(() => listener.close())
  const met = async (): Promise<string | undefined> => {
    const { connection, peer } = await dialler(OTHER, FIRST).dialFor('session', listener.address, DIAL)
    connection.destroy()
    return peer.keys[0]
  }
  assert.equal(await met(), FIRST.fingerprint)
  identity = SECOND
  assert.equal(await met(), SECOND.fingerprint)
  transport.endAll('the test is over')
})

test('the connections of one key are ended at once, and of no other', LIMIT, async (t) => {
  const transport = new TlsTransport({ clock: realClock, identity: () => FIRST, judge: knows(OTHER, STRANGER) })
  const listener = await transport.listen('tls://127.0.0.1:0', (connection) =>
    connection.attach({ data: () => {}, drained: () => {}, closed: () => {} }),
  )
  t.after(() => {
    transport.endAll('the test is over')
    return listener.close()
  })
  const ended = new Set<string>()
  const [one, two] = [
    await dialler(OTHER, FIRST).dial(listener.address, DIAL),
    await dialler(STRANGER, FIRST).dial(listener.address, DIAL),
  ]
  const oneEnded = new Promise<void>((resolve) =>
    one.attach({ data: () => {}, drained: () => {}, closed: () => (ended.add('one'), resolve()) }),
  )
  two.attach({ data: () => {}, drained: () => {}, closed: () => ended.add('two') })
  assert.equal(transport.endPeer(OTHER.fingerprint, 'it was revoked'), 1)
  await oneEnded
  assert.deepEqual([...ended], ['one'])
  assert.equal(transport.endAll('the test is over'), 1)
})

test('whoever has not shown who it is within its time is cut off', LIMIT, async (t) => {
  const clock = new SimClock()
  const { port, refusal } = await door(t, { clock })
  const silent = connectPlain(port, '127.0.0.1')
  const half = connectPlain(port, '127.0.0.1')
  const all = [everythingFrom(silent), everythingFrom(half)]
  half.write(Buffer.from([0x16, 3, 1, 2, 0]))
  // Both have been accepted once a third, which came after them, was answered.
  const third = connectPlain(port, '127.0.0.1')
  const answered = everythingFrom(third)
  third.write('SLNK and more')
  await answered
  await refusal()
  clock.run(GATE_MS)
  await Promise.all(all)
  for (let count = 0; count < 2; count++) assert.match((await refusal()).why, new RegExp(`within ${GATE_MS} ms`))
})

test(
  'some hundred bad handshakes leave no descriptor behind, and the connection that lives is not disturbed',
  LIMIT,
  async (t) => {
    const at = await door(t)
    const { port, listener, refusals, accepted } = at
    const live = await dialler(OTHER, FIRST).dial(listener.address, DIAL)
    let echoed = 0
    let liveEnded = false
    live.attach({ data: (chunk) => (echoed += chunk.length), drained: () => {}, closed: () => (liveEnded = true) })
    const { readdirSync } = await import('node:fs')
    const descriptors = (): number => readdirSync('/proc/self/fd').length
    const before = descriptors()
    const hello = await firstFlight()
    let seed = 1
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below
    const bad = (index: number): Promise<Buffer> => {
      if (index % 10 === 0) return everythingFrom(rawTls(port, { key: STRANGER.key, cert: STRANGER.certificates }))
      const socket = connectPlain(port, '127.0.0.1')
      const all = everythingFrom(socket)
      const bytes = Buffer.from(hello)
      for (let flips = 0; flips < 1 + (index % 5); flips++) bytes[random(bytes.length)] = random(256)
      socket.end(index % 3 === 0 ? bytes.subarray(0, 1 + random(bytes.length)) : bytes)
      return all
    }
    for (let round = 0; round < 12; round++) {
      await Promise.all(Array.from({ length: 30 }, (_, index) => bad(round * 30 + index)))
      ;(await handedOn(at)).write([Buffer.alloc(1000)])
    }
    // The ends that we hold are gone; those of the listener follow by events of their own.
    while (descriptors() > before || echoed < 12_000) await turn()
    assert.equal(liveEnded, false)
    assert.equal(accepted.length, 1, 'nobody else was let in')
    assert.ok(refusals.length >= 36, `${refusals.length} refusals were told`)
    live.destroy()
  },
)

test(`more than ${GATES_MAX} that wait at once push out those who came first`, LIMIT, async (t) => {
  const { port, refusal } = await door(t)
  const sockets = Array.from({ length: GATES_MAX + 3 }, () => connectPlain(port, '127.0.0.1'))
  for (const socket of sockets) socket.on('error', () => {})
  for (let count = 0; count < 3; count++) assert.match((await refusal()).why, /wait to be known/)
  for (const socket of sockets) socket.destroy()
})

test('nothing of what is sent can be read on the way, and no bit of it can be changed', LIMIT, async (t) => {
  const at = await door(t)
  const { listener, port } = at
  const marker = 'a marker that stands in plain text '
  const seen: Buffer[] = []
  let flip = false
  const proxy = createServer((near) => {
    const far = connectPlain(port, '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('data', (chunk: Buffer) => {
        seen.push(Buffer.from(chunk))
        const at = chunk.length - 1
        if (flip) chunk[at] = (chunk[at] as number) ^ 1
        to.write(chunk)
      })
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  t.after(() => proxy.close())
  const dialled = await dialler(OTHER, FIRST).dial(
    `tls://127.0.0.1:${(proxy.address() as { port: number }).port}`,
    DIAL,
  )
  let received = ''
  const ended = new Promise<void>((resolve) =>
    dialled.attach({ data: (chunk) => (received += chunk.toString()), drained: () => {}, closed: () => resolve() }),
  )
  const text = marker.repeat(1000)
  const far = await handedOn(at)
  far.write([Buffer.from(text)])
  while (received.length < text.length) await turn()
  assert.equal(received, text)
  const wire = Buffer.concat(seen)
  assert.ok(wire.length > text.length)
  assert.equal(wire.includes('marker'), false)
  assert.equal(wire.includes('sitelink 5'), false, 'not even the certificate')
  flip = true
  far.write([Buffer.from(marker)])
  await ended
  assert.equal(received, text)
  await listener.close()
})

/** The bytes with which a TLS 1.3 handshake begins. */
function firstFlight(): Promise<Buffer> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.once('data', (chunk: Buffer) => {
        resolve(chunk)
        socket.destroy()
        server.close()
      })
    }).listen(0, '127.0.0.1', () => {
      const socket = rawTls((server.address() as { port: number }).port)
      socket.on('error', () => {})
    })
  })
}

test('a key that is revoked while its verdict is waited for ends the dial', async (t) => {
  let judging = false
  let verdict = (): void => {}
  const asked = new Promise<void>((resolve) => (verdict = resolve))
  const slow = new TlsTransport({
    clock: realClock,
    identity: () => FIRST,
    judge: async () => {
      judging = true
      await asked
      return { kind: 'known' }
    },
  })
  const listener = await slow.listen('tls://127.0.0.1:0', () => {})
  t.after(() => listener.close())
  const client = dialler(OTHER, FIRST)
  const dial = client.dial(listener.address, { timeoutMs: 10_000 })
  dial.catch(() => {})
  while (!judging) await turn()
  assert.equal(client.endPeer(FIRST.fingerprint, 'it was revoked'), 1)
  await assert.rejects(dial)
  verdict()
})
