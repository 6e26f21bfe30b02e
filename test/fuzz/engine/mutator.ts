/**
 * Makes inputs out of inputs, without knowing a format: bits, bytes, numbers, slices, and splices of two.
 *
 * Pure but for the generator that it is given. The numbers are those at which parsers go wrong: ends of widths, signs,
 * sizes of our own formats, and one beyond each.
 */
import type { Prng } from '@sitelink/storage/testing'

/** Numbers that are worth a try wherever a number may stand. */
export const INTERESTING: readonly number[] = [
  0,
  1,
  2,
  3,
  7,
  8,
  16,
  32,
  63,
  64,
  95,
  96,
  97,
  127,
  128,
  255,
  256,
  511,
  512,
  1000,
  4095,
  4096,
  4097,
  32_767,
  32_768,
  65_535,
  65_536,
  131_072,
  262_144,
  1_048_575,
  1_048_576,
  1_048_577,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 40,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  2 ** 64 - 1,
]

/** Writes a number of so many bytes; what does not fit is cut. */
export function putNumber(into: Buffer, at: number, value: number, width: number, bigEndian: boolean): void {
  let left = BigInt(Math.min(value, 2 ** 64 - 2048))
  if (value >= 2 ** 64 - 1) left = 2n ** 64n - 1n
  for (let index = 0; index < width; index++) {
    const place = bigEndian ? at + width - 1 - index : at + index
    if (place >= 0 && place < into.length) into[place] = Number(left & 0xffn)
    left >>= 8n
  }
}

type Mutation = (input: Buffer, prng: Prng, other: Buffer, tokens: readonly Buffer[]) => Buffer

/** A run of bytes within a buffer that has some: where it begins, and its length, mostly short. */
function run(length: number, prng: Prng): readonly [at: number, bytes: number] {
  const at = prng.below(Math.max(1, length))
  const longest = Math.max(1, length - at)
  return [at, 1 + prng.below(prng.chance(0.7) ? Math.min(longest, 32) : longest)]
}

function insert(input: Buffer, at: number, piece: Buffer): Buffer {
  return Buffer.concat([input.subarray(0, at), piece, input.subarray(at)])
}

const mutations: readonly Mutation[] = [
  function flipBits(input, prng) {
    const bytes = Buffer.from(input)
    for (let left = prng.chance(0.7) ? 1 : 1 + prng.below(16); left > 0 && bytes.length > 0; left--) {
      const at = prng.below(bytes.length)
      bytes[at] = (bytes[at] as number) ^ (1 << prng.below(8))
    }
    return bytes
  },
  function setByte(input, prng) {
    const bytes = Buffer.from(input)
    if (bytes.length > 0)
      bytes[prng.below(bytes.length)] = prng.pick([0, 1, 0x7f, 0x80, 0xff, prng.below(256), prng.below(256)])
    return bytes
  },
  function setNumber(input, prng) {
    const bytes = Buffer.from(input)
    if (bytes.length > 0)
      putNumber(bytes, prng.below(bytes.length), prng.pick(INTERESTING), prng.pick([1, 2, 4, 8]), prng.chance(0.5))
    return bytes
  },
  function nudgeNumber(input, prng) {
    const bytes = Buffer.from(input)
    const width = prng.pick([1, 2, 4] as const)
    if (bytes.length < width) return bytes
    const at = prng.below(bytes.length - width + 1)
    const by = prng.between(-4, 4)
    const top = 2 ** (8 * width)
    if (prng.chance(0.5)) bytes.writeUIntLE((bytes.readUIntLE(at, width) + by + top) % top, at, width)
    else bytes.writeUIntBE((bytes.readUIntBE(at, width) + by + top) % top, at, width)
    return bytes
  },
  function truncate(input, prng) {
    return input.subarray(0, prng.below(input.length + 1))
  },
  function cutOut(input, prng) {
    const [at, bytes] = run(input.length, prng)
    return Buffer.concat([input.subarray(0, at), input.subarray(at + bytes)])
  },
  function repeat(input, prng) {
    const [at, bytes] = run(input.length, prng)
    const piece = input.subarray(at, at + bytes)
    const times = prng.chance(0.9) ? 1 : 1 + prng.below(64)
    return insert(input, at, Buffer.concat(Array.from({ length: times }, () => piece)))
  },
  function move(input, prng) {
    const [at, bytes] = run(input.length, prng)
    const rest = Buffer.concat([input.subarray(0, at), input.subarray(at + bytes)])
    return insert(rest, prng.below(rest.length + 1), input.subarray(at, at + bytes))
  },
  function overwrite(input, prng) {
    const bytes = Buffer.from(input)
    const [from, count] = run(input.length, prng)
    input.copy(bytes, prng.below(bytes.length + 1), from, from + count)
    return bytes
  },
  function splice(input, prng, other) {
    const head = input.subarray(0, prng.below(input.length + 1))
    return Buffer.concat([head, other.subarray(prng.below(other.length + 1))])
  },
  function append(input, _, other) {
    return Buffer.concat([input, other])
  },
  function noise(input, prng) {
    return insert(input, prng.below(input.length + 1), prng.bytes(1 + prng.below(40)))
  },
  function fill(input, prng) {
    const bytes = Buffer.from(input)
    const [at, count] = run(input.length, prng)
    return bytes.length === 0 ? bytes : bytes.fill(prng.pick([0, 0xff]), at, at + count)
  },
  function token(input, prng, _, tokens) {
    if (tokens.length === 0) return input
    const piece = prng.pick(tokens)
    const at = prng.below(input.length + 1)
    if (prng.chance(0.5)) return insert(input, at, piece)
    const bytes = Buffer.from(input)
    piece.copy(bytes, at)
    return bytes
  },
]

/** One random mutation, or a few. */
export function mutateBytes(
  input: Buffer,
  prng: Prng,
  options: { readonly other: Buffer; readonly tokens: readonly Buffer[]; readonly bytesMax: number },
): Buffer {
  let bytes = input
  for (let left = prng.chance(0.6) ? 1 : 1 + prng.below(5); left > 0; left--) {
    const next = prng.pick(mutations)(bytes, prng, options.other, options.tokens)
    bytes = next.length > options.bytesMax ? next.subarray(0, options.bytesMax) : next
  }
  return bytes
}
