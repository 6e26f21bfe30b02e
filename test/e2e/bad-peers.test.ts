/**
 * Bad peers, by the thousand, against a real agent whose link lives: noise, plain frames, torn and oversized TLS, replayed
 * handshakes, peers that say one byte and wait, and enrolled ones that send what no primary would. It must not die, keep
 * neither descriptors nor memory, and the link must not notice. And whoever listens on the way reads nothing.
 *
 * SEED repeats the choices; BAD_PEERS says how many there are.
 */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { certificateFingerprint, makeCertificate, RealClock } from '@sitelink/daemon'
import { encodeFrame, encodeMessage, FrameType, TlsTransport, type Frame, type Hello } from '@sitelink/protocol'
import { Prng } from '@sitelink/storage/testing'
import { Cluster } from '../support/cluster.js'
import { assertSidesEqual } from '../support/equality.js'
import { slinkOf } from '../support/status-shape.js'
import { waitFor } from '../support/wait-for.js'

const MIB = 1024 * 1024
const PEERS = Number(process.env['BAD_PEERS'] ?? 10_000)
const AT_ONCE = 32
/** One in so many gets through the gate: the handshake costs both sides most. */
const ENROLLED_ONE_IN = 8
const PEER_MS_MAX = 300
const RSS_GROWTH_MAX = 64 * MIB
const seed = process.env['SEED'] ?? randomBytes(4).toString('hex')

function bytesOf({ header, payload }: Frame): Buffer {
  return payload === null ? header : Buffer.concat([header, payload])
}

/** A hello that is good in every way, of a group that this agent does not replicate. */
function helloOf(group: string): Hello {
  return {
    kind: 'hello',
    wireVersion: 2,
    wireFloor: 1,
    group,
    epoch: 1,
    slink: 1,
    session: '0123456789abcdef',
    logId: '0123456789abcdef',
    incarnations: [{ number: 1, id: '0123456789abcdef', firstLsn: 1 }],
    head: [1, 5],
    durable: [1, 5],
    heartbeatMs: 500,
    detectMs: 3000,
    mappings: [],
  }
}

describe(`${PEERS} bad peers`, () => {
  let cluster: Cluster
  const prng = new Prng(seed)
  console.log(`SEED=${seed}`)
  /** What a real primary said when it dialled, as it was on the wire. */
  const recorded: Buffer[] = []

  before(async () => {
    cluster = await Cluster.start({
      label: 'bad-peers',
      scheme: 'tls',
      logSize: '32m',
      devices: [{ name: 'data', sizeBytes: 4 * MIB }],
      slinks: [{ words: ['--policy', 'async'] }],
    })
  })
  after(() => cluster.close())

  const write = async (fill: (at: number) => Buffer): Promise<void> => {
    const client = await cluster.connect('data')
    for (let at = 0; at < 4 * MIB; at += MIB) await client.write(at, fill(at))
    await client.flush()
    await client.disconnect()
  }

  test('a capture of the link holds none of a thousand markers that were written through it', async () => {
    const { proxy } = cluster.agent()
    const seen: Buffer[] = []
    proxy.tcp.watch((chunk) => seen.push(Buffer.from(chunk)))
    proxy.reset()
    await waitFor('the link to be back', async () => slinkOf(await cluster.status(), 1).connected)
    recorded.push(Buffer.concat(seen).subarray(0, 4096))
    const markers = Array.from({ length: 1000 }, (_, at) => createHash('sha256').update(`${seed} ${at}`).digest())
    const page = Buffer.concat(markers)
    await write((at) => Buffer.alloc(MIB, at === 0 ? page : Buffer.concat([Buffer.from([at >> 20]), page])))
    await cluster.applied()
    proxy.tcp.watch(null)
    const wire = Buffer.concat(seen)
    assert.ok(wire.length > 4 * MIB, `${wire.length} bytes were seen`)
    assert.ok(readFileSync(cluster.agent().devices[0]?.path ?? '').includes(markers[999] as Buffer), 'they arrived')
    for (const [at, marker] of markers.entries()) assert.equal(wire.includes(marker), false, `marker ${at} was seen`)
    for (const word of ['SLNK', 'hello', 'data']) assert.equal(wire.includes(word), false, `"${word}" was seen`)
  })

  /** Bytes of somebody who has no key that counts here. */
  const strangers: readonly (() => Buffer)[] = [
    () => prng.bytes(prng.between(1, 2000)),
    () => Buffer.alloc(0),
    () => Buffer.from([0x16]),
    () => Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0xff, 0xff]), prng.bytes(20_000)]),
    () => Buffer.concat([Buffer.from([0x16, 0x03, 0x01, 0x40, 0x00]), prng.bytes(16_384)]),
    () => bytesOf(encodeMessage(helloOf('00000000-0000-4000-8000-000000000000'))),
    () => recorded[0] ?? Buffer.alloc(0),
    () => (recorded[0] ?? Buffer.alloc(0)).subarray(0, prng.between(1, 400)),
    () => {
      const bytes = Buffer.from(recorded[0] ?? Buffer.alloc(1))
      const at = prng.below(Math.min(bytes.length, 600))
      bytes[at] = (bytes[at] as number) ^ (1 << prng.below(8))
      return bytes
    },
  ]

  /** Bytes of somebody who is enrolled, and no primary of this group. */
  const enrolled: readonly (() => Buffer)[] = [
    () => bytesOf(encodeMessage(helloOf('00000000-0000-4000-8000-000000000000'))),
    () => prng.bytes(prng.between(1, 5000)),
    () => {
      const { header } = encodeFrame({ type: FrameType.write, length: 1 }, Buffer.alloc(1))
      header.writeUInt32LE(0xffff_fff0, 80)
      return header
    },
    () => bytesOf(encodeFrame({ type: FrameType.packed, length: 2 ** 40, aux: 1 }, Buffer.alloc(100))),
    () => bytesOf(encodeFrame({ type: FrameType.write, lsn: 1, length: 4096 }, Buffer.alloc(4096))),
    () => bytesOf(encodeMessage({ kind: 'ready', end: [1, 1], creditBytes: 1 })),
    () => Buffer.concat([helloOf('a').group, 'x'].map((word) => Buffer.from(word))),
    () => bytesOf(encodeMessage(helloOf('00000000-0000-4000-8000-000000000000'))).subarray(0, 200),
    () => Buffer.alloc(0),
  ]

  /** A peer that sends and goes, or waits until it is sent away or its time is up. */
  function visit(port: number, host: string, bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ port, host }, () => socket.write(bytes))
      const timer = setTimeout(() => socket.destroy(), prng.chance(0.1) ? PEER_MS_MAX : 20)
      socket.on('error', () => {})
      socket.on('close', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.resume()
    })
  }

  test('none of them ends the agent, keeps a descriptor or memory of it, or disturbs the link that lives', async () => {
    const agent = cluster.agent()
    const { key, certificate } = await makeCertificate()
    const mallory = { key, certificates: certificate, fingerprint: certificateFingerprint(certificate) }
    const added = await agent.run('peer', 'add', 'mallory', mallory.fingerprint)
    assert.equal(added.status, 0, added.stderr)
    const judge = () => Promise.resolve({ kind: 'known' } as const)
    const tls = new TlsTransport({ clock: new RealClock(), identity: () => mallory, judge })
    const behind = async (bytes: Buffer): Promise<void> => {
      const connection = await tls.dial(`tls://${agent.host}:7373`, { timeoutMs: 20_000 })
      await new Promise<void>((resolve) => {
        const timer = setTimeout(() => connection.destroy(), PEER_MS_MAX)
        const closed = (): void => {
          clearTimeout(timer)
          resolve()
        }
        connection.attach({ data() {}, drained() {}, closed })
        connection.write([bytes])
      })
    }
    const pid = agent.program?.pid ?? 0
    const descriptors = (): number => readdirSync(`/proc/${pid}/fd`).length
    const rss = (): number => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
    const counters = async () => ((await agent.status()) as unknown as { counters: Record<string, number> }).counters
    const gone = async (): Promise<number> => {
      const disconnected = (await cluster.must('events', '--json')).stdout.match(/"slink-disconnected"/g)
      return disconnected?.length ?? 0
    }
    const before = { descriptors: descriptors(), counters: await counters(), gone: await gone() }
    let [sent, rssEarly, refusedBehind] = [0, 0, 0]
    const one = async (): Promise<void> => {
      while (sent < PEERS) {
        sent += 1
        if (sent === Math.floor(PEERS / 4)) rssEarly = rss()
        if (sent % ENROLLED_ONE_IN === 0) {
          refusedBehind += 1
          await behind(prng.pick(enrolled)())
        } else await visit(7373, agent.host, prng.pick(strangers)())
      }
    }
    const all = Promise.all(Array.from({ length: AT_ONCE }, one))
    // Meanwhile the link is at work.
    let round = 0
    while (sent < PEERS) {
      await write((at) => Buffer.alloc(MIB, `round ${round} at ${at} `))
      round += 1
      await cluster.inStep()
      assert.equal(slinkOf(await cluster.status(), 1).connected, true, `SEED=${seed}`)
    }
    await all
    assert.ok(refusedBehind > PEERS / 10)
    assert.equal(agent.program?.exit ?? null, null, 'the agent lives')
    await waitFor('all descriptors to be given back', () => Promise.resolve(descriptors() <= before.descriptors + 2))
    const after = await counters()
    assert.equal(after['sessionsEstablished'], before.counters['sessionsEstablished'], 'nobody else was let in')
    assert.equal(after['sessionsFenced'], before.counters['sessionsFenced'], 'the link was not taken over')
    assert.equal(await gone(), before.gone, 'the link never ended')
    const growth = rss() - rssEarly
    assert.ok(growth < RSS_GROWTH_MAX, `SEED=${seed}: the agent grew by ${Math.round(growth / MIB)} MiB`)
    await assertSidesEqual(cluster)
    console.log(
      `${PEERS} bad peers, ${refusedBehind} of them enrolled, ${round} rounds of writes, ${descriptors()} descriptors (${before.descriptors}), grew ${Math.round(growth / MIB)} MiB`,
    )
  })
})
