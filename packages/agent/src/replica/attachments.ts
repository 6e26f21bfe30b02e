/**
 * Which open device write-back uses for each row of the mapping table.
 *
 * Owns the memory of what was attached last, so that a device that was opened anew is attached again and one that did not
 * change is not. Invariant: a device that is too small for its row is never attached.
 */
import type { BlockDevice, WriteBack } from '@sitelink/storage'
import type { DeviceSet } from '../device/device-set.js'
import type { MappingTable } from './mapping-table.js'
import type { ReplicaMapping } from './replica-state.js'

export class Attachments {
  readonly #table: MappingTable
  readonly #devices: DeviceSet
  readonly #writeBack: WriteBack
  /** Of each device id, what write-back has of it. */
  readonly #last = new Map<number, BlockDevice>()

  constructor(table: MappingTable, devices: DeviceSet, writeBack: WriteBack) {
    this.#table = table
    this.#devices = devices
    this.#writeBack = writeBack
  }

  /** Attaches devices that are wanted and open now. */
  attachAll(): void {
    this.attachNext()
    for (const row of this.#table.rows) {
      // A device that came back after it was missing: frames of it are held by write-back until it is attached.
      if (this.#table.attachedRow(row.deviceId) === row) this.#reattach(row)
    }
  }

  /** Attaches what is not attached and may be. */
  attachNext(): void {
    for (const row of this.#table.toAttach()) this.attach(row)
  }

  /** Attaches the device of a row, if it can be used now. */
  attach(row: ReplicaMapping): void {
    const device = this.#deviceOf(row)
    if (device === null) return
    this.#table.attached(row)
    this.#writeBack.attach(row.deviceId, device)
    this.#last.set(row.deviceId, device)
  }

  /** Devices leave the page cache: nobody reads them, and what large writes left there makes small ones slow. */
  uncache(): void {
    for (const device of this.#last.values()) void device.uncache?.()
  }

  /** The device of a row is let go: the next way to it is another one. */
  forget(row: ReplicaMapping): void {
    this.#last.delete(row.deviceId)
  }

  /** Names of mapped devices that cannot be used now. */
  missing(): string[] {
    return this.#table.rows.filter((row) => this.#deviceOf(row) === null).map((row) => row.remote)
  }

  #reattach(row: ReplicaMapping): void {
    const device = this.#deviceOf(row)
    if (device === null || this.#last.get(row.deviceId) === device) return
    this.attach(row)
  }

  /** The device of a row, if it is open and large enough. */
  #deviceOf(row: ReplicaMapping): BlockDevice | null {
    const device = this.#devices.device(row.remote)
    return device === null || device.sizeBytes < row.sizeBytes ? null : device
  }
}
