/**
 * The devices of a blockdev site: which are open, what is wrong with the others, and how that is found to be over.
 *
 * Owns the open devices, their troubles and the probes. The first trouble of a device is one event, its end another; in
 * between nothing is asked of any device of the site but one probe in each interval, and that of the direction that
 * failed. Invariant: each target is open once, exclusively, and a target with a trouble is written by nobody but its probe.
 */
import type { Clock } from '@sitelink/protocol'
import { openBlockDevice, type BlockDevice, type DiskProvider } from '@sitelink/storage'

/** A device as the mappings of the slink name it. */
export interface TargetWish {
  readonly deviceId: number
  readonly deviceNumber: number
  readonly path: string
  /** Bytes that it has to have. */
  readonly sizeBytes: number
}

/** `open`: it cannot be opened, or is too small. `write`: a write or sync of it failed. */
export interface Trouble {
  readonly kind: 'open' | 'write'
  readonly why: string
}

export interface TargetEvents {
  failed(wish: TargetWish, trouble: Trouble): void
  recovered(wish: TargetWish): void
}

interface Target {
  wish: TargetWish
  device: BlockDevice | null
  trouble: Trouble | null
}

/** What a probe reads and writes back. */
const PROBE_BYTES = 4096

export class Targets {
  readonly #disks: DiskProvider
  readonly #clock: Clock
  readonly #events: TargetEvents
  readonly #probeMs: number
  #targets: Target[] = []
  /** When the next probe is due. */
  #probeAtMs = 0

  constructor(disks: DiskProvider, clock: Clock, probeMs: number, events: TargetEvents) {
    this.#disks = disks
    this.#clock = clock
    this.#events = events
    this.#probeMs = probeMs
  }

  /** The open device of that id; null where there is none. */
  device(deviceId: number): BlockDevice | null {
    return this.#targets.find(({ wish }) => wish.deviceId === deviceId)?.device ?? null
  }

  trouble(deviceId: number): Trouble | null {
    return this.#targets.find(({ wish }) => wish.deviceId === deviceId)?.trouble ?? null
  }

  list(): readonly {
    readonly wish: TargetWish
    readonly device: BlockDevice | null
    readonly trouble: Trouble | null
  }[] {
    return this.#targets
  }

  /** No device has a trouble. */
  get healthy(): boolean {
    return this.#targets.every(({ trouble }) => trouble === null)
  }

  /** How long until the next probe is due; 0: now. Only while something is wrong. */
  get probeInMs(): number {
    return Math.max(0, this.#probeAtMs - this.#clock.nowMs())
  }

  /** These are the devices of the site now: others are closed, new ones opened. Nothing is under way on any. Never rejects. */
  async match(wishes: readonly TargetWish[]): Promise<void> {
    const kept: Target[] = []
    for (const target of this.#targets) {
      const wish = wishes.find(({ deviceId, path }) => deviceId === target.wish.deviceId && path === target.wish.path)
      if (wish === undefined) await target.device?.close().catch(() => {})
      else {
        target.wish = wish
        kept.push(target)
      }
    }
    this.#targets = kept
    for (const wish of wishes) {
      if (this.#targets.some((target) => target.wish.deviceId === wish.deviceId)) continue
      const target: Target = { wish, device: null, trouble: null }
      this.#targets.push(target)
      const why = await this.#open(target)
      if (why !== null) this.#becomeTroubled(target, { kind: 'open', why })
    }
  }

  /** A write or a sync of a device failed. */
  failed(deviceId: number, error: Error): void {
    const target = this.#targets.find(({ wish }) => wish.deviceId === deviceId)
    if (target !== undefined) this.#becomeTroubled(target, { kind: 'write', why: error.message })
  }

  /** Tries every device that has a trouble, one after the other. The next probe is due an interval after its end. */
  async probe(): Promise<void> {
    for (const target of this.#targets) {
      if (target.trouble === null) continue
      const why = target.device === null ? await this.#open(target) : await rewritten(target.device)
      if (why !== null) {
        target.trouble = { ...target.trouble, why }
        continue
      }
      target.trouble = null
      this.#events.recovered(target.wish)
    }
    this.#probeAtMs = this.#clock.nowMs() + this.#probeMs
  }

  async close(): Promise<void> {
    for (const { device } of this.#targets.splice(0)) await device?.close().catch(() => {})
  }

  #becomeTroubled(target: Target, trouble: Trouble): void {
    const known = target.trouble !== null
    target.trouble = trouble
    if (known) return
    this.#probeAtMs = this.#clock.nowMs() + this.#probeMs
    this.#events.failed(target.wish, trouble)
  }

  /** Opens the device; answers why it cannot be used, or null. */
  async #open(target: Target): Promise<string | null> {
    const { path, sizeBytes } = target.wish
    try {
      const device = await openBlockDevice(this.#disks, path, { exclusive: true, mayHang: true })
      if (device.sizeBytes < sizeBytes) {
        await device.close()
        return `${path} has ${device.sizeBytes} bytes, ${sizeBytes} are needed`
      }
      target.device = device
      return null
    } catch (error) {
      return (error as Error).message
    }
  }
}

/**
 * Reads the begin of a device, writes the same bytes there and syncs: a device that only reads again is not healthy.
 * Nobody else writes it, so nothing is changed. Answers why that failed, or null.
 */
async function rewritten(device: BlockDevice): Promise<string | null> {
  const bytes = Buffer.alloc(Math.min(PROBE_BYTES, device.sizeBytes))
  try {
    await device.read(bytes, 0)
    await device.write([bytes], 0)
    await device.sync()
    return null
  } catch (error) {
    return (error as Error).message
  }
}
