/**
 * Brings an existing log back to life.
 *
 * Owns the three steps of an opening and their order: the log is scanned and its end found; what was recovered above the
 * last durable mark, and the superblock that was believed, are written again and synced (a page that a failed sync gave
 * up may look well and be gone after the next power cut); a new life is made durable that begins behind the cut, so that
 * nothing behind it can come back. Only then anything is reported. A crash in between changes nothing: the next opening finds the same end.
 */
import { assert, type Clock, type LogPosition, type Lsn, type Random } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { anchorBehind, type Anchor } from './anchor.js'
import type { CheckpointRef } from './checkpoint.js'
import { readDirectory } from './checkpoint-io.js'
import type { Incarnation, LogHole, RecoveryReport } from './contract.js'
import { randomId } from './create.js'
import { isEntry } from './cursor.js'
import { alignUp, geometryOf } from './geometry.js'
import { GROUP_HEADER_BYTES } from './group.js'
import { BLOCK_BYTES, CHUNK_BYTES, RING_OFFSET_BYTES, SUPERBLOCK_SLOT_BYTES } from './limits.js'
import { LogError } from './log-error.js'
import { pruneIncarnations, spansOf } from './lives.js'
import { RingSpace } from './ring-space.js'
import { Scanner, type ScanStep } from './scan.js'
import { SegmentBuilder, Segments } from './segments.js'
import { SuperblockStore } from './superblock-store.js'
import { encodeSuperblock, type Superblock } from './superblock.js'

export interface ReopenOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly random: Random
  /** Position from which every payload is checked, from what the owner stored; null: where recovery must begin anyway. */
  readonly payloadCheckFrom: (owner: Buffer) => LogPosition | null
  /** The owner's part for the superblock of the new life. */
  readonly reviseOwnerState: (owner: Buffer, incarnations: readonly Incarnation[]) => Buffer
}

/** A log that can be appended to. */
export interface LiveLog {
  readonly space: RingSpace
  readonly store: SuperblockStore
  /** As it is in both slots. */
  readonly superblock: Superblock
  readonly segments: Segments
  /** Places for the tail, ascending, above it. */
  readonly marks: readonly Anchor[]
  /** Where the next group goes. */
  readonly head: Anchor
  readonly report: RecoveryReport
}

/** What a scan to the end found. */
export interface Found {
  readonly segments: Segments
  readonly marks: Anchor[]
  readonly holes: LogHole[]
  /** Behind the last thing that counts; its position is the cut, any byte. */
  readonly end: Anchor
  readonly cutLsn: Lsn | null
  readonly cutBytes: number
  readonly mark: LogPosition
  /** What lies between a group and the next block, of the groups that no durable mark covered yet: a cut tears it too. */
  readonly fills: readonly Fill[]
  readonly bytesScanned: number
}

interface Fill {
  readonly from: LogPosition
  readonly to: LogPosition
}

/** Opens the log whose newest superblock is `superblock`, in slot `newest`. Rejects with a LogError; see log-error.ts. */
export async function reopenLog(options: ReopenOptions, superblock: Superblock, newest: 0 | 1): Promise<LiveLog> {
  const { disk } = options
  const space = new RingSpace(disk, superblock.startOffset + RING_OFFSET_BYTES, superblock.layout)
  const found = await findEnd(space, superblock, options.payloadCheckFrom(superblock.owner))
  const store = new SuperblockStore(disk, superblock.startOffset, newest)
  const live = newLife(options, superblock, found.end)
  try {
    // The newest superblock may be a write that never became durable; it must be, before the other slot is touched.
    await disk.write([encodeSuperblock(superblock)], superblock.startOffset + newest * SUPERBLOCK_SLOT_BYTES)
    await rewriteTail(space, found)
    await disk.sync()
    await store.write(live.superblock)
    await disk.sync()
    await store.copy()
    await disk.sync()
  } catch (error) {
    throw new LogError(
      'LOG_WRITE_FAILED',
      `the log on ${disk.description} could not be recovered: ${(error as Error).message}`,
      {},
      { cause: error },
    )
  }
  return { space, store, ...live, segments: found.segments, marks: found.marks, report: reportOf(superblock, found) }
}

/** Scans to the end of the log without changing anything. */
export async function findEnd(space: RingSpace, superblock: Superblock, checkFrom: LogPosition | null): Promise<Found> {
  const { tail, checkpoint, logId } = superblock
  const older = checkpoint === null ? [] : await readDirectory(space, logId, checkpoint.position, tail.position)
  // A checkpoint that cannot be read costs a longer scan, nothing else.
  const known: CheckpointRef[] =
    checkpoint === null || older === null ? [] : [...older, { anchor: checkpoint, entryCount: 0 }]
  const wanted = checkFrom ?? Number.POSITIVE_INFINITY
  const start = known.findLast(({ anchor }) => anchor.position <= wanted)?.anchor ?? tail
  const before = known.filter(({ anchor }) => anchor.position < start.position)
  return scanAll(space, superblock, start, before)
}

/** Scans from `start`; `before` are the checkpoints below it. `stopAt`: the log ends there. */
export async function scanAll(
  space: RingSpace,
  superblock: Superblock,
  start: Anchor,
  before: readonly CheckpointRef[],
  stopAt?: LogPosition,
): Promise<Found> {
  const { tail, logId, rule, ringBytes, durableEnd, durableLsn, cleanStop } = superblock
  const segments = new Segments(before, new SegmentBuilder(start.position))
  const marks = before.map(({ anchor }) => anchor)
  const holes: LogHole[] = []
  let fills: Fill[] = []
  let mark = 0
  const scanner = new Scanner({
    space,
    logId,
    rule,
    spans: spansOf(superblock.incarnations),
    from: start,
    limit: tail.position + ringBytes,
    mark: Math.max(durableEnd, tail.position),
    markLsn: durableLsn,
    proofBytes: cleanStop || stopAt !== undefined ? 0 : geometryOf(ringBytes).unsyncedBytes,
    views: 'lent',
    ...(stopAt === undefined ? {} : { stopAt }),
  })
  for (;;) {
    const step = await nextStep(scanner)
    noteStep(step, segments, marks, holes)
    if (step.kind !== 'end') {
      if (step.kind !== 'hole' && step.end > scanner.mark)
        fills.push({ from: step.before.position + GROUP_HEADER_BYTES + step.header.bodyBytes, to: step.end })
      // The mark follows within what may be unsynced, so few are ever kept.
      if (scanner.mark > mark) fills = fills.filter(({ to }) => to > scanner.mark)
      mark = scanner.mark
      continue
    }
    const end = { ...scanner.anchor(), position: step.cut }
    const cutBytes = Math.max(0, scanner.foundEnd - step.cut)
    return {
      segments,
      marks,
      holes,
      end,
      cutLsn: cutBytes > 0 ? step.cutLsn : null,
      cutBytes,
      mark: scanner.mark,
      fills: fills.filter(({ from, to }) => from < to),
      bytesScanned: scanner.bytesRead,
    }
  }
}

async function nextStep(scanner: Scanner): Promise<ScanStep> {
  try {
    return await scanner.next()
  } catch (error) {
    if (error instanceof LogError) throw error
    throw new LogError('LOG_READ_FAILED', `the log cannot be read: ${(error as Error).message}`, {}, { cause: error })
  }
}

function noteStep(step: ScanStep, segments: Segments, marks: Anchor[], holes: LogHole[]): void {
  if (step.kind === 'hole') {
    if (step.hole === null) return
    holes.push(step.hole)
    segments.current.noteHole(step.hole)
    return
  }
  if (step.kind === 'checkpoint') {
    const entryCount = step.body?.entryCount ?? segments.current.entryCount
    segments.close({ anchor: step.before, entryCount }, step.end)
    marks.push(step.before)
    return
  }
  if (step.items.length === 0) return
  marks.push(step.before)
  segments.current.noteGroup(step.before.position, step.before.lsn)
  for (const item of step.items) {
    if (isEntry(item)) segments.current.noteFrame(item.frame)
    else {
      holes.push(item)
      segments.current.noteHole(item)
    }
  }
}

/** The table with one more life, which begins behind `end`, and where its first group goes. */
export function newLife(
  options: Pick<ReopenOptions, 'clock' | 'random' | 'reviseOwnerState'>,
  superblock: Superblock,
  end: Anchor,
): { readonly superblock: Superblock; readonly head: Anchor } {
  const id = randomId(options.random)
  const number = (superblock.incarnations.at(-1) as Incarnation).number + 1
  const firstPosition = alignUp(end.position)
  const life: Incarnation = { number, id, firstLsn: end.lsn + 1, firstPosition, previousEnd: end.position }
  const incarnations = pruneIncarnations([...superblock.incarnations, life], superblock.tail.position)
  if (incarnations === null) {
    const facts = { incarnation: number, kept: superblock.incarnations.length }
    throw new LogError(
      'LOG_TOO_MANY_LIVES',
      `the log was opened ${superblock.incarnations.length} times since its oldest entry was written`,
      facts,
    )
  }
  const checkpoint =
    superblock.checkpoint !== null && superblock.checkpoint.position < end.position ? superblock.checkpoint : null
  const head = anchorBehind(end, firstPosition, id.low)
  return {
    head,
    superblock: {
      ...superblock,
      sequence: superblock.sequence + 1,
      cleanStop: false,
      checkpoint,
      durableEnd: firstPosition,
      durableLsn: end.lsn,
      wallUs: options.clock.wallUs(),
      incarnations,
      owner: options.reviseOwnerState(superblock.owner, incarnations),
    },
  }
}

/** Writes [mark, cut) again as it is, and zeros behind each group to the next block. */
async function rewriteTail(space: RingSpace, { mark, end: { position: cut }, fills }: Found): Promise<void> {
  // One piece of memory for all of it: to touch new memory for the first time costs more than to read into it.
  const room = Buffer.allocUnsafeSlow(Math.max(0, Math.min(alignUp(cut) - mark, CHUNK_BYTES + BLOCK_BYTES)))
  for (let at = mark; at < cut;) {
    const length = Math.min(cut - at, CHUNK_BYTES)
    const bytes = room.subarray(0, alignUp(at + length) - at).fill(0, length)
    await space.read(bytes.subarray(0, length), at)
    for (const { from, to } of fills)
      if (from < at + length && to > at) bytes.fill(0, Math.max(0, from - at), Math.min(length, to - at))
    await space.write([bytes], bytes.length, at)
    at += length
  }
}

function reportOf(superblock: Superblock, found: Found): RecoveryReport {
  const { cleanStop, tail, rule } = superblock
  const { holes, end, segments } = found
  const lost = holes.reduce((sum, { firstLsn, lastLsn }) => sum + lastLsn - firstLsn + 1, 0)
  const counted = segments.checkpoints.reduce((sum, { entryCount }) => sum + entryCount, segments.current.entryCount)
  const entriesFound = rule === 'dense' ? end.lsn - tail.lsn - lost : counted
  assert(entriesFound >= 0, 'entries are counted from the tail')
  return {
    created: false,
    cleanStop,
    entriesFound,
    bytesScanned: found.bytesScanned,
    cutBytes: found.cutBytes,
    cutLsn: found.cutLsn,
    holes,
  }
}
