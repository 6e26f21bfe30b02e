/**
 * The protocol's pages say what the code does: their marked blocks are made from it.
 *
 * `UPDATE_DOCS=1` rewrites the blocks; without it a block that differs fails. A block with a line of its own for its
 * marks is a paragraph, else it stands within a sentence.
 */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Field } from '../src/control/fields.js'
import { messageShapes, payloadShapes } from '../src/control/schema.js'
import {
  agentTransitions,
  CONNECTION_QUEUE_BYTES,
  DETECT_MS_DEFAULT,
  CODECS_MAX,
  DEVICES_MAX,
  DIRTY_BITS_BYTES_MAX,
  DIRTY_MAPS_MAX,
  ENTRY_PAYLOAD_BYTES_MAX,
  FIRST_MESSAGE_MS_DEFAULT,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_OFFSET,
  FRAME_PAYLOAD_BYTES_MAX,
  FRAME_VERSION,
  FrameFlag,
  FrameType,
  HEARTBEAT_MS_DEFAULT,
  INCARNATIONS_MAX,
  MSGPACK_DEPTH_MAX,
  MSGPACK_VALUES_MAX,
  NAME_BYTES_MAX,
  PACK_RAW_BYTES_MAX,
  PAUSED_INPUT_BYTES_MAX,
  primaryTransitions,
  PROBLEM_BYTES_MAX,
  PROSE_BYTES_MAX,
  RANGE_BYTES_MAX,
  refuseCodes,
  WINDOW_BYTES_MAX,
  WINDOW_BYTES_MIN,
  WIRE_VERSION,
} from '../src/index.js'

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..')

/** Holds each block of a page against the code, or rewrites them. */
function check(path: string, blocks: Readonly<Record<string, string>>): void {
  const file = join(root, path)
  let text = readFileSync(file, 'utf8')
  const found = [...text.matchAll(/<!-- begin ([\w-]+) -->/g)].map((match) => match[1] as string)
  assert.deepEqual(found.toSorted(), Object.keys(blocks).toSorted(), `blocks of ${path}`)
  for (const [name, wanted] of Object.entries(blocks)) {
    const pattern = new RegExp(`(<!-- begin ${name} -->)([^]*?)(<!-- end ${name} -->)`)
    const body = wanted.includes('\n') ? `\n${wanted}\n` : wanted
    if (process.env['UPDATE_DOCS'] === '1')
      text = text.replace(pattern, (_, begin: string, __: string, end: string) => begin + body + end)
    else
      assert.equal(
        pattern.exec(text)?.[2],
        body,
        `the block "${name}" of ${path} is stale: run this test with UPDATE_DOCS=1`,
      )
  }
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(file, text)
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

const fieldMeaning: Readonly<Record<keyof typeof FRAME_OFFSET, string>> = {
  magic: `0x${FRAME_MAGIC.toString(16)}: "SLNK" in the order of the bytes`,
  version: `of the frame: ${FRAME_VERSION}`,
  type: 'see Types',
  headerBytes: `${FRAME_HEADER_BYTES}`,
  flags: 'see Flags',
  deviceId: 'internal device id, never reused in a group; 0: none',
  lsn: 'log sequence number',
  logId: 'identity of the log, new at each creation',
  incarnation: "number of the log's life in which the frame was made",
  previousCrc: "header CRC of the predecessor's header",
  offset: 'first byte of the range on the device',
  length: 'bytes of the range',
  wallUs: 'wall clock in microseconds since 1970, for reports only',
  durableLsn: 'highest LSN known durable at the primary when the frame was made',
  aux: 'by type: stamp of a copy, first LSN of a skip, frames that follow a resync-begin',
  payloadBytes: 'length of the payload',
  payloadCrc: 'CRC of the payload, 0 if it is empty',
  reserved: '0',
  headerCrc: 'CRC of bytes 0 to 91',
}

const typeMeaning: Readonly<Record<keyof typeof FrameType, readonly [payload: string, meaning: string]>> = {
  write: ['the bytes', 'bytes for a range of at most 1 MiB, which crosses no multiple of 1 MiB'],
  zeroes: ['none', 'the range reads as zeros from here on, its space is kept; at most 1 GiB'],
  trim: ['none', 'the range reads as zeros from here on, its space is given back; at most 1 GiB'],
  marker: ['msgpack map', 'a named point in the order, without effect on a device'],
  skip: ['none', 'entries `aux` to `lsn` are not sent to this site'],
  copy: ['the bytes', "a region's bytes or a part of them, read for a resync; `aux` = the stamp"],
  resyncBegin: ['msgpack map', 'the dirty map of one device before a resync'],
  map: ['msgpack map', 'the device is replicated to this site from here on'],
  unmap: ['none', 'the device is no longer replicated to this site from here on'],
  copyZeroes: ['none', 'as `copy`; the range reads as zeros'],
  control: ['msgpack map', 'a control message'],
  packed: ['compressed frames', 'whole frames of the stream; `length` = their bytes, `aux` = the compression'],
}

const flagMeaning: Readonly<Record<keyof typeof FrameFlag, string>> = {
  fua: 'the writer asked for FUA',
  flushBefore:
    'a FLUSH of an application came between the predecessor and this entry (where the primary was started between them: may have come); of a `skip`: before one of its entries',
  lastOfRegion: 'last `copy` or `copyZeroes` of its region',
}

const limits = {
  FRAME_PAYLOAD_BYTES_MAX,
  ENTRY_PAYLOAD_BYTES_MAX,
  RANGE_BYTES_MAX,
  NAME_BYTES_MAX,
  PROSE_BYTES_MAX,
  PROBLEM_BYTES_MAX,
  DEVICES_MAX,
  INCARNATIONS_MAX,
  DIRTY_BITS_BYTES_MAX,
  DIRTY_MAPS_MAX,
  MSGPACK_DEPTH_MAX,
  MSGPACK_VALUES_MAX,
  FIRST_MESSAGE_MS_DEFAULT,
  HEARTBEAT_MS_DEFAULT,
  DETECT_MS_DEFAULT,
  WINDOW_BYTES_MIN,
  WINDOW_BYTES_MAX,
  PAUSED_INPUT_BYTES_MAX,
  CODECS_MAX,
  PACK_RAW_BYTES_MAX,
  CONNECTION_QUEUE_BYTES,
} as const

function formOf(field: Field): string {
  switch (field.is) {
    case 'uint':
    case 'power':
      return `${field.is === 'uint' ? 'uint' : 'power'} ${large(field.min)}..${large(field.max)}`
    case 'text':
    case 'bytes':
      return `${field.is} ${field.min}..${field.max}`
    case 'prose':
      return `prose ..${field.max}`
    case 'word':
      return field.of.map((word) => `"${word}"`).join(' or ')
    case 'nullable':
      return `${formOf(field.of)} or nil`
    case 'list':
      return `[${formOf(field.of)}] ..${field.max}`
    case 'tuple':
      return field.of.length === 2 ? 'point' : 'mark'
    case 'record':
      return `{ ${Object.entries(field.of)
        .map(([name, of]) => `${name}: ${formOf(of)}`)
        .join(', ')} }`
    default:
      return field.is
  }
}

function large(value: number): string {
  return value > 65_535 && Number.isInteger(Math.log2(value + 1))
    ? `2^${Math.log2(value + 1)}-1`
    : Number.isInteger(Math.log2(value)) && value > 65_535
      ? `2^${Math.log2(value)}`
      : `${value}`
}

function shapeTable(shapes: Readonly<Record<string, Readonly<Record<string, Field>>>>): string {
  const rows = Object.entries(shapes).flatMap(([kind, shape]) => {
    const fields = Object.entries(shape).map(([name, field]) => [`\`${name}\``, formOf(field)])
    return (fields.length === 0 ? [['none', '']] : fields).map((row, index) => [
      index === 0 ? `\`${kind}\`` : '',
      ...row,
    ])
  })
  return table(['kind', 'field', 'form'], rows)
}

function transitionTable(transitions: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>): string {
  const rows = Object.entries(transitions).flatMap(([state, row]) =>
    Object.entries(row).map(([event, next], index) => [
      index === 0 ? `\`${state}\`` : '',
      `\`${event}\``,
      next.map((one) => `\`${one}\``).join(' or '),
    ]),
  )
  return table(['state', 'event', 'next state'], [...rows, ['`established`', '', 'the handshake is over']])
}

test('wire-format.md tells the layout, the messages, the limits and the example of the code', () => {
  const offsets = Object.entries(FRAME_OFFSET) as [keyof typeof FRAME_OFFSET, number][]
  const header = offsets.map(([name, at], index) => {
    const bytes = (offsets[index + 1]?.[1] ?? FRAME_HEADER_BYTES) - at
    return [`${at}`, `${bytes}`, `\`${name}\``, fieldMeaning[name]]
  })
  const hex = readFileSync(join(root, 'test', 'vectors', 'wire', `v${WIRE_VERSION}`, 'frame-write.hex'), 'utf8').trim()
  check('docs/internals/wire-format.md', {
    header: table(
      ['offset', 'bytes', 'field', 'meaning'],
      [...header, [`${FRAME_HEADER_BYTES}`, '', '', 'the payload']],
    ),
    types: table(
      ['type', 'name', 'payload', 'meaning'],
      Object.entries(FrameType).map(([name, type]) => [
        `${type}`,
        `\`${name}\``,
        ...typeMeaning[name as keyof typeof FrameType],
      ]),
    ),
    flags: table(
      ['bit value', 'name', 'meaning'],
      Object.entries(FrameFlag).map(([name, bit]) => [
        `${bit}`,
        `\`${name}\``,
        flagMeaning[name as keyof typeof FrameFlag],
      ]),
    ),
    nesting: `${MSGPACK_DEPTH_MAX}`,
    messages: shapeTable(messageShapes),
    payloads: shapeTable({
      map: payloadShapes.map,
      unmap: payloadShapes.unmap,
      'resync-begin': payloadShapes.resyncBegin,
    }),
    limits: table(
      ['limit', 'value'],
      Object.entries(limits).map(([name, value]) => [`\`${name}\``, `${value}`]),
    ),
    example: ['```', hex, '```'].join('\n'),
  })
})

test('handshake.md tells the transitions of the code and every refuse code', () => {
  check('docs/internals/handshake.md', {
    primary: transitionTable(primaryTransitions),
    agent: transitionTable(agentTransitions),
  })
  const text = readFileSync(join(root, 'docs', 'internals', 'handshake.md'), 'utf8')
  const rows = [...text.matchAll(/^\| `([\w-]+)` \| [^|`]+ \| [^|]+ \|$/gm)].map((match) => match[1])
  for (const code of refuseCodes) assert.ok(rows.includes(code), `the code ${code} has no row`)
})
