/** Bytes of sockets are read to where the receiver says, on either end, plain and through TLS. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import { test, type TestContext } from 'node:test'
import { TcpTransport, TlsTransport, type Connection, type Transport } from '../../src/index.js'
import { isInPlace, Landing, readInto, userBufferSlots } from '../../src/transport/read-into.js'
import { realClock } from '../support/clock.js'
import { FIRST, OTHER } from '../support/identities.js'
import { knows } from '../support/judges.js'
import { seeded } from '../support/random.js'

const LIMIT = { timeout: 60_000 }
const ROOM_BYTES = 5000

test('this release of Node reads into the buffers of a program', () => {
  assert.notEqual(userBufferSlots(), null)
})

const TRANSPORTS: Readonly<Record<'tcp' | 'tls', { server: () => Transport; client: () => Transport }>> = {
  tcp: {
    server: () => new TcpTransport({ clock: realClock }),
    client: () => new TcpTransport({ clock: realClock }),
  },
  tls: {
    server: () => new TlsTransport({ clock: realClock, identity: () => FIRST, judge: knows(OTHER) }),
    client: () => new TlsTransport({ clock: realClock, identity: () => OTHER, judge: knows(FIRST) }),
  },
}

async function ends(t: TestContext, scheme: 'tcp' | 'tls'): Promise<[Connection, Connection]> {
  const { server, client } = TRANSPORTS[scheme]
  let accept!: (connection: Connection) => void
  const accepted = new Promise<Connection>((resolve) => (accept = resolve))
  const listener = await server().listen(`${scheme}://127.0.0.1:0`, (connection) => accept(connection))
  const both: [Connection, Connection] = [await client().dial(listener.address, { timeoutMs: 10_000 }), await accepted]
  t.after(async () => {
    for (const end of both) end.destroy()
    await listener.close()
  })
  return both
}

/** Takes what comes into rooms of its own, and pauses now and then. Resolves when it has `bytes`. */
function take(end: Connection, bytes: number, pauses: () => boolean): Promise<{ data: Buffer; elsewhere: number }> {
  const chunks: Buffer[] = []
  const rooms: Buffer[] = []
  let left = bytes
  let elsewhere = 0
  return new Promise((resolve, reject) => {
    end.attach({
      data: (chunk) => {
        const room = rooms.at(-1) as Buffer
        if (!isInPlace(chunk, room, 0)) elsewhere += chunk.length
        assert.ok(chunk.length <= ROOM_BYTES || elsewhere > 0, 'a read is no longer than its room')
        chunks.push(chunk)
        left -= chunk.length
        if (left === 0) return resolve({ data: Buffer.concat(chunks), elsewhere })
        if (!pauses()) return
        end.pause()
        setImmediate(() => end.resume())
      },
      room: () => {
        const room = Buffer.allocUnsafeSlow(ROOM_BYTES)
        rooms.push(room)
        return room
      },
      drained: () => {},
      closed: (reason) => reject(reason ?? new Error('closed')),
    })
  })
}

for (const scheme of ['tcp', 'tls'] as const) {
  test(`${scheme}: both ends read to where they are told, whatever pauses`, LIMIT, async (t) => {
    const random = seeded(t)
    const both = await ends(t, scheme)
    const sent = both.map(() => random.bytes(1_000_000 + random.below(1_000_000)))
    const taken = both.map((end, at) => take(end, (sent[1 - at] as Buffer).length, () => random.oneIn(20)))
    both.forEach((end, at) => end.write([sent[at] as Buffer]))
    const got = await Promise.all(taken)
    got.forEach(({ data, elsewhere }, at) => {
      assert.ok(data.equals(sent[1 - at] as Buffer), 'the bytes are those that were sent')
      // What came before anybody said where to, one record of TLS at most, has memory of its own.
      assert.ok(elsewhere <= (scheme === 'tls' ? 16_384 : 0), `${elsewhere} bytes were read elsewhere`)
    })
  })
}

test('a stream that is no socket brings memory of its own', LIMIT, async () => {
  const stream = new PassThrough()
  const chunks: Buffer[] = []
  readInto(
    stream,
    () => assert.fail('there is nothing to ask'),
    (chunk) => chunks.push(chunk),
  )
  stream.end(Buffer.from('as ever'))
  await once(stream, 'end')
  assert.equal(Buffer.concat(chunks).toString(), 'as ever')
})

test('a landing hands out no byte twice, and room for a read each time', LIMIT, (t) => {
  const random = seeded(t)
  const landing = new Landing()
  const ends = new Map<ArrayBufferLike, number>()
  for (let round = 0; round < 2000; round++) {
    const large = random.oneIn(3)
    const room = landing.room(large)
    assert.ok(room.length >= 4096 && room.length <= (large ? 4096 : 65_536))
    assert.ok(room.byteOffset >= (ends.get(room.buffer) ?? 0), 'behind what came before')
    const chunk = room.subarray(0, 1 + random.below(room.length))
    if (random.oneIn(5)) landing.took(Buffer.allocUnsafeSlow(10))
    landing.took(chunk)
    ends.set(chunk.buffer, chunk.byteOffset + chunk.length)
  }
})
