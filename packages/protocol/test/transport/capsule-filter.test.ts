/** The filter before the library behind `https://`: what it lets through, what it refuses, and how little it holds. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CapsuleError, CapsuleFilter, HELD_BYTES_MAX } from '../../src/transport/capsule-filter.js'
import { seeded } from '../support/random.js'
import { capsule, CapsuleType, closing, streamData, varint } from '../support/capsules.js'

/** What a filter lets through, capsule by capsule, and the data of the stream together. */
function read(bytes: Buffer): { readonly kinds: number[]; readonly data: Buffer } {
  const kinds: number[] = []
  const data: Buffer[] = []
  for (let at = 0; at < bytes.length;) {
    const type = bytes.readUInt32BE(at) - 0x80000000
    if (type !== CapsuleType.data) {
      // Sent by this test with numbers of known sizes.
      const short = bytes.readUInt16BE(at) - 0x4000 === CapsuleType.close
      const length = bytes[at + (short ? 2 : 4)] as number
      kinds.push(short ? CapsuleType.close : type)
      at += (short ? 2 : 4) + 1 + length
      continue
    }
    const length = bytes.readUInt32BE(at + 4) - 0x80000000
    assert.equal(bytes[at + 8], 1, 'the stream')
    kinds.push(type)
    data.push(bytes.subarray(at + 9, at + 8 + length))
    at += 8 + length
  }
  return { kinds, data: Buffer.concat(data) }
}

test('what the library itself sends goes through whole, however it is cut, and no more is held than a beginning', (t) => {
  const random = seeded(t)
  for (let round = 0; round < 200; round += 1) {
    const sent: Buffer[] = [streamData(Buffer.alloc(0))]
    const data: Buffer[] = []
    let credits = 0
    for (let count = random.below(20); count > 0; count -= 1) {
      if (random.oneIn(3)) {
        const two = random.oneIn(2)
        const numbers = [...(two ? [varint(1)] : []), varint(random.below(2 ** 31))]
        sent.push(capsule(two ? CapsuleType.streamCredit : CapsuleType.credit, Buffer.concat(numbers)))
        credits += 1
        continue
      }
      data.push(random.bytes(random.below(3000)))
      sent.push(streamData(data.at(-1) as Buffer))
    }
    sent.push(closing('enough'), Buffer.from("what comes behind the end is nobody's"))
    const filter = new CapsuleFilter('listening')
    const passed: Buffer[] = []
    let all = Buffer.concat(sent)
    let [taken, given] = [0, 0]
    while (all.length > 0) {
      const size = 1 + random.below(random.pick([2, 20, 5000]))
      const out = filter.take(all.subarray(0, size))
      taken += Math.min(size, all.length)
      given += out.length
      all = all.subarray(size)
      passed.push(out)
      if (all.length > 50) assert.ok(taken - given < HELD_BYTES_MAX, `${taken - given} bytes are held`)
    }
    const { kinds, data: arrived } = read(Buffer.concat(passed))
    assert.ok(arrived.equals(Buffer.concat(data)))
    assert.equal(kinds.filter((kind) => kind !== CapsuleType.data && kind !== CapsuleType.close).length, credits)
    assert.equal(kinds.at(-1), CapsuleType.close)
  }
})

test('data of a chunk go on as one capsule, however small the sender makes them, and empty ones as none', () => {
  const filter = new CapsuleFilter('listening')
  const small = Buffer.concat(Array.from({ length: 10_000 }, (_, at) => streamData(Buffer.of(at % 256))))
  const { kinds, data } = read(filter.take(small))
  assert.deepEqual(kinds, [CapsuleType.data])
  assert.equal(data.length, 10_000)
  const empty = Buffer.concat(Array.from({ length: 10_000 }, () => streamData(Buffer.alloc(0))))
  assert.equal(filter.take(empty).length, 0)
})

test('whatever no link has is refused with what it is', () => {
  const two = (a: number, b: number): Buffer => Buffer.concat([varint(a), varint(b)])
  for (const [bytes, why] of [
    [capsule(0, Buffer.from('x')), /a datagram/],
    [capsule(0x190b4d38, Buffer.alloc(9)), /padding/],
    [capsule(0x190b4d39, two(1, 0)), /the reset of a stream/],
    [capsule(0x190b4d3a, two(1, 0)), /a stop of a stream/],
    [capsule(0x190b4d3c, Buffer.of(1)), /the end of a stream/],
    [capsule(0x78ae, Buffer.alloc(0)), /a drain of the session/],
    [capsule(0x190b4d41, varint(5)), /a capsule of type 420171073/],
    [capsule(2 ** 40, Buffer.alloc(0)), /a capsule of type 1099511627776/],
    [capsule(CapsuleType.data, Buffer.of(3)), /another stream/],
    [capsule(CapsuleType.data, Buffer.of(0)), /another stream/],
    [capsule(CapsuleType.data, Buffer.of(5, 1, 2)), /another stream/],
    [capsule(CapsuleType.data, Buffer.alloc(0)), /ends too early/],
    [capsule(CapsuleType.streamCredit, two(2, 9)), /another stream/],
    [capsule(CapsuleType.streamCredit, varint(1)), /ends too early/],
    [capsule(CapsuleType.credit, Buffer.alloc(0)), /ends too early/],
    [capsule(CapsuleType.credit, two(1, 1)), /goes on behind its end/],
    [capsule(CapsuleType.close, Buffer.alloc(3)), /a capsule of 3 bytes, which cannot be/],
    [capsule(CapsuleType.close, Buffer.alloc(2000)), /a capsule of 2000 bytes/],
    [Buffer.concat([varint(CapsuleType.data), varint(2 ** 40)]), /a capsule of 1099511627776 bytes/],
    [Buffer.concat([varint(CapsuleType.credit), varint(17)]), /a capsule of 17 bytes/],
  ] as const) {
    const broken = (error: unknown): boolean => error instanceof CapsuleError && why.test(error.message)
    // At once, and byte by byte with more behind it.
    assert.throws(() => new CapsuleFilter('listening').take(Buffer.concat([bytes, Buffer.alloc(20)])), broken)
    const filter = new CapsuleFilter('listening')
    assert.throws(() => {
      for (const byte of Buffer.concat([bytes, Buffer.alloc(20)])) filter.take(Buffer.of(byte))
    }, broken)
  }
})

test('at the side that dials nothing comes on the stream before that has opened it', () => {
  assert.throws(() => new CapsuleFilter('dialling').take(streamData(Buffer.from('x'))), /nobody opened/)
  const filter = new CapsuleFilter('dialling')
  filter.open()
  assert.equal(read(filter.take(streamData(Buffer.from('x')))).data.toString(), 'x')
})
