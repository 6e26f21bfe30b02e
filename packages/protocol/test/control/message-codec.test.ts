/** The door of control messages: what is accepted is exactly what the types say, whatever is knocked with. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Packr, addExtension } from 'msgpackr'
import type { Field } from '../../src/control/fields.js'
import { msgpackProblem } from '../../src/control/msgpack-guard.js'
import { messageShapes } from '../../src/control/schema.js'
import {
  decodeMapPayload,
  decodeMessage,
  decodeResyncBeginPayload,
  DEVICES_MAX,
  encodeFrame,
  encodeMessage,
  encodeResyncBeginPayload,
  FRAME_OFFSET,
  FRAME_PAYLOAD_BYTES_MAX,
  FrameType,
  INCARNATIONS_MAX,
  NAME_BYTES_MAX,
  PROBLEM_BYTES_MAX,
  PROSE_BYTES_MAX,
  type ControlMessage,
  type FrameFields,
  type Hello,
  type Welcome,
} from '../../src/index.js'
import { seeded } from '../support/random.js'
import { sampleFrames, sampleMapPayload, sampleMessages, sampleResyncBegin } from '../support/samples.js'

const plain = new Packr({ useRecords: false, variableMapSize: true })
const samples = Object.values(sampleMessages) as ControlMessage[]

/** Decodes any bytes as a control frame's payload; the reason of the refusal, or null. */
function refusal(payload: Buffer, fields: Partial<FrameFields> = {}): string | null {
  const decoded = decodeMessage(encodeFrame({ type: FrameType.control, ...fields }, payload))
  return decoded.ok ? null : decoded.why
}

const pack = (value: unknown): Buffer => Buffer.from(plain.pack(value))

test('integers up to 2^53 - 1 come back as numbers', () => {
  for (const bytes of [0, 127, 128, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    const decoded = decodeMessage(encodeMessage({ kind: 'credit', bytes }))
    assert.deepEqual(decoded, { ok: true, value: { kind: 'credit', bytes } })
  }
})

test('an integer as another msgpack library may write it (64 bits) is read, one beyond 2^53 - 1 refused', () => {
  const with64 = (value: bigint): Buffer => {
    const bytes = Buffer.concat([
      pack({ kind: 'credit' }),
      Buffer.from([0xa5]),
      Buffer.from('bytes'),
      Buffer.alloc(9, 0xcf),
    ])
    bytes[0] = 0x82
    bytes.writeBigUInt64BE(value, bytes.length - 8)
    return bytes
  }
  assert.equal(refusal(with64(2n ** 53n - 1n)), null)
  assert.match(refusal(with64(2n ** 53n)) ?? '', /larger than 2\^53 - 1/)
})

test('a negative zero, which would print as another value than it compares to, is refused', () => {
  const bytes = Buffer.concat([
    pack({ kind: 'credit' }),
    Buffer.from([0xa5]),
    Buffer.from('bytes'),
    Buffer.from('cb8000000000000000', 'hex'),
  ])
  bytes[0] = 0x82
  assert.match(refusal(bytes) ?? 'accepted', /credit.bytes is not an integer/)
})

test('bytes are refused that are not exactly one plain msgpack value', () => {
  const cases: [string, Buffer, RegExp][] = [
    ['nothing', Buffer.alloc(0), /empty/],
    ['a cut value', encodedPayload(sampleMessages.hello).subarray(0, -1), /ends early/],
    ['a value and more', Buffer.concat([encodedPayload(sampleMessages.bye), Buffer.from([0xc0])]), /1 bytes follow/],
    ['a list', pack([1]), /not a map/],
    ['a number', pack(1), /not a map/],
    ['a record definition', Buffer.from('d4724093a161a162a163010203', 'hex'), /type 0xd4/],
    ['a record by id', Buffer.from('d57240419301', 'hex'), /type 0xd5/],
    ['a time', pack({ kind: 'bye', reason: new Date(0) }), /type 0xd[67]/],
    ['an extension', Buffer.from('c70100ff', 'hex'), /type 0xc7/],
    ['a single float', Buffer.from('ca3f800000', 'hex'), /type 0xca/],
    ['the unused type', Buffer.from('c1', 'hex'), /type 0xc1/],
    ['a 64-bit negative', Buffer.from('d3ffffffffffffffff', 'hex'), /type 0xd3/],
    ['a number as key', Buffer.from('810101', 'hex'), /map key/],
    ['a key twice', Buffer.from('82a16101a16102', 'hex'), /"a" occurs twice/],
    ['a list that claims 2^32 items', Buffer.from('ddffffffff', 'hex'), /ends early/],
    ['a map that claims 2^32 items', Buffer.from('dfffffffff', 'hex'), /ends early/],
    ['bytes that claim 4 GiB', Buffer.from('c6ffffffff', 'hex'), /ends early/],
    ['nesting', Buffer.alloc(100, 0x91), /nesting is deeper/],
    [
      'a million values',
      Buffer.concat([Buffer.from('dd000fffff', 'hex'), Buffer.alloc(0xfffff - 10)]).subarray(
        0,
        FRAME_PAYLOAD_BYTES_MAX,
      ),
      /ends early|more than/,
    ],
    ['many values', Buffer.concat([Buffer.from('dd000186a0', 'hex'), Buffer.alloc(100_000)]), /more than 65536/],
  ]
  for (const [name, bytes, why] of cases) assert.match(refusal(bytes) ?? 'accepted', why, name)
})

test('a kind that is not text is refused, whatever a print of it would call', () => {
  for (const kind of [{ toString: 1 }, { valueOf: null, toString: 'x' }, [{ toString: {} }], 1, null, true]) {
    assert.equal(refusal(pack({ kind })), 'the kind of a control message is not text')
  }
  assert.match(refusal(pack({})) ?? '', /kind of a control message is not text/)
})

test('a map key cannot reach an object’s prototype', () => {
  assert.match(
    refusal(Buffer.concat([Buffer.from([0x81, 0xa9]), Buffer.from('__proto__'), Buffer.from([0x80])])) ?? '',
    /plain name/,
  )
  assert.match(refusal(pack({ kind: 'constructor' })) ?? '', /not a control message/)
  assert.match(refusal(pack({ kind: 'bye', reason: 'x', toString: 1 })) ?? '', /unknown field "toString"/)
})

test('an extension that another part of the process registers does not change the door', () => {
  class Odd {
    readonly is = 'odd'
  }
  addExtension({ Class: Odd, type: 0x21, pack: () => Buffer.from('x'), unpack: () => new Odd() })
  assert.match(refusal(pack({ kind: 'bye', reason: new Odd() })) ?? '', /not used on this wire/)
})

test('a message lacks no field, has none too many, and is of a known kind', () => {
  for (const message of samples) {
    const { kind, ...fields } = message
    for (const name of Object.keys(fields)) {
      const without = Object.fromEntries(Object.entries(message).filter(([key]) => key !== name))
      assert.match(refusal(pack(without)) ?? 'accepted', new RegExp(`${kind} lacks the field "${name}"`))
    }
    assert.match(refusal(pack({ ...message, extra: 1 })) ?? 'accepted', /has the unknown field "extra"/)
  }
  assert.match(refusal(pack({ kind: 'hullo' })) ?? '', /"hullo" is not a control message of this version/)
  assert.match(refusal(pack({ reason: 'x' })) ?? '', /kind of a control message is not text/)
})

test('every field refuses every value that is of another type or out of its range', () => {
  for (const message of samples) {
    for (const [name, field] of Object.entries(messageShapes[message.kind]) as [string, Field][]) {
      for (const bad of badValues(field)) {
        const why = refusal(pack({ ...message, [name]: bad }))
        assert.ok(
          why !== null && why.startsWith(`${message.kind}.${name}`),
          `${message.kind}.${name} took ${String(bad)}: ${why}`,
        )
      }
    }
  }
})

function badValues(field: Field): unknown[] {
  const common = [undefined, {}, [[[]]]].filter((value) => value !== undefined)
  switch (field.is) {
    case 'uint':
      return [
        ...common,
        null,
        field.min - 1,
        field.max + 1,
        -1,
        0.5,
        Number.NaN,
        Number.POSITIVE_INFINITY,
        '1',
        true,
        Buffer.from([1]),
      ]
    case 'power':
      return [...common, null, field.min - 1, field.min / 2, field.max * 2, 3 * field.min, '1']
    case 'text':
      return [
        ...common,
        null,
        1,
        '',
        'a\nb',
        'a\u0000b',
        'x'.repeat(field.max + 1),
        'ä'.repeat(field.max),
        Buffer.from('x'),
      ]
    case 'prose':
      return [...common, null, 1, 'x'.repeat(field.max + 1)]
    case 'id64':
      return [...common, null, 1, '', '00', 'ABCDEF0123456789', 'g123456789abcdef', '0123456789abcdef0']
    case 'identity':
      return [...common, null, 1, '', '00', 'ABCDEF0123456789', '0F5D2A60-6F0E-4A53-9D0B-1C2D3E4F5061', 'x'.repeat(36)]
    case 'flag':
      return [...common, null, 0, 'true']
    case 'word':
      return [...common, null, 0, '', 'unheard-of']
    case 'bytes':
      return [...common, null, 'text', Buffer.alloc(field.max + 1)]
    case 'nullable':
      return badValues(field.of).filter((value) => value !== null)
    case 'list':
      return [{}, null, 'x', 1, [{ odd: 1 }], [0.5], [null]]
    case 'tuple':
      return [
        {},
        null,
        'x',
        1,
        [],
        [1],
        [...Array.from({ length: field.of.length }, () => 1), 1],
        Array.from({ length: field.of.length }, () => -1),
        Array.from({ length: field.of.length }, () => '1'),
      ]
    case 'record':
      return [{}, null, 'x', 1, []]
  }
}

test('rules between the fields of a message hold', () => {
  const { hello, ack, resume } = sampleMessages
  const dirty = sampleMessages['dirty-map']
  const cases: [object, RegExp][] = [
    [{ ...hello, wireFloor: 2 }, /wireFloor is above/],
    [{ ...hello, incarnations: [] }, /incarnations is empty/],
    [{ ...hello, incarnations: hello.incarnations.toReversed() }, /not in order/],
    [{ ...hello, incarnations: [hello.incarnations[0], { ...hello.incarnations[1], number: 1 }] }, /not in order/],
    [{ ...hello, head: [1, 5_000_000_100] }, /head is not in the current incarnation/],
    [{ ...hello, head: [2, 4_999_999_999], durable: [1, 1] }, /head lies before the current incarnation/],
    [{ ...hello, durable: [2, 5_000_000_101] }, /durable lies above/],
    [{ ...hello, mappings: [hello.mappings[0], hello.mappings[0]] }, /names a device id twice/],
    [{ ...hello, heartbeatMs: 500, detectMs: 999 }, /less than two heartbeats/],
    [{ ...resume, heartbeatMs: 500, detectMs: 999 }, /less than two heartbeats/],
    [{ ...resume, restart: 'why' }, /not \[0, 0\]/],
    [{ ...dirty, regionCount: 17 }, /does not fit/],
    [{ ...dirty, regionCount: 8 }, /does not fit/],
    [{ ...dirty, regionCount: 11 }, /beyond the last region/],
    [{ ...ack, durable: [2, 5_000_000_101, 24] }, /ack.durable lies above/],
    [{ ...ack, applied: [2, 5_000_000_099, 25] }, /ack.applied lies above/],
    [{ ...ack, journalBytes: 1 }, /larger than the journal/],
  ]
  for (const [message, why] of cases) assert.match(refusal(pack(message)) ?? 'accepted', why)
  assert.equal(
    refusal(pack({ ...hello, head: [2, 5_000_000_000], durable: [1, 5_000_000_000] })),
    null,
    'a log without new entries',
  )
})

test('a control frame carries nothing but its payload', () => {
  const payload = encodedPayload(sampleMessages.bye)
  const strays: [Partial<FrameFields>, RegExp][] = [
    [{ flags: 1 }, /flags/],
    [{ deviceId: 1 }, /device id/],
    [{ lsn: 1 }, /an LSN/],
    [{ logId: { high: 1, low: 0 } }, /log id/],
    [{ incarnation: 1 }, /incarnation/],
    [{ previousCrc: 1 }, /CRC/],
    [{ offset: 1 }, /offset/],
    [{ length: 1 }, /length/],
    [{ wallUs: 1 }, /time/],
    [{ durableLsn: 1 }, /durable LSN/],
    [{ aux: 1 }, /aux/],
  ]
  for (const [fields, why] of strays) assert.match(refusal(payload, fields) ?? 'accepted', why)
  const other = decodeMessage(sampleFrames.write)
  assert.ok(!other.ok && /type 1/.test(other.why))
})

test('any bit of an unused field of the header is seen, and called by the name of its field', () => {
  const frame = encodeMessage(sampleMessages.ack)
  const names = [
    ...fieldOf('flags', 4),
    ...fieldOf('a device id', 4),
    ...fieldOf('an LSN', 8),
    ...fieldOf('a log id', 8),
    ...fieldOf('an incarnation', 4),
    ...fieldOf("a predecessor's CRC", 4),
    ...fieldOf('an offset', 8),
    ...fieldOf('a length', 8),
    ...fieldOf('a time', 8),
    ...fieldOf('a durable LSN', 8),
    ...fieldOf('an aux value', 8),
  ]
  for (const [index, name] of names.entries()) {
    for (let bit = 1; bit < 0x100; bit <<= 1) {
      const header = Buffer.from(frame.header)
      header[FRAME_OFFSET.flags + index] = bit
      assert.deepEqual(decodeMessage({ ...frame, header }), { ok: false, why: `a control frame carries ${name}` })
    }
  }
  assert.equal(names.length, FRAME_OFFSET.payloadBytes - FRAME_OFFSET.flags)
})

/** A name for each byte of its field. */
function fieldOf(name: string, bytes: number): string[] {
  return Array.from({ length: bytes }, () => name)
}

test('the largest hello and welcome fit into one frame', () => {
  const name = (index: number): string => `${index}`.padStart(NAME_BYTES_MAX, 'n')
  const big = 2 ** 53 - 1
  const hello: Hello = {
    ...sampleMessages.hello,
    incarnations: Array.from({ length: INCARNATIONS_MAX }, (_, index) => ({
      number: 0xffff_0000 + index,
      id: '0123456789abcdef',
      firstLsn: big,
    })),
    head: [0xffff_0000 + INCARNATIONS_MAX - 1, big],
    durable: [1, big],
    mappings: Array.from({ length: DEVICES_MAX }, (_, index) => ({
      deviceId: 0xffff_ffff - index,
      mappingId: sampleMessages.hello.group,
      number: 0xffff_ffff,
      name: name(index),
      remote: name(index),
      sizeBytes: big,
      regionBytes: 2 ** 40,
    })),
  }
  const welcome: Welcome = {
    ...sampleMessages.welcome,
    devices: hello.mappings.map(({ remote }) => ({
      name: remote,
      sizeBytes: big,
      problem: 'p'.repeat(PROBLEM_BYTES_MAX),
    })),
    mappings: hello.mappings.map(({ deviceId, mappingId, remote }) => ({ deviceId, mappingId, remote })),
  }
  for (const message of [hello, welcome]) {
    const frame = encodeMessage(message)
    assert.ok((frame.payload as Buffer).length <= FRAME_PAYLOAD_BYTES_MAX)
    assert.deepEqual(decodeMessage(frame), { ok: true, value: message })
  }
  assert.throws(
    () => encodeMessage({ ...hello, mappings: [...hello.mappings, { ...hello.mappings[0]!, deviceId: 1 }] }),
    /has 1025 items/,
  )
})

test('free text that is too long is cut at a character, everything else is a bug of the sender', () => {
  const decoded = decodeMessage(encodeMessage({ kind: 'bye', reason: 'ü'.repeat(PROSE_BYTES_MAX) }))
  assert.ok(decoded.ok && decoded.value.kind === 'bye')
  assert.equal(decoded.ok && decoded.value.kind === 'bye' && decoded.value.reason, 'ü'.repeat(PROSE_BYTES_MAX / 2))
  const welcome = decodeMessage(
    encodeMessage({ ...sampleMessages.welcome, devices: [{ name: 'd', sizeBytes: 1, problem: 'x'.repeat(9999) }] }),
  )
  assert.ok(
    welcome.ok && welcome.value.kind === 'welcome' && welcome.value.devices[0]?.problem?.length === PROBLEM_BYTES_MAX,
  )
  assert.throws(() => encodeMessage({ kind: 'credit', bytes: -1 }), /credit.bytes is not an integer/)
  assert.throws(() => encodeMessage({ kind: 'error', code: '', message: 'x', fatal: true }), /error.code has 0 bytes/)
  assert.throws(() => encodeResyncBeginPayload({ ...sampleResyncBegin, regionCount: 25 }), /does not fit/)
})

test('an encoded payload never changes when later messages are encoded', () => {
  const first = encodeMessage(sampleMessages.heartbeat)
  const before = Buffer.from(first.payload as Buffer)
  for (let count = 0; count < 1000; count++) encodeMessage(sampleMessages.hello)
  assert.ok(before.equals(first.payload as Buffer))
})

test('payloads of map and resync-begin are held to their shapes', () => {
  const bad = (value: unknown): string => {
    const decoded = decodeMapPayload(pack(value))
    return decoded.ok ? 'accepted' : decoded.why
  }
  assert.match(bad({ ...sampleMapPayload, regionBytes: 1_048_577 }), /map.regionBytes is not a power of two/)
  assert.match(bad({ ...sampleMapPayload, extra: 1 }), /unknown field/)
  assert.match(bad([]), /map is not a map/)
  assert.ok(!decodeMapPayload(null).ok)
  const broken = decodeResyncBeginPayload(pack({ ...sampleResyncBegin, bits: Buffer.from([1]) }))
  assert.ok(!broken.ok && /does not fit/.test(broken.why))
})

test('random damage to a payload is refused or still satisfies its shape, and never throws', (t) => {
  const random = seeded(t)
  for (let round = 0; round < 20_000; round++) {
    const bytes = random.oneIn(4) ? random.bytes(random.below(200)) : Buffer.from(encodedPayload(random.pick(samples)))
    if (bytes.length === 0) continue
    for (let count = 1 + random.below(3); count > 0; count--) bytes[random.below(bytes.length)] = random.below(256)
    const decoded = decodeMessage(encodeFrame({ type: FrameType.control }, bytes))
    // What was accepted passes its own encoder, which asserts the whole shape.
    if (decoded.ok) encodeMessage(decoded.value)
    else assert.ok(decoded.why.length > 0 && decoded.why.length < 400)
    msgpackProblem(bytes)
    decodeMapPayload(bytes)
    decodeResyncBeginPayload(bytes)
  }
})

function encodedPayload(message: ControlMessage): Buffer {
  return encodeMessage(message).payload as Buffer
}
