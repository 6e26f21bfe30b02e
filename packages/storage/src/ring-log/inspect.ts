/**
 * Looks into a log offline: what its superblocks say, what lies in the ring, and whether all of it agrees.
 *
 * Reads only, so it works on a read-only disk and on a log that does not open. Owns no judgement of its own: what counts
 * is what recovery would say. A step of the list is a group, a checkpoint, a hole or the end.
 */
import { formatId64, type LogPosition, type Lsn } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import type { CheckpointBody } from './checkpoint.js'
import { isEntry } from './cursor.js'
import { geometryOf } from './geometry.js'
import { GROUP_HEADER_BYTES } from './group.js'
import { RING_OFFSET_BYTES } from './limits.js'
import { LogError } from './log-error.js'
import { spansOf } from './lives.js'
import { RingSpace } from './ring-space.js'
import { Scanner, type ScanStep } from './scan.js'
import { SegmentBuilder } from './segments.js'
import { readSlots } from './superblock-store.js'
import { chooseSlot, isZero, type SlotContent, type Superblock } from './superblock.js'

export interface LogInspection {
  readonly slots: readonly [SlotContent, SlotContent]
  /** The slot that an opening would believe; null if none is valid. */
  readonly chosen: 0 | 1 | null
  readonly superblock: Superblock | null
}

/** Both superblocks. Rejects as the disk does. */
export async function inspectLog(disk: Disk, startOffset = 0): Promise<LogInspection> {
  const slots = await readSlots(disk, startOffset)
  const chosen = chooseSlot(slots)
  const slot = chosen === null ? null : slots[chosen]
  return { slots, chosen, superblock: slot?.kind === 'valid' ? slot.superblock : null }
}

/** What lies in the ring from the tail on, in order, as recovery would judge it. The last step is the end. */
export async function* listLog(disk: Disk, superblock: Superblock): AsyncGenerator<ScanStep> {
  const scanner = scannerOf(disk, superblock)
  for (;;) {
    const step = await scanner.next()
    yield step
    if (step.kind === 'end') return
  }
}

export interface LogProblem {
  /** Where in the ring; null for a superblock. */
  readonly position: LogPosition | null
  readonly what: string
}

export interface LogCheck {
  readonly problems: readonly LogProblem[]
  readonly groupCount: number
  readonly checkpointCount: number
  readonly entryCount: number
  readonly bytes: number
  readonly lastLsn: Lsn
  /** Where the log ends, any byte, and why. */
  readonly end: LogPosition
  readonly endsBecause: string
}

/** Verifies everything: both superblocks, every CRC and chain, every checkpoint against what its segment really holds. */
export async function checkLog(disk: Disk, startOffset = 0): Promise<LogCheck> {
  const problems: LogProblem[] = []
  const { slots, superblock } = await inspectLog(disk, startOffset)
  slots.forEach((slot, index) => {
    if (slot.kind !== 'valid') problems.push({ position: null, what: `superblock ${index} is ${slot.kind}` })
  })
  const counts = {
    groupCount: 0,
    checkpointCount: 0,
    entryCount: 0,
    bytes: 0,
    lastLsn: 0,
    end: 0,
    endsBecause: 'there is no superblock',
  }
  if (superblock === null) return { problems, ...counts }
  const { logId, tail } = superblock
  const fills = new FillChecker(new RingSpace(disk, startOffset + RING_OFFSET_BYTES, superblock.layout))
  const checker = new Checker(problems, tail.position)
  counts.lastLsn = tail.lsn
  try {
    const scanner = scannerOf(disk, superblock)
    for (let step: ScanStep | null = null; step?.kind !== 'end';) {
      step = await scanner.next()
      if (step.kind === 'end') {
        counts.end = step.cut
        counts.endsBecause = step.why
        if (step.cutLsn !== null) problems.push({ position: step.cut, what: `${step.why}: cut at the next opening` })
      } else if (step.kind === 'hole') {
        problems.push({
          position: step.position,
          what: `${step.why}: ${step.hole === null ? 'no entries' : `entries ${step.hole.firstLsn} to ${step.hole.lastLsn}`} lost`,
        })
        if (step.hole !== null) checker.incomplete()
      } else {
        if (step.kind === 'checkpoint') counts.checkpointCount++
        else counts.groupCount++
        await fills.note(step)
        counts.bytes += step.end - step.before.position
      }
      if (step.kind === 'data' || step.kind === 'end') {
        for (const item of step.items) {
          if (isEntry(item)) counts.entryCount++
          else
            problems.push({
              position: item.position,
              what: `entries ${item.firstLsn} to ${item.lastLsn} cannot be read`,
            })
          counts.lastLsn = isEntry(item) ? item.frame.lsn : item.lastLsn
        }
      }
      checker.note(step)
    }
    problems.push(...fills.problems(scanner.mark))
  } catch (error) {
    if (!(error instanceof LogError)) throw error
    problems.push({ position: null, what: `log ${formatId64(logId)}: ${error.message}` })
  }
  return { problems, ...counts }
}

/** Holds each checkpoint to what was seen since the one before. */
class Checker {
  #segment: SegmentBuilder
  /** The first segment may have begun below the tail. */
  #whole = false
  readonly #seen = new Map<LogPosition, number>()

  constructor(
    readonly problems: LogProblem[],
    tail: LogPosition,
  ) {
    this.#segment = new SegmentBuilder(tail)
  }

  incomplete(): void {
    this.#whole = false
  }

  note(step: ScanStep): void {
    if (step.kind === 'hole') return
    if (step.kind === 'checkpoint') {
      const { position } = step.before
      if (step.body === null) this.problems.push({ position, what: 'a checkpoint cannot be read' })
      else this.#compare(step.body, position)
      this.#seen.set(position, step.body?.entryCount ?? this.#segment.entryCount)
      this.#segment = new SegmentBuilder(step.end)
      this.#whole = true
      return
    }
    if (step.items.length > 0) this.#segment.noteGroup(step.before.position, step.before.lsn)
    for (const item of step.items) {
      if (isEntry(item)) this.#segment.noteFrame(item.frame)
      else this.#whole = false
    }
  }

  #compare(body: CheckpointBody, position: LogPosition): void {
    for (const { anchor, entryCount } of body.directory) {
      const known = this.#seen.get(anchor.position)
      if (known !== undefined && known !== entryCount)
        this.problems.push({
          position,
          what: `its directory counts ${entryCount} entries at ${anchor.position}, not ${known}`,
        })
    }
    if (!this.#whole) return
    const { start, entryCount, index } = this.#segment
    if (body.segmentStart !== start)
      this.problems.push({ position, what: `its segment begins at ${start}, not ${body.segmentStart}` })
    if (body.entryCount !== entryCount)
      this.problems.push({ position, what: `its segment has ${entryCount} entries, not ${body.entryCount}` })
    if (body.runs !== null && JSON.stringify(body.runs) !== JSON.stringify(this.#segment.runs())) {
      this.problems.push({ position, what: 'its region set is not what its entries touch' })
    }
    if (JSON.stringify(body.index) !== JSON.stringify(index))
      this.problems.push({ position, what: 'its index does not match its groups' })
  }
}

/**
 * Looks at what lies between a group and the next block. Nobody reads it; but where it was durable as zeros, something
 * else is rot. A power cut may tear it above the last durable mark, and leave the entries before it whole.
 */
class FillChecker {
  readonly #space: RingSpace
  /** Fills that are not zero, as [from, to). */
  readonly #found: (readonly [LogPosition, LogPosition])[] = []

  constructor(space: RingSpace) {
    this.#space = space
  }

  async note({ before, header, end }: Extract<ScanStep, { kind: 'data' | 'checkpoint' }>): Promise<void> {
    const from = before.position + GROUP_HEADER_BYTES + header.bodyBytes
    // A group that another life cut short is followed by that life.
    if (end <= from) return
    const fill = Buffer.allocUnsafe(end - from)
    await this.#space.read(fill, from)
    if (!isZero(fill)) this.#found.push([from, end])
  }

  problems(mark: LogPosition): LogProblem[] {
    return this.#found
      .filter(([, to]) => to <= mark)
      .map(([position]) => ({ position, what: 'the fill behind a group is not zero' }))
  }
}

function scannerOf(disk: Disk, superblock: Superblock): Scanner {
  const { startOffset, ringBytes, layout, tail, logId, rule, incarnations, durableEnd, durableLsn, cleanStop } =
    superblock
  return new Scanner({
    space: new RingSpace(disk, startOffset + RING_OFFSET_BYTES, layout),
    logId,
    rule,
    spans: spansOf(incarnations),
    from: tail,
    limit: tail.position + ringBytes,
    mark: Math.max(durableEnd, tail.position),
    markLsn: durableLsn,
    proofBytes: cleanStop ? 0 : geometryOf(ringBytes).unsyncedBytes,
  })
}
