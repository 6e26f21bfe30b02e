/**
 * A whole agent whose primary is a stranger: handshake, stream and control messages, over simulated disks and network.
 *
 * Held to: nothing is thrown and nothing is rejected unheard; what the agent says is a correct stream; its status can be
 * asked at any time; a device changes only where a frame that checks named it; and whatever came, the agent
 * closes, opens again on what it left on its disks, and shakes hands.
 */
import {
  encodeMapPayload,
  encodeResyncBeginPayload,
  encodeUnmapPayload,
  FrameType,
  MemoryNetwork,
  scanFrame,
  WIRE_VERSION,
  type Connection,
  type Hello,
} from '@sitelink/protocol'
import { Prng, SimClock } from '@sitelink/storage/testing'
import { AgentHost } from '../../pair/agent-host.js'
import { hold, type Target } from '../engine/target.js'
import { frameStarts } from './frame-bytes.js'
import { checkSaid, converse, frame, GROUP, LOG_TEXT, message, mutateConversation } from './peer-input.js'

const MIB = 2 ** 20
const BLANK = Buffer.alloc(2 * MIB)
const mapping = {
  mappingId: 'a1b2c3d4e5f60718',
  number: 0,
  name: 'data',
  remote: 'dev0',
  sizeBytes: 2 * MIB,
  regionBytes: MIB,
}
const hello: Hello = {
  kind: 'hello',
  wireVersion: WIRE_VERSION,
  wireFloor: 1,
  group: GROUP,
  epoch: 1,
  slink: 1,
  session: '9f8e7d6c5b4a3921',
  logId: LOG_TEXT,
  incarnations: [{ number: 1, id: '0123456789abcdef', firstLsn: 1 }],
  head: [1, 20],
  durable: [1, 20],
  heartbeatMs: 500,
  detectMs: 3000,
  mappings: [{ deviceId: 1, ...mapping }],
}

/** A conversation that a correct agent takes to its end. */
function conversation(): readonly Buffer[] {
  const bits = Buffer.from([3])
  const parts = [
    message(hello),
    message({ kind: 'resume', common: [0, 0], restart: 'it is new', heartbeatMs: 500, detectMs: 3000 }),
    frame({ type: FrameType.map, deviceId: 1, lsn: 0, incarnation: 0 }, encodeMapPayload({ ...mapping, clean: false })),
    frame(
      { type: FrameType.resyncBegin, deviceId: 1, lsn: 0, incarnation: 0 },
      encodeResyncBeginPayload({
        mappingId: mapping.mappingId,
        regionBytes: MIB,
        firstRegion: 0,
        regionCount: 2,
        bits,
      }),
    ),
    frame(
      { type: FrameType.copy, deviceId: 1, lsn: 0, incarnation: 0, offset: 0, length: 4096, aux: 1 },
      Buffer.alloc(4096, 9),
    ),
    frame({
      type: FrameType.copyZeroes,
      deviceId: 1,
      lsn: 0,
      incarnation: 0,
      offset: MIB,
      length: MIB,
      aux: 1,
      flags: 4,
    }),
  ]
  let previousCrc = 0
  for (let lsn = 1; lsn <= 4; lsn++) {
    const kinds = [FrameType.write, FrameType.trim, FrameType.zeroes, FrameType.write] as const
    const type = kinds[lsn - 1] as (typeof kinds)[number]
    const payload = type === FrameType.write ? Buffer.alloc(512, lsn) : null
    const made = frame(
      { type, deviceId: 1, lsn, previousCrc, offset: lsn * 4096, length: payload?.length ?? 4096, durableLsn: lsn - 1 },
      payload,
    )
    previousCrc = made.readUInt32LE(92)
    parts.push(made)
  }
  return [
    ...parts,
    message({ kind: 'durable', point: [1, 4] }),
    frame({ type: FrameType.skip, lsn: 9, aux: 5 }),
    frame({ type: FrameType.unmap, deviceId: 1, lsn: 9 }, encodeUnmapPayload({ mappingId: mapping.mappingId })),
    message({ kind: 'bye', reason: 'all is said' }),
  ]
}

/** Blocks that the frames of the input may change, as `device offset` of 512 bytes. */
function mayChange(input: Buffer): (at: number) => boolean {
  const ranges: (readonly [number, number])[] = []
  for (const at of frameStarts(input)) {
    const scan = scanFrame(input, at)
    if (scan.kind === 'entry') ranges.push([scan.frame.offset, scan.frame.offset + scan.frame.length])
  }
  return (at) => ranges.some(([from, to]) => from <= at && at < to)
}

/** What is on a device, as a read would see it. */
function bytesOf(host: AgentHost, name: string): Buffer {
  const medium = host.disks.medium(`/dev/${name}`)
  const bytes = Buffer.alloc(medium.sizeBytes)
  medium.read(bytes, 0)
  return bytes
}

async function feed(input: Buffer): Promise<string> {
  const clock = new SimClock()
  const prng = new Prng('agent peer')
  const network = new MemoryNetwork({ clock, random: prng, link: { latencyMs: 1 } })
  const host = new AgentHost({ clock, network, prng, name: 'agent1', journalBytes: 4 * MIB })
  host.addDevice('dev0', 2 * MIB)
  host.addDevice('dev1', MIB)
  await clock.runUntil(host.create())
  await clock.runUntil(host.start())
  const said: Buffer[] = []
  const dial = async (): Promise<Connection> => {
    const connection = await clock.runUntil(network.host('primary').dial('memory:agent1', { timeoutMs: 1000 }), 2000)
    connection.attach({ data: (chunk) => said.push(chunk), drained() {}, closed() {} })
    return connection
  }
  const connection = await dial()
  await converse(connection, input, clock)
  JSON.stringify(host.status())
  connection.destroy()
  await clock.advance(100)
  const kinds = checkSaid(said)
  const content = bytesOf(host, 'dev0')
  const changed = content.equals(BLANK) ? -1 : content.findIndex((byte) => byte !== 0)
  hold(changed < 0 || mayChange(input)(changed), `byte ${changed} of the device changed, which no frame names`)
  hold(
    bytesOf(host, 'dev1').equals(BLANK.subarray(0, MIB)) || input.includes('dev1'),
    'a device changed that is not mapped',
  )
  await clock.runUntil(host.stop(), 120_000)
  await clock.runUntil(host.start(), 120_000)
  said.length = 0
  const second = await dial()
  second.write([message(hello)])
  await clock.advance(100)
  const answer = checkSaid(said)[0]
  hold(answer === 'welcome' || answer === 'refuse', `the agent answers a hello after it was opened again: ${answer}`)
  await clock.runUntil(host.stop(), 120_000)
  return `${[...new Set(kinds)].join(' ')}, then ${answer}`
}

export function agentPeerTarget(): Target {
  const parts = conversation()
  return {
    name: 'agent-peer',
    seeds: [
      Buffer.concat(parts as Buffer[]),
      ...[1, 2, 4, 8].map((count) => Buffer.concat(parts.slice(0, count) as Buffer[])),
    ],
    iterations: 150,
    bytesMax: 24 * 1024,
    tokens: [Buffer.from('SLNK')],
    // A journal and its devices live in simulated disks; the session itself holds its window.
    allocationBytesMax: () => 256 * MIB,
    mutate: (input, prng) => mutateConversation(input, prng, parts),
    feed,
  }
}
