/**
 * Values as trees (maps, lists, texts, numbers, bytes): mutated where they stand, and written as msgpack or JSON.
 *
 * Owns the mutations that bytes cannot reach: a field that is missing, doubled or of another kind, a name that every
 * object has by birth, nesting without end. Maps are lists of pairs, so that a key may stand twice and `__proto__` is a key
 * like any other. The encoder is the tests' own and writes also what the product never would.
 */
import type { Prng } from '@sitelink/storage/testing'
import { INTERESTING } from './mutator.js'

export type Tree = null | boolean | number | string | Buffer | readonly Tree[] | TreeMap
export interface TreeMap {
  readonly pairs: readonly (readonly [string, Tree])[]
}

/** Names that an object answers to without having them. */
const BORN: readonly string[] = [
  '__proto__',
  'constructor',
  'toString',
  'valueOf',
  'hasOwnProperty',
  'isPrototypeOf',
  'toJSON',
  'then',
  'length',
  'kind',
]

export function isMap(tree: Tree): tree is TreeMap {
  return typeof tree === 'object' && tree !== null && 'pairs' in tree
}

/** A plain value as a tree. */
export function treeOf(value: unknown): Tree {
  if (value === null || value === undefined) return null
  if (Buffer.isBuffer(value)) return value
  if (Array.isArray(value)) return value.map(treeOf)
  if (typeof value === 'object')
    return { pairs: Object.entries(value).map(([key, one]) => [key, treeOf(one)] as const) }
  return value as Tree
}

/** A value of any kind; `near` is what stood there. */
function anyValue(near: Tree, prng: Prng): Tree {
  const texts = ['', 'x', '\0', '\ud800', 'ä'.repeat(200), 'y'.repeat(5000), '../../etc', '-1', '0x10', '1e400']
  const choices: readonly (() => Tree)[] = [
    () => null,
    () => prng.chance(0.5),
    () => prng.pick(INTERESTING),
    () => -prng.pick(INTERESTING),
    () => prng.pick([0.5, -0, NaN, Infinity, -Infinity, 1e308, 1e-300, 1.5e9, 4096.5]),
    () => prng.pick(texts),
    () => prng.pick(BORN),
    () => [],
    () => ({ pairs: [] }),
    () => prng.bytes(prng.below(20)),
    () => [near],
    () => [near, near, near],
    () => ({ pairs: [[prng.pick(BORN), near]] }),
    () => Array.from({ length: 50 }, () => near),
    () => nested(prng.pick([3, 6, 7, 8, 50, 400]), prng.chance(0.5)),
    () => (typeof near === 'number' ? near + prng.between(-2, 2) : near),
    () => (typeof near === 'string' ? near + near : near),
    () => (typeof near === 'string' ? near.slice(0, prng.below(near.length + 1)) : near),
    () => (typeof near === 'string' ? near.toUpperCase() : near),
  ]
  return prng.pick(choices)()
}

function nested(depth: number, lists: boolean): Tree {
  let tree: Tree = 1
  for (let left = depth; left > 0; left--) tree = lists ? [tree] : { pairs: [['a', tree]] }
  return tree
}

function countOf(tree: Tree): number {
  if (Array.isArray(tree)) return tree.reduce((sum: number, one) => sum + countOf(one as Tree), 1)
  return tree !== null && isMap(tree) ? tree.pairs.reduce((sum, [, one]) => sum + countOf(one), 1) : 1
}

/** Replaces the node with this number, counted from the root. */
function replaceAt(tree: Tree, target: { left: number }, change: (node: Tree) => Tree): Tree {
  if (target.left-- === 0) return change(tree)
  if (Array.isArray(tree)) return tree.map((one) => replaceAt(one as Tree, target, change))
  if (tree !== null && isMap(tree))
    return { pairs: tree.pairs.map(([key, one]) => [key, replaceAt(one, target, change)] as const) }
  return tree
}

function changeMap(map: TreeMap, prng: Prng): TreeMap {
  const pairs = [...map.pairs]
  const at = prng.below(Math.max(1, pairs.length))
  const [key, value] = pairs[at] ?? ['x', null]
  switch (prng.below(6)) {
    case 0:
      pairs.splice(at, 1)
      break
    case 1:
      pairs.splice(prng.below(pairs.length + 1), 0, [prng.pick(BORN), value])
      break
    case 2:
      pairs.push([key, value])
      break
    case 3:
      pairs[at] = [prng.pick(BORN), key]
      break
    case 4:
      pairs[at] = [prng.pick([...pairs.map(([name]) => name), `${key}x`, key.toUpperCase(), '']), value]
      break
    default:
      return { pairs: prng.shuffle(pairs) }
  }
  return { pairs }
}

/** A tree that differs somewhere. */
export function mutateTree(tree: Tree, prng: Prng): Tree {
  let result = tree
  for (let left = prng.chance(0.7) ? 1 : 1 + prng.below(4); left > 0; left--) {
    const target = { left: prng.below(Math.min(2000, countOf(result))) }
    result = replaceAt(result, target, (node) => {
      if (node !== null && isMap(node) && prng.chance(0.7)) return changeMap(node, prng)
      if (Array.isArray(node) && prng.chance(0.5) && node.length > 0)
        return prng.pick([node.slice(1), [...node, ...node], [...node].reverse(), [...node, node[0] as Tree]])
      return anyValue(node, prng)
    })
  }
  return result
}

/** JSON text; bytes become texts, what JSON has no word for becomes a large number. */
export function toJson(tree: Tree): string {
  if (tree === null || typeof tree === 'boolean') return String(tree)
  if (typeof tree === 'number') return Number.isFinite(tree) ? (Object.is(tree, -0) ? '-0' : String(tree)) : '1e999'
  if (typeof tree === 'string') return JSON.stringify(tree)
  if (Buffer.isBuffer(tree)) return JSON.stringify(tree.toString('latin1'))
  if (isMap(tree)) return `{${tree.pairs.map(([key, one]) => `${JSON.stringify(key)}:${toJson(one)}`).join(',')}}`
  return `[${(tree as readonly Tree[]).map(toJson).join(',')}]`
}

/** Msgpack. Numbers take the form that msgpackr would read back as the same number. */
export function toMsgpack(tree: Tree): Buffer {
  const parts: Buffer[] = []
  write(tree, parts)
  return Buffer.concat(parts)
}

function header(tag: number, width: 1 | 2 | 4, value: number): Buffer {
  const bytes = Buffer.alloc(1 + width)
  bytes[0] = tag
  bytes.writeUIntBE(value, 1, width)
  return bytes
}

function write(tree: Tree, parts: Buffer[]): void {
  if (tree === null) parts.push(Buffer.from([0xc0]))
  else if (typeof tree === 'boolean') parts.push(Buffer.from([tree ? 0xc3 : 0xc2]))
  else if (typeof tree === 'number') parts.push(numberBytes(tree))
  else if (typeof tree === 'string') {
    const bytes = Buffer.from(tree)
    parts.push(bytes.length < 32 ? Buffer.from([0xa0 + bytes.length]) : header(0xda, 2, bytes.length % 65_536), bytes)
  } else if (Buffer.isBuffer(tree)) parts.push(header(0xc5, 2, tree.length), tree)
  else if (isMap(tree)) {
    parts.push(tree.pairs.length < 16 ? Buffer.from([0x80 + tree.pairs.length]) : header(0xde, 2, tree.pairs.length))
    for (const [key, one] of tree.pairs) {
      write(key, parts)
      write(one, parts)
    }
  } else {
    const list = tree as readonly Tree[]
    parts.push(list.length < 16 ? Buffer.from([0x90 + list.length]) : header(0xdc, 2, list.length))
    for (const one of list) write(one, parts)
  }
}

function numberBytes(value: number): Buffer {
  if (Number.isInteger(value) && value >= 0 && value < 128 && !Object.is(value, -0)) return Buffer.from([value])
  if (Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff && !Object.is(value, -0))
    return header(0xce, 4, value)
  const bytes = Buffer.alloc(9)
  bytes[0] = 0xcb
  bytes.writeDoubleBE(value, 1)
  return bytes
}
