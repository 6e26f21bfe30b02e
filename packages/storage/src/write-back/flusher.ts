/**
 * Moves layers to the devices: closes them, gives their parts to the lanes, calls for syncs, retires them, tells the owner.
 *
 * Owns the lanes and one routine, `pump`, that does all of it. Whatever happens asks for a pump, which runs once, soon, in a
 * turn of its own: the listener is never called from inside a call of the owner, and no wake-up is lost.
 * Invariants: no byte of an entry above the allowed position is ever given to a device; the applied position moves over
 * whole layers only, oldest first, each synced on every device that it touches; entries of an unknown device, and all
 * behind them, are given to no device.
 */
import { assert, type Clock, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import type { BlockDevice } from '../device/block-device.js'
import { Alarm } from './alarm.js'
import type { FrameSink, WriteBackListener } from './contract.js'
import { DeviceLane, type LaneHost } from './lane.js'
import type { Layer, Part } from './layer.js'
import type { LayerStack } from './layer-stack.js'
import type { WriteBackLimits } from './limits.js'
import { ByteBudget, type LogReadFailure, type PartWriteTools, type PartWriteTotals } from './part-writer.js'
import { closeIsDue, isTooBig, nextDueMs, syncIsDue } from './pace.js'
import { isPutOff, PUT_OFF_LOOK_MS } from './put-off.js'
import { Waiters, type Wait } from './waiters.js'

export class Flusher implements LaneHost {
  readonly lanes = new Map<number, DeviceLane>()
  /** Ids whose entries are ignored. */
  readonly dropped = new Set<number>()
  /** Ids of no attached device that have entries in the stack. */
  readonly held = new Set<number>()
  allowed: LogPosition
  appliedPosition: LogPosition
  appliedLsn: Lsn
  writtenBytes = 0
  zeroedBytes = 0
  deviceWrites = 0
  readonly #stack: LayerStack
  readonly #clock: Clock
  readonly #limits: WriteBackLimits
  readonly #listener: WriteBackListener
  readonly #sink: FrameSink | null
  readonly #tools: PartWriteTools
  /** The oldest layers that are on all their devices; falls when a sync fails. */
  #writtenCount = 0
  #toldWritten: LogPosition
  /** Layers up to here are to be synced now. */
  #syncTarget = -1
  /** Layers up to here are to be written and synced whatever the limits say. */
  #hurryTarget = -1
  #limitAsked: LogPosition
  #limitEnded = false
  readonly #waiters = new Waiters()
  #pumpAsked = false
  #stopped = false
  #roomFreed = false
  /** Writers are at work: layers stay where they are. Looked at by every pump. */
  #putOff = false
  readonly #alarm: Alarm
  #syncsOfGone = 0

  constructor(
    stack: LayerStack,
    log: PartWriteTools['log'],
    clock: Clock,
    limits: WriteBackLimits,
    listener: WriteBackListener,
    sink: FrameSink | null,
  ) {
    this.#stack = stack
    this.#clock = clock
    this.#alarm = new Alarm(clock, () => this.askPump())
    this.#limits = limits
    this.#listener = listener
    this.#sink = sink
    this.#tools = { log, budget: new ByteBudget(limits.logReadBytesMax), limits }
    this.appliedPosition = stack.end
    this.appliedLsn = stack.lastLsn
    this.allowed = stack.end
    this.#toldWritten = stack.end
    this.#limitAsked = stack.end
  }

  /** Layers that are on all their devices and not retired. */
  get writtenCount(): number {
    return this.#writtenCount
  }

  get syncCount(): number {
    let count = this.#syncsOfGone
    for (const lane of this.lanes.values()) count += lane.syncCount
    return count
  }

  attach(deviceId: number, device: BlockDevice): void {
    const lane = this.lanes.get(deviceId)
    assert(lane === undefined || !this.dropped.has(deviceId), 'a device that is being detached is not attached')
    this.dropped.delete(deviceId)
    this.held.delete(deviceId)
    if (lane === undefined) {
      this.lanes.set(deviceId, new DeviceLane(deviceId, device, this, this.#clock, this.#limits, this.#tools))
    } else {
      lane.replaceDevice(device)
    }
    this.askPump()
  }

  async detach(deviceId: number, mode: 'apply-first' | 'drop'): Promise<void> {
    this.dropped.add(deviceId)
    const lane = this.lanes.get(deviceId)
    if (lane !== undefined) {
      if (mode === 'apply-first') {
        if (!this.#stack.active.empty) this.close()
        this.askPump()
        await this.#waiters.add({ sequence: this.#stack.active.sequence - 1, lane }).catch((error: unknown) => {
          this.dropped.delete(deviceId)
          throw error
        })
      }
      const halted = lane.halt()
      this.askPump()
      await halted
      // Of two that detach the same device, the first to get here does it.
      if (this.lanes.get(deviceId) !== lane) return
      this.#syncsOfGone += lane.syncCount
      this.lanes.delete(deviceId)
    }
    this.held.delete(deviceId)
    this.#stack.dropDevice(deviceId)
    this.#roomFreed = true
    this.askPump()
  }

  /** An entry of an unknown device comes: what was noted before it must not wait with it. */
  hold(deviceId: number): void {
    if (this.held.has(deviceId)) return
    if (this.held.size === 0 && !this.#stack.active.empty) this.close()
    this.held.add(deviceId)
  }

  allow(position: LogPosition): void {
    if (position <= this.allowed) return
    this.allowed = position
    this.askPump()
  }

  /** `allow` will not be called any more: who waits for what lies above the limit is refused. */
  endLimit(): void {
    this.#limitEnded = true
    this.askPump()
  }

  /** What is noted is to be written and synced as soon as it may, without waiting for size or age. */
  checkpoint(): void {
    const { active } = this.#stack
    if (!active.empty && (active.end <= this.allowed || this.#mayClose())) this.close()
    this.#hurry()
  }

  drain(): Promise<void> {
    const { active } = this.#stack
    if (!active.empty && active.end <= this.allowed) this.close()
    this.#hurry()
    return this.#waiters.add({ sequence: this.#hurryTarget, lane: null })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#alarm.cancel()
    this.#waiters.stop()
    await Promise.all([...this.lanes.values()].map((lane) => lane.halt()))
  }

  /** Runs the pump soon; asking often costs nothing. */
  askPump(): void {
    if (this.#pumpAsked || this.#stopped) return
    this.#pumpAsked = true
    this.#clock.soon(() => this.#pump())
  }

  /** Closes the active layer, which is big, if few are closed already or it has grown too big for one turn. */
  maybeClose(): void {
    const { active, activeIntervals } = this.#stack
    if (this.#mayClose() || isTooBig(active, activeIntervals, this.#limits)) this.close()
  }

  /** Closes the active layer, which holds something. */
  close(): void {
    const layer = this.#stack.close()
    // While entries wait for a device that may never come, their bytes are in the log, not in memory.
    if (this.held.size > 0) for (const part of layer.parts.values()) this.#stack.forgetBytes(part)
    this.askPump()
  }

  /** Runs the pump at this monotonic time, or before. */
  wakeAt(atMs: number): void {
    if (!this.#stopped) this.#alarm.at(atMs)
  }

  // ----- what lanes tell -----

  laneChanged(lane: DeviceLane): void {
    // Who waits for memory waits for nothing now.
    if (lane.stuck) this.#roomFreed = true
    this.askPump()
  }

  partWritten(_lane: DeviceLane, part: Part, totals: PartWriteTotals): void {
    this.writtenBytes += totals.bytes
    this.zeroedBytes += totals.zeroBytes
    this.deviceWrites += totals.writes
    if (part.memoryBytes > 0) this.#roomFreed = true
    this.#stack.forgetBytes(part)
  }

  laneFailed(lane: DeviceLane, error: Error, first: boolean): void {
    if (first) this.#listener.deviceFailed(lane.deviceId, error)
  }

  laneRecovered(lane: DeviceLane): void {
    this.#listener.deviceRecovered(lane.deviceId)
  }

  logUnreadable(failure: LogReadFailure): void {
    this.#listener.logUnreadable?.(failure.position, failure.deviceId, failure.offset, failure.length, failure)
  }

  // ----- the pump -----

  #pump(): void {
    this.#pumpAsked = false
    if (this.#stopped) return
    this.#putOff = this.#mayPutOff()
    this.#feedLanes()
    this.#countWritten()
    while (
      this.#mayClose() &&
      closeIsDue(this.#stack.active, this.#stack.activeIntervals, this.#clock.nowMs(), this.#limits)
    ) {
      this.close()
      this.#feedLanes()
      this.#countWritten()
    }
    this.#callForSyncs()
    this.#retire()
    this.#askForLimit()
    if (this.#roomFreed) {
      this.#roomFreed = false
      this.#listener.roomFreed()
    }
    this.#waiters.answer(
      (wait) => this.#isDone(wait),
      (wait) => this.#isHopeless(wait),
    )
    this.#setTimer()
  }

  /** It waits for layers that will never be allowed. */
  #isHopeless({ sequence }: Wait): boolean {
    return this.#limitEnded && this.#stack.layers.some((one) => one.sequence <= sequence && one.end > this.allowed)
  }

  /** Closed layers wait for no others. */
  #hurry(): void {
    this.#hurryTarget = this.#stack.active.sequence - 1
    this.askPump()
  }

  /** Nobody waits for the devices, and writers are at work. */
  #mayPutOff(): boolean {
    const stack = this.#stack
    const { empty, sequence, openedAtMs } = stack.layers[this.#writtenCount] as Layer
    if (empty || sequence <= this.#hurryTarget || this.held.size + this.#waiters.waits.length > 0) return false
    return isPutOff(stack, openedAtMs, stack.end - this.appliedPosition, this.#clock.nowMs(), this.#limits)
  }

  #mayClose(): boolean {
    return this.#putOff || this.#stack.layers.length - 1 - this.#writtenCount < this.#limits.closedLayersMax
  }

  /** True if parts of the layer may be given to devices, as far as the layer itself is concerned. */
  #mayWrite(layer: Layer): boolean {
    if (!layer.closed || layer.end > this.allowed) return false
    for (const deviceId of this.held) if (layer.parts.has(deviceId)) return false
    return true
  }

  #feedLanes(): void {
    if (this.#putOff) return
    const { layers } = this.#stack
    let free = 0
    while (free < layers.length && this.#mayWrite(layers[free] as Layer)) free++
    for (const lane of this.lanes.values()) {
      for (let i = 0; i < free && lane.canWrite; i++) {
        const layer = layers[i] as Layer
        if (layer.sequence <= lane.writtenSequence) continue
        const part = layer.parts.get(lane.deviceId)
        if (part === undefined) lane.pass(layer)
        else {
          this.#stack.applyCuts(part)
          lane.beginWrite(layer, part)
        }
      }
    }
  }

  #countWritten(): void {
    const { layers } = this.#stack
    let count = 0
    while (count < layers.length && this.#isWritten(layers[count] as Layer)) {
      const layer = layers[count] as Layer
      layer.writtenAtMs ??= this.#clock.nowMs()
      count++
    }
    this.#writtenCount = count
    const newest = layers[count - 1]
    if (newest === undefined || newest.end <= this.#toldWritten) return
    this.#toldWritten = newest.end
    this.#listener.writtenToDevices?.(newest.end, newest.lastLsn)
  }

  #isWritten(layer: Layer): boolean {
    if (!this.#mayWrite(layer)) return false
    for (const deviceId of layer.parts.keys()) {
      if ((this.lanes.get(deviceId) as DeviceLane).writtenSequence < layer.sequence) return false
    }
    return true
  }

  #isSynced(layer: Layer): boolean {
    for (const deviceId of layer.parts.keys()) {
      if ((this.lanes.get(deviceId) as DeviceLane).syncedSequence < layer.sequence) return false
    }
    return true
  }

  #callForSyncs(): void {
    const { layers } = this.#stack
    const oldest = layers[0] as Layer
    const newest = layers[this.#writtenCount - 1]
    if (newest !== undefined && this.#syncIsDue(oldest, newest))
      this.#syncTarget = Math.max(this.#syncTarget, newest.sequence)
    for (const lane of this.lanes.values()) {
      if (lane.syncedSequence < this.#syncTarget && lane.writtenSequence >= this.#syncTarget) lane.maybeSync()
    }
    for (const { lane } of this.#waiters.waits) if (lane !== null && lane.writing === null) lane.maybeSync()
  }

  #syncIsDue(oldest: Layer, newest: Layer): boolean {
    const next = this.#stack.layers[this.#writtenCount] as Layer
    const facts = {
      nowMs: this.#clock.nowMs(),
      writtenAtMs: oldest.writtenAtMs as number,
      unsyncedBytes: newest.end - this.appliedPosition,
      lagBytes: this.#stack.end - this.appliedPosition,
      intervalCount: this.#stack.intervalCount,
      hurry: oldest.sequence <= this.#hurryTarget && (newest.sequence >= this.#hurryTarget || !this.#mayWrite(next)),
    }
    return syncIsDue(facts, this.#limits)
  }

  #retire(): void {
    const before = this.appliedPosition
    while (this.#writtenCount > 0 && this.#isSynced(this.#stack.layers[0] as Layer)) {
      const layer = this.#stack.retireOldest()
      this.#writtenCount--
      this.appliedPosition = layer.end
      this.appliedLsn = layer.lastLsn
      this.#roomFreed = true
      for (const { frame, end } of layer.marks) this.#sink?.applied(frame, end)
    }
    if (this.appliedPosition > before) this.#listener.applied(this.appliedPosition, this.appliedLsn)
  }

  #askForLimit(): void {
    const closed = this.#stack.layers.at(-2)
    if (closed === undefined || closed.end <= this.allowed || closed.end <= this.#limitAsked) return
    this.#limitAsked = closed.end
    this.#listener.limitWanted(closed.end)
  }

  /** True if nothing is left to wait for: what was waited for is applied, or may not be applied any more for now. */
  #isDone({ lane, sequence }: Wait): boolean {
    const { layers } = this.#stack
    const oldest = layers[0] as Layer
    if (lane === null) return oldest.sequence > sequence || !this.#mayWrite(oldest)
    if (lane.halted) return true
    for (const layer of layers) {
      if (layer.sequence > sequence) break
      if (layer.sequence > lane.syncedSequence && layer.parts.has(lane.deviceId)) return false
    }
    return true
  }

  #setTimer(): void {
    const { active, layers } = this.#stack
    const oldest = layers[0] as Layer
    const waitsForSync = this.#writtenCount > 0 && oldest.sequence > this.#syncTarget
    const dueMs = nextDueMs(this.#mayClose() ? active : null, waitsForSync ? oldest : null, this.#limits)
    if (dueMs !== Number.POSITIVE_INFINITY) this.wakeAt(dueMs)
    if (this.#putOff) this.wakeAt(this.#clock.nowMs() + PUT_OFF_LOOK_MS)
  }
}
