/**
 * The golden vectors of the wire, and the hash that pins its shape to its version.
 *
 * `UPDATE_VECTORS=1` writes the vectors of the present version anew; see the README beside them. Vectors of a version
 * that was released are never rewritten.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { messageShapes, payloadShapes } from '../src/control/schema.js'
import {
  decodeMapPayload,
  decodeMessage,
  decodeResyncBeginPayload,
  encodeFrame,
  encodeMessage,
  FRAME_HEADER_BYTES,
  FRAME_MAGIC,
  FRAME_OFFSET,
  FRAME_VERSION,
  FrameFlag,
  FrameType,
  headerLogId,
  headerPreviousCrc,
  scanFrame,
  WIRE_FLOOR,
  WIRE_VERSION,
  type Frame,
} from '../src/index.js'
import {
  allSamples,
  bytesOfFrame,
  sampleFrames,
  sampleMapPayload,
  sampleMessages,
  sampleResyncBegin,
} from './support/samples.js'

const here = dirname(fileURLToPath(import.meta.url))
/** From packages/protocol/dist/test. */
const vectors = join(here, '..', '..', '..', '..', 'test', 'vectors', 'wire', `v${WIRE_VERSION}`)

/** SHA-256 over message shapes and frame layout, by wire version. Never change a line: add a version and its line. */
const SHAPE_HASHES: Readonly<Record<number, string>> = {
  1: '33de4b595ab07e3fe3aa0df92f003faad323912455773bfe2c2c3425ed6dbeaa',
  2: 'e5de947d30bc944df24221f77f63b687cee2e864f6dfa27a652c1e8780e06abd',
  3: '4a86bd8d39c46f4e131cebc1d38ccb73500905726b0fd18833d5a442f06a318b',
  4: 'a0079ba193441c3a9629e1351c0ec76d79733833054d347f8f4e1cfcbe336ce1',
}

if (process.env['UPDATE_VECTORS'] === '1') {
  mkdirSync(vectors, { recursive: true })
  for (const [name, bytes] of allSamples()) writeFileSync(join(vectors, `${name}.hex`), toHex(bytes))
}

function toHex(bytes: Buffer): string {
  return (bytes.toString('hex').match(/.{1,64}/g) ?? []).join('\n') + '\n'
}

function vector(name: string): Buffer {
  return Buffer.from(readFileSync(join(vectors, `${name}.hex`), 'utf8').replace(/\s/g, ''), 'hex')
}

function decoded(name: string): Frame {
  const bytes = vector(name)
  const scan = scanFrame(bytes)
  assert.equal(scan.kind, 'entry', name)
  if (scan.kind !== 'entry') throw new Error('unreachable')
  assert.equal(scan.next, bytes.length, name)
  return scan.frame
}

test('there is a vector for every frame type and every control message, and no other', () => {
  const wanted = [...allSamples().keys()].map((name) => `${name}.hex`).toSorted()
  assert.deepEqual(
    readdirSync(vectors)
      .filter((name) => name.endsWith('.hex'))
      .toSorted(),
    wanted,
  )
  assert.deepEqual(
    Object.keys(sampleFrames).toSorted(),
    Object.keys(FrameType)
      .filter((name) => name !== 'control')
      .toSorted(),
  )
  assert.deepEqual(Object.keys(sampleMessages).toSorted(), Object.keys(messageShapes).toSorted())
})

test('[FMT-04] every frame type encodes to its golden bytes and decodes from them', () => {
  for (const [name, frame] of Object.entries(sampleFrames)) {
    assert.equal(vector(`frame-${name}`).toString('hex'), bytesOfFrame(frame).toString('hex'), name)
    const back = decoded(`frame-${name}`)
    assert.deepEqual(back, frame, name)
    const fields = { ...back, logId: headerLogId(back.header), previousCrc: headerPreviousCrc(back.header) }
    assert.deepEqual(encodeFrame(fields, back.payload), frame, name)
  }
})

test('what older versions said is still read', () => {
  for (let version = WIRE_FLOOR; version < WIRE_VERSION; version++) {
    const folder = join(vectors, '..', `v${version}`)
    const names = readdirSync(folder).filter((name) => name.endsWith('.hex'))
    assert.ok(names.length > 20)
    for (const name of names) {
      const scan = scanFrame(Buffer.from(readFileSync(join(folder, name), 'utf8').replace(/\s/g, ''), 'hex'))
      assert.ok(scan.kind === 'entry', name)
      if (scan.frame.type === FrameType.control) assert.equal(decodeMessage(scan.frame).ok, true, name)
    }
  }
})

test('[FMT-04] the byte order of a golden frame is little-endian, byte by byte', () => {
  const bytes = vector('frame-write')
  assert.equal(bytes.subarray(0, 4).toString('latin1'), 'SLNK')
  assert.deepEqual([...bytes.subarray(6, 8)], [96, 0])
  assert.deepEqual([...bytes.subarray(12, 16)], [7, 0, 0, 0])
  // 5000000091 = 0x12a05f25b
  assert.deepEqual([...bytes.subarray(16, 24)], [0x5b, 0xf2, 0x05, 0x2a, 1, 0, 0, 0])
  assert.deepEqual([...bytes.subarray(24, 32)], [0xff, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00])
})

test('every control message encodes to its golden bytes and decodes from them', () => {
  for (const [name, message] of Object.entries(sampleMessages)) {
    assert.equal(bytesOfFrame(encodeMessage(message)).toString('hex'), vector(`control-${name}`).toString('hex'), name)
    assert.deepEqual(decodeMessage(decoded(`control-${name}`)), { ok: true, value: message })
  }
})

test('the payloads of map and resync-begin decode from their golden bytes', () => {
  assert.deepEqual(decodeMapPayload(decoded('frame-map').payload), { ok: true, value: sampleMapPayload })
  assert.deepEqual(decodeResyncBeginPayload(decoded('frame-resyncBegin').payload), {
    ok: true,
    value: sampleResyncBegin,
  })
})

test('neither a message shape nor the frame layout changes without a new wire version', () => {
  const layout = { FRAME_MAGIC, FRAME_VERSION, FRAME_HEADER_BYTES, FRAME_OFFSET, FrameType, FrameFlag }
  const shape = JSON.stringify({ layout, messageShapes, payloadShapes })
  const hash = createHash('sha256').update(shape).digest('hex')
  assert.equal(
    hash,
    SHAPE_HASHES[WIRE_VERSION],
    `the wire changed: raise WIRE_VERSION, tell its history, add the line ${WIRE_VERSION + 1}: '${hash}'`,
  )
  assert.ok(WIRE_FLOOR >= 1 && WIRE_FLOOR <= WIRE_VERSION)
})

test('every wire version has its line of history', () => {
  const source = readFileSync(join(here, '..', '..', 'src', 'version.ts'), 'utf8')
  for (let version = 1; version <= WIRE_VERSION; version++)
    assert.match(source, new RegExp(`^ \\*   ${version}  \\S`, 'm'))
})
