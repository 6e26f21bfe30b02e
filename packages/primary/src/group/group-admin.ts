/**
 * Administration of a running group: the verbs, each persisted before it acts, one at a time.
 *
 * Owns that verbs come one after the other. A verb that is refused or fails has changed nothing: `group-change.ts` sees to
 * that. The rules of the configuration itself are the pure functions of `admin/changes.ts`.
 */
import {
  deleteDevice,
  deviceOf,
  type NewDevice,
  type NewMapping,
  type NewSlink,
  type SlinkChange,
} from '../admin/changes.js'
import type { Step } from '../admin/steps.js'
import type { GroupConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import type { Slink } from '../slink/slink.js'
import type { VerifyRun } from '../verify/verify-run.js'
import { attachDevice } from './attach-device.js'
import type { Group } from './group.js'
import { dropMapping, GroupChange } from './group-change.js'
import type { LogResize, ResizeWish } from './log-resize.js'
import { resyncStatus } from './status.js'

export class GroupAdmin {
  readonly #group: Group
  /** Verbs run one after the other. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(group: Group) {
    this.#group = group
  }

  /** Takes all steps or none of them. */
  apply(steps: readonly Step[]): Promise<void> {
    return this.#serial(() => GroupChange.make(this.#group, steps))
  }

  /** As {@link apply}; which steps is decided when it is this verb's turn. Answers them. */
  applyPlanned(plan: () => Promise<readonly Step[]>): Promise<readonly Step[]> {
    return this.#serial(async () => {
      const steps = await plan()
      await GroupChange.make(this.#group, steps)
      return steps
    })
  }

  addDevice(wish: NewDevice): Promise<void> {
    return this.apply([{ kind: 'add-device', wish }])
  }

  /** `unmap`: takes its mappings away as well. Refused while a client has it open. */
  deleteDevice(number: number, unmap: boolean): Promise<void> {
    return this.#serial(async () => {
      const group = this.#group
      const config = deviceOf(group.config, number)
      const local = group.devices.get(config.id)
      if (local !== undefined && local.clients.size > 0) {
        throw primaryErrors.create('DEVICE_BUSY', { device: number, clients: [...local.clients].join(', ') })
      }
      const next = deleteDevice(group.config, number, unmap)
      const mapped = group.config.slinks.filter((slink) =>
        slink.mappings.some((mapping) => mapping.deviceId === config.id),
      )
      group.exports.delete(config.id)
      group.writePath.failDevice(config.id)
      try {
        // What has its place in the order and is not noted yet would be dropped, and missing if the device stays after all.
        await group.allWritten()
        if (local?.device !== undefined && local.device !== null) await group.writeBack.detach(config.id, 'apply-first')
        await this.#persist(() => next)
      } catch (error) {
        // It stays: its writes are applied and durable, or still noted where the log failed, so it simply goes on.
        if (local?.device !== undefined && local.device !== null) attachDevice(group, local, local.device)
        throw group.failure === null ? error : primaryErrors.create('GROUP_FAILED', { why: group.failure })
      }
      for (const { number: slinkNumber } of mapped) await dropMapping(group, slinkNumber, config.id)
      if (local?.device === null) await group.writeBack.detach(config.id, 'drop')
      group.devices.delete(config.id)
      await local?.device?.close().catch(() => {})
      this.#event('device-deleted', `device ${number} was deleted`, { device: number })
    })
  }

  addSlink(wish: NewSlink): Promise<void> {
    return this.apply([{ kind: 'add-slink', wish }])
  }

  changeSlink(slink: number, change: SlinkChange): Promise<void> {
    return this.apply([{ kind: 'change-slink', slink, change }])
  }

  deleteSlink(slink: number, unmap: boolean): Promise<void> {
    return this.apply([{ kind: 'delete-slink', slink, unmap }])
  }

  map(wish: NewMapping): Promise<void> {
    return this.apply([{ kind: 'map', wish }])
  }

  unmap(device: number, slink: number): Promise<void> {
    return this.apply([{ kind: 'unmap', device, slink }])
  }

  /** Begins a resize of the log, which goes on while other verbs come. Rejects as `LogResize.begin`. */
  resizeLog(wish: ResizeWish): ReturnType<LogResize['begin']> {
    return this.#serial(() => this.#group.logResize.begin(wish))
  }

  /** `device` null: the whole group. */
  suspend(device: number | null): Promise<void> {
    return this.#serial(async () => this.#setSuspended(device, true))
  }

  resume(device: number | null): Promise<void> {
    return this.#serial(async () => this.#setSuspended(device, false))
  }

  /**
   * Starts a resync if anything is dirty, `full` by making everything dirty first. Answers whether one is running now.
   * Refuses if the site cannot be reached.
   */
  resync(number: number, full: boolean): Promise<{ readonly running: boolean; readonly dirtyRegions: number }> {
    return this.#serial(async () => {
      const slink = this.#slink(number)
      if (slink.config.paused) throw primaryErrors.create('SLINK_PAUSED', { slink: number })
      if (full) await this.#mark(slink, () => slink.mappings.markAll())
      const dirtyRegions = slink.mappings.dirtyRegions
      return { running: dirtyRegions > 0 || slink.standing.kind !== 'log', dirtyRegions }
    })
  }

  /** Makes the regions dirty in which a verify found a difference; they are copied in the next session. Answers how many. */
  markDifferent(number: number, run: VerifyRun): Promise<number> {
    return this.#serial(async () => {
      const slink = this.#slink(number)
      let count = 0
      await this.#mark(slink, () => {
        for (const { device, region } of run.differentRegions()) {
          const mapping = slink.mappings.get(device.deviceId)
          if (mapping === undefined || mapping.config.mappingId !== device.mappingId) continue
          const offset = region * device.regionBytes
          mapping.mark(offset, Math.min(device.regionBytes, device.sizeBytes - offset))
          count += 1
        }
      })
      return count
    })
  }

  /**
   * Gives up a site's place in the log: what it misses is in its dirty logs, durably, on return, and the log may let go of it.
   * False if it has no place, or needs nothing of the log.
   */
  async dropSite(number: number): Promise<boolean> {
    const slink = this.#slink(number)
    if (slink.standing.kind !== 'log' || !slink.mapped) return false
    await slink.overflow.drop('the operator gave up its place in the log')
    return true
  }

  resyncProgress(number: number): ReturnType<typeof resyncStatus> {
    return resyncStatus(this.#slink(number), this.#group)
  }

  /** True once everything that was written when it was called is applied at every connected site and here. */
  drained(lsn: number): { readonly done: boolean; readonly waitsFor: string } {
    const group = this.#group
    if (group.writeBack.appliedLsn < lsn) {
      group.log.requestSync()
      group.writeBack.checkpoint()
      return { done: false, waitsFor: 'the local devices' }
    }
    for (const slink of group.slinks.values()) {
      if (slink.mappings.size === 0 || slink.config.paused) continue
      if (slink.mappings.dirtyRegions > 0)
        return { done: false, waitsFor: `slink ${slink.number}, which is being resynced` }
      if (slink.stream === null) return { done: false, waitsFor: `slink ${slink.number}, which is not connected` }
      if (slink.stream.appliedLsn < lsn) return { done: false, waitsFor: `slink ${slink.number}` }
    }
    return { done: true, waitsFor: '' }
  }

  slink(number: number): Slink {
    return this.#slink(number)
  }

  #slink(number: number): Slink {
    const slink = this.#group.slinks.get(number)
    if (slink === undefined)
      throw primaryErrors.create(number === 0 ? 'SLINK_LOCAL' : 'SLINK_UNKNOWN', { slink: number })
    return slink
  }

  async #mark(slink: Slink, mark: () => void): Promise<void> {
    mark()
    try {
      await slink.flushMarks()
    } finally {
      // They are marked in any case: where that could not be stored, the next session stores it before it begins.
      slink.dirtied()
      this.#group.superblockWanted()
    }
  }

  #setSuspended(device: number | null, suspended: boolean): void {
    const group = this.#group
    if (device === null) {
      if (suspended) group.suspend()
      else group.resume()
      this.#event(
        suspended ? 'suspended' : 'resumed',
        suspended ? 'the group is suspended: writes wait' : 'the group is resumed',
        {},
      )
      return
    }
    const { id } = deviceOf(group.config, device)
    group.suspendDevice(id, suspended)
    this.#event(
      suspended ? 'device-suspended' : 'device-resumed',
      `device ${device} is ${suspended ? 'suspended: its writes wait' : 'resumed'}`,
      { device },
    )
  }

  async #persist(change: (current: GroupConfig) => GroupConfig): Promise<void> {
    await this.#group.parts.config.update(change)
  }

  #event(kind: string, message: string, facts: Record<string, string | number | boolean | null>): void {
    this.#group.parts.event({ kind, level: 'info', message, facts })
  }

  #serial<T>(work: () => Promise<T> | T): Promise<T> {
    const run = this.#queue.then(() => {
      if (this.#group.state === 'failed')
        throw primaryErrors.create('GROUP_FAILED', { why: this.#group.failure ?? 'unknown' })
      return work()
    })
    this.#queue = run.catch(() => {})
    return run
  }
}
