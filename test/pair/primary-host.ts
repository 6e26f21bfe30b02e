/**
 * The primary's host in a simulated world: its disks, its configuration, and the process that can die at any moment.
 *
 * Owns the real group (`openGroup`, `GroupAdmin`) over simulated disks and the hooks that watch it: every appended frame
 * goes into the history, every answer into the account of what was promised. What a process leaves behind when it dies
 * is what its disks hold; nothing else survives from one life to the next.
 */
import assert from 'node:assert/strict'
import type { Clock, Frame, MemoryNetwork, Random } from '@sitelink/protocol'
import {
  encodeOwnerState,
  GroupAdmin,
  openGroup,
  slinkStateWord,
  type ConfigStore,
  type Group,
  type GroupConfig,
  type GroupEvent,
  type GroupLimits,
  type PeerRecord,
  type PeerStore,
  type Slink,
  type SlinkStateWord,
} from '@sitelink/primary'
import { openRingLog, type DiskProvider } from '@sitelink/storage'
import type {
  DiskLatency,
  FaultDiskProvider,
  PowerCutPolicy,
  Prng,
  SimClock,
  SimProcessClock,
} from '@sitelink/storage/testing'
import { FaultDiskProvider as Disks } from '@sitelink/storage/testing'
import { LogHistory } from './log-history.js'

export const PRIMARY = 'primary'
export const CONFIG_FILE = '/state/config.json'
export const PEERS_FILE = '/state/peers.json'
export const LOG_FILE = '/state/replog'
const UUID = '6ba7b810-9dad-41d1-80b4-00c04fd430c8'

export interface PrimaryHostOptions {
  readonly clock: SimClock
  readonly network: MemoryNetwork
  readonly prng: Prng
  readonly logBytes: number
  readonly diskLatency?: DiskLatency
  /** What all its files may hold together, in bytes. Default: without bound. */
  readonly capacityBytes?: number
  readonly limits?: Partial<GroupLimits>
  /** What another host left behind: its disks, and what was once in its log. Default: a new host. */
  readonly left?: { readonly disks: FaultDiskProvider; readonly history: LogHistory }
}

/** A request that a test made: how it ended, and where it stands in the order. */
export interface Ticket {
  readonly kind: 'write' | 'flush' | 'read'
  readonly fua: boolean
  /** LSN of its last entry; of a flush, the last LSN that it covers. 0 until it has one. */
  lsn: number
  /** null: not answered yet. */
  errno: number | null
  answeredMs: number
}

/** What the primary has promised so far, as LSNs. */
export interface Promised {
  /** Survives the death of the process. */
  written: number
  /** Survives a power cut. */
  durable: number
}

export interface WriteWish {
  readonly device?: number
  readonly offset: number
  /** `write`: the bytes; else how many become zeros. */
  readonly bytes: Buffer | number
  readonly operation?: 'write' | 'trim' | 'write-zeroes'
  readonly fua?: boolean
}

export class PrimaryHost {
  readonly history: LogHistory
  readonly events: GroupEvent[] = []
  /** Called at each answer, in the turn of the answer. */
  onAnswer: ((ticket: Ticket) => void) | null = null
  onEvent: ((event: GroupEvent) => void) | null = null
  /** Called when a life has opened its group, before anything runs. */
  onOpen: ((group: Group) => void) | null = null
  readonly promised: Promised = { written: 0, durable: 0 }
  readonly #options: PrimaryHostOptions
  readonly #prng: Prng
  disks: FaultDiskProvider
  #process: SimProcessClock | null = null
  #group: Group | null = null
  #admin: GroupAdmin | null = null
  #lives = 0
  /** Requests without an answer: their process may die under them. */
  readonly open = new Set<Ticket>()

  constructor(options: PrimaryHostOptions) {
    this.#options = options
    this.#prng = options.prng.fork('primary')
    const { diskLatency, clock, left } = options
    this.history = left?.history.copy() ?? new LogHistory()
    this.disks =
      left?.disks ??
      new Disks({
        prng: this.#prng.fork('disks'),
        ...(diskLatency === undefined ? {} : { clock, latency: diskLatency }),
        ...(options.capacityBytes === undefined ? {} : { capacityBytes: options.capacityBytes }),
      })
  }

  get running(): boolean {
    return this.#group !== null
  }

  get group(): Group {
    assert(this.#group !== null, 'the primary runs')
    return this.#group
  }

  get admin(): GroupAdmin {
    assert(this.#admin !== null, 'the primary runs')
    return this.#admin
  }

  slink(number = 1): Slink {
    const slink = this.group.slinks.get(number)
    assert(slink !== undefined, `slink ${number} exists`)
    return slink
  }

  word(number = 1): SlinkStateWord {
    return slinkStateWord(this.slink(number))
  }

  /** Events of a kind since the world began. */
  eventsOf(kind: string): readonly GroupEvent[] {
    return this.events.filter((event) => event.kind === kind)
  }

  // --- life -----------------------------------------------------------------------------------------------------

  /** Makes the log and the configuration of a new group. */
  create(): Promise<void> {
    const { clock, logBytes } = this.#options
    return createGroup({ disks: this.disks, clock, random: this.#prng.fork('create'), logBytes })
  }

  /** Opens the group; `run` false leaves it starting. Rejects with what `openGroup` rejects with. */
  async start(run = true): Promise<Group> {
    assert(this.#group === null && this.#process === null, 'the primary does not run')
    const process = this.#options.clock.process()
    this.#process = process
    const life = ++this.#lives
    const { disks } = this
    const config = await StoredConfig.open(disks)
    const peers = await StoredPeers.open(disks)
    const group = await this.#failing(
      process,
      openGroup({
        clock: process,
        random: this.#prng.fork(`life ${life}`),
        disks,
        config,
        peers,
        event: (event) => {
          this.events.push(event)
          this.onEvent?.(event)
        },
        transport: (scheme) => (scheme === 'memory' ? this.#options.network.host(PRIMARY) : null),
        dirtyLogPath: (slink, mappingId) => `/state/dirty-${slink}-${mappingId}`,
        sitePath: (slink) => `/state/site-${slink}`,
        stateFile: () => Promise.resolve(null),
        ...(this.#options.limits === undefined ? {} : { limits: this.#options.limits }),
      }),
    )
    // Dead before it was open: whoever killed it has started another life or none.
    if (this.#process !== process) return group
    this.#watch(group)
    this.#group = group
    this.onOpen?.(group)
    this.#admin = new GroupAdmin(group)
    if (run) group.run()
    return group
  }

  /** A process that cannot open its group ends. */
  async #failing<T>(process: SimProcessClock, opening: Promise<T>): Promise<T> {
    try {
      return await opening
    } catch (error) {
      if (this.#process === process) this.crash('all')
      throw error
    }
  }

  /** True from the beginning of a start until the process is gone. */
  get alive(): boolean {
    return this.#process !== null
  }

  async stop(): Promise<void> {
    const process = this.#process
    await this.group.stop(60_000)
    if (this.#process === process) this.#forget()
  }

  /** kill -9. */
  crash(underWay: 'all' | 'none' | 'random' = 'random'): void {
    this.#die()
    this.disks = this.disks.crashProcess(underWay)
  }

  powerCut(policy: PowerCutPolicy = { kind: 'random' }): void {
    this.#die()
    this.disks = this.disks.powerCut(policy)
    this.promised.written = this.promised.durable
  }

  #die(): void {
    this.#process?.kill()
    this.#options.network.crash(PRIMARY)
    this.#forget()
  }

  #forget(): void {
    this.#process = null
    this.#group = null
    this.#admin = null
    this.open.clear()
  }

  /** Looks at what the group appends and promises, and holds it to what earlier lives promised. */
  #watch(group: Group): void {
    const { log, holds } = group
    this.history.opened(log.incarnation.number, log.lastLsn)
    assert(
      log.lastLsn >= this.promised.written,
      `LSN ${this.promised.written} was acknowledged, the log ends at ${log.lastLsn}`,
    )
    // What an earlier life had in its log and this one recovered is as good as written by it.
    const append = log.append.bind(log)
    log.append = (frame: Frame) => {
      this.history.appended(frame)
      return append(frame)
    }
    const write = holds.write.bind(holds)
    holds.write = (lsn, fua, item) => {
      if (item instanceof Request) item.ticket.lsn = lsn
      write(lsn, fua, item)
    }
    const flush = holds.flush.bind(holds)
    holds.flush = (lsn, item) => {
      if (item instanceof Request) item.ticket.lsn = lsn
      flush(lsn, item)
    }
  }

  // --- requests -------------------------------------------------------------------------------------------------

  /** Submits a change as an NBD client would. */
  write({ device = 0, offset, bytes, operation, fua = false }: WriteWish): Ticket {
    const payload = typeof bytes === 'number' ? null : bytes
    const length = typeof bytes === 'number' ? bytes : bytes.length
    return this.#submit(
      device,
      'write',
      new Request({
        operation: operation ?? (payload === null ? 'write-zeroes' : 'write'),
        offset,
        length,
        payload,
        fua,
      }),
    )
  }

  flush(device = 0): Ticket {
    return this.#submit(
      device,
      'flush',
      new Request({ operation: 'flush', offset: 0, length: 0, payload: null, fua: false }),
    )
  }

  /** Reads as an NBD client would; the bytes are there once the ticket is answered with 0. */
  readTicket(device: number, offset: number, length: number): { readonly ticket: Ticket; readonly request: Request } {
    const request = new Request({ operation: 'read', offset, length, payload: null, fua: false })
    return { ticket: this.#submit(device, 'read', request), request }
  }

  /** Reads through the overlay. */
  async read(device: number, offset: number, length: number): Promise<Buffer> {
    const config = this.group.config.devices.find((one) => one.number === device)
    assert(config !== undefined, `device ${device} exists`)
    return Buffer.concat([...(await this.group.writeBack.read(config.id, offset, length))])
  }

  #submit(device: number, kind: Ticket['kind'], request: Request): Ticket {
    const { ticket } = request
    ;(ticket as { kind: Ticket['kind'] }).kind = kind
    const config = this.group.config.devices.find((one) => one.number === device)
    assert(config !== undefined, `device ${device} exists`)
    const face = this.group.exports.get(config.id)
    assert(face !== undefined, `device ${device} is exported`)
    const process = this.#process
    this.open.add(ticket)
    request.answered = (errno) => {
      if (process !== this.#process) return
      assert.equal(ticket.errno, null, 'a request is answered once')
      ticket.errno = errno
      ticket.answeredMs = this.#options.clock.nowMs()
      this.open.delete(ticket)
      if (errno === 0 && kind !== 'read') {
        this.promised.written = Math.max(this.promised.written, ticket.lsn)
        if (ticket.kind === 'flush' || ticket.fua) this.promised.durable = Math.max(this.promised.durable, ticket.lsn)
      }
      this.onAnswer?.(ticket)
    }
    face.submit(request)
    return ticket
  }
}

/** Makes the log and the configuration of a new group on the disks of a host. */
export async function createGroup({
  disks,
  clock,
  random,
  logBytes,
}: {
  readonly disks: DiskProvider
  readonly clock: Clock
  readonly random: Random
  readonly logBytes: number
}): Promise<void> {
  const owner = encodeOwnerState({ groupUuid: UUID, epoch: 1, appliedLsn: 0, slinks: [], lost: [] })
  const disk = await disks.create(LOG_FILE, logBytes, { exclusive: true })
  const silent = { written() {}, durable() {}, spaceFreed() {}, failed() {}, ownerState: () => owner }
  const { log } = await openRingLog({
    disk,
    mode: 'create',
    rule: 'dense',
    sizeBytes: logBytes,
    sparse: true,
    clock,
    random,
    listener: silent,
  })
  await log.close()
  const config: GroupConfig = {
    uuid: UUID,
    epoch: 1,
    log: { path: LOG_FILE, startBytes: 0 },
    nextDeviceId: 1,
    local: { mode: 'async' },
    devices: [],
    slinks: [],
    nbd: { listen: null },
  }
  await disks.replaceFile(CONFIG_FILE, Buffer.from(JSON.stringify(config)))
  await disks.replaceFile(PEERS_FILE, Buffer.from('{}'))
}

/** A request as the NBD server would hand it over. */
export class Request {
  readonly operation: 'write' | 'trim' | 'write-zeroes' | 'flush' | 'read'
  readonly offset: number
  readonly length: number
  readonly fua: boolean
  readonly noHole = true
  readonly fastZero = false
  readonly payload: Buffer | null
  readonly ticket: Ticket
  /** What a read brought. */
  bytes: Buffer | null = null
  answered: (errno: number) => void = () => {}

  constructor(wish: {
    operation: Request['operation']
    offset: number
    length: number
    payload: Buffer | null
    fua: boolean
  }) {
    this.operation = wish.operation
    this.offset = wish.offset
    this.length = wish.length
    this.fua = wish.fua
    this.payload = wish.payload
    this.ticket = { kind: 'write', fua: wish.fua, lsn: 0, errno: null, answeredMs: -1 }
  }

  fillRead(): boolean {
    return false
  }

  complete(errno: number): void {
    this.answered(errno)
  }

  completeRead(pieces: readonly Buffer[]): void {
    assert.equal(this.operation, 'read', 'a read was asked for')
    this.bytes = Buffer.concat([...pieces])
    assert.equal(this.bytes.length, this.length, 'a read brings what was asked for')
    this.answered(0)
  }

  completeStatus(): void {
    assert.fail('no status was asked for')
  }
}

/** The configuration in a file that is replaced as a whole; a change is durable when its promise resolves. */
export class StoredConfig implements ConfigStore {
  readonly #disks: DiskProvider
  #current: GroupConfig
  #queue: Promise<unknown> = Promise.resolve()

  private constructor(disks: DiskProvider, current: GroupConfig) {
    this.#disks = disks
    this.#current = current
  }

  static async open(disks: DiskProvider): Promise<StoredConfig> {
    const bytes = await disks.readFile(CONFIG_FILE)
    assert(bytes !== null, 'the primary was created')
    return new StoredConfig(disks, JSON.parse(bytes.toString()) as GroupConfig)
  }

  get current(): GroupConfig {
    return this.#current
  }

  update(change: (current: GroupConfig) => GroupConfig): Promise<unknown> {
    const result = this.#queue.then(async () => {
      const next = change(this.#current)
      await this.#disks.replaceFile(CONFIG_FILE, Buffer.from(JSON.stringify(next)))
      this.#current = next
    })
    this.#queue = result.catch(() => {})
    return result
  }
}

/** The peers in a file of their own. */
export class StoredPeers implements PeerStore {
  readonly #disks: DiskProvider
  readonly #records: Map<number, PeerRecord>
  #queue: Promise<unknown> = Promise.resolve()

  private constructor(disks: DiskProvider, records: Map<number, PeerRecord>) {
    this.#disks = disks
    this.#records = records
  }

  static async open(disks: DiskProvider): Promise<StoredPeers> {
    const bytes = await disks.readFile(PEERS_FILE)
    const records = JSON.parse((bytes ?? Buffer.from('{}')).toString()) as Record<string, PeerRecord>
    return new StoredPeers(disks, new Map(Object.entries(records).map(([slink, record]) => [Number(slink), record])))
  }

  get(slink: number): PeerRecord | null {
    return this.#records.get(slink) ?? null
  }

  set(slink: number, record: PeerRecord | null): Promise<void> {
    const result = this.#queue.then(async () => {
      const next = new Map(this.#records)
      if (record === null) next.delete(slink)
      else next.set(slink, record)
      await this.#disks.replaceFile(PEERS_FILE, Buffer.from(JSON.stringify(Object.fromEntries(next))))
      if (record === null) this.#records.delete(slink)
      else this.#records.set(slink, record)
    })
    this.#queue = result.catch(() => {})
    return result
  }
}
