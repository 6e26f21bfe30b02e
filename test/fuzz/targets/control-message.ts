/**
 * Control messages: the msgpack guard, the schema and the rules between fields, behind a frame that checks.
 *
 * The input is the msgpack payload alone, so that every mutation gets past the CRCs. Held to: nothing is thrown; a refusal is
 * one sentence; what is accepted satisfies the encoder, which asserts the same rules, and reads back as the same value
 * from what the encoder wrote; nothing that is accepted has a key or a prototype that its schema does not name.
 */
import assert from 'node:assert/strict'
import {
  decodeMapPayload,
  decodeMessage,
  decodeResyncBeginPayload,
  decodeUnmapPayload,
  encodeFrame,
  encodeMapPayload,
  encodeMessage,
  encodeResyncBeginPayload,
  encodeUnmapPayload,
  FrameType,
  type Decoded,
} from '@sitelink/protocol'
import type { Prng } from '@sitelink/storage/testing'
import { hold, type Target } from '../engine/target.js'
import { isMap, mutateTree, toMsgpack, type Tree } from '../engine/tree.js'
import { goldenVectors, HEADER_BYTES } from './frame-bytes.js'
import { fromMsgpack } from './msgpack-tree.js'

const PAYLOADS = [
  ['map', decodeMapPayload, encodeMapPayload],
  ['unmap', decodeUnmapPayload, encodeUnmapPayload],
  ['resync-begin', decodeResyncBeginPayload, encodeResyncBeginPayload],
] as const

/** The sentence of a refusal without the parts that come from the input. */
function wordOf(what: string, why: string): string {
  hold(why.length > 0 && why.length < 4096 && !why.includes('\n'), 'a refusal is one sentence')
  hold(
    !/\bat .*\(.*:\d+:\d+\)|TypeError|RangeError/.test(why),
    `a refusal is meant, not an accident: ${why.slice(0, 200)}`,
  )
  return `${what}: ${why
    .replace(/"[^"]*"/g, '""')
    .replace(/\d+/g, '#')
    .replace(/\[[#]*\]/g, '')
    .slice(0, 60)}`
}

function plain(value: unknown): void {
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return
  const proto: unknown = Object.getPrototypeOf(value)
  hold(proto === Object.prototype || proto === Array.prototype, 'what is accepted is plain maps and lists')
  for (const one of Object.values(value)) plain(one)
}

function checkPayload<T>(
  what: string,
  payload: Buffer,
  decode: (payload: Buffer) => Decoded<T>,
  encode: (value: T) => Buffer,
): string {
  const decoded = decode(payload)
  if (!decoded.ok) return wordOf(what, decoded.why)
  plain(decoded.value)
  assert.deepEqual(decode(encode(decoded.value)), decoded, 'what was accepted reads back as it is')
  return `${what}: taken`
}

export function feedControl(payload: Buffer): string {
  if (payload.length === 0) return 'empty'
  const decoded = decodeMessage(encodeFrame({ type: FrameType.control }, payload))
  for (const [what, decode, encode] of PAYLOADS)
    checkPayload(what, payload, decode as (payload: Buffer) => Decoded<never>, encode as (value: never) => Buffer)
  if (!decoded.ok) return wordOf('message', decoded.why)
  plain(decoded.value)
  assert.deepEqual(decodeMessage(encodeMessage(decoded.value)), decoded, 'what was accepted reads back as it is')
  return `message: ${decoded.value.kind}`
}

/** Mutates the value, not its bytes; what cannot be read as a value is left to the other mutations. */
export function mutateMsgpack(input: Buffer, prng: Prng): Buffer {
  const tree = fromMsgpack(input)
  if (tree === undefined) return input
  if (isMap(tree) && prng.chance(0.1)) {
    const kind: Tree = { pairs: [[prng.pick(['toString', 'valueOf', 'kind']), prng.pick<Tree>([1, null, 'x'])]] }
    return toMsgpack({ pairs: tree.pairs.map(([key, value]) => [key, key === 'kind' ? kind : value] as const) })
  }
  return toMsgpack(mutateTree(tree, prng))
}

export function controlMessageTarget(): Target {
  const payloads = [...goldenVectors()]
    .filter(([name]) => /^control-|map$|resyncBegin$/.test(name))
    .map(([, bytes]) => bytes.subarray(HEADER_BYTES))
  return {
    name: 'control-message',
    seeds: payloads,
    iterations: 12_000,
    bytesMax: 64 * 1024,
    tokens: ['kind', 'hello', 'welcome', '__proto__', 'toString', 'constructor'].map((word) => toMsgpack(word)),
    allocationBytesMax: (input) => 256 * 1024 + 32 * input.length,
    mutate: mutateMsgpack,
    feed: feedControl,
  }
}
