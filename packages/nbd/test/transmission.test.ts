import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ByteBudget } from '../src/byte-budget.js'
import { Command, CommandFlag } from '../src/constants.js'
import { MemoryExport, type NbdExport, NbdErrno, type NbdLimits, type NbdRequest, resolveLimits } from '../src/index.js'
import { Transmission } from '../src/transmission.js'
import {
  chunksOf,
  type DecodedReply,
  decodeReplies,
  encodeRequest,
  HeldExport,
  Prng,
  smallLimits,
  TestWire,
} from './support.js'

const KIB = 1024

interface Rig {
  readonly wire: TestWire
  readonly transmission: Transmission
  readonly payload: ByteBudget
  readonly reply: ByteBudget
  /** Runs the turns that are due, and decodes everything sent so far. */
  replies(): DecodedReply[]
}

function rig(target: NbdExport, changes: Partial<NbdLimits> = {}, structured = true): Rig {
  const limits = resolveLimits({ ...smallLimits, ...changes })
  const wire = new TestWire()
  const payload = new ByteBudget(limits.serverPayloadBytesMax, limits.connectionReserveBytes)
  const reply = new ByteBudget(limits.serverReplyBytesMax, limits.connectionReserveBytes)
  const wake = (): void => transmission.wake()
  const transmission: Transmission = new Transmission(
    { export: target, structured, allocationContext: structured },
    limits,
    wire,
    payload.share(limits.connectionPayloadBytesMax, wake),
    reply.share(limits.connectionReplyBytesMax, wake),
  )
  const replies = (): DecodedReply[] => {
    wire.turn()
    return decodeReplies(wire.bytes())
  }
  return { wire, transmission, payload, reply, replies }
}

/** All replies so far have been sent. */
function sendAll({ wire, transmission }: Rig): void {
  wire.turn()
  for (const bytes of wire.unsent.splice(0)) transmission.onSent(bytes)
  wire.turn()
}

/** Sends until the transmission takes bytes again; fails if it never does. */
function catchUp(all: Rig): void {
  for (let turns = 0; all.wire.paused; turns++) {
    assert.ok(turns < 1000, 'the transmission stays paused')
    sendAll(all)
  }
}

const write = (cookie: number, length: number): Buffer =>
  encodeRequest({ type: Command.WRITE, cookie, payload: Buffer.alloc(length, cookie) })
const read = (cookie: number, length: number): Buffer => encodeRequest({ type: Command.READ, cookie, length })

const memory = (): MemoryExport => new MemoryExport({ sizeBytes: 1 << 20 })
const held = (holds: (request: NbdRequest) => boolean = () => true): HeldExport =>
  new HeldExport({ sizeBytes: 1 << 20 }, holds)
const writesOnly = (request: NbdRequest): boolean => request.operation === 'write'

test('the replies of one turn leave in one send', () => {
  const { wire, transmission, replies } = rig(memory())
  transmission.receive(Buffer.concat([1, 2, 3, 4].map((cookie) => write(cookie, 4 * KIB))))
  assert.equal(wire.sent.length, 0)
  assert.deepEqual(
    replies().map((reply) => [reply.cookie, reply.errno]),
    [1, 2, 3, 4].map((cookie) => [cookie, 0]),
  )
  assert.equal(wire.unsent.length, 1)
})

test('a payload within one chunk is not copied', () => {
  const target = held()
  const chunk = write(1, 4 * KIB)
  rig(target).transmission.receive(chunk)
  assert.equal(target.held[0]?.payload?.buffer, chunk.buffer)
  assert.deepEqual(target.held[0]?.payload, chunk.subarray(28))
})

test('requests that are refused get their error, and the connection lives', () => {
  const { wire, transmission, replies } = rig(memory())
  const wrong = Buffer.alloc(100 * KIB)
  transmission.receive(encodeRequest({ type: Command.WRITE, cookie: 1, offset: 1 << 20, payload: Buffer.alloc(512) }))
  transmission.receive(encodeRequest({ type: Command.WRITE, cookie: 2, payload: wrong }))
  transmission.receive(encodeRequest({ type: 99, cookie: 3 }))
  transmission.receive(read(4, 512))
  assert.deepEqual(
    replies().map((reply) => [reply.cookie, reply.errno]),
    [
      [1, NbdErrno.ENOSPC],
      [2, NbdErrno.EINVAL],
      [3, NbdErrno.EINVAL],
      [4, 0],
    ],
  )
  assert.equal(wire.failed, null)
})

test('a bad magic ends the connection at once', () => {
  const { wire, transmission, replies } = rig(memory())
  transmission.receive(Buffer.concat([encodeRequest({ type: Command.FLUSH, magic: 1 }), write(1, 512)]))
  assert.match(wire.failed ?? '', /magic of requests/)
  assert.deepEqual(replies(), [])
})

test('a refused write too long to be drained ends the connection', () => {
  const { wire, transmission } = rig(memory())
  transmission.receive(encodeRequest({ type: Command.WRITE, length: 257 * KIB }))
  assert.match(wire.failed ?? '', /announces 263168 bytes/)
})

test('nothing but its own answer answers a request, and only once', () => {
  const target = held()
  const { transmission, replies } = rig(target)
  transmission.receive(Buffer.concat([write(1, 512), read(2, 512)]))
  const [written, asked] = target.held as [NbdRequest, NbdRequest]
  assert.throws(() => asked.complete(0), /answered with its data/)
  assert.throws(() => asked.completeRead([Buffer.alloc(511)]), /add up/)
  assert.throws(() => written.completeRead([]), /only a read/)
  assert.throws(() => written.completeStatus([]), /only a block status/)
  written.complete(0)
  asked.completeRead([Buffer.alloc(512)])
  assert.throws(() => written.complete(0), /answered twice/)
  assert.throws(() => asked.complete(NbdErrno.EIO), /answered twice/)
  assert.equal(replies().length, 2)
})

test('an answer to a request of long ago is no answer to a new one', () => {
  const target = held()
  const { transmission, replies } = rig(target)
  transmission.receive(write(1, 512))
  const old = target.held[0]
  old?.complete(0)
  for (let cookie = 2; cookie < 40; cookie++) transmission.receive(write(cookie, 512))
  assert.throws(() => old?.complete(0), /answered twice/)
  assert.equal(replies().length, 1)
})

test('ENOTSUP reaches a client only for a fast zero', () => {
  const target = held()
  const { transmission, replies } = rig(target)
  const zero = (cookie: number, flags: number): Buffer =>
    encodeRequest({ type: Command.WRITE_ZEROES, cookie, flags, length: 512 })
  transmission.receive(Buffer.concat([zero(1, CommandFlag.FAST_ZERO), zero(2, 0)]))
  for (const request of target.held) request.complete(NbdErrno.ENOTSUP)
  assert.deepEqual(
    replies().map((reply) => reply.errno),
    [NbdErrno.ENOTSUP, NbdErrno.EINVAL],
  )
})

test('flags and ranges reach the device as they were sent', () => {
  const target = held()
  const { transmission } = rig(target)
  const flags = CommandFlag.FUA | CommandFlag.NO_HOLE | CommandFlag.FAST_ZERO
  transmission.receive(encodeRequest({ type: Command.WRITE_ZEROES, flags, offset: 4096, length: 8192 }))
  transmission.receive(encodeRequest({ type: Command.FLUSH }))
  const seen = target.held.map(({ operation, offset, length, fua, noHole, fastZero, payload }) => {
    return { operation, offset, length, fua, noHole, fastZero, payload }
  })
  const none = { fua: false, noHole: false, fastZero: false, payload: null }
  assert.deepEqual(seen, [
    { operation: 'write-zeroes', offset: 4096, length: 8192, fua: true, noHole: true, fastZero: true, payload: null },
    { operation: 'flush', offset: 0, length: 0, ...none },
  ])
})

test('writes that the device holds take no more than the payload budget', () => {
  const target = held()
  const all = rig(target, { writesInFlightMax: 60 })
  // 32 payloads of 4 KiB fit into 128 KiB; the 33rd waits with all that follows.
  const said = Buffer.concat(Array.from({ length: 50 }, (_, index) => write(index, 4 * KIB)))
  all.transmission.receive(said)
  assert.equal(target.held.length, 32)
  assert.equal(all.payload.takenBytes, 128 * KIB)
  assert.equal(all.transmission.waiting, 'payload-bytes')
  assert.ok(all.wire.paused)
  target.held.shift()?.complete(0)
  assert.equal(target.held.length, 31, 'nothing enters the device inside its own answer')
  all.wire.turn()
  assert.equal(target.held.length, 32)
  target.release()
  sendAll(all)
  assert.equal(all.replies().length, 50)
  assert.ok(!all.wire.paused)
  assert.equal(all.payload.takenBytes, 0)
  assert.equal(all.reply.takenBytes, 0)
})

test('reads keep moving while as many writes as may be are held', () => {
  const target = held(writesOnly)
  const all = rig(target, { requestsInFlightMax: 10, writesInFlightMax: 8 })
  const writes = Array.from({ length: 8 }, (_, index) => write(index, 512))
  const reads = Array.from({ length: 20 }, (_, index) => read(100 + index, 512))
  all.transmission.receive(Buffer.concat([...writes, ...reads]))
  assert.equal(all.replies().length, 20)
  all.transmission.receive(Buffer.concat([write(9, 512), read(200, 512)]))
  assert.equal(all.transmission.waiting, 'requests')
  target.release()
  assert.equal(all.replies().length, 30)
})

test('replies that are not taken stop the requests, and go on when they are', () => {
  const all = rig(memory())
  all.transmission.receive(Buffer.concat(Array.from({ length: 10 }, (_, index) => read(index, 32 * KIB))))
  all.wire.turn()
  assert.equal(all.transmission.waiting, 'reply-bytes')
  assert.ok(all.wire.paused)
  assert.equal(decodeReplies(all.wire.bytes()).length, 3)
  assert.ok(all.reply.takenBytes <= 128 * KIB)
  for (let round = 0; round < 10; round++) sendAll(all)
  assert.equal(all.replies().length, 10)
  assert.ok(!all.wire.paused)
  assert.equal(all.reply.takenBytes, 0)
})

test('errors count as replies: a client that is only refused and never reads is stopped', () => {
  const all = rig(memory())
  all.transmission.receive(Buffer.concat(Array<Buffer>(5000).fill(encodeRequest({ type: 99 }))))
  assert.equal(all.transmission.waiting, 'reply-bytes')
  assert.ok(all.reply.takenBytes <= 128 * KIB)
})

test('a read larger than the rest of the budget waits for its turn and gets it', () => {
  const target = held()
  const all = rig(target)
  all.transmission.receive(Buffer.concat([read(1, 64 * KIB), read(2, 64 * KIB)]))
  assert.equal(target.held.length, 1)
  target.held.shift()?.completeRead([Buffer.alloc(64 * KIB)])
  all.wire.turn()
  assert.equal(target.held.length, 0, 'the first reply is not sent yet')
  sendAll(all)
  assert.equal(target.held.length, 1)
})

test('a client that is gone leaves nothing behind once the device has answered', () => {
  const target = held()
  const all = rig(target)
  all.transmission.receive(Buffer.concat([write(1, 512), read(2, 32 * KIB), write(3, 8 * KIB).subarray(0, 100)]))
  assert.equal(all.transmission.requestsInFlight, 3)
  all.transmission.onLost()
  assert.equal(all.transmission.requestsInFlight, 2, 'half a write is no request')
  target.release()
  assert.equal(all.wire.settledCount, 1)
  assert.equal(all.payload.takenBytes, 0)
  assert.equal(all.reply.takenBytes, 0)
  assert.deepEqual(all.replies(), [])
})

test('replies that were not sent when the client went are given back', () => {
  const all = rig(memory())
  all.transmission.receive(Buffer.concat([read(1, 4096), read(2, 4096)]))
  all.wire.turn()
  all.transmission.receive(read(3, 4096))
  assert.ok(all.reply.takenBytes > 3 * 4096)
  all.transmission.onLost()
  assert.equal(all.reply.takenBytes, 0)
})

test('goodbye is answered by closing, after everything before it', () => {
  const target = held()
  const all = rig(target)
  all.transmission.receive(Buffer.concat([write(1, 512), encodeRequest({ type: Command.DISC }), write(2, 512)]))
  all.wire.turn()
  assert.equal(all.wire.finished, null)
  target.release()
  assert.deepEqual(
    all.replies().map((reply) => reply.cookie),
    [1],
  )
  assert.equal(all.wire.finished, 'the client said goodbye')
})

test('a client that closes without goodbye still gets its answers', () => {
  const target = held()
  const all = rig(target)
  all.transmission.receive(Buffer.concat([write(1, 512), write(2, 512).subarray(0, 200)]))
  all.transmission.receiveEnd()
  all.wire.turn()
  assert.equal(all.wire.finished, null)
  target.release()
  assert.equal(all.replies().length, 1)
  assert.match(all.wire.finished ?? '', /without saying so/)
  assert.equal(all.payload.takenBytes, 0)
})

test('while shutting down old requests are answered and new ones get ESHUTDOWN', () => {
  const target = held()
  const all = rig(target)
  all.transmission.receive(write(1, 512))
  all.transmission.shutDown()
  all.transmission.receive(Buffer.concat([write(2, 512), read(3, 512)]))
  assert.deepEqual(
    all.replies().map((reply) => [reply.cookie, reply.errno]),
    [
      [2, NbdErrno.ESHUTDOWN],
      [3, NbdErrno.ESHUTDOWN],
    ],
  )
  target.release()
  assert.equal(all.replies().length, 3)
  assert.equal(all.wire.finished, 'the server is shutting down')
})

test('one connection that holds the whole budget leaves the reserve to another', () => {
  const limits = resolveLimits({ ...smallLimits })
  const payload = new ByteBudget(limits.serverPayloadBytesMax, limits.connectionReserveBytes)
  const reply = new ByteBudget(limits.serverReplyBytesMax, limits.connectionReserveBytes)
  const make = (target: NbdExport): Transmission => {
    const wake = (): void => transmission.wake()
    const transmission: Transmission = new Transmission(
      { export: target, structured: true, allocationContext: false },
      limits,
      new TestWire(),
      payload.share(limits.connectionPayloadBytesMax, wake),
      reply.share(limits.connectionReplyBytesMax, wake),
    )
    return transmission
  }
  const greedy = held()
  const modest = held()
  make(greedy).receive(Buffer.concat([write(1, 64 * KIB), write(2, 64 * KIB)]))
  assert.equal(payload.takenBytes, 128 * KIB)
  const other = make(modest)
  other.receive(Buffer.concat([write(1, 8 * KIB), write(2, 512)]))
  assert.equal(modest.held.length, 1)
  assert.equal(other.waiting, 'payload-bytes')
})

/** A random session, and what its replies must be according to a plain array of bytes. */
function session(prng: Prng, size: number): { said: Buffer; expected: DecodedReply[]; readBytes: Map<number, number> } {
  const model = Buffer.alloc(size)
  const said: Buffer[] = []
  const expected: DecodedReply[] = []
  const readBytes = new Map<number, number>()
  for (let cookie = 1; cookie <= 200; cookie++) {
    const offset = prng.between(0, size - 1)
    const length = prng.between(1, Math.min(size - offset, prng.pick([16, 600, 9000])))
    const answer = (errno: number, data: Buffer | null = null): void => {
      expected.push({ cookie, errno, data, extents: null })
    }
    switch (prng.between(0, 6)) {
      case 0:
      case 1: {
        const payload = prng.bytes(length)
        payload.copy(model, offset)
        said.push(encodeRequest({ type: Command.WRITE, cookie, offset, payload }))
        answer(0)
        break
      }
      case 2:
        said.push(encodeRequest({ type: prng.pick([Command.TRIM, Command.WRITE_ZEROES]), cookie, offset, length }))
        model.fill(0, offset, offset + length)
        answer(0)
        break
      case 3:
        said.push(encodeRequest({ type: Command.WRITE, cookie, offset: size, payload: prng.bytes(length) }))
        answer(NbdErrno.ENOSPC)
        break
      case 4:
        said.push(encodeRequest({ type: Command.FLUSH, cookie }))
        answer(0)
        break
      default:
        said.push(encodeRequest({ type: Command.READ, cookie, offset, length }))
        readBytes.set(cookie, length)
        answer(0, Buffer.from(model.subarray(offset, offset + length)))
    }
  }
  return { said: Buffer.concat(said), expected, readBytes }
}

test('a session means the same however it is cut into chunks, and what a plain array says', () => {
  const prng = new Prng('transmission chunks')
  for (let round = 0; round < 24; round++) {
    const structured = round % 2 === 0
    const { said, expected, readBytes } = session(prng, 20_000)
    const size = round < 2 ? () => 1 : () => prng.between(1, prng.pick([4, 40, 4000]))
    const all = rig(new MemoryExport({ sizeBytes: 20_000 }), {}, structured)
    for (const chunk of chunksOf(said, size)) {
      catchUp(all)
      all.transmission.receive(chunk)
      if (prng.next() < 0.3) sendAll(all)
    }
    catchUp(all)
    sendAll(all)
    assert.deepEqual(decodeReplies(all.wire.bytes(), readBytes), expected)
    assert.equal(all.payload.takenBytes + all.reply.takenBytes, 0)
  }
})

test('no bytes make the transmission throw, leak or forget a request', () => {
  const prng = new Prng('transmission fuzz')
  for (let round = 0; round < 400; round++) {
    const target = held(() => prng.next() < 0.3)
    const all = rig(target, { requestsInFlightMax: 8, writesInFlightMax: 5 }, prng.next() < 0.5)
    const broken = prng.next() < 0.2
    for (let count = 0; count < 40; count++) {
      const length = prng.pick([0, 1, 511, 4096, 60_000, 70_000, 2 ** 32 - 1])
      const type = prng.between(0, 9)
      const carries = type === Command.WRITE && length <= 70_000
      const shape = { type, cookie: count, flags: prng.next() < 0.2 ? prng.between(0, 63) : 0, length }
      const offset = prng.pick([0, 4096, (1 << 20) - 4096, 2 ** 52])
      const request = encodeRequest(
        carries ? { ...shape, offset, payload: Buffer.alloc(length) } : { ...shape, offset },
      )
      if (broken && prng.next() < 0.1) request[prng.between(0, 27)] = prng.between(0, 255)
      for (const chunk of chunksOf(request, () => prng.between(1, 50_000))) {
        for (let turns = 0; all.wire.paused && turns < 100; turns++) {
          target.release()
          sendAll(all)
        }
        if (!all.wire.paused) all.transmission.receive(chunk)
      }
    }
    target.release()
    sendAll(all)
    all.transmission.onLost()
    target.release()
    assert.equal(all.transmission.requestsInFlight, 0)
    assert.equal(all.payload.takenBytes + all.reply.takenBytes, 0)
  }
})
