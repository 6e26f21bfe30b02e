/**
 * A primary that is nothing but a history: it makes entries, remembers all that it ever said, and speaks to one agent.
 *
 * Owns the model that tests hold an agent against: the entries of each life of the log, and with them the content of
 * every device after each entry. It loses its tail when told so, and begins a new life then. It uses the real handshake,
 * the real plan and the real session, so that what the agent hears is what a primary says.
 */
import assert from 'node:assert/strict'
import {
  commonPoint,
  encodeFrame,
  encodeMapPayload,
  encodeResyncBeginPayload,
  encodeUnmapPayload,
  formatId64,
  frameBytes,
  FrameFlag,
  FrameType,
  planResume,
  Session,
  stepPrimary,
  WIRE_FLOOR,
  WIRE_VERSION,
  wirePoint,
  type Ack,
  type Clock,
  type ControlMessage,
  type Frame,
  type FrameFields,
  type Hello,
  type Id64,
  type LogPoint,
  type PrimaryHandshake,
  type PrimaryHandshakeEffect,
  type PrimaryHandshakeEvent,
  type Random,
  type ResumePlan,
  type SessionEnd,
  type Transport,
  type Welcome,
  type WireIncarnation,
} from '@sitelink/protocol'

export interface FakeDevice {
  readonly deviceId: number
  readonly mappingId: string
  readonly number: number
  readonly name: string
  readonly remote: string
  readonly sizeBytes: number
  readonly regionBytes: number
}

export interface FakePrimaryOptions {
  readonly clock: Clock
  readonly random: Random
  readonly transport: Transport
  readonly address: string
  readonly devices: readonly FakeDevice[]
}

/** What happened to one session. */
export interface FakeSession {
  readonly session: Session
  welcome: Welcome | null
  plan: ResumePlan | null
  ready: boolean
  end: SessionEnd | null
  acks: Ack[]
  troubles: string[]
  /** Regions that the agent said are dirty, by device id. */
  dirty: Map<number, Set<number>>
}

export const REGION_BYTES = 1 << 20

export class FakePrimary {
  readonly options: FakePrimaryOptions
  logId: Id64
  group = '11111111-2222-3333-4444-555555555555'
  epoch = 1
  slink = 1
  wireVersion = WIRE_VERSION
  wireFloor = WIRE_FLOOR
  incarnations: WireIncarnation[]
  /** Entry with LSN n stands at n - 1. */
  entries: Frame[] = []
  durableLsn = 0
  devices: FakeDevice[]
  recorded: { agent: string; journal: string; durable: LogPoint } | null = null
  behind = false
  /** Frames of the stream that wait to be sent. */
  queue: Frame[] = []
  /** Last LSN that was put into the queue or sent. */
  passed: LogPoint = { incarnation: 0, lsn: 0 }
  current: FakeSession | null = null
  /** Largest durable acknowledgement of this life of the log that the agent gave. */
  ackedDurable = 0
  /** Stream frames sent, to hold acknowledgements against. */
  sentFrames: Frame[] = []
  heartbeatMs = 100
  detectMs = 1000
  /** Sends what a session needs by itself when it is ready. */
  live = true
  /** Regions that the agent misses because the log could not wait, by device id. */
  dropped = new Map<number, Set<number>>()
  /** Largest received acknowledgement. */
  ackedReceived = 0

  constructor(options: FakePrimaryOptions) {
    this.options = options
    this.logId = this.#id()
    this.devices = [...options.devices]
    this.incarnations = [{ number: 1, id: formatId64(this.#id()), firstLsn: 1 }]
  }

  get head(): LogPoint {
    return { incarnation: this.incarnation.number, lsn: this.entries.length }
  }

  get incarnation(): WireIncarnation {
    return this.incarnations.at(-1) as WireIncarnation
  }

  // ----- history -----

  write(deviceId: number, offset: number, bytes: Buffer): Frame {
    return this.#entry({ type: FrameType.write, deviceId, offset, length: bytes.length }, bytes)
  }

  zeroes(deviceId: number, offset: number, length: number): Frame {
    return this.#entry({ type: FrameType.zeroes, deviceId, offset, length }, null)
  }

  trim(deviceId: number, offset: number, length: number): Frame {
    return this.#entry({ type: FrameType.trim, deviceId, offset, length }, null)
  }

  /** The log is durable up to `lsn`; the agent is told if a session is there. */
  makeDurable(lsn = this.entries.length): void {
    this.durableLsn = Math.max(this.durableLsn, lsn)
    if (this.current?.ready === true)
      this.current.session.sendControl({ kind: 'durable', point: [this.incarnation.number, this.durableLsn] })
  }

  /** Power cut: what is not durable beyond `keepLsn` is lost, and a new life of the log begins. */
  powerCut(keepLsn = this.durableLsn): void {
    assert(keepLsn >= this.durableLsn, 'what is durable stays')
    this.disconnect()
    this.entries = this.entries.slice(0, keepLsn)
    this.durableLsn = keepLsn
    this.ackedDurable = Math.min(this.ackedDurable, keepLsn)
    this.ackedReceived = Math.min(this.ackedReceived, keepLsn)
    if (this.recorded !== null)
      this.recorded = {
        ...this.recorded,
        durable: { incarnation: this.recorded.durable.incarnation, lsn: Math.min(this.recorded.durable.lsn, keepLsn) },
      }
    this.incarnations = [
      ...this.incarnations,
      { number: this.incarnation.number + 1, id: formatId64(this.#id()), firstLsn: keepLsn + 1 },
    ]
  }

  /** The log cannot wait for the agent: what it did not acknowledge durably is known by regions only. */
  overflow(): void {
    this.behind = true
    for (const { deviceId, offset, length } of this.entries.slice(this.recorded?.durable.lsn ?? 0))
      this.drop(deviceId, offset, length)
  }

  drop(deviceId: number, offset: number, length: number): void {
    const regions = this.dropped.get(deviceId) ?? new Set()
    this.dropped.set(deviceId, regions)
    for (let at = Math.floor(offset / REGION_BYTES); at * REGION_BYTES < offset + length; at++) regions.add(at)
  }

  /** Content of a device after the entry `lsn`. */
  contentAt(deviceId: number, lsn: number): Buffer {
    const { sizeBytes } = this.device(deviceId)
    const bytes = Buffer.alloc(sizeBytes)
    for (const frame of this.entries.slice(0, lsn)) applyEntry(bytes, frame, deviceId)
    return bytes
  }

  device(deviceId: number): FakeDevice {
    const device = this.devices.find((one) => one.deviceId === deviceId)
    assert(device !== undefined, `device ${deviceId} is known`)
    return device
  }

  // ----- frames of the stream that are no entries -----

  mapFrame(device: FakeDevice, clean = true): Frame {
    const { mappingId, number, name, remote, sizeBytes, regionBytes } = device
    return this.#streamFrame(
      { type: FrameType.map, deviceId: device.deviceId },
      encodeMapPayload({ mappingId, number, name, remote, sizeBytes, regionBytes, clean }),
    )
  }

  unmapFrame(deviceId: number): Frame {
    const { mappingId } = this.device(deviceId)
    return this.#streamFrame({ type: FrameType.unmap, deviceId }, encodeUnmapPayload({ mappingId }))
  }

  resyncBeginFrame(deviceId: number, regions: readonly number[]): Frame {
    const { mappingId, regionBytes, sizeBytes } = this.device(deviceId)
    const regionCount = Math.ceil(sizeBytes / regionBytes)
    const bits = Buffer.alloc(Math.ceil(regionCount / 8))
    for (const region of regions) bits[region >> 3] = (bits[region >> 3] ?? 0) | (1 << (region & 7))
    return this.#streamFrame(
      { type: FrameType.resyncBegin, deviceId },
      encodeResyncBeginPayload({ mappingId, regionBytes, firstRegion: 0, regionCount, bits }),
    )
  }

  /** The region's bytes as of `stampLsn`, in one frame a MiB. */
  copyFrames(deviceId: number, region: number, stampLsn = this.entries.length): Frame[] {
    const { regionBytes, sizeBytes } = this.device(deviceId)
    const content = this.contentAt(deviceId, stampLsn)
    const begin = region * regionBytes
    const end = Math.min(begin + regionBytes, sizeBytes)
    const frames: Frame[] = []
    for (let at = begin; at < end; at += 1 << 20) {
      const length = Math.min(1 << 20, end - at)
      const flags = at + length === end ? FrameFlag.lastOfRegion : 0
      frames.push(
        this.#streamFrame(
          { type: FrameType.copy, deviceId, offset: at, length, aux: stampLsn, flags },
          content.subarray(at, at + length),
        ),
      )
    }
    return frames
  }

  skipFrame(firstLsn: number, lastLsn: number): Frame {
    const last = this.entries[lastLsn - 1] as Frame
    this.passed = { incarnation: last.incarnation, lsn: lastLsn }
    return this.#streamFrame({ type: FrameType.skip, aux: firstLsn }, null)
  }

  /** Puts frames into the stream. */
  push(...frames: readonly Frame[]): void {
    this.queue.push(...frames)
    this.pump()
  }

  /** Puts the entries behind {@link passed} into the stream. */
  feed(toLsn = this.entries.length): void {
    while (this.passed.lsn < toLsn) {
      const frame = this.entries[this.passed.lsn] as Frame
      this.passed = { incarnation: frame.incarnation, lsn: frame.lsn }
      this.queue.push(frame)
    }
    this.pump()
  }

  /** Sends what credit allows. */
  pump(): void {
    const { current } = this
    if (current?.ready !== true || current.end !== null) return
    for (let next = this.queue[0]; next !== undefined; next = this.queue[0]) {
      if (current.session.creditBytes < frameBytes(next)) return
      this.queue.shift()
      this.sentFrames.push(next)
      current.session.sendFrames([next])
    }
  }

  // ----- sessions -----

  hello(): Hello {
    return {
      kind: 'hello',
      wireVersion: this.wireVersion,
      wireFloor: this.wireFloor,
      group: this.group,
      epoch: this.epoch,
      slink: this.slink,
      session: formatId64(this.#id()),
      logId: formatId64(this.logId),
      incarnations: this.incarnations,
      head: wirePoint(this.head),
      durable: [this.incarnation.number, this.durableLsn],
      heartbeatMs: this.heartbeatMs,
      detectMs: this.detectMs,
      mappings: this.devices,
    }
  }

  /** Dials. The session goes on by itself; look at what it says, with the clock running. */
  async connect(): Promise<FakeSession> {
    const connection = await this.options.transport.dial(this.options.address, { timeoutMs: 1000 })
    const hello = this.hello()
    let state: PrimaryHandshake = { kind: 'start' }
    const step = (event: PrimaryHandshakeEvent): void => {
      const result = stepPrimary(state, event, hello)
      if (result.kind === 'refused') {
        if (result.by === 'us') session.refuse({ kind: 'refuse', code: result.code, message: result.message })
        else session.destroy(`${result.code}: ${result.message}`)
        return
      }
      state = result.state
      for (const effect of result.effects) this.#effect(fake, effect, step)
    }
    const session: Session = new Session(connection, {
      role: 'primary',
      clock: this.options.clock,
      handler: {
        frame: () => assert.fail('an agent sends no frames'),
        control: (message) => (fake.ready ? this.#onMessage(fake, message) : step({ kind: 'message', message })),
        batchEnd: () => {},
        writable: () => this.pump(),
        closed: (end) => {
          fake.end = end
          if (this.current === fake) this.current = null
        },
      },
    })
    const fake: FakeSession = {
      session,
      welcome: null,
      plan: null,
      ready: false,
      end: null,
      acks: [],
      troubles: [],
      dirty: new Map(),
    }
    this.current = fake
    step({ kind: 'start' })
    return fake
  }

  disconnect(): void {
    this.current?.session.destroy('the test cut it')
    this.current = null
    this.queue = []
  }

  #effect(fake: FakeSession, effect: PrimaryHandshakeEffect, step: (event: PrimaryHandshakeEvent) => void): void {
    switch (effect.kind) {
      case 'send':
        return void fake.session.sendControl(effect.message)
      case 'take-dirty-map': {
        const regions = fake.dirty.get(effect.map.deviceId) ?? new Set()
        fake.dirty.set(effect.map.deviceId, regions)
        const { firstRegion, regionCount, bits } = effect.map
        for (let at = 0; at < regionCount; at++)
          if (((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0) regions.add(firstRegion + at)
        return
      }
      case 'plan':
        return this.#plan(fake, effect.welcome, step)
      case 'established':
        fake.ready = true
        this.#begin(fake)
    }
  }

  #plan(fake: FakeSession, welcome: Welcome, step: (event: PrimaryHandshakeEvent) => void): void {
    fake.welcome = welcome
    const facts = { logId: formatId64(this.logId), incarnations: this.incarnations, head: this.head }
    const common = commonPoint(facts, welcome.replica)
    const commonCrc = common === null || common.lsn === 0 ? null : (this.entries[common.lsn - 1]?.headerCrc ?? null)
    const plan = planResume(
      {
        ...facts,
        firstLsn: 1,
        recorded: this.recorded,
        start: { incarnation: 0, lsn: 0 },
        answered: this.recorded !== null,
        behind: this.behind,
        commonCrc,
      },
      welcome,
    )
    fake.plan = plan
    if (plan.restart !== null) this.recorded = null
    step({
      kind: 'planned',
      resume: {
        kind: 'resume',
        common: wirePoint(plan.common),
        restart: plan.restart,
        heartbeatMs: this.heartbeatMs,
        detectMs: this.detectMs,
      },
    })
  }

  #begin(fake: FakeSession): void {
    const plan = fake.plan as ResumePlan
    const welcome = fake.welcome as Welcome
    this.passed = plan.common
    this.queue = []
    this.sentFrames = []
    if (!this.live) return
    const inForce = new Set(welcome.mappings.map((one) => one.mappingId))
    for (const device of this.devices) {
      if (inForce.has(device.mappingId)) continue
      this.queue.push(this.mapFrame(device))
    }
    const someDirty = [...fake.dirty.values(), ...this.dropped.values()].some((regions) => regions.size > 0)
    if (plan.allDirty !== null || someDirty) this.resync(fake)
    else this.feed()
  }

  /** A whole resync at once: every region that either side calls dirty, in the stream, stamped with the head. */
  resync(fake: FakeSession): void {
    const all = (fake.plan as ResumePlan).allDirty !== null
    // What was sent while it was behind and got lost at the agent is skipped as well.
    if (this.behind)
      for (const { deviceId, offset, length } of this.entries.slice(this.passed.lsn))
        this.drop(deviceId, offset, length)
    const wanted = this.devices.map((device) => {
      const regionCount = Math.ceil(device.sizeBytes / device.regionBytes)
      const some = new Set([...(fake.dirty.get(device.deviceId) ?? []), ...(this.dropped.get(device.deviceId) ?? [])])
      const regions = all ? Array.from({ length: regionCount }, (_, at) => at) : [...some]
      return { device, regions }
    })
    for (const { device, regions } of wanted)
      if (regions.length > 0) this.queue.push(this.resyncBeginFrame(device.deviceId, regions))
    if ((all || this.behind) && this.entries.length > this.passed.lsn)
      this.queue.push(this.skipFrame(this.passed.lsn + 1, this.entries.length))
    else this.feed()
    for (const { device, regions } of wanted)
      for (const region of regions) this.queue.push(...this.copyFrames(device.deviceId, region))
    this.pump()
  }

  #onMessage(fake: FakeSession, message: ControlMessage): void {
    if (message.kind === 'error') fake.troubles.push(message.message)
    if (message.kind !== 'ack' || fake !== this.current) return
    const before = fake.acks.at(-1)
    if (before !== undefined)
      for (const mark of ['received', 'durable', 'applied'] as const)
        assert(message[mark][2] >= before[mark][2], `${mark} never falls`)
    assert(message.received[2] <= this.sentFrames.length, 'nothing is acknowledged that was not sent')
    fake.acks.push(message)
    this.ackedDurable = Math.max(this.ackedDurable, message.durable[1])
    this.ackedReceived = Math.max(this.ackedReceived, message.received[1])
    const sent = this.sentFrames.length
    if (this.queue.length === 0 && message.applied[2] === sent && message.dirtyRegions === 0 && message.consistent) {
      this.dropped.clear()
      this.behind = false
    }
    const { agent, journal } = fake.welcome as Welcome
    this.recorded = { agent, journal, durable: { incarnation: message.durable[0], lsn: message.durable[1] } }
    this.pump()
  }

  #entry(fields: FrameFields, payload: Buffer | null): Frame {
    const previous = this.entries.at(-1)
    const frame = encodeFrame(
      {
        ...fields,
        lsn: this.entries.length + 1,
        logId: this.logId,
        incarnation: this.incarnation.number,
        previousCrc: previous?.headerCrc ?? 0,
        durableLsn: this.durableLsn,
        wallUs: this.options.clock.wallUs(),
      },
      payload,
    )
    this.entries.push(frame)
    return frame
  }

  #streamFrame(fields: FrameFields, payload: Buffer | null): Frame {
    return encodeFrame(
      {
        ...fields,
        lsn: this.passed.lsn,
        incarnation: this.passed.incarnation,
        logId: this.logId,
        durableLsn: this.durableLsn,
      },
      payload,
    )
  }

  #id(): Id64 {
    const bytes = this.options.random.bytes(8)
    return { high: bytes.readUInt32LE(0), low: bytes.readUInt32LE(4) }
  }
}

/** What an entry does to the content of a device. */
export function applyEntry(bytes: Buffer, frame: Frame, deviceId: number): void {
  if (frame.deviceId !== deviceId) return
  if (frame.type === FrameType.write) (frame.payload as Buffer).copy(bytes, frame.offset)
  else if (frame.type === FrameType.zeroes || frame.type === FrameType.trim)
    bytes.fill(0, frame.offset, frame.offset + frame.length)
}
