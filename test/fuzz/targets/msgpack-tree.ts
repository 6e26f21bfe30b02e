/**
 * Reads msgpack into a tree, for mutation only: as much of the format as our messages use, and no checks.
 */
import type { Tree } from '../engine/tree.js'

interface Walk {
  readonly bytes: Buffer
  at: number
}

/** The value; undefined if the bytes are not one that this reader knows. */
export function fromMsgpack(bytes: Buffer): Tree | undefined {
  try {
    return read({ bytes, at: 0 }, 0)
  } catch {
    return undefined
  }
}

function take(walk: Walk, count: number): Buffer {
  const piece = walk.bytes.subarray(walk.at, walk.at + count)
  if (piece.length < count) throw new Error('it ends early')
  walk.at += count
  return piece
}

function unsigned(walk: Walk, width: 1 | 2 | 4): number {
  return take(walk, width).readUIntBE(0, width)
}

function read(walk: Walk, depth: number): Tree {
  if (depth > 20) throw new Error('it is too deep')
  const tag = unsigned(walk, 1)
  if (tag <= 0x7f) return tag
  if (tag >= 0xe0) return tag - 0x100
  if (tag <= 0x8f) return readMap(walk, tag & 0x0f, depth)
  if (tag <= 0x9f) return readList(walk, tag & 0x0f, depth)
  if (tag <= 0xbf) return take(walk, tag & 0x1f).toString()
  switch (tag) {
    case 0xc0:
      return null
    case 0xc2:
      return false
    case 0xc3:
      return true
    case 0xc4:
      return take(walk, unsigned(walk, 1))
    case 0xc5:
      return take(walk, unsigned(walk, 2))
    case 0xcb:
      return take(walk, 8).readDoubleBE(0)
    case 0xcc:
      return unsigned(walk, 1)
    case 0xcd:
      return unsigned(walk, 2)
    case 0xce:
      return unsigned(walk, 4)
    case 0xcf:
      return Number(take(walk, 8).readBigUInt64BE(0))
    case 0xd9:
      return take(walk, unsigned(walk, 1)).toString()
    case 0xda:
      return take(walk, unsigned(walk, 2)).toString()
    case 0xdc:
      return readList(walk, unsigned(walk, 2), depth)
    case 0xde:
      return readMap(walk, unsigned(walk, 2), depth)
    default:
      throw new Error('it is not ours')
  }
}

function readList(walk: Walk, count: number, depth: number): Tree {
  return Array.from({ length: count }, () => read(walk, depth + 1))
}

function readMap(walk: Walk, count: number, depth: number): Tree {
  return { pairs: Array.from({ length: count }, () => [String(read(walk, depth + 1)), read(walk, depth + 1)] as const) }
}
