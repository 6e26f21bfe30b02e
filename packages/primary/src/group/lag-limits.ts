/**
 * How far the local devices may lag behind the log, by the size of its ring. Pure.
 */
import type { WriteBackLimits } from '@sitelink/storage'

/** Share of the ring that write-back may lag, so that a restart redoes a bounded part. */
const LAG_SHARE = 0.5
const LAG_BYTES_MAX = 256 * 1024 * 1024

export function lagLimits(ringBytes: number): Pick<WriteBackLimits, 'lagBytesMax' | 'syncBytes'> {
  const lagBytesMax = Math.min(LAG_BYTES_MAX, Math.floor(ringBytes * LAG_SHARE))
  return { lagBytesMax, syncBytes: Math.min(128 * 1024 * 1024, Math.ceil(lagBytesMax / 4)) }
}
