/**
 * Administration of a running group: the verbs, each persisted before it acts, one at a time.
 *
 * Owns the order "check, persist, act". A verb that fails to act puts the configuration back; a verb that is refused has
 * changed nothing. The rules of the configuration itself are the pure functions of `admin/changes.ts`.
 */
import { must } from '@sitelink/protocol'
import {
  addDevice,
  addMapping,
  addSlink,
  changeSlink,
  deleteDevice,
  deleteMapping,
  deleteSlink,
  deviceOf,
  mappingMade,
  slinkOf,
  type NewDevice,
  type NewMapping,
  type NewSlink,
  type SlinkChange,
} from '../admin/changes.js'
import { refusePathInUse } from '../admin/path-in-use.js'
import type { GroupConfig, MappingConfig } from '../config.js'
import { primaryErrors } from '../errors.js'
import type { Slink } from '../slink/slink.js'
import type { Group } from './group.js'
import { attachDevice } from './attach-device.js'
import { LocalDevice } from './local-device.js'
import { createDirtyLog, markMade, newMapping } from './open-mapping.js'
import { openLocal, openSlink } from './open-group.js'
import { resyncStatus } from './status.js'

export class GroupAdmin {
  readonly #group: Group
  /** Verbs run one after the other. */
  #queue: Promise<unknown> = Promise.resolve()

  constructor(group: Group) {
    this.#group = group
  }

  addDevice(wish: NewDevice): Promise<void> {
    return this.#serial(async () => {
      const group = this.#group
      await refusePathInUse(group.parts, group.config, wish.path)
      const next = addDevice(group.config, wish)
      const config = next.devices[next.devices.length - 1] as GroupConfig['devices'][number]
      const device = await openLocal(group, config).catch((error: Error) => {
        throw primaryErrors.create('DEVICE_UNAVAILABLE', { device: wish.number, why: error.message }, { cause: error })
      })
      await this.#persist(() => next).catch(async (error: unknown) => {
        await device.close()
        throw error
      })
      attachDevice(group, new LocalDevice(config), device)
      group.writePath.pump()
      this.#event('device-added', `device ${wish.number} "${wish.name}" was added: ${wish.path}`, {
        device: wish.number,
      })
    })
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
      if (local?.device !== undefined && local.device !== null) await group.writeBack.detach(config.id, 'apply-first')
      await this.#persist(() => next).catch((error: unknown) => {
        // It stays: its writes are applied and durable, so it simply goes on.
        if (local?.device !== undefined && local.device !== null) attachDevice(group, local, local.device)
        throw error
      })
      for (const { number: slinkNumber } of mapped) await this.#dropMapping(slinkNumber, config.id)
      if (local?.device === null) await group.writeBack.detach(config.id, 'drop')
      group.devices.delete(config.id)
      await local?.device?.close().catch(() => {})
      this.#event('device-deleted', `device ${number} was deleted`, { device: number })
    })
  }

  addSlink(wish: NewSlink): Promise<void> {
    return this.#serial(async () => {
      const next = addSlink(this.#group.config, wish)
      await this.#persist(() => next)
      const config = slinkOf(next, wish.number)
      const slink = await openSlink(this.#group, config, null)
      this.#group.standingChanged()
      slink.start()
      this.#event('slink-added', `slink ${wish.number} was added: ${wish.addresses.join(', ')}`, { slink: wish.number })
    })
  }

  changeSlink(number: number, change: SlinkChange): Promise<void> {
    return this.#serial(async () => {
      const next = changeSlink(this.#group.config, number, change)
      await this.#persist(() => next)
      this.#slink(number).configure(slinkOf(next, number))
      this.#group.standingChanged()
      this.#group.superblockWanted()
      this.#event('slink-changed', `slink ${number} was changed`, { slink: number })
    })
  }

  deleteSlink(number: number, unmap: boolean): Promise<void> {
    return this.#serial(async () => {
      const next = deleteSlink(this.#group.config, number, unmap)
      const slink = this.#slink(number)
      await this.#persist(() => next)
      this.#group.slinks.delete(number)
      const mappings = [...slink.mappings]
      await slink.close('the slink was deleted', true)
      this.#group.sitesChanged()
      this.#group.superblockWanted()
      for (const mapping of mappings) await mapping.dirty.destroy().catch(() => {})
      // It is deleted. A record that stays is one more agent that the next site of this number is compared with.
      await this.#group.parts.peers.set(number, null).catch(() => {})
      this.#event('slink-deleted', `slink ${number} was deleted`, { slink: number })
    })
  }

  map(wish: NewMapping): Promise<void> {
    return this.#serial(async () => {
      const group = this.#group
      const before = group.config
      const next = addMapping(before, wish)
      const device = deviceOf(next, wish.device)
      const local = group.devices.get(device.id)
      if (local === undefined || local.device === null) {
        throw primaryErrors.create('DEVICE_UNAVAILABLE', {
          device: wish.device,
          why: local?.problem ?? 'it is not open',
        })
      }
      if (wish.dirtyLog.type === 'disk' && wish.dirtyLog.path !== null)
        await refusePathInUse(group.parts, group.config, wish.dirtyLog.path)
      const slink = this.#slink(wish.slink)
      const wanted = slinkOf(next, wish.slink).mappings.at(-1) as MappingConfig
      const lease = group.log.lease(group.writtenMark.position)
      const dirty = await createDirtyLog(group, wish.slink, wanted, local).catch((error: unknown) => {
        lease.release()
        throw error
      })
      // From this turn on it counts: what is written now is marked, or in the log behind the place of a slink that is
      // held until the mapping is durable.
      const mapping = newMapping(group, wanted, local, dirty)
      const made = mappingMade(next, wish.slink, device.id, must(mapping.config.since, 'a new mapping is made'))
      slink.addMapping(mapping, slinkOf(made, wish.slink))
      group.sitesChanged()
      try {
        // Whoever says `nosync` says so of the moment of the command: what was written since is copied.
        await markMade(group, mapping, lease.position)
        // A dirty log in memory counts as clean at a restart unless the superblock says otherwise: that comes first.
        await group.log.writeSuperblock()
        await this.#persist(() => made)
      } catch (error) {
        slink.removeMapping(device.id, slinkOf(before, wish.slink))
        await dirty.destroy().catch(() => {})
        group.sitesChanged()
        throw error
      } finally {
        lease.release()
        slink.link.letGo()
      }
      this.#event('device-mapped', `device ${wish.device} is mapped to "${wish.remote}" of slink ${wish.slink}`, {
        device: wish.device,
        slink: wish.slink,
      })
    })
  }

  unmap(deviceNumber: number, slinkNumber: number): Promise<void> {
    return this.#serial(async () => {
      const next = deleteMapping(this.#group.config, deviceNumber, slinkNumber)
      const { id } = deviceOf(next, deviceNumber)
      await this.#persist(() => next)
      await this.#dropMapping(slinkNumber, id)
      this.#event('device-unmapped', `device ${deviceNumber} is not mapped to slink ${slinkNumber} any more`, {
        device: deviceNumber,
        slink: slinkNumber,
      })
    })
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
      if (full) {
        slink.mappings.markAll()
        try {
          await slink.flushMarks()
        } finally {
          // They are marked in any case: where that could not be stored, the next session stores it before it begins.
          slink.dirtied()
          this.#group.superblockWanted()
        }
      }
      const dirtyRegions = slink.mappings.dirtyRegions
      return { running: dirtyRegions > 0 || slink.standing.kind !== 'log', dirtyRegions }
    })
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

  async #dropMapping(slinkNumber: number, deviceId: number): Promise<void> {
    const slink = this.#slink(slinkNumber)
    const mapping = slink.mappings.get(deviceId)
    slink.removeMapping(deviceId, slinkOf(this.#group.config, slinkNumber))
    await mapping?.dirty.destroy().catch(() => {})
    this.#group.sitesChanged()
    this.#group.superblockWanted()
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
