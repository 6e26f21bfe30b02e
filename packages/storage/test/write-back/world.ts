/**
 * A small world around a write-back: a log in memory, simulated disks, a plain model of what every word should be.
 *
 * Every payload and every device is made of 32-bit words, and a word that was written holds the LSN that wrote it. So a
 * device write shows by itself whether it obeys the write-ahead rule, and a read which entry it saw. All offsets are
 * multiples of 4. The log checks that nobody reads below what the owner may have freed without a lease.
 */
import assert from 'node:assert/strict'
import {
  encodeFrame,
  FrameType,
  frameBytes,
  type Frame,
  type LogPosition,
  type Lsn,
  type PayloadPool,
} from '@sitelink/protocol/entry'
import type { BlockDevice } from '../../src/device/block-device.js'
import type { Disk } from '../../src/disk/disk.js'
import type { Lease, LogEntry, PayloadPlace } from '../../src/ring-log/contract.js'
import { FaultDisk, SimClock, type Prng } from '../../src/testing/index.js'
import type { FrameSink, WriteBackListener } from '../../src/write-back/contract.js'
import type { WriteBackLimits } from '../../src/write-back/limits.js'
import { LayeredWriteBack } from '../../src/write-back/write-back.js'

export const MIB = 1024 * 1024

/** A payload whose every word is `lsn`. */
export function wordsOf(lsn: Lsn, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  new Uint32Array(bytes.buffer, bytes.byteOffset, length / 4).fill(lsn)
  return bytes
}

export function asWords(bytes: Buffer): Uint32Array {
  const copy = new Uint8Array(bytes)
  return new Uint32Array(copy.buffer, 0, bytes.length / 4)
}

/** A log that keeps everything, and knows what a real one would have freed. */
export class MemoryLog {
  readonly entries: LogEntry[] = []
  readonly #byPosition = new Map<LogPosition, LogEntry>()
  readonly #leases = new Set<{ position: LogPosition }>()
  end: LogPosition = 4096
  lastLsn: Lsn = 0
  /** What is below may be overwritten, but for leases. */
  freedBelow: LogPosition = 0
  payloadReads = 0
  /** Positions of all that was asked for together, call by call. */
  readonly askedTogether: LogPosition[][] = []
  #bytesUnderWay = 0
  bytesUnderWayMax = 0
  /** Positions of entries whose payload cannot be read. */
  readonly unreadable = new Set<LogPosition>()
  /** Called before each payload is answered; may wait. */
  beforeRead: (() => Promise<void>) | null = null

  append(fields: { type: FrameType; deviceId: number; offset: number; length: number }): LogEntry {
    const lsn = ++this.lastLsn
    const data = fields.type === FrameType.write || fields.type === FrameType.copy
    const frame = encodeFrame({ ...fields, lsn }, data ? wordsOf(lsn, fields.length) : null)
    return this.appendFrame(frame)
  }

  appendFrame(frame: Frame): LogEntry {
    const position = this.end
    const entry = { frame, position, end: position + frameBytes(frame) }
    // Some entries are the last of their commit group, and padding follows.
    this.end = frame.lsn % 7 === 0 ? Math.ceil(entry.end / 4096) * 4096 : entry.end
    this.entries.push(entry)
    this.#byPosition.set(position, entry)
    return entry
  }

  lease(position: LogPosition): Lease {
    assert.ok(position >= this.freedBelow, 'a lease is taken on what is still there')
    const held = { position }
    this.#leases.add(held)
    return {
      get position() {
        return held.position
      },
      advance: (to) => {
        held.position = to
      },
      release: () => {
        this.#leases.delete(held)
      },
    }
  }

  get leaseCount(): number {
    return this.#leases.size
  }

  /** Some of them, as a log does: the others are to be asked for one by one. */
  async readPayloads(places: readonly PayloadPlace[]): Promise<readonly (Buffer | null)[]> {
    await this.beforeRead?.()
    this.askedTogether.push(places.map(({ position }) => position))
    let last = 0
    return places.map(({ position, payloadBytes }) => {
      assert.ok(
        position >= last && position >= this.freedBelow,
        'payloads are read in order, while they are still there',
      )
      last = position
      const payload = this.#byPosition.get(position)?.frame.payload
      assert.ok(payloadBytes <= (payload?.length ?? 0), 'a payload is as long as it is said to be, or longer')
      if (payload === undefined || payload === null || position % 3 === 0 || this.unreadable.has(position)) return null
      this.payloadReads++
      return Buffer.from(payload)
    })
  }

  async readPayload(position: LogPosition, offset: number, length: number): Promise<Buffer> {
    const entry = this.#byPosition.get(position)
    assert.ok(entry?.frame.payload, 'a payload is read where an entry with one lies')
    this.payloadReads++
    this.#bytesUnderWay += length
    this.bytesUnderWayMax = Math.max(this.bytesUnderWayMax, this.#bytesUnderWay)
    await this.beforeRead?.()
    this.#bytesUnderWay -= length
    let kept = this.freedBelow
    for (const lease of this.#leases) kept = Math.min(kept, lease.position)
    assert.ok(position >= kept, 'a payload is read while it is still there')
    if (this.unreadable.has(position)) throw new Error('log sector unreadable')
    assert.ok(offset >= 0 && offset + length <= entry.frame.payload.length, 'a read stays within its payload')
    return Buffer.from(entry.frame.payload.subarray(offset, offset + length))
  }
}

export interface DeviceUnderTest extends BlockDevice {
  /** Called before bytes are given to the disk. */
  check: ((words: Uint32Array) => void) | null
}

/** A device on a disk, byte for byte. */
export function deviceOn(disk: Disk, canDiscard = true): DeviceUnderTest {
  const device: DeviceUnderTest = {
    description: disk.description,
    sizeBytes: disk.sizeBytes,
    canDiscard,
    disk,
    check: null,
    read: (into, offset) => disk.read(into, offset),
    // As if everything were in the page cache.
    readNow: (into, offset) => disk instanceof FaultDisk && disk.peek(offset, into.length).copy(into) === into.length,
    write: (chunks, offset) => {
      if (device.check !== null) for (const chunk of chunks) device.check(asWords(chunk))
      return disk.write(chunks, offset)
    },
    zero: (offset, length) => disk.writeZeroes(offset, length),
    discard: (offset, length) => {
      assert.ok(canDiscard, 'a device that cannot discard is asked to zero')
      return disk.discard(offset, length)
    },
    sync: () => disk.sync(),
    close: () => disk.close(),
  }
  return device
}

/** What an entry does to a model. */
export function applyTo(model: Map<number, Uint32Array>, frame: Frame): void {
  const words = model.get(frame.deviceId)
  if (words === undefined) return
  const [from, to] = [frame.offset / 4, (frame.offset + frame.length) / 4]
  switch (frame.type) {
    case FrameType.write:
    case FrameType.copy:
      words.fill(frame.lsn, from, to)
      break
    case FrameType.zeroes:
    case FrameType.trim:
    case FrameType.copyZeroes:
      words.fill(0, from, to)
      break
    default:
      break
  }
}

export interface WorldOptions {
  readonly prng: Prng
  readonly deviceCount?: number
  readonly deviceBytes?: number
  readonly limits?: Partial<WriteBackLimits>
  readonly latency?: boolean
  readonly sink?: FrameSink
  /** Payloads are noted in memory of its, which write-back gives back. */
  readonly payloads?: PayloadPool
}

export class World {
  readonly clock = new SimClock()
  readonly log = new MemoryLog()
  readonly disks = new Map<number, FaultDisk>()
  readonly devices = new Map<number, DeviceUnderTest>()
  /** What the newest entries say. */
  readonly model = new Map<number, Uint32Array>()
  readonly writeBack: LayeredWriteBack
  readonly events: string[] = []
  readonly #payloads: PayloadPool | null
  allowed: LogPosition = 4096
  allowedLsn: Lsn = 0
  limitWanted: LogPosition = 0
  applied: { position: LogPosition; lsn: Lsn } = { position: 4096, lsn: 0 }
  roomFreed = 0
  /** Breaches of the write-ahead rule. */
  readonly violations = new Set<string>()
  /** What `writtenToDevices` told last. */
  written: LogPosition = 0

  constructor(options: WorldOptions) {
    const { prng, deviceCount = 1, deviceBytes = 4 * MIB, limits = {}, latency = false } = options
    this.#payloads = options.payloads ?? null
    const listener: WriteBackListener = {
      applied: (position, lsn) => {
        assert.ok(position > this.applied.position && lsn >= this.applied.lsn, 'the applied position only grows')
        assert.equal(position, this.writeBack.appliedPosition)
        this.applied = { position, lsn }
        this.log.freedBelow = position
      },
      writtenToDevices: (position) => {
        assert.ok(position > this.written, 'the written position only grows')
        this.written = position
      },
      roomFreed: () => {
        this.roomFreed++
      },
      limitWanted: (position) => {
        assert.ok(position > this.limitWanted, 'the limit is asked for once')
        this.limitWanted = position
      },
      deviceFailed: (deviceId) => this.events.push(`failed ${deviceId}`),
      deviceRecovered: (deviceId) => this.events.push(`recovered ${deviceId}`),
      logUnreadable: (position, deviceId, offset, length) =>
        this.events.push(`unreadable ${position} ${deviceId} ${offset} ${length}`),
    }
    this.writeBack = new LayeredWriteBack({
      log: this.log,
      clock: this.clock,
      listener,
      // Soon, so that a test need not wait.
      limits: { layerAgeMs: 20, ...limits },
      position: 4096,
      lsn: 0,
      ...(options.sink === undefined ? {} : { sink: options.sink }),
    })
    for (let id = 1; id <= deviceCount; id++) {
      const disk = new FaultDisk({
        sizeBytes: deviceBytes,
        prng: prng.fork(`disk ${id}`),
        description: `disk ${id}`,
        clock: this.clock,
        ...(latency ? { latency: { readMs: [0, 3], writeMs: [0, 5], syncMs: [1, 20] } } : {}),
      })
      this.addDisk(id, disk)
      this.writeBack.attach(id, this.devices.get(id) as DeviceUnderTest)
    }
  }

  addDisk(id: number, disk: FaultDisk): DeviceUnderTest {
    const device = deviceOn(disk)
    // Kept, not thrown: the code under test would take it for a failing device and try again.
    device.check = (words) => {
      for (const word of words) {
        if (word > this.allowedLsn) this.violations.add(`entry ${word} on device ${id}, allowed ${this.allowedLsn}`)
      }
    }
    this.disks.set(id, disk)
    this.devices.set(id, device)
    if (!this.model.has(id)) this.model.set(id, new Uint32Array(disk.sizeBytes / 4))
    return device
  }

  disk(id = 1): FaultDisk {
    return this.disks.get(id) as FaultDisk
  }

  write(offset: number, length: number, deviceId = 1, recovered = false): LogEntry {
    return this.note({ type: FrameType.write, deviceId, offset, length }, recovered)
  }

  note(fields: { type: FrameType; deviceId: number; offset: number; length: number }, recovered = false): LogEntry {
    const entry = this.log.append(fields)
    this.writeBack.note(this.#lent(entry), recovered)
    applyTo(this.model, entry.frame)
    return entry
  }

  /** The entry with its payload in memory that is given back. The log keeps its own. */
  #lent(entry: LogEntry): LogEntry {
    const { frame } = entry
    if (this.#payloads === null || frame.payload === null) return entry
    const memory = this.#payloads.take(frame.payload.length)
    frame.payload.copy(memory.bytes)
    return { ...entry, frame: { ...frame, payload: memory.bytes, memory } }
  }

  /** Allows everything up to the end of an entry; by default the newest. */
  allow(entry = this.log.entries.at(-1)): void {
    if (entry === undefined || entry.end <= this.allowed) return
    this.allowed = entry.end
    this.allowedLsn = entry.frame.lsn
    this.writeBack.allow(entry.end)
  }

  async read(offset: number, length: number, deviceId = 1): Promise<Uint32Array> {
    this.#checkNow(deviceId, offset, length)
    return asWords(Buffer.concat(await this.clock.runUntil(this.writeBack.read(deviceId, offset, length))))
  }

  /** What can be read at once is the newest there is. */
  #checkNow(deviceId: number, offset: number, length: number): void {
    const into = Buffer.alloc(length, 0xee)
    if (!this.writeBack.readNow(deviceId, offset, into)) return
    const newest = (this.model.get(deviceId) as Uint32Array).subarray(offset / 4, (offset + length) / 4)
    assert.equal(firstDifference(asWords(into), newest), null, 'read at once')
  }

  /** Reads the whole of a device through the layers and compares it with the model. */
  async check(deviceId = 1): Promise<void> {
    const model = this.model.get(deviceId) as Uint32Array
    assert.deepEqual(firstDifference(await this.read(0, model.length * 4, deviceId), model), null)
  }

  /** What the device itself holds. */
  onDisk(offset: number, length: number, deviceId = 1): Uint32Array {
    return asWords(this.disk(deviceId).peek(offset, length))
  }

  async drain(): Promise<void> {
    await this.clock.runUntil(this.writeBack.drain(), 600_000)
    this.checkWriteAhead()
  }

  /** Nothing above the limit was ever given to a device. */
  checkWriteAhead(): void {
    assert.deepEqual([...this.violations], [])
  }
}

/** The first word that differs, or null: a message that a person can read. */
export function firstDifference(actual: Uint32Array, expected: Uint32Array): string | null {
  if (actual.length !== expected.length) return `${actual.length} words instead of ${expected.length}`
  for (let i = 0; i < actual.length; i++) {
    if (actual[i] !== expected[i]) return `word at ${i * 4} is of entry ${actual[i]} instead of ${expected[i]}`
  }
  return null
}
