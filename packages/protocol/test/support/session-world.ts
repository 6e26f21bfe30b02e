/**
 * Two sessions over a memory network under a simulated clock, and a third kind of peer that sends any bytes at all.
 */
import {
  encodeFrame,
  FrameType,
  MemoryNetwork,
  Session,
  type Connection,
  type ControlMessage,
  type Frame,
  type LinkConditions,
  type SessionEnd,
  type SessionOptions,
} from '../../src/index.js'
import { SimClock } from './clock.js'
import { SeededRandom } from './random.js'

/** One side, and everything that it was told. */
export class Side {
  readonly session: Session
  readonly frames: { readonly frame: Frame; readonly count: number }[] = []
  readonly messages: ControlMessage[] = []
  readonly log: string[] = []
  readonly ends: SessionEnd[] = []
  batches = 0
  onFrame: (frame: Frame, count: number) => void = () => {}
  onMessage: (message: ControlMessage) => void = () => {}
  onWritable: () => void = () => {}
  onBatchEnd: () => void = () => {}

  constructor(connection: Connection, options: Omit<SessionOptions, 'handler'>) {
    this.session = new Session(connection, {
      ...options,
      handler: {
        frame: (frame, count) => {
          this.frames.push({ frame, count })
          this.log.push(`frame ${frame.lsn}`)
          this.onFrame(frame, count)
        },
        control: (message) => {
          this.messages.push(message)
          this.log.push(message.kind)
          this.onMessage(message)
        },
        batchEnd: () => {
          this.batches += 1
          this.log.push('batch')
          this.onBatchEnd()
        },
        writable: () => this.onWritable(),
        closed: (end) => {
          this.ends.push(end)
          this.log.push(`closed ${end.kind}`)
        },
      },
    })
  }

  get end(): SessionEnd | undefined {
    return this.ends[0]
  }
}

export interface SessionWorld {
  readonly clock: SimClock
  readonly network: MemoryNetwork
  readonly primary: Side
  readonly agent: Side
}

async function connect(link: Partial<LinkConditions>, seed: number) {
  const clock = new SimClock()
  const network = new MemoryNetwork({ clock, random: new SeededRandom(seed), link })
  const accepted: Connection[] = []
  await network.host('agent').listen('memory:agent', (connection) => accepted.push(connection))
  const dialing = network.host('primary').dial('memory:agent', { timeoutMs: 60_000 })
  clock.run(1000)
  return { clock, network, dialed: await dialing, accepted: accepted[0] as Connection }
}

/** Two sessions that have just begun. */
export async function sessions(
  link: Partial<LinkConditions> = {},
  options: Partial<SessionOptions> & { readonly seed?: number } = {},
): Promise<SessionWorld> {
  const { clock, network, dialed, accepted } = await connect(link, options.seed ?? 1)
  const primary = new Side(dialed, { clock, ...options, role: 'primary' })
  const agent = new Side(accepted, { clock, ...options, role: 'agent' })
  return { clock, network, primary, agent }
}

/** Two sessions after `ready` with so much credit. Both sides have said their first words. */
export async function readySessions(
  creditBytes: number,
  link: Partial<LinkConditions> = {},
  options: Partial<SessionOptions> & { readonly seed?: number } = {},
): Promise<SessionWorld> {
  const world = await sessions(link, options)
  world.primary.session.sendControl({ kind: 'durable', point: [1, 0] })
  world.agent.session.sendControl({ kind: 'ready', end: [1, 0], creditBytes })
  world.clock.run(200)
  for (const side of [world.primary, world.agent]) {
    side.log.length = 0
    side.messages.length = 0
    side.batches = 0
  }
  return world
}

/** A session of `role`, and its peer as a bare connection that may send anything. */
export async function withRawPeer(role: 'primary' | 'agent') {
  const { clock, network, dialed, accepted } = await connect({}, 1)
  const side = new Side(role === 'primary' ? dialed : accepted, { clock, role })
  const raw = role === 'primary' ? accepted : dialed
  const received: Buffer[] = []
  const peer = { connection: raw, received, closed: false }
  raw.attach({ data: (chunk) => received.push(chunk), drained() {}, closed: () => void (peer.closed = true) })
  return { clock, network, side, peer }
}

/** A write entry with `bytes` of payload. */
export function writeFrame(lsn: number, bytes = 100): Frame {
  return encodeFrame(
    { type: FrameType.write, lsn, incarnation: 1, deviceId: 1, length: bytes },
    Buffer.alloc(bytes, lsn),
  )
}
