/** The memory network's faults and its determinism, under a clock that only the test moves. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryNetwork, type Connection, type LinkConditions } from '../../src/index.js'
import { SimClock } from '../support/clock.js'
import { SeededRandom } from '../support/random.js'

interface End {
  readonly connection: Connection
  readonly events: string[]
  readonly chunks: Buffer[]
}

function attach(connection: Connection, clock: SimClock): End {
  const end: End = { connection, events: [], chunks: [] }
  connection.attach({
    data(chunk) {
      end.chunks.push(chunk)
      end.events.push(`${clock.nowMs()} data ${chunk.length}`)
    },
    drained: () => end.events.push(`${clock.nowMs()} drained`),
    closed: (reason) => end.events.push(`${clock.nowMs()} closed ${reason === null ? 'null' : reason.message}`),
  })
  return end
}

async function world(link: Partial<LinkConditions> = {}, seed = 1) {
  const clock = new SimClock()
  const network = new MemoryNetwork({ clock, random: new SeededRandom(seed), link })
  const accepted: Connection[] = []
  await network.host('b').listen('memory:b', (connection) => accepted.push(connection))
  const dialing = network.host('a').dial('memory:b', { timeoutMs: 1000 })
  clock.run(900)
  const a = attach(await dialing, clock)
  const b = attach(accepted[0] as Connection, clock)
  a.events.length = 0
  return { clock, network, a, b }
}

const bytesOf = (end: End): number => end.chunks.reduce((sum, chunk) => sum + chunk.length, 0)

test('latency delays the first byte and bandwidth the last', async () => {
  const { clock, a, b } = await world({ latencyMs: 10, bandwidthBytes: 1_000_000 })
  const startMs = clock.nowMs()
  a.connection.write([Buffer.alloc(65_536)])
  clock.run(1000)
  const [line] = b.events
  assert.equal(Math.round((Number(line?.split(' ')[0]) - startMs) * 1000), 75_536)
})

test('what is sent through a silent direction waits, as does the end, while the other direction lives', async () => {
  const { clock, network, a, b } = await world({ latencyMs: 1 })
  network.setLink('a', 'b', { silent: true })
  a.connection.write([Buffer.from('lost for now')])
  b.connection.write([Buffer.from('heard')])
  clock.run(100)
  assert.equal(bytesOf(a), 5)
  assert.equal(bytesOf(b), 0)
  a.connection.close()
  clock.run(100)
  assert.deepEqual(b.events, [])
  network.setLink('a', 'b', { silent: false })
  clock.run(100)
  assert.equal(bytesOf(b), 12)
  assert.match(b.events.at(-1) ?? '', /closed null/)
})

test('a silent link is half-open: even a broken connection is not seen at the other side', async () => {
  const { clock, network, a, b } = await world()
  network.partition('a', 'b')
  a.connection.destroy()
  clock.run(10_000)
  assert.match(a.events.at(-1) ?? '', /closed/)
  assert.deepEqual(b.events, [])
  assert.equal(network.connectionCount, 1)
  network.partition('a', 'b', false)
  clock.run(10)
  assert.match(b.events.at(-1) ?? '', /closed .*broke/)
  assert.equal(network.connectionCount, 0)
})

test('a silent writer is stopped by its own bounded queue', async () => {
  const { clock, network, a, b } = await world()
  network.setLink('a', 'b', { silent: true })
  let taken = 0
  while (a.connection.write([Buffer.alloc(100_000)])) taken += 100_000
  assert.ok(taken < 4_000_000)
  clock.run(1000)
  assert.deepEqual(a.events, [])
  network.setLink('a', 'b', { silent: false })
  clock.run(1000)
  assert.equal(bytesOf(b), taken + 100_000)
  assert.match(a.events.at(-1) ?? '', /drained/)
})

test('a cut ends both ends with a reason and loses what was on its way', async () => {
  const { clock, network, a, b } = await world({ latencyMs: 5 })
  a.connection.write([Buffer.alloc(1000)])
  clock.run(1)
  network.cut('a', 'b')
  clock.run(100)
  assert.equal(bytesOf(b), 0)
  for (const end of [a, b]) assert.match(end.events.join(), /^[\d.]+ closed the connection .* broke: the link was cut$/)
})

test('a crashed host is called no more, and its peers see a break', async () => {
  const { clock, network, a, b } = await world()
  network.crash('b')
  clock.run(100)
  assert.deepEqual(b.events, [])
  assert.match(a.events.join(), /broke/)
  const dialing = network.host('a').dial('memory:b', { timeoutMs: 50 })
  clock.run(100)
  await assert.rejects(dialing, { code: 'DIAL_REFUSED' })
})

test('a flip changes exactly one bit of what was sent, and never the sender’s own buffer', async () => {
  const { clock, network, a, b } = await world()
  const sent = Buffer.alloc(1000)
  network.flipNext('a', 'b')
  a.connection.write([sent])
  clock.run(10)
  const got = Buffer.concat(b.chunks)
  const bits = [...got].reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0)
  assert.equal(bits, 1)
  assert.ok(sent.equals(Buffer.alloc(1000)))
  a.connection.write([sent])
  clock.run(10)
  assert.ok(Buffer.concat(b.chunks).subarray(1000).equals(sent))
})

test('the same seed gives the same run, another seed another one', async () => {
  const run = async (seed: number): Promise<string[]> => {
    const { clock, a, b } = await world(
      { latencyMs: 3, jitterMs: 5, segmentBytesMin: 1, segmentBytesMax: 5000, flipEveryBytes: 20_000 },
      seed,
    )
    for (let index = 0; index < 20; index++) {
      a.connection.write([Buffer.alloc(3000, index)])
      clock.run(1)
    }
    clock.run(1000)
    return [...b.events, Buffer.concat(b.chunks).toString('hex')]
  }
  assert.deepEqual(await run(11), await run(11))
  assert.notDeepEqual(await run(11), await run(12))
})

test('a broken farewell is a break: no peer takes half of what was queued for the whole', async () => {
  const { clock, a, b } = await world({ bandwidthBytes: 1_000_000, latencyMs: 1 })
  a.connection.write([Buffer.alloc(3_000_000)])
  a.connection.close()
  clock.run(100)
  a.connection.destroy()
  clock.run(10_000)
  assert.ok(bytesOf(b) < 3_000_000)
  assert.match(b.events.at(-1) ?? '', /closed .*broke/)
})
