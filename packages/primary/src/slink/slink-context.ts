/**
 * What a slink needs of its group, and tells it. The group is the only implementation outside tests.
 */
import type { Clock, LogPoint, LogPosition, Lsn, Random, Transport } from '@sitelink/protocol'
import type { RingLog } from '@sitelink/storage'
import type { EventSink } from '../group/events.js'
import type { LagLedger } from '../group/lag-ledger.js'
import type { PeerRecord } from './peers.js'
import type { Slink } from './slink.js'

export interface SlinkContext {
  readonly clock: Clock
  readonly random: Random
  readonly log: RingLog
  readonly ledger: LagLedger
  readonly event: EventSink
  readonly group: string
  epoch(): number
  /** What reaches the agent of this slink by this scheme; null where nothing does. */
  transport(scheme: string, slink: number): Transport | null
  /** Reads a range of a local device through the overlay, planned in this turn. */
  read(deviceId: number, offset: number, length: number): Promise<readonly Buffer[]>
  /** The same into a buffer of the caller. */
  readInto(deviceId: number, offset: number, into: Buffer): Promise<void>
  /** The last entry given an LSN. */
  appended(): LogPoint
  /** The last entry that is in the log file and in the overlay, and the position behind it. */
  written(): { readonly point: LogPoint; readonly position: LogPosition }
  durable(): LogPoint
  /** The oldest LSN that a writer waits for at this site, or Infinity. */
  oldestHeld(slink: Slink): Lsn
  /** The newest LSN that somebody wants on this site's stable storage now, or 0. */
  durableWanted(slink: Slink): Lsn
  /** Writers wait for what this site may do only once it knows what is durable here. */
  tellAtOnce(slink: Slink): boolean
  /** Fails the writers that wait for this site. */
  failHeld(slink: Slink): void
  /** Marks in the slink's dirty logs what the log holds from `position` to its present end. */
  markRange(slink: Slink, position: LogPosition): Promise<void>
  /** What was recorded of the agent behind this slink, and how to record it (durably). */
  peer(slink: number): PeerRecord | null
  recordPeer(slink: number, record: PeerRecord): Promise<void>

  /** Acknowledgements moved: answers may go out. */
  marksMoved(): void
  /** `holding` of a slink changed. */
  holdingChanged(): void
  /** Standing or mappings changed: which slinks are to be marked at append. */
  standingChanged(): void
  /** A pin moved: log space may be free. */
  tailMayMove(): void
  /** A record changed in a way that a restart should know soon. */
  superblockWanted(): void
}
