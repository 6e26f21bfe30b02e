/**
 * What QUIC has beyond other transports: identities that are proven over it, who is turned away and how, the library that
 * may be missing, and that nothing native is left behind.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { readdirSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import {
  askToEnrol,
  answerEnrolment,
  loadQuic,
  quicProblem,
  QuicTransport,
  Session,
  type Connection,
  type Invitation,
  type Listener,
  type ProtocolError,
  type QuicTransportOptions,
  type SessionEnd,
  type ShownPeer,
  type TlsIdentity,
  type TlsRefusal,
} from '../../src/index.js'
import { realClock } from '../support/clock.js'
import { FIRST, FORGED, OTHER, SECOND, STRANGER, THIRD } from '../support/identities.js'
import { knows } from '../support/judges.js'
import { SEED, SeededRandom } from '../support/random.js'

const DIAL = { timeoutMs: 10_000 }
const LIMIT = { timeout: 60_000 }
const problem = quicProblem()
const random = new SeededRandom(SEED)
const quiet = { data: () => {}, drained: () => {}, closed: () => {} }

/** A test that needs the library. */
function quicTest(claim: string, body: (t: TestContext) => Promise<void>): void {
  test(claim, LIMIT, async (t) => (problem === null ? body(t) : t.skip(problem)))
}

interface Door {
  readonly transport: QuicTransport
  readonly listener: Listener
  readonly refusals: TlsRefusal[]
  readonly accepted: Connection[]
}

/** A listener of FIRST that knows OTHER. */
async function door(t: TestContext, options: Partial<QuicTransportOptions> = {}): Promise<Door> {
  const refusals: TlsRefusal[] = []
  const accepted: Connection[] = []
  const transport = new QuicTransport({
    clock: realClock,
    random,
    identity: () => FIRST,
    judge: knows(OTHER),
    refused: (refusal) => refusals.push(refusal),
    ...options,
  })
  const listener = await transport.listen('quic://127.0.0.1:0', (connection) => accepted.push(connection))
  t.after(async () => {
    transport.endAll('the test is over')
    for (const connection of accepted) connection.destroy()
    await listener.close()
  })
  return { transport, listener, refusals, accepted }
}

function dialler(identity: TlsIdentity, ...known: TlsIdentity[]): QuicTransport {
  return new QuicTransport({ clock: realClock, random, identity: () => identity, judge: knows(...known) })
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function first<T>(list: readonly T[]): Promise<T> {
  while (list.length === 0) await turn()
  return list[0] as T
}

const fails = (code: string, says: RegExp) => (error: ProtocolError) => {
  assert.equal(error.code, code, error.message)
  assert.match(error.message, says)
  return true
}

test('where the library is missing, one error names the package and what to use instead', LIMIT, async () => {
  const refuses = (system: string, says: RegExp): void =>
    assert.throws(
      () => loadQuic('quic://h:7373', system),
      (error: ProtocolError) => {
        assert.equal(error.code, 'QUIC_UNAVAILABLE')
        assert.match(error.message, says)
        assert.match(error.hint ?? '', /tls:\/\//)
        return true
      },
    )
  refuses(
    'plan9 mips',
    /quic:\/\/h:7373 needs the optional package @chainsafe\/libp2p-quic: there is none for plan9 mips/,
  )
  if (process.platform !== 'win32')
    refuses('win32 x64', /@chainsafe\/libp2p-quic-win32-x64-msvc@2\.1\.1: it is not installed/)
  const native = (address: string): never => loadQuic(address, 'plan9 mips') as never
  const transport = new QuicTransport({ clock: realClock, random, identity: () => OTHER, judge: knows(FIRST), native })
  await assert.rejects(transport.dial('quic://127.0.0.1:1', DIAL), { code: 'QUIC_UNAVAILABLE' })
  await assert.rejects(
    transport.listen('quic://127.0.0.1:0', () => {}),
    { code: 'QUIC_UNAVAILABLE' },
  )
})

quicTest('a key that nobody knows is refused with a sentence at both ends, and nothing is handed on', async (t) => {
  const { listener, refusals, accepted } = await door(t)
  await assert.rejects(
    dialler(STRANGER, FIRST).dial(listener.address, DIAL),
    fails('TLS_NOT_KNOWN', new RegExp(`refused the identity ${STRANGER.fingerprint.slice(0, 16)} of this side`)),
  )
  const { key, why, remote } = await first(refusals)
  assert.equal(key, STRANGER.fingerprint)
  assert.match(why, /nobody knows its key/)
  assert.match(remote, /^127\.0\.0\.1:\d+$/)
  assert.equal(accepted.length, 0)
})

quicTest('a listener with another key is refused before anything is said to it, and hears so', async (t) => {
  const { listener, refusals, accepted } = await door(t)
  await assert.rejects(
    dialler(OTHER, STRANGER).dial(listener.address, DIAL),
    fails('TLS_WRONG_KEY', new RegExp(`shows the identity ${FIRST.fingerprint.slice(0, 16)}, nobody knows`)),
  )
  const { why, key } = await first(refusals)
  assert.match(why, /refuses the identity of this side/)
  assert.equal(key, null, 'it has not said who it is')
  assert.equal(accepted.length, 0)
})

quicTest('whoever shows a known certificate without its key proves nothing, at either end', async (t) => {
  const liar = { ...STRANGER, certificates: FIRST.certificates, fingerprint: FIRST.fingerprint }
  const at = await door(t, { identity: () => liar })
  await assert.rejects(dialler(OTHER, FIRST).dial(at.listener.address, DIAL), { code: 'PROOF_WRONG' })
  const honest = await door(t)
  const pretender = { ...STRANGER, certificates: OTHER.certificates, fingerprint: OTHER.fingerprint }
  await assert.rejects(dialler(pretender, FIRST).dial(honest.listener.address, DIAL), { code: 'TLS_NOT_KNOWN' })
  assert.match((await first(honest.refusals)).why, /signature is not that of this key for this connection/)
  assert.deepEqual([at.accepted.length, honest.accepted.length], [0, 0])
})

quicTest('a key is followed through its successors, and a forged succession proves nothing', async (t) => {
  const at = await door(t, { identity: () => THIRD })
  const { connection, peer } = await dialler(OTHER, FIRST).dialFor('session', at.listener.address, DIAL)
  assert.deepEqual(
    peer.keys,
    [THIRD, SECOND, FIRST].map(({ fingerprint }) => fingerprint),
  )
  connection.destroy()
  const forged = await door(t, { identity: () => FORGED })
  await assert.rejects(dialler(OTHER, FIRST).dial(forged.listener.address, DIAL), { code: 'TLS_WRONG_KEY' })
})

quicTest('an enrolment over QUIC is told from a session, and has the proven keys of both sides', async (t) => {
  const invitation: Invitation = {
    id: 'ab'.repeat(8),
    secret: Buffer.alloc(16, 7),
    fingerprint: FIRST.fingerprint,
    addresses: [],
  }
  const came: ShownPeer[] = []
  const { proofOf } = await import('../../src/enrol/enrol-words.js')
  const { listener, accepted } = await door(t, {
    judge: knows(),
    enrol: (connection, peer) => {
      came.push(peer)
      const pair = { primary: peer.keys[0] as string, agent: FIRST.fingerprint }
      void answerEnrolment(connection, realClock, async ({ id }) => ({
        code: 'enrolled',
        proof: proofOf(invitation.secret, 'agent', id, pair),
      }))
    },
  })
  const { connection, peer } = await dialler(STRANGER, FIRST).dialFor('enrol', listener.address, DIAL)
  const pair = { primary: STRANGER.fingerprint, agent: peer.keys[0] as string }
  await askToEnrol(connection, invitation, pair, listener.address, { clock: realClock, timeoutMs: 10_000 })
  assert.deepEqual([came[0]?.purpose, came[0]?.keys[0]], ['enrol', STRANGER.fingerprint])
  assert.equal(accepted.length, 0)
})

quicTest('the connections of one key are ended at once, and of no other', async (t) => {
  const { transport, listener, accepted } = await door(t, { judge: knows(OTHER, STRANGER) })
  const one = await dialler(OTHER, FIRST).dial(listener.address, DIAL)
  const two = await dialler(STRANGER, FIRST).dial(listener.address, DIAL)
  while (accepted.length < 2) await turn()
  for (const connection of accepted) connection.attach(quiet)
  const ended: string[] = []
  const oneEnded = new Promise<void>((resolve) =>
    one.attach({ ...quiet, closed: () => (ended.push('one'), resolve()) }),
  )
  two.attach({ ...quiet, closed: () => ended.push('two') })
  assert.equal(transport.endPeer(OTHER.fingerprint, 'it was revoked'), 1)
  await oneEnded
  assert.deepEqual(ended, ['one'])
  assert.equal(transport.endAll('the test is over'), 1)
})

quicTest('a peer that falls silent is found dead by the heartbeat of the session, not by the transport', async (t) => {
  const { listener, accepted } = await door(t)
  const port = Number(listener.address.split(':').at(-1))
  const way = await relay(t, port)
  const dialled = await dialler(OTHER, FIRST).dial(`quic://127.0.0.1:${way.port}`, DIAL)
  const keepAlive = { heartbeatMs: 100, detectMs: 600 }
  const beats = { frame: () => {}, control: () => {}, batchEnd: () => {}, writable: () => {} }
  const end = new Promise<SessionEnd>((resolve) => {
    const session = new Session(dialled, {
      role: 'primary',
      clock: realClock,
      keepAlive,
      handler: { ...beats, closed: resolve },
    })
    session.sendControl({ kind: 'durable', point: [1, 0] })
  })
  const far = new Session(await first(accepted), {
    role: 'agent',
    clock: realClock,
    keepAlive,
    handler: { ...beats, closed: () => {} },
  })
  far.sendControl({ kind: 'ready', end: [1, 0], creditBytes: 1_048_576 })
  while (way.datagrams < 40) await turn()
  way.drop()
  const { kind, message } = await end
  assert.equal(kind, 'silence', message)
})

quicTest('hundreds of connections and of strangers leave no descriptor and no connection behind', async (t) => {
  const { listener, accepted } = await door(t)
  const [friend, stranger] = [dialler(OTHER, FIRST), dialler(STRANGER, FIRST)]
  const round = async (): Promise<void> => {
    await Promise.allSettled(Array.from({ length: 10 }, () => stranger.dial(listener.address, DIAL)))
    const dialled = await Promise.all(Array.from({ length: 10 }, () => friend.dial(listener.address, DIAL)))
    while (accepted.length < 10) await turn()
    const gone = [...dialled, ...accepted.splice(0)].map(
      (connection) => new Promise<void>((resolve) => connection.attach({ ...quiet, closed: () => resolve() })),
    )
    for (const connection of dialled) connection.close()
    await Promise.all(gone)
  }
  await round()
  const descriptors = (): number => readdirSync('/proc/self/fd').length
  const before = descriptors()
  for (let count = 0; count < 10; count++) await round()
  while (descriptors() > before) await turn()
  assert.equal(friend.endAll('none is left'), 0)
})

quicTest(
  'a process that has used QUIC ends by itself, with status 0, whatever it leaves open for the collector',
  async () => {
    const library = fileURLToPath(new URL('../../src/index.js', import.meta.url))
    const support = fileURLToPath(new URL('../support/', import.meta.url))
    const script = `
    import { QuicTransport } from ${JSON.stringify(library)}
    import { realClock } from ${JSON.stringify(`${support}clock.js`)}
    import { FIRST, OTHER } from ${JSON.stringify(`${support}identities.js`)}
    import { knows } from ${JSON.stringify(`${support}judges.js`)}
    import { SeededRandom } from ${JSON.stringify(`${support}random.js`)}
    const ends = { clock: realClock, random: new SeededRandom(1) }
    const server = new QuicTransport({ ...ends, identity: () => FIRST, judge: knows(OTHER) })
    const client = new QuicTransport({ ...ends, identity: () => OTHER, judge: knows(FIRST) })
    const listener = await server.listen('quic://127.0.0.1:0', (one) => one.attach({ data() {}, drained() {}, closed() {} }))
    const connection = await client.dial(listener.address, { timeoutMs: 10000 })
    connection.write([Buffer.alloc(20000000)])
    connection.attach({ data() {}, drained() {}, closed: async () => { await listener.close(); console.log('over') } })
    setImmediate(() => connection.destroy())
  `
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ['--input-type=module', '--expose-gc', '--eval', script],
      { encoding: 'utf8', timeout: 30_000 },
    )
    assert.deepEqual([status, signal, stdout, stderr], [0, null, 'over\n', ''])
  },
)

/** UDP in between, until it is told to drop everything. */
async function relay(t: TestContext, port: number): Promise<{ port: number; datagrams: number; drop(): void }> {
  const [near, far] = [createSocket('udp4'), createSocket('udp4')]
  await new Promise<void>((resolve) => near.bind(0, '127.0.0.1', resolve))
  let from: { readonly port: number; readonly address: string } | null = null
  const way = { port: near.address().port, datagrams: 0, drop: () => {} }
  let open = true
  way.drop = () => (open = false)
  near.on('message', (bytes, sender) => {
    from = sender
    way.datagrams += 1
    if (open) far.send(bytes, port, '127.0.0.1')
  })
  far.on('message', (bytes) => {
    if (open && from !== null) near.send(bytes, from.port, from.address)
  })
  t.after(() => {
    near.close()
    far.close()
  })
  return way
}
