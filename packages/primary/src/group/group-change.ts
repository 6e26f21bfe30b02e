/**
 * One change of a running group, of any number of steps: all of it happens, or nothing.
 *
 * Owns the order "check and prepare, store, act". What is prepared can be undone and is used by nobody; the configuration
 * is stored once, with all steps in it; what cannot be undone (a mapping is dropped, a slink deleted, a device opened to
 * its clients, a session begun) comes after that. A process that dies on the way has changed nothing or everything.
 */
import { must, unreachable } from '@sitelink/protocol'
import type { Lease } from '@sitelink/storage'
import { deviceOf, mappingMade, slinkOf, type NewDevice, type NewMapping, type NewSlink } from '../admin/changes.js'
import type { Step } from '../admin/steps.js'
import { lookAndTake } from '../admin/take-steps.js'
import type { GroupConfig, MappingConfig } from '../config.js'
import { reachedBy } from '../blockdev/address.js'
import { primaryErrors } from '../errors.js'
import type { Slink } from '../slink/slink.js'
import { attachDevice } from './attach-device.js'
import type { Group } from './group.js'
import { LocalDevice } from './local-device.js'
import { openLocal, openSlink } from './open-group.js'
import { createDirtyLog, markMade, newMapping } from './open-mapping.js'

export class GroupChange {
  readonly #group: Group
  #next: GroupConfig
  /** Devices that are open and not attached yet, by id. */
  readonly #locals = new Map<number, LocalDevice>()
  readonly #undo: (() => void | Promise<void>)[] = []
  readonly #acts: (() => void | Promise<void>)[] = []
  /** Where the log stood when the first mapping was asked for. */
  #lease: Lease | null = null
  readonly #held = new Set<Slink>()

  private constructor(group: Group) {
    this.#group = group
    this.#next = group.config
  }

  /** Takes all steps. Rejects with what refuses one of them; then nothing has changed. */
  static async make(group: Group, steps: readonly Step[]): Promise<void> {
    if (steps.length === 0) return
    const change = new GroupChange(group)
    try {
      await change.#prepareAndStore(steps)
      for (const act of change.#acts) await act()
    } finally {
      change.#lease?.release()
      for (const slink of change.#held) slink.link.letGo()
    }
  }

  async #prepareAndStore(steps: readonly Step[]): Promise<void> {
    const group = this.#group
    try {
      for (const step of steps) await this.#prepare(step)
      // A dirty log in memory counts as clean at a restart unless the superblock says otherwise: that comes first.
      if (this.#lease !== null) await group.log.writeSuperblock()
      await group.parts.config.update(() => this.#next)
    } catch (error) {
      for (const undo of this.#undo.reverse()) await undo()
      throw error
    }
  }

  async #prepare(step: Step): Promise<void> {
    this.#next = await lookAndTake(this.#group.parts, this.#next, step)
    switch (step.kind) {
      case 'add-device':
        return this.#addDevice(step.wish)
      case 'add-slink':
        return this.#addSlink(step.wish)
      case 'change-slink':
        return (this.#acts.push(() => this.#configure(step.slink)), undefined)
      case 'delete-slink':
        return (this.#acts.push(() => this.#deleteSlink(step.slink)), undefined)
      case 'map':
        return this.#map(step.wish)
      case 'unmap':
        return (this.#acts.push(() => this.#unmap(step.device, step.slink)), undefined)
      default:
        return unreachable(step)
    }
  }

  async #addDevice(wish: NewDevice): Promise<void> {
    const group = this.#group
    const config = deviceOf(this.#next, wish.number)
    const device = await openLocal(group, config).catch((error: Error) => {
      throw primaryErrors.create('DEVICE_UNAVAILABLE', { device: wish.number, why: error.message }, { cause: error })
    })
    const local = new LocalDevice(config)
    local.device = device
    this.#locals.set(config.id, local)
    this.#undo.push(() => device.close())
    this.#acts.push(() => {
      attachDevice(group, local, device)
      group.writePath.pump()
      this.#event('device-added', `device ${wish.number} "${wish.name}" was added: ${wish.path}`, {
        device: wish.number,
      })
    })
  }

  async #addSlink({ number, addresses }: NewSlink): Promise<void> {
    const group = this.#group
    const slink = await openSlink(group, slinkOf(this.#next, number), null)
    this.#undo.push(async () => {
      group.slinks.delete(number)
      await slink.close('the slink was not added', true)
      await group.sites.close(number, true)
      group.sitesChanged()
    })
    this.#acts.push(() => {
      group.standingChanged()
      slink.start()
      this.#event('slink-added', `slink ${number} was added: ${reachedBy(addresses)}`, { slink: number })
    })
  }

  async #map(wish: NewMapping): Promise<void> {
    const group = this.#group
    const device = deviceOf(this.#next, wish.device)
    const local = this.#locals.get(device.id) ?? group.devices.get(device.id)
    if (local === undefined || local.device === null) {
      const why = local?.problem ?? 'it is not open'
      throw primaryErrors.create('DEVICE_UNAVAILABLE', { device: wish.device, why })
    }
    const slink = must(group.slinks.get(wish.slink), 'a slink of the configuration runs')
    const wanted = slinkOf(this.#next, wish.slink).mappings.at(-1) as MappingConfig
    this.#lease ??= group.log.lease(group.writtenMark.position)
    const dirty = await createDirtyLog(group, wish.slink, wanted, local)
    // From this turn on it counts: what is written now is marked, or in the log behind the place of a slink that is
    // held until the mapping is durable.
    const mapping = newMapping(group, wanted, local, dirty)
    this.#next = mappingMade(this.#next, wish.slink, device.id, must(mapping.config.since, 'a new mapping is made'))
    const before = slink.config
    this.#held.add(slink)
    slink.addMapping(mapping, { ...before, mappings: [...before.mappings, mapping.config] })
    group.sitesChanged()
    this.#undo.push(async () => {
      slink.removeMapping(device.id, before)
      await dirty.destroy().catch(() => {})
      group.sitesChanged()
    })
    // Whoever says `nosync` says so of the moment of the command: what was written since is copied.
    await markMade(group, mapping, this.#lease.position)
    this.#acts.push(() =>
      this.#event('device-mapped', `device ${wish.device} is mapped to "${wish.remote}" of slink ${wish.slink}`, {
        device: wish.device,
        slink: wish.slink,
      }),
    )
  }

  #configure(number: number): void {
    const group = this.#group
    if (number === 0) return this.#configureLocal()
    must(group.slinks.get(number), 'a slink of the configuration runs').configure(slinkOf(group.config, number))
    group.standingChanged()
    group.superblockWanted()
    this.#event('slink-changed', `slink ${number} was changed`, { slink: number })
  }

  #configureLocal(): void {
    const group = this.#group
    group.holdingChanged()
    this.#event('slink-changed', `slink 0 is ${group.config.local.mode} now`, { slink: 0 })
  }

  async #deleteSlink(number: number): Promise<void> {
    const group = this.#group
    const slink = must(group.slinks.get(number), 'a slink of the configuration runs')
    group.slinks.delete(number)
    const mappings = [...slink.mappings]
    const { ios } = slink.outstanding()
    await slink.close('the slink was deleted', true)
    await group.sites.close(number, true)
    group.sitesChanged()
    group.superblockWanted()
    for (const mapping of mappings) await mapping.dirty.destroy().catch(() => {})
    // It is deleted. A record that stays is one more agent that the next site of this number is compared with.
    await group.parts.peers.set(number, null).catch(() => {})
    const dropped = ios === 0 ? '' : `: ${ios} entries that it had not received are dropped`
    this.#event('slink-deleted', `slink ${number} was deleted${dropped}`, { slink: number, entries: ios })
  }

  async #unmap(device: number, slink: number): Promise<void> {
    await dropMapping(this.#group, slink, deviceOf(this.#group.config, device).id)
    const message = `device ${device} is not mapped to slink ${slink} any more`
    this.#event('device-unmapped', message, { device, slink })
  }

  #event(kind: string, message: string, facts: Record<string, number>): void {
    this.#group.parts.event({ kind, level: 'info', message, facts })
  }
}

/** A mapping that the configuration has no more ends, its dirty log with it. */
export async function dropMapping(group: Group, number: number, deviceId: number): Promise<void> {
  const slink = must(group.slinks.get(number), 'a slink of the configuration runs')
  const mapping = slink.mappings.get(deviceId)
  const mappings = slink.config.mappings.filter((one) => one.deviceId !== deviceId)
  slink.removeMapping(deviceId, { ...slink.config, mappings })
  await mapping?.dirty.destroy().catch(() => {})
  group.sitesChanged()
  group.superblockWanted()
  await group.sites.unmapped(number)
}
