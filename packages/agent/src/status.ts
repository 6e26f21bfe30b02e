/**
 * What the agent says of itself: the shape of `sitelink-agent status --json`, and where its values come from.
 *
 * Pure reading. Keys are stable, units stand in the names, `null` is unknown; docs/reference/agent-status.md explains each.
 */
import type { LogPoint } from '@sitelink/protocol'
import type { ExportReport } from './export/export-set.js'
import type { Mark } from './journal/marks.js'
import type { Replica } from './replica/replica.js'
import type { SessionSet } from './session/session-set.js'

export interface PointStatus {
  readonly incarnation: number
  readonly lsn: number
}

export interface MappingStatus {
  readonly deviceId: number
  readonly mappingId: string
  readonly number: number
  readonly name: string
  readonly device: string
  readonly sizeBytes: number
  readonly regionBytes: number
  readonly regionsTotal: number
  readonly regionsDirty: number
  /** Why its device cannot be used, or null. */
  readonly problem: string | null
}

export interface AgentStatus {
  readonly agent: string
  readonly group: string | null
  readonly slink: number | null
  readonly epoch: number
  readonly uptimeMs: number
  readonly listening: readonly string[]
  readonly consistent: boolean
  /** Why it is not consistent, as a sentence; null if it is. */
  readonly inconsistency: string | null
  /** Why no session can be served, as a sentence; null if it can. */
  readonly broken: string | null
  readonly points: {
    readonly received: PointStatus
    readonly durable: PointStatus
    readonly applied: PointStatus
    readonly primaryDurable: PointStatus
    readonly stamp: PointStatus
  } | null
  readonly lag: {
    /** Entries that are received and not on the devices. */
    readonly unappliedEntries: number
    readonly unappliedBytes: number
    /** Age of the oldest frame that was given to the devices and is not durable there. */
    readonly oldestUnappliedMs: number | null
  } | null
  readonly session: {
    readonly peer: string
    readonly establishedMs: number | null
    readonly rttMs: number | null
    readonly clockOffsetUs: number | null
    readonly streamFrames: number
    readonly streamBytes: number
    readonly queuedBytes: number
  } | null
  readonly journal: {
    readonly path: string
    readonly id: string
    readonly ringBytes: number
    readonly usedBytes: number
    readonly freeBytes: number
    readonly syncs: number
    readonly framesWritten: number
    readonly bytesWritten: number
    readonly superblockWrites: number
    readonly wraps: number
  } | null
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
    readonly point: PointStatus
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
  readonly uptimeMs: number
  readonly journalPath: string
}

export function agentStatus({
  replica,
  sessions,
  exports,
  addresses,
  uptimeMs,
  journalPath,
}: StatusSources): AgentStatus {
  const { agentId, group, slink, epoch, mappings } = replica.state
  const inconsistent = replica.inconsistent
  const counts = sessions.counts
  return {
    agent: agentId,
    group,
    slink,
    epoch,
    uptimeMs: Math.round(uptimeMs),
    listening: addresses,
    consistent: inconsistent === null,
    inconsistency: inconsistent,
    broken: replica.broken,
    ...lineStatus(replica, journalPath),
    session: sessionStatus(sessions),
    mappings: mappings.map((row) => {
      const regions =
        replica.lineOrNull?.dirty.has(row.mappingId) === true
          ? replica.lineOrNull.dirty.counts(row.mappingId)
          : { dirty: 0, total: 0 }
      return {
        deviceId: row.deviceId,
        mappingId: row.mappingId,
        number: row.number,
        name: row.name,
        device: row.remote,
        sizeBytes: row.sizeBytes,
        regionBytes: row.regionBytes,
        regionsTotal: regions.total,
        regionsDirty: regions.dirty,
        problem: replica.devices.problem(row.remote),
      }
    }),
    devices: replica.devices.list().map(({ name, path, sizeBytes, problem }) => ({
      name,
      path,
      sizeBytes,
      problem,
      mapped: mappings.some((row) => row.remote === name),
    })),
    exports: exports.map(({ name, point, hold, clients }) => ({
      device: name,
      point: pointStatus(point),
      hold,
      clients,
    })),
    counters: {
      connections: counts.connections,
      sessionsEstablished: counts.established,
      sessionsRefused: counts.refused,
      sessionsFenced: counts.fenced,
    },
  }
}

function lineStatus(replica: Replica, path: string): Pick<AgentStatus, 'points' | 'lag' | 'journal' | 'apply'> {
  const line = replica.lineOrNull
  if (line === null) return { points: null, lag: null, journal: null, apply: null }
  const { journal, applier } = line
  const { received, durable, applied, told, stamp } = journal
  const log = journal.log.status()
  const writeBack = line.writeBackStatus()
  const nameOf = (deviceId: number): string => line.table.appliedRow(deviceId)?.remote ?? String(deviceId)
  return {
    points: {
      received: pointStatus(received),
      durable: pointStatus(durable),
      applied: pointStatus(applied),
      primaryDurable: pointStatus(told),
      stamp: pointStatus(stamp),
    },
    lag: {
      unappliedEntries: Math.max(0, received.lsn - applied.lsn),
      unappliedBytes: Math.max(0, received.end - applied.end),
      oldestUnappliedMs: writeBack.oldestUnappliedMs === null ? null : Math.round(writeBack.oldestUnappliedMs),
    },
    journal: {
      path,
      id: replica.state.journalId,
      ringBytes: log.ringBytes,
      usedBytes: log.usedBytes,
      freeBytes: log.freeBytes,
      syncs: log.syncs,
      framesWritten: log.entriesWritten,
      bytesWritten: log.bytesWritten,
      superblockWrites: log.superblockWrites,
      wraps: log.wraps,
    },
    apply: {
      memoryBytes: writeBack.memoryBytes,
      intervals: writeBack.intervalCount,
      devicesFailing: writeBack.failedDeviceIds.map(nameOf),
      devicesHeld: writeBack.heldDeviceIds.map(nameOf),
      entriesNoted: writeBack.notedEntryCount,
      bytesWritten: writeBack.writtenBytes,
      deviceWrites: writeBack.deviceWriteCount,
      deviceSyncs: writeBack.deviceSyncCount,
      frozen: applier.frozen,
    },
  }
}

function sessionStatus(sessions: SessionSet): AgentStatus['session'] {
  const report = sessions.current?.report() ?? null
  if (report === null) return null
  const { peer, sinceMs, rttMs, clockOffsetUs, streamFrames, streamBytes, queuedBytes } = report
  return {
    peer,
    establishedMs: sinceMs === null ? null : Math.round(sinceMs),
    rttMs,
    clockOffsetUs,
    streamFrames,
    streamBytes,
    queuedBytes,
  }
}

function pointStatus({ incarnation, lsn }: LogPoint | Mark): PointStatus {
  return { incarnation, lsn }
}
