/**
 * Walks the bytes of a msgpack value before the decoder sees them, and refuses what we never write.
 *
 * Owns the structural rules: exactly one value that fills the bytes; no extension types (records, timestamps, classes),
 * no single-precision floats, no integer beyond 2^53 - 1; map keys are short strings and occur once; depth and number
 * of values are bounded. It allocates nothing that grows with a length it has not checked, so that a hostile payload
 * costs no more than one pass over it.
 */
import { MSGPACK_DEPTH_MAX, MSGPACK_VALUES_MAX } from '../limits.js'

/** Longest key of a map in bytes; the longest of ours has 17. */
const KEY_BYTES_MAX = 32

class Refused extends Error {}

interface Walk {
  readonly bytes: Buffer
  at: number
  values: number
}

/** Why `bytes` are not one msgpack value of ours, or null if they are. */
export function msgpackProblem(bytes: Buffer): string | null {
  const walk: Walk = { bytes, at: 0, values: 0 }
  try {
    value(walk, 0)
  } catch (error) {
    if (error instanceof Refused) return error.message
    throw error
  }
  return walk.at === bytes.length ? null : `${bytes.length - walk.at} bytes follow the msgpack value`
}

/** Moves over `count` bytes and returns where they began. */
function take(walk: Walk, count: number): number {
  const from = walk.at
  if (count > walk.bytes.length - from) throw new Refused('the msgpack value ends early')
  walk.at = from + count
  return from
}

function unsigned(walk: Walk, width: 1 | 2 | 4): number {
  const from = take(walk, width)
  return walk.bytes.readUIntBE(from, width)
}

function value(walk: Walk, depth: number): void {
  if (depth > MSGPACK_DEPTH_MAX) throw new Refused(`msgpack nesting is deeper than ${MSGPACK_DEPTH_MAX}`)
  if (++walk.values > MSGPACK_VALUES_MAX) throw new Refused(`more than ${MSGPACK_VALUES_MAX} msgpack values`)
  const tag = unsigned(walk, 1)
  if (tag <= 0x7f || tag >= 0xe0) return
  if (tag <= 0x8f) return map(walk, tag & 0x0f, depth)
  if (tag <= 0x9f) return list(walk, tag & 0x0f, depth)
  if (tag <= 0xbf) return void take(walk, tag & 0x1f)
  switch (tag) {
    case 0xc0: // nil
    case 0xc2: // false
    case 0xc3: // true
      return
    case 0xc4:
    case 0xd9:
      return void take(walk, unsigned(walk, 1))
    case 0xc5:
    case 0xda:
      return void take(walk, unsigned(walk, 2))
    case 0xc6:
    case 0xdb:
      return void take(walk, unsigned(walk, 4))
    case 0xcb: // double: how integers beyond 32 bits travel; its value is judged by the schema
      return void take(walk, 8)
    case 0xcc:
    case 0xd0:
      return void take(walk, 1)
    case 0xcd:
    case 0xd1:
      return void take(walk, 2)
    case 0xce:
    case 0xd2:
      return void take(walk, 4)
    case 0xcf: {
      const from = take(walk, 8)
      if (walk.bytes.readUInt32BE(from) > 0x1f_ffff) throw new Refused('an integer is larger than 2^53 - 1')
      return
    }
    case 0xdc:
      return list(walk, unsigned(walk, 2), depth)
    case 0xdd:
      return list(walk, unsigned(walk, 4), depth)
    case 0xde:
      return map(walk, unsigned(walk, 2), depth)
    case 0xdf:
      return map(walk, unsigned(walk, 4), depth)
    default:
      throw new Refused(`msgpack type 0x${tag.toString(16)} is not used on this wire`)
  }
}

function list(walk: Walk, count: number, depth: number): void {
  // An item has at least one byte: a count that cannot be true is refused before anything is done with it.
  if (count > walk.bytes.length - walk.at) throw new Refused('the msgpack value ends early')
  for (let index = 0; index < count; index++) value(walk, depth + 1)
}

function map(walk: Walk, count: number, depth: number): void {
  if (2 * count > walk.bytes.length - walk.at) throw new Refused('the msgpack value ends early')
  const keys = new Set<string>()
  for (let index = 0; index < count; index++) {
    const name = key(walk)
    if (keys.has(name)) throw new Refused(`the key "${name}" occurs twice`)
    keys.add(name)
    value(walk, depth + 1)
  }
}

function key(walk: Walk): string {
  const tag = unsigned(walk, 1)
  const bytes = tag >= 0xa0 && tag <= 0xbf ? tag & 0x1f : tag === 0xd9 ? unsigned(walk, 1) : -1
  if (bytes < 1 || bytes > KEY_BYTES_MAX) throw new Refused('a map key is not a short string')
  const from = take(walk, bytes)
  const name = walk.bytes.toString('latin1', from, from + bytes)
  if (!/^[A-Za-z]+$/.test(name)) throw new Refused('a map key is not a plain name')
  return name
}
