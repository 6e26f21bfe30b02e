/**
 * Bits that flip between two sessions: a stream with a known content, delivered damaged to a real `Session`.
 *
 * Owns the streams and the rule. Everything before the damaged frame is handed on, byte for byte; the damaged frame and
 * all behind it never; and the session ends because of damage, with a sentence that names the place.
 */
import {
  encodeFrame,
  encodeMessage,
  FrameType,
  Session,
  type ControlMessage,
  type Frame,
  type SessionEnd,
} from '@sitelink/protocol'
import { SimClock, type Prng } from '@sitelink/storage/testing'
import { hold } from '../engine/target.js'
import { goldenVectors, HEADER_BYTES } from '../targets/frame-bytes.js'
import { LooseEnd } from '../targets/session.js'

/** What a session hands on. */
export type Told = Frame | ControlMessage

export interface WireStream {
  readonly role: 'primary' | 'agent'
  readonly bytes: Buffer
  /** Where each frame begins, and the end of the last one. */
  readonly bounds: readonly number[]
  /** What an undamaged stream hands on, one thing a frame. */
  readonly told: readonly Told[]
}

function bytesOf({ header, payload }: Frame): Buffer {
  return payload === null ? header : Buffer.concat([header, payload])
}

function same(a: Told, b: Told | undefined): boolean {
  if (b === undefined || !('header' in a) || !('header' in b)) return JSON.stringify(a) === JSON.stringify(b)
  return a.header.equals(b.header) && (a.payload ?? NOTHING).equals(b.payload ?? NOTHING)
}
const NOTHING = Buffer.alloc(0)

/** Streams in both directions, of messages and of frames with payloads up to some kilobytes. */
export function wireStreams(prng: Prng): readonly WireStream[] {
  const vectors = goldenVectors()
  const golden = [...vectors].filter(([name]) => name.startsWith('frame-')).map(([, bytes]) => bytes)
  const messages: readonly ControlMessage[] = [
    { kind: 'durable', point: [2, 77] },
    { kind: 'error', code: 'SLOW_DISK', message: 'the disk is slow', fatal: false },
    {
      kind: 'ack',
      received: [2, 9, 9],
      durable: [2, 8, 8],
      applied: [2, 7, 7],
      dirtyRegions: 3,
      consistent: false,
      journalUsedBytes: 1,
      journalBytes: 2,
    },
  ]
  const writes = Array.from({ length: 12 }, (_, index) => {
    const payload = prng.bytes(prng.pick([0, 1, 100, 512, 2000]))
    return bytesOf(encodeFrame({ type: FrameType.write, lsn: index + 1, deviceId: 1, length: payload.length }, payload))
  })
  const talk = messages.map((message) => bytesOf(encodeMessage(message)))
  return [
    streamOf('agent', [vectors.get('control-hello') as Buffer, ...golden, ...writes, talk[0] as Buffer, ...golden]),
    streamOf('primary', [
      vectors.get('control-welcome') as Buffer,
      vectors.get('control-dirty-map') as Buffer,
      ...talk,
      ...talk,
    ]),
  ]
}

function streamOf(role: WireStream['role'], frames: readonly Buffer[]): WireStream {
  const bounds = [0]
  for (const frame of frames) bounds.push((bounds.at(-1) as number) + frame.length)
  const stream = { role, bytes: Buffer.concat(frames as Buffer[]), bounds, told: [] }
  const { told, end } = deliver(stream, stream.bytes, [])
  hold(end.kind === 'connection' && told.length === frames.length, 'an undamaged stream is handed on whole')
  return { ...stream, told }
}

export interface WireOutcome {
  readonly told: readonly Told[]
  readonly end: SessionEnd
}

/** Gives the bytes to a session in pieces that end at `cuts`. */
export function deliver(stream: Pick<WireStream, 'role'>, bytes: Buffer, cuts: readonly number[]): WireOutcome {
  const connection = new LooseEnd()
  const told: Told[] = []
  const ends: SessionEnd[] = []
  const session = new Session(connection, {
    role: stream.role,
    clock: new SimClock(),
    handler: {
      frame: (frame) => told.push(frame),
      control: (message) => told.push(message),
      batchEnd: () => undefined,
      writable: () => undefined,
      closed: (end) => ends.push(end),
    },
  })
  if (stream.role === 'agent') session.sendControl({ kind: 'ready', end: [0, 0], creditBytes: 2 ** 40 })
  let at = 0
  for (const cut of [...cuts, bytes.length]) {
    if (cut <= at) continue
    if (!connection.closing) connection.handler?.data(Buffer.from(bytes.subarray(at, cut)))
    at = cut
  }
  connection.handler?.closed(null)
  const [end] = ends
  hold(end !== undefined && ends.length === 1, 'the end is told once')
  return { told, end }
}

/** Throws where the outcome of a stream that was damaged at these places breaks the rule. */
export function judgeWire(outcome: WireOutcome, stream: WireStream, flipped: readonly number[]): void {
  const first = Math.min(...flipped)
  const damaged = stream.bounds.findLastIndex((from) => from <= first)
  const { told, end } = outcome
  hold(told.length === damaged, `${told.length} frames were handed on, ${damaged} came before the damage`)
  hold(
    told.every((one, index) => same(one, stream.told[index])),
    'what was handed on is what was sent',
  )
  hold(end.kind === 'protocol' && end.code === 'damaged', `it ended with ${end.kind} ${end.code}: ${end.message}`)
  const named = Number(/near byte (\d+)/.exec(end.message)?.[1])
  const from = stream.bounds[damaged] as number
  const to = stream.bounds[damaged + 1] as number
  hold(named >= from && named <= to, `the damage at ${first} is named near byte ${named}`)
}

/** Flips one bit, now and then two or three, and delivers; answers in what part of a frame the first flip was. */
export function flipWire(stream: WireStream, prng: Prng): 'header' | 'payload' {
  const bytes = Buffer.from(stream.bytes)
  const flipped = new Map<number, number>()
  for (let left = prng.chance(0.9) ? 1 : prng.between(2, 3); left > 0; left--)
    flipped.set(prng.below(bytes.length), prng.below(8))
  for (const [at, bit] of flipped) bytes[at] = (bytes[at] as number) ^ (1 << bit)
  const cuts = Array.from({ length: prng.below(6) }, () => prng.below(bytes.length)).sort((a, b) => a - b)
  judgeWire(deliver(stream, bytes, cuts), stream, [...flipped.keys()])
  const first = Math.min(...flipped.keys())
  const from = stream.bounds.findLast((bound) => bound <= first) as number
  return first - from < HEADER_BYTES ? 'header' : 'payload'
}
