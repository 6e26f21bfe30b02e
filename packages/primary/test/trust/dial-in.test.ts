/** Agents that dial: who is let in, for which slink, and what becomes of connections that nobody takes. */
import assert from 'node:assert/strict'
import { Server } from 'node:net'
import { test } from 'node:test'
import { certificateFingerprint, makeCertificate, RealClock, RealRandom } from '@sitelink/daemon'
import { TlsTransport, type Connection, type TlsIdentity } from '@sitelink/protocol'
import type { GroupEvent } from '../../src/group/events.js'
import { AgentLinks } from '../../src/trust/agent-links.js'
import { DIALS_IN, DialIn } from '../../src/trust/dial-in.js'
import { NO_PINS, withPin, type Pins } from '../../src/trust/pins.js'

async function identity(): Promise<TlsIdentity> {
  const { key, certificate } = await makeCertificate()
  return { key, certificates: certificate, fingerprint: certificateFingerprint(certificate) }
}

test('only an agent whose key is pinned for a slink whose agent dials is let in, and leads to that slink alone', async (t) => {
  const clock = new RealClock()
  const [own, first, second, stranger] = [await identity(), await identity(), await identity(), await identity()]
  const events: GroupEvent[] = []
  const pins = {
    current: [first, second].reduce<Pins>(
      (all, { fingerprint }, at) => withPin(all, at + 1, { fingerprint, enrolledMs: 1 }),
      NO_PINS,
    ),
    update(change: (current: Pins) => Pins) {
      this.current = change(this.current)
      return Promise.resolve()
    },
  }
  const keys = { current: own, rotate: () => Promise.reject(new Error('nobody rotates')) }
  const links = new AgentLinks({
    clock,
    random: new RealRandom(),
    pins,
    identity: keys,
    event: (event) => void events.push(event),
  })
  const arrived: number[] = []
  const dialIn = new DialIn((slink) => void arrived.push(slink))
  // The agent of slink 2 is dialled: its key is good for nothing here.
  const listener = await links.listen('tls://127.0.0.1:0', () => [1], dialIn)
  t.after(() => listener.close())
  const dial = (who: TlsIdentity): Promise<Connection> => {
    const judge = () => Promise.resolve({ kind: 'known' } as const)
    return new TlsTransport({ clock, identity: () => who, judge }).dial(listener.address, { timeoutMs: 10_000 })
  }
  for (const who of [stranger, second]) await assert.rejects(dial(who), { code: 'TLS_NOT_KNOWN' })
  assert.match(events.find(({ kind }) => kind === 'peer-refused')?.message ?? '', /not pinned for a slink whose agent/)
  assert.deepEqual(arrived, [])

  const taken = dialIn.transport(1).dial(DIALS_IN, { timeoutMs: 1 })
  const dialled = await dial(first)
  const connection = await taken
  const heard = new Promise<string>((resolve) => {
    connection.attach({ data: (chunk) => resolve(chunk.toString()), drained() {}, closed() {} })
  })
  dialled.attach({ data() {}, drained() {}, closed() {} })
  dialled.write([Buffer.from('it is the agent')])
  assert.equal(await heard, 'it is the agent')
  assert.deepEqual(arrived, [], 'somebody was waiting')

  // Its pin is taken away: the connection that stands ends, and none follows.
  const ended = new Promise<void>((resolve) => {
    void dial(first).then((one) => one.attach({ data() {}, drained() {}, closed: () => resolve() }))
  })
  while (arrived.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await links.revoke(1)
  await ended
  await assert.rejects(dial(first), { code: 'TLS_NOT_KNOWN' })
  dialIn.close()
  connection.destroy()
})

test('of connections that nobody takes the newest stands, and giving up waiting leaves it to the next', async () => {
  const arrived: number[] = []
  const dialIn = new DialIn((slink) => void arrived.push(slink))
  const ended: string[] = []
  const connection = (name: string) => ({ name, destroy: () => void ended.push(name) }) as unknown as Connection
  const transport = dialIn.transport(3)
  dialIn.offer(3, connection('old'))
  dialIn.offer(3, connection('new'))
  dialIn.offer(4, connection('of another'))
  assert.deepEqual([arrived, ended], [[3, 3, 4], ['old']])
  assert.equal(((await transport.dial(DIALS_IN, { timeoutMs: 1 })) as unknown as { name: string }).name, 'new')
  const abort = new AbortController()
  const waiting = transport.dial(DIALS_IN, { timeoutMs: 1, signal: abort.signal })
  abort.abort()
  await assert.rejects(waiting, { code: 'DIAL_ABORTED' })
  dialIn.offer(3, connection('later'))
  assert.deepEqual(arrived, [3, 3, 4, 3])
  dialIn.close()
  assert.deepEqual(ended.toSorted(), ['later', 'of another', 'old'])
})

test('a connection that the system cannot hand over is told of, at most one a second, and agents are still taken', async (t) => {
  let aheadMs = 0
  const clock = Object.assign(new RealClock(), { nowMs: () => aheadMs })
  const events: GroupEvent[] = []
  const servers: Server[] = []
  const { listen } = Server.prototype
  t.mock.method(Server.prototype, 'listen', function (this: Server, ...words: Parameters<typeof listen>) {
    servers.push(this)
    return listen.apply(this, words)
  })
  const links = new AgentLinks({
    clock,
    random: new RealRandom(),
    pins: { current: NO_PINS, update: () => Promise.resolve() },
    identity: { current: await identity(), rotate: () => Promise.reject(new Error('nobody rotates')) },
    event: (event) => void events.push(event),
  })
  const dialIn = new DialIn(() => {})
  const listener = await links.listen('tls://127.0.0.1:0', () => [], dialIn)
  t.after(() => listener.close())
  const fail = (): boolean | undefined => servers.at(-1)?.emit('error', new Error('accept EMFILE'))
  fail()
  fail()
  assert.deepEqual(
    events.map(({ kind, level, facts }) => [kind, level, facts['why']]),
    [['listener-failed', 'warning', 'accept EMFILE']],
  )
  aheadMs = 1000
  fail()
  assert.equal(events.length, 2)
  dialIn.close()
})
