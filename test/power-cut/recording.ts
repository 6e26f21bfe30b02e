/**
 * One recording: a filesystem is made on live exports, mounted and used while every disk of every host is recorded; then
 * it is unmounted. What is left of it: the trace, the history of writes, and the hosts as they were when the trace began.
 *
 * Owns the order of these steps, and says in the trace what was promised when. Whatever fails, everything that was
 * mounted is taken down before the hosts stop.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { Prng } from '@sitelink/storage/testing'
import { findProgram } from '../support/clients.js'
import { LoopedExport } from '../support/mounted.js'
import { must, type FilesystemKind } from './filesystem.js'
import { atSite, FLUSHED, LivePair, type SiteWish } from './live-pair.js'
import { LEDGER, MANIFEST, useFilesystem, type KnownFile, type Owed } from './workload.js'

/** Small, so that they go round several times. */
const LOG_BYTES = 3 * 1024 * 1024
const JOURNAL_BYTES = 4 * 1024 * 1024

export interface RecordingOptions {
  readonly kind: FilesystemKind
  readonly prng: Prng
  readonly sites: readonly SiteWish[]
  /** Steps of the workload. */
  readonly steps: number
  /**
   * When the sites join: before anything is written; or, with a resync, when half of the steps are done. The other half
   * follows when they are resynced; between them it goes on as well.
   */
  readonly join: 'first' | 'half-way'
}

/** Labels of the moments at which sites that join half-way begin to, and at which all of them are resynced. */
export const JOINING = 'joining'
export const RESYNCED = 'resynced'

/** Far more steps than a resync takes. */
const STEPS_MAX = 5000

/** What the known files have to show, and the last entry that a flush made safe. */
export interface OwedHere extends Owed {
  readonly lsn: number
}

export class Recording {
  private constructor(
    readonly pair: LivePair,
    readonly options: RecordingOptions,
    /** The last entry of the making of the filesystem: from there on it is one. */
    readonly madeLsn: number,
  ) {}

  /** Makes the recording; when it resolves, nothing of it runs any more. */
  static async make(options: RecordingOptions): Promise<Recording> {
    const { kind, prng, sites, join: joining } = options
    const { devices } = kind
    const pair = await LivePair.start({ prng, devices, sites, logBytes: LOG_BYTES, journalBytes: JOURNAL_BYTES })
    try {
      if (joining === 'first') await Promise.all(sites.map(({ name }) => pair.join(name, 'nosync')))
      const madeLsn = await use(pair, options)
      await Promise.all(sites.map(({ name }) => pair.settled(name)))
      return new Recording(pair, options, madeLsn)
    } catch (error) {
      throw new Error(`${(error as Error).message}\nThe hosts said last:\n${pair.said()}`, { cause: error })
    } finally {
      await pair.close()
    }
  }

  /** What the primary, or a site that guards it, owes if its power goes after the first `end` events. */
  owed(end: number, site: string | null): OwedHere {
    const value = (label: string): number => this.#promised(site === null ? label : atSite(label, site), end)
    return { ledger: value(LEDGER), manifest: value(MANIFEST), lsn: value(FLUSHED) }
  }

  /** What the known files have to show on devices that show the history up to an entry. */
  owedBy(lsn: number): Owed {
    const value = (label: string): number => this.#promised(label, Number.POSITIVE_INFINITY, lsn)
    return { ledger: value(LEDGER), manifest: value(MANIFEST) }
  }

  #promised(label: string, end: number, lsn = Number.POSITIVE_INFINITY): number {
    let largest = 0
    for (const mark of this.pair.trace.marks())
      if (mark.label === label && mark.at < end && mark.lsn <= lsn) largest = Math.max(largest, mark.value)
    return largest
  }
}

/** Makes, mounts and uses the filesystem; answers the last LSN of its making. */
async function use(pair: LivePair, { kind, prng, sites, steps, join: joining }: RecordingOptions): Promise<number> {
  const tools = {
    nbdfuse: findProgram('nbdfuse') ?? '',
    losetup: findProgram('losetup') ?? '',
    mount: findProgram('mount') ?? '',
    fusermount3: findProgram('fusermount3') ?? '',
  }
  const looped: LoopedExport[] = []
  try {
    for (const { name } of kind.devices)
      looped.push(await LoopedExport.attach(tools, join(pair.folder, name), pair.nbdUri(name)))
    for (const [command, ...args] of kind.make(looped.map(({ device }) => device))) await must(command, ...args)
    if (joining === 'first') await Promise.all(sites.map(({ name }) => pair.settled(name)))
    const madeLsn = pair.history.lastLsn
    await pair.record()
    const place = await (looped[0] as LoopedExport).mount(kind.mountOptions)
    const makeSafe = async (file: KnownFile, value: number, sync: () => Promise<unknown>): Promise<void> => {
      const { guards } = pair
      await sync()
      pair.promised(file, value, guards)
    }
    const resync = new Resync(pair, sites, joining === 'first' ? null : Math.floor(steps / 2))
    await useFilesystem(place, prng.fork('workload'), makeSafe, (step) => resync.goOn(step, steps))
    return madeLsn
  } finally {
    // The first is the one that is mounted; the others are in use until it is unmounted.
    for (const each of looped) await each.detach()
  }
}

/** Lets sites join while the workload goes on, and says how long it has to. */
class Resync {
  readonly #pair: LivePair
  readonly #sites: readonly SiteWish[]
  readonly #joinStep: number | null
  #resynced = false
  #failure: Error | null = null
  /** Steps that went by during the resync. */
  #meanwhile = 0

  /** `joinStep`: before which step the sites join; null: they have. */
  constructor(pair: LivePair, sites: readonly SiteWish[], joinStep: number | null) {
    this.#pair = pair
    this.#sites = sites
    this.#joinStep = joinStep
  }

  goOn(step: number, steps: number): boolean {
    if (this.#failure !== null) throw this.#failure
    if (this.#joinStep === null || step < this.#joinStep) return step < steps
    if (step === this.#joinStep) {
      this.#pair.promised(JOINING, 1, [])
      this.#join().catch((error: Error) => (this.#failure = error))
    }
    if (this.#resynced) return step - this.#meanwhile < steps
    assert(++this.#meanwhile < STEPS_MAX, 'a resync ends while the filesystem is in use')
    return true
  }

  async #join(): Promise<void> {
    await Promise.all(this.#sites.map(({ name }) => this.#pair.join(name, 'sync')))
    await Promise.all(this.#sites.map(({ name }) => this.#pair.resynced(name)))
    this.#pair.promised(RESYNCED, 1, [])
    this.#resynced = true
  }
}
