/**
 * A primary and an agent in one process over TLS: enrolled by a token, replicated to, and not disturbed by strangers who
 * come by the hundred, nor by the end of the trust in somebody else.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { Gatekeeper, NOBODY } from '@sitelink/agent/testing'
import type { AgentEvent } from '@sitelink/agent'
import { certificateFingerprint, makeCertificate, RealClock, RealRandom } from '@sitelink/daemon'
import { NbdClient } from '@sitelink/nbd'
import { AgentLinks, NO_PINS } from '@sitelink/primary/testing'
import { encodeToken, TlsTransport, type TlsIdentity } from '@sitelink/protocol'
import { seededPrng } from '../support/seed.js'
import { waitFor } from '../support/wait-for.js'
import { LivePair } from './live-pair.js'

const MIB = 1024 * 1024

async function identity(): Promise<TlsIdentity> {
  const { key, certificate } = await makeCertificate()
  return { key, certificates: certificate, fingerprint: certificateFingerprint(certificate) }
}

/** A file of whom to trust, without a file. */
function stored<T>(first: T): { current: T; update(change: (current: T) => T): Promise<T> } {
  return {
    current: first,
    async update(change) {
      return (this.current = change(this.current))
    },
  }
}

test('a pair in one process is enrolled and replicates over TLS, whatever strangers do meanwhile', async (t) => {
  const [clock, random] = [new RealClock(), new RealRandom()]
  const [agentIdentity, primaryIdentity, stranger] = [await identity(), await identity(), await identity()]
  const events: AgentEvent[] = []
  const secret = random.bytes(16)
  const id = random.bytes(8).toString('hex')
  const trust = stored({
    ...NOBODY,
    invitations: [
      { id, secret: secret.toString('hex'), name: 'primary', rights: ['replicate' as const], expiresMs: 2 ** 50 },
    ],
  })
  const gatekeeper: Gatekeeper = new Gatekeeper({
    clock,
    random,
    trust,
    own: () => agentIdentity.fingerprint,
    event: (event) => events.push(event),
    endPeer: (key, why) => door.endPeer(key, why),
  })
  const { judge, enrol, refused } = gatekeeper
  const door = new TlsTransport({ clock, identity: () => agentIdentity, judge, enrol, refused })
  const links = new AgentLinks({
    clock,
    random,
    event: () => {},
    pins: stored(NO_PINS),
    identity: { current: primaryIdentity, rotate: async () => primaryIdentity },
  })
  const pair = await LivePair.start({
    prng: seededPrng(t, 'over-tls'),
    devices: [{ name: 'data', sizeBytes: 4 * MIB }],
    sites: [{ name: 'site', mode: 'async' }],
    logBytes: 16 * MIB,
    journalBytes: 16 * MIB,
    links: { primary: links.transports(1).of('tls') as TlsTransport, agent: door },
  })
  t.after(() => pair.close())
  const [address] = pair.addresses
  const token = encodeToken({ id, secret, fingerprint: agentIdentity.fingerprint, addresses: [address as string] })
  await links.prepare(
    1,
    [],
    { invitation: token, insecurePlain: false, dialedBy: null },
    { isNew: true, check: () => {} },
  )
  assert.deepEqual(
    trust.current.peers.map(({ name, fingerprint }) => [name, fingerprint]),
    [['primary', primaryIdentity.fingerprint]],
  )
  await pair.join('site', 'sync')
  await pair.resynced('site')
  const session = pair.group.slinks.get(1)?.link.session
  assert.match(session?.description ?? '', /^tls /)

  const port = Number((address as string).slice((address as string).lastIndexOf(':') + 1))
  const client = await NbdClient.connect({ path: `${pair.folder}/nbd.sock` }, { export: 'data' })
  const bothered = (async () => {
    for (let round = 0; round < 10; round++) {
      await Promise.all(
        Array.from(
          { length: 20 },
          (_, at) =>
            new Promise<void>((resolve) => {
              const ends = { host: '127.0.0.1', port }
              const socket =
                at % 4 === 0
                  ? connectTls({
                      ...ends,
                      rejectUnauthorized: false,
                      ALPNProtocols: ['sitelink/1'],
                      key: stranger.key,
                      cert: stranger.certificates,
                    })
                  : connect(ends)
              socket.on('error', () => {}).on('close', () => resolve())
              socket.on('data', () => {})
              socket.end(at % 4 === 1 ? Buffer.alloc(500, 0x16) : Buffer.from('SLNK and more'))
            }),
        ),
      )
    }
  })()
  for (let at = 0; at < 4 * MIB; at += MIB / 4) await client.write(at, Buffer.alloc(MIB / 4, 1 + at / MIB))
  await client.flush()
  await bothered
  await pair.settled('site')
  assert.equal(pair.group.slinks.get(1)?.link.session, session, 'it is the same session still')
  assert.ok(events.some(({ kind, message }) => kind === 'peer-refused' && /never enrolled/.test(message)))

  await client.write(0, Buffer.alloc(4096, 9))
  await gatekeeper.revoke('primary')
  await waitFor('the link to be refused', () => {
    const state = pair.group.slinks.get(1)?.link.state
    return state?.kind === 'waiting' && state.refused && /or was revoked/.test(state.reason)
  })
  await client.disconnect()
})
