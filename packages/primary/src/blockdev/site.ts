/**
 * A blockdev site: the far end of a slink whose devices are reached from this host, within the primary's own process.
 *
 * It speaks the agent's protocol over a pipe in memory, so that place, resync, policies, limits and dirty logs of its slink
 * are those of every other; only what lies behind the session differs. Owns the site's record, its devices and the writer,
 * and when a session may begin: a dial is answered once the last session has come to rest and every device is healthy,
 * however long that takes, so that no cause of waiting is without its wake-up. Invariants: at most one session reaches the
 * devices; the mappings of the primary are the site's own, so none is ever made or ended by a frame.
 */
import {
  AgentSession,
  MemoryNetwork,
  must,
  type Ack,
  type AgentFacts,
  type AgentStanding,
  type Clock,
  type Connection,
  type DialOptions,
  type Hello,
  type Listener,
  type LogPoint,
  type Random,
  type SessionHost,
  type StreamPlace,
  type Transport,
  type WireIncarnation,
} from '@sitelink/protocol'
import type { DiskProvider } from '@sitelink/storage'
import { within } from '@sitelink/daemon/light'
import type { EventSink } from '../group/events.js'
import { SITE_STOP_MS_MAX, SITE_WINDOW_BYTES } from '../limits.js'
import { unlessAborted } from './aborted.js'
import { BLOCKDEV_SCHEME } from './address.js'
import { OrderedWriter } from './ordered-writer.js'
import { SiteFile } from './site-file.js'
import { NO_LIFE, NOWHERE, type SitePoint } from './site-record.js'
import { Targets, type TargetWish, type Trouble } from './targets.js'

export interface SiteParts {
  readonly slink: number
  readonly clock: Clock
  readonly random: Random
  readonly disks: DiskProvider
  /** Where its record lies. */
  readonly path: string
  readonly probeMs: number
  readonly event: EventSink
  /** Its devices, as the slink is mapped now. */
  readonly wishes: () => readonly TargetWish[]
  /** What it should write is not durable in the log yet. */
  readonly limitWanted: () => void
}

const PRIMARY = 'primary'
const SITE = 'site'
const ADDRESS = `memory:${SITE}`

export class BlockdevSite implements Transport {
  readonly scheme = BLOCKDEV_SCHEME
  readonly #parts: SiteParts
  readonly #targets: Targets
  readonly #network: MemoryNetwork
  #file: SiteFile | null = null
  #writer: OrderedWriter | null = null
  #session: AgentSession | null = null
  #incarnations: readonly WireIncarnation[] = []
  /** Dials come one after the other; the last one counts. */
  #dials: Promise<unknown> = Promise.resolve()
  #recordTold = false
  #closed = false

  constructor(parts: SiteParts) {
    this.#parts = parts
    const { clock, random, disks, probeMs } = parts
    this.#network = new MemoryNetwork({ clock, random })
    this.#targets = new Targets(disks, clock, probeMs, {
      wishes: () => (this.#closed ? [] : parts.wishes()),
      failed: (wish, trouble) => this.#deviceFailed(wish, trouble),
      recovered: (wish) => this.#deviceRecovered(wish),
    })
    void this.#network.host(SITE).listen(ADDRESS, (connection) => this.#accept(connection))
  }

  /** What is wrong with a device; null if nothing is, or it has not been looked at yet. */
  trouble(deviceId: number): Trouble | null {
    return this.#targets.trouble(deviceId)
  }

  /** Which device keeps the whole site waiting, and why; null: none does. */
  get problem(): string | null {
    const first = this.#targets.list().find(({ trouble }) => trouble !== null)
    return first === undefined ? null : `device ${first.wish.deviceNumber}: ${first.trouble?.why}`
  }

  /** Its devices hold the history cut at one point, apart from dirty regions; null: it was not opened yet. */
  get consistent(): boolean | null {
    return this.#writer?.consistent ?? null
  }

  /** Answers once a session may begin. Rejects when it is given up, or the record cannot be read. */
  async dial(_address: string, { signal }: DialOptions): Promise<Connection> {
    const turn = this.#dials.then(() => this.#ready(signal))
    this.#dials = turn.catch(() => {}) // whoever dialled gets it
    await unlessAborted(turn, signal)
    return this.#network.host(PRIMARY).dial(ADDRESS, { timeoutMs: this.#parts.probeMs })
  }

  listen(): Promise<Listener> {
    return Promise.reject(new Error('nobody dials a primary'))
  }

  /**
   * A device was unmapped, and the session that knew it is over: lets it go. On return nothing of this site reaches it; one
   * that hangs is waited for a bounded time, and let go when it answers.
   */
  async unmapped(): Promise<void> {
    const turn = this.#dials.then(async () => {
      await this.#rest('a device was unmapped')
      await this.#targets.release()
    })
    this.#dials = turn.catch(() => {}) // whoever unmaps waits for its end, however it ends
    await within(this.#parts.clock, SITE_STOP_MS_MAX, turn)
  }

  /**
   * Ends the session and lets the devices go; `removed`: its record as well. A device that hangs is waited for a bounded
   * time; what is left to do then is done when it answers.
   */
  async close(removed: boolean): Promise<void> {
    this.#closed = true
    await within(this.#parts.clock, SITE_STOP_MS_MAX, this.#end(removed))
  }

  async #end(removed: boolean): Promise<void> {
    const { disks, path } = this.#parts
    await this.#rest('the primary stops')
    // What a dial was about to open is open by then, or never will be.
    await this.#dials
    await this.#targets.release()
    // While it is still held: whoever adds this slink anew finds no record, or none that it could open.
    if (removed) await disks.removeFile(path).catch(() => {})
    await this.#file?.close().catch(() => {})
    this.#file = null
  }

  async #ready(signal: AbortSignal | undefined): Promise<void> {
    await unlessAborted(this.#rest('a newer session took over'), signal)
    this.#refuseOver(signal)
    await this.#openRecord()
    this.#refuseOver(signal)
    await this.#targets.match()
    while (!this.#targets.healthy) {
      this.#refuseOver(signal)
      await unlessAborted(this.#pause(this.#targets.probeInMs), signal)
      this.#refuseOver(signal)
      await this.#targets.probe()
    }
    this.#refuseOver(signal)
  }

  /** Much may have happened while something was waited for. */
  #refuseOver(signal: AbortSignal | undefined): void {
    if (this.#closed) throw new Error('the site is closed')
    if (signal?.aborted === true) throw new Error('the dial was given up')
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#parts.clock.after(ms, resolve))
  }

  /** No session reaches the devices any more, and nothing is under way on them. */
  async #rest(why: string): Promise<void> {
    const session = this.#session
    await session?.fence(why)
    await session?.settled()
    await this.#writer?.end()
  }

  async #openRecord(): Promise<void> {
    if (this.#file !== null) return
    const { disks, path, random, slink } = this.#parts
    const { file, lost } = await SiteFile.open(disks, path, random)
    if (lost)
      this.#event(
        'site-record-lost',
        'warning',
        `the record of blockdev slink ${slink} says nothing: all is copied`,
        {},
      )
    this.#file = file
    const { applied, reachLsn } = file.current
    this.#writer = new OrderedWriter(
      {
        device: (deviceId) => this.#targets.device(deviceId),
        record: (point, reach) => file.update({ applied: point, reachLsn: reach }),
        incarnationId: (number) => this.#lifeId(number),
        moved: (bytes) => {
          this.#recordTold = false
          this.#session?.written(bytes)
          this.#session?.askAck()
        },
        limitWanted: () => this.#parts.limitWanted(),
        failed: (deviceId, error) => this.#writeFailed(deviceId, error),
      },
      { applied, reachLsn },
    )
  }

  #accept(connection: Connection): void {
    if (this.#closed) return connection.destroy()
    this.#session = new AgentSession(connection, this.#host(), this.#parts.clock)
  }

  #host(): SessionHost {
    const writer = must(this.#writer, 'a site that is dialled has its record')
    return {
      prepare: () => Promise.resolve(),
      facts: () => this.#facts(),
      adopt: (_session, group, slink, epoch) => this.#adopt(group, slink, epoch),
      fence: (session) => Promise.resolve(this.#standing(must(session.hello, 'a session is fenced after its hello'))),
      dirtyMaps: () => [],
      cut: (_session, common, hello) => this.#goOn(common, hello),
      startOver: (_session, _why, hello) => this.#startOver(hello),
      established: (session) => writer.begin(must(session.hello, 'a session begins with a hello').durable[1]),
      receiverHost: () => ({
        device: (deviceId) => this.#mapping(deviceId),
        barrier: () => Promise.resolve(),
        hasRoom: () => true,
        append: (frame) => writer.push(frame),
        journalFreeBytes: 4 * SITE_WINDOW_BYTES,
        journalReserveBytes: 0,
      }),
      windowBytesMax: SITE_WINDOW_BYTES,
      told: (point) => writer.told(point.lsn),
      // It makes everything durable as soon as it can, and says so at once.
      syncWanted: () => {},
      durableFrames: () => writer.mark[2],
      verify: (_range, _frames, answered) =>
        answered({ digest: null, problem: 'a blockdev site cannot be asked for digests' }),
      ack: () => this.#ack(),
      ended: (session) => {
        if (session === this.#session) void writer.end()
      },
    }
  }

  #facts(): AgentFacts {
    const { site, group, slink, epoch } = must(this.#file, 'a site that is dialled has its record').current
    const devices = this.#targets.list().map(({ wish, device, trouble }) => ({
      name: wish.path,
      sizeBytes: device?.sizeBytes ?? 0,
      problem: trouble?.why ?? null,
    }))
    return { agent: site, journal: site, group, slink, epoch, promoted: false, busy: null, devices }
  }

  async #adopt(group: string, slink: number, epoch: number): Promise<void> {
    await must(this.#file, 'a site that is dialled has its record').update({ group, slink, epoch })
  }

  #standing(hello: Hello): AgentStanding {
    const { logId, applied } = must(this.#file, 'a site that is dialled has its record').current
    const point = [applied.incarnation, applied.lsn] as const
    const mappings = hello.mappings.map(({ deviceId, mappingId, remote }) => ({ deviceId, mappingId, remote }))
    const common = { mappings, dirtyMaps: 0, allDirty: false }
    if (logId === null) return { ...common, replica: null }
    return {
      ...common,
      replica: {
        logId,
        incarnationId: applied.incarnationId,
        end: point,
        endCrc: applied.crc,
        durable: point,
        applied: point,
        primaryDurable: point,
        stamp: point,
      },
    }
  }

  /** The log and this site agree up to `common`: nothing lies beyond it here, so nothing is cut. */
  async #goOn({ incarnation, lsn }: LogPoint, hello: Hello): Promise<StreamPlace> {
    this.#incarnations = hello.incarnations
    const file = must(this.#file, 'a site that is dialled has its record')
    const writer = must(this.#writer, 'a site that is dialled has its record')
    const crc = lsn === writer.applied.lsn ? writer.applied.crc : 0
    const applied: SitePoint = { incarnation, lsn, crc, incarnationId: this.#lifeId(incarnation) }
    const fresh = file.current.logId !== hello.logId
    if (fresh) await file.update({ logId: hello.logId })
    await writer.restart(applied, fresh)
    return { incarnation, lsn, crc: crc === 0 ? null : crc }
  }

  async #startOver(hello: Hello): Promise<StreamPlace> {
    this.#incarnations = hello.incarnations
    await must(this.#file, 'a site that is dialled has its record').update({ logId: hello.logId, applied: NOWHERE })
    await must(this.#writer, 'a site that is dialled has its record').restart(NOWHERE, true)
    const { slink } = this.#parts
    this.#event('started-over', 'warning', `blockdev slink ${slink} starts over, every region is dirty`, {})
    return { incarnation: 0, lsn: 0, crc: null }
  }

  #lifeId(incarnation: number): string {
    return this.#incarnations.find(({ number }) => number === incarnation)?.id ?? NO_LIFE
  }

  #mapping(deviceId: number): { readonly sizeBytes: number; readonly regionBytes: number } | null {
    return this.#session?.hello?.mappings.find((mapping) => mapping.deviceId === deviceId) ?? null
  }

  #ack(): Ack {
    const { mark, consistent } = must(this.#writer, 'a site that is dialled has its record')
    const marks = { received: mark, durable: mark, applied: mark }
    // What is dirty here is known to the primary's dirty logs, and to nobody else.
    return { kind: 'ack', ...marks, dirtyRegions: 0, consistent, journalUsedBytes: 0, journalBytes: 0 }
  }

  #writeFailed(deviceId: number | null, error: Error): void {
    if (deviceId !== null) this.#targets.failed(deviceId, error)
    else if (!this.#recordTold) {
      this.#recordTold = true
      const message = `the record of blockdev slink ${this.#parts.slink} cannot be stored: ${error.message}`
      this.#event('site-record-failed', 'error', message, {})
    }
    const what = deviceId === null ? 'the record of the site' : this.#targetName(deviceId)
    this.#session?.fail('device-failed', `${what} failed: ${error.message}`)
  }

  #targetName(deviceId: number): string {
    return this.#targets.list().find(({ wish }) => wish.deviceId === deviceId)?.wish.path ?? `device ${deviceId}`
  }

  #deviceFailed({ deviceNumber, path }: TargetWish, { kind, why }: Trouble): void {
    const message = `${path}, device ${deviceNumber} at slink ${this.#parts.slink}, cannot be ${kind === 'open' ? 'used' : 'written'}, the whole site waits: ${why}`
    this.#event('remote-device-failed', 'error', message, { device: deviceNumber, direction: kind })
  }

  #deviceRecovered({ deviceNumber, path }: TargetWish): void {
    const message = `${path}, device ${deviceNumber} at slink ${this.#parts.slink}, works again`
    this.#event('remote-device-recovered', 'info', message, { device: deviceNumber })
  }

  #event(
    kind: string,
    level: 'info' | 'warning' | 'error',
    message: string,
    facts: Record<string, number | string>,
  ): void {
    this.#parts.event({ kind, level, message, facts: { slink: this.#parts.slink, ...facts } })
  }
}
