/**
 * One side of a session (`Session`) whose peer sends any bytes at all, in pieces of any size.
 *
 * The input's first byte says which side we are and whether we are ready for frames, the second how the rest is cut into
 * pieces. Held to, by a walk of the tests' own over the same bytes: every frame and message that is handed on is one that
 * stands there, in order, byte for byte; nothing comes after the first thing that is wrong; the end is told once, of a
 * documented kind, and comes whenever something is wrong; what we answer is itself a correct stream.
 */
import {
  decodeMessage,
  encodeMessage,
  FRAME_PAYLOAD_BYTES_MAX,
  FrameType,
  scanFrame,
  Session,
  type Connection,
  type ConnectionHandler,
  type ControlMessage,
  type Frame,
  type SessionEnd,
} from '@sitelink/protocol'
import { Prng, SimClock } from '@sitelink/storage/testing'
import { hold, type Target } from '../engine/target.js'
import { mutateMsgpack } from './control-message.js'
import { frameStarts, goldenVectors, HEADER_BYTES, mutateFrames, repairStream } from './frame-bytes.js'

const CREDIT_BYTES = 20_000
const END_KINDS: ReadonlySet<string> = new Set(['peer-bye', 'peer-error', 'protocol', 'connection'])

/** A connection in memory: what is written is kept, what comes is given by the test. */
export class LooseEnd implements Connection {
  readonly description = 'loose end'
  readonly queuedBytes = 0
  readonly written: Buffer[] = []
  handler: ConnectionHandler | null = null
  closing = false

  attach(handler: ConnectionHandler): void {
    this.handler = handler
  }

  write(chunks: readonly Buffer[]): boolean {
    this.written.push(...chunks)
    return true
  }

  pause(): void {}
  resume(): void {}

  close(): void {
    this.closing = true
  }

  destroy(): void {
    this.closing = true
  }
}

type Heard = { readonly frame: Frame } | { readonly message: ControlMessage }

/** What a correct session hands on of these bytes, and whether it must end. */
function expected(
  bytes: Buffer,
  role: 'primary' | 'agent',
  granted: number,
): { readonly heard: readonly Heard[]; readonly end: string | null } {
  const heard: Heard[] = []
  let ready = role === 'agent'
  let credit = -1
  let streamBytes = 0
  for (let at = 0; at < bytes.length;) {
    const scan = scanFrame(bytes, at)
    if (scan.kind === 'need-more') return { heard, end: null }
    if (scan.kind !== 'entry') return { heard, end: 'protocol' }
    at = scan.next
    if (scan.frame.type !== FrameType.control) {
      streamBytes += HEADER_BYTES + (scan.frame.payload?.length ?? 0)
      if (granted < 0 || streamBytes > granted) return { heard, end: 'protocol' }
      heard.push({ frame: scan.frame })
      continue
    }
    const decoded = decodeMessage(scan.frame)
    if (!decoded.ok) return { heard, end: 'protocol' }
    const message = decoded.value
    if (message.kind === 'heartbeat') continue
    if (message.kind === 'credit') {
      if (credit < 0 || message.bytes < credit) return { heard, end: 'protocol' }
      credit = message.bytes
      continue
    }
    if (message.kind === 'ready') {
      if (ready) return { heard, end: 'protocol' }
      ready = true
      credit = message.creditBytes
    }
    if (message.kind === 'bye') return { heard, end: 'peer-bye' }
    if (message.kind === 'error' && message.fatal) return { heard, end: 'peer-error' }
    heard.push({ message })
  }
  return { heard, end: null }
}

function sameHeard(a: Heard, b: Heard): boolean {
  if ('frame' in a)
    return (
      'frame' in b &&
      a.frame.header.equals(b.frame.header) &&
      (a.frame.payload ?? Buffer.alloc(0)).equals(b.frame.payload ?? Buffer.alloc(0))
    )
  return 'message' in b && JSON.stringify(a.message) === JSON.stringify(b.message)
}

/** Everything that we wrote is whole frames with messages that the other side takes. */
function checkWritten(written: readonly Buffer[]): void {
  const bytes = Buffer.concat(written as Buffer[])
  for (let at = 0; at < bytes.length;) {
    const scan = scanFrame(bytes, at)
    hold(scan.kind === 'entry', 'what a session sends is whole frames')
    hold(decodeMessage(scan.frame).ok, 'what a session sends is a message that its peer takes')
    at = scan.next
  }
}

/** Where the pieces end, by the second byte. */
function* pieces(bytes: Buffer, how: number): Generator<Buffer> {
  const prng = new Prng(how)
  for (let at = 0; at < bytes.length;) {
    const size = how === 0 ? bytes.length : how < 64 ? 1 + prng.below(8) : 1 + prng.below(400)
    yield bytes.subarray(at, at + size)
    at += size
  }
}

export function feedSession(input: Buffer): string {
  if (input.length < 2) return 'too short'
  const mode = input[0] as number
  const role = (mode & 1) === 0 ? 'agent' : 'primary'
  const bytes = input.subarray(2)
  const connection = new LooseEnd()
  const heard: Heard[] = []
  const ends: SessionEnd[] = []
  const session = new Session(connection, {
    role,
    clock: new SimClock(),
    handler: {
      frame: (frame, count) => {
        hold(ends.length === 0, 'nothing is handed on after the end')
        heard.push({ frame })
        hold(count === heard.filter((one) => 'frame' in one).length, 'frames are counted')
      },
      control: (message) => {
        hold(ends.length === 0, 'nothing is handed on after the end')
        heard.push({ message })
      },
      batchEnd: () => hold(ends.length === 0, 'nothing is told after the end'),
      writable: () => undefined,
      closed: (end) => ends.push(end),
    },
  })
  const granted = role === 'agent' && (mode & 2) !== 0 ? CREDIT_BYTES : -1
  if (granted >= 0) session.sendControl({ kind: 'ready', end: [0, 0], creditBytes: granted })
  for (const piece of pieces(bytes, input[1] as number)) {
    if (connection.closing) break
    connection.handler?.data(Buffer.from(piece))
  }
  connection.handler?.closed(null)
  const wanted = expected(bytes, role, granted)
  hold(heard.length === wanted.heard.length, `${heard.length} things were handed on, ${wanted.heard.length} are good`)
  hold(
    heard.every((one, index) => sameHeard(one, wanted.heard[index] as Heard)),
    'what was handed on is what stands there',
  )
  const end = ends[0]
  hold(ends.length === 1 && end !== undefined, 'the end is told once')
  // What the peer says of its reason may be nothing; what we say is a sentence.
  hold(
    END_KINDS.has(end.kind) && (end.kind.startsWith('peer') || end.message !== ''),
    `the end is of a documented kind: ${end.kind}`,
  )
  hold((wanted.end ?? 'connection') === end.kind, `it ended with ${end.kind}, not with ${wanted.end ?? 'connection'}`)
  checkWritten(connection.written)
  return `${role} ${granted >= 0}: ${end.kind} ${end.code ?? ''} after ${Math.min(3, heard.length)}`
}

export function sessionTarget(): Target {
  const vectors = goldenVectors()
  const all = [...vectors.values()]
  const stream = all.filter((_, index) => !([...vectors.keys()][index] as string).startsWith('control-'))
  const talk = (names: readonly string[]): Buffer =>
    Buffer.concat(names.map((name) => vectors.get(`control-${name}`) as Buffer))
  const start = (mode: number, cut: number, bytes: Buffer): Buffer => Buffer.concat([Buffer.from([mode, cut]), bytes])
  const credit = Buffer.concat(
    [1, 2].map((bytes) => {
      const { header, payload } = encodeMessage({ kind: 'credit', bytes: 2 ** 33 + bytes })
      return Buffer.concat([header, payload as Buffer])
    }),
  )
  return {
    name: 'session',
    seeds: [
      start(0, 0, talk(['hello', 'resume', 'heartbeat', 'durable', 'bye'])),
      start(2, 9, Buffer.concat([talk(['hello', 'resume']), ...stream])),
      start(2, 0, Buffer.concat([...stream, talk(['durable', 'error'])])),
      start(1, 100, Buffer.concat([talk(['welcome', 'dirty-map', 'ready', 'ack']), credit, talk(['bye'])])),
      start(1, 3, talk(['refuse'])),
    ],
    iterations: 5000,
    bytesMax: 16 * 1024,
    tokens: [Buffer.from('SLNK')],
    // One frame that goes on in the next piece: its payload is taken when its header has checked.
    allocationBytesMax: (input) => FRAME_PAYLOAD_BYTES_MAX + 512 * 1024 + 64 * input.length,
    mutate: (input, prng) => {
      const head = Buffer.from(input.subarray(0, 2))
      if (prng.chance(0.1) && head.length === 2) head[prng.below(2)] = prng.below(256)
      const body = input.subarray(2)
      if (prng.chance(0.5)) return Buffer.concat([head, mutateFrames(body, prng, all)])
      const starts = frameStarts(body)
      if (starts.length === 0) return input
      const index = prng.below(starts.length)
      const at = starts[index] as number
      const end = starts[index + 1] ?? body.length
      const message = mutateMsgpack(body.subarray(Math.min(end, at + HEADER_BYTES), end), prng)
      const frame = Buffer.from(body.subarray(at, Math.min(end, at + HEADER_BYTES)))
      if (frame.length === HEADER_BYTES) frame.writeUInt32LE(message.length, 80)
      return Buffer.concat([head, body.subarray(0, at), frame, message, body.subarray(end)])
    },
    repair: (input, prng) => Buffer.concat([input.subarray(0, 2), repairStream(input.subarray(2), prng)]),
    feed: feedSession,
  }
}
