/** Enrolling at an agent: how often it is dialled for that, and over what. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { certificateFingerprint, makeCertificate, makeShortCertificate, RealClock, RealRandom } from '@sitelink/daemon'
import {
  answerEnrolment,
  HttpsTransport,
  type Clock,
  type Connection,
  type Http3Library,
  type QuicMode,
  type TlsIdentity,
} from '@sitelink/protocol'
import { DIAL_MS_MAX } from '../../src/limits.js'
import { enrol } from '../../src/trust/enrol.js'

const LIMIT = { timeout: 30_000 }
const random = new RealRandom()
const real = new RealClock()

async function identity(): Promise<TlsIdentity> {
  const { key, certificate } = await makeCertificate()
  return { key, certificates: certificate, fingerprint: certificateFingerprint(certificate) }
}

/** A session over HTTP/3 that opens, and whatever is written on it calls `written` and goes nowhere. */
function swallowing(written: () => void): { readonly library: Http3Library; dials: number } {
  const world = {
    dials: 0,
    library: {
      Http3Server: class {},
      WebTransport: class {
        readonly ready = Promise.resolve()
        readonly closed = new Promise(() => {})
        readonly reliability = 'supports-unreliable'
        readonly incomingBidirectionalStreams = new ReadableStream()
        constructor() {
          world.dials += 1
        }
        async createBidirectionalStream(): Promise<object> {
          return { readable: new ReadableStream(), writable: new WritableStream({ write: () => written() }) }
        }
        close(): void {}
      },
    } as unknown as Http3Library,
  }
  return world
}

for (const quic of ['auto', 'require'] as const satisfies readonly QuicMode[]) {
  const name = {
    auto: 'an invitation reaches an agent over HTTP/2 where HTTP/3 opens and carries nothing',
    require: 'an invitation that is to go over HTTP/3 is dialled for once, and never over HTTP/2',
  }[quic]
  test(name, LIMIT, async (t) => {
    const [primary, agent] = await Promise.all([identity(), identity()])
    const id = '0'.repeat(16)
    const secret = Buffer.alloc(16, 1)
    const protocols: (string | undefined)[] = []
    const transport = new HttpsTransport({
      clock: real,
      random,
      quic: 'never',
      identity: () => agent,
      judge: async () => ({ kind: 'known' }),
      makeCertificate: makeShortCertificate,
      enrol: (connection: Connection) => {
        protocols.push('HTTP/2')
        const text = `sitelink-enrol/1 agent ${id} ${primary.fingerprint} ${agent.fingerprint}`
        const proof = createHmac('sha256', secret).update(text).digest()
        void answerEnrolment(connection, real, async () => ({ code: 'enrolled', proof }))
      },
    })
    const { address, close } = await listening(transport)
    t.after(close)
    // The time of the first dial is over once it has written something.
    let expire: (() => void) | null = null
    const clock: Clock = {
      wallUs: () => real.wallUs(),
      nowMs: () => real.nowMs(),
      soon: (action) => real.soon(action),
      after: (ms, action) => {
        if (ms !== DIAL_MS_MAX || expire !== null) return real.after(ms, action)
        expire = action
        return { cancel: () => {} }
      },
    }
    const http3 = swallowing(() => expire?.())
    const parts = { identity: primary, clock, random, quic, loadHttp3: async () => http3.library }
    const enrolled = enrol({ id, secret, fingerprint: agent.fingerprint, addresses: [address] }, [address], parts)
    if (quic === 'require') {
      await assert.rejects(enrolled)
      assert.deepEqual([http3.dials, protocols.length], [1, 0])
    } else {
      assert.equal((await enrolled).fingerprint, agent.fingerprint)
      assert.deepEqual([http3.dials, protocols], [1, ['HTTP/2']])
    }
  })
}

async function listening(
  transport: HttpsTransport,
): Promise<{ readonly address: string; readonly close: () => Promise<void> }> {
  const listener = await transport.listen('https://127.0.0.1:0', () => {})
  return { address: listener.address, close: () => listener.close() }
}
