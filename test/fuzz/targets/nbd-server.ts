/**
 * An NBD server whose client sends any bytes at all: the handshake, and behind it the transmission phase.
 *
 * The input's first byte cuts the rest into pieces. Held to: the export is only shown requests that are in range, aligned
 * and with their whole payload; each request is answered once, with the cookie that it had; every byte that is sent
 * belongs to a reply; what the server holds for this client stays within its limits; and it comes to rest: it asks
 * for more, or it closed, and then everything that it had taken is given back.
 */
import { MemoryExport, NbdErrno, resolveLimits, type NbdExport, type NbdRequest } from '@sitelink/nbd'
import { ByteBudget, Handshake, Transmission, type Session, type Wire } from '@sitelink/nbd/testing'
import { Prng } from '@sitelink/storage/testing'
import { hold, type Target } from '../engine/target.js'

const KIB = 1024
const LIMITS = resolveLimits({
  payloadBytesMax: 64 * KIB,
  drainBytesMax: 256 * KIB,
  connectionPayloadBytesMax: 128 * KIB,
  connectionReplyBytesMax: 128 * KIB,
  serverPayloadBytesMax: 128 * KIB,
  serverReplyBytesMax: 128 * KIB,
  connectionReserveBytes: 8 * KIB,
  extentCountMax: 64,
  requestsInFlightMax: 64,
  writesInFlightMax: 48,
})
const EXPORT_BYTES = 256 * KIB

/** Looks at every request before a memory export answers it. */
class WatchedExport extends MemoryExport {
  shown = 0

  override submit(request: NbdRequest): void {
    const { operation, offset, length, payload } = request
    this.shown++
    hold(
      Number.isSafeInteger(offset) && offset >= 0 && offset + length <= this.sizeBytes,
      'a request lies in its export',
    )
    hold(offset % this.minimumBlockBytes === 0 && length % this.minimumBlockBytes === 0, 'a request is aligned')
    hold((operation === 'flush') === (length === 0), 'only a flush has no length')
    hold((operation === 'write') === (payload !== null), 'a write has a payload, and nothing else has')
    hold(payload === null || payload.length === length, 'a payload is whole')
    hold(!this.readOnly || !/write|trim/.test(operation), 'a read-only export is not written to')
    hold(operation !== 'read' || length <= LIMITS.payloadBytesMax, 'a read is within the limit')
    super.submit(request)
  }
}

class Line implements Wire {
  readonly sent: Buffer[] = []
  readonly unsent: number[] = []
  readonly turns: (() => void)[] = []
  paused = false
  over: string | null = null

  send(chunks: readonly Buffer[], bytes: number): void {
    hold(chunks.reduce((sum, chunk) => sum + chunk.length, 0) === bytes, 'what is sent has the length that is said')
    this.sent.push(...chunks)
    this.unsent.push(bytes)
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
  }

  defer(turn: () => void): void {
    this.turns.push(turn)
  }

  promptly(turn: () => void): void {
    this.turns.push(turn)
  }

  finish(reason: string): void {
    this.over ??= reason
  }

  fail(reason: string): void {
    this.over ??= reason
  }

  settled(): void {}
}

/** Walks the replies of a session with structured replies; answers how many there are. */
function countReplies(bytes: Buffer): number {
  let count = 0
  for (let at = 0; at < bytes.length; count++) {
    if (bytes.readUInt32BE(at) === 0x67446698) {
      // Of what is no read; it carries no data.
      at += 16
      continue
    }
    hold(bytes.readUInt32BE(at) === 0x668e33ef, 'a reply begins with one of its magics')
    hold(bytes.readUInt16BE(at + 4) === 1, 'a chunk is the last of its reply')
    const type = bytes.readUInt16BE(at + 6)
    const errno = type >= 0x8000 ? bytes.readUInt32BE(at + 20) : NbdErrno.EIO
    hold(Object.values(NbdErrno).includes(errno as never), `${errno} is an errno of the protocol`)
    at += 20 + bytes.readUInt32BE(at + 16)
    hold(at <= bytes.length, 'a reply is whole')
  }
  return count
}

function transmit(session: Session, target: WatchedExport, parts: readonly Buffer[]): string {
  const payload = new ByteBudget(LIMITS.serverPayloadBytesMax, LIMITS.connectionReserveBytes)
  const reply = new ByteBudget(LIMITS.serverReplyBytesMax, LIMITS.connectionReserveBytes)
  const wire = new Line()
  const wake = (): void => transmission.wake()
  const transmission: Transmission = new Transmission(
    session,
    LIMITS,
    wire,
    payload.share(LIMITS.connectionPayloadBytesMax, wake),
    reply.share(LIMITS.connectionReplyBytesMax, wake),
  )
  const turn = (): void => {
    for (let turns = 0; wire.turns.length > 0 || wire.unsent.length > 0; turns++) {
      hold(turns < 10_000, 'the turns of a connection come to an end')
      for (const run of wire.turns.splice(0)) run()
      for (const bytes of wire.unsent.splice(0)) transmission.onSent(bytes)
    }
  }
  for (const part of parts) {
    for (let turns = 0; wire.paused && wire.over === null; turns++) {
      hold(turns < 1000, 'a connection that was paused goes on')
      turn()
    }
    if (wire.over !== null) break
    transmission.receive(part)
    hold(payload.takenBytes <= LIMITS.serverPayloadBytesMax + LIMITS.connectionReserveBytes, 'payloads are bounded')
    hold(reply.takenBytes <= LIMITS.serverReplyBytesMax + LIMITS.connectionReserveBytes, 'replies are bounded')
  }
  turn()
  transmission.receiveEnd()
  turn()
  // Simple replies do not say how long they are: only that all of them went out can be seen.
  const replies = session.structured ? countReplies(Buffer.concat(wire.sent)) : target.shown
  hold(replies >= target.shown, `${target.shown} requests were shown to the export, ${replies} replies came`)
  transmission.onLost()
  hold(transmission.requestsInFlight === 0, 'nothing is in flight')
  hold(payload.takenBytes === 0 && reply.takenBytes === 0, 'everything that was taken is given back')
  return `transmission: ${wire.over?.replace(/\d+/g, '#') ?? 'open'}, ${Math.min(5, replies)} replies`
}

function* pieces(bytes: Buffer, how: number): Generator<Buffer> {
  const prng = new Prng(how)
  for (let at = 0; at < bytes.length;) {
    const size = how === 0 ? bytes.length : how < 80 ? 1 + prng.below(9) : 1 + prng.below(600)
    yield Buffer.from(bytes.subarray(at, at + size))
    at += size
  }
}

/** Replies to options: each has its magic, and a length that is there. */
function checkOptionReplies(bytes: Buffer): void {
  for (let at = 0; at < bytes.length;) {
    if (bytes.readUInt32BE(at) !== 0x0003e889) return // the answer to EXPORT_NAME, which has no header
    at += 20 + bytes.readUInt32BE(at + 16)
    hold(at <= bytes.length, 'a reply to an option is whole')
  }
}

function feed(input: Buffer): string {
  if (input.length === 0) return 'empty'
  const shared = { sizeBytes: EXPORT_BYTES }
  const plain = new WatchedExport({ ...shared, name: 'data', description: 'a disk' })
  const strict = new WatchedExport({ ...shared, name: 'strict', minimumBlockBytes: 512, readOnly: true })
  const exports: readonly WatchedExport[] = [plain, strict]
  const directory = {
    list: (): readonly NbdExport[] => exports,
    find: (name: string) =>
      name === 'gone' ? { unavailable: 'it is gone' } : (exports.find((one) => one.name === name) ?? null),
  }
  const handshake = new Handshake(directory, LIMITS)
  const said: Buffer[] = []
  const rest = pieces(input.subarray(1), input[0] as number)
  for (const piece of rest) {
    const { replies, outcome } = handshake.push(piece)
    said.push(...replies)
    const bytes = said.reduce((sum, one) => sum + one.length, 0)
    hold(bytes <= LIMITS.handshakeReplyBytesMax + 64 * KIB, 'replies to options are bounded')
    if (outcome.kind === 'more') continue
    checkOptionReplies(Buffer.concat(said))
    if (outcome.kind === 'refused') hold(outcome.reason !== '', 'a refusal has a reason')
    if (outcome.kind !== 'transmission')
      return `${outcome.kind} ${outcome.kind === 'refused' ? outcome.reason.replace(/\d+|"[^"]*"/g, '#').slice(0, 50) : ''}`
    const target = exports.find((one) => one === outcome.session.export)
    hold(target !== undefined, 'an export was entered that there is')
    return transmit(
      outcome.session,
      target,
      [outcome.rest, ...rest].filter((part) => part.length > 0),
    )
  }
  checkOptionReplies(Buffer.concat(said))
  return `handshake, ${Math.min(5, said.length)} replies`
}

function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  values.forEach((value, index) => bytes.writeUInt32BE(value, 4 * index))
  return bytes
}

function u16(value: number): Buffer {
  return u32(value).subarray(2)
}

function option(type: number, data = Buffer.alloc(0)): Buffer {
  return Buffer.concat([Buffer.from('IHAVEOPT'), u32(type, data.length), data])
}

function named(name: string): Buffer {
  return Buffer.concat([u32(name.length), Buffer.from(name)])
}

function request(type: number, offset: number, length: number, flags = 0, payload = Buffer.alloc(0)): Buffer {
  return Buffer.concat([u32(0x25609513), u16(flags), u16(type), u32(7, type + 1, 0, offset, length), payload])
}

export function nbdServerTarget(): Target {
  const go = (name: string): Buffer => option(7, Buffer.concat([named(name), u16(3), u16(1), u16(2), u16(3)]))
  const meta = option(10, Buffer.concat([named('data'), u32(1), named('base:allocation')]))
  const requests = [
    request(1, 4096, 512, 1, Buffer.alloc(512, 5)),
    request(0, 4096, 8192),
    request(3, 0, 0),
    request(4, 8192, 65_536),
    request(6, 0, 4096, 2),
    request(7, 0, 131_072),
    request(5, 0, 512),
    request(2, 0, 0),
  ]
  const begin = (how: number, ...parts: readonly Buffer[]): Buffer =>
    Buffer.concat([Buffer.from([how]), u32(3), ...parts])
  const tokens = [Buffer.from('IHAVEOPT'), u32(0x25609513), ...requests, option(8), meta, go('strict'), named('data')]
  return {
    name: 'nbd-server',
    seeds: [
      begin(0, option(8), meta, go('data'), ...requests),
      begin(5, option(3), option(6, Buffer.concat([named('strict'), u16(0)])), go('strict'), ...requests),
      begin(100, go('data'), ...requests),
      begin(90, option(1, Buffer.from('data')), ...requests),
      begin(0, option(9, Buffer.concat([named('data'), u32(0)])), option(11), option(5), go('gone'), option(2)),
    ],
    iterations: 6000,
    bytesMax: 32 * KIB,
    tokens,
    // An export and its state, a handful of reads of the largest size, and the pieces of the input.
    allocationBytesMax: (input) => 8 * 1024 * KIB + 80 * input.length,
    mutate: (input, prng) => {
      // Requests behind a good handshake: where most of the ways are.
      const cut = input.indexOf(u32(0x25609513))
      if (cut < 0 || prng.chance(0.3)) return Buffer.concat([input, prng.pick(tokens)])
      const parts = Array.from({ length: prng.between(1, 12) }, () => {
        const one = Buffer.from(prng.pick(requests))
        if (prng.chance(0.6))
          one.writeUInt32BE(
            prng.pick([0, 1, 511, 512, 4096, 65_536, 65_537, 262_144, 2 ** 32 - 1]),
            prng.pick([20, 24]),
          )
        if (prng.chance(0.2)) one.writeUInt16BE(prng.below(64), 4)
        return one
      })
      return Buffer.concat([input.subarray(0, cut), ...parts])
    },
    feed,
  }
}
