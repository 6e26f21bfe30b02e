/**
 * What work on a log as a whole is given of it: a cut (truncate.ts) and a resize (resize.ts).
 *
 * Owns nothing. Both end in one superblock that is written while nothing else is, and take effect once it is durable.
 */
import type { AppendOrder } from './append-order.js'
import type { Viewed } from './log-view.js'
import type { SuperblockStore } from './superblock-store.js'
import type { Superblock } from './superblock.js'
import type { SyncSchedule } from './sync-schedule.js'

export interface LogParts extends Viewed {
  readonly store: SuperblockStore
  readonly sync: SyncSchedule
  readonly order: AppendOrder
  isOpen(): boolean
  /** What a superblock would say now, with the tail where it stands. */
  superblockNow(): Superblock
  /** It is durable: the log is what it says. */
  adopt(superblock: Superblock): void
  /** A write or a sync failed: the log takes no more appends. */
  fail(error: unknown): void
}
