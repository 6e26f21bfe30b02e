/**
 * What `status` reports of a group: one stable shape, units in the names, null for what is not known.
 *
 * Owns the shape, which docs/reference/status.md describes key by key. It only reads; taking a report costs no I/O.
 */
import { formatId64 } from '@sitelink/protocol'
import { LOCAL_NAME } from '../admin/changes.js'
import { slinkType } from '../blockdev/address.js'
import { resumePercentOf } from '../slink/fall-behind.js'
import type { LinkState } from '../slink/link.js'
import type { Slink } from '../slink/slink.js'
import type { Group } from './group.js'
import type { LocalDevice } from './local-device.js'

export type GroupStatus = ReturnType<typeof groupStatus>

/** Words for where a slink stands, most telling first. */
export type SlinkStateWord =
  | 'paused'
  | 'dropping'
  | 'behind'
  | 'resyncing'
  | 'catching-up'
  | 'live'
  | 'disconnected'
  | 'idle'

export function slinkStateWord(slink: Slink): SlinkStateWord {
  if (slink.config.paused) return 'paused'
  if (slink.standing.kind === 'dropping') return 'dropping'
  if (slink.standing.kind === 'behind') return 'behind'
  if (slink.mappings.size === 0) return 'idle'
  if (slink.stream === null) return 'disconnected'
  if (slink.mappings.dirtyRegions > 0) return 'resyncing'
  return slink.protection.guard === 'live' ? 'live' : 'catching-up'
}

function linkWord(state: LinkState): string {
  if (state.kind === 'waiting') return state.refused ? 'refused' : 'unreachable'
  return state.kind
}

function linkProblem(state: LinkState): string | null {
  if (state.kind === 'waiting' || state.kind === 'stopped') return state.reason
  return state.kind === 'dialing' ? state.reason : null
}

/** What an offset of clocks may be wrong by. */
function halfTripUs(rttMs: number | null): number | null {
  return rttMs === null ? null : Math.ceil(rttMs * 500)
}

/** What is compressed, how much that saves, and why it is on or off. */
function compressionStatus({ config, link: { session } }: Slink) {
  const report = session?.compression ?? null
  return {
    mode: config.compression,
    active: report?.active ?? false,
    why: report?.why ?? null,
    codec: report?.codec ?? null,
    ratio: report === null || report.wireBytes === 0 ? null : report.rawBytes / report.wireBytes,
  }
}

/** Age of the oldest entry that the site has not received, in seconds; 0 if there is none. */
function lagSecondsOf(slink: Slink, { ledger, parts: { clock } }: Group): number {
  const received = slink.stream?.receivedLsn ?? slink.point.lsn
  return slink.mapped ? ledger.reportedAgeMs(received, clock.nowMs(), clock.wallUs()) / 1000 : 0
}

export function slinkStatus(slink: Slink, group: Group) {
  const { config, stream, mappings } = slink
  const outstanding = slink.outstanding()
  const session = slink.link.session
  return {
    number: config.number,
    name: config.name,
    role: 'passive' as const,
    type: slinkType(config),
    addresses: config.addresses,
    address: slink.link.address === '' ? null : slink.link.address,
    mode: config.mode,
    ack: config.ack,
    overflow: config.overflow,
    holdMs: config.holdMs,
    fallBehind: { ...config.fallBehind, resumePercent: resumePercentOf(config.fallBehind) },
    limit: {
      bytesPerSecond: config.limit.bytesPerSecond,
      windows: config.limit.windows,
      nowBytesPerSecond: stream?.pacer.rate ?? null,
    },
    resyncBytesPerSecond: config.resyncBytesPerSecond,
    resyncSharePercent: config.resyncSharePercent,
    inFlightLimit: config.inFlight,
    detectMs: config.detectMs,
    compression: compressionStatus(slink),
    quic: config.quic,
    carrier: slink.link.carrier,
    paused: config.paused,
    state: slinkStateWord(slink),
    link: linkWord(slink.link.state),
    problem: group.sites.problem(slink.number) ?? linkProblem(slink.link.state),
    connected: stream !== null,
    behind: slink.standing.kind === 'behind' || slink.standing.kind === 'dropping',
    protected: config.mode === 'sync' ? slink.protection.protected : null,
    holding: slink.holding !== 'none',
    failing: slink.holding === 'fail',
    forced: slink.protection.forced,
    receivedLsn: slink.receivedLsn,
    durableLsn: slink.durableLsn,
    appliedLsn: stream?.appliedLsn ?? null,
    lagWrites: outstanding.ios,
    lagBytes: outstanding.bytes,
    lagSeconds: lagSecondsOf(slink, group),
    pinnedBytes: slink.pin === null || mappings.size === 0 ? 0 : Math.max(0, group.log.status().end - slink.pin),
    dirtyRegions: mappings.dirtyRegions,
    totalRegions: mappings.totalRegions,
    resync: resyncStatus(slink, group),
    rttMs: session?.rttMs ?? null,
    clockOffsetUs: session?.clockOffsetUs ?? null,
    clockErrorUs: halfTripUs(session?.rttMs ?? null),
    agentConsistent: stream?.agentConsistent ?? group.sites.consistent(slink.number),
    agentDirtyRegions: stream?.agentDirtyRegions ?? null,
    journalUsedBytes: stream?.journalUsedBytes ?? null,
    journalBytes: stream?.journalBytes ?? null,
    inFlightFrames: stream?.pacer.inFlight.frames ?? 0,
    inFlightBytes: stream?.pacer.inFlight.bytes ?? 0,
    sentBytes: session?.sentBytes ?? 0,
    sentEntries: stream?.feed.entriesSent ?? 0,
    skippedEntries: stream?.feed.entriesSkipped ?? 0,
    copiedBytesTotal: slink.copiedBytes,
    overflows: slink.overflow.count,
    forcedCount: slink.protection.forcedCount,
    resyncs: slink.resyncs.count,
    devices: [...mappings].map((mapping) => ({
      device: mapping.deviceNumber,
      name: mapping.deviceName,
      remote: mapping.config.remote,
      problem: group.sites.trouble(slink.number, mapping.deviceId)?.why ?? null,
      dirtyLog: mapping.config.dirtyLog.type,
      regionBytes: mapping.config.regionBytes,
      dirtyRegions: mapping.dirtyCount,
      totalRegions: mapping.regionCount,
    })),
  }
}

export function resyncStatus(slink: Slink, group: Group) {
  const { stream, mappings } = slink
  const leftBytes = mappings.dirtyBytes
  if (leftBytes === 0) return null
  if (stream === null)
    return { running: false, copiedBytes: 0, totalBytes: leftBytes, leftBytes, bytesPerSecond: null, etaSeconds: null }
  const totalBytes = Math.max(stream.dirtyBytesAtStart, leftBytes)
  const copiedBytes = totalBytes - leftBytes
  const seconds = (group.parts.clock.nowMs() - stream.startedMs) / 1000
  const bytesPerSecond = seconds > 0 ? copiedBytes / seconds : null
  const etaSeconds = bytesPerSecond === null || bytesPerSecond === 0 ? null : leftBytes / bytesPerSecond
  return { running: true, copiedBytes, totalBytes, leftBytes, bytesPerSecond, etaSeconds }
}

function deviceStatus(local: LocalDevice, lostBytes: number) {
  return {
    number: local.config.number,
    name: local.config.name,
    path: local.config.path,
    sizeBytes: local.device?.sizeBytes ?? null,
    available: local.device !== null,
    problem: local.problem,
    lostBytes,
    clients: [...local.clients],
    reads: local.reads,
    readBytes: local.readBytes,
    writes: local.writes,
    writtenBytes: local.writtenBytes,
    flushes: local.flushes,
  }
}

export function groupStatus(group: Group) {
  const log = group.log.status()
  const local = group.writeBack.status()
  const lostBytes = new Map<number, number>()
  for (const { deviceId, length } of group.writeBack.lostRanges())
    lostBytes.set(deviceId, (lostBytes.get(deviceId) ?? 0) + length)
  return {
    group: {
      uuid: group.config.uuid,
      epoch: group.config.epoch,
      state: group.state,
      failure: group.failure,
      waitingRequests: group.writePath.waitingCount,
      heldRequests: group.holds.size,
    },
    log: {
      path: group.config.log.path,
      logId: formatId64(group.log.identity),
      incarnation: group.log.incarnation.number,
      sizeBytes: log.sizeBytes,
      ringBytes: log.ringBytes,
      usedBytes: log.usedBytes,
      freeBytes: log.freeBytes,
      lastLsn: group.writePath.lastLsn,
      writtenLsn: group.writtenMark.point.lsn,
      durableLsn: log.durableLsn,
      wraps: log.wraps,
      groupsWritten: log.groupsWritten,
      entriesWritten: log.entriesWritten,
      bytesWritten: log.bytesWritten,
      syncs: log.syncs,
      superblockWrites: log.superblockWrites,
      stalls: group.logStalls,
      entriesFound: group.recovery.entriesFound,
      cutBytes: group.recovery.cutBytes,
      holes: group.recovery.holes.length,
      pieces: log.pieces,
      resize: log.resize,
    },
    local: {
      mode: group.config.local.mode,
      name: LOCAL_NAME,
      role: 'active' as const,
      appliedLsn: local.appliedLsn,
      lagBytes: local.lagBytes,
      memoryBytes: local.memoryBytes,
      intervals: local.intervalCount,
      writtenBytes: local.writtenBytes,
      deviceWrites: local.deviceWriteCount,
      deviceSyncs: local.deviceSyncCount,
      lostRanges: local.lostRangeCount,
    },
    devices: [...group.devices.values()]
      .map((device) => deviceStatus(device, lostBytes.get(device.config.id) ?? 0))
      .sort((a, b) => a.number - b.number),
    slinks: [...group.slinks.values()].map((slink) => slinkStatus(slink, group)).sort((a, b) => a.number - b.number),
  }
}
