/**
 * Opens or creates a log, and refuses where either could destroy something.
 *
 * Owns what the modes mean. `open` uses a log that is there. `create` makes a new one, over a log that still holds entries,
 * or over anything else that is not blank, only with `discardEntries`. `auto` opens what is there and creates only on a
 * blank disk: no superblock, and nothing of ours in the ring either. Whatever is refused is left as it was, byte by byte.
 */
import { type Clock, type LogPosition, type Random } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import type { Incarnation, LsnRule, RecoveryReport, RingLog, RingLogListener } from './contract.js'
import { createLog } from './create.js'
import { ringBytesOf } from './geometry.js'
import { GROUP_MAGIC } from './group.js'
import { BLOCK_BYTES, CHUNK_BYTES, LOG_BYTES_MIN, RING_OFFSET_BYTES, SAMPLE_BYTES, SAMPLES_MAX } from './limits.js'
import { LogError, type LogErrorCode, type LogFacts } from './log-error.js'
import { RingSpace } from './ring-space.js'
import { findEnd, reopenLog } from './reopen.js'
import { OpenRingLog } from './ring-log.js'
import { readSlots } from './superblock-store.js'
import { SUPERBLOCK_VERSION } from './format-version.js'
import { chooseSlot, type SlotContent, type Superblock } from './superblock.js'

export interface OpenLogOptions {
  /** An open disk. The log owns it once it is open, and closes it; if opening fails it stays with the caller. */
  readonly disk: Disk
  readonly mode: 'auto' | 'open' | 'create'
  readonly rule: LsnRule
  readonly listener: RingLogListener
  readonly clock: Clock
  readonly random: Random
  /** Where the log begins on the disk, in bytes, a multiple of 4096. Default 0. */
  readonly startOffset?: number
  /** Bytes of a new log with its superblocks, at least {@link LOG_BYTES_MIN}. Default: up to the end of the disk. */
  readonly sizeBytes?: number
  /** New log: do not write the ring once. ENOSPC can then come at any append, and fails the log. Default false. */
  readonly sparse?: boolean
  /** `create`: also over a log that holds entries, or over bytes that are not ours. Default false. */
  readonly discardEntries?: boolean
  /** Called while the ring of a new log is written. */
  readonly progress?: (bytesDone: number, bytesTotal: number) => void
  /** Milliseconds after which unsynced bytes are synced. Default 100. */
  readonly syncDelayMs?: number
  /** Bytes of entries that are kept in memory for cursors. Default 32 MiB. */
  readonly recentBytesMax?: number
  /** How many of them at most. Default: no bound of its own. */
  readonly recentEntriesMax?: number
  /** Each entry is read once, by one cursor: what that has taken is not kept for others. Default false. */
  readonly readOnce?: boolean
  /** From what the owner stored: the position from which every payload is checked now. Default: none. */
  readonly payloadCheckFrom?: (ownerState: Buffer) => LogPosition | null
  /** The owner's part for the superblock that begins the new life, from what it stored. Default: the same. */
  readonly reviseOwnerState?: (ownerState: Buffer, incarnations: readonly Incarnation[]) => Buffer
}

export interface OpenedLog {
  readonly log: RingLog
  readonly report: RecoveryReport
}

/** What lies where a log should begin. */
type Content =
  | { readonly kind: 'log'; readonly superblock: Superblock; readonly slot: 0 | 1 }
  | { readonly kind: 'blank' }
  | { readonly kind: 'refused'; readonly error: LogError }

/**
 * Opens or creates a log. On return it is recovered, its new life is durable, and nothing of it is under way. Rejects
 * with a {@link LogError}.
 */
export async function openRingLog(options: OpenLogOptions): Promise<OpenedLog> {
  const { disk, startOffset = 0 } = options
  const content = await examine(disk, startOffset, options.mode === 'create' ? options.sizeBytes : undefined)
  if (options.mode === 'create' && options.discardEntries !== true) await refuseToDiscard(disk, content)
  if (options.mode === 'create' || (options.mode === 'auto' && content.kind === 'blank')) {
    const superblock = await create(options)
    return live(options, superblock, 0, true)
  }
  if (content.kind === 'refused') throw content.error
  if (content.kind === 'blank') throw refusal('LOG_MISSING', disk, startOffset, 'there is no log')
  if (content.superblock.rule !== options.rule) {
    throw refusal(
      'LOG_OTHER_KIND',
      disk,
      startOffset,
      `the log there is a ${content.superblock.rule === 'dense' ? 'replog' : 'journal'}`,
    )
  }
  return live(options, content.superblock, content.slot, false)
}

async function live(
  options: OpenLogOptions,
  superblock: Superblock,
  slot: 0 | 1,
  created: boolean,
): Promise<OpenedLog> {
  const { disk, clock, random, payloadCheckFrom = () => null, reviseOwnerState = (found) => found } = options
  const found = await reopenLog({ disk, clock, random, payloadCheckFrom, reviseOwnerState }, superblock, slot)
  const report = { ...found.report, created }
  return { log: new OpenRingLog(options, found, created ? Buffer.alloc(0) : superblock.owner), report }
}

async function create(options: OpenLogOptions): Promise<Superblock> {
  const { disk, startOffset = 0, rule, clock, random, listener } = options
  const sizeBytes = options.sizeBytes ?? disk.sizeBytes - startOffset
  const facts = { startOffset, sizeBytes, diskBytes: disk.sizeBytes }
  if (startOffset % BLOCK_BYTES !== 0)
    throw refusal('LOG_TOO_SMALL', disk, startOffset, `a log begins on a multiple of ${BLOCK_BYTES} bytes`, facts)
  if (sizeBytes < LOG_BYTES_MIN)
    throw refusal(
      'LOG_TOO_SMALL',
      disk,
      startOffset,
      `a log has at least ${LOG_BYTES_MIN} bytes, not ${sizeBytes}`,
      facts,
    )
  if (startOffset + sizeBytes > disk.sizeBytes) {
    throw refusal(
      'LOG_BEYOND_DISK',
      disk,
      startOffset,
      `a log of ${sizeBytes} bytes does not fit: the disk has ${disk.sizeBytes}`,
      facts,
    )
  }
  const { sparse = false, progress = () => undefined } = options
  try {
    const owner = listener.ownerState()
    return await createLog({
      disk,
      startOffset,
      ringBytes: ringBytesOf(sizeBytes),
      rule,
      owner,
      clock,
      random,
      sparse,
      progress,
    })
  } catch (error) {
    if (error instanceof LogError || !isDiskFailure(error)) throw error
    throw refusal(
      'LOG_WRITE_FAILED',
      disk,
      startOffset,
      `the log could not be created: ${(error as Error).message}`,
      facts,
      error,
    )
  }
}

/** A failed assertion is a bug and passes; everything else that a disk throws is its failure. */
function isDiskFailure(error: unknown): boolean {
  return !(error instanceof Error && error.name === 'AssertionFailure')
}

/** Looks, without changing anything. Rejects with LOG_READ_FAILED if it cannot look. */
async function examine(disk: Disk, startOffset: number, sizeBytes: number | undefined): Promise<Content> {
  if (disk.sizeBytes < startOffset + LOG_BYTES_MIN) {
    const error = refusal(
      'LOG_TOO_SMALL',
      disk,
      startOffset,
      `it has ${disk.sizeBytes} bytes; a log needs ${LOG_BYTES_MIN}`,
      { diskBytes: disk.sizeBytes },
    )
    throw error
  }
  try {
    const slots = await readSlots(disk, startOffset)
    const chosen = chooseSlot(slots)
    if (chosen === null) return await withoutSuperblock(disk, startOffset, slots, sizeBytes)
    const { superblock } = slots[chosen] as Extract<SlotContent, { kind: 'valid' }>
    const newer = slots.find((slot) => slot.kind === 'newer')
    if (newer?.kind === 'newer' && newer.sequence > superblock.sequence)
      return refused(newerVersion(disk, startOffset, newer.version))
    const problem = placeProblem(disk, startOffset, superblock)
    return problem === null ? { kind: 'log', superblock, slot: chosen } : refused(problem)
  } catch (error) {
    if (error instanceof LogError || !isDiskFailure(error)) throw error
    throw refusal('LOG_READ_FAILED', disk, startOffset, `it cannot be read: ${(error as Error).message}`, {}, error)
  }
}

async function withoutSuperblock(
  disk: Disk,
  startOffset: number,
  slots: readonly SlotContent[],
  sizeBytes: number | undefined,
): Promise<Content> {
  for (const slot of slots) if (slot.kind === 'unreadable') throw slot.error
  for (const slot of slots) if (slot.kind === 'newer') return refused(newerVersion(disk, startOffset, slot.version))
  for (const slot of slots) {
    if (slot.kind === 'other-handler') {
      return refused(
        refusal(
          'LOG_FOREIGN',
          disk,
          startOffset,
          `the log there is handled by "${slot.handler}", not by "ringbuffer"`,
          { handler: slot.handler },
        ),
      )
    }
  }
  const damaged = slots.find((slot) => slot.kind === 'damaged')
  if (damaged?.kind === 'damaged')
    return refused(
      refusal('LOG_DAMAGED', disk, startOffset, `no superblock can be read (${damaged.why})`, { why: damaged.why }),
    )
  if (slots.some((slot) => slot.kind === 'foreign'))
    return refused(refusal('LOG_FOREIGN', disk, startOffset, 'something else lies there'))
  if (await ringHasGroups(disk, startOffset, sizeBytes)) {
    return refused(
      refusal('LOG_DAMAGED', disk, startOffset, 'both superblocks are blank, but parts of a log lie behind them'),
    )
  }
  return { kind: 'blank' }
}

/** Looks for group headers of any log, in a small ring everywhere, in a large one in samples. */
async function ringHasGroups(disk: Disk, startOffset: number, sizeBytes: number | undefined): Promise<boolean> {
  const from = startOffset + RING_OFFSET_BYTES
  const end = Math.min(disk.sizeBytes, sizeBytes === undefined ? disk.sizeBytes : startOffset + sizeBytes)
  const samples = Math.min(SAMPLES_MAX, Math.ceil((end - from) / SAMPLE_BYTES))
  const step = Math.floor((end - from) / samples / BLOCK_BYTES) * BLOCK_BYTES
  const sampleBytes = samples < SAMPLES_MAX ? Math.min(Math.max(step, SAMPLE_BYTES), CHUNK_BYTES) : SAMPLE_BYTES
  const buffer = Buffer.allocUnsafe(sampleBytes)
  for (let sample = 0; sample < samples; sample++) {
    const at = from + sample * step
    const bytes = buffer.subarray(0, Math.min(end - at, sampleBytes))
    await disk.read(bytes, at)
    for (let block = 0; block + 4 <= bytes.length; block += BLOCK_BYTES)
      if (bytes.readUInt32LE(block) === GROUP_MAGIC) return true
  }
  return false
}

function placeProblem(disk: Disk, startOffset: number, superblock: Superblock): LogError | null {
  const { ringBytes } = superblock
  const facts = { startOffset, recordedStartOffset: superblock.startOffset, ringBytes, diskBytes: disk.sizeBytes }
  if (superblock.startOffset !== startOffset)
    return refusal(
      'LOG_DAMAGED',
      disk,
      startOffset,
      `the log there says that it begins at ${superblock.startOffset}`,
      facts,
    )
  if (ringBytes <= 0 || ringBytes % BLOCK_BYTES !== 0)
    return refusal('LOG_DAMAGED', disk, startOffset, `a ring of ${ringBytes} bytes cannot be`, facts)
  if (startOffset + RING_OFFSET_BYTES + ringBytes > disk.sizeBytes) {
    return refusal(
      'LOG_BEYOND_DISK',
      disk,
      startOffset,
      `the log needs ${startOffset + RING_OFFSET_BYTES + ringBytes} bytes; the disk has ${disk.sizeBytes}`,
      facts,
    )
  }
  return null
}

async function refuseToDiscard(disk: Disk, content: Content): Promise<void> {
  if (content.kind === 'blank') return
  if (content.kind === 'refused') throw content.error
  const { superblock } = content
  const { startOffset, tail } = superblock
  const space = new RingSpace(disk, startOffset + RING_OFFSET_BYTES, superblock.layout)
  const found = await findEnd(space, superblock, null)
  const entries = found.end.lsn - tail.lsn
  if (found.end.entriesEnd <= tail.entriesEnd && found.holes.length === 0) return
  throw refusal('LOG_HOLDS_ENTRIES', disk, startOffset, `the log there still holds ${entries} entries`, {
    entries,
    firstLsn: tail.lsn + 1,
    lastLsn: found.end.lsn,
  })
}

function newerVersion(disk: Disk, startOffset: number, version: number): LogError {
  return refusal(
    'LOG_NEWER',
    disk,
    startOffset,
    `the log there has format ${version}; this program knows up to ${SUPERBLOCK_VERSION}`,
    { found: version, known: SUPERBLOCK_VERSION },
  )
}

function refused(error: LogError): Content {
  return { kind: 'refused', error }
}

function refusal(
  code: LogErrorCode,
  disk: Disk,
  startOffset: number,
  what: string,
  facts: LogFacts = {},
  cause?: unknown,
): LogError {
  return new LogError(
    code,
    `${disk.description} at ${startOffset}: ${what}`,
    { startOffset, ...facts },
    cause === undefined ? undefined : { cause },
  )
}
