/**
 * A whole primary whose agent is a stranger: what it hears in the handshake and in the middle of the stream.
 *
 * Held to: nothing is thrown and nothing is rejected unheard; what the primary says is a correct stream; its group goes
 * on: it is still running, its status can be asked, a write is answered; and it stops in order and opens again.
 */
import { MemoryNetwork, WIRE_VERSION, type Connection, type Welcome } from '@sitelink/protocol'
import { groupStatus } from '@sitelink/primary'
import { Prng, SimClock } from '@sitelink/storage/testing'
import { PrimaryHost } from '../../pair/primary-host.js'
import { hold, type Target } from '../engine/target.js'
import { checkSaid, converse, message, mutateConversation } from './peer-input.js'

const MIB = 2 ** 20
const MAPPING = 'a1b2c3d4e5f60718'

function conversation(): readonly Buffer[] {
  const welcome: Welcome = {
    kind: 'welcome',
    wireVersion: WIRE_VERSION,
    agent: '11111111-2222-4333-8444-555555555555',
    journal: '66778899aabbccdd',
    epoch: 1,
    replica: null,
    devices: [{ name: 'dev0', sizeBytes: 2 * MIB, problem: null }],
    mappings: [{ deviceId: 1, mappingId: MAPPING, remote: 'dev0' }],
    dirtyMaps: 1,
    allDirty: false,
  }
  const ack = (lsn: number, frames: number): Buffer =>
    message({
      kind: 'ack',
      received: [1, lsn, frames],
      durable: [1, lsn, frames],
      applied: [1, 0, 0],
      dirtyRegions: 0,
      consistent: true,
      journalUsedBytes: 5,
      journalBytes: 100,
    })
  return [
    message(welcome),
    message({
      kind: 'dirty-map',
      deviceId: 1,
      mappingId: MAPPING,
      regionBytes: MIB,
      firstRegion: 0,
      regionCount: 2,
      bits: Buffer.from([1]),
    }),
    message({ kind: 'ready', end: [0, 0], creditBytes: 4 * MIB }),
    ack(0, 0),
    ack(1, 1),
    message({ kind: 'error', code: 'SLOW', message: 'the disk is slow', fatal: false }),
    ack(2, 4),
    message({ kind: 'heartbeat', sentUs: 5, echoUs: 0, heldUs: 0 }),
    message({ kind: 'bye', reason: 'all is said' }),
  ]
}

async function feed(input: Buffer): Promise<string> {
  const clock = new SimClock()
  const prng = new Prng('primary peer')
  const network = new MemoryNetwork({ clock, random: prng, link: { latencyMs: 1 } })
  const host = new PrimaryHost({ clock, network, prng, logBytes: 4 * MIB })
  await clock.runUntil(host.create())
  await clock.runUntil(host.start())
  const accepted: Connection[] = []
  const said: Buffer[] = []
  await network.host('agent1').listen('memory:agent1', (connection) => {
    connection.attach({
      // The first conversation is looked at.
      data: (chunk) => void (connection === accepted[0] && said.push(chunk)),
      drained() {},
      closed() {},
    })
    accepted.push(connection)
  })
  host.disks.addDevice('/dev/local0', 2 * MIB)
  host.history.addDevice({ deviceId: 1, sizeBytes: 2 * MIB })
  const { admin } = host
  await clock.runUntil(admin.addDevice({ number: 0, path: '/dev/local0', name: 'dev0', sizeBytes: 2 * MIB }))
  await clock.runUntil(admin.addSlink({ number: 1, mode: 'async', addresses: ['memory:agent1'] }))
  const wish = { remote: 'dev0', dirtyLog: { type: 'disk', path: null }, regionBytes: MIB, initial: 'nosync' } as const
  await clock.runUntil(admin.map({ ...wish, mappingId: MAPPING, device: 0, slink: 1 }))
  const before = [host.write({ offset: 0, bytes: Buffer.alloc(4096, 1) }), host.write({ offset: MIB, bytes: 4096 })]
  for (let waited = 0; accepted.length === 0; waited++) {
    hold(waited < 100, 'the primary dials')
    await clock.advance(50)
  }
  await converse(accepted[0] as Connection, input, clock)
  JSON.stringify(groupStatus(host.group))
  accepted[0]?.destroy()
  const after = host.write({ offset: 8192, bytes: Buffer.alloc(512, 2), fua: true })
  await clock.advance(2000)
  for (const ticket of [...before, after]) hold(ticket.errno === 0, `a write is answered: ${ticket.errno}`)
  hold(host.group.state === 'running', `the group goes on: ${host.group.state}`)
  const kinds = checkSaid(said)
  await clock.runUntil(host.stop(), 120_000)
  await clock.runUntil(host.start(), 120_000)
  await clock.runUntil(host.stop(), 120_000)
  return [...new Set(kinds)].join(' ')
}

export function primaryPeerTarget(): Target {
  const parts = conversation()
  return {
    name: 'primary-peer',
    seeds: [
      Buffer.concat(parts as Buffer[]),
      ...[1, 2, 3, 5].map((count) => Buffer.concat(parts.slice(0, count) as Buffer[])),
    ],
    iterations: 120,
    bytesMax: 24 * 1024,
    tokens: [Buffer.from('SLNK')],
    allocationBytesMax: () => 256 * MIB,
    mutate: (input, prng) => mutateConversation(input, prng, parts),
    feed,
  }
}
