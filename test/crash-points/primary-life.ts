/**
 * A primary without sites on a traced host: what it answered goes as promises into the trace, and its recovery is read
 * through its devices and compared with the history.
 *
 * Owns the real group over `/state/replog` and local devices. The judge knows the history and nothing else: the log ends at
 * one LSN, every read of a device gives the history at that LSN, and it lies at or above what was promised. After a clean
 * stop the devices alone, without the log, are the whole history.
 */
import { MemoryNetwork } from '@sitelink/protocol'
import { Prng, SimClock, SparseBytes, type FaultDiskProvider, type HostTrace } from '@sitelink/storage/testing'
import type { LogHistory } from '../pair/log-history.js'
import { LOG_FILE, PrimaryHost } from '../pair/primary-host.js'
import type { World } from '../pair/world.js'
import type { Scenario } from './crash-points.js'
import { areaOfLog } from './log-life.js'

export interface PrimaryPromises {
  /** LSNs that survive a kill, and a power cut. */
  readonly written: number
  readonly durable: number
  /** It was stopped cleanly: everything is on the devices. */
  readonly stopped: boolean
}

export interface PrimaryFacts {
  readonly lastLsn: number
  /** LSN at which the devices alone, before any recovery, were the history; null if at none that matters. */
  readonly devicesAreWhole: boolean
  /** The first thing that differs from the history at `lastLsn`, or null. */
  readonly difference: string | null
}

/** What each file of a primary's host holds, in words. */
export function areaOfPrimary(path: string, offset: number): string {
  if (path.endsWith(LOG_FILE)) return areaOfLog(offset)
  if (path.includes('/dirty-')) return offset < 8192 ? 'header' : 'bitmap'
  return 'data'
}

export const NUMBERED = ['reopen reopenLog', 'sync-schedule SyncSchedule.exclusively']

/** Bytes that fill the log, and yet few sectors that a power cut can lose: all zeros but for three pieces. */
export function mostlyZeros(prng: Prng, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (const at of [0, Math.floor(length / 2), length - 512]) prng.bytes(512).copy(bytes, at)
  return bytes
}

/** Answers go into the trace as promises. */
export function markAnswers(world: World, trace: HostTrace): void {
  const { primary } = world
  const { onAnswer } = primary
  primary.onAnswer = (ticket) => {
    onAnswer?.(ticket)
    trace.mark({ ...primary.promised })
  }
}

/** A primary on disks that another left behind, open but not running. */
export async function reopenPrimary(
  disks: FaultDiskProvider,
  history: LogHistory,
  logBytes: number,
): Promise<{ primary: PrimaryHost; clock: SimClock }> {
  const clock = new SimClock()
  const prng = new Prng(1)
  const network = new MemoryNetwork({ clock, random: prng })
  const primary = new PrimaryHost({ clock, network, prng, logBytes, left: { disks, history } })
  await clock.runUntil(primary.start(false), 60_000)
  return { primary, clock }
}

export function primaryScenario(
  world: World,
  trace: HostTrace,
  logBytes: number,
): Scenario<PrimaryFacts, PrimaryPromises> {
  const { history } = world.primary
  const images = imagesOf(history)
  const before = { ...world.primary.promised, stopped: false }
  return {
    trace,
    before: { ...before, written: 0, durable: 0 },
    area: areaOfPrimary,
    numbered: NUMBERED,
    promise: (promises, mark) => ({ ...promises, ...(mark as Partial<PrimaryPromises>) }),
    async recover(disks) {
      const last = images.at(-1) as ReadonlyMap<number, SparseBytes>
      const devicesAreWhole = [...world.deviceBytes.keys()].every(
        (number) =>
          disks
            .medium(`/dev/local${number}`)
            .visible()
            .firstDifference(last.get(number + 1) as SparseBytes) < 0,
      )
      const { primary, clock } = await reopenPrimary(disks, history, logBytes)
      const { lastLsn } = primary.group.log
      let difference: string | null = null
      for (const [number, bytes] of world.deviceBytes.entries()) {
        const found = new SparseBytes()
        found.write(await clock.runUntil(primary.read(number, 0, bytes)), 0)
        const at = found.firstDifference(images[lastLsn]?.get(number + 1) as SparseBytes)
        if (at >= 0) difference ??= `device ${number} differs from the history at LSN ${lastLsn} from byte ${at} on`
      }
      primary.crash('none')
      return { lastLsn, devicesAreWhole, difference }
    },
    judge: ({ lastLsn, devicesAreWhole, difference }, promises, death) => {
      const wanted = death === 'kill' ? promises.written : promises.durable
      if (lastLsn < wanted) return `LSN ${wanted} was promised, the log ends at ${lastLsn}`
      if (difference !== null) return difference
      if (promises.stopped && !devicesAreWhole) return 'it was stopped cleanly, and the devices are not whole'
      return null
    },
  }
}

/** The devices after each LSN. */
export function imagesOf(history: LogHistory, incarnation = history.incarnation): ReadonlyMap<number, SparseBytes>[] {
  const images: ReadonlyMap<number, SparseBytes>[] = []
  for (let lsn = 0; history.has(incarnation, lsn); lsn++)
    images.push(new Map([...history.contentAt(lsn, incarnation)].map(([id, image]) => [id, image.clone()])))
  return images
}
