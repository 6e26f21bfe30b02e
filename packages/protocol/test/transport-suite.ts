/**
 * The conformance suite of transports: what transport.ts promises, held against any implementation.
 *
 * `transportConformance('tcp', () => ...)` declares its tests with node:test; call it at the top of a test file. It owns
 * every connection and listener that it makes. Nothing waits for a length of time: a test ends by events alone, and one
 * that never ends is ended by its time limit.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it, type TestContext } from 'node:test'
import type { Connection, Listener, Transport } from '../src/index.js'
import { SeededRandom, seeded } from './support/random.js'

/** One implementation under test, made anew for each test. */
export interface TransportUnderTest {
  readonly server: Transport
  readonly client: Transport
  /** An address to listen on; any free port where the scheme has ports. */
  readonly listenAddress: string
  /** Another one, for a second listener. */
  readonly secondListenAddress: string
  /** An address where nobody listens. */
  readonly deadAddress: string
  /** An address that never answers a dial; absent where there is none that is sure. */
  readonly mutedAddress?: string
  /** Releases what the test double holds. */
  close?(): Promise<void> | void
}

/** Bytes that an implementation may take from a writer whose peer never reads: queues, kernel buffers, windows. */
const STUCK_BYTES_MAX = 64 * 1024 * 1024
/** Longest time of one test: only so that a fault fails and does not hang. */
const LIMIT = { timeout: 30_000 }
const DIAL = { timeoutMs: 10_000 }

/** Collects what a connection tells; everything else is built from it. */
class Peer {
  readonly chunks: Buffer[] = []
  bytes = 0
  closedCount = 0
  reason: Error | null = null
  drainedCount = 0
  calls = 0
  /** A method of the connection is on the stack: no call may come. */
  inside = false
  onData: (chunk: Buffer) => void = (chunk) => void this.chunks.push(chunk)
  onDrained: () => void = () => {}
  readonly closed: Promise<void>

  constructor(readonly connection: Connection) {
    let resolveClosed!: () => void
    this.closed = new Promise((resolve) => (resolveClosed = resolve))
    const called = (): void => {
      assert.equal(this.inside, false, 'a handler is not called from within a method')
      assert.equal(this.closedCount, 0, 'nothing is called after closed')
      this.calls += 1
    }
    this.within(() =>
      connection.attach({
        data: (chunk) => {
          called()
          assert.ok(chunk.length > 0, 'a chunk has bytes')
          this.bytes += chunk.length
          this.onData(chunk)
        },
        drained: () => {
          called()
          this.drainedCount += 1
          this.onDrained()
        },
        closed: (reason) => {
          called()
          this.closedCount += 1
          this.reason = reason
          resolveClosed()
        },
      }),
    )
  }

  /** Runs `action` and fails if the connection calls back meanwhile. */
  within<T>(action: () => T): T {
    const outer = this.inside
    this.inside = true
    try {
      return action()
    } finally {
      this.inside = outer
    }
  }

  write(...chunks: Buffer[]): boolean {
    return this.within(() => this.connection.write(chunks))
  }

  close(): void {
    this.within(() => this.connection.close())
  }

  destroy(reason?: Error): void {
    this.within(() => this.connection.destroy(reason))
  }

  /** Resolves once so many bytes came in all. */
  async received(bytes: number): Promise<void> {
    while (this.bytes < bytes && this.closedCount === 0) await turn()
    assert.ok(this.bytes >= bytes, `the connection ended after ${this.bytes} of ${bytes} bytes`)
  }

  text(): string {
    return Buffer.concat(this.chunks).toString()
  }
}

/** One turn of the event loop. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** What an implementation can show beyond the promises. */
export interface TransportAbilities {
  /** It has a `mutedAddress`. One that has none proves its time-out in a test of its own. */
  readonly mutes: boolean
}

/** Declares the suite for one implementation. */
export function transportConformance(
  name: string,
  abilities: TransportAbilities,
  make: () => TransportUnderTest | Promise<TransportUnderTest>,
): void {
  interface World extends TransportUnderTest {
    readonly listener: Listener
    /** A new connection: both ends, attached. */
    pair(signal?: AbortSignal): Promise<{ dialed: Peer; accepted: Peer }>
  }

  /** Runs `body` in a world of its own, and sees that its connections end. */
  const within = (claim: string, body: (world: World, test: TestContext) => Promise<void>): void => {
    void it(claim, LIMIT, async (test) => {
      const made = await make()
      const peers: Peer[] = []
      const waiting: ((connection: Connection) => void)[] = []
      const listener = await made.server.listen(made.listenAddress, (connection) => {
        const next = waiting.shift()
        if (next === undefined) connection.destroy()
        else next(connection)
      })
      const pair = async (signal?: AbortSignal): Promise<{ dialed: Peer; accepted: Peer }> => {
        const acceptance = new Promise<Connection>((resolve) => waiting.push(resolve))
        const dialed = new Peer(
          await made.client.dial(listener.address, signal === undefined ? DIAL : { ...DIAL, signal }),
        )
        const accepted = new Peer(await acceptance)
        peers.push(dialed, accepted)
        return { dialed, accepted }
      }
      try {
        await body({ ...made, listener, pair }, test)
      } finally {
        for (const peer of peers) peer.connection.destroy()
        await Promise.all(peers.map((peer) => peer.closed))
        for (const peer of peers) assert.equal(peer.closedCount, 1, 'closed is called exactly once')
        await listener.close()
        await made.close?.()
      }
    })
  }

  void describe(`${name} is a transport`, () => {
    within('bytes written in many pieces arrive once and in order, both ways', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      dialed.write(Buffer.from('a'), Buffer.from('bc'), Buffer.alloc(0), Buffer.from('d'))
      dialed.write(Buffer.from('ef'))
      accepted.write(Buffer.from('there'))
      await accepted.received(6)
      await dialed.received(5)
      assert.equal(accepted.text(), 'abcdef')
      assert.equal(dialed.text(), 'there')
    })

    within('64 MiB in chunks of random sizes arrive unchanged through back-pressure', async ({ pair }, test) => {
      const random = seeded(test)
      const { dialed, accepted } = await pair()
      const total = 64 * 1024 * 1024
      const source = random.bytes(1024 * 1024 + 4096)
      const sent = createHash('sha256')
      const seen = createHash('sha256')
      accepted.onData = (chunk) => void seen.update(chunk)
      let left = total
      const pump = (): void => {
        for (let room = true; left > 0 && room;) {
          const size = Math.min(left, 1 + random.below(random.oneIn(4) ? 1024 * 1024 : 8192))
          const at = random.below(source.length - size)
          const chunk = source.subarray(at, at + size)
          sent.update(chunk)
          left -= size
          room = dialed.within(() => dialed.connection.write([chunk]))
        }
      }
      dialed.onDrained = pump
      pump()
      await accepted.received(total)
      assert.equal(accepted.bytes, total)
      assert.equal(seen.digest('hex'), sent.digest('hex'))
    })

    within('a chunk belongs to the receiver: later input does not change it', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      dialed.write(Buffer.alloc(100_000, 1))
      await accepted.received(100_000)
      dialed.write(Buffer.alloc(400_000, 2))
      await accepted.received(500_000)
      const all = Buffer.concat(accepted.chunks)
      assert.ok(all.subarray(0, 100_000).every((byte) => byte === 1))
      assert.ok(all.subarray(100_000).every((byte) => byte === 2))
    })

    within(
      'input that comes before the handler is attached waits for it',
      async ({ client, server, secondListenAddress }) => {
        const other = await server.listen(secondListenAddress, (connection) => {
          connection.write([Buffer.from('early')])
          connection.close()
          closing.push(new Peer(connection))
        })
        const closing: Peer[] = []
        const connection = await client.dial(other.address, DIAL)
        for (let index = 0; index < 50; index++) await turn()
        const dialed = new Peer(connection)
        await dialed.closed
        assert.equal(dialed.text(), 'early')
        await closing[0]?.closed
        await other.close()
      },
    )

    within('a writer is stopped when the peer never reads, and its queue stays bounded', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      accepted.connection.pause()
      const chunk = Buffer.alloc(256 * 1024, 3)
      let taken = 0
      let idleTurns = 0
      let room = true
      dialed.onDrained = () => (room = true)
      // Stuck: no drain for many turns of the event loop, in which a live path would have drained.
      while (idleTurns < 300) {
        assert.ok(taken <= STUCK_BYTES_MAX, `${taken} bytes were taken although nobody reads`)
        if (room) {
          room = dialed.write(chunk)
          taken += chunk.length
          idleTurns = 0
        } else {
          idleTurns += 1
        }
        await turn()
      }
      assert.equal(room, false)
      assert.ok(dialed.connection.queuedBytes > 0, 'what waits is counted')
      assert.ok(dialed.connection.queuedBytes <= 4 * 1024 * 1024, `${dialed.connection.queuedBytes} bytes are queued`)
      accepted.connection.resume()
      await accepted.received(taken)
      while (dialed.drainedCount === 0) await turn()
      assert.equal(dialed.connection.queuedBytes, 0)
    })

    within('pause stops data at once and resume goes on without loss', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      let pauses = 0
      let paused = false
      accepted.onData = (chunk) => {
        assert.equal(paused, false, 'no data while paused')
        accepted.chunks.push(chunk)
        if (pauses++ < 5) {
          paused = true
          accepted.connection.pause()
          setImmediate(() => {
            paused = false
            accepted.within(() => accepted.connection.resume())
          })
        }
      }
      const bytes = new SeededRandom(7).bytes(2_000_000)
      dialed.write(bytes)
      await accepted.received(bytes.length)
      assert.ok(Buffer.concat(accepted.chunks).equals(bytes))
      assert.ok(pauses > 1)
    })

    within('close sends what is queued, then ends both sides without a reason', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      // More than the network between holds: a part of it is certainly still queued here.
      accepted.connection.pause()
      const chunk = Buffer.alloc(1024 * 1024, 5)
      const total = 32 * chunk.length
      for (let left = total; left > 0; left -= chunk.length) dialed.write(chunk)
      assert.ok(dialed.connection.queuedBytes > 0)
      dialed.close()
      assert.equal(dialed.write(Buffer.from('late')), false)
      accepted.connection.resume()
      await accepted.closed
      await dialed.closed
      assert.equal(accepted.bytes, total)
      assert.equal(accepted.reason, null)
      assert.equal(dialed.reason, null)
      assert.equal(dialed.connection.queuedBytes, 0)
    })

    within('after its own close a side is told of nothing but the end', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      accepted.write(Buffer.alloc(500_000, 1))
      dialed.close()
      const before = dialed.calls
      await dialed.closed
      assert.equal(dialed.calls, before + 1)
    })

    within('destroy ends at once, drops what is queued and gives its reason to its own side', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      accepted.connection.pause()
      for (let index = 0; index < 64; index++) dialed.write(Buffer.alloc(1024 * 1024, 1))
      const reason = new Error('enough')
      dialed.destroy(reason)
      dialed.destroy(new Error('again'))
      dialed.close()
      await dialed.closed
      assert.equal(dialed.reason, reason)
      accepted.connection.resume()
      await accepted.closed
      assert.ok(accepted.bytes < 64 * 1024 * 1024, 'queued bytes were dropped')
    })

    within('destroy before attach is told to the handler that comes later', async ({ client, listener, pair }) => {
      const { dialed } = await pair()
      dialed.destroy()
      const lost = client.dial(listener.address, DIAL)
      const connection = await lost
      connection.destroy(new Error('unwanted'))
      const peer = new Peer(connection)
      await peer.closed
      assert.equal(peer.reason?.message, 'unwanted')
    })

    within('close and destroy from within a handler are safe', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      accepted.onData = () => accepted.connection.destroy()
      dialed.write(Buffer.alloc(1_000_000))
      await accepted.closed
      await dialed.closed
    })

    within('a peer that breaks off while bytes are on their way ends the other side too', async ({ pair }) => {
      const { dialed, accepted } = await pair()
      accepted.write(Buffer.alloc(4_000_000))
      dialed.write(Buffer.alloc(4_000_000))
      dialed.destroy()
      await accepted.closed
    })

    within('a dial where nobody listens is refused with a code', async ({ client, deadAddress }) => {
      await assert.rejects(client.dial(deadAddress, DIAL), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'DIAL_REFUSED')
        assert.ok(error.message.includes(deadAddress), error.message)
        return true
      })
    })

    if (abilities.mutes) {
      within('a dial that nobody answers ends after its time', async ({ client, mutedAddress }) => {
        await assert.rejects(client.dial(mutedAddress as string, { timeoutMs: 20 }), { code: 'DIAL_TIMEOUT' })
      })
    }

    within('a dial can be given up, before it begins and while it runs', async ({ client, listener, mutedAddress }) => {
      const gone = AbortSignal.abort()
      await assert.rejects(client.dial(listener.address, { ...DIAL, signal: gone }), { code: 'DIAL_ABORTED' })
      const controller = new AbortController()
      const dialing = client.dial(mutedAddress ?? listener.address, { ...DIAL, signal: controller.signal })
      controller.abort()
      await assert.rejects(dialing, { code: 'DIAL_ABORTED' })
    })

    within('an abort after the dial does nothing to the connection', async ({ pair }) => {
      const controller = new AbortController()
      const { dialed, accepted } = await pair(controller.signal)
      controller.abort()
      dialed.write(Buffer.from('x'))
      await accepted.received(1)
    })

    within('an address in use is refused with a code', async ({ server, listener }) => {
      await assert.rejects(
        server.listen(listener.address, () => {}),
        { code: 'LISTEN_IN_USE' },
      )
    })

    within('a bad address is refused with the part that is wrong', async ({ client, server }) => {
      await assert.rejects(client.dial('nonsense', DIAL), { code: 'ADDRESS_INVALID' })
      await assert.rejects(
        server.listen(`${server.scheme}:`, () => {}),
        { code: 'ADDRESS_INVALID' },
      )
    })

    within(
      'a closed listener takes no new connections and leaves the old ones alone',
      async ({ client, listener, pair }) => {
        const { dialed, accepted } = await pair()
        await listener.close()
        await listener.close()
        await assert.rejects(client.dial(listener.address, DIAL), { code: 'DIAL_REFUSED' })
        dialed.write(Buffer.from('still here'))
        await accepted.received(10)
      },
    )

    within('a hundred connections at once do not mix their bytes', async ({ pair }) => {
      const pairs = []
      for (let index = 0; index < 100; index++) pairs.push(await pair())
      for (const [index, { dialed, accepted }] of pairs.entries()) {
        dialed.write(Buffer.alloc(10_000, index))
        accepted.write(Buffer.alloc(5000, 255 - index))
      }
      for (const [index, { dialed, accepted }] of pairs.entries()) {
        await accepted.received(10_000)
        await dialed.received(5000)
        assert.ok(Buffer.concat(accepted.chunks).every((byte) => byte === index))
        assert.ok(Buffer.concat(dialed.chunks).every((byte) => byte === 255 - index))
      }
    })

    within('a description names the transport and the peer', async ({ pair, server }) => {
      const { dialed, accepted } = await pair()
      for (const { connection } of [dialed, accepted])
        assert.match(connection.description, new RegExp(`^${server.scheme} .+`))
    })
  })
}
