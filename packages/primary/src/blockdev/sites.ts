/**
 * The blockdev sites of a group, one for each slink of that type.
 *
 * Owns that there is one site a slink as long as its slink is there, and none for others. Composition only.
 */
import type { Group } from '../group/group.js'
import { groupLimits } from '../limits.js'
import type { Slink } from '../slink/slink.js'
import { BlockdevSite } from './site.js'
import type { TargetWish, Trouble } from './targets.js'

export class BlockdevSites {
  readonly #group: Group
  readonly #sites = new Map<number, BlockdevSite>()

  constructor(group: Group) {
    this.#group = group
  }

  /** The site behind a slink, made when it is first dialled. */
  of(slink: number): BlockdevSite {
    let site = this.#sites.get(slink)
    if (site === undefined) this.#sites.set(slink, (site = this.#make(slink)))
    return site
  }

  /** What is wrong with a device at a slink; null where nothing is known to be. */
  trouble(slink: number, deviceId: number): Trouble | null {
    return this.#sites.get(slink)?.trouble(deviceId) ?? null
  }

  /** Why the site of a slink takes no session, as a sentence; null where it does, and where there is none. */
  problem(slink: number): string | null {
    return this.#sites.get(slink)?.problem ?? null
  }

  /** As {@link BlockdevSite.consistent}; null for a slink that has no such site. */
  consistent(slink: number): boolean | null {
    return this.#sites.get(slink)?.consistent ?? null
  }

  /** A device of the slink was unmapped, and its session has ended: see {@link BlockdevSite.unmapped}. */
  async unmapped(slink: number): Promise<void> {
    await this.#sites.get(slink)?.unmapped()
  }

  /** The session of the slink has ended. `removed`: the slink is gone, and with it what was known of the site. */
  async close(slink: number, removed: boolean): Promise<void> {
    const site = this.#sites.get(slink)
    this.#sites.delete(slink)
    await site?.close(removed)
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#sites.keys()].map((slink) => this.close(slink, false)))
  }

  #make(slink: number): BlockdevSite {
    const { parts } = this.#group
    const { clock, random, disks, event } = parts
    return new BlockdevSite({
      slink,
      clock,
      random,
      disks,
      event,
      path: parts.sitePath(slink),
      probeMs: groupLimits(parts.limits).probeMs,
      wishes: () => wishesOf(this.#group.slinks.get(slink)),
      limitWanted: () => this.#maybeSync(slink),
    })
  }

  /** A writer that waits for the site waits for the log's sync as well; for nobody the log is synced early. */
  #maybeSync(number: number): void {
    const slink = this.#group.slinks.get(number)
    if (slink !== undefined && (slink.sync || slink.isWaitedFor())) this.#group.log.requestSync()
  }
}

function wishesOf(slink: Slink | undefined): TargetWish[] {
  return [...(slink?.mappings ?? [])].map((mapping) => ({
    deviceId: mapping.deviceId,
    deviceNumber: mapping.deviceNumber,
    path: mapping.config.remote,
    sizeBytes: mapping.sizeBytes,
  }))
}
