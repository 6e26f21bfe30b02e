/**
 * The devices that this agent offers: their names, their paths, and which of them are open.
 *
 * Owns the open devices. A device that cannot be opened is kept with the reason, and tried again whenever somebody asks;
 * nothing is ever created or changed in its place. Invariant: each file or block device is open once, exclusively, under
 * one name.
 */
import type { WireDevice } from '@sitelink/protocol'
import { openBlockDevice, type BlockDevice, type DiskProvider } from '@sitelink/storage'
import { reason } from '../errors.js'

/** A device as the operator named it. */
export interface DeviceConfig {
  readonly name: string
  readonly path: string
}

type Held =
  | { readonly kind: 'open'; readonly config: DeviceConfig; readonly device: BlockDevice }
  | { readonly kind: 'closed'; readonly config: DeviceConfig; readonly problem: string }

/** See the head of this file. */
export class DeviceSet {
  readonly #disks: DiskProvider
  readonly #held = new Map<string, Held>()

  constructor(disks: DiskProvider) {
    this.#disks = disks
  }

  /** Makes a device known and opens it if that can be. Answers why it could not be opened, or null. */
  async add(config: DeviceConfig): Promise<string | null> {
    this.#held.set(config.name, { kind: 'closed', config, problem: 'it was not opened yet' })
    return this.#open(config)
  }

  /** Tries again to open what is not open. Answers the names of those that are open now and were not. */
  async openAll(): Promise<readonly string[]> {
    const opened: string[] = []
    for (const held of [...this.#held.values()]) {
      if (held.kind === 'closed' && (await this.#open(held.config)) === null) opened.push(held.config.name)
    }
    return opened
  }

  /** The open device of that name; null where it is unknown or not open. */
  device(name: string): BlockDevice | null {
    const held = this.#held.get(name)
    return held?.kind === 'open' ? held.device : null
  }

  /** Why the device cannot be used; null if it can. */
  problem(name: string): string | null {
    const held = this.#held.get(name)
    if (held === undefined) return 'this agent has no such device'
    return held.kind === 'open' ? null : held.problem
  }

  /** Where the device is, as the operator said; null where it is unknown. */
  path(name: string): string | null {
    return this.#held.get(name)?.config.path ?? null
  }

  has(name: string): boolean {
    return this.#held.has(name)
  }

  /** As welcome names them, in order of their names. */
  offered(): WireDevice[] {
    return [...this.#held.values()]
      .map((held): WireDevice => {
        if (held.kind === 'closed') return { name: held.config.name, sizeBytes: 0, problem: held.problem }
        return { name: held.config.name, sizeBytes: held.device.sizeBytes, problem: null }
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  list(): readonly (DeviceConfig & { readonly sizeBytes: number | null; readonly problem: string | null })[] {
    return [...this.#held.values()].map((held) => ({
      ...held.config,
      sizeBytes: held.kind === 'open' ? held.device.sizeBytes : null,
      problem: held.kind === 'open' ? null : held.problem,
    }))
  }

  /** Closes a device and forgets it. Nothing is under way on it. */
  async remove(name: string): Promise<void> {
    const held = this.#held.get(name)
    this.#held.delete(name)
    if (held?.kind === 'open') await held.device.close()
  }

  async close(): Promise<void> {
    for (const name of [...this.#held.keys()]) await this.remove(name)
  }

  async #open(config: DeviceConfig): Promise<string | null> {
    try {
      const device = await openBlockDevice(this.#disks, config.path, { exclusive: true, direct: true })
      // It may have been removed, or opened by another call, meanwhile.
      if (this.#held.get(config.name)?.kind !== 'closed') {
        await device.close()
        return this.problem(config.name)
      }
      this.#held.set(config.name, { kind: 'open', config, device })
      return null
    } catch (error) {
      const problem = reason(error)
      if (this.#held.get(config.name)?.kind === 'closed')
        this.#held.set(config.name, { kind: 'closed', config, problem })
      return problem
    }
  }
}
