/** The window of credit over a stream without back-pressure: bounded at both ends, whatever the peer does. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { ByteStream } from '../../src/transport/byte-stream.js'
import { CREDIT_BYTES, CreditedStream } from '../../src/transport/credited-stream.js'
import { seeded } from '../support/random.js'

setFlagsFromString('--expose_gc')
const collect = runInNewContext('gc') as () => void

/** One end of a stream that takes everything at once, as the library does. */
class Pushed implements ByteStream {
  readonly waiting: Buffer[] = []
  peer: Pushed | null = null
  bytesTaken = 0
  destroyed = false
  #wake: (() => void) | null = null

  async read(): Promise<Buffer | null> {
    while (this.waiting.length === 0) {
      if (this.destroyed) throw new Error('gone')
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return this.waiting.shift() as Buffer
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.destroyed) throw new Error('gone')
    this.bytesTaken += bytes.length
    this.peer?.push(bytes)
  }

  push(bytes: Buffer): void {
    this.waiting.push(bytes)
    this.#wake?.()
  }

  async finish(): Promise<void> {}

  destroy(): void {
    this.destroyed = true
    this.#wake?.()
  }
}

function pushedPair(): [Pushed, Pushed] {
  const [one, other] = [new Pushed(), new Pushed()]
  one.peer = other
  other.peer = one
  return [one, other]
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

async function settle(): Promise<void> {
  for (let count = 0; count < 20; count++) await turn()
}

test('a writer stops at the window of a reader that stops, and goes on when it reads', async () => {
  const [near, far] = pushedPair()
  const [writer, reader] = [new CreditedStream(near), new CreditedStream(far)]
  let done = false
  const writing = writer.write(Buffer.alloc(3 * CREDIT_BYTES, 1)).then(() => (done = true))
  await settle()
  assert.equal(done, false)
  assert.ok(near.bytesTaken <= CREDIT_BYTES + 1024, `${near.bytesTaken} bytes went out to a reader that does not read`)
  let received = 0
  while (received < 3 * CREDIT_BYTES) received += (await reader.read())?.length ?? 0
  await writing
  assert.equal(received, 3 * CREDIT_BYTES)
})

test('bytes arrive in order whatever the pieces, then the end', async (t) => {
  const random = seeded(t)
  const [near, far] = pushedPair()
  const cut = far.push.bind(far)
  far.push = (bytes) => {
    for (let at = 0; at < bytes.length;) {
      const size = 1 + random.below(random.oneIn(3) ? 3 : 70_000)
      cut(bytes.subarray(at, at + size))
      at += size
    }
  }
  const [writer, reader] = [new CreditedStream(near), new CreditedStream(far)]
  const sent = random.bytes(5_000_000)
  const writing = (async () => {
    for (let at = 0; at < sent.length;) {
      const size = 1 + random.below(300_000)
      await writer.write(sent.subarray(at, at + size))
      at += size
    }
    await writer.finish()
  })()
  const got: Buffer[] = []
  for (let chunk = await reader.read(); chunk !== null; chunk = await reader.read()) got.push(Buffer.from(chunk))
  await writing
  assert.ok(Buffer.concat(got).equals(sent))
  assert.equal(await reader.read(), null)
})

const head = (kind: number, bytes: number): Buffer => {
  const made = Buffer.alloc(5)
  made[0] = kind
  made.writeUInt32LE(bytes, 1)
  return made
}

for (const [what, messages] of [
  ['more than the window', [head(0, CREDIT_BYTES + 1)]],
  ['more than is left of the window', [head(0, CREDIT_BYTES), Buffer.alloc(CREDIT_BYTES), head(0, 1)]],
  ['credit that there is not', [head(1, 1)]],
  ['a message that is none', [head(7, 0)]],
  ['data behind its end', [head(2, 0), head(0, 1)]],
] as const) {
  test(`a peer that sends ${what} loses the stream`, async () => {
    const [near, far] = pushedPair()
    const stream = new CreditedStream(near)
    for (const message of messages) await far.write(message)
    await settle()
    assert.equal(near.destroyed, true)
    await assert.rejects(stream.write(Buffer.from('x')), /peer (sends|grants|breaks)/)
  })
}

test('what is pending ends with the stream', async () => {
  const [near] = pushedPair()
  const stream = new CreditedStream(near)
  const pending = [stream.read(), stream.write(Buffer.alloc(2 * CREDIT_BYTES))]
  await settle()
  stream.destroy()
  for (const one of pending) await assert.rejects(one, /ended here/)
})

test('a window full of one-byte messages costs little more than its bytes, and arrives in order', async () => {
  const [near, far] = pushedPair()
  const stream = new CreditedStream(near)
  const messages = CREDIT_BYTES / 4
  const sent = Buffer.alloc(messages * 6)
  for (let at = 0; at < messages; at += 1) {
    sent[at * 6 + 1] = 1
    sent[at * 6 + 5] = at % 251
  }
  const before = held()
  await far.write(sent)
  await settle()
  const after = held()
  assert.ok(after - before < 8 * CREDIT_BYTES, `${after - before} bytes more are held`)
  const arrived = (await stream.read()) as Buffer
  assert.equal(arrived.length, messages)
  for (let at = 0; at < messages; at += 1) if (arrived[at] !== at % 251) assert.fail(`byte ${at}`)
})

/** Bytes that cannot be collected. */
function held(): number {
  collect()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
