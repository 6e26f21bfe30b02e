/** Frames and their scanner: every truncation and every flipped bit is told apart, and nothing damaged is accepted. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  encodeControlFrame,
  encodeFrame,
  ENTRY_PAYLOAD_BYTES_MAX,
  FRAME_HEADER_BYTES,
  FRAME_OFFSET,
  FRAME_PAYLOAD_BYTES_MAX,
  FrameType,
  crc32,
  fastCrc32,
  portableCrc32,
  readU64,
  scanFrame,
  writeU64,
} from '../../src/index.js'
import { seeded } from '../support/random.js'
import { allSamples, sampleFrames } from '../support/samples.js'

const fast = fastCrc32()
const noFast = 'the optional package @node-rs/crc32 cannot be loaded here'

const answers: [string, number][] = [
  ['', 0],
  ['a', 0xe8b7be43],
  ['123456789', 0xcbf43926],
  ['The quick brown fox jumps over the lazy dog', 0x414fa339],
]

for (const [name, crc] of [
  ['usual', crc32],
  ['portable', portableCrc32],
  ['fast', fast],
] as const) {
  test(`the ${name} CRC gives the known answers, whole and in parts`, { skip: crc === null && noFast }, () => {
    assert(crc !== null)
    for (const [text, answer] of answers) {
      const bytes = Buffer.from(text)
      assert.equal(crc(bytes), answer, text)
      for (let at = 0; at <= bytes.length; at++)
        assert.equal(crc(bytes.subarray(at), crc(bytes.subarray(0, at))), answer)
    }
    assert.equal(crc(Buffer.alloc(32)), 0x190a55ad)
    assert.equal(crc(Buffer.alloc(32, 0xff)), 0xff6cab0b)
  })
}

test('all CRCs agree on random bytes of every length around their strides, from any seed', (t) => {
  const random = seeded(t)
  const lengths = [...Array(700).keys(), 4096, 65_537, 100_003]
  for (const [at, length] of lengths.entries()) {
    const bytes = random.bytes(length)
    const seed = at % 2 === 0 ? 0 : random.bytes(4).readUInt32LE()
    const answer = portableCrc32(bytes, seed)
    assert.equal(crc32(bytes, seed), answer)
    if (fast !== null) assert.equal(fast(bytes, seed), answer)
  }
})

test('a package for large buffers that is missing, or answers otherwise than the known one, is not used', () => {
  const wrong = (bytes: Uint8Array, seed = 0): number =>
    bytes.length >= 4096 ? portableCrc32(bytes, seed) ^ 1 : portableCrc32(bytes, seed)
  const forgetful = (bytes: Uint8Array): number => portableCrc32(bytes)
  const missing = (): never => {
    throw new Error('Cannot find module')
  }
  for (const load of [missing, () => ({}), () => ({ crc32: wrong }), () => ({ crc32: forgetful })])
    assert.equal(fastCrc32(load), null)
  const right = fastCrc32(() => ({ crc32: portableCrc32 }))
  assert.equal(right, portableCrc32)
})

test('integers of 64 bits keep every value up to 2^53 - 1, and larger ones are told', () => {
  const buffer = Buffer.alloc(8)
  for (const value of [0, 1, 0xffff_ffff, 0x1_0000_0000, Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER]) {
    writeU64(buffer, value, 0)
    assert.equal(readU64(buffer, 0), value)
    assert.equal(buffer.readBigUInt64LE(), BigInt(value))
  }
  buffer.writeBigUInt64LE(2n ** 53n)
  assert.equal(readU64(buffer, 0), -1)
})

test('a control frame is what any frame of that type is, to the byte, whatever its payload', (t) => {
  const random = seeded(t)
  const lengths = [...Array(600).keys(), 65_537, FRAME_PAYLOAD_BYTES_MAX - 1].map((length) => length + 1)
  for (const length of lengths) {
    const payload = random.bytes(length)
    const frame = encodeControlFrame(payload)
    assert.deepEqual(frame, encodeFrame({ type: FrameType.control }, payload))
    assert.equal(frame.payload, payload)
  }
  assert.throws(() => encodeControlFrame(Buffer.alloc(0)), /has a payload within its limit/)
  assert.throws(() => encodeControlFrame(Buffer.alloc(FRAME_PAYLOAD_BYTES_MAX + 1)), /has a payload within its limit/)
})

test('the header of a control frame never changes when later ones are made', () => {
  const first = encodeControlFrame(Buffer.from('first'))
  const before = Buffer.from(first.header)
  encodeControlFrame(Buffer.from('second'))
  assert.deepEqual(first.header, before)
})

test('every truncation of every frame asks for what is missing', () => {
  for (const [name, bytes] of allSamples()) {
    assert.deepEqual(scanFrame(bytes.subarray(0, 0)), { kind: 'end' }, name)
    for (let length = 1; length < bytes.length; length++) {
      const scan = scanFrame(bytes.subarray(0, length))
      assert.equal(scan.kind, 'need-more', `${name} cut to ${length}`)
      if (scan.kind !== 'need-more') continue
      const missing = (length < FRAME_HEADER_BYTES ? FRAME_HEADER_BYTES : bytes.length) - length
      assert.equal(scan.bytes, missing, `${name} cut to ${length}`)
    }
  }
})

test('[FMT-03] every single flipped bit of every frame is found, by the part that it is in', () => {
  for (const [name, good] of allSamples()) {
    for (let bit = 0; bit < good.length * 8; bit++) {
      const bytes = Buffer.from(good)
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
      const scan = scanFrame(bytes)
      const at = bit >> 3
      const what = `${name}, bit ${bit}`
      if (at < 4) assert.deepEqual(scan, { kind: 'torn', why: 'magic' }, what)
      else if (at < FRAME_HEADER_BYTES) assert.deepEqual(scan, { kind: 'torn', why: 'header-crc' }, what)
      else assert.ok(scan.kind === 'corrupt' && scan.why === 'payload-crc', what)
    }
  }
})

/** A frame whose header was changed and whose header CRC is right again. */
function forged(change: (header: Buffer) => void): Buffer {
  const header = Buffer.from(sampleFrames.zeroes.header)
  change(header)
  header.writeUInt32LE(crc32(header.subarray(0, FRAME_OFFSET.headerCrc)), FRAME_OFFSET.headerCrc)
  return header
}

test('a header that checks but cannot be meant is told apart: version, type, field, size', () => {
  const cases: [string, (header: Buffer) => void][] = [
    ['version', (header) => header.writeUInt8(2, FRAME_OFFSET.version)],
    ['version', (header) => header.writeUInt16LE(128, FRAME_OFFSET.headerBytes)],
    ['type', (header) => header.writeUInt8(0, FRAME_OFFSET.type)],
    ['type', (header) => header.writeUInt8(63, FRAME_OFFSET.type)],
    ['field', (header) => header.writeUInt32LE(8, FRAME_OFFSET.flags)],
    ['field', (header) => header.writeUInt32LE(1, FRAME_OFFSET.reserved)],
    ['field', (header) => header.writeBigUInt64LE(2n ** 53n, FRAME_OFFSET.lsn)],
    ['field', (header) => header.writeBigUInt64LE(2n ** 64n - 1n, FRAME_OFFSET.aux)],
  ]
  for (const [why, change] of cases) {
    const scan = scanFrame(forged(change))
    assert.ok(scan.kind === 'corrupt' && scan.why === why, `${why}: ${JSON.stringify(scan)}`)
  }
  const large = scanFrame(
    forged((header) => header.writeUInt32LE(FRAME_PAYLOAD_BYTES_MAX + 1, FRAME_OFFSET.payloadBytes)),
  )
  assert.deepEqual(large, { kind: 'too-large', bytes: FRAME_PAYLOAD_BYTES_MAX + 1 })
})

test('[FMT-19] the largest entry has 1 MiB, and a frame beyond the limit is never encoded', () => {
  assert.equal(ENTRY_PAYLOAD_BYTES_MAX, 1024 * 1024)
  const largest = encodeFrame(
    { type: FrameType.write, lsn: 1, length: ENTRY_PAYLOAD_BYTES_MAX },
    Buffer.alloc(ENTRY_PAYLOAD_BYTES_MAX, 1),
  )
  const scan = scanFrame(Buffer.concat([largest.header, largest.payload as Buffer]))
  assert.equal(scan.kind, 'entry')
  assert.throws(
    () => encodeFrame({ type: FrameType.write }, Buffer.alloc(FRAME_PAYLOAD_BYTES_MAX + 1)),
    /within its limit/,
  )
})

test('zero fill is an end, other bytes that are no frame are torn', () => {
  assert.deepEqual(scanFrame(Buffer.alloc(4096)), { kind: 'end' })
  assert.deepEqual(scanFrame(Buffer.alloc(10)), { kind: 'end' })
  assert.deepEqual(scanFrame(Buffer.alloc(4096, 1)), { kind: 'torn', why: 'magic' })
  assert.deepEqual(scanFrame(Buffer.alloc(5, 1)), { kind: 'torn', why: 'magic' })
})

test('random bytes and random damage are never taken for a frame', (t) => {
  const random = seeded(t)
  const samples = [...allSamples().values()]
  for (let round = 0; round < 5000; round++) {
    const bytes = random.oneIn(3) ? random.bytes(random.below(400)) : Buffer.from(random.pick(samples))
    const before = Buffer.from(bytes)
    if (bytes.length > 0)
      for (let count = 1 + random.below(4); count > 0; count--) bytes[random.below(bytes.length)] = random.below(256)
    const scan = scanFrame(bytes)
    if (scan.kind === 'entry') assert.ok(before.equals(bytes), 'only an unchanged frame is accepted')
  }
})
