/**
 * What targets share that read frames: the golden vectors, and CRCs made true again after a mutation.
 *
 * Owns the tests' own knowledge of the frame's layout (docs/internals/wire-format.md); it does not ask the decoder. A
 * stream is repaired from its front as a reader walks it, so that a mutated length moves what follows, as it would.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { crc32 } from 'node:zlib'
import type { Prng } from '@sitelink/storage/testing'
import { INTERESTING, putNumber } from '../engine/mutator.js'

export const HEADER_BYTES = 96
const MAGIC = 0x4b4e4c53
const AT = { payloadBytes: 80, payloadCrc: 84, headerCrc: 92 } as const
/** Offset and width of every field of the header before its CRCs. */
const FIELDS: readonly (readonly [at: number, width: number])[] = [
  [0, 4],
  [4, 1],
  [5, 1],
  [6, 2],
  [8, 4],
  [12, 4],
  [16, 8],
  [24, 8],
  [32, 4],
  [36, 4],
  [40, 8],
  [48, 8],
  [56, 8],
  [64, 8],
  [72, 8],
  [80, 4],
  [84, 4],
  [88, 4],
]

/** From test/dist/fuzz/targets. */
const VECTORS = fileURLToPath(new URL('../../../vectors/wire/v1', import.meta.url))

/** The golden vectors by name, as `frame-write`. */
export function goldenVectors(): ReadonlyMap<string, Buffer> {
  const files = readdirSync(VECTORS).filter((name) => name.endsWith('.hex'))
  return new Map(
    files.sort().map((name) => {
      const text = readFileSync(join(VECTORS, name), 'utf8').replace(/\s/g, '')
      return [name.replace(/\.hex$/, ''), Buffer.from(text, 'hex')]
    }),
  )
}

/** Makes both CRCs of the frame at `at` true, as far as it lies in the bytes; answers where the next one begins. */
export function sealFrame(bytes: Buffer, at: number): number {
  if (bytes.length - at < HEADER_BYTES) return bytes.length
  const announced = bytes.readUInt32LE(at + AT.payloadBytes)
  const payloadAt = at + HEADER_BYTES
  const payload = bytes.subarray(payloadAt, Math.min(bytes.length, payloadAt + announced))
  bytes.writeUInt32LE(payload.length === 0 ? 0 : crc32(payload), at + AT.payloadCrc)
  bytes.writeUInt32LE(crc32(bytes.subarray(at, at + AT.headerCrc)), at + AT.headerCrc)
  return payloadAt + payload.length
}

/** A copy whose frames check, walked from the front; now and then a length is first set to what is there. */
export function repairStream(input: Buffer, prng: Prng): Buffer {
  const bytes = Buffer.from(input)
  for (let at = 0; at + HEADER_BYTES <= bytes.length;) {
    if (bytes.readUInt32LE(at) !== MAGIC && prng.chance(0.8)) bytes.writeUInt32LE(MAGIC, at)
    const next = bytes.indexOf('SLNK', at + HEADER_BYTES, 'latin1')
    if (prng.chance(0.5))
      bytes.writeUInt32LE((next < 0 ? bytes.length : next) - at - HEADER_BYTES, at + AT.payloadBytes)
    at = sealFrame(bytes, at)
  }
  return bytes
}

/** Where frames begin in a stream that checks or nearly does. */
export function frameStarts(bytes: Buffer): number[] {
  const starts: number[] = []
  for (let at = bytes.indexOf('SLNK'); at >= 0; at = bytes.indexOf('SLNK', at + 4)) starts.push(at)
  return starts
}

/** Mutates whole frames: a header's field, the order, the number of times that one comes. */
export function mutateFrames(input: Buffer, prng: Prng, more: readonly Buffer[] = []): Buffer {
  const starts = frameStarts(input)
  const frames: Buffer[] = starts.map((at, index) => Buffer.from(input.subarray(at, starts[index + 1] ?? input.length)))
  if (frames.length === 0) return input
  const at = prng.below(frames.length)
  const frame = frames[at] as Buffer
  switch (prng.below(6)) {
    case 0:
      frames.splice(prng.below(frames.length + 1), 0, frame)
      break
    case 1:
      frames.splice(at, 1)
      break
    case 2:
      frames.splice(prng.below(frames.length + 1), 0, ...frames.splice(at, 1))
      break
    case 3:
      if (more.length > 0) frames.splice(prng.below(frames.length + 1), 0, prng.pick(more))
      break
    default: {
      const [offset, width] = prng.pick(FIELDS)
      if (frame.length < HEADER_BYTES) break
      const now = frame.readUIntLE(offset, Math.min(6, width))
      putNumber(
        frame,
        offset,
        prng.chance(0.4) ? Math.max(0, now + prng.between(-2, 2)) : prng.pick(INTERESTING),
        width,
        false,
      )
    }
  }
  return Buffer.concat(frames)
}
