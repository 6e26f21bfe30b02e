/**
 * What the tests read of `sitelink status --json` and `sitelink-agent status --json`: the keys that they rely on.
 *
 * The programs may answer more. Units are in the names, `null` means unknown or none, LSNs are whole numbers or decimal
 * strings. Everything that tests derive from a status is derived here, so that they do not each know its shape.
 */

export type Lsn = number | string

export interface PrimaryStatus {
  readonly group: { readonly uuid: string; readonly epoch: number; readonly state: string }
  readonly log: {
    readonly sizeBytes: number
    readonly usedBytes: number
    readonly freeBytes: number
    readonly lastLsn: Lsn
    readonly durableLsn: Lsn
  }
  readonly devices: readonly {
    readonly number: number
    readonly name: string
    readonly path: string
    readonly sizeBytes: number
  }[]
  readonly slinks: readonly SlinkStatus[]
}

export interface SlinkStatus {
  readonly number: number
  readonly state: string
  readonly connected: boolean
  /** Null for an asynchronous slink. */
  readonly protected: boolean | null
  readonly behind: boolean
  readonly lagWrites: number
  readonly lagBytes: number
  readonly dirtyRegions: number
  readonly totalRegions: number
  /** As the agent last said it; null while it is not connected. */
  /** Unknown without a session. */
  readonly appliedLsn: Lsn | null
  readonly agentConsistent: boolean | null
  readonly agentDirtyRegions: number | null
  /** Why there is no session, or null. */
  readonly problem: string | null
  /** Bytes sent as copies of regions since the daemon started. */
  readonly copiedBytesTotal: number
  /** How often a resync has begun, and how often the slink fell behind. */
  readonly resyncs: number
  readonly overflows: number
  readonly resync: ResyncStatus | null
}

export interface ResyncStatus {
  readonly running: boolean
  readonly copiedBytes: number
  readonly totalBytes: number
  readonly bytesPerSecond: number | null
  readonly etaSeconds: number | null
}

export interface AgentStatus {
  readonly replica: {
    /** No region is dirty, and it has applied up to the largest stamp of a copy. */
    readonly consistent: boolean
    readonly dirtyRegions: number
    readonly receivedLsn: Lsn
    readonly durableLsn: Lsn
    readonly appliedLsn: Lsn
    /** What it may apply up to: the primary's durable point as it was told. */
    readonly primaryDurableLsn: Lsn
    readonly stampLsn: Lsn
  } | null
  readonly journal: { readonly sizeBytes: number; readonly usedBytes: number }
  readonly devices: readonly { readonly name: string; readonly path: string; readonly sizeBytes: number }[]
  readonly session: { readonly connected: boolean }
}

export function slinkOf(status: PrimaryStatus, number: number): SlinkStatus {
  const slink = status.slinks.find((each) => each.number === number)
  if (slink === undefined) throw new Error(`status names no slink ${number}`)
  return slink
}

/** Everything that was written is durable at that site, nothing is dirty at either side, and its copy is consistent. */
export function isInStep(slink: SlinkStatus): boolean {
  return (
    slink.state === 'live' &&
    slink.lagWrites === 0 &&
    slink.lagBytes === 0 &&
    slink.dirtyRegions === 0 &&
    slink.agentDirtyRegions === 0 &&
    slink.agentConsistent === true
  )
}

/** The agent has applied all that it may. */
export function isApplied(status: AgentStatus): boolean {
  const { replica, session } = status
  if (replica === null) return true
  // A copy waits for a stamp that only the primary can tell, and entries behind it with it.
  const waits = !replica.consistent && Number(replica.stampLsn) > Number(replica.primaryDurableLsn)
  if (waits && !session.connected) return true
  const reach = Math.min(Number(replica.durableLsn), Number(replica.primaryDurableLsn))
  return Number(replica.appliedLsn) >= reach
}
