/**
 * An NBD client (`NbdClient`) whose server answers with any bytes at all.
 *
 * The input is what the server sends behind a negotiation; requests of every kind wait for it. Held to: every request is
 * settled when the connection has ended, once; what it fails with is an `NbdClientError` of a documented kind; a read
 * that succeeds has the length that was asked for; and no reply makes the client take more memory than it may hold.
 */
import { Duplex } from 'node:stream'
import type { Socket } from 'node:net'
import { NbdClient, NbdClientError } from '@sitelink/nbd'
import { endOfTurn } from '../engine/fuzzer.js'
import { hold, type Target } from '../engine/target.js'

const KINDS: ReadonlySet<string> = new Set(['refused', 'lost', 'protocol'])
const READ_BYTES = 64
const INFO = {
  sizeBytes: 2 ** 20,
  transmissionFlags: 0xffff,
  name: 'data',
  description: null,
  minimumBlockBytes: 1,
  preferredBlockBytes: 4096,
  payloadBytesMax: 2 ** 25,
}

async function feed(input: Buffer): Promise<string> {
  if (input.length === 0) return 'empty'
  const socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  const structured = ((input[0] as number) & 1) === 0
  const client = new NbdClient({
    socket: socket as unknown as Socket,
    info: INFO,
    structured,
    allocationContext: structured,
    input: Buffer.alloc(0),
  })
  const requests: readonly Promise<unknown>[] = [
    client.read(0, READ_BYTES),
    client.write(0, Buffer.alloc(16)),
    client.flush(),
    client.blockStatus(0, 4096),
    client.read(4096, READ_BYTES),
  ]
  const settled = Promise.allSettled(requests)
  const body = input.subarray(1)
  const cut = (input[0] as number) > 100 ? Math.floor(body.length / 3) : body.length
  socket.push(Buffer.from(body.subarray(0, cut)))
  if (cut < body.length) socket.push(Buffer.from(body.subarray(cut)))
  await endOfTurn()
  socket.destroy()
  const words: string[] = []
  for (const [index, one] of (await settled).entries()) {
    if (one.status === 'rejected') {
      const { reason } = one as { reason: unknown }
      hold(
        reason instanceof NbdClientError,
        `a request fails with an NbdClientError, not: ${String((reason as Error).stack)}`,
      )
      hold(KINDS.has(reason.kind) && reason.message !== '', `${reason.kind} is a documented kind`)
      words.push(reason.kind[0] as string)
      continue
    }
    words.push('+')
    if (index === 0 || index === 4) hold((one.value as Buffer).length === READ_BYTES, 'a read has its length')
  }
  hold(client.requestsInFlight === 0, 'nothing is in flight after the end')
  return words.join('')
}

export function nbdClientTarget(): Target {
  const u32 = (...values: readonly number[]): Buffer => {
    const bytes = Buffer.alloc(4 * values.length)
    values.forEach((value, index) => bytes.writeUInt32BE(value >>> 0, 4 * index))
    return bytes
  }
  const chunk = (flags: number, type: number, cookie: number, payload: Buffer): Buffer =>
    Buffer.concat([u32(0x668e33ef, flags * 65_536 + type, 0, cookie, payload.length), payload])
  const data = (cookie: number, offset: number, bytes: number): Buffer =>
    chunk(1, 1, cookie, Buffer.concat([u32(0, offset), Buffer.alloc(bytes, 7)]))
  const simple = (cookie: number, errno = 0): Buffer => u32(0x67446698, errno, 0, cookie)
  const status = chunk(1, 5, 4, u32(1, 2048, 0, 2048, 3))
  const failure = chunk(1, 0x8001, 3, Buffer.concat([u32(5), Buffer.from([0, 2]), Buffer.from('no')]))
  const hole = chunk(1, 2, 5, u32(0, 4096, READ_BYTES))
  const whole = [data(1, 0, READ_BYTES), simple(2), simple(3), status, data(5, 4096, READ_BYTES)]
  return {
    name: 'nbd-client',
    seeds: [
      Buffer.concat([Buffer.from([0]), ...whole]),
      Buffer.concat([
        Buffer.from([0]),
        failure,
        hole,
        chunk(0, 1, 1, Buffer.concat([u32(0, 0), Buffer.alloc(32)])),
        data(1, 32, 32),
      ]),
      Buffer.concat([
        Buffer.from([1]),
        simple(1),
        Buffer.alloc(READ_BYTES),
        simple(2),
        simple(3, 5),
        simple(5),
        Buffer.alloc(READ_BYTES),
      ]),
    ],
    iterations: 4000,
    bytesMax: 8192,
    tokens: [...whole, failure, hole, u32(0x668e33ef), u32(0x67446698)],
    // A chunk may announce eight megabytes more than was asked for, and is believed one at a time.
    allocationBytesMax: (input) => 20 * 1024 * 1024 + 16 * input.length,
    feed,
  }
}
