/**
 * A device of the group at this site: its configuration, and the block device behind it while that can be had.
 */
import type { BlockDevice } from '@sitelink/storage'
import type { DeviceConfig } from '../config.js'

export class LocalDevice {
  readonly config: DeviceConfig
  /** Null while it cannot be opened: its entries are held, its export is not available. */
  device: BlockDevice | null = null
  /** Why not, or what is wrong with it now; null if nothing is. */
  problem: string | null = null
  /** Requests are taken but wait (suspended). */
  suspended = false
  /** NBD clients that have it open. */
  readonly clients = new Set<string>()
  reads = 0
  readBytes = 0
  writes = 0
  writtenBytes = 0
  flushes = 0

  constructor(config: DeviceConfig) {
    this.config = config
  }

  get id(): number {
    return this.config.id
  }

  get sizeBytes(): number {
    return this.config.sizeBytes
  }
}
