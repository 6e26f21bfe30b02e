/** Every transport of this package under the conformance suite, the memory network also with bytes cut at any place. */
import { createSocket } from 'node:dgram'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import {
  findHttp3,
  HttpsTransport,
  MemoryNetwork,
  quicProblem,
  QuicTransport,
  TcpTransport,
  TlsTransport,
  type HttpsTransportOptions,
  type LinkConditions,
} from '../../src/index.js'
import { realClock } from '../support/clock.js'
import { fakeHttp3 } from '../support/fake-http3.js'
import { FIRST, OTHER } from '../support/identities.js'
import { knows } from '../support/judges.js'
import { SEED, SeededRandom } from '../support/random.js'
import { makeShortCertificate } from '../support/short-certificates.js'
import { transportConformance, type TransportUnderTest } from '../transport-suite.js'

const MUTES = { mutes: true }

function memory(link: Partial<LinkConditions>): TransportUnderTest {
  const network = new MemoryNetwork({ clock: realClock, random: new SeededRandom(SEED), link })
  network.setLink('client', 'mute', { silent: true })
  void network.host('mute').listen('memory:mute', () => {})
  return {
    server: network.host('server'),
    client: network.host('client'),
    listenAddress: 'memory:server',
    secondListenAddress: 'memory:second',
    deadAddress: 'memory:nobody',
    mutedAddress: 'memory:mute',
  }
}

transportConformance('memory', MUTES, () => memory({}))
transportConformance('memory with segments cut at random', MUTES, () =>
  memory({ segmentBytesMin: 1, segmentBytesMax: 200_000 }),
)
transportConformance('memory with latency, jitter and little bandwidth', MUTES, () =>
  memory({ latencyMs: 0.2, jitterMs: 0.5, bandwidthBytes: 500_000_000 }),
)

transportConformance('tcp', { mutes: false }, async () => {
  const transport = new TcpTransport({ clock: realClock })
  return {
    server: transport,
    client: transport,
    listenAddress: 'tcp://127.0.0.1:0',
    secondListenAddress: 'tcp://127.0.0.1:0',
    deadAddress: `tcp://127.0.0.1:${await freePort()}`,
  }
})

transportConformance('tls', { mutes: false }, async () => ({
  server: new TlsTransport({ clock: realClock, identity: () => FIRST, judge: knows(OTHER) }),
  client: new TlsTransport({ clock: realClock, identity: () => OTHER, judge: knows(FIRST) }),
  listenAddress: 'tls://127.0.0.1:0',
  secondListenAddress: 'tls://127.0.0.1:0',
  deadAddress: `tls://127.0.0.1:${await freePort()}`,
}))

transportConformance('https over HTTP/2', { mutes: false }, () => https({ quic: 'never' }))

// The same code over the library's interface, where its native part cannot be had, and over the real one where it can.
transportConformance('https over HTTP/3, of a stand-in', { mutes: false }, async () => {
  const { library } = fakeHttp3()
  return https({ quic: 'require', loadHttp3: async () => library })
})

const http3 = await findHttp3(realClock)
if (http3.kind === 'missing')
  void describe('https over HTTP/3 is a transport', () =>
    void it('where it can be had', (t) => t.diagnostic(`not run: ${http3.why}`)))
else transportConformance('https over HTTP/3', { mutes: false }, () => https({ quic: 'require' }))

async function https(options: Pick<HttpsTransportOptions, 'quic' | 'loadHttp3'>): Promise<TransportUnderTest> {
  const ends = { clock: realClock, random: new SeededRandom(SEED), ...options }
  const makeCertificate = makeShortCertificate
  return {
    server: new HttpsTransport({ ...ends, identity: () => FIRST, judge: knows(OTHER), makeCertificate }),
    client: new HttpsTransport({ ...ends, identity: () => OTHER, judge: knows(FIRST) }),
    listenAddress: 'https://127.0.0.1:0',
    secondListenAddress: 'https://127.0.0.1:0',
    deadAddress: `https://127.0.0.1:${await freePort()}`,
  }
}

const withoutQuic = quicProblem()
if (withoutQuic !== null) void describe('quic is a transport', () => void it('the suite', (t) => t.skip(withoutQuic)))
else {
  transportConformance('quic', { mutes: true }, async () => {
    const mute = createSocket('udp4')
    await new Promise<void>((resolve) => mute.bind(0, '127.0.0.1', resolve))
    const ends = { clock: realClock, random: new SeededRandom(SEED) }
    return {
      server: new QuicTransport({ ...ends, identity: () => FIRST, judge: knows(OTHER) }),
      client: new QuicTransport({ ...ends, identity: () => OTHER, judge: knows(FIRST) }),
      listenAddress: 'quic://127.0.0.1:0',
      secondListenAddress: 'quic://127.0.0.1:0',
      deadAddress: `quic://127.0.0.1:${await freeUdpPort()}`,
      mutedAddress: `quic://127.0.0.1:${mute.address().port}`,
      close: () => void mute.close(),
    }
  })
}

/** A UDP port that was free a moment ago. */
function freeUdpPort(): Promise<number> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1', () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { readonly port: number }
      server.close(() => resolve(port))
    })
  })
}
