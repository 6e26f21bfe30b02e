/**
 * How a simulated disk is set up, and what it counts.
 */
import type { Clock } from '@sitelink/protocol/entry'
import type { Prng } from './prng.js'

/** A range of milliseconds to draw from, for each kind of operation. */
export interface DiskLatency {
  readonly readMs?: readonly [number, number]
  readonly writeMs?: readonly [number, number]
  readonly syncMs?: readonly [number, number]
}

export interface FaultDiskOptions {
  readonly sizeBytes: number
  /** Default: a generator with a fixed seed. */
  readonly prng?: Prng
  /** Needed for latency and delays; without one every operation ends within promise jobs. */
  readonly clock?: Clock
  readonly latency?: DiskLatency
  readonly sectorBytes?: 512 | 4096
  readonly description?: string
  /** False: as a device that gives nothing back and cannot tell holes (`extents` answers null). Default true. */
  readonly sparse?: boolean
  readonly readOnly?: boolean
  /** Asked before a write takes this many more bytes; false is ENOSPC. */
  readonly takeSpace?: (bytes: number) => boolean
}

/** Counts since the medium was made, over all its lives. */
export interface DiskCounts {
  reads: number
  writes: number
  syncs: number
  discards: number
  readBytes: number
  writtenBytes: number
  failures: number
}
