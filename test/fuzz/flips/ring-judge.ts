/**
 * Opens a damaged ring image with the real code, and judges what came of it against the truth.
 *
 * Owns the rule of the bit flips. Whatever is handed on is byte for byte what was given to the log. What is missing is
 * missing aloud: it lies in a hole that was reported, or behind a cut that was reported and lies above every durable
 * mark. An opening that reports nothing has lost nothing. Knows nothing of how the log finds damage out.
 */
import { openRingLog, LogError, type LogEntry, type LogHole, type RecoveryReport } from '@sitelink/storage'
import { Prng, SimClock } from '@sitelink/storage/testing'
import { hold } from '../engine/target.js'
import type { FlipDisk } from '../worlds/flip-disk.js'
import { silentListener, type RingImage, type TrueEntry } from '../worlds/ring-image.js'
import type { Places } from './places.js'

export type RingOutcome =
  | { readonly kind: 'refused'; readonly error: unknown }
  | {
      readonly kind: 'opened'
      readonly report: RecoveryReport
      readonly items: readonly (LogEntry | LogHole)[]
      readonly owner: Buffer
      /** Where the life before this opening ends: the cut. */
      readonly cut: number
      /** Regions that some part of the log touches, as `device/unit`; null: all may be. */
      readonly regions: ReadonlySet<string> | null
    }

export interface LookOptions {
  /** Also asks which regions the log touches. */
  readonly regions?: boolean
}

/** Opens the log on `disk` and reads all of it, as its owner does at a start. */
export async function openAndRead(disk: FlipDisk, image: RingImage, options: LookOptions = {}): Promise<RingOutcome> {
  try {
    const { log, report } = await openRingLog({
      disk,
      mode: 'open',
      rule: image.rule,
      listener: silentListener(image.owner),
      clock: new SimClock(),
      random: new Prng(1),
      recentBytesMax: 0,
    })
    const items: (LogEntry | LogHole)[] = []
    const cursor = log.cursor(log.tail)
    for (let read = await cursor.next(1 << 20); read !== null; read = await cursor.next(1 << 20)) items.push(...read)
    cursor.close()
    let regions: Set<string> | null = new Set()
    if (options.regions === true) {
      for await (const { runs } of log.regionsBetween(log.tail, log.writtenEnd)) {
        if (runs === null) regions = null
        for (const { deviceId, firstUnit, unitCount } of regions === null ? [] : (runs ?? []))
          for (let unit = firstUnit; unit < firstUnit + unitCount; unit++) regions?.add(`${deviceId}/${unit}`)
      }
    }
    const { previousEnd } = log.incarnation
    return { kind: 'opened', report, items, owner: log.ownerStateFound, cut: previousEnd, regions }
  } catch (error) {
    if (error instanceof LogError) return { kind: 'refused', error }
    throw error
  }
}

export type Verdict =
  | { readonly kind: 'nothing lost' }
  /** A hole or a cut was reported, and no entry lay in it. */
  | { readonly kind: 'reported, nothing lost' }
  | { readonly kind: 'refused' | 'hole' | 'torn tail cut' | 'hole and cut'; readonly missing: number }

/**
 * Throws where the outcome breaks the rule; else says what was reported. `manyFlips`: a header that is gone as a whole looks
 * like a place where nothing was written; above every durable mark, and only there, the log may then end in silence.
 */
export function judgeRing(outcome: RingOutcome, image: RingImage, places: Places, manyFlips = false): Verdict {
  if (outcome.kind === 'refused') return { kind: 'refused', missing: image.entries.length }
  const { report, items, cut } = outcome
  hold(outcome.owner.equals(image.owner), "the owner's part is what was stored")
  const truth = new Map(image.entries.map((entry) => [entry.position, entry]))
  const yielded = new Set<number>()
  const holes: LogHole[] = [...report.holes]
  let at = 0
  for (const item of items) {
    hold(item.position >= at, 'items come in order')
    at = item.end
    if (!('frame' in item)) {
      holes.push(item)
      continue
    }
    const entry = truth.get(item.position)
    hold(entry !== undefined, `an entry at ${item.position} was never given to the log`)
    hold(sameBytes(item, entry), `the entry at ${item.position} is not what was given to the log`)
    yielded.add(item.position)
  }
  const missing = image.entries.filter(({ position }) => !yielded.has(position))
  let cutCount = 0
  for (const entry of missing) {
    const hole = holes.find(({ position, end }) => position <= entry.position && entry.end <= end)
    if (hole !== undefined) {
      checkHole(hole, entry)
      continue
    }
    hold(
      (report.cutBytes > 0 || manyFlips) && entry.position >= cut,
      `the entry at ${entry.position} is gone and nothing says so`,
    )
    hold(entry.position >= places.markPosition, `the entry at ${entry.position} was durable and was cut`)
    cutCount++
  }
  checkRegions(outcome.regions, image.entries, yielded)
  if (missing.length === 0) {
    return holes.length === 0 && report.cutBytes === 0 ? { kind: 'nothing lost' } : REPORTED
  }
  const kind = cutCount === 0 ? 'hole' : cutCount === missing.length ? 'torn tail cut' : 'hole and cut'
  return { kind, missing: missing.length }
}

const REPORTED = { kind: 'reported, nothing lost' } as const

function sameBytes({ frame }: LogEntry, { bytes }: TrueEntry): boolean {
  const payload = frame.payload ?? Buffer.alloc(0)
  return (
    bytes.length === 96 + payload.length &&
    bytes.subarray(0, 96).equals(frame.header) &&
    bytes.subarray(96).equals(payload)
  )
}

/** What a hole says of itself covers what is lost in it. */
function checkHole(hole: LogHole, { lsn, range }: TrueEntry): void {
  hold(
    hole.firstLsn <= lsn && lsn <= hole.lastLsn,
    `the hole ${hole.firstLsn}..${hole.lastLsn} does not name LSN ${lsn}`,
  )
  if (hole.ranges === null || range === null) return
  const named = hole.ranges.some(
    (one) =>
      one.deviceId === range.deviceId &&
      one.offset <= range.offset &&
      one.offset + one.length >= range.offset + range.length,
  )
  hold(named, `the hole at LSN ${lsn} does not name its range`)
}

/** Every region that an entry touches is among those that the log says. */
function checkRegions(
  regions: ReadonlySet<string> | null,
  entries: readonly TrueEntry[],
  yielded: ReadonlySet<number>,
): void {
  if (regions === null || regions.size === 0) return
  for (const { range, position } of entries) {
    // What a hole says of its ranges is held to the truth where the hole is.
    if (range === null || !yielded.has(position)) continue
    for (let unit = Math.floor(range.offset / 2 ** 20); unit * 2 ** 20 < range.offset + range.length; unit++)
      hold(
        regions.has(`${range.deviceId}/${unit}`),
        `region ${unit} of device ${range.deviceId} is said to be untouched`,
      )
  }
}
