/**
 * The devices of a blockdev site: which are open, what is wrong with the others, and how that is found to be over.
 *
 * Owns the open devices, their troubles and the probes. The first trouble of a device is one event, its end another; in
 * between nothing is asked of any device of the site but one probe in each interval, and that of the direction that
 * failed. Invariants: each target is open once, exclusively; one with a trouble is written by nobody but its probe; one that
 * is not the site's any more is written by nobody. Its methods are called one after the other.
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

export interface TargetHost {
  /** The devices of the site as of now. */
  wishes(): readonly TargetWish[]
  failed(wish: TargetWish, trouble: Trouble): void
  recovered(wish: TargetWish): void
}

interface Target {
  wish: TargetWish
  device: BlockDevice | null
  trouble: Trouble | null
  /** A write of it failed: it is healthy only once it was written again. */
  owesWrite: boolean
}

/** What a probe reads and writes back. */
const PROBE_BYTES = 4096

export class Targets {
  readonly #disks: DiskProvider
  readonly #clock: Clock
  readonly #host: TargetHost
  readonly #probeMs: number
  #targets: Target[] = []
  /** When the next probe is due. */
  #probeAtMs = 0

  constructor(disks: DiskProvider, clock: Clock, probeMs: number, host: TargetHost) {
    this.#disks = disks
    this.#clock = clock
    this.#host = host
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

  /** What is not the site's any more is closed. Nothing is under way on any. Never rejects. */
  async release(): Promise<void> {
    for (const target of [...this.#targets]) {
      if (this.#wishOf(target) !== undefined) continue
      await shut(target)
      this.#targets = this.#targets.filter((one) => one !== target)
    }
  }

  /** As {@link Targets.release}, and what is new is opened. */
  async match(): Promise<void> {
    await this.release()
    for (const target of this.#targets) target.wish = this.#wishOf(target) ?? target.wish
    for (const wish of this.#host.wishes()) {
      if (this.#targets.some((target) => target.wish.deviceId === wish.deviceId)) continue
      const target: Target = { wish, device: null, trouble: null, owesWrite: false }
      if (this.#wishOf(target) === undefined) continue
      this.#targets.push(target)
      const why = await this.#open(target)
      if (why !== null) this.#becomeTroubled(target, { kind: 'open', why })
    }
  }

  #wishOf({ wish: { deviceId, path } }: Target): TargetWish | undefined {
    return this.#host.wishes().find((wish) => wish.deviceId === deviceId && wish.path === path)
  }

  /** A write or a sync of a device failed. */
  failed(deviceId: number, error: Error): void {
    const target = this.#targets.find(({ wish }) => wish.deviceId === deviceId)
    if (target === undefined) return
    target.owesWrite = true
    this.#becomeTroubled(target, { kind: 'write', why: error.message })
  }

  /** Tries every device that has a trouble, one after the other. The next probe is due an interval after its end. */
  async probe(): Promise<void> {
    for (const target of [...this.#targets]) {
      if (target.trouble === null || this.#wishOf(target) === undefined) continue
      target.trouble = await this.#tried(target)
      if (target.trouble !== null) continue
      target.owesWrite = false
      this.#host.recovered(target.wish)
    }
    this.#probeAtMs = this.#clock.nowMs() + this.#probeMs
  }

  /** Opened anew: a descriptor that failed may lead to what is gone, and another device have come under its path. */
  async #tried(target: Target): Promise<Trouble | null> {
    await shut(target)
    const closed = await this.#open(target)
    if (closed !== null) return { kind: 'open', why: closed }
    if (!target.owesWrite || target.device === null) return null
    const why = await rewritten(target.device, () => this.#wishOf(target) !== undefined)
    return why === null ? null : { kind: 'write', why }
  }

  #becomeTroubled(target: Target, trouble: Trouble): void {
    const known = target.trouble !== null
    target.trouble = trouble
    if (known) return
    this.#probeAtMs = this.#clock.nowMs() + this.#probeMs
    this.#host.failed(target.wish, trouble)
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

async function shut(target: Target): Promise<void> {
  const { device } = target
  target.device = null
  await device?.close().catch(() => {})
}

/**
 * Reads the begin of a device, writes the same bytes there and syncs: a device that only reads again is not healthy.
 * Nobody else writes it as long as it is the site's, so nothing is changed. Answers why that failed, or null.
 */
async function rewritten(device: BlockDevice, isOurs: () => boolean): Promise<string | null> {
  const bytes = Buffer.alloc(Math.min(PROBE_BYTES, device.sizeBytes))
  try {
    await device.read(bytes, 0)
    if (!isOurs()) return 'it is not mapped any more'
    await device.write([bytes], 0)
    await device.sync()
    return null
  } catch (error) {
    return (error as Error).message
  }
}
