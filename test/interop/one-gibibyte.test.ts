/**
 * What a link carries arrives as it was sent, at length: 1 GiB over each transport that leaves the machine, in writes of
 * random sizes, with a reader that stops now and then, and memory that does not grow with what has passed.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { certificateFingerprint, makeCertificate, makeShortCertificate, RealClock, RealRandom } from '@sitelink/daemon'
import {
  HttpsTransport,
  quicProblem,
  QuicTransport,
  TcpTransport,
  TlsTransport,
  type Connection,
  type KeyedOptions,
  type TlsIdentity,
  type Transport,
} from '@sitelink/protocol'
import { seededPrng } from '../support/seed.js'

const MIB = 1 << 20
const TOTAL = 1024 * MIB
/** What the process may grow by: queues and windows of both ends, and what the collector has not taken yet. */
const GROWTH_MAX = 128 * MIB

async function identity(): Promise<TlsIdentity> {
  const { key, certificate } = await makeCertificate()
  return { key, certificates: certificate, fingerprint: certificateFingerprint(certificate) }
}

/** Both ends of a transport, each with an identity that the other knows. */
async function bothEnds(
  make: (options: KeyedOptions & { random: RealRandom; makeCertificate: typeof makeShortCertificate }) => Transport,
): Promise<[Transport, Transport]> {
  const [here, there] = [await identity(), await identity()]
  const end = (mine: TlsIdentity, theirs: TlsIdentity): Transport =>
    make({
      clock: new RealClock(),
      random: new RealRandom(),
      identity: () => mine,
      judge: async ({ keys }) =>
        keys.includes(theirs.fingerprint)
          ? { kind: 'known' }
          : { kind: 'refused', verdict: 'unknown', why: 'nobody knows it' },
      makeCertificate: makeShortCertificate,
    })
  return [end(here, there), end(there, here)]
}

const transports: readonly { scheme: string; problem: string | null; ends: () => Promise<[Transport, Transport]> }[] = [
  { scheme: 'tcp', problem: null, ends: () => bothEnds((options) => new TcpTransport(options)) },
  { scheme: 'tls', problem: null, ends: () => bothEnds((options) => new TlsTransport(options)) },
  { scheme: 'https', problem: null, ends: () => bothEnds((options) => new HttpsTransport(options)) },
  { scheme: 'quic', problem: quicProblem(), ends: () => bothEnds((options) => new QuicTransport(options)) },
]

for (const { scheme, problem, ends } of transports) {
  test(`1 GiB arrives unchanged over ${scheme}, in bounded memory`, { timeout: 600_000 }, async (t) => {
    if (problem !== null) return t.skip(problem)
    const random = seededPrng(t, `one gibibyte over ${scheme}`)
    const [server, client] = await ends()
    let accepted: (connection: Connection) => void = () => {}
    const arrived = new Promise<Connection>((resolve) => (accepted = resolve))
    const listener = await server.listen(`${scheme}://127.0.0.1:0`, accepted)
    const sender = await client.dial(listener.address, { timeoutMs: 20_000 })
    const receiver = await arrived
    const before = process.memoryUsage().rss
    const seen = createHash('sha256')
    const sent = createHash('sha256')
    let there = 0
    let most = 0
    const all = new Promise<void>((resolve, reject) =>
      receiver.attach({
        data: (chunk) => {
          seen.update(chunk)
          const passed = Math.floor(there / (16 * MIB))
          there += chunk.length
          if (there >= TOTAL) return resolve()
          if (Math.floor(there / (16 * MIB)) === passed) return
          most = Math.max(most, process.memoryUsage().rss - before)
          receiver.pause()
          setImmediate(() => receiver.resume())
        },
        drained: () => {},
        closed: (reason) => reject(reason ?? new Error(`it ended after ${there} bytes`)),
      }),
    )
    const source = random.bytes(MIB + 4096)
    let left = TOTAL
    const send = (): void => {
      for (let room = true; left > 0 && room;) {
        const size = Math.min(left, 1 + random.below(random.below(4) === 0 ? MIB : 8192))
        const at = random.below(source.length - size)
        const chunk = source.subarray(at, at + size)
        sent.update(chunk)
        left -= size
        room = sender.write([chunk])
      }
    }
    sender.attach({ data: () => {}, drained: send, closed: () => {} })
    send()
    await all
    assert.equal(there, TOTAL)
    assert.equal(seen.digest('hex'), sent.digest('hex'))
    assert.ok(most < GROWTH_MAX, `memory grew by ${(most / MIB).toFixed(0)} MiB`)
    t.diagnostic(`memory grew by ${(most / MIB).toFixed(0)} MiB at most`)
    sender.destroy()
    receiver.destroy()
    await listener.close()
  })
}
