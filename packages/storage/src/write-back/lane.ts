/**
 * One device's way from layers to stable storage: writes its parts in order, syncs, retries.
 *
 * Owns two counters that say everything about the device. `writtenSequence`: the parts of all layers up to it have been
 * written to the device, so reads need not consult them. `syncedSequence`: they are durable on it. A failed sync sets
 * `writtenSequence` back to `syncedSequence` in the turn that learns of it: reads consult the layers again, and all of
 * them are written anew before the next sync is tried. A part is written as a whole before the next one begins, and
 * never before its layer may be: the lane is told which part to write. At most one part and one sync are under way.
 *
 *   layers   0 .. syncedSequence | .. writtenSequence | ..
 *            durable               on the device        only in memory and log
 */
import { assert, type Clock, type Timer } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../device/block-device.js'
import { LogReadFailure, writePart, type PartWriteTools, type PartWriteTotals } from './part-writer.js'
import type { Layer, Part } from './layer.js'
import type { WriteBackLimits } from './limits.js'

/** A device that takes longer for one part is not waited for by those who have others to serve. */
const PATIENCE_MS = 2000

/** What a lane tells the one that drives it. Calls come from promise jobs and timers, never from inside a call to it. */
export interface LaneHost {
  /** Something ended or may be tried again. */
  laneChanged(lane: DeviceLane): void
  /** The part is on the device; nothing reads its bytes from its intervals any more. */
  partWritten(lane: DeviceLane, part: Part, totals: PartWriteTotals): void
  /** An attempt failed. `first` is false while the device was failing before. */
  laneFailed(lane: DeviceLane, error: Error, first: boolean): void
  laneRecovered(lane: DeviceLane): void
  /** An entry's payload could not be read from the log; it will be tried again. */
  logUnreadable(failure: LogReadFailure): void
}

export class DeviceLane {
  readonly deviceId: number
  device: BlockDevice
  writtenSequence = -1
  syncedSequence = -1
  /** Grows with every event after which a read under way may have seen old bytes; such a read is done again. */
  generation = 0
  /** Nothing new begins. Set for good. */
  halted = false
  syncCount = 0
  readonly #host: LaneHost
  readonly #clock: Clock
  readonly #limits: WriteBackLimits
  readonly #tools: PartWriteTools
  #writing: Part | null = null
  /** Runs from the beginning of a part on, and says that it takes long. */
  #patience: Timer | null = null
  #isSlow = false
  #syncing = false
  /** True if a part was written since the start of the last sync that succeeded. */
  #unsynced = false
  #failing: 'write' | 'sync' | null = null
  #attempts = 0
  #retry: Timer | null = null
  #idle: (() => void)[] = []

  constructor(
    deviceId: number,
    device: BlockDevice,
    host: LaneHost,
    clock: Clock,
    limits: WriteBackLimits,
    tools: PartWriteTools,
  ) {
    this.deviceId = deviceId
    this.device = device
    this.#host = host
    this.#clock = clock
    this.#limits = limits
    this.#tools = tools
  }

  /** The part that is being written, or null. */
  get writing(): Part | null {
    return this.#writing
  }

  /** True if something is under way on the device. */
  get busy(): boolean {
    return this.#writing !== null || this.#syncing
  }

  get failing(): boolean {
    return this.#failing !== null
  }

  /** It fails, pauses before it tries again what failed, or has been at one part for so long that it may never answer. */
  get stuck(): boolean {
    return this.#failing !== null || this.#retry !== null || this.#isSlow
  }

  get canWrite(): boolean {
    return this.#writing === null && this.#ready
  }

  /** Another way to the same device: what was not synced through the old one counts as not written. */
  replaceDevice(device: BlockDevice): void {
    this.device = device
    this.#distrust()
    this.#retry?.cancel()
    this.#retry = null
  }

  /** The layer has nothing for this device, or its part is gone. */
  pass(layer: Layer): void {
    assert(layer.sequence > this.writtenSequence && this.#writing === null, 'a lane passes layers in order')
    this.writtenSequence = layer.sequence
  }

  /** Begins to write the layer's part. */
  beginWrite(layer: Layer, part: Part): void {
    assert(this.canWrite && layer.sequence > this.writtenSequence, 'a lane writes one part at a time, in order')
    this.#writing = part
    this.#unsynced = true
    this.#patience = this.#clock.after(PATIENCE_MS, () => {
      this.#isSlow = true
      this.#host.laneChanged(this)
    })
    void this.#write(layer, part)
  }

  /** Begins a sync of everything written, if there is anything to sync and none is under way. */
  maybeSync(): void {
    if (this.#syncing || !this.#ready || this.syncedSequence >= this.writtenSequence) return
    if (!this.#unsynced) {
      this.syncedSequence = this.writtenSequence
      return
    }
    this.#syncing = true
    void this.#sync(this.writtenSequence)
  }

  /** Nothing new begins from here on; resolves when nothing is under way. */
  halt(): Promise<void> {
    this.halted = true
    this.#retry?.cancel()
    this.#retry = null
    if (!this.busy) return Promise.resolve()
    return new Promise((resolve) => this.#idle.push(resolve))
  }

  get #ready(): boolean {
    return !this.halted && this.#retry === null
  }

  async #write(layer: Layer, part: Part): Promise<void> {
    const { generation } = this
    try {
      const totals = await writePart(part, this.device, this.#tools)
      this.#wroteOut()
      if (generation === this.generation) {
        this.writtenSequence = layer.sequence
        if (this.#failing === 'write') this.#recover()
        else if (this.#failing === null) this.#attempts = 0
        this.#host.partWritten(this, part, totals)
      }
    } catch (error) {
      this.#wroteOut()
      this.#fail('write', error)
    }
    this.#ended()
  }

  /** Nothing of a part is under way any more. */
  #wroteOut(): void {
    this.#writing = null
    this.#patience?.cancel()
    this.#patience = null
    this.#isSlow = false
  }

  async #sync(sequence: number): Promise<void> {
    const { generation } = this
    const { device } = this
    // What is being written while the sync runs is not covered by it.
    this.#unsynced = this.#writing !== null
    try {
      await device.sync()
      this.#syncing = false
      this.syncCount++
      if (generation === this.generation) {
        this.syncedSequence = sequence
        if (this.#failing === 'sync') this.#recover()
      }
    } catch (error) {
      this.#syncing = false
      // The turn that learns of it: from here on every plan consults the layers again.
      if (device === this.device) this.#distrust()
      this.#fail('sync', error)
    }
    this.#ended()
  }

  /** Nothing that was written since the last good sync is believed any more. */
  #distrust(): void {
    this.generation++
    this.writtenSequence = this.syncedSequence
    this.#unsynced = true
  }

  #fail(what: 'write' | 'sync', reason: unknown): void {
    const error = reason instanceof Error ? reason : new Error(String(reason))
    this.#attempts++
    if (!this.halted && this.#retry === null) {
      const pauseMs = Math.min(this.#limits.retryMsMax, this.#limits.retryMsMin * 2 ** Math.min(30, this.#attempts - 1))
      this.#retry = this.#clock.after(pauseMs, () => {
        this.#retry = null
        this.#host.laneChanged(this)
      })
    }
    if (error instanceof LogReadFailure) {
      this.#host.logUnreadable(error)
      return
    }
    const first = this.#failing === null
    // A failed sync outranks a failed write: only a good sync ends it.
    if (this.#failing !== 'sync') this.#failing = what
    this.#host.laneFailed(this, error, first)
  }

  #recover(): void {
    this.#failing = null
    this.#attempts = 0
    this.#host.laneRecovered(this)
  }

  #ended(): void {
    if (!this.busy && this.#idle.length > 0) {
      const waiting = this.#idle
      this.#idle = []
      for (const resolve of waiting) resolve()
    }
    this.#host.laneChanged(this)
  }
}
