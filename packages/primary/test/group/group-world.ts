/**
 * A group on simulated disks and simulated time, without sites: opened, written, killed and opened again.
 *
 * Owns one host (a clock, a directory of disks that outlives its processes) and the configuration as it would lie in the
 * state directory. Everything random comes from the seed. A request is answered at most once, or the test fails.
 */
import assert from 'node:assert/strict'
import type { Extent, NbdRequest } from '@sitelink/nbd'
import { openRingLog, type RingLogListener } from '@sitelink/storage'
import {
  FaultDiskProvider,
  Prng,
  SimClock,
  type DiskLatency,
  type FaultDisk,
  type PowerCutPolicy,
  type SimProcessClock,
} from '@sitelink/storage/testing'
import { addDevice } from '../../src/admin/changes.js'
import type { ConfigStore, GroupConfig } from '../../src/config.js'
import type { GroupEvent } from '../../src/group/events.js'
import { GroupAdmin } from '../../src/group/group-admin.js'
import type { Group } from '../../src/group/group.js'
import { openGroup } from '../../src/group/open-group.js'
import { encodeOwnerState } from '../../src/group/owner-state.js'
import type { PeerStore } from '../../src/slink/peers.js'

export const KIB = 1024
export const MIB = 1024 * KIB

export const LOG_PATH = '/log'
export const UUID = '01234567-89ab-cdef-0123-456789abcdef'

export interface WorldOptions {
  readonly seed?: number | string
  readonly logBytes?: number
  /** Sizes of devices 0, 1 ... */
  readonly devices?: readonly number[]
  readonly latency?: DiskLatency
  readonly sparse?: boolean
  readonly capacityBytes?: number
}

/** A request that was made, and how it was answered. */
export class Asked implements NbdRequest {
  /** Null while it waits. */
  errno: number | null = null
  pieces: readonly Buffer[] | null = null
  extents: readonly Extent[] | null = null
  onAnswer: (() => void) | null = null

  constructor(
    readonly operation: NbdRequest['operation'],
    readonly offset: number,
    readonly length: number,
    readonly payload: Buffer | null = null,
    readonly fua = false,
    readonly noHole = false,
    readonly fastZero = false,
  ) {}

  get answered(): boolean {
    return this.errno !== null
  }

  complete(errno: number): void {
    assert.equal(this.errno, null, `${this.operation} at ${this.offset} is answered once`)
    this.errno = errno
    this.onAnswer?.()
  }

  completeRead(pieces: readonly Buffer[]): void {
    // A copy: buffers may be reused once they are sent.
    this.pieces = pieces.map((piece) => Buffer.from(piece))
    this.complete(0)
  }

  fillRead(fill: (into: Buffer) => boolean): boolean {
    const into = Buffer.alloc(this.length, 0xee)
    if (!fill(into)) return false
    this.completeRead([into])
    return true
  }

  completeStatus(extents: readonly Extent[]): void {
    this.extents = extents
    this.complete(0)
  }

  get bytes(): Buffer {
    assert.equal(this.errno, 0, `the read at ${this.offset} succeeds`)
    return Buffer.concat(this.pieces ?? [])
  }
}

/** The configuration in memory: it survives the process, as a file would. */
export class MemoryConfig implements ConfigStore {
  /** Makes the next update fail. */
  failure: Error | null = null

  constructor(public current: GroupConfig) {}

  async update(change: (current: GroupConfig) => GroupConfig): Promise<void> {
    await Promise.resolve()
    const next = change(this.current)
    const { failure } = this
    this.failure = null
    if (failure !== null) throw failure
    this.current = next
  }
}

export const quietListener = (owner: Buffer): RingLogListener => ({
  written() {},
  durable() {},
  spaceFreed() {},
  failed() {},
  ownerState: () => owner,
})

export class GroupWorld {
  readonly prng: Prng
  readonly clock: SimClock
  disks: FaultDiskProvider
  readonly config: MemoryConfig
  readonly events: GroupEvent[] = []
  peers: PeerStore = { get: () => null, set: () => Promise.resolve() }
  #group: Group | null = null
  #process: SimProcessClock

  private constructor(prng: Prng, clock: SimClock, disks: FaultDiskProvider, config: MemoryConfig) {
    this.prng = prng
    this.clock = clock
    this.disks = disks
    this.config = config
    this.#process = clock.process()
  }

  /** A host with a fresh log and its devices; nothing runs yet. */
  static async make(options: WorldOptions = {}): Promise<GroupWorld> {
    const prng = new Prng(options.seed ?? 1)
    const clock = new SimClock()
    const { latency, capacityBytes } = options
    const disks = new FaultDiskProvider({
      prng: prng.fork('disks'),
      clock,
      ...(latency === undefined ? {} : { latency }),
      ...(capacityBytes === undefined ? {} : { capacityBytes }),
    })
    const logBytes = options.logBytes ?? 2 * MIB
    const empty: GroupConfig = {
      uuid: UUID,
      epoch: 1,
      log: { path: LOG_PATH, startBytes: 0 },
      nextDeviceId: 1,
      local: { mode: 'async' },
      devices: [],
      slinks: [],
      nbd: { listen: null },
    }
    let config = empty
    for (const [number, sizeBytes] of (options.devices ?? [2 * MIB, MIB]).entries()) {
      const path = `/dev/${number}`
      disks.addDevice(path, sizeBytes)
      config = addDevice(config, { number, path, name: `d${number}`, sizeBytes })
    }
    const making = (async () => {
      const disk = await disks.create(LOG_PATH, logBytes, { exclusive: true })
      const owner = encodeOwnerState({ groupUuid: UUID, epoch: 1, appliedLsn: 0, slinks: [], lost: [] })
      const { log } = await openRingLog({
        disk,
        mode: 'create',
        rule: 'dense',
        sparse: options.sparse ?? true,
        clock,
        random: prng.fork('log'),
        listener: quietListener(owner),
      })
      await log.close()
    })()
    await clock.runUntil(making)
    return new GroupWorld(prng, clock, disks, new MemoryConfig(config))
  }

  static async running(options: WorldOptions = {}): Promise<GroupWorld> {
    const world = await GroupWorld.make(options)
    await world.open()
    return world
  }

  get group(): Group {
    assert.ok(this.#group !== null, 'the group is open')
    return this.#group
  }

  get admin(): GroupAdmin {
    return new GroupAdmin(this.group)
  }

  /** Begins to open the group in a new process; it may be killed meanwhile. */
  opening(): Promise<Group> {
    const random = this.prng.fork(`process ${this.prng.u32()}`)
    return openGroup({
      clock: this.#process,
      random,
      disks: this.disks,
      config: this.config,
      peers: this.peers,
      event: (event) => this.events.push(event),
      transport: () => null,
      dirtyLogPath: (slink, mappingId) => `/dirty/slink-${slink}-${mappingId}`,
      sitePath: (slink) => `/sites/slink-${slink}`,
      stateFile: () => Promise.resolve(null),
    })
  }

  async open(): Promise<Group> {
    this.#group = await this.clock.runUntil(this.opening())
    this.#group.run()
    return this.#group
  }

  /** The process ends without a word. */
  kill(underWay: 'all' | 'none' | 'random' = 'random'): void {
    this.#die()
    this.disks = this.disks.crashProcess(underWay)
  }

  powerCut(policy: PowerCutPolicy = { kind: 'random' }): void {
    this.#die()
    this.disks = this.disks.powerCut(policy)
  }

  #die(): void {
    this.#process.kill()
    this.#process = this.clock.process()
    this.#group = null
  }

  /** A clean stop, as on SIGTERM. */
  async stop(applyMs = 30_000): Promise<void> {
    await this.clock.runUntil(this.group.stop(applyMs))
    this.#group = null
    this.#process.kill()
    this.#process = this.clock.process()
  }

  async restart(): Promise<Group> {
    await this.stop()
    return this.open()
  }

  /** The open handle of a disk. */
  disk(path: string): FaultDisk {
    const [disk] = this.disks.handles(path)
    assert.ok(disk !== undefined, `${path} is open`)
    return disk
  }

  idOf(number: number): number {
    const device = this.config.current.devices.find((one) => one.number === number)
    assert.ok(device !== undefined, `there is a device ${number}`)
    return device.id
  }

  submit(number: number, request: Asked): Asked {
    const one = this.group.exports.get(this.idOf(number))
    assert.ok(one !== undefined, `device ${number} is exported`)
    one.submit(request)
    return request
  }

  write(number: number, offset: number, payload: Buffer, fua = false): Asked {
    return this.submit(number, new Asked('write', offset, payload.length, payload, fua))
  }

  trim(number: number, offset: number, length: number, fua = false): Asked {
    return this.submit(number, new Asked('trim', offset, length, null, fua))
  }

  zeroes(number: number, offset: number, length: number, noHole = true, fua = false): Asked {
    return this.submit(number, new Asked('write-zeroes', offset, length, null, fua, noHole))
  }

  flush(number = 0): Asked {
    return this.submit(number, new Asked('flush', 0, 0))
  }

  /** Runs until all are answered. */
  async answered(requests: readonly Asked[], limitMs = 60_000): Promise<void> {
    const all = requests.map(
      (request) =>
        new Promise<void>((resolve) => {
          if (request.answered) resolve()
          else request.onAnswer = resolve
        }),
    )
    await this.clock.runUntil(Promise.all(all), limitMs)
  }

  async ok(...requests: readonly Asked[]): Promise<void> {
    await this.answered(requests)
    for (const request of requests) assert.equal(request.errno, 0, `${request.operation} at ${request.offset} succeeds`)
  }

  async failed(...requests: readonly Asked[]): Promise<void> {
    await this.answered(requests)
    for (const request of requests) assert.equal(request.errno, 5, `${request.operation} at ${request.offset} fails`)
  }

  ask(number: number, offset: number, length: number): Asked {
    return this.submit(number, new Asked('read', offset, length))
  }

  async read(number: number, offset: number, length: number): Promise<Buffer> {
    const request = this.ask(number, offset, length)
    await this.answered([request])
    return request.bytes
  }

  /** Everything is applied to the devices, durably, and the log is empty. */
  async applied(): Promise<void> {
    this.group.log.requestSync()
    this.group.writeBack.checkpoint()
    await this.clock.runUntil(this.group.writeBack.drain(), 60_000)
  }

  kinds(): string[] {
    return this.events.map((event) => event.kind)
  }
}

/** So many bytes of one value. */
export const bytes = (length: number, value: number): Buffer => Buffer.alloc(length, value)
