/**
 * What the tests of this room share: a clock that stands still, exports that can be held, a wire without a socket, and
 * seeded randomness. Nothing here sleeps; `until` lets the event loop turn until something is so.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as nbd from '../src/constants.js'
import {
  defaultLimits,
  type ExportDirectory,
  MemoryExport,
  type MemoryExportOptions,
  type NbdEvent,
  type NbdExport,
  type NbdLimits,
  type NbdRequest,
  NbdServer,
  type Timer,
} from '../src/index.js'
import type { Wire } from '../src/transmission.js'

/** A clock that calls back only when told to. */
export class ManualClock {
  readonly timers = new Set<{ readonly ms: number; readonly action: () => void }>()

  readonly after = (ms: number, action: () => void): Timer => {
    const timer = { ms, action }
    this.timers.add(timer)
    return { cancel: () => void this.timers.delete(timer) }
  }

  /** Fires every timer that was set for `ms`. */
  fire(ms: number): void {
    for (const timer of [...this.timers]) {
      if (timer.ms === ms && this.timers.delete(timer)) timer.action()
    }
  }
}

/** Lets the event loop turn until `holds`; fails after ten seconds, which is a hang and not a deadline. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const end = process.hrtime.bigint() + 10_000_000_000n
  while (!holds()) {
    assert.ok(process.hrtime.bigint() < end, `never happened: ${what}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export function directoryOf(...exports: readonly NbdExport[]): ExportDirectory {
  return { list: () => exports, find: (name) => exports.find((each) => each.name === name) ?? null }
}

/** A memory export that answers what `holds` says only when released. */
export class HeldExport extends MemoryExport {
  readonly held: NbdRequest[] = []
  readonly clients: string[] = []
  holds: (request: NbdRequest) => boolean

  constructor(options: MemoryExportOptions, holds: (request: NbdRequest) => boolean) {
    super(options)
    this.holds = holds
  }

  override submit(request: NbdRequest): void {
    if (this.holds(request)) this.held.push(request)
    else super.submit(request)
  }

  /** Answers what is held, oldest first, and holds no more. */
  release(): void {
    this.holds = () => false
    for (const request of this.held.splice(0)) super.submit(request)
  }

  connected(client: string): void {
    this.clients.push(client)
  }

  disconnected(client: string): void {
    this.clients.splice(this.clients.indexOf(client), 1)
  }
}

/** Limits that a test can reach quickly. */
export const smallLimits: NbdLimits = {
  ...defaultLimits,
  payloadBytesMax: 64 * 1024,
  drainBytesMax: 256 * 1024,
  connectionPayloadBytesMax: 128 * 1024,
  connectionReplyBytesMax: 128 * 1024,
  serverPayloadBytesMax: 128 * 1024,
  serverReplyBytesMax: 128 * 1024,
  connectionReserveBytes: 8 * 1024,
  extentCountMax: 64,
  requestsInFlightMax: 64,
  writesInFlightMax: 48,
}

export interface Served {
  readonly server: NbdServer
  readonly path: string
  readonly clock: ManualClock
  readonly events: NbdEvent[]
}

/** Runs `body` with a server on a Unix socket of its own. */
export async function withServer(
  exports: readonly NbdExport[],
  body: (served: Served) => Promise<void>,
  limits: Partial<NbdLimits> = {},
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'nbd-'))
  const path = join(folder, 'nbd.sock')
  const clock = new ManualClock()
  const events: NbdEvent[] = []
  const server = new NbdServer(directoryOf(...exports), {
    after: clock.after,
    limits,
    log: (event) => void events.push(event),
  })
  await server.listen({ path })
  try {
    await body({ server, path, clock, events })
  } finally {
    const closing = server.close()
    // Whoever is still connected was left behind by a failing test.
    clock.fire((limits.drainMsMax ?? defaultLimits.drainMsMax) as number)
    clock.fire((limits.lingerMsMax ?? defaultLimits.lingerMsMax) as number)
    await closing
    rmSync(folder, { recursive: true, force: true })
  }
}

/** The wire of a transmission without a socket: turns and sends happen when the test says so. */
export class TestWire implements Wire {
  readonly sent: Buffer[] = []
  readonly unsent: number[] = []
  readonly turns: (() => void)[] = []
  paused = false
  finished: string | null = null
  failed: string | null = null
  settledCount = 0

  send(chunks: readonly Buffer[], bytes: number): void {
    assert.equal(
      chunks.reduce((sum, chunk) => sum + chunk.length, 0),
      bytes,
    )
    this.sent.push(...chunks)
    this.unsent.push(bytes)
  }

  pause(): void {
    assert.ok(!this.paused, 'paused twice')
    this.paused = true
  }

  resume(): void {
    assert.ok(this.paused, 'resumed twice')
    this.paused = false
  }

  defer(turn: () => void): void {
    this.turns.push(turn)
  }

  promptly(turn: () => void): void {
    this.turns.push(turn)
  }

  finish(reason: string): void {
    assert.equal(this.finished, null)
    this.finished = reason
  }

  fail(reason: string): void {
    this.failed = reason
  }

  settled(): void {
    this.settledCount++
  }

  /** Runs turns until none is due. */
  turn(): void {
    for (let turn = this.turns.shift(); turn !== undefined; turn = this.turns.shift()) turn()
  }

  /** Everything sent so far. */
  bytes(): Buffer {
    return Buffer.concat(this.sent)
  }
}

export interface RequestShape {
  readonly type: number
  readonly flags?: number
  readonly cookie?: number
  readonly offset?: number
  readonly length?: number
  readonly payload?: Buffer
  readonly magic?: number
}

export function encodeRequest(shape: RequestShape): Buffer {
  const header = Buffer.alloc(nbd.REQUEST_HEADER_BYTES)
  header.writeUInt32BE(shape.magic ?? nbd.MAGIC_REQUEST, 0)
  header.writeUInt16BE(shape.flags ?? 0, 4)
  header.writeUInt16BE(shape.type, 6)
  header.writeBigUInt64BE(BigInt(shape.cookie ?? 0), 8)
  header.writeBigUInt64BE(BigInt(shape.offset ?? 0), 16)
  header.writeUInt32BE(shape.length ?? shape.payload?.length ?? 0, 24)
  return shape.payload === undefined ? header : Buffer.concat([header, shape.payload])
}

export function encodeOption(option: number, data: Buffer = Buffer.alloc(0), length = data.length): Buffer {
  const header = Buffer.alloc(nbd.OPTION_HEADER_BYTES)
  header.write('IHAVEOPT', 0, 'latin1')
  header.writeUInt32BE(option, 8)
  header.writeUInt32BE(length, 12)
  return Buffer.concat([header, data])
}

/** Bytes from a short notation: `hex` text with blanks. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s+/g, ''), 'hex')
}

/** A u32 and the bytes of a string. */
export function counted(text: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(text), 0)
  return Buffer.concat([length, Buffer.from(text)])
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value, 0)
  return bytes
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value, 0)
  return bytes
}

/** A small seeded generator; prints its seed, and takes it from SEED. */
export class Prng {
  readonly seed: string
  #state: number

  constructor(name: string) {
    const given = process.env['SEED'] ?? String(process.hrtime.bigint() % 1_000_000_007n)
    this.seed = given
    // FNV-1a, so that a seed may be any text.
    this.#state = [...Buffer.from(given)].reduce((hash, byte) => Math.imul(hash ^ byte, 0x01000193) >>> 0, 0x811c9dc5)
    console.log(`# ${name}: SEED=${given}`)
  }

  /** 0 .. 1, exclusive. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1))
  }

  pick<T>(from: readonly T[]): T {
    return from[this.between(0, from.length - 1)] as T
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length)
    for (let index = 0; index < length; index++) bytes[index] = this.between(0, 255)
    return bytes
  }
}

/** Cuts bytes into chunks of the given sizes, the last one repeated. */
export function* chunksOf(bytes: Buffer, size: () => number): Generator<Buffer> {
  for (let at = 0; at < bytes.length;) {
    const end = Math.min(bytes.length, at + Math.max(1, size()))
    yield bytes.subarray(at, end)
    at = end
  }
}

export interface DecodedReply {
  readonly cookie: number
  readonly errno: number
  readonly data: Buffer | null
  readonly extents: readonly (readonly [length: number, flags: number])[] | null
}

/** Decodes the replies of a session; `readBytes`: of simple reads, the length by cookie. */
export function decodeReplies(bytes: Buffer, readBytes = new Map<number, number>()): DecodedReply[] {
  const replies: DecodedReply[] = []
  for (let at = 0; at < bytes.length;) {
    const magic = bytes.readUInt32BE(at)
    if (magic === nbd.MAGIC_SIMPLE_REPLY) {
      const cookie = Number(bytes.readBigUInt64BE(at + 8))
      const errno = bytes.readUInt32BE(at + 4)
      at += nbd.SIMPLE_REPLY_BYTES
      const length = errno === 0 ? (readBytes.get(cookie) ?? 0) : 0
      replies.push({ cookie, errno, data: length > 0 ? bytes.subarray(at, at + length) : null, extents: null })
      at += length
      continue
    }
    assert.equal(magic, nbd.MAGIC_STRUCTURED_REPLY)
    assert.equal(bytes.readUInt16BE(at + 4), nbd.ChunkFlag.DONE)
    const type = bytes.readUInt16BE(at + 6)
    const cookie = Number(bytes.readBigUInt64BE(at + 8))
    const start = at + nbd.CHUNK_HEADER_BYTES
    const payload = bytes.subarray(start, start + bytes.readUInt32BE(at + 16))
    assert.equal(payload.length, bytes.readUInt32BE(at + 16), 'a chunk is cut short')
    at = start + payload.length
    if (type === nbd.Chunk.OFFSET_DATA) replies.push({ cookie, errno: 0, data: payload.subarray(8), extents: null })
    else if (type === nbd.Chunk.BLOCK_STATUS) {
      const extents: [number, number][] = []
      for (let each = 4; each < payload.length; each += 8) {
        extents.push([payload.readUInt32BE(each), payload.readUInt32BE(each + 4)])
      }
      replies.push({ cookie, errno: 0, data: null, extents })
    } else {
      assert.equal(type, nbd.Chunk.ERROR)
      assert.equal(payload.length, 6 + payload.readUInt16BE(4))
      replies.push({ cookie, errno: payload.readUInt32BE(0), data: null, extents: null })
    }
  }
  return replies
}
