/**
 * What a negotiation has settled, and what an export lets its clients do.
 *
 * Pure. A session never changes after the negotiation.
 */
import { assert } from './assert.js'
import { MINIMUM_BLOCK_BYTES_MAX, TransmissionFlag } from './constants.js'
import type { NbdExport } from './export.js'

export interface Session {
  readonly export: NbdExport
  /** Structured replies were negotiated. */
  readonly structured: boolean
  /** base:allocation was selected for this export, so that BLOCK_STATUS may be asked. */
  readonly allocationContext: boolean
}

/** The transmission flags of an export. */
export function transmissionFlags(target: NbdExport, structured: boolean): number {
  let flags = TransmissionFlag.HAS_FLAGS | TransmissionFlag.SEND_FLUSH | TransmissionFlag.SEND_FUA
  flags |= TransmissionFlag.SEND_CACHE
  if (structured) flags |= TransmissionFlag.SEND_DF
  if (target.canMultiConnection) flags |= TransmissionFlag.CAN_MULTI_CONN
  if (target.readOnly) return flags | TransmissionFlag.READ_ONLY
  if (target.canTrim) flags |= TransmissionFlag.SEND_TRIM
  if (target.canWriteZeroes) flags |= TransmissionFlag.SEND_WRITE_ZEROES | TransmissionFlag.SEND_FAST_ZERO
  return flags
}

/** Asserts what the protocol demands of an export's numbers. */
export function assertExport(target: NbdExport): void {
  const { minimumBlockBytes: minimum, preferredBlockBytes: preferred } = target
  assert(Number.isSafeInteger(target.sizeBytes) && target.sizeBytes >= 0, 'the size of an export is a safe integer')
  assert(isPowerOfTwo(minimum) && minimum <= MINIMUM_BLOCK_BYTES_MAX, 'a minimum block is a power of two up to 64 KiB')
  assert(isPowerOfTwo(preferred) && preferred <= 2 ** 31, 'a preferred block is a power of two up to 2 GiB')
  assert(preferred >= Math.max(512, minimum), 'a preferred block is at least 512 bytes and the minimum block')
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && Number.isInteger(Math.log2(value))
}
