/**
 * Makes a new, empty log.
 *
 * Owns the order: first nothing of an older log is left that could be believed, then the ring is written once, so that no
 * later write needs space, and only then a superblock says that there is a log. Until that last sync has returned there
 * is none; a crash on the way leaves a disk that `auto` fills again, or refuses, but never half a log.
 */
import { type Clock, type Id64, type Random } from '@sitelink/protocol/entry'
import type { Disk } from '../disk/disk.js'
import { ANCHOR_ORIGIN } from './anchor.js'
import type { LsnRule } from './contract.js'
import { fillStep, fillStepEnd } from './fill.js'
import { plainLayout } from './layout.js'
import { RING_OFFSET_BYTES, SUPERBLOCK_SLOT_BYTES } from './limits.js'
import { encodeSuperblock, type Superblock } from './superblock.js'

export interface CreateOptions {
  readonly disk: Disk
  readonly startOffset: number
  readonly ringBytes: number
  readonly rule: LsnRule
  readonly owner: Buffer
  readonly clock: Clock
  readonly random: Random
  /** Do not write the ring: ENOSPC may then come at any append, and fails the log. */
  readonly sparse: boolean
  readonly progress: (bytesDone: number, bytesTotal: number) => void
}

/** Writes an empty log with its first life; durable on return. Rejects as the disk does. */
export async function createLog(options: CreateOptions): Promise<Superblock> {
  const { disk, startOffset, ringBytes, clock, random } = options
  await disk.write([Buffer.alloc(2 * SUPERBLOCK_SLOT_BYTES)], startOffset)
  await disk.sync()
  if (!options.sparse) await fill(options)
  const id = randomId(random)
  const wallUs = clock.wallUs()
  const superblock: Superblock = {
    sequence: 1,
    logId: randomId(random),
    startOffset,
    ringBytes,
    layout: plainLayout(ringBytes),
    rule: options.rule,
    cleanStop: false,
    tail: { ...ANCHOR_ORIGIN, groupCrc: id.low },
    checkpoint: null,
    durableEnd: 0,
    durableLsn: 0,
    wallUs,
    createdUs: wallUs,
    incarnations: [{ number: 1, id, firstLsn: 1, firstPosition: 0, previousEnd: 0 }],
    owner: options.owner,
  }
  const bytes = encodeSuperblock(superblock)
  await disk.write([bytes], startOffset)
  await disk.sync()
  await disk.write([bytes], startOffset + SUPERBLOCK_SLOT_BYTES)
  await disk.sync()
  return superblock
}

async function fill({ disk, startOffset, ringBytes, progress }: CreateOptions): Promise<void> {
  const start = startOffset + RING_OFFSET_BYTES
  for (let done = 0; done < ringBytes;) {
    const end = fillStepEnd(done, ringBytes)
    await fillStep(disk, start + done, start + end)
    done = end
    progress(done, ringBytes)
  }
  await disk.sync()
}

/** A random identity that is not zero. */
export function randomId(random: Random): Id64 {
  const bytes = random.bytes(8)
  const low = bytes.readUInt32LE(0)
  return { high: bytes.readUInt32LE(4), low: low === 0 ? 1 : low }
}
