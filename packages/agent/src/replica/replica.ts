/**
 * The replica: everything durable of this agent, and the steps that change what it is a replica of.
 *
 * Owns `replica.json`, the devices and the line. The steps (adopt, cut, start over) run one after the other and only while
 * no session appends; their order of durability is what makes each of them safe to be cut short anywhere. Invariant: what
 * `standing` says of the replica is durable, and nothing says more.
 */
import {
  type StreamPlace,
  assert,
  ORIGIN,
  type Ack,
  type AgentStanding,
  type DirtyMap,
  type Hello,
  type LogPoint,
} from '@sitelink/protocol'
import { DeviceSet } from '../device/device-set.js'
import { agentErrors, reason } from '../errors.js'
import type { AgentEvent } from '../events.js'
import { cutPlace } from '../journal/cut-place.js'
import type { JournalListener } from '../journal/journal.js'
import { inconsistency } from './consistency.js'
import { dirtyLogPath } from './dirty-files.js'
import type { Line, LineListener } from './line.js'
import { openLine, startOver, type OpenLineOptions } from './open-line.js'
import { REPLICA_FILE, ReplicaFile } from './replica-file.js'
import type { ReplicaListener, ReplicaOptions } from './replica-options.js'
import { randomId, type ReplicaState } from './replica-state.js'
import { voidCopies, wireMark, wireReplica } from './wire-replica.js'

/** See the head of this file. */
export class Replica {
  readonly devices: DeviceSet
  readonly #options: ReplicaOptions
  readonly #listener: ReplicaListener
  readonly #file: ReplicaFile
  #line: Line | null = null
  /** Why there is no line, or why it cannot go on. */
  #broken: string | null = null
  /** Damage that is being written down. */
  #damaging: Promise<void> = Promise.resolve()
  #wasConsistent: boolean | null = null
  #closed = false

  private constructor(options: ReplicaOptions, listener: ReplicaListener, file: ReplicaFile) {
    this.#options = options
    this.#listener = listener
    this.#file = file
    this.devices = new DeviceSet(options.disks)
  }

  /** Opens what is there. Rejects with a coded error that says what is wrong; nothing is changed then. */
  static async open(options: ReplicaOptions, listener: ReplicaListener): Promise<Replica> {
    const { disks, stateDir, forgetJournal, random, event } = options
    const path = `${stateDir}/${REPLICA_FILE}`
    const file = await ReplicaFile.open(path, disks, stateDir)
    if (file === null)
      throw agentErrors.create('AGENT_REPLICA_DAMAGED', { path, why: 'it does not exist', state: stateDir })
    if (forgetJournal) {
      await file.update((state) => ({
        ...state,
        journalId: randomId(random),
        restarting: { reason: 'the operator gave the journal up', logId: null },
      }))
    }
    const replica = new Replica(options, listener, file)
    try {
      for (const device of options.devices) {
        const problem = await replica.devices.add(device)
        if (problem !== null)
          event({
            level: 'error',
            kind: 'device-missing',
            message: `device ${device.name} cannot be used: ${problem}`,
            facts: { device: device.name },
          })
      }
      await replica.#open()
    } catch (error) {
      await replica.devices.close()
      throw error
    }
    return replica
  }

  get state(): ReplicaState {
    return this.#file.current
  }

  /** The line. Only while {@link broken} is null. */
  get line(): Line {
    assert(this.#line !== null, 'the replica has a line')
    return this.#line
  }

  get lineOrNull(): Line | null {
    return this.#line
  }

  get stateDir(): string {
    return this.#options.stateDir
  }

  /** Where the devices are, once they are drained. */
  get appliedPoint(): LogPoint {
    const { incarnation, lsn } = this.#line?.applier.point ?? ORIGIN
    return { incarnation, lsn }
  }

  /** Goes on applying after a freeze. */
  thaw(): void {
    this.#line?.thaw()
  }

  /** Closes a device; frames for it are held until it is back. */
  async releaseDevice(name: string): Promise<void> {
    await this.#line?.release(name)
    await this.devices.remove(name)
  }

  /** Why no session can be served now; null if it can. */
  get broken(): string | null {
    return this.#broken ?? (this.#line === null ? 'it is being opened' : null)
  }

  /** Why the replica is not an exact prefix of the primary's history; null if it is. */
  get inconsistent(): string | null {
    const line = this.#line
    if (line === null) return this.broken
    return inconsistency({
      dirtyRegions: line.dirty.dirtyRegions,
      applied: line.journal.applied,
      stamp: line.journal.stamp,
      allDirty: this.state.allDirty,
      devicesMissing: line.missingDevices(),
    })
  }

  /** Makes group, slink and epoch the agent's own, durably. */
  async adopt(group: string, slink: number, epoch: number): Promise<void> {
    await this.#file.update((state) => ({ ...state, group, slink, epoch }))
  }

  /** What welcome says, and the dirty maps that go with it. Nothing appends any more; everything in the journal is durable then. */
  async standing(): Promise<{ readonly standing: AgentStanding; readonly maps: readonly DirtyMap[] }> {
    await this.#damaging
    this.#refuseBroken()
    const { line } = this
    await line.journal.quiesce()
    // A crash between the cut of the journal and that of the table leaves rows whose map frame was cut.
    await line.cutTable(line.journal.received)
    line.attachAll()
    const maps = [...line.dirty.dirtyMaps()].filter(
      (map) => line.table.streamRow(map.deviceId)?.mappingId === map.mappingId,
    )
    const mappings = line.table.inForce.map(({ deviceId, mappingId, remote }) => ({ deviceId, mappingId, remote }))
    return {
      standing: {
        replica: wireReplica(line.journal, this.state),
        mappings,
        dirtyMaps: maps.length,
        allDirty: this.state.allDirty !== null,
      },
      maps,
    }
  }

  /** Voids everything beyond `common`, durably, and takes the primary's table of lives. Answers where the stream goes on. */
  async cut(common: LogPoint, hello: Hello): Promise<StreamPlace> {
    this.#refuseBroken()
    // A damaged journal was not reported: the primary, which knows that all is dirty, begins anew without saying so.
    if (this.state.allDirty !== null) return this.startOver(this.state.allDirty, hello)
    const { line } = this
    const { journal } = line
    const before = journal.received
    const history = this.state.incarnations
    if (common.lsn < before.lsn) {
      const place = await cutPlace(journal.log, common)
      if (place === null || place.position < line.applier.position)
        throw new Error(`the primary resumes at LSN ${common.lsn}, which is applied already`)
      await line.cut(place, common)
      this.#event(
        'warn',
        'journal-cut',
        `what the primary lost was cut from the journal: LSN ${common.lsn + 1} to ${before.lsn}`,
        { fromLsn: common.lsn + 1, toLsn: before.lsn },
      )
    } else {
      await line.cutTable(common)
    }
    voidCopies(line.journal, history, hello)
    // Only now may the new table stand: a number in the old journal could have meant another life.
    await this.#file.update((state) => ({ ...state, logId: hello.logId, incarnations: hello.incarnations }))
    journal.noteTold({ incarnation: hello.durable[0], lsn: hello.durable[1] })
    await journal.persist()
    this.#beginCount(line)
    const crc = before.lsn === common.lsn && before.crc !== 0 ? before.crc : null
    return { ...common, crc }
  }

  /** Every region dirty, the journal empty, the log's identity taken: all durable on return. */
  async startOver(why: string, hello: Hello): Promise<StreamPlace> {
    await this.#damaging
    // An unmap that only the journal knows of goes with it, and no primary would say it again.
    const left = this.#line?.table.left ?? []
    await this.#file.update((state) => ({
      ...state,
      restarting: { reason: why, logId: hello.logId },
      mappings: state.mappings.filter(({ mappingId }) => left.every((row) => row.mappingId !== mappingId)),
    }))
    await this.#closeLine()
    const { disks, stateDir } = this.#options
    for (const row of left) await disks.removeFile(dirtyLogPath(stateDir, row)).catch(() => {})
    this.#broken = `it starts over: ${why}`
    const line = await startOver(this.#lineOptions())
    await this.#file.update((state) => ({ ...state, incarnations: hello.incarnations }))
    this.#begin(line)
    line.journal.noteTold({ incarnation: hello.durable[0], lsn: hello.durable[1] })
    await line.journal.persist()
    this.#beginCount(line)
    this.#event('warn', 'started-over', `the agent started over, every region is dirty: ${why}`, {
      regions: line.dirty.dirtyRegions,
    })
    return { incarnation: 0, lsn: 0, crc: null }
  }

  /** Before a session is judged: opens devices that were missing, and a replica that broke. Never rejects. */
  async prepare(): Promise<void> {
    await this.devices.openAll()
    if (this.#line !== null && this.#line.journal.failure === null) return
    try {
      await this.#closeLine()
      await this.#open()
    } catch (error) {
      this.#broken = reason(error)
    }
  }

  /** The primary has everything up to `point` durably. */
  told(point: LogPoint): void {
    this.#line?.journal.noteTold(point)
    this.#line?.applier.wake()
  }

  /** So many frames of the session are wanted on stable storage. */
  syncWanted(frames: number): void {
    this.#line?.journal.syncWanted(frames)
  }

  /** How far it is, as acknowledgements say it. */
  ack(): Ack {
    const { journal, dirty } = this.line
    const { usedBytes, ringBytes } = journal.log.status()
    return {
      kind: 'ack',
      received: wireMark(journal.received),
      durable: wireMark(journal.durable),
      applied: wireMark(journal.applied),
      dirtyRegions: dirty.dirtyRegions,
      consistent: this.inconsistent === null,
      journalUsedBytes: Math.min(usedBytes, ringBytes),
      journalBytes: ringBytes,
    }
  }

  /** Applies what may be applied, and closes everything. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#damaging
    await this.#closeLine(true)
    await this.#file.settled()
    await this.devices.close()
  }

  // ----- inside -----

  async #open(): Promise<void> {
    const { line, hole } = await openLine(this.#lineOptions())
    this.#begin(line)
    if (hole !== null) await this.#writeDamage(hole)
  }

  #begin(line: Line): void {
    this.#line = line
    this.#broken = null
    this.#wasConsistent = null
    line.applier.wake()
    this.#noteConsistency()
  }

  #beginCount(line: Line): void {
    line.journal.beginCount()
    line.applier.countFrom(line.journal.log.writtenEnd)
  }

  async #closeLine(clean = false): Promise<void> {
    const line = this.#line
    this.#line = null
    if (line === null) return
    if (clean && line.journal.failure === null) await line.applyAll()
    await line.stop()
    await line.dirty.close()
    await line.journal.close().catch(() => {}) // a journal that failed says so once
  }

  #lineOptions(): OpenLineOptions {
    const { disks, clock, random, limits, stateDir, journalPath, journalBytes, event } = this.#options
    return {
      disks,
      clock,
      random,
      limits,
      stateDir,
      journalPath,
      journalBytes,
      event,
      file: this.#file,
      devices: this.devices,
      journalListener: this.#journalListener(),
      lineListener: this.#lineListener(),
    }
  }

  #journalListener(): JournalListener {
    return {
      written: (bytes, copiesOnly) => {
        this.#line?.applier.wake()
        this.#listener.written(bytes, copiesOnly)
      },
      moved: () => {
        this.#line?.applier.wake()
        this.#listener.changed()
      },
      spaceFreed: () => this.#listener.spaceFreed(),
      failed: (error) => {
        this.#broken = `the journal failed: ${error.message}`
        this.#event('error', 'journal-failed', this.#broken)
        this.#listener.broken('journal-failed', this.#broken)
      },
    }
  }

  #lineListener(): LineListener {
    return {
      deviceFailed: (name, error) => {
        const message = `device ${name} failed, it is tried again: ${error.message}`
        this.#event('error', 'device-failed', message, { device: name })
        this.#listener.trouble('device-failed', message)
      },
      deviceRecovered: (name) => {
        this.#event('info', 'device-recovered', `device ${name} works again`, { device: name })
        this.#listener.trouble('device-recovered', `device ${name} works again`)
      },
      damaged: (why) => {
        this.#damaging = this.#damaging.then(() => this.#writeDamage(why))
      },
      changed: () => this.#changed(),
      failed: (what, error) => this.#event('error', 'dirty-log-failed', `${what}: ${reason(error)}`),
    }
  }

  /** The journal has a hole: nothing behind it can be applied, and only a full resync makes the replica whole. */
  async #writeDamage(why: string): Promise<void> {
    if (this.#closed || this.state.allDirty !== null) return
    this.#event('error', 'journal-damaged', `the journal is damaged, every region is dirty: ${why}`)
    try {
      await this.#line?.dirty.markAll()
      // With another journal id the primary lets this agent start over.
      await this.#file.update((state) => ({ ...state, allDirty: why, journalId: randomId(this.#options.random) }))
    } catch (error) {
      this.#broken = `the damage could not be written down: ${reason(error)}`
    }
    this.#listener.broken('journal-damaged', `the journal is damaged: ${why}`)
  }

  #refuseBroken(): void {
    if (this.broken !== null) throw new Error(this.broken)
  }

  #changed(): void {
    this.#noteConsistency()
    this.#listener.changed()
  }

  #noteConsistency(): void {
    const why = this.inconsistent
    if (this.#wasConsistent === (why === null)) return
    this.#wasConsistent = why === null
    if (why === null) {
      this.#event('info', 'consistent', 'the replica is consistent')
      this.#line?.uncache()
    } else this.#event('warn', 'inconsistent', `the replica is not consistent: ${why}`)
  }

  #event(level: AgentEvent['level'], kind: AgentEvent['kind'], message: string, facts: AgentEvent['facts'] = {}): void {
    this.#options.event({ level, kind, message, facts })
  }
}
