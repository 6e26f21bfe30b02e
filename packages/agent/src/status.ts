/**
 * What the agent says of itself: the shape of `sitelink-agent status --json`, and where its values come from.
 *
 * Pure reading. Keys are stable, units stand in the names, `null` is unknown; docs/reference/agent-status.md explains each.
 */
import type { ExportReport } from './export/export-set.js'
import type { ReplicaMapping } from './replica/replica-state.js'
import type { Replica } from './replica/replica.js'
import type { SessionSet } from './session/session-set.js'

export interface MappingStatus {
  readonly deviceId: number
  readonly mappingId: string
  readonly number: number
  readonly name: string
  readonly device: string
  readonly sizeBytes: number
  readonly regionBytes: number
  readonly regionsTotal: number
  /** Null while its dirty log is not open. */
  readonly regionsDirty: number | null
  /** Why its device cannot be used, or null. */
  readonly problem: string | null
  /** Its unmap is received and not applied: what the stream brought behind that is not for this device any more. */
  readonly unmapping: boolean
}

/** What the devices here are a copy of, and how far. LSNs are null while the journal is not open. */
export interface ReplicaStatus {
  readonly group: string
  readonly slink: number | null
  readonly epoch: number
  /** Log whose history this is; null before the first resume and after a journal was given up. */
  readonly logId: string | null
  readonly consistent: boolean
  /** Why it is not consistent, as a sentence; null if it is. */
  readonly inconsistency: string | null
  readonly dirtyRegions: number
  readonly totalRegions: number
  /** Incarnation of the last entry that was received. */
  readonly incarnation: number | null
  readonly receivedLsn: number | null
  readonly durableLsn: number | null
  readonly appliedLsn: number | null
  readonly primaryDurableLsn: number | null
  /** Largest stamp of a copy that a resync brought; consistent only from there on. */
  readonly stampLsn: number | null
  /** What is received and not on the devices. */
  readonly lagEntries: number | null
  readonly lagBytes: number | null
  /** Since the oldest of it was given to the devices; null if nothing is under way. */
  readonly lagAgeMs: number | null
}

export interface AgentStatus {
  readonly agent: string
  readonly uptimeMs: number
  readonly listening: readonly string[]
  /** What those addresses were to take and do not, as a sentence; null: nothing. */
  readonly listeningLacks: string | null
  /** Why no session can be served, as a sentence; null if it can. */
  readonly broken: string | null
  /** Null until a primary has come. */
  readonly replica: ReplicaStatus | null
  readonly session: {
    readonly connected: boolean
    readonly peer: string | null
    readonly connectedMs: number | null
    readonly rttMs: number | null
    readonly clockOffsetUs: number | null
    readonly streamFrames: number | null
    readonly streamBytes: number | null
    readonly queuedBytes: number | null
  }
  readonly journal: {
    readonly path: string
    readonly id: string
    /** Null while it is not open, as all that follows. */
    readonly sizeBytes: number | null
    readonly ringBytes: number | null
    readonly usedBytes: number | null
    readonly freeBytes: number | null
    readonly syncs: number | null
    readonly framesWritten: number | null
    readonly bytesWritten: number | null
    readonly superblockWrites: number | null
    readonly wraps: number | null
  }
  readonly mappings: readonly MappingStatus[]
  readonly devices: readonly {
    readonly name: string
    readonly path: string
    readonly sizeBytes: number | null
    readonly problem: string | null
    readonly mapped: boolean
  }[]
  readonly apply: {
    readonly memoryBytes: number
    readonly intervals: number
    readonly devicesFailing: readonly string[]
    readonly devicesHeld: readonly string[]
    readonly entriesNoted: number
    readonly bytesWritten: number
    readonly deviceWrites: number
    readonly deviceSyncs: number
    /** The applied point stands still for an export. */
    readonly frozen: boolean
  } | null
  readonly exports: readonly {
    readonly device: string
    /** Where the whole group stands still. */
    readonly lsn: number
    readonly hold: boolean
    readonly clients: number
  }[]
  readonly counters: {
    readonly connections: number
    readonly sessionsEstablished: number
    readonly sessionsRefused: number
    readonly sessionsFenced: number
  }
}

export interface StatusSources {
  readonly replica: Replica
  readonly sessions: SessionSet
  readonly exports: readonly ExportReport[]
  readonly addresses: readonly string[]
  readonly lacks: string | null
  readonly uptimeMs: number
  readonly journalPath: string
}

export function agentStatus({
  replica,
  sessions,
  exports,
  addresses,
  lacks,
  uptimeMs,
  journalPath,
}: StatusSources): AgentStatus {
  const { agentId, mappings } = replica.state
  const counts = sessions.counts
  return {
    agent: agentId,
    uptimeMs: Math.round(uptimeMs),
    listening: addresses,
    listeningLacks: lacks,
    broken: replica.broken,
    replica: replicaStatus(replica),
    session: sessionStatus(sessions),
    journal: journalStatus(replica, journalPath),
    mappings: mappings.map((row) => mappingStatus(replica, row)),
    devices: replica.devices.list().map((device) => ({
      ...device,
      mapped: mappings.some((row) => row.remote === device.name),
    })),
    apply: applyStatus(replica),
    exports: exports.map(({ name, point, hold, clients }) => ({ device: name, lsn: point.lsn, hold, clients })),
    counters: {
      connections: counts.connections,
      sessionsEstablished: counts.established,
      sessionsRefused: counts.refused,
      sessionsFenced: counts.fenced,
    },
  }
}

function mappingStatus(replica: Replica, row: ReplicaMapping): MappingStatus {
  const { deviceId, mappingId, number, name, remote, sizeBytes, regionBytes } = row
  const dirty = replica.lineOrNull?.dirty
  const { dirty: regionsDirty, total: regionsTotal } =
    dirty?.has(mappingId) === true
      ? dirty.counts(mappingId)
      : { dirty: null, total: Math.ceil(sizeBytes / regionBytes) }
  const problem = replica.devices.problem(remote)
  return {
    deviceId,
    mappingId,
    number,
    name,
    device: remote,
    sizeBytes,
    regionBytes,
    regionsTotal,
    regionsDirty,
    problem,
    unmapping: replica.lineOrNull?.table.isUnmapping(row) ?? false,
  }
}

function replicaStatus(replica: Replica): ReplicaStatus | null {
  const { group, slink, epoch, logId } = replica.state
  if (group === null) return null
  const inconsistency = replica.inconsistent
  const line = replica.lineOrNull
  const rows = replica.state.mappings.map((row) => mappingStatus(replica, row))
  const common = {
    group,
    slink,
    epoch,
    logId,
    consistent: inconsistency === null,
    inconsistency,
    dirtyRegions: line?.dirty.dirtyRegions ?? 0,
    totalRegions: rows.reduce((sum, row) => sum + row.regionsTotal, 0),
  }
  if (line === null) return { ...common, ...NO_LINE }
  const { received, durable, applied, told, stamp } = line.journal
  const { oldestUnappliedMs } = line.writeBackStatus()
  return {
    ...common,
    incarnation: received.incarnation,
    receivedLsn: received.lsn,
    durableLsn: durable.lsn,
    appliedLsn: applied.lsn,
    primaryDurableLsn: told.lsn,
    stampLsn: stamp.lsn,
    lagEntries: Math.max(0, received.lsn - applied.lsn),
    lagBytes: Math.max(0, received.end - applied.end),
    lagAgeMs: oldestUnappliedMs === null ? null : Math.round(oldestUnappliedMs),
  }
}

const NO_LINE = {
  incarnation: null,
  receivedLsn: null,
  durableLsn: null,
  appliedLsn: null,
  primaryDurableLsn: null,
  stampLsn: null,
  lagEntries: null,
  lagBytes: null,
  lagAgeMs: null,
} as const

function journalStatus(replica: Replica, path: string): AgentStatus['journal'] {
  const log = replica.lineOrNull?.journal.log.status() ?? null
  return {
    path,
    id: replica.state.journalId,
    sizeBytes: log?.sizeBytes ?? null,
    ringBytes: log?.ringBytes ?? null,
    usedBytes: log?.usedBytes ?? null,
    freeBytes: log?.freeBytes ?? null,
    syncs: log?.syncs ?? null,
    framesWritten: log?.entriesWritten ?? null,
    bytesWritten: log?.bytesWritten ?? null,
    superblockWrites: log?.superblockWrites ?? null,
    wraps: log?.wraps ?? null,
  }
}

function applyStatus(replica: Replica): AgentStatus['apply'] {
  const line = replica.lineOrNull
  if (line === null) return null
  const writeBack = line.writeBackStatus()
  const nameOf = (deviceId: number): string => line.table.appliedRow(deviceId)?.remote ?? String(deviceId)
  return {
    memoryBytes: writeBack.memoryBytes,
    intervals: writeBack.intervalCount,
    devicesFailing: writeBack.failedDeviceIds.map(nameOf),
    devicesHeld: writeBack.heldDeviceIds.map(nameOf),
    entriesNoted: writeBack.notedEntryCount,
    bytesWritten: writeBack.writtenBytes,
    deviceWrites: writeBack.deviceWriteCount,
    deviceSyncs: writeBack.deviceSyncCount,
    frozen: line.applier.frozen,
  }
}

function sessionStatus(sessions: SessionSet): AgentStatus['session'] {
  const report = sessions.current?.report() ?? null
  return {
    connected: report !== null,
    peer: report?.peer ?? null,
    connectedMs: report === null || report.sinceMs === null ? null : Math.round(report.sinceMs),
    rttMs: report?.rttMs ?? null,
    clockOffsetUs: report?.clockOffsetUs ?? null,
    streamFrames: report?.streamFrames ?? null,
    streamBytes: report?.streamBytes ?? null,
    queuedBytes: report?.queuedBytes ?? null,
  }
}
