/**
 * Control messages to frames and back, and the msgpack payloads of `map` and `resync-begin` frames.
 *
 * Owns the pinned options of msgpackr and the door: what comes out of a decode function satisfies its type, its ranges
 * and the rules between its fields, whatever the peer sent. Refusals are sentences for a log and for the peer; nothing
 * here throws on bad input. What goes in is checked by the same rows, as an assertion: to send what the peer must refuse
 * is a bug. Free text that is too long is cut.
 */
import { Packr } from 'msgpackr/pack'
import { Unpackr, type Options } from 'msgpackr/unpack'
import { assert } from '../entry/assert.js'
import { encodeControlFrame, FRAME_HEADER_BYTES, FRAME_OFFSET, FrameType, type Frame } from '../entry/frame.js'
import { FRAME_PAYLOAD_BYTES_MAX } from '../entry/limits.js'
import { decodeAck, encodeAck } from './ack-codec.js'
import { clipText, recordProblem, type Field, type Fields } from './fields.js'
import type { ControlMessage, MapPayload, ResyncBeginPayload, UnmapPayload } from './messages.js'
import { msgpackProblem } from './msgpack-guard.js'
import { bitsProblem, messageShapes, payloadShapes, ruleProblem } from './schema.js'

/** A decoded value, or why the bytes are refused. */
export type Decoded<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string }

// Plain maps, lists, strings, numbers, booleans, nil and bin: no records, no shared structures, no extension types, so
// that any msgpack library can read it and nothing a peer sends can build code or objects other than these.
const OPTIONS: Options = {
  useRecords: false,
  structuredClone: false,
  moreTypes: false,
  bundleStrings: false,
  variableMapSize: true,
  mapsAsObjects: true,
  copyBuffers: false,
  int64AsType: 'number',
}
const packr = new Packr(OPTIONS)
const unpackr = new Unpackr(OPTIONS)

/** The control frame of `message`. Fails (a bug of the caller) if a correct peer would refuse it. */
export function encodeMessage(message: ControlMessage): Frame {
  const ack = message.kind === 'ack' ? encodeAck(message) : null
  return ack === null ? encodeAnyMessage(message) : encodeControlFrame(ack)
}

/** The same for every kind, acknowledgements too, by the library alone. Exported for the test that compares the two. */
export function encodeAnyMessage(message: ControlMessage): Frame {
  const { kind, ...fields } = message
  const shape: Fields = messageShapes[kind]
  const clipped = clipProse(shape, fields)
  assertGood(recordProblem(shape, clipped, kind) ?? ruleProblem({ kind, ...clipped } as ControlMessage))
  return encodeControlFrame(pack({ kind, ...clipped }))
}

/** The message of a control frame that passed the scanner, or why it is refused. `Buffer` fields are views into it. */
export function decodeMessage(frame: Frame): Decoded<ControlMessage> {
  const misplaced = strayHeaderField(frame)
  if (misplaced !== null) return refused(`a control frame carries ${misplaced}`)
  const ack = frame.payload === null ? null : decodeAck(frame.payload)
  return ack === null ? decodeAnyMessage(frame.payload) : { ok: true, value: ack }
}

/** The message of any payload of a control frame, by the library alone. Exported for the test that compares the two. */
export function decodeAnyMessage(payload: Buffer | null): Decoded<ControlMessage> {
  const unpacked = unpack(payload)
  if (!unpacked.ok) return unpacked
  if (!isMap(unpacked.value)) return refused('a control message is not a map')
  const { kind, ...fields } = unpacked.value
  // Only text is shown: a map of the peer's may have a `toString` that is none.
  if (typeof kind !== 'string') return refused('the kind of a control message is not text')
  if (!Object.hasOwn(messageShapes, kind)) {
    return refused(`"${clipText(kind, 32)}" is not a control message of this version`)
  }
  const problem = recordProblem(messageShapes[kind as ControlMessage['kind']], fields, kind)
  if (problem !== null) return refused(problem)
  const message = unpacked.value as unknown as ControlMessage
  const broken = ruleProblem(message)
  return broken === null ? { ok: true, value: message } : refused(broken)
}

/** The payload of a `map` frame. */
export function encodeMapPayload(payload: MapPayload): Buffer {
  assertGood(recordProblem(payloadShapes.map, payload, 'map'))
  return pack(payload)
}

/** The contents of a `map` frame's payload, or why they are refused. */
export function decodeMapPayload(payload: Buffer | null): Decoded<MapPayload> {
  const unpacked = unpack(payload)
  if (!unpacked.ok) return unpacked
  const problem = recordProblem(payloadShapes.map, unpacked.value, 'map')
  return problem === null ? { ok: true, value: unpacked.value as MapPayload } : refused(problem)
}

/** The payload of an `unmap` frame. */
export function encodeUnmapPayload(payload: UnmapPayload): Buffer {
  assertGood(recordProblem(payloadShapes.unmap, payload, 'unmap'))
  return pack(payload)
}

/** The contents of an `unmap` frame's payload, or why they are refused. */
export function decodeUnmapPayload(payload: Buffer | null): Decoded<UnmapPayload> {
  const unpacked = unpack(payload)
  if (!unpacked.ok) return unpacked
  const problem = recordProblem(payloadShapes.unmap, unpacked.value, 'unmap')
  return problem === null ? { ok: true, value: unpacked.value as UnmapPayload } : refused(problem)
}

/** The payload of a `resync-begin` frame. */
export function encodeResyncBeginPayload(payload: ResyncBeginPayload): Buffer {
  assertGood(recordProblem(payloadShapes.resyncBegin, payload, 'resync-begin') ?? bitsProblem(payload, 'resync-begin'))
  return pack(payload)
}

/** The contents of a `resync-begin` frame's payload, or why they are refused. `bits` is a view into it. */
export function decodeResyncBeginPayload(payload: Buffer | null): Decoded<ResyncBeginPayload> {
  const unpacked = unpack(payload)
  if (!unpacked.ok) return unpacked
  const problem = recordProblem(payloadShapes.resyncBegin, unpacked.value, 'resync-begin')
  if (problem !== null) return refused(problem)
  const value = unpacked.value as ResyncBeginPayload
  const broken = bitsProblem(value, 'resync-begin')
  return broken === null ? { ok: true, value } : refused(broken)
}

function pack(value: object): Buffer {
  const bytes = packr.pack(value)
  assert(bytes.length <= FRAME_PAYLOAD_BYTES_MAX, 'a message fits into one frame')
  // The packer's own buffer holds other messages as well: a copy does not keep all of them in memory, nor depend on its ways.
  return Buffer.from(bytes)
}

function unpack(payload: Buffer | null): Decoded<unknown> {
  if (payload === null) return refused('a msgpack payload is empty')
  const problem = msgpackProblem(payload)
  if (problem !== null) return refused(problem)
  try {
    return { ok: true, value: unpackr.unpack(payload) as unknown }
  } catch (error) {
    return refused(`the msgpack payload cannot be decoded: ${String(error)}`)
  }
}

function refused(why: string): { readonly ok: false; readonly why: string } {
  return { ok: false, why }
}

function assertGood(problem: string | null): void {
  assert(problem === null, `a message that is sent is correct: ${problem}`)
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
}

/** Header fields that a control frame leaves 0, by name. They follow each other without a gap. */
const UNUSED: readonly (readonly [name: string, at: number, bytes: number])[] = [
  ['flags', FRAME_OFFSET.flags, 4],
  ['a device id', FRAME_OFFSET.deviceId, 4],
  ['an LSN', FRAME_OFFSET.lsn, 8],
  ['a log id', FRAME_OFFSET.logId, 8],
  ['an incarnation', FRAME_OFFSET.incarnation, 4],
  ["a predecessor's CRC", FRAME_OFFSET.previousCrc, 4],
  ['an offset', FRAME_OFFSET.offset, 8],
  ['a length', FRAME_OFFSET.length, 8],
  ['a time', FRAME_OFFSET.wallUs, 8],
  ['a durable LSN', FRAME_OFFSET.durableLsn, 8],
  ['an aux value', FRAME_OFFSET.aux, 8],
]
const UNUSED_FROM = FRAME_OFFSET.flags
const UNUSED_TO = FRAME_OFFSET.aux + 8

function strayHeaderField(frame: Frame): string | null {
  if (frame.type !== FrameType.control) return `the type ${frame.type}`
  assert(frame.header.length === FRAME_HEADER_BYTES, 'a frame has a whole header')
  let bits = 0
  for (let at = UNUSED_FROM; at < UNUSED_TO; at += 4) bits |= frame.header.readInt32LE(at)
  if (bits === 0) return null
  for (const [name, at, bytes] of UNUSED) {
    for (let index = at; index < at + bytes; index++) if (frame.header[index] !== 0) return name
  }
  return null
}

/** Cuts the free text of `value` to its limits, in nested records and lists as well; all else stays as it is. */
function clipProse(fields: Fields, value: object): Record<string, unknown> {
  const clipped: Record<string, unknown> = { ...value }
  for (const [name, field] of Object.entries(fields)) {
    if (holdsProse(field)) clipped[name] = clipField(field, clipped[name])
  }
  return clipped
}

function holdsProse(field: Field): boolean {
  if (field.is === 'prose') return true
  if (field.is === 'nullable' || field.is === 'list') return holdsProse(field.of)
  return field.is === 'record' && Object.values(field.of).some(holdsProse)
}

function clipField(field: Field, value: unknown): unknown {
  if (field.is === 'prose') return typeof value === 'string' ? clipText(value, field.max) : value
  if (field.is === 'nullable') return value === null ? null : clipField(field.of, value)
  if (field.is === 'list' && Array.isArray(value)) return value.map((item) => clipField(field.of, item))
  if (field.is === 'record' && isMap(value)) return clipProse(field.of, value)
  return value
}
