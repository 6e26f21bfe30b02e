/**
 * The quick way of acknowledgements and the way of all messages are one: what they write is the same to the byte, what they
 * read is the same value, and what they refuse they refuse with the same sentence.
 *
 * `SEED` repeats a run; fast-check says the rest.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import * as fc from 'fast-check'
import { Packr } from 'msgpackr'
import { decodeAck, encodeAck } from '../../src/control/ack-codec.js'
import { decodeAnyMessage, encodeAnyMessage } from '../../src/control/message-codec.js'
import { decodeMessage, encodeFrame, encodeMessage, FrameType, type Ack, type WireMark } from '../../src/index.js'
import { SEED } from '../support/random.js'
import { bytesOfFrame, sampleMessages } from '../support/samples.js'

const INCARNATIONS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]
const COUNTS = [...INCARNATIONS, 2 ** 32, 2 ** 33 + 1, 2 ** 52 + 1, 2 ** 53 - 2, 2 ** 53 - 1]
const NO_COUNTS = [-1, -129, -0, 0.5, 2 ** 32 + 0.5, 2 ** 53, 2 ** 64, Number.NaN, Number.POSITIVE_INFINITY]

/** First bytes of what an acknowledgement holds, and of other values. */
const TAGS = [0x88, 0x87, 0x92, 0x93, 0x94, 0xc0, 0xc2, 0xc3, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd2, 0xd9]

/** No rule between the fields stands against most numbers in any of its places. */
const WIDE: Ack = {
  kind: 'ack',
  received: [2 ** 32 - 1, 2 ** 53 - 1, 2 ** 53 - 1],
  durable: [5, 5, 5],
  applied: [0, 0, 0],
  dirtyRegions: 0,
  consistent: true,
  journalUsedBytes: 0,
  journalBytes: 2 ** 53 - 1,
}

const packr = new Packr({ useRecords: false, variableMapSize: true })

const count = fc.oneof(fc.constantFrom(...COUNTS), fc.maxSafeNat())
const incarnation = fc.oneof(fc.constantFrom(...INCARNATIONS), fc.nat(2 ** 31 - 1))
const mark: fc.Arbitrary<WireMark> = fc.tuple(incarnation, count, count)
const goodAck: fc.Arbitrary<Ack> = fc
  .record({
    marks: fc.tuple(mark, mark, mark),
    dirtyRegions: count,
    consistent: fc.boolean(),
    bytes: fc.tuple(count, count),
  })
  .map(({ marks, dirtyRegions, consistent, bytes }) => {
    const [applied, durable, received] = marks.toSorted((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2])
    const [journalUsedBytes, journalBytes] = bytes.toSorted((a, b) => a - b)
    return { kind: 'ack', received, durable, applied, dirtyRegions, consistent, journalUsedBytes, journalBytes } as Ack
  })

function check<T>(t: TestContext, runs: number, arbitrary: fc.Arbitrary<T>, holds: (value: T) => void): void {
  t.diagnostic(`SEED=${SEED}`)
  fc.assert(
    fc.property(arbitrary, (value) => void holds(value)),
    { seed: SEED | 0, numRuns: runs },
  )
}

/** What comes of a call: a value, or the sentence that it fails with. */
function outcome<T>(call: () => T): T | string {
  try {
    return call()
  } catch (error) {
    return (error as Error).message
  }
}

/** Holds that both ways decide the payload alike; answers what the quick one reads in it, null where it leaves it alone. */
function decide(payload: Buffer): Ack | null {
  const quick = decodeAck(payload)
  const decoded = decodeMessage(encodeFrame({ type: FrameType.control }, payload))
  const wanted = decodeAnyMessage(payload)
  assert.deepEqual(decoded, wanted)
  // A comparison of objects does not see the order of their keys.
  assert.equal(JSON.stringify(decoded), JSON.stringify(wanted))
  return quick
}

test('an acknowledgement is written and read the quick way, to the byte and the value of the way of all messages', (t) => {
  check(t, 2000, goodAck, (ack) => {
    const wanted = encodeAnyMessage(ack)
    assert.notEqual(encodeAck(ack), null, 'written the quick way')
    assert.deepEqual(encodeMessage(ack), wanted)
    assert.deepEqual(decide(wanted.payload as Buffer), ack)
  })
})

test('the bytes of an acknowledgement never change when later ones are written', () => {
  const { ack } = sampleMessages
  const first = encodeAck(ack)
  const before = Buffer.from(first as Buffer)
  encodeAck(WIDE)
  assert.deepEqual(first, before)
})

test('each number of an acknowledgement, at each edge of its forms, has the bytes that the library gives it', () => {
  const numbers = [...COUNTS, ...COUNTS.filter((value) => value > 0).map((value) => value - 1)]
  for (const value of numbers) {
    for (let at = 0; at < NUMBERS; at++) {
      const ack = withNumber(WIDE, at, value)
      const quick = encodeAck(ack)
      const wanted = outcome(() => encodeAnyMessage(ack))
      if (typeof wanted === 'string') assert.equal(quick, null, `number ${at} is ${value}: ${wanted}`)
      else assert.deepEqual(quick, wanted.payload, `number ${at} is ${value}`)
    }
  }
})

test('an acknowledgement that no peer would take is not sent, with the sentence of the way of all messages', (t) => {
  const odd = fc.oneof(
    fc.constantFrom<unknown>(...NO_COUNTS, null, undefined, '1', true, [], [1, 2], [1, 2, 3, 4], [1, undefined, 3], {
      0: 1,
    }),
    mark,
    count,
  )
  const wrong = fc.record({
    ack: goodAck,
    at: fc.nat(11),
    field: fc.constantFrom('number' as const, ...(Object.keys(sampleMessages.ack) as (keyof Ack)[])),
    odd,
  })
  check(t, 2000, wrong, ({ ack, at, field, odd }) => {
    const changed = field === 'number' ? withNumber(ack, at, odd as number) : ({ ...ack, [field]: odd } as Ack)
    if (changed.kind !== 'ack') return
    assert.deepEqual(
      outcome(() => bytesOfFrame(encodeMessage(changed))),
      outcome(() => bytesOfFrame(encodeAnyMessage(changed))),
    )
  })
})

test('an acknowledgement of another make than ours is written by the library, as it always was', () => {
  const { ack } = sampleMessages
  const { kind, ...fields } = ack
  class List extends Array<number> {}
  const others: [string, object][] = [
    ['keys in another order', Object.fromEntries(Object.entries(ack).toReversed())],
    ['its kind last', { ...fields, kind }],
    ['one key too many', { ...ack, extra: 1 }],
    ['one key too few', Object.fromEntries(Object.entries(ack).slice(0, -1))],
    ['no prototype', Object.assign(Object.create(null) as object, ack)],
    ['a key that is inherited', Object.assign(Object.create({ journalBytes: ack.journalBytes }) as object, ack)],
    ['all keys inherited', Object.create(ack) as object],
    ['a mark of another class', { ...ack, received: List.from(ack.received) }],
    ['a key that is hidden', Object.defineProperty({ ...ack }, 'journalBytes', { enumerable: false })],
  ]
  for (const [what, other] of others) {
    assert.equal(encodeAck(other as Ack), null, what)
    assert.deepEqual(
      outcome(() => bytesOfFrame(encodeMessage(other as Ack))),
      outcome(() => bytesOfFrame(encodeAnyMessage(other as Ack))),
      what,
    )
  }
})

test('any payload that resembles an acknowledgement is taken or refused as the way of all messages does', (t) => {
  const payload = fc
    .record({
      ack: goodAck,
      strange: fc.option(fc.record({ at: fc.nat(11), value: fc.oneof(count, fc.constantFrom(...NO_COUNTS)) })),
      forms: fc.oneof(fc.constant([]), fc.array(fc.nat(20), { minLength: 12, maxLength: 12 })),
      order: fc.oneof(
        fc.constant(Object.keys(sampleMessages.ack)),
        fc.shuffledSubarray([...Object.keys(sampleMessages.ack), 'extra'], { minLength: 6 }),
      ),
    })
    .map(({ ack, strange, forms, order }) =>
      write(strange === null ? ack : withNumber(ack, strange.at, strange.value), order, forms),
    )
  check(t, 3000, payload, decide)
})

test('a payload that is damaged, cut or goes on is taken or refused as the way of all messages does', (t) => {
  const damage = fc.array(fc.record({ at: fc.nat(), byte: fc.oneof(fc.nat(255), fc.constantFrom(...TAGS)) }), {
    maxLength: 3,
  })
  const damaged = fc.record({ ack: goodAck, damage, keep: fc.option(fc.nat()), more: fc.uint8Array({ maxLength: 2 }) })
  check(t, 3000, damaged, ({ ack, damage, keep, more }) => {
    const bytes = Buffer.concat([encodeAnyMessage(ack).payload as Buffer, more])
    for (const { at, byte } of damage) bytes[at % bytes.length] = byte
    decide(keep === null ? bytes : bytes.subarray(0, 1 + (keep % bytes.length)))
  })
  const whole = encodeAnyMessage(sampleMessages.ack).payload as Buffer
  for (let end = 1; end < whole.length; end++) assert.equal(decide(whole.subarray(0, end)), null, `${end} bytes`)
  for (let at = 0; at < whole.length; at++) {
    for (const byte of TAGS) {
      const bytes = Buffer.from(whole)
      bytes[at] = byte
      decide(bytes)
    }
  }
})

test('an integer in a longer form than it needs is left to the library, and its bytes are no integers of their own', () => {
  const keys = Object.keys(WIDE)
  for (let at = 0; at < NUMBERS; at++) {
    for (const [form, bytes] of formsOf(5).entries()) {
      const forms = Array.from({ length: NUMBERS }, (_, index) => (index === at ? form : SHORTEST))
      assert.equal(decide(write(withNumber(WIDE, at, 5), keys, forms)) !== null, bytes.length === 1, `number ${at}`)
    }
  }
  // Whoever moves on by the shortest form's length reads the rest of the long one as the mark's other numbers.
  const whole = encodeAnyMessage(sampleMessages.ack).payload as Buffer
  const head = whole.subarray(0, whole.indexOf('received') + 'received'.length + 1)
  const tail = whole.subarray(whole.indexOf('durable') - 1)
  assert.notEqual(decide(Buffer.concat([head, Buffer.from('050005', 'hex'), tail])), null, 'three numbers')
  for (const numbers of ['cd0005', 'cc0507']) {
    assert.equal(decide(Buffer.concat([head, Buffer.from(numbers, 'hex'), tail])), null, numbers)
  }
})

const NUMBERS = 12
/** Of the forms below. */
const SHORTEST = 0

/** All forms of msgpack that hold the number, and those that are too small for it as well; the library's own first. */
function formsOf(value: number): Buffer[] {
  const forms = [Buffer.from(packr.pack(value)), Buffer.alloc(9, 0xcb), Buffer.alloc(5, 0xca)] as const
  forms[1].writeDoubleBE(value, 1)
  forms[2].writeFloatBE(value, 1)
  if (!Number.isInteger(value) || value < 0) return [...forms]
  const hex = BigInt(value).toString(16).padStart(16, '0').slice(-16)
  const whole = [0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd1, 0xd2, 0xd3].map((tag) =>
    Buffer.from(tag.toString(16) + hex.slice(-(2 << (tag & 3))), 'hex'),
  )
  return [...forms, ...whole]
}

/** A payload of these keys in this order, each number in the form of that index. */
function write(ack: Ack, order: readonly string[], forms: readonly number[]): Buffer {
  let numbers = 0
  const parts = order.flatMap((key) => {
    const value: unknown = key === 'extra' ? 1 : ack[key as keyof Ack]
    const written = (Array.isArray(value) ? value : [value]).map((one: unknown) => {
      if (typeof one !== 'number') return Buffer.from(packr.pack(one))
      const all = formsOf(one)
      return all[(forms[numbers++] ?? SHORTEST) % all.length] as Buffer
    })
    const list = Array.isArray(value) ? [Buffer.from([0x90 | value.length])] : []
    return [Buffer.from(packr.pack(key)), ...list, ...written]
  })
  return Buffer.concat([Buffer.from([0x80 | order.length]), ...parts])
}

/** The acknowledgement with another number in the place `at` of twelve. */
function withNumber(ack: Ack, at: number, value: number): Ack {
  const marks = ['received', 'durable', 'applied'] as const
  const name = marks[Math.floor(at / 3)]
  if (name === undefined)
    return { ...ack, [['dirtyRegions', 'journalUsedBytes', 'journalBytes'][at - 9] as string]: value }
  return { ...ack, [name]: ack[name].map((one, index) => (index === at % 3 ? value : one)) }
}
