/**
 * What the two targets share that play a peer of a whole program: a conversation as frames, sent one by one.
 *
 * Owns the pace: messages are sent with time between them, so that the program's answers, disks and timers come in between
 * as they would; frames of the stream follow each other at once. What comes back is held to be a correct stream.
 */
import {
  decodeMessage,
  encodeFrame,
  encodeMessage,
  FrameType,
  scanFrame,
  type Connection,
  type ControlMessage,
  type FrameFields,
} from '@sitelink/protocol'
import type { Prng, SimClock } from '@sitelink/storage/testing'
import { hold } from '../engine/target.js'
import { mutateMsgpack } from './control-message.js'
import { frameStarts, HEADER_BYTES, mutateFrames, sealFrame } from './frame-bytes.js'

export const GROUP = '6ba7b810-9dad-41d1-80b4-00c04fd430c8'
export const LOG_ID = { high: 0x00112233, low: 0x44556677 }
export const LOG_TEXT = '0011223344556677'

export function message(value: ControlMessage): Buffer {
  const { header, payload } = encodeMessage(value)
  return Buffer.concat([header, payload as Buffer])
}

export function frame(fields: FrameFields, payload: Buffer | null = null): Buffer {
  const made = encodeFrame({ logId: LOG_ID, incarnation: 1, ...fields }, payload)
  return payload === null ? made.header : Buffer.concat([made.header, payload])
}

/** Sends the frames of `input`; bytes before the first are sent as they are. */
export async function converse(connection: Connection, input: Buffer, clock: SimClock): Promise<void> {
  const starts = frameStarts(input)
  const bounds = [0, ...starts.filter((at) => at > 0), input.length]
  for (let index = 0; index + 1 < bounds.length; index++) {
    const piece = input.subarray(bounds[index], bounds[index + 1])
    if (piece.length === 0) continue
    connection.write([Buffer.from(piece)])
    const isMessage = piece.length < HEADER_BYTES || piece[5] === FrameType.control
    if (isMessage) await clock.advance(20)
    else await clock.settle()
  }
  await clock.advance(200)
}

/** Everything that a program said is whole frames, and messages that its peer takes. */
export function checkSaid(said: readonly Buffer[]): readonly string[] {
  const kinds: string[] = []
  const bytes = Buffer.concat(said as Buffer[])
  for (let at = 0; at < bytes.length;) {
    const scan = scanFrame(bytes, at)
    if (scan.kind === 'need-more') break // cut off by the end of the connection
    hold(scan.kind === 'entry', `a program says whole frames, not ${scan.kind}`)
    at = scan.next
    if (scan.frame.type !== FrameType.control) kinds.push(`frame ${scan.frame.type}`)
    else {
      const decoded = decodeMessage(scan.frame)
      hold(decoded.ok, 'a program says messages that its peer takes')
      if (decoded.value.kind !== 'heartbeat') kinds.push(decoded.value.kind)
    }
  }
  return kinds
}

/** Mutates a frame of the conversation: its message's value, its payload's, or its header; and seals it. */
export function mutateConversation(input: Buffer, prng: Prng, more: readonly Buffer[]): Buffer {
  if (prng.chance(0.4)) return sealAll(mutateFrames(input, prng, more))
  const starts = frameStarts(input)
  if (starts.length === 0) return input
  const index = prng.below(starts.length)
  const at = starts[index] as number
  const end = starts[index + 1] ?? input.length
  if (end - at < HEADER_BYTES) return input
  const payload = mutateMsgpack(input.subarray(at + HEADER_BYTES, end), prng)
  const header = Buffer.from(input.subarray(at, at + HEADER_BYTES))
  header.writeUInt32LE(payload.length, 80)
  return sealAll(Buffer.concat([input.subarray(0, at), header, payload, input.subarray(end)]))
}

/** Every frame's checksums are true. */
export function sealAll(input: Buffer): Buffer {
  const bytes = Buffer.from(input)
  for (const at of frameStarts(bytes)) if (at + HEADER_BYTES <= bytes.length) sealFrame(bytes, at)
  return bytes
}
